//! Clients: a call is one request and one answer, over a connection or by datagram, and ends well or with a reason.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use sim_core::engine::arena::NetnsId;
use sim_core::engine::errno::Errno;
use sim_core::engine::time::{Duration, Instant};
use sim_core::netns::socket::Socket;
use sim_core::netns::socket::tcp::SocketOptions;
use sim_core::world::World;
use sim_k8s::api::Protocol as Transport;

use super::protocol::{Protocol, signature};

/// How long a client waits for something to come, before it repeats a datagram or gives up (resolv.conf(5), `timeout`).
pub const PATIENCE: Duration = Duration::from_secs(5);
/// How often it waits so long (resolv.conf(5), `attempts`).
const ATTEMPTS: u32 = 2;
/// Bytes read at once, and the longest answer.
const READ: usize = 64 << 10;

/// What a call is about.
#[derive(Clone, Debug)]
pub struct Request {
    /// The netns of the caller.
    pub netns: NetnsId,
    /// The address it calls from; `None`: whichever the route says.
    pub from: Option<IpAddr>,
    /// Whom it calls.
    pub to: SocketAddr,
    /// By which transport.
    pub transport: Transport,
    /// What it speaks.
    pub protocol: &'static Protocol,
    /// The DNS name it calls.
    pub host: String,
}

/// A call that was answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answer {
    /// Number of the pod that signed the answer; `None` if the protocol has no room for a signature.
    pub by: Option<usize>,
    /// Time from the first packet to the answer.
    pub latency: Duration,
}

/// Why a call failed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Reason {
    /// There is no pod to call from: none of the caller's fits on a node.
    NoCaller,
    /// The name stands for no address: a headless Service without endpoints (what a resolver calls NXDOMAIN).
    NoAddress,
    /// The network said so.
    Errno(&'static str),
    /// Nothing came in time.
    TimedOut,
    /// The connection ended before the answer was whole.
    Cut,
}

impl From<Errno> for Reason {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno.name())
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoCaller => "no pod of the caller runs",
            Self::NoAddress => "NXDOMAIN",
            Self::Errno(name) => name,
            Self::TimedOut => "timed out",
            Self::Cut => "cut short",
        })
    }
}

/// A call that was not answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Failure {
    /// Why.
    pub reason: Reason,
    /// What was tried, if it came so far.
    pub attempt: Option<Attempt>,
}

/// A socket that was opened for a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attempt {
    /// The netns of the caller.
    pub netns: NetnsId,
    /// The caller's end.
    pub local: SocketAddr,
    /// When the call began.
    pub begun: Instant,
}

/// A call that has come to an end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ended {
    /// Its number.
    pub call: u64,
    /// How.
    pub outcome: Result<Answer, Failure>,
}

impl Ended {
    /// A call that failed before a packet was sent.
    pub fn at_once(call: u64, reason: Reason) -> Self {
        Self { call, outcome: Err(Failure { reason, attempt: None }) }
    }
}

/// The calls on their way.
#[derive(Clone, Debug, Default)]
pub struct Clients {
    calls: BTreeMap<u64, Call>,
    by_socket: BTreeMap<(NetnsId, Socket), u64>,
}

#[derive(Clone, Debug)]
struct Call {
    request: Request,
    socket: Socket,
    local: SocketAddr,
    begun: Instant,
    /// The request has been sent so often.
    sent: u32,
    /// Times patience has run out.
    waited: u32,
    answer: Vec<u8>,
}

impl Clients {
    /// Whether no call is on its way.
    pub fn is_idle(&self) -> bool {
        self.calls.is_empty()
    }

    /// Begins call number `call`, unlike all before it. The caller of this function then tells [`Self::impatient`] each time
    /// [`PATIENCE`] has gone by. A call may end at once.
    pub fn begin(&mut self, world: &mut World, call: u64, request: Request) -> Option<Ended> {
        match self.open(world, call, request) {
            Ok(()) => self.go_on(world, call),
            Err(errno) => Some(Ended::at_once(call, errno.into())),
        }
    }

    fn open(&mut self, world: &mut World, call: u64, request: Request) -> Result<(), Errno> {
        let netns = request.netns;
        let local = SocketAddr::new(request.from.unwrap_or(Ipv4Addr::UNSPECIFIED.into()), 0);
        let (socket, local) = match request.transport {
            Transport::Tcp => {
                let id = world.tcp_connect(netns, local, request.to, SocketOptions::default())?;
                (Socket::Tcp(id), world.tcp_endpoints(netns, id).map_or(local, |(local, _)| local))
            }
            Transport::Udp => {
                let id = world.udp_bind(netns, local, false)?;
                if let Err(errno) = world.udp_connect(netns, id, request.to) {
                    world.close(netns, id);
                    return Err(errno);
                }
                (Socket::Udp(id), world.udp(netns, id).map_or(local, |socket| socket.local))
            }
            Transport::Sctp => return Err(Errno::ENOTSUP),
        };
        let begun = world.now();
        self.by_socket.insert((netns, socket), call);
        self.calls.insert(call, Call { request, socket, local, begun, sent: 0, waited: 0, answer: Vec::new() });
        Ok(())
    }

    /// Something happened to a socket: goes on with the call whose it is.
    pub fn wake(&mut self, world: &mut World, netns: NetnsId, socket: Socket) -> Option<Ended> {
        let call = *self.by_socket.get(&(netns, socket))?;
        self.go_on(world, call)
    }

    /// [`PATIENCE`] has gone by for this call, if it is still on its way.
    pub fn impatient(&mut self, world: &mut World, call: u64) -> Option<Ended> {
        let this = self.calls.get_mut(&call)?;
        this.waited += 1;
        let outcome = match this.socket {
            _ if this.waited == ATTEMPTS => Err(Reason::TimedOut),
            // TCP repeats by itself.
            Socket::Tcp(_) => return None,
            _ => this.send(world),
        };
        outcome.err().map(|reason| self.end(world, call, Err(reason)))
    }

    /// Whether patience may still run out for this call.
    pub fn is_waiting(&self, call: u64) -> bool {
        self.calls.contains_key(&call)
    }

    fn go_on(&mut self, world: &mut World, call: u64) -> Option<Ended> {
        let this = self.calls.get_mut(&call)?;
        match this.go_on(world) {
            Ok(None) => None,
            Ok(Some(answer)) => Some(self.end(world, call, Ok(answer))),
            Err(reason) => Some(self.end(world, call, Err(reason))),
        }
    }

    fn end(&mut self, world: &mut World, call: u64, outcome: Result<Answer, Reason>) -> Ended {
        let this = self.calls.remove(&call).expect("only calls on their way end");
        let netns = this.request.netns;
        self.by_socket.remove(&(netns, this.socket));
        match this.socket {
            Socket::Tcp(id) => world.tcp_close(netns, id),
            Socket::Udp(id) | Socket::Raw(id) => world.close(netns, id),
        }
        let attempt = Some(Attempt { netns, local: this.local, begun: this.begun });
        Ended { call, outcome: outcome.map_err(|reason| Failure { reason, attempt }) }
    }
}

impl Call {
    /// Sends and receives what can be; the answer if it is whole.
    fn go_on(&mut self, world: &mut World) -> Result<Option<Answer>, Reason> {
        let netns = self.request.netns;
        if let Socket::Tcp(id) = self.socket {
            if let Some(errno) = world.tcp_take_error(netns, id) {
                return Err(errno.into());
            }
            if !world.tcp_readiness(netns, id).writable && self.sent == 0 {
                return Ok(None);
            }
        }
        if self.sent == 0 {
            self.send(world)?;
        }
        loop {
            let received = match self.socket {
                Socket::Tcp(id) => world.tcp_recv(netns, id, READ),
                Socket::Udp(id) | Socket::Raw(id) => world.udp_recv(netns, id).map(|datagram| datagram.data),
            };
            match received {
                Err(Errno::EAGAIN) => return Ok(None),
                Err(errno) => return Err(errno.into()),
                Ok(data) => {
                    self.answer.extend(&data);
                    if let Some(answer) = self.whole_answer(world, data.is_empty()) {
                        return Ok(Some(answer));
                    }
                    if data.is_empty() || self.answer.len() > READ {
                        return Err(Reason::Cut);
                    }
                }
            }
        }
    }

    fn send(&mut self, world: &mut World) -> Result<(), Reason> {
        self.sent += 1;
        let netns = self.request.netns;
        let request = (self.request.protocol.request)(&self.request.host);
        match self.socket {
            Socket::Udp(id) | Socket::Raw(id) => world
                .udp_send(netns, id, None, &request)
                .map_err(|error| error.errno.map_or(Reason::TimedOut, Reason::from)),
            Socket::Tcp(id) if request.is_empty() && !self.request.protocol.greets => {
                world.tcp_shutdown(netns, id).map_err(Reason::from)
            }
            Socket::Tcp(_) if request.is_empty() => Ok(()),
            Socket::Tcp(id) => world.tcp_send(netns, id, &request).map(|_| ()).map_err(Reason::from),
        }
    }

    /// The answer, if what was received so far is one: signed, or empty where that is the answer.
    fn whole_answer(&self, world: &World, ended: bool) -> Option<Answer> {
        let by = signature::signed_by(&self.answer);
        let silence = ended && self.answer.is_empty() && (self.request.protocol.answer)("", &[]).is_empty();
        (by.is_some() || silence).then(|| Answer { by, latency: world.now().since(self.begun) })
    }
}

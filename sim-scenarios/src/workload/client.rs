//! Clients: a call is one request and one answer, over a connection or by datagram, and ends well or with a reason.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use sim_core::engine::arena::NetnsId;
use sim_core::engine::errno::Errno;
use sim_core::engine::rng::Stream;
use sim_core::engine::time::{Duration, Instant};
use sim_core::netns::socket::Socket;
use sim_core::netns::socket::tcp::SocketOptions;
use sim_core::wire::ip::Family;
use sim_core::world::World;
use sim_k8s::api::Protocol as Transport;
use sim_k8s::dns::{self, Libc, Resolution, Resolved, Resolver, Source};

use super::connection::{self, READ};
use super::protocol::{Protocol, signature};

/// How long a client waits for something to come, before it repeats a datagram or gives up (resolv.conf(5), `timeout`).
pub const PATIENCE: Duration = Duration::from_secs(5);
/// How often it waits so long (resolv.conf(5), `attempts`).
const ATTEMPTS: u32 = 2;

/// What a call is about.
#[derive(Clone, Debug)]
pub struct Request {
    /// The netns of the caller.
    pub netns: NetnsId,
    /// The address it calls from; `None`: whichever the route says.
    pub from: Option<IpAddr>,
    /// The port it calls from; 0: any.
    pub source_port: u16,
    /// Whom it calls.
    pub to: Destination,
    /// By which transport.
    pub transport: Transport,
    /// What it speaks.
    pub protocol: &'static Protocol,
    /// The name it calls.
    pub host: String,
}

/// Whom a call goes to.
#[derive(Clone, Debug)]
pub enum Destination {
    /// An address.
    Address(SocketAddr),
    /// A port of what the name of the request stands for. Who tells what that is, and the draws of asking.
    Name(u16, Box<(Resolver, Stream)>),
}

/// A call that was answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answer {
    /// Number of the pod that signed the answer; `None` if the protocol has no room for a signature.
    pub by: Option<usize>,
    /// Time from the first packet to the answer.
    pub latency: Duration,
    /// The caller's end.
    pub local: SocketAddr,
}

/// Why a call failed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Reason {
    /// There is no pod to call from: none of the caller's fits on a node.
    NoCaller,
    /// Nothing outside leads to what is called.
    NoAddress,
    /// The name could not be resolved.
    Dns(dns::Failure),
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
            Self::NoAddress => "no address from outside",
            Self::Dns(failure) => return failure.fmt(f),
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
    /// When calls want to be told that time has gone by.
    alarms: Vec<(Instant, u64)>,
}

#[derive(Clone, Debug)]
struct Call {
    request: Request,
    begun: Instant,
    /// When patience runs out.
    until: Instant,
    phase: Phase,
}

/// How far a call has come.
#[derive(Clone, Debug)]
enum Phase {
    /// Its name is being resolved.
    Resolves(Box<Resolution>),
    /// It talks to whom it called.
    Talks(Talk),
}

#[derive(Clone, Debug)]
struct Talk {
    socket: Socket,
    local: SocketAddr,
    /// The request has been sent so often.
    sent: u32,
    /// Times patience has run out.
    waited: u32,
    answer: Vec<u8>,
}

/// What a step of a call led to: nothing yet, or its end.
type Step = Result<Option<Answer>, Reason>;

impl Clients {
    /// Whether no call is on its way.
    pub fn is_idle(&self) -> bool {
        self.calls.is_empty()
    }

    /// Begins call number `call`, unlike all before it. It may end at once.
    pub fn begin(&mut self, world: &mut World, call: u64, request: Request) -> Option<Ended> {
        let begun = world.now();
        let Request { netns, host, .. } = &request;
        let step = match &request.to {
            Destination::Address(to) => Ok(Ok(vec![to.ip()])),
            Destination::Name(_, told) => Resolution::begin(world, *netns, &told.0, host, told.1.clone())
                .map_or_else(Ok, |resolution| Err(Phase::Resolves(Box::new(resolution)))),
        };
        let phase = match step {
            Err(phase) => phase,
            Ok(resolved) => match open(world, &request, resolved) {
                Ok(talk) => Phase::Talks(talk),
                Err(reason) => return Some(Ended::at_once(call, reason)),
            },
        };
        self.calls.insert(call, Call { request, begun, until: Instant::NEVER, phase });
        self.go_on(world, call, |this, world| this.go_on(world, None))
    }

    /// Something happened to a socket: goes on with the call whose it is.
    pub fn wake(&mut self, world: &mut World, netns: NetnsId, socket: Socket) -> Option<Ended> {
        let call = *self.by_socket.get(&(netns, socket))?;
        self.go_on(world, call, |this, world| this.go_on(world, Some(socket)))
    }

    /// The time of an alarm of this call has come, if it is still on its way.
    pub fn ring(&mut self, world: &mut World, call: u64) -> Option<Ended> {
        let due = self.calls.get(&call).is_some_and(|this| this.until <= world.now());
        if due { self.go_on(world, call, Call::impatient) } else { None }
    }

    /// When [`Self::ring`] is to be called for which call. Each is told once.
    pub fn take_alarms(&mut self) -> Vec<(Instant, u64)> {
        std::mem::take(&mut self.alarms)
    }

    fn go_on(
        &mut self,
        world: &mut World,
        call: u64,
        step: impl FnOnce(&mut Call, &mut World) -> Step,
    ) -> Option<Ended> {
        let this = self.calls.get_mut(&call)?;
        let (netns, before) = (this.request.netns, this.until);
        for socket in this.sockets() {
            self.by_socket.remove(&(netns, socket));
        }
        let done = step(this, world);
        if let Ok(None) = done {
            self.by_socket.extend(this.sockets().map(|socket| ((netns, socket), call)));
            if this.until != before && this.until < Instant::NEVER {
                self.alarms.push((this.until, call));
            }
            return None;
        }
        let this = self.calls.remove(&call)?;
        let attempt = this.local().map(|local| Attempt { netns, local, begun: this.begun });
        this.close(world);
        let outcome = done.map(|answer| answer.expect("it has ended"));
        Some(Ended { call, outcome: outcome.map_err(|reason| Failure { reason, attempt }) })
    }
}

/// Opens a socket to the best of the addresses.
fn open(world: &mut World, request: &Request, resolved: Resolved) -> Result<Talk, Reason> {
    let mut ips = resolved.map_err(Reason::Dns)?;
    let netns = request.netns;
    let port = match &request.to {
        Destination::Address(to) => to.port(),
        Destination::Name(port, _) => *port,
    };
    if ips.len() > 1 {
        let sources: BTreeMap<IpAddr, Option<Source>> = ips.iter().map(|ip| (*ip, source(world, netns, *ip))).collect();
        dns::sort(Libc::Glibc, &mut ips, |ip| sources[&ip]);
    }
    let to = SocketAddr::new(*ips.first().ok_or(Reason::Dns(dns::Failure::NoData))?, port);
    let local = SocketAddr::new(request.from.unwrap_or(Family::of(to.ip()).unspecified()), request.source_port);
    let (socket, local) = match request.transport {
        Transport::Tcp => {
            let id = world.tcp_connect(netns, local, to, SocketOptions::default())?;
            (Socket::Tcp(id), world.tcp_endpoints(netns, id).map_or(local, |(local, _)| local))
        }
        Transport::Udp => {
            let id = world.udp_bind(netns, local, false)?;
            if let Err(errno) = world.udp_connect(netns, id, to) {
                world.close(netns, id);
                return Err(errno.into());
            }
            (Socket::Udp(id), world.udp(netns, id).map_or(local, |socket| socket.local))
        }
        Transport::Sctp => {
            let id = world.sctp_connect(netns, local, to)?;
            let ends = world.sctp(netns).and_then(|sctp| sctp.endpoints(id));
            (Socket::Sctp(id), ends.map_or(local, |(local, _)| local))
        }
    };
    Ok(Talk { socket, local, sent: 0, waited: 0, answer: Vec::new() })
}

/// Where packets to `ip` would come from: what `getaddrinfo` finds out by connecting a socket.
fn source(world: &mut World, netns: NetnsId, ip: IpAddr) -> Option<Source> {
    let any = SocketAddr::new(Family::of(ip).unspecified(), 0);
    let socket = world.udp_bind(netns, any, false).ok()?;
    let connected = world.udp_connect(netns, socket, SocketAddr::new(ip, dns::PORT));
    let local = world.udp(netns, socket).map(|socket| socket.local.ip());
    world.close(netns, socket);
    let ip = local.filter(|_| connected.is_ok())?;
    Some(Source {
        ip,
        prefix: world.address_of(netns, ip).map_or(IpNet::from(ip).prefix_len(), |net| net.prefix_len()),
    })
}

impl Call {
    /// What happened, or that it has just begun, leads on.
    fn go_on(&mut self, world: &mut World, socket: Option<Socket>) -> Step {
        if let Phase::Resolves(resolution) = &mut self.phase {
            let resolved = socket.and_then(|socket| resolution.woken(world, socket));
            return self.resolved(world, resolved);
        }
        self.talk(world)
    }

    /// Patience has run out.
    fn impatient(&mut self, world: &mut World) -> Step {
        match &mut self.phase {
            Phase::Resolves(resolution) => {
                let resolved = resolution.timed_out(world);
                self.resolved(world, resolved)
            }
            Phase::Talks(talk) => {
                talk.waited += 1;
                self.until = world.now() + PATIENCE;
                match talk.socket {
                    _ if talk.waited == ATTEMPTS => Err(Reason::TimedOut),
                    // TCP and SCTP repeat by themselves.
                    Socket::Tcp(_) | Socket::Sctp(_) => Ok(None),
                    _ => talk.send(world, &self.request).map(|()| None),
                }
            }
        }
    }

    fn resolved(&mut self, world: &mut World, resolved: Option<Resolved>) -> Step {
        match (resolved, &self.phase) {
            (Some(resolved), _) => {
                self.phase = Phase::Talks(open(world, &self.request, resolved)?);
                self.until = Instant::NEVER;
                self.talk(world)
            }
            (None, Phase::Resolves(resolution)) => {
                self.until = resolution.until();
                Ok(None)
            }
            (None, Phase::Talks(_)) => Ok(None),
        }
    }

    fn talk(&mut self, world: &mut World) -> Step {
        let Phase::Talks(talk) = &mut self.phase else { return Ok(None) };
        if self.until == Instant::NEVER {
            self.until = world.now() + PATIENCE;
        }
        let by = talk.go_on(world, &self.request)?;
        let local = talk.local;
        Ok(by.map(|by| Answer { by, latency: world.now().since(self.begun), local }))
    }

    fn sockets(&self) -> impl Iterator<Item = Socket> {
        match &self.phase {
            Phase::Resolves(resolution) => resolution.sockets().collect::<Vec<_>>(),
            Phase::Talks(talk) => vec![talk.socket],
        }
        .into_iter()
    }

    /// Its end of what it tried last.
    fn local(&self) -> Option<SocketAddr> {
        match &self.phase {
            Phase::Resolves(resolution) => resolution.local(),
            Phase::Talks(talk) => Some(talk.local),
        }
    }

    fn close(self, world: &mut World) {
        let netns = self.request.netns;
        match self.phase {
            Phase::Resolves(mut resolution) => resolution.close(world),
            Phase::Talks(Talk { socket, .. }) => world.close_socket(netns, socket),
        }
    }
}

impl Talk {
    /// Sends and receives what can be; once the answer is whole, who gave it.
    fn go_on(&mut self, world: &mut World, request: &Request) -> Result<Option<Option<usize>>, Reason> {
        let netns = request.netns;
        if !connection::is_open(world, netns, self.socket)? && self.sent == 0 {
            return Ok(None);
        }
        if self.sent == 0 {
            self.send(world, request)?;
        }
        loop {
            match connection::recv(world, netns, self.socket) {
                Err(Errno::EAGAIN) => return Ok(None),
                Err(errno) => return Err(errno.into()),
                Ok(data) => {
                    self.answer.extend(&data);
                    if let Some(by) = self.whole_answer(request, data.is_empty()) {
                        return Ok(Some(by));
                    }
                    if data.is_empty() || self.answer.len() > READ {
                        return Err(Reason::Cut);
                    }
                }
            }
        }
    }

    fn send(&mut self, world: &mut World, request: &Request) -> Result<(), Reason> {
        self.sent += 1;
        let netns = request.netns;
        let bytes = (request.protocol.request)(&request.host);
        match self.socket {
            Socket::Udp(id) | Socket::Raw(id) => world
                .udp_send(netns, id, None, &bytes)
                .map_err(|error| error.errno.map_or(Reason::TimedOut, Reason::from)),
            socket if bytes.is_empty() && !request.protocol.greets => {
                connection::shutdown(world, netns, socket).map_err(Reason::from)
            }
            _ if bytes.is_empty() => Ok(()),
            socket => connection::send(world, netns, socket, &bytes).map_err(Reason::from),
        }
    }

    /// Who gave the answer, if what was received so far is one: signed, or empty where that is the answer.
    fn whole_answer(&self, request: &Request, ended: bool) -> Option<Option<usize>> {
        let by = signature::signed_by(&self.answer);
        let silence = ended && self.answer.is_empty() && (request.protocol.answer)("", &[]).is_empty();
        (by.is_some() || silence || signature::is_outsiders(&self.answer)).then_some(by)
    }
}

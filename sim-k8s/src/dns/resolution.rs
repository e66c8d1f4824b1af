//! A lookup with the sockets it needs: names become addresses by real packets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use sim_core::engine::arena::{NetnsId, SocketId};
use sim_core::engine::errno::Errno;
use sim_core::engine::rng::Stream;
use sim_core::engine::time::Instant;
use sim_core::netns::socket::Socket;
use sim_core::netns::socket::tcp::SocketOptions;
use sim_core::world::World;

use super::message::take_framed;
use super::resolver::{Action, Failure, Lookup, Resolver, SocketFailure};

/// Bytes read at once.
const READ: usize = 64 << 10;

/// A lookup on its way. Whoever drives it hands it the wake-ups of [`Self::sockets`], and calls [`Self::timed_out`] when it is
/// time. Each of these gives the result, once it is known.
#[derive(Clone, Debug)]
pub struct Resolution {
    netns: NetnsId,
    lookup: Lookup,
    datagrams: Option<SocketId>,
    streams: Vec<Conversation>,
    /// Our end of the last socket that was opened.
    local: Option<SocketAddr>,
    until: Instant,
    draws: Stream,
}

/// A stream to a server.
#[derive(Clone, Debug)]
struct Conversation {
    socket: SocketId,
    server: SocketAddr,
    unsent: Vec<u8>,
    received: Vec<u8>,
}

/// What a lookup comes to.
pub type Resolved = Result<Vec<IpAddr>, Failure>;

impl Resolution {
    /// Begins to look for the addresses of `host` from `netns`: the result at once, or a lookup on its way.
    pub fn begin(
        world: &mut World,
        netns: NetnsId,
        resolver: &Resolver,
        host: &str,
        mut draws: Stream,
    ) -> Result<Self, Resolved> {
        let (lookup, actions) = resolver.begin(host, world.now(), &mut draws);
        let Some(lookup) = lookup else {
            let result = actions.into_iter().find_map(|action| match action {
                Action::Done(result) => Some(result),
                _ => None,
            });
            return Err(result.unwrap_or(Err(Failure::Unrecoverable)));
        };
        let (datagrams, streams, local, until) = (None, Vec::new(), None, Instant::NEVER);
        let mut this = Self { netns, lookup, datagrams, streams, local, until, draws };
        match this.perform(world, actions) {
            Some(result) => Err(result),
            None => Ok(this),
        }
    }

    /// When [`Self::timed_out`] wants to be called.
    pub fn until(&self) -> Instant {
        self.until
    }

    /// Its end of the socket that it opened last.
    pub fn local(&self) -> Option<SocketAddr> {
        self.local
    }

    /// The sockets it has at the moment.
    pub fn sockets(&self) -> impl Iterator<Item = Socket> {
        let streams = self.streams.iter().map(|stream| Socket::Tcp(stream.socket));
        self.datagrams.map(Socket::Udp).into_iter().chain(streams)
    }

    /// What it has learned, for the next lookup.
    pub fn lookup(&self) -> &Lookup {
        &self.lookup
    }

    /// Something happened to one of its sockets.
    pub fn woken(&mut self, world: &mut World, socket: Socket) -> Option<Resolved> {
        match socket {
            Socket::Udp(socket) if Some(socket) == self.datagrams => self.read_datagrams(world, socket),
            Socket::Tcp(socket) => self.read_stream(world, socket),
            _ => None,
        }
    }

    /// The time has come; to be called at [`Self::until`].
    pub fn timed_out(&mut self, world: &mut World) -> Option<Resolved> {
        self.until = Instant::NEVER;
        let actions = self.lookup.timed_out(world.now(), &mut self.draws);
        self.perform(world, actions)
    }

    fn read_datagrams(&mut self, world: &mut World, socket: SocketId) -> Option<Resolved> {
        while self.datagrams == Some(socket) {
            let now = world.now();
            let actions = match world.udp_recv(self.netns, socket) {
                Ok(datagram) => self.lookup.received(datagram.from, &datagram.data, now, &mut self.draws),
                Err(Errno::EAGAIN) => return None,
                Err(errno) => self.lookup.failed(failure(errno), now, &mut self.draws),
            };
            if let Some(result) = self.perform(world, actions) {
                return Some(result);
            }
        }
        None
    }

    fn read_stream(&mut self, world: &mut World, socket: SocketId) -> Option<Resolved> {
        let at = self.streams.iter().position(|stream| stream.socket == socket)?;
        let mut failed = world.tcp_take_error(self.netns, socket);
        let stream = &mut self.streams[at];
        if failed.is_none() && world.tcp_readiness(self.netns, socket).writable && !stream.unsent.is_empty() {
            failed = match world.tcp_send(self.netns, socket, &stream.unsent) {
                Ok(sent) => stream.unsent.drain(..sent).next().and(None),
                Err(Errno::EAGAIN) => None,
                Err(errno) => Some(errno),
            };
        }
        while failed.is_none() {
            match world.tcp_recv(self.netns, socket, READ) {
                Ok(bytes) if bytes.is_empty() => failed = Some(Errno::ECONNRESET),
                Ok(bytes) => stream.received.extend(&bytes),
                Err(Errno::EAGAIN | Errno::ENOTCONN) => break,
                Err(errno) => failed = Some(errno),
            }
        }
        let (server, messages): (_, Vec<_>) =
            (stream.server, std::iter::from_fn(|| take_framed(&mut stream.received)).collect());
        for message in messages {
            let actions = self.lookup.received(server, &message, world.now(), &mut self.draws);
            if let Some(result) = self.perform(world, actions) {
                return Some(result);
            }
        }
        let errno = failed?;
        self.streams.retain(|stream| stream.socket != socket);
        world.tcp_close(self.netns, socket);
        let actions = self.lookup.stream_failed(failure(errno), world.now(), &mut self.draws);
        self.perform(world, actions)
    }

    fn perform(&mut self, world: &mut World, actions: Vec<Action>) -> Option<Resolved> {
        for action in actions {
            match action {
                Action::Wait(until) => self.until = until,
                Action::Close => self.close_datagrams(world),
                Action::Open(server) => {
                    if let Err(errno) = self.open(world, server) {
                        return self.failed(world, errno);
                    }
                }
                Action::Send(server, message) => {
                    let Some(socket) = self.datagrams else { continue };
                    let sent = world.udp_send(self.netns, socket, Some(server), &message);
                    if let Err(errno) = sent.map_err(|error| error.errno.unwrap_or(Errno::EPERM)) {
                        return self.failed(world, errno);
                    }
                }
                Action::Stream(server, message) => {
                    let local = SocketAddr::new(any(server), 0);
                    match world.tcp_connect(self.netns, local, server, SocketOptions::default()) {
                        Ok(socket) => {
                            self.local = world.tcp_endpoints(self.netns, socket).map(|(local, _)| local);
                            self.streams.push(Conversation { socket, server, unsent: message, received: Vec::new() });
                        }
                        Err(errno) => {
                            let actions = self.lookup.stream_failed(failure(errno), world.now(), &mut self.draws);
                            return self.perform(world, actions);
                        }
                    }
                }
                Action::Done(result) => {
                    self.close(world);
                    return Some(result);
                }
            }
        }
        None
    }

    fn open(&mut self, world: &mut World, server: Option<SocketAddr>) -> Result<(), Errno> {
        self.close_datagrams(world);
        let local = server.map_or(Ipv4Addr::UNSPECIFIED.into(), any);
        let socket = world.udp_bind(self.netns, SocketAddr::new(local, 0), false)?;
        self.datagrams = Some(socket);
        let connected = server.map_or(Ok(()), |server| world.udp_connect(self.netns, socket, server));
        self.local = world.udp(self.netns, socket).map(|socket| socket.local);
        connected
    }

    /// The datagram socket cannot do what was wanted of it: what else was to be done is in vain.
    fn failed(&mut self, world: &mut World, errno: Errno) -> Option<Resolved> {
        let actions = self.lookup.failed(failure(errno), world.now(), &mut self.draws);
        self.perform(world, actions)
    }

    fn close_datagrams(&mut self, world: &mut World) {
        if let Some(socket) = self.datagrams.take() {
            world.close(self.netns, socket);
        }
    }

    /// Closes its sockets: the lookup is over, or nobody wants to know any more.
    pub fn close(&mut self, world: &mut World) {
        self.close_datagrams(world);
        std::mem::take(&mut self.streams).iter().for_each(|stream| world.tcp_close(self.netns, stream.socket));
    }
}

fn failure(errno: Errno) -> SocketFailure {
    if errno == Errno::ECONNREFUSED { SocketFailure::Refused } else { SocketFailure::Other }
}

/// Every address of the family of `server`.
fn any(server: SocketAddr) -> IpAddr {
    if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
}

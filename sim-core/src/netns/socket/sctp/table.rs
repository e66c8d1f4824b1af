//! The SCTP of one netns: every association and listener, found by addresses and ports.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};

use super::association::{Association, IcmpError, Message, State};
use super::config::SOMAXCONN;
use super::context::{Context, OutPacket};
use super::init::Beginning;
use crate::engine::arena::{Map, SocketId};
use crate::engine::errno::Errno;
use crate::engine::rng::Stream;
use crate::engine::time::Instant;
use crate::netns::socket::bound::{overlap, seen_from};
use crate::wire::ip::Family;
use crate::wire::sctp::{HEADER, SctpHeader};

mod blue;

/// A listening socket.
#[derive(Clone, Debug)]
struct Listener {
    local: SocketAddr,
    v6only: bool,
    backlog: u32,
    /// Associations to accept, in the order of their cookies.
    ready: VecDeque<SocketId>,
}

impl Listener {
    /// One more than the backlog may wait (`sk_acceptq_is_full`).
    fn is_full(&self) -> bool {
        self.ready.len() as u32 > self.backlog
    }
}

/// What poll() says of a socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Readiness {
    /// POLLIN: there is a message, an association to accept, an error, or the end.
    pub readable: bool,
    /// POLLOUT: the association is there and takes a message.
    pub writable: bool,
}

/// One line of `ss -San`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Row {
    /// Our end.
    pub local: SocketAddr,
    /// The peer; `None` for a listener.
    pub remote: Option<SocketAddr>,
    /// The state.
    pub state: State,
    /// Bytes not read; for a listener: associations not accepted.
    pub receive_queue: u32,
    /// Bytes not acknowledged.
    pub send_queue: u32,
}

/// The SCTP of one netns.
///
/// A call that takes `now` may leave packets ([`Self::poll_output`]) and wakes ([`Self::poll_wake`]) to be fetched, and may
/// change [`Self::next_timer`]. `now` never goes back.
#[derive(Clone, Debug)]
pub struct SctpTable {
    cx: Context,
    /// Whether the protocol is spoken: on Linux the first socket of a machine loads its module.
    loaded: bool,
    next_id: SocketId,
    associations: BTreeMap<SocketId, Association>,
    listeners: BTreeMap<SocketId, Listener>,
    flows: Map<(SocketAddr, SocketAddr), SocketId>,
    timers: BTreeSet<(Instant, SocketId)>,
    deadlines: Map<SocketId, Instant>,
}

impl SctpTable {
    /// A table without sockets, of a machine that does not speak SCTP yet. Sockets are numbered from `first`; tags, TSNs
    /// and ports are drawn from `rng`.
    pub fn new(first: SocketId, rng: Stream) -> Self {
        Self {
            cx: Context::new(rng),
            loaded: false,
            next_id: first,
            associations: BTreeMap::new(),
            listeners: BTreeMap::new(),
            flows: Map::default(),
            timers: BTreeSet::new(),
            deadlines: Map::default(),
        }
    }

    /// The machine speaks SCTP from now on.
    pub fn load(&mut self) {
        self.loaded = true;
    }

    /// Whether the machine speaks SCTP.
    pub const fn is_loaded(&self) -> bool {
        self.loaded
    }

    fn new_id(&mut self) -> SocketId {
        let id = self.next_id;
        self.next_id = SocketId(id.0 + 1);
        id
    }

    /// Whether a port is some socket's: there are no two of one port, but for a listener and what it has accepted
    /// (`sctp_get_port_local`).
    fn port_in_use(&self, port: u16) -> bool {
        self.listeners.values().any(|l| l.local.port() == port) || self.flows.keys().any(|(own, _)| own.port() == port)
    }

    /// A random free port of `range`, or the first after it.
    fn free_port(&mut self, range: (u16, u16)) -> Option<u16> {
        let count = u32::from(range.1.checked_sub(range.0)?) + 1;
        let start = self.cx.rng.below(count);
        let ports = (0..count).map(|n| range.0 + ((start + n) % count) as u16);
        ports.into_iter().find(|port| !self.port_in_use(*port))
    }

    /// Opens an association: the INIT leaves. Port 0 in `local` lets the table choose one of `ports`, first and last.
    ///
    /// # Errors
    /// `EADDRINUSE`: the port is another socket's; `EADDRNOTAVAIL`: none is free.
    pub fn connect(
        &mut self,
        now: Instant,
        mut local: SocketAddr,
        remote: SocketAddr,
        path_mtu: u32,
        ports: (u16, u16),
    ) -> Result<SocketId, Errno> {
        self.cx.now = now;
        if local.port() == 0 {
            local.set_port(self.free_port(ports).ok_or(Errno::EADDRNOTAVAIL)?);
        } else if self.port_in_use(local.port()) {
            return Err(Errno::EADDRINUSE);
        }
        let id = self.new_id();
        let own = Beginning::own(self.cx.draw_tag(), self.cx.rng.next_u32());
        let mut association = Association::new(&self.cx, (id, local, remote), own, path_mtu);
        association.connect(&mut self.cx);
        self.associations.insert(id, association);
        self.flows.insert((local, remote), id);
        self.settle(id);
        Ok(id)
    }

    /// Listens at `local`, whose address may be the unspecified one; `backlog` associations wait to be accepted. Port 0
    /// lets the table choose one of `ports`.
    ///
    /// # Errors
    /// `EADDRINUSE`: another socket has the port.
    pub fn listen(
        &mut self,
        mut local: SocketAddr,
        backlog: u32,
        v6only: bool,
        ports: (u16, u16),
    ) -> Result<SocketId, Errno> {
        if local.port() == 0 {
            local.set_port(self.free_port(ports).ok_or(Errno::EADDRINUSE)?);
        }
        let same_port = self.listeners.values().filter(|l| l.local.port() == local.port());
        if same_port.map(|l| (l.local.ip(), l.v6only)).any(|other| overlap(other, (local.ip(), v6only))) {
            return Err(Errno::EADDRINUSE);
        }
        let id = self.new_id();
        let listener = Listener { local, v6only, backlog: backlog.min(SOMAXCONN), ready: VecDeque::new() };
        self.listeners.insert(id, listener);
        Ok(id)
    }

    /// Takes the oldest association of a listener; its id and its peer.
    pub fn accept(&mut self, listener: SocketId) -> Option<(SocketId, SocketAddr)> {
        let listener = self.listeners.get_mut(&listener)?;
        let id = listener.ready.pop_front()?;
        let association = self.associations.get_mut(&id)?;
        association.listener = None;
        Some((id, seen_from(Family::of(listener.local.ip()), association.remote)))
    }

    fn with<T>(
        &mut self,
        now: Instant,
        id: SocketId,
        f: impl FnOnce(&mut Association, &mut Context) -> T,
    ) -> Option<T> {
        self.cx.now = now;
        let result = f(self.associations.get_mut(&id)?, &mut self.cx);
        self.settle(id);
        Some(result)
    }

    /// Sends a message on a stream, whole or not at all.
    ///
    /// # Errors
    /// `EAGAIN`: no room; `EMSGSIZE`: more than the send buffer; `EINVAL`: empty, or no such stream; `EPIPE`: our side is
    /// closed, `ESHUTDOWN`: the peer's; else why the association failed, once.
    pub fn send(&mut self, now: Instant, id: SocketId, stream: u16, data: &[u8]) -> Result<(), Errno> {
        self.with(now, id, |a, cx| a.send(cx, stream, data)).unwrap_or(Err(Errno::EPIPE))
    }

    /// Takes the oldest message; `None` is the end.
    ///
    /// # Errors
    /// `EAGAIN`: nothing yet; `ENOTCONN`: no association; else why it failed, once, after what had come before.
    pub fn recv(&mut self, now: Instant, id: SocketId) -> Result<Option<Message>, Errno> {
        self.with(now, id, Association::recv).unwrap_or(Err(Errno::ENOTCONN))
    }

    /// shutdown(SHUT_WR): the association ends once both sides have what was sent.
    ///
    /// # Errors
    /// `ENOTCONN`: it has not begun, or is over.
    pub fn shutdown(&mut self, now: Instant, id: SocketId) -> Result<(), Errno> {
        self.with(now, id, Association::shutdown).unwrap_or(Err(Errno::ENOTCONN))
    }

    /// close(): the id is no longer the caller's, the association ends in good order. Closing a listener aborts what nobody
    /// has accepted.
    pub fn close(&mut self, now: Instant, id: SocketId) {
        match self.listeners.remove(&id) {
            Some(listener) => listener.ready.into_iter().for_each(|child| self.abort(now, child)),
            None => {
                self.with(now, id, Association::close);
            }
        }
    }

    /// close() with SO_LINGER 0: the peer gets ABORT.
    pub fn abort(&mut self, now: Instant, id: SocketId) {
        self.with(now, id, Association::abort);
    }

    /// SO_ERROR: why the association failed; reading clears it.
    pub fn take_error(&mut self, id: SocketId) -> Option<Errno> {
        self.associations.get_mut(&id)?.take_error()
    }

    /// poll() of a socket (`sctp_poll`); nothing for an unknown one.
    pub fn readiness(&self, id: SocketId) -> Readiness {
        if let Some(listener) = self.listeners.get(&id) {
            return Readiness { readable: !listener.ready.is_empty(), writable: false };
        }
        let found = self.associations.get(&id);
        found.map_or(Readiness::default(), |a| Readiness { readable: a.is_readable(), writable: a.is_writable() })
    }

    /// Both ends of an association: ours, the peer's.
    pub fn endpoints(&self, id: SocketId) -> Option<(SocketAddr, SocketAddr)> {
        self.associations.get(&id).map(|a| (a.local, a.remote))
    }

    /// The state of a socket.
    pub fn state(&self, id: SocketId) -> Option<State> {
        let listens = self.listeners.contains_key(&id).then_some(State::Listen);
        listens.or_else(|| self.associations.get(&id).map(|a| a.state))
    }

    /// All sockets in order of their addresses.
    pub fn rows(&self) -> Vec<Row> {
        let listening = self.listeners.values().map(|l| Row {
            local: l.local,
            remote: None,
            state: State::Listen,
            receive_queue: l.ready.len() as u32,
            send_queue: 0,
        });
        let open = self.associations.values().filter(|a| a.state != State::Closed).map(|a| {
            let (receive_queue, send_queue) = a.queues();
            Row { local: a.local, remote: Some(a.remote), state: a.state, receive_queue, send_queue }
        });
        let mut rows: Vec<_> = listening.chain(open).collect();
        rows.sort();
        rows
    }

    /// A counter of /proc/net/sctp/snmp without its `Sctp`, for example `OutOfBlues`; 0 if it never counted.
    pub fn counter(&self, name: &str) -> u64 {
        self.cx.counter(name)
    }

    /// All counters that have counted, by name.
    pub fn counters(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.cx.counters()
    }

    /// A packet arrives whose checksum is right; `path_mtu` is that of the way back to its sender (`sctp_rcv`).
    pub fn on_packet(&mut self, now: Instant, src: IpAddr, dst: IpAddr, l4: &[u8], path_mtu: u32) {
        self.cx.now = now;
        self.cx.count("InSCTPPacks");
        let Some(header) = SctpHeader::read(l4) else { return };
        let ends = (SocketAddr::new(dst, header.dst), SocketAddr::new(src, header.src));
        let body = &l4[HEADER..];
        match self.flows.get(&ends).copied() {
            Some(id) => {
                self.with(now, id, |a, cx| a.input(cx, header.tag, body));
            }
            None => self.out_of_the_blue(ends, header.tag, body, path_mtu),
        }
    }

    /// A packet arrives whose checksum is wrong.
    pub fn on_broken_packet(&mut self) {
        self.cx.count("InSCTPPacks");
        self.cx.count("ChecksumErrors");
    }

    /// An ICMP error arrives that quotes a packet from `local` to `remote`, beginning with `quoted`. Whether the quote is
    /// one of ours.
    pub fn on_icmp_error(
        &mut self,
        now: Instant,
        (local, remote): (SocketAddr, SocketAddr),
        quoted: &[u8],
        error: Option<IcmpError>,
    ) -> bool {
        let Some(id) = self.flows.get(&(local, remote)).copied() else { return false };
        let ours = self.associations.get(&id).is_some_and(|a| a.has_sent(quoted));
        if let Some(error) = error.filter(|_| ours) {
            self.with(now, id, |a, cx| a.on_icmp_error(cx, error));
        }
        ours
    }

    /// When [`Self::on_timer`] has something to do; [`Instant::NEVER`] if nothing.
    pub fn next_timer(&self) -> Instant {
        self.timers.first().map_or(Instant::NEVER, |(at, _)| *at)
    }

    /// Does everything that is due.
    pub fn on_timer(&mut self, now: Instant) {
        while let Some((_, id)) = self.timers.first().copied().filter(|(at, _)| *at <= now) {
            self.with(now, id, Association::on_timer);
        }
    }

    /// The next packet to be sent.
    pub fn poll_output(&mut self) -> Option<OutPacket> {
        self.cx.out.pop_front()
    }

    /// The next socket whose application may have waited for something.
    pub fn poll_wake(&mut self) -> Option<SocketId> {
        self.cx.woken.pop_front()
    }

    /// The socket that listens for a destination: the one with its exact address before the one for all.
    fn listener_of(&self, to: SocketAddr) -> Option<SocketId> {
        let at = |wanted: SocketAddr| self.listeners.iter().find(|(_, l)| l.local == wanted);
        let any = |family: Family| SocketAddr::new(family.unspecified(), to.port());
        // A socket for every address of IPv6 serves IPv4, too, unless it was told not to.
        let dual = || at(any(Family::V6)).filter(|(_, l)| to.is_ipv4() && !l.v6only);
        at(to).or_else(|| at(any(Family::of(to.ip())))).or_else(dual).map(|(id, _)| *id)
    }

    /// After anything happened to an association: when its timer is due, whether it can be forgotten.
    fn settle(&mut self, id: SocketId) {
        let Some(association) = self.associations.get(&id) else { return };
        if let Some(old) = self.deadlines.remove(&id) {
            self.timers.remove(&(old, id));
        }
        let due = association.next_timer();
        if due != Instant::NEVER {
            self.deadlines.insert(id, due);
            self.timers.insert((due, id));
        }
        if association.state != State::Closed {
            return;
        }
        let ends = (association.local, association.remote);
        if self.flows.get(&ends) == Some(&id) {
            self.flows.remove(&ends);
        }
        // What ended before somebody accepted it was never there (`sctp_association_free`).
        let unaccepted = association.listener.and_then(|listener| self.listeners.get_mut(&listener));
        if let Some(listener) = unaccepted {
            listener.ready.retain(|child| *child != id);
        }
        if association.orphan || association.listener.is_some() {
            self.associations.remove(&id);
        }
    }
}

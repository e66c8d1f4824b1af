//! The TCP of one netns: every connection, listener, half-open and closed connection, found by addresses and ports.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Shutdown, SocketAddr};

use bytes::Bytes;

use super::config::TcpConfig;
use super::connection::{Connection, IcmpError, PeerClock, State};
use super::context::{Context, Wake};
use super::cookie::Secret;
use super::listener::Listener;
use super::path::Path;
use super::ports::Ephemeral;
use super::request::Request;
use super::segment::{OutSegment, Segment};
use super::sockopt::SocketOptions;
use super::time_wait::TimeWait;
use crate::engine::arena::{Map, SocketId};
use crate::engine::errno::Errno;
use crate::engine::mutant::Planted;
use crate::engine::rng::Stream;
use crate::engine::time::{Duration, Instant};

/// Who answers latecomers for no longer than this counts as killed (`inet_twsk_schedule`).
const SHORT: Duration = Duration::from_secs(4);

mod accept;
mod show;

pub use show::{Readiness, Row};

/// Both ends of a connection as seen from here.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
struct FlowKey {
    local: SocketAddr,
    remote: SocketAddr,
}

impl FlowKey {
    /// The flow that a received segment belongs to.
    fn of(segment: &Segment) -> Self {
        Self { local: segment.dst, remote: segment.src }
    }
}

/// What owns a pair of addresses and ports.
#[derive(Clone, Debug)]
enum Flow {
    Request(Box<Request>),
    Connection(SocketId),
    TimeWait(Box<TimeWait>),
}

/// The TCP of one netns.
///
/// A call that takes `now` may leave segments ([`Self::poll_output`]) and wakes ([`Self::poll_wake`]) to be fetched, and
/// may change [`Self::next_timer`]. `now` never goes back.
#[derive(Clone, Debug)]
pub struct TcpTable {
    cx: Context,
    next_id: SocketId,
    connections: BTreeMap<SocketId, Connection>,
    listeners: BTreeMap<SocketId, Listener>,
    flows: Map<FlowKey, Flow>,
    timers: BTreeSet<(Instant, FlowKey)>,
    deadlines: Map<FlowKey, Instant>,
    ephemeral: Ephemeral,
    secret: Secret,
}

impl TcpTable {
    /// A table without sockets. Its sockets are numbered from `first`; sequence numbers and ports are drawn from `rng`.
    pub fn new(config: TcpConfig, first: SocketId, mut rng: Stream) -> Self {
        let secret = Secret(rng.next_u64());
        Self {
            cx: Context::new(config, rng),
            next_id: first,
            connections: BTreeMap::new(),
            listeners: BTreeMap::new(),
            flows: Map::default(),
            timers: BTreeSet::new(),
            deadlines: Map::default(),
            ephemeral: Ephemeral::default(),
            secret,
        }
    }

    /// The sysctls.
    pub fn config(&self) -> &TcpConfig {
        &self.cx.config
    }

    /// The sysctls, to be changed.
    pub fn config_mut(&mut self) -> &mut TcpConfig {
        &mut self.cx.config
    }

    fn new_id(&mut self) -> SocketId {
        let id = self.next_id;
        self.next_id = SocketId(id.0 + 1);
        id
    }

    /// Opens a connection: the SYN leaves. Port 0 in `local` lets the table choose one.
    ///
    /// # Errors
    /// `EADDRNOTAVAIL`: both ends are in use by another connection, or no port is free.
    pub fn connect(
        &mut self,
        now: Instant,
        mut local: SocketAddr,
        remote: SocketAddr,
        path: Path,
        options: SocketOptions,
    ) -> Result<SocketId, Errno> {
        options.check()?;
        self.cx.now = now;
        if local.port() == 0 {
            let port = self.free_port(local.ip(), remote).ok_or(Errno::EADDRNOTAVAIL)?;
            local.set_port(port);
        }
        let key = FlowKey { local, remote };
        let (isn, clocks) = match self.flows.get(&key) {
            None => (self.cx.rng.next_u32(), None),
            Some(Flow::TimeWait(old)) if old.reusable() => {
                let old = (old.next_isn(), old.clocks());
                self.cx.count("TWRecycled");
                old
            }
            Some(_) => return Err(Errno::EADDRNOTAVAIL),
        };
        let id = self.new_id();
        let mut connection = Connection::new(&self.cx, (id, local, remote), isn, path, options);
        connection.negotiated.ts_offset = clocks.map_or_else(|| self.cx.rng.next_u32(), |(_, offset)| offset);
        connection.negotiated.timestamps = clocks.map(|(recent, _)| PeerClock { recent, stored: now });
        connection.connect(&mut self.cx);
        self.connections.insert(id, connection);
        self.flows.insert(key, Flow::Connection(id));
        self.settle(id);
        Ok(id)
    }

    fn free_port(&mut self, local: IpAddr, remote: SocketAddr) -> Option<u16> {
        let range = self.cx.config.local_port_range;
        let (flows, listeners) = (&self.flows, &self.listeners);
        self.ephemeral.choose(&mut self.cx.rng, range, (local, remote), |port| {
            let key = FlowKey { local: SocketAddr::new(local, port), remote };
            !flows.contains_key(&key) && listeners.values().all(|l| l.local.port() != port)
        })
    }

    fn with<T>(&mut self, now: Instant, id: SocketId, f: impl FnOnce(&mut Connection, &mut Context) -> T) -> Option<T> {
        self.cx.now = now;
        let result = f(self.connections.get_mut(&id)?, &mut self.cx);
        self.settle(id);
        Some(result)
    }

    /// Writes `data`; how many bytes were taken.
    ///
    /// # Errors
    /// `EAGAIN`: no room, or not yet connected; `EPIPE`: the sending side is closed, or it is no connection; else the
    /// connection's own error, once.
    pub fn send(&mut self, now: Instant, id: SocketId, data: &[u8]) -> Result<usize, Errno> {
        self.with(now, id, |c, cx| c.send(cx, data)).unwrap_or(Err(Errno::EPIPE))
    }

    /// Reads up to `max` bytes; none means that the peer has closed its side.
    ///
    /// # Errors
    /// `EAGAIN`: nothing yet; `ENOTCONN`: no connection; else the connection's own error, once, after the data that
    /// came before it.
    pub fn recv(&mut self, now: Instant, id: SocketId, max: usize) -> Result<Bytes, Errno> {
        self.with(now, id, |c, cx| c.recv(cx, max)).unwrap_or(Err(Errno::ENOTCONN))
    }

    /// shutdown(): writing ends with a FIN after what was written; who reads finds the end, once what has come is read,
    /// though what still comes is taken as before.
    ///
    /// # Errors
    /// `ENOTCONN`: not connected.
    pub fn shutdown(&mut self, now: Instant, id: SocketId, how: Shutdown) -> Result<(), Errno> {
        self.with(now, id, |c, cx| c.shutdown(cx, how)).unwrap_or(Err(Errno::ENOTCONN))
    }

    /// close(): the id is no longer the caller's, the connection ends in good order. Closing a listener resets what
    /// nobody has accepted.
    pub fn close(&mut self, now: Instant, id: SocketId) {
        self.cx.now = now;
        if self.close_listener(id) {
            return;
        }
        self.with(now, id, Connection::close);
    }

    /// close() with SO_LINGER 0: the peer gets RST.
    pub fn abort(&mut self, now: Instant, id: SocketId) {
        self.with(now, id, Connection::abort);
    }

    /// SO_ERROR: why the connection failed; reading clears it.
    pub fn take_error(&mut self, id: SocketId) -> Option<Errno> {
        self.connections.get_mut(&id)?.take_error()
    }

    /// The options of a socket.
    pub fn options(&self, id: SocketId) -> Option<&SocketOptions> {
        let listener = self.listeners.get(&id).map(|l| &l.options);
        listener.or_else(|| self.connections.get(&id).map(|c| &c.options))
    }

    /// Makes a mistake from now on.
    pub(crate) fn plant(&mut self, planted: Planted) {
        self.cx.planted = planted;
    }

    /// Changes the options of a socket; what they held back or start acts at once.
    ///
    /// # Errors
    /// As [`SocketOptions::check`].
    pub fn set_options(&mut self, now: Instant, id: SocketId, options: SocketOptions) -> Result<(), Errno> {
        options.check()?;
        if let Some(listener) = self.listeners.get_mut(&id) {
            listener.options = options;
            return Ok(());
        }
        self.with(now, id, |c, cx| {
            let old = std::mem::replace(&mut c.options, options);
            if (old.keepalive, old.keepidle) != (c.options.keepalive, c.options.keepidle) {
                c.keepalive_changed(cx);
            }
            if c.options.rcvbuf != old.rcvbuf {
                c.receive_buffer_changed(cx);
            }
            if (c.options.nodelay && !old.nodelay) || (old.cork && !c.options.cork) {
                c.uncork(cx);
            }
        });
        Ok(())
    }

    /// TCP_QUICKACK: whether the next ACK is sent at once; it lasts until the connection thinks otherwise.
    pub fn set_quickack(&mut self, now: Instant, id: SocketId, on: bool) {
        self.with(now, id, |c, cx| c.set_quickack(cx, on));
    }

    /// A segment arrives whose checksum is right; `path` is the route back to its sender.
    pub fn on_segment(&mut self, now: Instant, segment: &Segment, path: Path) {
        self.cx.now = now;
        self.cx.count("InSegs");
        let key = FlowKey::of(segment);
        match self.flows.get(&key) {
            Some(Flow::Connection(id)) => {
                let id = *id;
                self.feed(id, segment);
            }
            Some(Flow::Request(_)) => self.on_segment_to_request(key, segment, path),
            Some(Flow::TimeWait(_)) => self.on_segment_to_time_wait(key, segment, path),
            None => self.on_segment_to_listener(segment, path, None),
        }
    }

    /// Source validation dropped a packet: `IPReversePathFilter` stands among TCP's counters.
    pub(crate) fn count_rp_filter(&mut self) {
        self.cx.count("IPReversePathFilter");
    }

    /// A segment arrives that is no use, because of its checksum or else its header (`tcp_v4_rcv`).
    pub fn on_broken_segment(&mut self, checksum: bool) {
        self.cx.count("InSegs");
        self.cx.count("InErrs");
        if checksum {
            self.cx.count("InCsumErrors");
        }
    }

    /// Whether there is, or lately was, a connection between these ends.
    pub fn knows(&self, local: SocketAddr, remote: SocketAddr) -> bool {
        self.flows.contains_key(&FlowKey { local, remote })
    }

    /// An ICMP error arrives that quotes a segment from `local` to `remote` with sequence number `seq`.
    ///
    /// Returns what the route to `remote` must remember, if its MTU has shrunk: the caller hands it over with later
    /// connections, and to those of now with [`Self::set_path`].
    pub fn on_icmp_error(
        &mut self,
        now: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        seq: u32,
        error: IcmpError,
    ) -> Option<Path> {
        self.cx.now = now;
        let key = FlowKey { local, remote };
        match self.flows.get(&key)? {
            Flow::Connection(id) => {
                let id = *id;
                self.with(now, id, |c, cx| c.on_icmp_error(cx, seq, error))?
            }
            Flow::Request(request) => {
                // The host that sent the SYN cannot be reached (`tcp_req_err`).
                if request.isn == seq && matches!(error, IcmpError::Unreachable { fatal: true, .. }) {
                    self.cx.count("ListenDrops");
                    self.drop_request(key);
                }
                None
            }
            Flow::TimeWait(_) => None,
        }
    }

    /// Whether an ICMP message that quotes a segment between `ends` (ours first) is about what a connection has sent and
    /// nobody has acknowledged; what is outside is counted (`tcp_v4_err`).
    pub fn has_sent(&mut self, now: Instant, (local, remote): (SocketAddr, SocketAddr), seq: u32) -> bool {
        let Some(Flow::Connection(id)) = self.flows.get(&FlowKey { local, remote }) else { return false };
        self.with(now, *id, |c, cx| c.has_sent(cx, seq)).unwrap_or(false)
    }

    /// Whether these are the ends of a connection in its handshake.
    pub fn is_opening(&self, local: SocketAddr, remote: SocketAddr) -> bool {
        let Some(Flow::Connection(id)) = self.flows.get(&FlowKey { local, remote }) else { return false };
        self.connections.get(id).is_some_and(|c| matches!(c.state, State::SynSent | State::SynReceived))
    }

    /// The route to `remote` has changed for all connections.
    pub fn set_path(&mut self, now: Instant, remote: IpAddr, path: Path) {
        let ids: Vec<_> = self.connections.values().filter(|c| c.remote.ip() == remote).map(|c| c.id).collect();
        for id in ids {
            self.with(now, id, |c, cx| c.set_path(cx, path));
        }
    }

    /// When [`Self::on_timer`] has something to do; [`Instant::NEVER`] if nothing.
    pub fn next_timer(&self) -> Instant {
        self.timers.first().map_or(Instant::NEVER, |(at, _)| *at)
    }

    /// Does everything that is due.
    pub fn on_timer(&mut self, now: Instant) {
        self.cx.now = now;
        while let Some((_, key)) = self.timers.first().copied().filter(|(at, _)| *at <= now) {
            match self.flows.get_mut(&key) {
                Some(Flow::Connection(id)) => {
                    let id = *id;
                    self.with(now, id, |c, cx| c.on_timer(cx));
                }
                Some(Flow::Request(_)) => self.request_timer(key),
                Some(Flow::TimeWait(_)) => {
                    self.flows.remove(&key);
                    self.set_deadline(key, Instant::NEVER);
                }
                None => self.set_deadline(key, Instant::NEVER),
            }
        }
    }

    /// The next segment to be sent.
    pub fn poll_output(&mut self) -> Option<OutSegment> {
        self.cx.out.pop_front()
    }

    /// The next thing an application may have waited for.
    pub fn poll_wake(&mut self) -> Option<(SocketId, Wake)> {
        self.cx.wakes.pop_front()
    }

    fn feed(&mut self, id: SocketId, segment: &Segment) {
        let now = self.cx.now;
        let verdict = self.with(now, id, |c, cx| c.input(cx, segment));
        if verdict == Some(super::connection::Verdict::Reset) {
            let tx_hash = self.connections.get(&id).map_or(0, |c| c.tx_hash);
            self.reset(segment, tx_hash);
        }
    }

    /// Answers a segment with a RST in nobody's name, perhaps with a socket's flow hash.
    fn reset(&mut self, segment: &Segment, tx_hash: u32) {
        if let Some(reset) = segment.reset() {
            self.cx.count("OutRsts");
            self.cx.count("OutSegs");
            self.cx.out.push_back(OutSegment { tx_hash, ..OutSegment::socketless(reset) });
        }
    }

    /// After anything happened to a connection: what the flow is now, when its timer is due, whether it can be forgotten.
    fn settle(&mut self, id: SocketId) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let key = FlowKey { local: connection.local, remote: connection.remote };
        let owns = matches!(self.flows.get(&key), Some(Flow::Connection(owner)) if *owner == id);
        let limit = self.cx.config.max_tw_buckets as usize;
        let time_waits = || self.flows.values().filter(|f| matches!(f, Flow::TimeWait(_))).count();
        let room = self.flows.len() < limit || time_waits() < limit;
        let successor = connection.successor.take();
        if successor.is_some() && !room {
            self.cx.count("TCPTimeWaitOverflow");
        }
        if let Some(successor) = successor.filter(|_| room) {
            let expires = successor.expires;
            self.cx.count(if expires <= self.cx.now + SHORT { "TWKilled" } else { "TW" });
            self.flows.insert(key, Flow::TimeWait(Box::new(successor)));
            self.set_deadline(key, expires);
        } else if owns && connection.state == State::Closed {
            self.flows.remove(&key);
            self.set_deadline(key, Instant::NEVER);
        } else if owns {
            let deadline = connection.next_timer();
            self.set_deadline(key, deadline);
        }
        if self.connections.get(&id).is_some_and(|c| c.orphan && c.state == State::Closed) {
            self.connections.remove(&id);
        }
    }

    fn set_deadline(&mut self, key: FlowKey, at: Instant) {
        if let Some(old) = self.deadlines.remove(&key) {
            self.timers.remove(&(old, key));
        }
        if at != Instant::NEVER {
            self.deadlines.insert(key, at);
            self.timers.insert((at, key));
        }
    }
}

//! Listening: from the SYN to accept().

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::super::connection::{Connection, Receiver, initial_window};
use super::super::listener::Listener;
use super::super::ports::to_bind;
use super::super::request::{Opening, Outcome, Request};
use super::super::time_wait::Fate;
use super::{Flow, FlowKey, TcpTable};
use crate::engine::arena::SocketId;
use crate::engine::errno::Errno;
use crate::engine::time::{Duration, Instant};
use crate::netns::socket::bound::{overlap, seen_from};
use crate::netns::socket::tcp::context::Wake;
use crate::netns::socket::tcp::options::Options;
use crate::netns::socket::tcp::path::Path;
use crate::netns::socket::tcp::segment::Segment;
use crate::netns::socket::tcp::sockopt::SocketOptions;
use crate::wire::ip::Family;
use crate::wire::l4::{ACK, FIN, RST, SYN};

/// How long after the last cookie ACKs are looked at for one (`TCP_SYNCOOKIE_VALID`).
const COOKIES_LAST: Duration = Duration::from_secs(120);

impl TcpTable {
    /// Listens at `local`, whose address may be the unspecified one.
    ///
    /// # Errors
    /// `EADDRINUSE`: another socket listens there.
    pub fn listen(&mut self, mut local: SocketAddr, backlog: u32, options: SocketOptions) -> Result<SocketId, Errno> {
        if local.port() == 0 {
            let range = self.cx.config.local_port_range;
            let in_use = |port| {
                self.listeners.values().any(|l| l.local.port() == port)
                    || self.flows.keys().any(|f| f.local.port() == port)
            };
            local.set_port(to_bind(&mut self.cx.rng, range, |port| !in_use(port)).ok_or(Errno::EADDRINUSE)?);
        }
        let same_port = self.listeners.values().filter(|l| l.local.port() == local.port());
        if same_port.map(|l| (l.local.ip(), l.options.v6only)).any(|other| overlap(other, (local.ip(), options.v6only)))
        {
            return Err(Errno::EADDRINUSE);
        }
        let id = self.new_id();
        let backlog = backlog.min(self.cx.config.somaxconn);
        self.listeners
            .insert(id, Listener { local, options, backlog, requests: 0, ready: VecDeque::new(), last_cookie: None });
        Ok(id)
    }

    /// Takes the oldest connection that is complete; its id and its peer.
    pub fn accept(&mut self, listener: SocketId) -> Option<(SocketId, SocketAddr)> {
        let listener = self.listeners.get_mut(&listener)?;
        let id = listener.ready.pop_front()?;
        let connection = self.connections.get_mut(&id)?;
        connection.accepted = true;
        Some((id, seen_from(Family::of(listener.local.ip()), connection.remote)))
    }

    /// Whether `id` was a listener; it is gone now, with all that nobody accepted.
    pub(super) fn close_listener(&mut self, id: SocketId) -> bool {
        let Some(listener) = self.listeners.remove(&id) else { return false };
        let mut keys: Vec<_> = self.flows.iter().filter(|(_, f)| of_listener(f, id)).map(|(key, _)| *key).collect();
        keys.sort();
        for key in keys {
            self.drop_request(key);
        }
        let now = self.cx.now;
        for child in listener.ready {
            self.with(now, child, Connection::abort);
        }
        true
    }

    /// The socket that listens for a segment: the one with its exact address before the one for all.
    fn listener_of(&self, segment: &Segment) -> Option<SocketId> {
        let at = |wanted: SocketAddr| self.listeners.iter().find(|(_, l)| l.local == wanted);
        let any = |family: Family| SocketAddr::new(family.unspecified(), segment.dst.port());
        // A socket for every address of IPv6 serves IPv4, too, unless it was told not to.
        let dual = || at(any(Family::V6)).filter(|(_, l)| segment.dst.is_ipv4() && !l.options.v6only);
        let found = at(segment.dst).or_else(|| at(any(Family::of(segment.dst.ip())))).or_else(dual);
        found.map(|(id, _)| *id)
    }

    /// A segment that belongs to no connection (fact 88). `isn`: the first sequence number, if TIME-WAIT has chosen it.
    pub(super) fn on_segment_to_listener(&mut self, segment: &Segment, path: Path, isn: Option<u32>) {
        let Some(id) = self.listener_of(segment) else { return self.reset(segment, 0) };
        if segment.has(ACK) {
            if !segment.has(SYN) && !segment.has(RST) && self.accept_cookie(id, segment, path) {
                return;
            }
            return self.reset(segment, 0);
        }
        if segment.flags & (SYN | RST | FIN) == SYN {
            self.open_request(id, segment, path, isn);
        }
    }

    /// A segment for many hosts, or any of them: it begins no connection (`tcp_v4_conn_request`, `tcp_v6_conn_request`), and only a listener
    /// answers one that acknowledges something, from the group's address (`tcp_v6_send_reset`); IPv4 has no route from there, but counts it
    /// (`ip_send_unicast_reply`).
    pub fn on_segment_for_many(&mut self, now: Instant, segment: &Segment) {
        self.cx.now = now;
        self.cx.count("InSegs");
        if self.listener_of(segment).is_none() {
            return;
        }
        if segment.has(ACK) && segment.dst.is_ipv6() {
            self.reset(segment, 0);
        } else if segment.has(ACK) && !segment.has(RST) {
            self.cx.count("OutRsts");
            self.cx.count("OutSegs");
        } else if segment.flags & (SYN | ACK | RST | FIN) == SYN {
            self.cx.count("ListenDrops");
        }
    }

    /// Whether a segment asks a listener for a connection, which then counts it and does not answer.
    pub fn refuses(&mut self, segment: &Segment) -> bool {
        let asks = segment.flags & (SYN | ACK | RST | FIN) == SYN && !self.flows.contains_key(&FlowKey::of(segment));
        let refused = asks && self.listener_of(segment).is_some();
        if refused {
            self.cx.count("InSegs");
        }
        refused
    }

    /// Answers a SYN, if there is room (`tcp_conn_request`).
    fn open_request(&mut self, id: SocketId, segment: &Segment, path: Path, isn: Option<u32>) {
        let Some(listener) = self.listeners.get_mut(&id) else { return };
        let always = self.cx.config.syncookies == 2 && isn.is_none();
        let cookie = always || listener.has_too_many_requests();
        // Without cookies the last quarter of tcp_max_syn_backlog is kept for peers that are known, and here none is.
        let limit = self.cx.config.max_syn_backlog;
        let crowded = limit.saturating_sub(listener.requests) < limit >> 2;
        if self.cx.config.syncookies == 0 && (cookie || crowded) {
            self.cx.count("TCPReqQFullDrop");
            self.cx.count("ListenDrops");
            return;
        }
        if cookie {
            self.cx.count("TCPReqQFullDoCookies");
        }
        if listener.is_full() {
            self.cx.count("ListenOverflows");
            self.cx.count("ListenDrops");
            return;
        }
        let mut syn = segment.clone();
        syn.options.mss = syn.options.mss.map(|told| listener.options.limit_mss(told));
        if cookie {
            listener.last_cookie = Some(self.cx.now);
            return self.send_cookie(id, &syn, path);
        }
        listener.requests += 1;
        let isn = isn.unwrap_or_else(|| self.cx.rng.next_u32());
        let Some(mut request) = self.request(id, &syn, path, isn) else { return };
        let syn_ack = request.syn_ack(&self.cx);
        self.cx.count("OutSegs");
        self.cx.out.push_back(syn_ack);
        let key = FlowKey::of(segment);
        let due = request.due;
        self.flows.insert(key, Flow::Request(Box::new(request)));
        self.set_deadline(key, due);
    }

    /// The half-open connection that `syn` asks for.
    fn request(&mut self, id: SocketId, syn: &Segment, path: Path, isn: u32) -> Option<Request> {
        let options = &self.listeners.get(&id)?.options;
        let mss = path.advmss(syn.src).min(options.maxseg.map_or(u32::MAX, u32::from));
        let config = &self.cx.config;
        let timestamps = config.timestamps && syn.options.timestamps.is_some();
        let scaling = config.window_scaling && syn.options.window_scale.is_some();
        let receiver = Receiver::new(options, config);
        let initial = initial_window(&receiver, config, Request::window_mss(mss, timestamps), scaling);
        let (ttl, tos) = (options.ttl, options.tos);
        let ts_offset = self.cx.rng.next_u32();
        let opening = Opening { listener: id, segment: syn, path, isn, initial, mss, ts_offset, ttl, tos };
        Some(Request::new(&self.cx, opening))
    }

    /// Answers a SYN and forgets it; without timestamps nothing but the MSS is agreed upon.
    fn send_cookie(&mut self, id: SocketId, segment: &Segment, path: Path) {
        self.cx.count("SyncookiesSent");
        let isn = self.secret.cookie(self.cx.now, segment);
        let mut told = segment.clone();
        let clock = self.cx.config.timestamps && segment.options.timestamps.is_some();
        if !clock {
            told.options = Options { mss: segment.options.mss, ..Options::default() };
        }
        if let Some(mut request) = self.request(id, &told, path, isn) {
            request.ecn &= clock;
            let stamp = self.secret.timestamp(self.cx.now, &told, request.ecn);
            request.ts_offset = stamp.wrapping_sub((self.cx.now.as_nanos() / 1_000_000) as u32);
            let syn_ack = request.syn_ack(&self.cx);
            self.cx.count("OutSegs");
            self.cx.out.push_back(syn_ack);
        }
    }

    /// Whether an ACK acknowledges a cookie: then the connection is made after all (`cookie_v4_check`).
    fn accept_cookie(&mut self, id: SocketId, ack: &Segment, path: Path) -> bool {
        let recent = self.listeners.get(&id).and_then(|l| l.last_cookie);
        if recent.is_none_or(|at| self.cx.now.since(at) > COOKIES_LAST) {
            return false;
        }
        let Some(mss) = self.secret.check(self.cx.now, ack) else {
            self.cx.count("SyncookiesFailed");
            return false;
        };
        self.cx.count("SyncookiesRecv");
        if self.listeners.get(&id).is_some_and(Listener::is_full) {
            // Nobody accepts, and there is no state to try again from.
            self.cx.count("ListenOverflows");
            self.cx.count("ListenDrops");
            return true;
        }
        let echo = ack.options.timestamps.filter(|_| self.cx.config.timestamps).map(|ts| ts.echo);
        let (options, ecn) = echo.map(|echo| self.secret.options(ack, echo)).unwrap_or_default();
        let mut syn = ack.clone();
        syn.seq = ack.seq.wrapping_sub(1);
        syn.options = Options { mss: Some(mss), ..options };
        let Some(mut request) = self.request(id, &syn, path, ack.ack.wrapping_sub(1)) else { return false };
        (request.ecn, request.ts_offset) = (ecn, self.secret.clock_offset(ack));
        if let Some(listener) = self.listeners.get(&id) {
            // The window is chosen anew, of whole segments of the size that the cookie remembers.
            let receiver = Receiver::new(&listener.options, &self.cx.config);
            let scaling = request.offered.window_scale.is_some();
            request.initial = initial_window(&receiver, &self.cx.config, u32::from(mss), scaling);
        }
        // When the SYN-ACK was sent is not known: without timestamps it gives no RTT.
        request.retransmits = 1;
        if let Some(listener) = self.listeners.get_mut(&id) {
            listener.requests += 1;
        }
        let key = FlowKey::of(ack);
        self.flows.insert(key, Flow::Request(Box::new(request)));
        self.complete(key, ack);
        true
    }

    pub(super) fn on_segment_to_request(&mut self, key: FlowKey, segment: &Segment, path: Path) {
        let Some(Flow::Request(request)) = self.flows.get_mut(&key) else { return };
        let defer = self.listeners.get(&request.listener).map_or(0, |l| l.options.deferrals());
        let outcome = request.input(&mut self.cx, segment, defer);
        let due = request.due;
        self.set_deadline(key, due);
        match outcome {
            Outcome::Done => {}
            Outcome::ToListener => self.on_segment_to_listener(segment, path, None),
            Outcome::Complete => self.complete(key, segment),
            Outcome::Refused => {
                self.cx.count("AttemptFails");
                self.cx.count("EmbryonicRsts");
                self.reset(segment, 0);
                self.drop_request(key);
            }
        }
    }

    /// The handshake is over: a connection takes the request's place, unless nobody accepts (fact 98).
    fn complete(&mut self, key: FlowKey, segment: &Segment) {
        let Some(Flow::Request(request)) = self.flows.get_mut(&key) else { return };
        let listener_id = request.listener;
        let Some(listener) = self.listeners.get_mut(&listener_id) else { return };
        if listener.is_full() {
            self.cx.count("ListenOverflows");
            self.cx.count("ListenDrops");
            if self.cx.config.abort_on_overflow {
                self.reset(segment, 0);
                self.drop_request(key);
            } else {
                request.acked = true;
            }
            return;
        }
        self.cx.count("PassiveOpens");
        listener.requests -= 1;
        let (options, family) = (listener.options.clone(), Family::of(listener.local.ip()));
        let request = request.clone().completed_by(segment);
        let id = self.new_id();
        let identity = (id, request.local, request.remote);
        let connection = Connection::new(&self.cx, identity, request.isn, request.path, options);
        let mut connection = connection.completing(&self.cx, &request);
        connection.accepted = false;
        connection.family = family;
        self.connections.insert(id, connection);
        self.flows.insert(key, Flow::Connection(id));
        if let Some(listener) = self.listeners.get_mut(&listener_id) {
            listener.ready.push_back(id);
        }
        self.feed(id, segment);
        // Nobody holds the connection yet: only the listener has something to tell.
        self.cx.wakes.retain(|(socket, _)| *socket != id);
        self.cx.wake(listener_id, Wake::Acceptable);
    }

    pub(super) fn drop_request(&mut self, key: FlowKey) {
        if let Some(Flow::Request(request)) = self.flows.remove(&key)
            && let Some(listener) = self.listeners.get_mut(&request.listener)
        {
            listener.requests -= 1;
        }
        self.set_deadline(key, Instant::NEVER);
    }

    /// The SYN-ACK is due again.
    pub(super) fn request_timer(&mut self, key: FlowKey) {
        self.cx.count("TCPTimeouts");
        let Some(Flow::Request(request)) = self.flows.get_mut(&key) else { return };
        let options = self.listeners.get(&request.listener).map(|l| &l.options);
        let defer = options.map_or(0, |o| o.deferrals());
        let retries = options.and_then(|o| o.syncnt).unwrap_or(self.cx.config.synack_retries);
        if request.on_timer(&mut self.cx, retries, defer) {
            let due = request.due;
            self.set_deadline(key, due);
        } else {
            self.drop_request(key);
        }
    }

    pub(super) fn on_segment_to_time_wait(&mut self, key: FlowKey, segment: &Segment, path: Path) {
        let Some(Flow::TimeWait(old)) = self.flows.get_mut(&key) else { return };
        let fate = old.input(&mut self.cx, segment);
        let (expires, ack, tx_hash) = (old.expires, old.ack(&self.cx), old.tx_hash);
        self.set_deadline(key, expires);
        match fate {
            Fate::Done => {}
            Fate::Gone => self.forget(key),
            Fate::Reset => {
                self.reset(segment, tx_hash);
                self.forget(key);
            }
            Fate::NewConnection(isn) if self.listener_of(segment).is_some() => {
                self.forget(key);
                self.on_segment_to_listener(segment, path, Some(isn));
            }
            // With the listener gone the old connection still answers.
            Fate::Ack | Fate::NewConnection(_) => {
                self.cx.count("OutSegs");
                self.cx.out.push_back(ack);
            }
        }
    }

    fn forget(&mut self, key: FlowKey) {
        self.flows.remove(&key);
        self.set_deadline(key, Instant::NEVER);
    }
}

fn of_listener(flow: &Flow, id: SocketId) -> bool {
    matches!(flow, Flow::Request(request) if request.listener == id)
}

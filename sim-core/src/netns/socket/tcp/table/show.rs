//! What may be asked of the table: `ss`, poll(), TCP_INFO, the counters of /proc/net/netstat.

use std::net::SocketAddr;

use super::super::connection::{Info, State};
use super::{Flow, TcpTable};
use crate::engine::arena::SocketId;
use crate::netns::socket::bound::seen_from;
use crate::wire::ip::Family;

/// What poll() says of a socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Readiness {
    /// POLLIN: recv() or accept() gives something, if only the end.
    pub readable: bool,
    /// POLLOUT: send() takes something, or fails at once.
    pub writable: bool,
    /// POLLRDHUP: the peer has closed its side.
    pub read_closed: bool,
    /// POLLHUP: both sides are closed.
    pub hangup: bool,
    /// POLLERR: there is an error to be read.
    pub error: bool,
}

/// One line of `ss -tan`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Row {
    /// Our end.
    pub local: SocketAddr,
    /// The peer; `None` for a listener.
    pub remote: Option<SocketAddr>,
    /// The state.
    pub state: State,
    /// Bytes not read; for a listener: connections not accepted.
    pub receive_queue: u32,
    /// Bytes not acknowledged.
    pub send_queue: u32,
    /// The family of the socket: one of IPv6 may speak IPv4.
    pub family: Family,
    /// It is for IPv6 alone (`IPV6_V6ONLY`).
    pub v6only: bool,
}

impl TcpTable {
    /// All sockets in order of their addresses.
    pub fn rows(&self) -> Vec<Row> {
        let listening = self.listeners.values().map(|l| Row {
            local: l.local,
            remote: None,
            state: State::Listen,
            receive_queue: l.ready.len() as u32,
            send_queue: 0,
            family: Family::of(l.local.ip()),
            v6only: l.options.v6only,
        });
        let flows = self.flows.iter().filter_map(|(key, flow)| {
            let (state, receive_queue, send_queue, family) = match flow {
                Flow::Request(request) => (State::SynReceived, 0, 0, self.family_of_listener(request.listener)?),
                Flow::TimeWait(old) => (old.state, 0, 0, old.family),
                Flow::Connection(id) => {
                    let info = self.info(*id)?;
                    (info.state, info.receive_queue, info.send_queue, self.connections.get(id)?.family)
                }
            };
            let remote = Some(key.remote);
            Some(Row { local: key.local, remote, state, receive_queue, send_queue, family, v6only: false })
        });
        let mut rows: Vec<_> = listening.chain(flows).collect();
        rows.sort();
        rows
    }

    fn family_of_listener(&self, id: SocketId) -> Option<Family> {
        self.listeners.get(&id).map(|listener| Family::of(listener.local.ip()))
    }

    /// The socket of a connection is one of IPv6, though it speaks IPv4.
    pub fn is_of_ipv6(&mut self, id: SocketId) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.family = Family::V6;
        }
    }

    /// `getsockname()` and `getpeername()`: to a socket of IPv6 the ends of IPv4 are mapped addresses.
    pub fn names(&self, id: SocketId) -> Option<(SocketAddr, SocketAddr)> {
        self.connections.get(&id).map(|c| (seen_from(c.family, c.local), seen_from(c.family, c.remote)))
    }

    /// TCP_INFO of a connection.
    pub fn info(&self, id: SocketId) -> Option<Info> {
        self.connections.get(&id).map(|c| c.info())
    }

    /// Our end of a connection, or where a listener listens.
    pub fn local(&self, id: SocketId) -> Option<SocketAddr> {
        let listening = self.listeners.get(&id).map(|listener| listener.local);
        listening.or_else(|| self.connections.get(&id).map(|c| c.local))
    }

    /// Both ends of a connection.
    pub fn endpoints(&self, id: SocketId) -> Option<(SocketAddr, SocketAddr)> {
        self.connections.get(&id).map(|c| (c.local, c.remote))
    }

    /// poll() of a socket (`tcp_poll`); nothing for an unknown one.
    pub fn readiness(&self, id: SocketId) -> Readiness {
        if let Some(listener) = self.listeners.get(&id) {
            return Readiness { readable: !listener.ready.is_empty(), ..Readiness::default() };
        }
        let Some(c) = self.connections.get(&id) else { return Readiness::default() };
        let connecting = matches!(c.state, State::SynSent);
        Readiness {
            readable: c.receive_shutdown || (!connecting && c.rcv.readable() > 0),
            writable: !connecting && (c.send_shutdown || c.has_space()),
            read_closed: c.receive_shutdown,
            hangup: c.state == State::Closed || (c.receive_shutdown && c.send_shutdown),
            error: c.error.is_some(),
        }
    }

    /// A counter of /proc/net/netstat by the kernel's name, for example `ListenOverflows`; 0 if it never counted.
    pub fn counter(&self, name: &str) -> u64 {
        self.cx.counter(name)
    }

    /// All counters that have counted, by name.
    pub fn counters(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.cx.counters()
    }
}

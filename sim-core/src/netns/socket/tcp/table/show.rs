//! What may be asked of the table: `ss`, poll(), TCP_INFO, the counters of /proc/net/netstat.

use std::net::SocketAddr;

use super::super::connection::{Info, State};
use super::{Flow, TcpTable};
use crate::engine::arena::SocketId;

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
        });
        let flows = self.flows.iter().filter_map(|(key, flow)| {
            let (state, receive_queue, send_queue) = match flow {
                Flow::Request(_) => (State::SynReceived, 0, 0),
                Flow::TimeWait(old) => (old.state, 0, 0),
                Flow::Connection(id) => {
                    let info = self.info(*id)?;
                    (info.state, info.receive_queue, info.send_queue)
                }
            };
            Some(Row { local: key.local, remote: Some(key.remote), state, receive_queue, send_queue })
        });
        let mut rows: Vec<_> = listening.chain(flows).collect();
        rows.sort();
        rows
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

//! A listening socket: what is half open is counted, what is open waits to be accepted (facts 98 to 100).

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::sockopt::SocketOptions;
use crate::engine::arena::SocketId;
use crate::engine::time::Instant;

/// A socket that listens.
#[derive(Clone, Debug)]
pub(super) struct Listener {
    /// Where; the address may be the unspecified one.
    pub(super) local: SocketAddr,
    /// What accepted connections inherit.
    pub(super) options: SocketOptions,
    /// listen()'s number, cut to somaxconn.
    pub(super) backlog: u32,
    /// Half-open connections.
    pub(super) requests: u32,
    /// Connections to accept, in the order of their last ACKs.
    pub(super) ready: VecDeque<SocketId>,
    /// When the last cookie was sent: without one, no ACK is looked at for one.
    pub(super) last_cookie: Option<Instant>,
}

impl Listener {
    /// One more than the backlog may wait (`sk_acceptq_is_full`).
    pub(super) fn is_full(&self) -> bool {
        self.ready.len() as u32 > self.backlog
    }

    /// One more than the backlog may be half open (`inet_csk_reqsk_queue_is_full`).
    pub(super) fn has_too_many_requests(&self) -> bool {
        self.requests > self.backlog
    }
}

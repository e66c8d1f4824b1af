//! Raw ICMP sockets (net/ipv4/raw.c, net/ipv6/raw.c), as `ping` uses them.

use std::collections::VecDeque;
use std::net::IpAddr;

use bytes::Bytes;

use super::RMEM_DEFAULT;
use super::error::ErrorQueue;
use crate::engine::arena::SocketId;
use crate::wire::ip::IpHeader;

/// A raw ICMP socket.
#[derive(Clone, Debug)]
pub struct RawSocket {
    /// Its id.
    pub id: SocketId,
    /// The address it is bound to, unspecified for any; its family is the socket's.
    pub local: IpAddr,
    /// TTL of what it sends; the sysctl's if `None`.
    pub ttl: Option<u8>,
    /// Type of service of what it sends.
    pub tos: u8,
    /// Path MTU discovery.
    pub pmtu: super::PmtuDiscovery,
    /// Errors not yet read.
    pub errors: ErrorQueue,
    queue: VecDeque<(IpHeader, Bytes)>,
    queued: usize,
}

impl RawSocket {
    pub(super) fn new(id: SocketId, local: IpAddr) -> Self {
        Self {
            id,
            local,
            ttl: None,
            tos: 0,
            pmtu: super::PmtuDiscovery::default(),
            errors: ErrorQueue::default(),
            queue: VecDeque::new(),
            queued: 0,
        }
    }

    /// Whether it is for messages of one of our addresses.
    pub(super) fn is_for(&self, own: IpAddr) -> bool {
        self.local == own || (self.local.is_unspecified() && self.local.is_ipv4() == own.is_ipv4())
    }

    pub(super) fn push(&mut self, ip: &IpHeader, packet: &[u8]) -> bool {
        if self.queued + packet.len() > RMEM_DEFAULT {
            return false;
        }
        let l4 = packet.get(usize::from(ip.header_len)..).unwrap_or(&[]);
        self.queued += packet.len();
        self.queue.push_back((*ip, Bytes::copy_from_slice(l4)));
        true
    }

    /// Takes the oldest packet: its IP header and its ICMP message.
    pub fn recv(&mut self) -> Option<(IpHeader, Bytes)> {
        let (ip, l4) = self.queue.pop_front()?;
        self.queued -= usize::from(ip.header_len) + l4.len();
        Some((ip, l4))
    }
}

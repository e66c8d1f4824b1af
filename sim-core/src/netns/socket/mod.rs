//! Sockets of a netns: UDP, raw ICMP, TCP and SCTP. Together with the netlink door the only way in.

pub(crate) mod bound;
pub mod error;
pub mod raw;
pub mod sctp;
pub mod tcp;
pub mod udp;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

pub use error::{ErrorOrigin, SocketError};
use xxhash_rust::xxh3::xxh3_64;

use crate::engine::arena::SocketId;
use crate::wire::ip::{IpHeader, octets};
use error::ErrorQueue;
use raw::RawSocket;
use udp::{UdpSocket, UdpTable};

/// The number of a netns' first TCP socket; UDP and raw sockets count from 1.
pub const FIRST_TCP: SocketId = SocketId(1 << 31);
/// The number of a netns' first SCTP socket.
pub const FIRST_SCTP: SocketId = SocketId(1 << 30);

/// Most connections whose ICMP errors wait to be read.
const RECVERR_MAX: usize = 1024;

/// The flow hash of what a connected socket sends (`sk_set_txhash`): it tells tunnels which flow a packet belongs to. Linux
/// draws it; here it follows from the ends and from what tells sockets with the same ends apart. Never 0.
pub(crate) fn tx_hash(local: SocketAddr, remote: SocketAddr, salt: u32) -> u32 {
    let mut key = [0u8; 40];
    for (end, part) in [local, remote].into_iter().zip(key.chunks_exact_mut(18)) {
        part[..16].copy_from_slice(&octets(end.ip()));
        part[16..].copy_from_slice(&end.port().to_be_bytes());
    }
    key[36..].copy_from_slice(&salt.to_be_bytes());
    (xxh3_64(&key) as u32).max(1)
}

/// Bytes a receive queue holds (`net.core.rmem_default`).
pub const RMEM_DEFAULT: usize = 212_992;

/// A socket by kind.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum Socket {
    /// A datagram socket.
    Udp(SocketId),
    /// A raw ICMP socket.
    Raw(SocketId),
    /// A TCP connection or listener.
    Tcp(SocketId),
    /// An SCTP association or listener.
    Sctp(SocketId),
}

impl Socket {
    /// Its number among those of its kind.
    pub const fn id(self) -> SocketId {
        match self {
            Self::Udp(id) | Self::Raw(id) | Self::Tcp(id) | Self::Sctp(id) => id,
        }
    }
}

/// What a socket asks of the path MTU (`IP_MTU_DISCOVER`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum PmtuDiscovery {
    /// Never set DF.
    Dont,
    /// Set DF unless the datagram has to be cut. The default.
    #[default]
    Want,
    /// Always set DF; a datagram that is too big is refused.
    Do,
    /// As [`Self::Do`], but ignore the learned path MTU.
    Probe,
}

/// The sockets of a netns but those of TCP and SCTP, which have tables of their own.
#[derive(Clone, Debug, Default)]
pub struct Sockets {
    /// Datagram sockets.
    pub udp: UdpTable,
    raw: Vec<RawSocket>,
    tcp_errors: BTreeMap<(SocketAddr, SocketAddr), ErrorQueue>,
    last_id: u32,
    /// Sockets something happened to, in order, each once.
    woken: Vec<Socket>,
}

impl Sockets {
    /// A fresh id.
    pub fn new_id(&mut self) -> SocketId {
        self.last_id += 1;
        SocketId(self.last_id)
    }

    /// Takes the sockets something happened to.
    pub fn take_woken(&mut self) -> Vec<Socket> {
        std::mem::take(&mut self.woken)
    }

    /// Something happened to a socket.
    pub fn wake(&mut self, socket: Socket) {
        if !self.woken.contains(&socket) {
            self.woken.push(socket);
        }
    }

    /// Opens a raw socket for ICMP of the family of `local`, bound to it unless it is unspecified.
    pub fn raw_open(&mut self, local: IpAddr) -> SocketId {
        let id = self.new_id();
        self.raw.push(RawSocket::new(id, local));
        id
    }

    /// The raw socket, if it is open.
    pub fn raw_mut(&mut self, id: SocketId) -> Option<&mut RawSocket> {
        self.raw.iter_mut().find(|s| s.id == id)
    }

    /// The UDP socket, if it is open.
    pub fn udp_mut(&mut self, id: SocketId) -> Option<&mut UdpSocket> {
        self.udp.get_mut(id)
    }

    /// Closes a UDP or raw socket.
    pub fn close(&mut self, id: SocketId) {
        self.udp.remove(id);
        self.raw.retain(|s| s.id != id);
    }

    /// A packet for this host: every raw ICMP socket gets a copy of ICMP. Whether one took it.
    pub fn raw_deliver(&mut self, ip: &IpHeader, packet: &[u8]) -> bool {
        if ip.proto != ip.family().icmp() {
            return false;
        }
        let mut taken = Vec::new();
        for s in self.raw.iter_mut().filter(|s| s.is_for(ip.dst)) {
            if s.push(ip, packet) {
                taken.push(s.id);
            }
        }
        taken.iter().for_each(|id| self.wake(Socket::Raw(*id)));
        !taken.is_empty()
    }

    /// An ICMP error about an ICMP message of ours.
    pub fn raw_error(&mut self, quoted: &IpHeader, error: SocketError) {
        if quoted.proto != quoted.family().icmp() {
            return;
        }
        let mut told = Vec::new();
        for s in self.raw.iter_mut().filter(|s| s.is_for(quoted.src)) {
            s.errors.push(error);
            told.push(s.id);
        }
        told.iter().for_each(|id| self.wake(Socket::Raw(*id)));
    }

    /// Whether a raw socket may have sent ICMP from `own`.
    pub fn has_raw(&self, own: IpAddr) -> bool {
        self.raw.iter().any(|s| s.is_for(own))
    }

    /// An ICMP error about the connection between `local` and `remote`, for its error queue.
    pub fn tcp_told(&mut self, ends: (SocketAddr, SocketAddr), error: SocketError) {
        if self.tcp_errors.len() < RECVERR_MAX || self.tcp_errors.contains_key(&ends) {
            self.tcp_errors.entry(ends).or_default().push(error);
        }
    }

    /// Takes the oldest error of a connection's error queue.
    pub fn tcp_error(&mut self, ends: (SocketAddr, SocketAddr)) -> Option<SocketError> {
        let queue = self.tcp_errors.get_mut(&ends)?;
        let error = queue.pop();
        if error.is_none() {
            self.tcp_errors.remove(&ends);
        }
        error
    }

    /// A datagram for this host: `None` if nobody listens, else whether there was room for it.
    pub fn udp_deliver(&mut self, from: SocketAddr, to: SocketAddr, data: &[u8]) -> Option<bool> {
        let id = self.udp.lookup(to, from)?;
        Some(self.udp_push(id, (from, to), data))
    }

    /// A datagram for a group or for everyone: all sockets it fits get it, the newest last (`__udp4_lib_mcast_deliver`,
    /// `__udp6_lib_mcast_deliver`). `None` if nobody listens, else how many had no room.
    pub fn udp_deliver_to_all(&mut self, from: SocketAddr, to: SocketAddr, data: &[u8]) -> Option<usize> {
        let ids = self.udp.all_for(to, from);
        let full = ids.iter().map(|id| self.udp_push(*id, (from, to), data)).filter(|taken| !taken).count();
        (!ids.is_empty()).then_some(full)
    }

    fn udp_push(&mut self, id: SocketId, (from, to): (SocketAddr, SocketAddr), data: &[u8]) -> bool {
        let taken = self.udp.get_mut(id).is_some_and(|socket| socket.push(from, to.ip(), data));
        self.wake(Socket::Udp(id));
        taken
    }

    /// An ICMP error about a datagram from `local` to `remote`; whether a socket has sent it (`__udp4_lib_err`).
    pub fn udp_error(&mut self, local: SocketAddr, remote: SocketAddr, error: SocketError) -> bool {
        let Some(id) = self.udp.lookup(local, remote) else { return false };
        if let Some(s) = self.udp.get_mut(id) {
            s.error(error);
            self.wake(Socket::Udp(id));
        }
        true
    }
}

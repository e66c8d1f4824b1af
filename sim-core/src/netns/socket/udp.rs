//! UDP sockets (net/ipv4/udp.c).

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;

use super::bound::{overlap, seen_from};
use super::error::{ErrorOrigin, ErrorQueue, SocketError};
use super::{PmtuDiscovery, RMEM_DEFAULT};
use crate::engine::arena::{Map, SocketId};
use crate::engine::errno::Errno;
use crate::wire::ip::Family;

/// What the kernel charges for a small datagram beyond its bytes (`SKB_TRUESIZE`, rounded).
const OVERHEAD: usize = 768;

/// A received datagram.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Datagram {
    /// Who sent it.
    pub from: SocketAddr,
    /// The address of ours it was sent to.
    pub to: IpAddr,
    /// Its data.
    pub data: Bytes,
}

/// A UDP socket.
#[derive(Clone, Debug)]
pub struct UdpSocket {
    /// The family it was opened for; connected to a mapped address it speaks IPv4 all the same.
    pub family: Family,
    /// The address it is bound to; unspecified for any.
    pub local: SocketAddr,
    /// The peer it is connected to.
    pub remote: Option<SocketAddr>,
    /// The flow hash of what it sends, once it is connected; 0 before.
    pub tx_hash: u32,
    /// TTL of what it sends; the sysctl's if `None`.
    pub ttl: Option<u8>,
    /// Type of service of what it sends.
    pub tos: u8,
    /// Path MTU discovery.
    pub pmtu: PmtuDiscovery,
    /// May share its address with others that also may (`SO_REUSEADDR`).
    pub reuse: bool,
    /// Bound to `::` it is not for IPv4 (`IPV6_V6ONLY`).
    pub v6only: bool,
    /// Errors not yet read; only a connected socket is told of ICMP.
    pub errors: ErrorQueue,
    pending: Option<Errno>,
    queue: VecDeque<Datagram>,
    queued: usize,
}

impl UdpSocket {
    /// A socket bound to `local`.
    pub fn bound(local: SocketAddr) -> Self {
        Self {
            family: Family::of(local.ip()),
            local,
            remote: None,
            tx_hash: 0,
            ttl: None,
            tos: 0,
            pmtu: PmtuDiscovery::default(),
            reuse: false,
            v6only: false,
            errors: ErrorQueue::default(),
            pending: None,
            queue: VecDeque::new(),
            queued: 0,
        }
    }

    /// Takes the oldest datagram, after telling a pending error once.
    ///
    /// # Errors
    /// The pending error, or `EAGAIN` if nothing waits.
    pub fn recv(&mut self) -> Result<Datagram, Errno> {
        if let Some(errno) = self.pending.take() {
            return Err(errno);
        }
        let d = self.queue.pop_front().ok_or(Errno::EAGAIN)?;
        self.queued -= d.data.len() + OVERHEAD;
        Ok(Datagram { from: seen_from(self.family, d.from), ..d })
    }

    /// Bytes that wait to be read, each datagram with its overhead.
    pub fn receive_queue(&self) -> usize {
        self.queued
    }

    pub(super) fn push(&mut self, from: SocketAddr, to: IpAddr, data: &[u8]) -> bool {
        if self.queued + data.len() + OVERHEAD > RMEM_DEFAULT {
            return false;
        }
        self.queued += data.len() + OVERHEAD;
        self.queue.push_back(Datagram { from, to, data: Bytes::copy_from_slice(data) });
        true
    }

    /// All are told, as sockets here ask for (`IP_RECVERR`, `IPV6_RECVERR`). A socket of IPv6 has asked nothing of IPv4:
    /// it hears of what is final, and not who said so (`__udp4_lib_err`).
    pub(super) fn error(&mut self, error: SocketError) {
        let foreign = matches!(error.origin, ErrorOrigin::Icmp { from, .. } if Family::of(from) != self.family);
        if !foreign {
            self.errors.push(error);
        }
        if self.remote.is_some() && error.errno.is_some() && (!foreign || error.is_final()) {
            self.pending = error.errno;
        }
    }

    /// Whether it is also for IPv4: a socket for every address of IPv6 that was not told otherwise.
    fn is_dual(&self) -> bool {
        self.local.is_ipv6() && self.local.ip().is_unspecified() && !self.v6only
    }

    /// The peer in its own family, if the socket can send there: an IPv4-mapped address is one of IPv4
    /// (net/ipv6/datagram.c, `__ip6_datagram_connect`).
    pub fn reaches(&self, peer: SocketAddr) -> Option<SocketAddr> {
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        (self.local.is_ipv4() == peer.is_ipv4() || self.is_dual()).then_some(peer)
    }

    /// How well the socket fits a packet, higher is better; `None` if not at all (`compute_score`).
    fn score(&self, to: SocketAddr, from: SocketAddr) -> Option<u32> {
        let mut score = u32::from(self.local.is_ipv4());
        if self.local.is_ipv4() != to.is_ipv4() && !(self.is_dual() && to.is_ipv4()) {
            return None;
        }
        if !self.local.ip().is_unspecified() {
            if self.local.ip() != to.ip() {
                return None;
            }
            score += 4;
        }
        if let Some(remote) = self.remote {
            if remote != from {
                return None;
            }
            score += 8;
        }
        Some(score)
    }
}

/// The UDP sockets of a netns, found by local port.
#[derive(Clone, Debug, Default)]
pub struct UdpTable {
    sockets: BTreeMap<SocketId, UdpSocket>,
    by_port: Map<u16, Vec<SocketId>>,
}

impl UdpTable {
    /// Adds a bound socket.
    ///
    /// # Errors
    /// `EADDRINUSE` if the address is taken and the two do not both share.
    pub fn insert(&mut self, id: SocketId, socket: UdpSocket) -> Result<(), Errno> {
        if self.conflicts(&socket) {
            return Err(Errno::EADDRINUSE);
        }
        self.by_port.entry(socket.local.port()).or_default().push(id);
        self.sockets.insert(id, socket);
        Ok(())
    }

    fn conflicts(&self, new: &UdpSocket) -> bool {
        let bound = |socket: &UdpSocket| (socket.local.ip(), socket.v6only);
        self.of_port(new.local.port()).any(|(_, s)| overlap(bound(s), bound(new)) && !(new.reuse && s.reuse))
    }

    fn of_port(&self, port: u16) -> impl Iterator<Item = (SocketId, &UdpSocket)> {
        let ids = self.by_port.get(&port).map_or(&[][..], Vec::as_slice);
        ids.iter().filter_map(|id| Some((*id, self.sockets.get(id)?)))
    }

    /// Whether a local port is in use.
    pub fn port_in_use(&self, port: u16) -> bool {
        self.by_port.contains_key(&port)
    }

    /// The socket for a packet, the best fitting, of equals the newest (the kernel's chains begin with the newest).
    pub fn lookup(&self, to: SocketAddr, from: SocketAddr) -> Option<SocketId> {
        let scored = self.of_port(to.port()).filter_map(|(id, s)| Some((s.score(to, from)?, id)));
        scored.max().map(|(_, id)| id)
    }

    /// All sockets for a packet, the newest last, the others from the newest on. One of IPv6 gets what is for a group of
    /// IPv4 only if it has joined it, which none here does (`ip_mc_sf_allow`: `inet6_create` does not set `MC_ALL`).
    pub fn all_for(&self, to: SocketAddr, from: SocketAddr) -> Vec<SocketId> {
        let group_v4 = to.is_ipv4() && to.ip().is_multicast();
        let fits = |socket: &UdpSocket| socket.score(to, from).is_some() && !(group_v4 && socket.family == Family::V6);
        let fit = self.of_port(to.port()).filter(|(_, socket)| fits(socket));
        let mut ids: Vec<SocketId> = fit.map(|(id, _)| id).collect();
        ids.sort_unstable_by(|a, b| b.cmp(a));
        if !ids.is_empty() {
            ids.rotate_left(1);
        }
        ids
    }

    /// The socket.
    pub fn get_mut(&mut self, id: SocketId) -> Option<&mut UdpSocket> {
        self.sockets.get_mut(&id)
    }

    /// All sockets by id.
    pub fn iter(&self) -> impl Iterator<Item = (&SocketId, &UdpSocket)> {
        self.sockets.iter()
    }

    /// Closes a socket.
    pub fn remove(&mut self, id: SocketId) {
        let Some(socket) = self.sockets.remove(&id) else { return };
        let port = socket.local.port();
        if let Some(ids) = self.by_port.get_mut(&port) {
            ids.retain(|i| *i != id);
            if ids.is_empty() {
                self.by_port.remove(&port);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(s: &str) -> SocketAddr {
        s.parse().unwrap()
    }

    #[test]
    fn a_connected_socket_is_preferred_to_a_wildcard() {
        let mut t = UdpTable::default();
        let mut any = UdpSocket::bound(addr("0.0.0.0:53"));
        any.reuse = true;
        let mut connected = any.clone();
        connected.remote = Some(addr("10.0.0.9:4000"));
        t.insert(SocketId(1), any).unwrap();
        t.insert(SocketId(2), connected).unwrap();
        assert_eq!(t.lookup(addr("10.0.0.1:53"), addr("10.0.0.9:4000")), Some(SocketId(2)));
        assert_eq!(t.lookup(addr("10.0.0.1:53"), addr("10.0.0.8:4000")), Some(SocketId(1)));
        assert_eq!(t.lookup(addr("10.0.0.1:54"), addr("10.0.0.8:4000")), None);
    }

    #[test]
    fn a_datagram_for_many_is_for_every_socket_it_fits() {
        let mut t = UdpTable::default();
        let mut any = UdpSocket::bound(addr("0.0.0.0:53"));
        any.reuse = true;
        let mut other = UdpSocket::bound(addr("10.0.0.1:53"));
        other.reuse = true;
        let mut both = UdpSocket::bound(addr("[::]:53"));
        both.reuse = true;
        for (id, socket) in [(1, any.clone()), (2, other), (3, any), (4, both)] {
            t.insert(SocketId(id), socket).unwrap();
        }
        let ids = t.all_for(addr("224.0.0.1:53"), addr("10.0.0.9:4000"));
        assert_eq!(ids, [SocketId(1), SocketId(3)]);
        assert_eq!(t.all_for(addr("10.0.0.255:53"), addr("10.0.0.9:4000")), [SocketId(3), SocketId(1), SocketId(4)]);
    }

    #[test]
    fn an_address_in_use_is_refused_unless_both_share() {
        let mut t = UdpTable::default();
        t.insert(SocketId(1), UdpSocket::bound(addr("10.0.0.1:53"))).unwrap();
        assert_eq!(t.insert(SocketId(2), UdpSocket::bound(addr("0.0.0.0:53"))), Err(Errno::EADDRINUSE));
        t.insert(SocketId(3), UdpSocket::bound(addr("10.0.0.2:53"))).unwrap();
        t.remove(SocketId(1));
        t.remove(SocketId(3));
        t.insert(SocketId(2), UdpSocket::bound(addr("0.0.0.0:53"))).unwrap();
    }

    #[test]
    fn a_full_queue_refuses_more() {
        let mut s = UdpSocket::bound(addr("0.0.0.0:1"));
        let taken = (0..1000).filter(|_| s.push(addr("1.1.1.1:1"), "2.2.2.2".parse().unwrap(), &[0; 100])).count();
        assert!(taken > 100 && taken < 1000);
        s.recv().unwrap();
        assert!(s.push(addr("1.1.1.1:1"), "2.2.2.2".parse().unwrap(), &[0; 100]));
    }
}

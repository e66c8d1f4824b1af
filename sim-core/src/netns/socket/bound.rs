//! The address that a socket is bound to: which others it excludes, and how peers look to it.

use std::net::{IpAddr, SocketAddr};

use crate::wire::ip::Family;

/// An address, and whether a socket for all of IPv6 is not one for IPv4 (`IPV6_V6ONLY`).
pub(super) type Bound = (IpAddr, bool);

/// Whether two sockets of one port are for one address (net/ipv4/inet_connection_sock.c, `inet_rcv_saddr_equal`).
pub(super) fn overlap(a: Bound, b: Bound) -> bool {
    let is_for = |(any, v6only): Bound, ip: IpAddr| {
        any.is_unspecified() && (any.is_ipv4() == ip.is_ipv4() || (any.is_ipv6() && !v6only))
    };
    a.0 == b.0 || is_for(a, b.0) || is_for(b, a.0)
}

/// A peer as the application is told: a socket of IPv6 knows one of IPv4 by its mapped address (RFC 3493 section 3.7).
pub(crate) fn seen_from(family: Family, peer: SocketAddr) -> SocketAddr {
    match peer.ip() {
        IpAddr::V4(ip) if family == Family::V6 => SocketAddr::new(ip.to_ipv6_mapped().into(), peer.port()),
        _ => peer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_port_of_all_addresses_is_one_of_both_families_unless_a_socket_says_otherwise() {
        let [any4, any6, own4, own6]: [IpAddr; 4] =
            ["0.0.0.0", "::", "10.0.0.1", "fd00::1"].map(|ip| ip.parse().unwrap());
        assert!(overlap((any4, false), (any6, false)) && overlap((any6, false), (own4, false)));
        assert!(!overlap((any4, false), (any6, true)) && !overlap((own4, false), (any6, true)));
        assert!(overlap((own6, false), (any6, true)) && !overlap((own6, false), (any4, false)));
        assert!(!overlap((own4, false), (own6, false)));
    }
}

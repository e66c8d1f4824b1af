//! Hardware addresses made from IP addresses, so that one tells the other in a capture.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;
use sim_core::wire::eth::MacAddr;

/// What kind of device an address is for: the first two bytes, unicast and locally administered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// `0a:58`: a pod's eth0 and its gateway, the bridge (older CNI plugins did this with every IPv4 address).
    Pod,
    /// `0e:0e`: the node's end of a pod's veth pair.
    PodPeer,
    /// `0e:fa`: a VTEP.
    Vtep,
    /// `42:01`: a node's eth0.
    Node,
}

/// The kind's two bytes, then the last four of `ip`.
pub fn of(kind: Kind, ip: IpAddr) -> MacAddr {
    let [a, b] = match kind {
        Kind::Pod => [0x0a, 0x58],
        Kind::PodPeer => [0x0e, 0x0e],
        Kind::Vtep => [0x0e, 0xfa],
        Kind::Node => [0x42, 0x01],
    };
    let [c, d, e, f] = last_four(ip);
    MacAddr([a, b, c, d, e, f])
}

/// The kind's two bytes, then four that tell a node's network from another's: of IPv6 the last of its 64 bits.
pub fn of_network(kind: Kind, net: IpNet) -> MacAddr {
    match net.network() {
        ip @ IpAddr::V4(_) => of(kind, ip),
        IpAddr::V6(ip) => of(kind, Ipv6Addr::from_bits(ip.to_bits() >> 64).into()),
    }
}

/// The last four bytes of an address: all of IPv4's.
pub fn last_four(ip: IpAddr) -> [u8; 4] {
    match ip {
        IpAddr::V4(ip) => ip.octets(),
        IpAddr::V6(ip) => {
            let [.., a, b, c, d] = ip.octets();
            [a, b, c, d]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pods_address_can_be_read_from_its_mac() {
        assert_eq!(of(Kind::Pod, [10, 244, 1, 2].into()).to_string(), "0a:58:0a:f4:01:02");
    }

    #[test]
    fn a_vtep_is_told_by_its_nodes_network_in_either_family() {
        let vtep = |net: &str| of_network(Kind::Vtep, net.parse().expect("a network")).to_string();
        assert_eq!(vtep("10.244.1.0/24"), "0e:fa:0a:f4:01:00");
        assert_eq!(vtep("fd00:10:244:1::/64"), "0e:fa:02:44:00:01");
    }

    #[test]
    fn no_kind_makes_a_group_address() {
        for kind in [Kind::Pod, Kind::PodPeer, Kind::Vtep, Kind::Node] {
            let MacAddr([first, ..]) = of(kind, [10, 0, 0, 1].into());
            assert_eq!(first & 0b11, 0b10, "{kind:?}: unicast, locally administered");
        }
    }
}

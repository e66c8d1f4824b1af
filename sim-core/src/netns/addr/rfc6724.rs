//! The choice of an IPv6 source address (RFC 6724 section 5; net/ipv6/addrconf.c, `ipv6_dev_get_saddr`).

use std::cmp::Reverse;
use std::net::{IpAddr, Ipv6Addr};

use ipnet::Ipv6Net;

use super::Addr;
use crate::engine::arena::DevId;

/// The address that suits `dst` best, sent by `dev`; of equals the first device's, and there the one added last.
pub(super) fn select(addrs: &[Addr], dev: DevId, dst: IpAddr) -> Option<IpAddr> {
    let IpAddr::V6(dst) = dst else { return None };
    // For a group or a neighbour only the addresses of the device will do.
    let near = scope(dst) <= LINK || dst.is_multicast();
    let candidates = addrs.iter().enumerate().filter(|(_, a)| a.is_usable() && (a.dev == dev || !near));
    let rated = candidates.filter_map(|(at, addr)| {
        let IpAddr::V6(ip) = addr.net.addr() else { return None };
        Some(((rate(ip, addr, dev, dst), Reverse(addr.dev), at), ip))
    });
    rated.max_by_key(|(rating, _)| *rating).map(|(_, ip)| ip.into())
}

/// Rules 1, 2, 5, 6 and 8 in this order; greater is better. No address is deprecated, temporary or a home address.
fn rate(src: Ipv6Addr, addr: &Addr, dev: DevId, dst: Ipv6Addr) -> (bool, i32, bool, bool, u32) {
    let reach = scope(src);
    let fits = if reach >= scope(dst) { -reach } else { reach - 128 };
    let common = (src.to_bits() ^ dst.to_bits()).leading_zeros().min(u32::from(addr.net.prefix_len()));
    (src == dst, fits, addr.dev == dev, label(src) == label(dst), common)
}

/// The scope of an address of a link (RFC 4291 2.7).
const LINK: i32 = 2;
/// The scope of an address that is valid everywhere.
const GLOBAL: i32 = 14;

/// How far an address reaches (net/ipv6/addrconf_core.c, `__ipv6_addr_type`).
fn scope(addr: Ipv6Addr) -> i32 {
    let octets = addr.octets();
    match octets {
        [0xff, flags, ..] => i32::from(flags & 0x0f),
        [0xfe, second, ..] if second & 0xc0 == 0x80 => LINK,
        [0xfe, second, ..] if second & 0xc0 == 0xc0 => 5,
        _ if addr.is_loopback() => LINK,
        _ => GLOBAL,
    }
}

/// The label of an address: source and destination should have the same (net/ipv6/addrlabel.c, `ip6addrlbl_init_table`).
fn label(addr: Ipv6Addr) -> u32 {
    const fn net(high: u128, len: u8) -> Ipv6Net {
        Ipv6Net::new_assert(Ipv6Addr::from_bits(high), len)
    }
    const TABLE: [(Ipv6Net, u32); 8] = [
        (net(1, 128), 0),
        (net(0x2001_0010 << 96, 28), 7),
        (net(0xffff << 32, 96), 4),
        (net(0, 96), 3),
        (net(0x2001_0000 << 96, 32), 6),
        (net(0x2002 << 112, 16), 2),
        (net(0xfc00 << 112, 7), 5),
        (net(0, 0), 1),
    ];
    TABLE.iter().find(|(net, _)| net.contains(&addr)).map_or(1, |(_, label)| *label)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netns::addr::{Dad, Scope};

    fn addr(dev: u32, net: &str) -> Addr {
        Addr { dev: DevId(dev), net: net.parse().unwrap(), broadcast: None, scope: Scope::Universe, dad: Dad::Done }
    }

    fn chosen(addrs: &[Addr], dev: u32, dst: &str) -> String {
        select(addrs, DevId(dev), dst.parse().unwrap()).map_or("none".to_owned(), |ip| ip.to_string())
    }

    #[test]
    fn the_leaving_device_counts_before_the_longest_prefix() {
        let node = [
            addr(2, "fe80::1/64"),
            addr(2, "fd00:10:240::11/64"),
            addr(3, "fd00:10:244:1::1/64"),
            addr(4, "fd00:10:244:1::/128"),
        ];
        assert_eq!(chosen(&node, 4, "fd00:10:244:2::2"), "fd00:10:244:1::");
        assert_eq!(chosen(&node, 2, "fd00:10:240::12"), "fd00:10:240::11");
        assert_eq!(chosen(&node, 2, "fe80::9"), "fe80::1");
        assert_eq!(chosen(&node, 3, "fe80::9"), "fd00:10:244:1::1", "it has no address of the link");
    }

    #[test]
    fn labels_keep_private_and_public_addresses_apart() {
        let both = [addr(2, "fd00::1/64"), addr(2, "2001:db8::1/64")];
        assert_eq!(chosen(&both, 2, "2001:db8:ffff::9"), "2001:db8::1");
        assert_eq!(chosen(&both, 2, "fd00:ffff::9"), "fd00::1");
    }

    #[test]
    fn a_tentative_address_is_not_used() {
        let mut only = [addr(2, "fd00::1/64")];
        only[0].dad = Dad::Tentative { probes: 1, nonce: None };
        assert_eq!(chosen(&only, 2, "fd00::2"), "none");
    }
}

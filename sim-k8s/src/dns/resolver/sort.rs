//! In which order addresses are tried (RFC 6724, as far as it tells addresses of a cluster apart).

use std::net::IpAddr;

use super::Libc;

/// Where packets to an address would come from: what `connect` on a datagram socket finds out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Source {
    /// The address of ours.
    pub ip: IpAddr,
    /// How many bits of it are its network's.
    pub prefix: u8,
}

/// Puts `ips` into the order in which a program tries them; `source` says where packets to one would come from, `None` if
/// there is no way. Addresses that are alike stay in the order of the answer.
///
/// Rule 9, the longest prefix shared with the source, undoes the order in which a server shuffled them: musl heeds it always,
/// glibc for IPv4 only in the source's own network (`rfc3484_sort`, sysdeps/posix/getaddrinfo.c; `__lookup_name`,
/// src/network/lookup_name.c).
pub fn sort(libc: Libc, ips: &mut [IpAddr], source: impl Fn(IpAddr) -> Option<Source>) {
    ips.sort_by_cached_key(|ip| {
        let source = source(*ip);
        let shared = source.map_or(0, |source| shared_bits(*ip, source.ip));
        let local = source.is_some_and(|source| ip.is_ipv6() || shared >= u32::from(source.prefix));
        let heeded = if libc == Libc::Musl || local { shared } else { 0 };
        // Rule 1, unusable ones last; rule 6, IPv6 before IPv4.
        (source.is_none(), ip.is_ipv4(), std::cmp::Reverse(heeded))
    });
}

fn shared_bits(a: IpAddr, b: IpAddr) -> u32 {
    match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(libc: Libc, ips: &[&str]) -> Vec<String> {
        let mut ips: Vec<IpAddr> = ips.iter().map(|ip| ip.parse().unwrap()).collect();
        let own = Source { ip: "10.244.1.9".parse().unwrap(), prefix: 24 };
        sort(libc, &mut ips, |ip| ip.is_ipv4().then_some(own));
        ips.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_cannot_be_reached_comes_last() {
        assert_eq!(sorted(Libc::Glibc, &["fd00::1", "10.244.2.1"]), ["10.244.2.1", "fd00::1"]);
    }

    #[test]
    fn glibc_prefers_neighbours_and_else_keeps_the_servers_order() {
        let ips = ["10.244.3.1", "10.244.2.1", "10.244.1.200", "10.244.1.8"];
        assert_eq!(sorted(Libc::Glibc, &ips), ["10.244.1.8", "10.244.1.200", "10.244.3.1", "10.244.2.1"]);
    }

    #[test]
    fn musl_always_takes_the_nearest_number() {
        let ips = ["10.244.3.1", "10.244.2.1", "10.244.0.1", "10.244.1.8"];
        assert_eq!(sorted(Libc::Musl, &ips), ["10.244.1.8", "10.244.0.1", "10.244.3.1", "10.244.2.1"]);
    }
}

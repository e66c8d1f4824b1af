//! In which order addresses are tried (RFC 6724, section 6).

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
/// The rules heeded are 1 (what cannot be reached comes last), 2 and 8 (scopes), 5 and 6 (labels and precedences) and 9. By
/// glibc's table any IPv6 comes before IPv4 where source and destination have one label; musl has RFC 6724's, by which a unique
/// local address comes last.
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
        let policy = Policy::of(libc, *ip);
        let same = |of: fn(Libc, IpAddr) -> u8| source.is_some_and(|source| of(libc, source.ip) == of(libc, *ip));
        let scope_differs = !same(|_, ip| scope(ip));
        let label_differs = !same(|libc, ip| Policy::of(libc, ip).label);
        let preferred = std::cmp::Reverse(policy.precedence);
        (source.is_none(), scope_differs, label_differs, preferred, scope(*ip), std::cmp::Reverse(heeded))
    });
}

/// A row of the policy table (RFC 6724, section 2.1).
#[derive(Clone, Copy)]
struct Policy {
    precedence: u8,
    label: u8,
}

impl Policy {
    /// The row for `ip`: glibc still has RFC 3484's precedences (`default_precedence`, `default_labels` of getaddrinfo.c), musl
    /// RFC 6724's (`defpolicy`, src/network/lookup_name.c).
    fn of(libc: Libc, ip: IpAddr) -> Self {
        let musl = libc == Libc::Musl;
        let [precedence, label] = match ip {
            IpAddr::V4(_) => [if musl { 35 } else { 10 }, 4],
            IpAddr::V6(ip) if ip.is_loopback() => [50, 0],
            IpAddr::V6(ip) if ip.is_unique_local() => [if musl { 3 } else { 40 }, if musl { 13 } else { 6 }],
            IpAddr::V6(_) => [40, 1],
        };
        Self { precedence, label }
    }
}

/// The scope of an address (RFC 6724, section 3.1): 2 on the link, 14 global, and unique local ones count as global.
fn scope(ip: IpAddr) -> u8 {
    let on_link = match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_unicast_link_local() || ip.is_loopback(),
    };
    if on_link { 2 } else { 14 }
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
    fn of_a_dual_stack_service_glibc_takes_ipv6_and_musl_ipv4() {
        let both = |libc, ips: [&str; 2]| {
            let mut ips: Vec<IpAddr> = ips.iter().map(|ip| ip.parse().unwrap()).collect();
            let own = |ip: IpAddr| if ip.is_ipv6() { "fd00:10:244:1::9" } else { "10.244.1.9" };
            sort(libc, &mut ips, |ip| Some(Source { ip: own(ip).parse().unwrap(), prefix: 64 }));
            ips[0].to_string()
        };
        let service = ["10.96.1.1", "fd00:10:96::101"];
        assert_eq!([Libc::Glibc, Libc::Musl].map(|libc| both(libc, service)), ["fd00:10:96::101", "10.96.1.1"]);
        let outside = ["2001:db8:198:64::1", "198.51.100.64"];
        assert_eq!(both(Libc::Glibc, outside), "198.51.100.64", "a pod's own address has another label");
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

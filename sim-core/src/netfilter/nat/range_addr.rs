//! Which address of a range a flow gets: a hash of its addresses, the same on every Linux machine with little-endian
//! words (net/netfilter/nf_nat_core.c, `find_best_ips_proto`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::netfilter::jhash::{jhash, scale};

/// The address of `min..=max` for a flow from `src` to `dst`; with `persistent` the destination does not count.
pub(super) fn choose(
    (min, max): (IpAddr, IpAddr),
    (src, dst): (IpAddr, IpAddr),
    persistent: bool,
    zone: u16,
) -> IpAddr {
    if min == max {
        return min;
    }
    let ([min_words, max_words], dst_words) = ([words(min), words(max)], words(dst));
    let last = if min.is_ipv4() { 0 } else { 3 };
    let initial = if persistent { 0 } else { dst_words[last].swap_bytes() ^ u32::from(zone) };
    let mut hash = jhash(&words(src).map(u32::swap_bytes), initial);
    let (mut chosen, mut full_range) = ([0; 4], false);
    for i in 0..=last {
        let (low, size) = if full_range {
            (0, u32::MAX)
        } else {
            (min_words[i], max_words[i].wrapping_sub(min_words[i]).wrapping_add(1))
        };
        chosen[i] = low.wrapping_add(scale(hash, size));
        full_range |= chosen[i] != max_words[i];
        if !persistent {
            hash ^= dst_words[i].swap_bytes();
        }
    }
    match min {
        IpAddr::V4(_) => Ipv4Addr::from_bits(chosen[0]).into(),
        IpAddr::V6(_) => {
            let bits = chosen.iter().fold(0, |bits: u128, word| bits << 32 | u128::from(*word));
            Ipv6Addr::from_bits(bits).into()
        }
    }
}

/// An address as the kernel keeps it (`union nf_inet_addr`): IPv4 in the first word, the others 0.
fn words(addr: IpAddr) -> [u32; 4] {
    match addr {
        IpAddr::V4(a) => [a.to_bits(), 0, 0, 0],
        IpAddr::V6(a) => [96, 64, 32, 0].map(|shift| (a.to_bits() >> shift) as u32),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_four(src: &str, persistent: bool) -> String {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let range = (ip("10.240.0.21"), ip("10.240.0.24"));
        choose(range, (ip(src), ip("10.240.0.12")), persistent, 0).to_string()
    }

    /// Recorded by the reference lab (`snat_range`).
    #[test]
    fn the_kernel_chooses_the_same() {
        assert_eq!(of_four("10.244.1.2", false), "10.240.0.24");
        assert_eq!(of_four("10.244.1.3", false), "10.240.0.22");
        assert_eq!(of_four("10.244.1.2", true), "10.240.0.23");
        assert_eq!(of_four("10.244.1.3", true), "10.240.0.22");
    }
}

//! The local port of a connect() without bind(): even ones, upwards by two from a start of the destination's own
//! (net/ipv4/inet_hashtables.c, `__inet_hash_connect`; fact 101).

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use crate::engine::rng::Stream;

/// Where the search for a port goes on, by local address and destination.
#[derive(Clone, Debug, Default)]
pub(super) struct Ephemeral {
    offsets: BTreeMap<(IpAddr, SocketAddr), u32>,
}

impl Ephemeral {
    /// A port of `range` for which `is_free` holds: the even ones first, then the odd ones.
    pub(super) fn choose(
        &mut self,
        rng: &mut Stream,
        range: [u16; 2],
        flow: (IpAddr, SocketAddr),
        is_free: impl Fn(u16) -> bool,
    ) -> Option<u16> {
        let [low, high] = range.map(u32::from);
        let count = (high + 1).checked_sub(low)? & !1;
        let offset = self.offsets.entry(flow).or_insert_with(|| rng.next_u32());
        let start = (*offset % count.max(1)) & !1;
        for parity in [0, 1] {
            for step in (0..count).step_by(2) {
                let port = (low + (start + parity + step) % count) as u16;
                if is_free(port) {
                    *offset = (start + step + 2) % count;
                    return Some(port);
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::rng::Seed;

    #[test]
    fn ports_are_even_and_ascend_until_only_odd_ones_are_left() {
        let mut rng = Seed(1).stream("test", 0);
        let mut ports = Ephemeral::default();
        let flow = ("10.0.0.1".parse().unwrap(), "10.0.0.2:80".parse().unwrap());
        let mut used = Vec::new();
        while let Some(p) = ports.choose(&mut rng, [1000, 1009], flow, |p| !used.contains(&p)) {
            used.push(p);
        }
        assert_eq!(used.len(), 10);
        assert!(used[..5].iter().all(|p| p % 2 == 0) && used[5..].iter().all(|p| p % 2 == 1));
    }
}

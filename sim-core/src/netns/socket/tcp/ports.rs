//! Ports that the table chooses (fact 101). A connect() without bind() gets even ones, upwards by two from a start of the
//! destination's own (net/ipv4/inet_hashtables.c, `__inet_hash_connect`); a bind() to port 0 gets odd ones, upwards by two
//! from a random start (net/ipv4/inet_connection_sock.c, `inet_csk_find_open_port`).

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
        let offset = self.offsets.entry(flow).or_insert_with(|| rng.next_u32());
        let (port, next) = search(range, *offset, [0, 1], is_free)?;
        *offset = next;
        Some(port)
    }
}

/// A free port of `range` for a bind() to port 0: an odd one if there is any.
pub(super) fn to_bind(rng: &mut Stream, range: [u16; 2], is_free: impl Fn(u16) -> bool) -> Option<u16> {
    search(range, rng.next_u32(), [1, 0], is_free).map(|(port, _)| port)
}

/// The first free port from `offset` on, one parity (of the distance to the first port) after the other, and where to
/// go on.
fn search(range: [u16; 2], offset: u32, parities: [u32; 2], is_free: impl Fn(u16) -> bool) -> Option<(u16, u32)> {
    let [low, high] = range.map(u32::from);
    let count = (high + 1).checked_sub(low)? & !1;
    let start = (offset % count.max(1)) & !1;
    let places = parities.into_iter().flat_map(|parity| (0..count).step_by(2).map(move |step| (parity, step)));
    let port = |(parity, step): (u32, u32)| (low + (start + parity + step) % count) as u16;
    let (place, step) = places.map(|place| (place, place.1)).find(|(place, _)| is_free(port(*place)))?;
    Some((port(place), (start + step + 2) % count))
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
        assert_eq!(
            to_bind(&mut rng, [1000, 1009], |port| port < 1004).map(|port| port % 2),
            Some(1),
            "bind prefers odd ones"
        );
        assert_eq!(used.len(), 10);
        assert!(used[..5].iter().all(|p| p % 2 == 0) && used[5..].iter().all(|p| p % 2 == 1));
    }
}

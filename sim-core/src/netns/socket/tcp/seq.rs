//! Sequence numbers modulo 2^32 (RFC 9293 3.4; include/net/tcp.h `before`, `after`, `between`).

/// Whether `a` comes before `b`.
pub(super) const fn before(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

/// Whether `a` comes after `b`.
pub(super) const fn after(a: u32, b: u32) -> bool {
    before(b, a)
}

/// Whether `low <= seq <= high`.
pub(super) const fn between(seq: u32, low: u32, high: u32) -> bool {
    high.wrapping_sub(low) >= seq.wrapping_sub(low)
}

/// The later of two.
pub(super) const fn later(a: u32, b: u32) -> u32 {
    if after(a, b) { a } else { b }
}

/// Whether `seq..end` touches the window `low..high` (net/ipv4/tcp_minisocks.c, `tcp_in_window`).
pub(super) const fn in_window(seq: u32, end: u32, low: u32, high: u32) -> bool {
    seq == low || (after(end, low) && before(seq, high)) || (seq == high && seq == end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparisons_survive_the_wrap() {
        assert!(before(u32::MAX, 3) && after(3, u32::MAX));
        assert!(between(1, u32::MAX - 1, 5) && !between(6, u32::MAX - 1, 5));
        assert_eq!(later(u32::MAX, 0), 0);
        assert!(in_window(10, 10, 10, 20) && in_window(20, 20, 10, 20) && !in_window(21, 22, 10, 20));
    }
}

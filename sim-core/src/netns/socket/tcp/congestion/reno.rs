//! NewReno (RFC 5681): a segment more per window, half of it after a loss.

/// The slow start threshold after a loss (net/ipv4/tcp_cong.c, `tcp_reno_ssthresh`).
pub(super) fn reduced(cwnd: u32) -> u32 {
    (cwnd >> 1).max(2)
}

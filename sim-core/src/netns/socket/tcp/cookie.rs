//! SYN cookies: a full listener keeps the SYN in its own sequence number instead of in memory
//! (net/ipv4/syncookies.c; fact 99).
//!
//! The cookie is our own: a keyed hash of the flow and the minute, and which MSS added to it. Scale, SACK and ECN are kept
//! in the timestamps, if there are any.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::options::Options;
use super::segment::Segment;
use crate::engine::time::Instant;

/// The MSS values a cookie can hold (`msstab`).
const MSS: [u16; 4] = [536, 1300, 1440, 1460];
/// Minutes for which a cookie is good besides the one it was made in (`MAX_SYNCOOKIE_AGE`).
const AGE: u64 = 2;

/// What the last bits of a timestamp hold: the scale, or 15 for none, SACK permitted, ECN.
const NO_SCALE: u32 = 15;
const SACK: u32 = 1 << 4;
const ECN: u32 = 1 << 5;
const CLOCK_BITS: u32 = 63;

/// The secret of a netns' cookies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Secret(pub(super) u64);

fn minute(now: Instant) -> u64 {
    now.as_nanos() / 60_000_000_000
}

impl Secret {
    /// What is added to our clock in the timestamps of a flow whose SYN is in a cookie: its last bits are free for what
    /// else the SYN said.
    pub(super) fn clock_offset(self, segment: &Segment) -> u32 {
        self.hash(segment, 0, u64::MAX, 0) & !CLOCK_BITS
    }

    /// The timestamp of the SYN-ACK: our clock, put back a little so that it ends with the options of `syn`
    /// (`cookie_init_timestamp`).
    pub(super) fn timestamp(self, now: Instant, syn: &Segment, ecn: bool) -> u32 {
        let ms = (now.as_nanos() / 1_000_000) as u32;
        let scale = syn.options.window_scale.map_or(NO_SCALE, u32::from);
        let bits = scale | if syn.options.sack_permitted { SACK } else { 0 } | if ecn { ECN } else { 0 };
        let stamp = (ms & !CLOCK_BITS) | bits;
        let stamp = if stamp > ms { stamp.wrapping_sub(CLOCK_BITS + 1) } else { stamp };
        stamp.wrapping_add(self.clock_offset(syn))
    }

    /// The options of the SYN that `echo` of our timestamp tells, and whether ECN was agreed to
    /// (`cookie_timestamp_decode`).
    pub(super) fn options(self, ack: &Segment, echo: u32) -> (Options, bool) {
        let bits = echo.wrapping_sub(self.clock_offset(ack));
        let scale = Some(bits & NO_SCALE).filter(|scale| *scale != NO_SCALE).map(|scale| scale as u8);
        let options = Options { window_scale: scale, sack_permitted: bits & SACK != 0, ..Options::default() };
        (Options { timestamps: ack.options.timestamps, ..options }, bits & ECN != 0)
    }

    /// The sequence number of the SYN-ACK that answers `syn`.
    pub(super) fn cookie(self, now: Instant, syn: &Segment) -> u32 {
        let offered = syn.options.mss.unwrap_or(MSS[0]);
        let index = MSS.iter().rposition(|mss| *mss <= offered).unwrap_or(0);
        self.hash(syn, syn.seq, minute(now), index as u32)
    }

    /// The MSS of the SYN, if `ack` acknowledges a cookie of ours that is not too old.
    pub(super) fn check(self, now: Instant, ack: &Segment) -> Option<u16> {
        let (cookie, peer_isn) = (ack.ack.wrapping_sub(1), ack.seq.wrapping_sub(1));
        let now = minute(now);
        let index = |m| cookie.wrapping_sub(self.hash(ack, peer_isn, m, 0)) as usize;
        (now.saturating_sub(AGE)..=now).find_map(|m| MSS.get(index(m)).copied())
    }

    /// A number that vouches for the flow, and `peer_isn` and `index` more: whoever adds to it chooses another MSS
    /// (`secure_tcp_syn_cookie`).
    fn hash(self, segment: &Segment, peer_isn: u32, minute: u64, index: u32) -> u32 {
        let mut bytes = Vec::with_capacity(48);
        for end in [segment.src, segment.dst] {
            match end.ip() {
                std::net::IpAddr::V4(ip) => bytes.extend(ip.octets()),
                std::net::IpAddr::V6(ip) => bytes.extend(ip.octets()),
            }
            bytes.extend(end.port().to_be_bytes());
        }
        bytes.extend(minute.to_be_bytes());
        (xxh3_64_with_seed(&bytes, self.0) as u32).wrapping_add(peer_isn).wrapping_add(index)
    }
}

//! SYN cookies: a full listener keeps the SYN in its own sequence number instead of in memory
//! (net/ipv4/syncookies.c; fact 99).
//!
//! The cookie is our own: a keyed hash of the flow and the minute whose last two bits choose the MSS. What the kernel adds
//! with timestamps, scale and SACK, is not kept.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::segment::Segment;
use crate::engine::time::Instant;

/// The MSS values a cookie can hold (`msstab`).
const MSS: [u16; 4] = [536, 1300, 1440, 1460];
/// Minutes for which a cookie is good besides the one it was made in (`MAX_SYNCOOKIE_AGE`).
const AGE: u64 = 2;

/// The secret of a netns' cookies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Secret(pub(super) u64);

fn minute(now: Instant) -> u64 {
    now.as_nanos() / 60_000_000_000
}

impl Secret {
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
        let made = (now.saturating_sub(AGE)..=now).any(|m| self.hash(ack, peer_isn, m, cookie & 3) == cookie);
        made.then(|| MSS[(cookie & 3) as usize])
    }

    /// A number whose last two bits are `index` and whose others vouch for it.
    fn hash(self, segment: &Segment, peer_isn: u32, minute: u64, index: u32) -> u32 {
        let mut bytes = Vec::with_capacity(48);
        for end in [segment.src, segment.dst] {
            match end.ip() {
                std::net::IpAddr::V4(ip) => bytes.extend(ip.octets()),
                std::net::IpAddr::V6(ip) => bytes.extend(ip.octets()),
            }
            bytes.extend(end.port().to_be_bytes());
        }
        bytes.extend(peer_isn.to_be_bytes());
        bytes.extend(minute.to_be_bytes());
        bytes.extend(index.to_be_bytes());
        (xxh3_64_with_seed(&bytes, self.0) as u32 & !3) | index
    }
}

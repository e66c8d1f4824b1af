//! State cookies (RFC 9260 5.1.3): an association that is not one yet is no state of ours; the peer keeps it, and we know
//! our own hand when it comes back.
//!
//! The cookie is our own: all that makes the association, and a keyed hash of it in the place of Linux's HMAC
//! (`sctp_pack_cookie`).

use std::net::{IpAddr, SocketAddr};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::config::COOKIE_LIFE;
use super::init::Beginning;
use crate::engine::time::{Duration, Instant};
use crate::wire::sctp::be32;

/// The secret of a netns' cookies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Secret(u64);

/// What makes an association.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Cookie {
    pub(super) made: Instant,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) own: Beginning,
    pub(super) peer: Beginning,
    /// The tags, ours and the peer's, of the association there was when the cookie was made; 0 for none (RFC 9260 5.2.2).
    pub(super) tie_tags: [u32; 2],
}

/// What is wrong with a cookie.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Unusable {
    /// It is none of ours.
    Forged,
    /// It is too old.
    Stale {
        /// By so much.
        late: Duration,
        /// The tag that the peer wants to see.
        peer_tag: u32,
    },
}

const BEGINNING: usize = 16;
const ADDRESS: usize = 18;
const BODY: usize = 8 + 2 * ADDRESS + 2 * BEGINNING + 8;

impl Secret {
    pub(super) const fn new(secret: u64) -> Self {
        Self(secret)
    }

    /// The cookie as it is sent.
    pub(super) fn pack(self, cookie: &Cookie) -> Vec<u8> {
        let mut out = Vec::with_capacity(BODY + 8);
        out.extend(cookie.made.as_nanos().to_be_bytes());
        for end in [cookie.local, cookie.remote] {
            let ip = match end.ip() {
                IpAddr::V4(ip) => ip.to_ipv6_mapped(),
                IpAddr::V6(ip) => ip,
            };
            out.extend(ip.octets());
            out.extend(end.port().to_be_bytes());
        }
        for side in [cookie.own, cookie.peer] {
            out.extend(side.tag.to_be_bytes());
            out.extend(side.rwnd.to_be_bytes());
            out.extend(side.out_streams.to_be_bytes());
            out.extend(side.in_streams.to_be_bytes());
            out.extend(side.tsn.to_be_bytes());
        }
        cookie.tie_tags.iter().for_each(|tag| out.extend(tag.to_be_bytes()));
        out.extend(xxh3_64_with_seed(&out, self.0).to_be_bytes());
        out
    }

    /// The cookie that came back (`sctp_unpack_cookie`).
    pub(super) fn unpack(self, now: Instant, bytes: &[u8]) -> Result<Cookie, Unusable> {
        let (body, hash) = bytes.split_at_checked(BODY).ok_or(Unusable::Forged)?;
        if hash != xxh3_64_with_seed(body, self.0).to_be_bytes() {
            return Err(Unusable::Forged);
        }
        let short = |at: usize| u16::from_be_bytes([body[at], body[at + 1]]);
        let end = |at: usize| {
            let ip: [u8; 16] = std::array::from_fn(|n| body[at + n]);
            SocketAddr::new(IpAddr::from(ip).to_canonical(), short(at + 16))
        };
        let side = |at: usize| Beginning {
            tag: be32(&body[at..]),
            rwnd: be32(&body[at + 4..]),
            out_streams: short(at + 8),
            in_streams: short(at + 10),
            tsn: be32(&body[at + 12..]),
        };
        let ends = 8 + 2 * ADDRESS;
        let tags = ends + 2 * BEGINNING;
        let nanos = (u64::from(be32(body)) << 32) | u64::from(be32(&body[4..]));
        let cookie = Cookie {
            made: Instant::START + Duration::from_nanos(nanos),
            local: end(8),
            remote: end(8 + ADDRESS),
            own: side(ends),
            peer: side(ends + BEGINNING),
            tie_tags: [be32(&body[tags..]), be32(&body[tags + 4..])],
        };
        let age = now.since(cookie.made);
        if age > COOKIE_LIFE {
            let late = Duration::from_nanos(age.as_nanos() - COOKIE_LIFE.as_nanos());
            return Err(Unusable::Stale { late, peer_tag: cookie.peer.tag });
        }
        Ok(cookie)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cookie(local: &str, remote: &str) -> Cookie {
        Cookie {
            made: Instant::START + Duration::from_millis(1234),
            local: local.parse().unwrap(),
            remote: remote.parse().unwrap(),
            own: Beginning::own(1, 2),
            peer: Beginning { tag: 3, rwnd: 4, out_streams: 5, in_streams: 6, tsn: 7 },
            tie_tags: [8, 9],
        }
    }

    #[test]
    fn a_cookie_comes_back_as_it_was_for_a_minute() {
        for cookie in [cookie("10.0.0.1:80", "10.0.0.2:5000"), cookie("[fd00::1]:80", "[fd00::2]:5000")] {
            let secret = Secret::new(77);
            let bytes = secret.pack(&cookie);
            let last = cookie.made + COOKIE_LIFE;
            assert_eq!(secret.unpack(last, &bytes), Ok(cookie));
            let late = Duration::from_millis(5);
            assert_eq!(secret.unpack(last + late, &bytes), Err(Unusable::Stale { late, peer_tag: cookie.peer.tag }));
        }
    }

    #[test]
    fn whoever_changes_a_bit_of_it_forges_it() {
        let secret = Secret::new(77);
        let made = secret.pack(&cookie("10.0.0.1:80", "10.0.0.2:5000"));
        for bit in 0..made.len() * 8 {
            let mut bytes = made.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(secret.unpack(Instant::START, &bytes), Err(Unusable::Forged));
        }
        assert_eq!(Secret::new(78).unpack(Instant::START, &made), Err(Unusable::Forged));
        assert_eq!(secret.unpack(Instant::START, &made[1..]), Err(Unusable::Forged));
    }
}

//! What setsockopt() sets on a socket; accepted connections inherit the listener's.

use std::ops::RangeInclusive;

use super::congestion::Algorithm;
use super::path::Path;
use crate::engine::errno::Errno;
use crate::engine::time::Duration;
use crate::netns::socket::PmtuDiscovery;

/// Socket options; `None` and `false` are the defaults.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SocketOptions {
    /// TCP_NODELAY: small segments do not wait (no Nagle).
    pub nodelay: bool,
    /// TCP_CORK: only full segments leave.
    pub cork: bool,
    /// SO_KEEPALIVE.
    pub keepalive: bool,
    /// TCP_KEEPIDLE.
    pub keepidle: Option<Duration>,
    /// TCP_KEEPINTVL.
    pub keepintvl: Option<Duration>,
    /// TCP_KEEPCNT.
    pub keepcnt: Option<u32>,
    /// TCP_USER_TIMEOUT.
    pub user_timeout: Option<Duration>,
    /// TCP_SYNCNT: repetitions of SYN or SYN-ACK.
    pub syncnt: Option<u32>,
    /// TCP_MAXSEG, before the connection is made.
    pub maxseg: Option<u16>,
    /// SO_RCVBUF in bytes as given (the kernel doubles it).
    pub rcvbuf: Option<u32>,
    /// SO_SNDBUF in bytes as given (the kernel doubles it).
    pub sndbuf: Option<u32>,
    /// TCP_LINGER2: how long an orphan waits for the peer's FIN.
    pub linger2: Option<Duration>,
    /// TCP_DEFER_ACCEPT: how long an ACK without data is not enough.
    pub defer_accept: Option<Duration>,
    /// TCP_CONGESTION.
    pub congestion: Option<Algorithm>,
    /// IP_RECVERR: ICMP errors are reported at once.
    pub recverr: bool,
    /// TCP_NOTSENT_LOWAT: with so many bytes not sent there is no room for more.
    pub notsent_lowat: Option<u32>,
    /// IP_MTU_DISCOVER.
    pub pmtu: PmtuDiscovery,
    /// IP_TTL or IPV6_UNICAST_HOPS.
    pub ttl: Option<u8>,
    /// IP_TOS or IPV6_TCLASS.
    pub tos: u8,
    /// IPV6_V6ONLY: a listener at `::` is not for IPv4.
    pub v6only: bool,
}

/// `MAX_TCP_KEEPIDLE` and `MAX_TCP_KEEPINTVL` in seconds, `MAX_TCP_KEEPCNT` and `MAX_TCP_SYNCNT`.
const LONGEST_KEEPALIVE: Duration = Duration::from_secs(32_767);
const MOST_TRIES: u32 = 127;
/// `TCP_MIN_MSS` and `MAX_TCP_WINDOW`: what TCP_MAXSEG may be.
const MSS_RANGE: RangeInclusive<u16> = 88..=32_767;

impl SocketOptions {
    /// Whether setsockopt() takes such values (`do_tcp_setsockopt`, `do_ip_setsockopt`).
    ///
    /// # Errors
    /// `EINVAL`.
    pub fn check(&self) -> Result<(), Errno> {
        let time =
            |time: Option<Duration>| time.is_none_or(|t| (Duration::from_secs(1)..=LONGEST_KEEPALIVE).contains(&t));
        let tries = |tries: Option<u32>| tries.is_none_or(|n| (1..=MOST_TRIES).contains(&n));
        let fine = [self.keepidle, self.keepintvl].into_iter().all(time)
            && [self.keepcnt, self.syncnt].into_iter().all(tries)
            && self.maxseg.is_none_or(|mss| MSS_RANGE.contains(&mss))
            && self.ttl != Some(0);
        if fine { Ok(()) } else { Err(Errno::EINVAL) }
    }

    /// The MSS that a peer's SYN names, no greater than TCP_MAXSEG (`tcp_parse_options`).
    pub(super) fn limit_mss(&self, told: u16) -> u16 {
        told.min(self.maxseg.unwrap_or(u16::MAX))
    }

    /// Whether packets say Don't Fragment (`ip_dont_fragment`).
    pub(super) fn dont_fragment(&self, path: &Path) -> bool {
        match self.pmtu {
            PmtuDiscovery::Do => true,
            PmtuDiscovery::Want => !path.locked,
            PmtuDiscovery::Dont | PmtuDiscovery::Probe => false,
        }
    }

    /// TCP_DEFER_ACCEPT as repetitions of the SYN-ACK, which come after 1, 2, 4 … seconds (`secs_to_retrans`).
    pub(super) fn deferrals(&self) -> u32 {
        let Some(wanted) = self.defer_accept.filter(|d| *d > Duration::ZERO) else { return 0 };
        let (mut repetitions, mut interval) = (1, Duration::from_secs(1));
        let mut covered = interval;
        while wanted > covered && repetitions < 255 {
            repetitions += 1;
            interval = interval.saturating_mul(2).min(Duration::from_secs(120));
            covered = covered + interval;
        }
        repetitions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_setsockopt_refuses_are_refused() {
        let with = |change: fn(&mut SocketOptions)| {
            let mut options = SocketOptions::default();
            change(&mut options);
            options.check()
        };
        assert_eq!(with(|_| ()), Ok(()));
        assert_eq!(with(|o| o.keepidle = Some(Duration::ZERO)), Err(Errno::EINVAL));
        assert_eq!(with(|o| o.keepcnt = Some(128)), Err(Errno::EINVAL));
        assert_eq!(with(|o| o.maxseg = Some(87)), Err(Errno::EINVAL));
        assert_eq!(with(|o| (o.maxseg, o.keepcnt) = (Some(88), Some(127))), Ok(()));
    }
}

//! The constants of SCTP: the defaults of `net.sctp.*` (net/sctp/protocol.c, `sctp_defaults_init`) and of its sockets.

use crate::engine::time::Duration;

/// The retransmission timeout before a round trip was measured (`rto_initial`).
pub(super) const RTO_INITIAL: Duration = Duration::from_secs(3);
/// The least and the greatest one (`rto_min`, `rto_max`).
pub(super) const RTO_MIN: Duration = Duration::from_secs(1);
pub(super) const RTO_MAX: Duration = Duration::from_secs(60);
/// Repetitions of INIT and of COOKIE ECHO (`max_init_retransmits`).
pub(super) const MAX_INIT_RETRANSMITS: u32 = 8;
/// Timeouts in a row that end an association (`association_max_retrans`).
pub(super) const MAX_RETRANS: u32 = 10;
/// Time between heartbeats, to which a retransmission timeout is added (`hb_interval`).
pub(super) const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(30);
/// How long a SACK may wait (`sack_timeout`).
pub(super) const SACK_DELAY: Duration = Duration::from_millis(200);
/// How long a state cookie is good (`valid_cookie_life`).
pub(super) const COOKIE_LIFE: Duration = Duration::from_secs(60);
/// Packets that may be sent at once (`max_burst`).
pub(super) const MAX_BURST: u32 = 4;
/// How long a shutdown may take (`sctp_sf_t5_timer_expire`: five times the greatest timeout).
pub(super) const SHUTDOWN_GUARD: Duration = Duration::from_secs(5 * 60);
/// Streams asked for, and streams granted (`SCTP_DEFAULT_OUTSTREAMS`, `SCTP_MAX_STREAM`).
pub(super) const OUT_STREAMS: u16 = 10;
pub(super) const IN_STREAMS: u16 = u16::MAX;
/// Limit of listen()'s backlog (`net.core.somaxconn`).
pub(super) const SOMAXCONN: u32 = 4096;
/// The least path MTU that is believed (`SCTP_DEFAULT_MINSEGMENT`).
pub(super) const MIN_PATH_MTU: u32 = 512;
/// Bytes that wait to be acknowledged (`net.core.wmem_default`).
pub(super) const SEND_BUFFER: usize = 212_992;
/// What the kernel charges for a chunk beyond its data (`SKB_TRUESIZE`, rounded).
pub(super) const OVERHEAD: usize = 768;

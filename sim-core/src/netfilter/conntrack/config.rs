//! The sysctls of connection tracking, `net.netfilter.nf_conntrack_*`.

use crate::engine::errno::Errno;
use crate::engine::time::Duration;

/// How one sysctl's text is read and shown.
trait Value: Sized {
    fn to_number(&self) -> u64;
    fn from_number(n: u64) -> Option<Self>;
}

impl Value for Duration {
    fn to_number(&self) -> u64 {
        self.as_secs()
    }
    fn from_number(n: u64) -> Option<Self> {
        (n <= u64::from(u32::MAX)).then(|| Self::from_secs(n))
    }
}

impl Value for bool {
    fn to_number(&self) -> u64 {
        u64::from(*self)
    }
    fn from_number(n: u64) -> Option<Self> {
        (n <= 1).then_some(n == 1)
    }
}

impl Value for u8 {
    fn to_number(&self) -> u64 {
        u64::from(*self)
    }
    fn from_number(n: u64) -> Option<Self> {
        n.try_into().ok()
    }
}

impl Value for u32 {
    fn to_number(&self) -> u64 {
        u64::from(*self)
    }
    fn from_number(n: u64) -> Option<Self> {
        n.try_into().ok()
    }
}

macro_rules! sysctls {
    ($($(#[$doc:meta])* $field:ident: $type:ty = $default:expr),* $(,)?) => {
        /// The sysctls; a field is named as its sysctl without `nf_conntrack_`. Timeouts are shown in seconds.
        ///
        /// Defaults are the kernel's (net/netfilter/nf_conntrack_{core,standalone,proto_*}.c), the sizes those
        /// of a machine with more than 4 GiB of memory.
        #[derive(Clone, PartialEq, Eq, Debug)]
        pub struct ConntrackConfig { $($(#[$doc])* pub $field: $type),* }

        impl Default for ConntrackConfig {
            fn default() -> Self {
                Self { $($field: $default),* }
            }
        }

        impl ConntrackConfig {
            /// The value of `nf_conntrack_<name>`; `None` if there is no such sysctl.
            pub fn get(&self, name: &str) -> Option<u64> {
                match name {
                    $(stringify!($field) => Some(self.$field.to_number()),)*
                    _ => None,
                }
            }

            /// Sets `nf_conntrack_<name>`.
            ///
            /// # Errors
            /// `ENOENT` for an unknown name, `EINVAL` for a value out of range.
            pub fn set(&mut self, name: &str, value: u64) -> Result<(), Errno> {
                match name {
                    $(stringify!($field) => self.$field = Value::from_number(value).ok_or(Errno::EINVAL)?,)*
                    _ => return Err(Errno::ENOENT),
                }
                Ok(())
            }
        }
    };
}

sysctls! {
    /// Entries at most, tentative ones included; 0 is no bound.
    max: u32 = 262_144,
    /// Buckets of the hash, which bound the search for an entry to evict from a full table.
    buckets: u32 = 262_144,
    /// Whether new entries count packets and bytes.
    acct: bool = false,
    /// Whether a bad L4 checksum makes a packet INVALID at PREROUTING.
    checksum: bool = true,
    /// Lifetime of an entry of a protocol that is not looked into.
    generic_timeout: Duration = Duration::from_secs(600),
    /// Lifetime of an ICMP query.
    icmp_timeout: Duration = Duration::from_secs(30),
    /// Lifetime of an ICMPv6 query.
    icmpv6_timeout: Duration = Duration::from_secs(30),
    /// How long the rest of an IPv6 packet is waited for.
    frag6_timeout: Duration = Duration::from_secs(60),
    /// Lifetime of a UDP flow.
    udp_timeout: Duration = Duration::from_secs(30),
    /// Lifetime of a UDP flow with answers that lasted more than two seconds.
    udp_timeout_stream: Duration = Duration::from_secs(120),
    /// Lifetime of an SCTP association that is not open.
    sctp_timeout_closed: Duration = Duration::from_secs(10),
    /// Lifetime after an INIT ACK.
    sctp_timeout_cookie_wait: Duration = Duration::from_secs(3),
    /// Lifetime after a COOKIE ECHO.
    sctp_timeout_cookie_echoed: Duration = Duration::from_secs(3),
    /// Lifetime of an open association.
    sctp_timeout_established: Duration = Duration::from_secs(210),
    /// Lifetime after a SHUTDOWN of the side that began.
    sctp_timeout_shutdown_sent: Duration = Duration::from_secs(3),
    /// Lifetime after a SHUTDOWN of the other side.
    sctp_timeout_shutdown_recd: Duration = Duration::from_secs(3),
    /// Lifetime after a SHUTDOWN ACK.
    sctp_timeout_shutdown_ack_sent: Duration = Duration::from_secs(3),
    /// Lifetime of a path that is only probed.
    sctp_timeout_heartbeat_sent: Duration = Duration::from_secs(30),
    /// Lifetime after a SYN.
    tcp_timeout_syn_sent: Duration = Duration::from_secs(120),
    /// Lifetime after a SYN-ACK.
    tcp_timeout_syn_recv: Duration = Duration::from_secs(60),
    /// Lifetime of an established connection.
    tcp_timeout_established: Duration = Duration::from_secs(432_000),
    /// Lifetime after the first FIN.
    tcp_timeout_fin_wait: Duration = Duration::from_secs(120),
    /// Lifetime after its ACK.
    tcp_timeout_close_wait: Duration = Duration::from_secs(60),
    /// Lifetime after the second FIN.
    tcp_timeout_last_ack: Duration = Duration::from_secs(30),
    /// Lifetime after the last ACK.
    tcp_timeout_time_wait: Duration = Duration::from_secs(120),
    /// Lifetime after a RST.
    tcp_timeout_close: Duration = Duration::from_secs(10),
    /// Lifetime at most after `tcp_max_retrans` retransmissions, and while a window is closed.
    tcp_timeout_max_retrans: Duration = Duration::from_secs(300),
    /// Lifetime at most while data is not acknowledged.
    tcp_timeout_unacknowledged: Duration = Duration::from_secs(300),
    /// Retransmissions after which `tcp_timeout_max_retrans` holds.
    tcp_max_retrans: u8 = 3,
    /// Whether a connection is picked up in its middle.
    tcp_loose: bool = true,
    /// Whether segments outside the window are tracked nevertheless.
    tcp_be_liberal: bool = false,
    /// Whether a RST below the highest ACK is tracked nevertheless.
    tcp_ignore_invalid_rst: bool = false,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sysctl_is_read_and_written_by_its_name() {
        let mut config = ConntrackConfig::default();
        assert_eq!(config.get("udp_timeout_stream"), Some(120));
        assert_eq!(config.set("udp_timeout_stream", 7), Ok(()));
        assert_eq!(config.udp_timeout_stream, Duration::from_secs(7));
        assert_eq!(config.set("tcp_loose", 2), Err(Errno::EINVAL));
        assert_eq!(config.set("udp_timeout", u64::MAX), Err(Errno::EINVAL));
        assert_eq!(config.set("no_such", 1), Err(Errno::ENOENT));
        assert_eq!(config.get("no_such"), None);
    }

    /// The defaults that the lab's kernel shows (accounting is switched on by the lab).
    #[test]
    fn the_defaults_are_the_kernels() {
        let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/kernel-lab/golden/ct_sysctls.json");
        let Ok(bytes) = std::fs::read(golden) else {
            eprintln!("skipped: {golden} is absent");
            return;
        };
        let text = String::from_utf8(bytes).unwrap();
        let config = ConntrackConfig::default();
        let mut compared = 0;
        for line in text.split("\"net.netfilter.nf_conntrack_").skip(1) {
            let Some((name, rest)) = line.split_once("\": \"") else { continue };
            let value = rest.split('"').next().unwrap();
            match config.get(name) {
                Some(ours) if name != "acct" => assert_eq!(ours.to_string(), value, "{name}"),
                _ => continue,
            }
            compared += 1;
        }
        assert!(compared >= 20, "only {compared} sysctls compared");
    }
}

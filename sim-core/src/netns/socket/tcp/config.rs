//! The sysctls of a netns' TCP, with Linux's defaults (Documentation/networking/ip-sysctl.rst).

use super::congestion::Algorithm;
use crate::engine::errno::Errno;
use crate::engine::time::Duration;

macro_rules! sysctls {
    ($($(#[$doc:meta])* $field:ident: $type:ty = $default:expr, $key:literal $(($values:pat))?;)*) => {
        /// What `net.ipv4.tcp_*` and its kin say; a change acts where the kernel reads the value.
        #[derive(Clone, PartialEq, Eq, Debug)]
        pub struct TcpConfig { $($(#[$doc])* #[doc = concat!("\n\nSysctl `", $key, "`.")] pub $field: $type,)* }

        impl Default for TcpConfig {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        impl TcpConfig {
            /// Sets a sysctl by its name, for example `net.ipv4.tcp_retries2`, as `sysctl -w` does.
            ///
            /// # Errors
            /// `ENOENT`: there is no such sysctl; `EINVAL`: the value cannot be read, or lies outside of the range that the
            /// kernel takes (net/ipv4/sysctl_net_ipv4.c, `extra1` and `extra2`).
            pub fn set(&mut self, key: &str, value: &str) -> Result<(), Errno> {
                match key {
                    $($key => self.$field = {
                        let value = <$type as Value>::read(value).ok_or(Errno::EINVAL)?;
                        $(if !matches!(value, $values) {
                            return Err(Errno::EINVAL);
                        })?
                        value
                    },)*
                    _ => return Err(Errno::ENOENT),
                }
                Ok(())
            }

            /// A sysctl as `sysctl -n` prints it; `None` if there is none of that name.
            pub fn get(&self, key: &str) -> Option<String> {
                match key {
                    $($key => Some(self.$field.print()),)*
                    _ => None,
                }
            }
        }
    };
}

sysctls! {
    /// Repetitions of a SYN, without the linear ones.
    syn_retries: u32 = 6, "net.ipv4.tcp_syn_retries" (1..=127);
    /// Repetitions of a SYN at equal distance before the doubling begins.
    syn_linear_timeouts: u32 = 4, "net.ipv4.tcp_syn_linear_timeouts" (0..=127);
    /// Repetitions of a SYN-ACK.
    synack_retries: u32 = 5, "net.ipv4.tcp_synack_retries" (0..=255);
    /// Doublings after which a connection is given up.
    retries2: u32 = 15, "net.ipv4.tcp_retries2" (0..=255);
    /// Least deviation from the round-trip time in the retransmission timeout of new sockets, in microseconds.
    rto_min: Micros = Micros(200_000), "net.ipv4.tcp_rto_min_us" (Micros(1..));
    /// Repetitions after close(); 0 means 8.
    orphan_retries: u32 = 0, "net.ipv4.tcp_orphan_retries" (0..=255);
    /// ECN: 0 no, 1 asked for and agreed to, 2 agreed to.
    ecn: u32 = 2, "net.ipv4.tcp_ecn" (0..=2);
    /// Whether a SYN that is sent again no longer asks for ECN.
    ecn_fallback: bool = true, "net.ipv4.tcp_ecn_fallback";
    /// Doublings after which the path is suspected to swallow large segments.
    retries1: u32 = 3, "net.ipv4.tcp_retries1" (0..=255);
    /// Whether segments become smaller where large ones seem to be swallowed: 0 no, 1 then, 2 always.
    mtu_probing: u32 = 0, "net.ipv4.tcp_mtu_probing" (0..=255);
    /// The MSS that is tried then.
    base_mss: u32 = 1024, "net.ipv4.tcp_base_mss";
    /// The least MSS that is tried then.
    mtu_probe_floor: u32 = 48, "net.ipv4.tcp_mtu_probe_floor" (48..=65_535);
    /// Whether timestamps are offered and accepted.
    timestamps: bool = true, "net.ipv4.tcp_timestamps";
    /// Whether selective acknowledgments are offered and accepted.
    sack: bool = true, "net.ipv4.tcp_sack";
    /// Whether duplicates are reported by D-SACK.
    dsack: bool = true, "net.ipv4.tcp_dsack";
    /// Whether window scaling is offered and accepted.
    window_scaling: bool = true, "net.ipv4.tcp_window_scaling";
    /// Receive buffer: least, initial, greatest, in bytes.
    rmem: [u32; 3] = [4096, 131_072, 6_291_456], "net.ipv4.tcp_rmem" ([1..=u32::MAX, 1..=u32::MAX, 1..=u32::MAX]);
    /// Send buffer: least, initial, greatest, in bytes.
    wmem: [u32; 3] = [4096, 16_384, 4_194_304], "net.ipv4.tcp_wmem" ([1..=u32::MAX, 1..=u32::MAX, 1..=u32::MAX]);
    /// Greatest SO_RCVBUF, in bytes.
    rmem_max: u32 = 4 << 20, "net.core.rmem_max";
    /// How long an orphan waits for the peer's FIN, in seconds.
    fin_timeout: Seconds = Seconds(60), "net.ipv4.tcp_fin_timeout" (Seconds(0..=LONGEST));
    /// Idle time before the first keepalive probe, in seconds.
    keepalive_time: Seconds = Seconds(7200), "net.ipv4.tcp_keepalive_time" (Seconds(0..=LONGEST));
    /// Time between keepalive probes, in seconds.
    keepalive_intvl: Seconds = Seconds(75), "net.ipv4.tcp_keepalive_intvl" (Seconds(0..=LONGEST));
    /// Unanswered keepalive probes before the connection is dropped.
    keepalive_probes: u32 = 9, "net.ipv4.tcp_keepalive_probes" (0..=255);
    /// Least time between two answers to segments that do not fit, in milliseconds.
    invalid_ratelimit: Millis = Millis(500), "net.ipv4.tcp_invalid_ratelimit";
    /// 3: tail loss probes.
    early_retrans: u32 = 3, "net.ipv4.tcp_early_retrans" (0..=4);
    /// RACK: bit 1 a fixed reordering window, bit 2 no threshold of three.
    recovery: u32 = 1, "net.ipv4.tcp_recovery" (0..=255);
    /// Segments that may overtake one another before that counts as loss.
    reordering: u32 = 3, "net.ipv4.tcp_reordering" (1..=300);
    /// Limit of what is learned about reordering.
    max_reordering: u32 = 300, "net.ipv4.tcp_max_reordering" (1..);
    /// Whether small segments are joined when they are repeated.
    retrans_collapse: bool = true, "net.ipv4.tcp_retrans_collapse";
    /// F-RTO (RFC 5682): recognise spurious timeouts.
    frto: u32 = 2, "net.ipv4.tcp_frto" (0..=255);
    /// Whether the congestion window shrinks in idle time.
    slow_start_after_idle: bool = true, "net.ipv4.tcp_slow_start_after_idle";
    /// Whether TIME-WAIT ports are used again: 0 no, 1 yes (with timestamps), 2 on loopback only.
    tw_reuse: u32 = 2, "net.ipv4.tcp_tw_reuse" (0..=2);
    /// Whether a RST is ignored in TIME-WAIT.
    rfc1337: bool = false, "net.ipv4.tcp_rfc1337";
    /// Whether a full accept queue answers with a RST.
    abort_on_overflow: bool = false, "net.ipv4.tcp_abort_on_overflow";
    /// Limit of listen()'s backlog.
    somaxconn: u32 = 4096, "net.core.somaxconn";
    /// SYN cookies: 0 never, 1 when too many connections are half open, 2 always.
    syncookies: u32 = 1, "net.ipv4.tcp_syncookies" (0..=255);
    /// Half-open connections beyond which, without cookies, proven peers are preferred.
    max_syn_backlog: u32 = 512, "net.ipv4.tcp_max_syn_backlog";
    /// Least MSS that is used for sending.
    min_snd_mss: u32 = 48, "net.ipv4.tcp_min_snd_mss" (48..=65_535);
    /// Sends in reply after which a connection counts as interactive.
    pingpong_thresh: u32 = 1, "net.ipv4.tcp_pingpong_thresh" (1..=255);
    /// Longest delay of compressed SACKs, in nanoseconds.
    comp_sack_delay: Nanos = Nanos(1_000_000), "net.ipv4.tcp_comp_sack_delay_ns";
    /// SACKs that may be compressed into one.
    comp_sack_nr: u32 = 44, "net.ipv4.tcp_comp_sack_nr" (0..=255);
    /// Smallest path MTU that is believed; below it DF is cleared.
    min_pmtu: u32 = 552, "net.ipv4.route.min_pmtu" (68..);
    /// Connections in TIME-WAIT at most; beyond it they end at once.
    max_tw_buckets: u32 = 262_144, "net.ipv4.tcp_max_tw_buckets";
    /// Ports of connect() and bind(0): first and last.
    local_port_range: [u16; 2] = [32_768, 60_999], "net.ipv4.ip_local_port_range";
    /// Congestion control of new sockets.
    congestion_control: Algorithm = Algorithm::Cubic, "net.ipv4.tcp_congestion_control";
}

/// Seconds that the kernel can count in ticks, 250 a second (`proc_dointvec_jiffies`).
const LONGEST: u32 = i32::MAX as u32 / 250;

/// A whole number of seconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seconds(pub u32);
/// A whole number of milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Millis(pub u32);
/// A whole number of microseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Micros(pub u32);
/// A whole number of nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Nanos(pub u32);

macro_rules! spans {
    ($($unit:ident $make:ident),*) => { $(
        impl From<$unit> for Duration {
            fn from(n: $unit) -> Self {
                Self::$make(u64::from(n.0))
            }
        }
        impl Value for $unit {
            fn read(text: &str) -> Option<Self> {
                text.trim().parse().ok().map(Self)
            }
            fn print(&self) -> String {
                self.0.to_string()
            }
        }
    )* };
}
spans!(Seconds from_secs, Millis from_millis, Micros from_micros, Nanos from_nanos);

/// A sysctl value that can be read from text.
trait Value: Sized {
    fn read(text: &str) -> Option<Self>;
    fn print(&self) -> String;
}

/// The kernel's are `int`s.
impl Value for u32 {
    fn read(text: &str) -> Option<Self> {
        text.trim().parse().ok().filter(|n| i32::try_from(*n).is_ok())
    }

    fn print(&self) -> String {
        self.to_string()
    }
}

/// The kernel's are bytes.
impl Value for bool {
    fn read(text: &str) -> Option<Self> {
        text.trim().parse().ok().map(|n: u8| n != 0)
    }

    fn print(&self) -> String {
        u32::from(*self).to_string()
    }
}

impl Value for u16 {
    fn read(text: &str) -> Option<Self> {
        text.trim().parse().ok()
    }

    fn print(&self) -> String {
        self.to_string()
    }
}

impl<T: Value, const N: usize> Value for [T; N] {
    fn read(text: &str) -> Option<Self> {
        let words: Option<Vec<T>> = text.split_whitespace().map(T::read).collect();
        words?.try_into().ok()
    }

    fn print(&self) -> String {
        self.each_ref().map(Value::print).join("\t")
    }
}

impl Value for Algorithm {
    fn read(text: &str) -> Option<Self> {
        text.trim().parse().ok()
    }

    fn print(&self) -> String {
        self.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sysctls_are_set_by_their_names() {
        let mut c = TcpConfig::default();
        c.set("net.ipv4.tcp_rmem", "4096 131072 33554432").unwrap();
        c.set("net.ipv4.tcp_congestion_control", "reno").unwrap();
        c.set("net.ipv4.tcp_timestamps", "0").unwrap();
        assert_eq!((c.rmem[2], c.congestion_control, c.timestamps), (33_554_432, Algorithm::Reno, false));
        assert_eq!(c.get("net.ipv4.tcp_rmem").as_deref(), Some("4096\t131072\t33554432"));
        assert_eq!(c.set("net.ipv4.tcp_rmem", "1 2"), Err(Errno::EINVAL));
        assert_eq!(c.set("net.ipv4.tcp_retries2", "4294967295"), Err(Errno::EINVAL));
        assert_eq!(c.set("net.ipv4.tcp_rto_min_us", "0"), Err(Errno::EINVAL));
        assert_eq!(c.set("net.ipv4.tcp_nothing", "1"), Err(Errno::ENOENT));
    }

    #[test]
    fn what_the_kernel_refuses_is_refused() {
        let mut c = TcpConfig::default();
        let ranges = [
            ("tcp_syn_retries", "1", "127", ["0", "128"]),
            ("tcp_reordering", "1", "300", ["0", "301"]),
            ("tcp_sack", "0", "255", ["-1", "256"]),
            ("tcp_ecn", "0", "2", ["-1", "3"]),
            ("tcp_fin_timeout", "0", "8589934", ["x", "8589935"]),
            ("tcp_rmem", "1 1 1", "3 2 2147483647", ["0 1 1", "1 1 2147483648"]),
        ];
        for (name, least, most, refused) in ranges {
            let key = format!("net.ipv4.{name}");
            assert_eq!([c.set(&key, least), c.set(&key, most)], [Ok(()), Ok(())], "{name}");
            assert_eq!(refused.map(|value| c.set(&key, value)), [Err(Errno::EINVAL); 2], "{name}");
        }
    }
}

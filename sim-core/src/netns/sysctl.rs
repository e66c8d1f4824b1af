//! The sysctls of a netns, by the kernel's names and with its defaults. Values are integers; every name that
//! can be set changes behaviour, other names are refused with `ENOENT`.

use crate::dev::Devices;
use crate::engine::arena::{DevId, Map};
use crate::engine::errno::Errno;
use crate::engine::time::Duration;

use super::neigh::NeighConfig;
use crate::wire::ip::Family;
use ipv4::DevConf;
use ipv6::{Confs, Who};

pub mod ipv4;
pub mod ipv6;

/// All sysctls of a netns.
#[derive(Clone, Debug)]
pub struct Sysctl {
    /// `net.ipv4.ip_forward`: forward packets between devices. Default 0.
    pub ip_forward: i64,
    /// `net.ipv4.ip_default_ttl`. Default 64.
    pub default_ttl: i64,
    /// `net.ipv4.icmp_ratelimit`: milliseconds between two errors to one destination, 0 unlimited. Default 1000.
    pub icmp_ratelimit: i64,
    /// `net.ipv4.icmp_echo_ignore_all`. Default 0.
    pub icmp_echo_ignore_all: i64,
    /// `net.ipv4.icmp_echo_ignore_broadcasts`: requests to groups and broadcasts are not answered. Default 1.
    pub icmp_echo_ignore_broadcasts: i64,
    /// `net.ipv4.ip_local_port_range`: first and last ephemeral port. Default 32768 60999.
    pub local_port_range: (u16, u16),
    /// `net.ipv4.ipfrag_time`: seconds to wait for the rest of a packet. Default 30.
    pub ipfrag_time: i64,
    /// `net.ipv6.icmp.ratelimit`: as `icmp_ratelimit`. Default 1000.
    pub icmpv6_ratelimit: i64,
    /// `net.ipv6.ip6frag_time`: seconds to wait for the rest of a packet. Default 60.
    pub ip6frag_time: i64,
    /// `net.ipv6.bindv6only`: whether a socket for all addresses of IPv6 is not one for IPv4. Default 0.
    pub bindv6only: i64,
    /// `net.bridge.bridge-nf-call-iptables`: bridged IP packets pass iptables. Default 1 (once br_netfilter is loaded).
    pub bridge_nf_call_iptables: i64,
    /// `net.bridge.bridge-nf-call-ip6tables`: the same for IPv6. Default 1.
    pub bridge_nf_call_ip6tables: i64,
    all: DevConf,
    default: DevConf,
    dev: Map<DevId, DevConf>,
    ipv6: Confs,
    neigh: Map<(DevId, Family), NeighConfig>,
}

impl Default for Sysctl {
    fn default() -> Self {
        Self {
            ip_forward: 0,
            default_ttl: 64,
            icmp_ratelimit: 1000,
            icmp_echo_ignore_all: 0,
            icmp_echo_ignore_broadcasts: 1,
            local_port_range: (32768, 60999),
            ipfrag_time: 30,
            icmpv6_ratelimit: 1000,
            ip6frag_time: 60,
            bindv6only: 0,
            bridge_nf_call_iptables: 1,
            bridge_nf_call_ip6tables: 1,
            all: DevConf::default(),
            default: DevConf::default(),
            dev: Map::default(),
            ipv6: Confs::default(),
            neigh: Map::default(),
        }
    }
}

impl Sysctl {
    /// A new device takes the values of `default`; its neighbours' reachable time is randomised by `reachable_factor`.
    pub fn add_dev(&mut self, dev: DevId, reachable_factor: u32) {
        self.dev.insert(dev, self.default);
        self.ipv6.add_dev(dev);
        for family in Family::ALL {
            self.neigh.insert((dev, family), NeighConfig { reachable_factor, ..NeighConfig::new(family) });
        }
    }

    /// A device is gone, and its knobs with it.
    pub fn remove_dev(&mut self, dev: DevId) {
        self.dev.remove(&dev);
        self.ipv6.remove_dev(dev);
        for family in Family::ALL {
            self.neigh.remove(&(dev, family));
        }
    }

    /// The neighbour knobs of a device.
    pub fn neigh(&self, dev: DevId, family: Family) -> NeighConfig {
        self.neigh.get(&(dev, family)).copied().unwrap_or(NeighConfig::new(family))
    }

    /// The knobs of IPv6 of a device.
    pub fn ipv6(&self, dev: DevId) -> ipv6::Conf {
        self.ipv6.of(dev)
    }

    /// Whether new addresses of IPv6 on a device are probed for duplicates (`addrconf_dad_begin`), and how often.
    pub fn dad_probes(&self, dev: DevId) -> u32 {
        let conf = self.ipv6.of(dev);
        let wanted = self.ipv6.all().accept_dad > 0 || conf.accept_dad > 0;
        if wanted { u32::try_from(conf.dad_transmits).unwrap_or(0) } else { 0 }
    }

    /// Whether bridged packets of a family pass its iptables.
    pub fn bridge_nf(&self, family: Family) -> bool {
        match family {
            Family::V4 => self.bridge_nf_call_iptables != 0,
            Family::V6 => self.bridge_nf_call_ip6tables != 0,
        }
    }

    /// How long the rest of a packet is waited for.
    pub fn fragment_time(&self, family: Family) -> Duration {
        let seconds = match family {
            Family::V4 => self.ipfrag_time,
            Family::V6 => self.ip6frag_time,
        };
        Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
    }

    /// Milliseconds between two ICMP errors to one destination; 0 is no limit.
    pub fn error_interval(&self, family: Family) -> u64 {
        let milliseconds = match family {
            Family::V4 => self.icmp_ratelimit,
            Family::V6 => self.icmpv6_ratelimit,
        };
        u64::try_from(milliseconds).unwrap_or(0)
    }

    /// Source validation on a device: the larger of `all` and its own (include/linux/inetdevice.h, `IN_DEV_RPFILTER`).
    pub fn rp_filter(&self, dev: DevId) -> i64 {
        self.all.rp_filter.max(self.of(dev).rp_filter)
    }

    /// Whether packets received on a device are forwarded (net/ipv6/ip6_output.c, `ip6_forward`: IPv6 asks `all`).
    pub fn forwarding(&self, dev: DevId, family: Family) -> bool {
        match family {
            Family::V4 => self.of(dev).forwarding != 0,
            Family::V6 => self.ipv6.all().forwarding != 0,
        }
    }

    /// Whether 127/8 is routed on a device (`IN_DEV_ROUTE_LOCALNET`: all or the device).
    pub fn route_localnet(&self, dev: DevId) -> bool {
        self.all.route_localnet != 0 || self.of(dev).route_localnet != 0
    }

    /// Whether local source addresses are accepted from outside (all or the device).
    pub fn accept_local(&self, dev: DevId) -> bool {
        self.all.accept_local != 0 || self.of(dev).accept_local != 0
    }

    /// Whether redirects are sent by a device (all or the device).
    pub fn send_redirects(&self, dev: DevId) -> bool {
        self.all.send_redirects != 0 || self.of(dev).send_redirects != 0
    }

    /// Whether redirects are followed that come in by a device (`IN_DEV_RX_REDIRECTS`): a router's all and device must say so,
    /// of a host one is enough.
    pub fn accept_redirects(&self, dev: DevId) -> bool {
        let (all, own) = (self.all.accept_redirects != 0, self.of(dev).accept_redirects != 0);
        if self.of(dev).forwarding != 0 { all && own } else { all || own }
    }

    /// Whether several networks share the link of a device (all or the device).
    pub fn shared_media(&self, dev: DevId) -> bool {
        self.all.shared_media != 0 || self.of(dev).shared_media != 0
    }

    /// Whether redirects may name only gateways of routes, where a link is not shared (all or the device).
    pub fn secure_redirects(&self, dev: DevId) -> bool {
        self.all.secure_redirects != 0 || self.of(dev).secure_redirects != 0
    }

    /// Whether ARP is answered for routed addresses (all or the device).
    pub fn proxy_arp(&self, dev: DevId) -> bool {
        self.all.proxy_arp != 0 || self.of(dev).proxy_arp != 0
    }

    /// For which addresses ARP is answered: the larger of all and the device.
    pub fn arp_ignore(&self, dev: DevId) -> i64 {
        self.all.arp_ignore.max(self.of(dev).arp_ignore)
    }

    /// Whether the addresses of a device are announced: the larger of all and the device.
    pub fn arp_notify(&self, dev: DevId) -> bool {
        self.all.arp_notify.max(self.of(dev).arp_notify) > 0
    }

    fn of(&self, dev: DevId) -> DevConf {
        self.dev.get(&dev).copied().unwrap_or(self.default)
    }

    /// Reads a sysctl as `sysctl -n` prints it.
    ///
    /// # Errors
    /// `ENOENT` if there is none of that name.
    pub fn get(&self, devs: &Devices, key: &str) -> Result<String, Errno> {
        if key == PORT_RANGE {
            return Ok(format!("{}\t{}", self.local_port_range.0, self.local_port_range.1));
        }
        if let Some(value) = fixed(devs, key) {
            return Ok(value.to_string());
        }
        self.clone().knob(devs, key).map(|knob| knob.get().to_string())
    }

    /// Sets a sysctl.
    ///
    /// # Errors
    /// `ENOENT` if there is none of that name, `EINVAL` if the value is not what it takes, `ENOTSUP` for a value
    /// the emulator has no behaviour for (it knows only the default).
    pub fn set(&mut self, devs: &Devices, key: &str, value: &str) -> Result<(), Errno> {
        if key == PORT_RANGE {
            return self.set_port_range(value);
        }
        let number = || value.trim().parse::<i64>().map_err(|_| Errno::EINVAL);
        if let Some(only) = fixed(devs, key) {
            return if only == number()? { Ok(()) } else { Err(Errno::ENOTSUP) };
        }
        let before = self.knob(devs, key)?.get();
        self.knob(devs, key)?.set(number()?)?;
        // What is written again is told nobody (`devinet_sysctl_forward`), but to IPv6 (`addrconf_fixup_forwarding`).
        if before != number()? || key.starts_with("net.ipv6.") {
            self.propagate(key, number()?);
        }
        Ok(())
    }

    fn set_port_range(&mut self, value: &str) -> Result<(), Errno> {
        let mut parts = value.split_whitespace().map(|p| p.parse::<u16>().map_err(|_| Errno::EINVAL));
        let (Some(low), Some(high), None) = (parts.next(), parts.next(), parts.next()) else {
            return Err(Errno::EINVAL);
        };
        let (low, high) = (low?, high?);
        if low == 0 || low > high {
            return Err(Errno::EINVAL);
        }
        self.local_port_range = (low, high);
        Ok(())
    }

    /// `ip_forward` and `conf.all.forwarding` set every device, `default` included; a router follows no redirects, unless told
    /// to (net/ipv4/devinet.c, `inet_forward_change`).
    fn propagate(&mut self, key: &str, value: i64) {
        if matches!(key, "net.ipv4.ip_forward" | "net.ipv4.conf.all.forwarding") {
            self.ip_forward = value;
            (self.all.forwarding, self.default.forwarding) = (value, value);
            self.all.accept_redirects = i64::from(value == 0);
            self.dev.values_mut().for_each(|d| d.forwarding = value);
        }
        if let Some(name) = key.strip_prefix("net.ipv6.conf.all.") {
            self.ipv6.propagate(name, value);
        }
    }

    fn knob(&mut self, devs: &Devices, key: &str) -> Result<Knob<'_>, Errno> {
        if let Some(rest) = key.strip_prefix("net.ipv4.conf.") {
            return self.conf_knob(devs, rest).ok_or(Errno::ENOENT);
        }
        if let Some(rest) = key.strip_prefix("net.ipv4.neigh.") {
            return self.neigh_knob(devs, Family::V4, rest).ok_or(Errno::ENOENT);
        }
        if let Some(rest) = key.strip_prefix("net.ipv6.neigh.") {
            return self.neigh_knob(devs, Family::V6, rest).ok_or(Errno::ENOENT);
        }
        if let Some((who, name)) = key.strip_prefix("net.ipv6.conf.").and_then(|rest| rest.rsplit_once('.')) {
            let knob = who_of(devs, who).and_then(|who| self.ipv6.knob(who, name));
            return knob.map(Knob::Int).ok_or(Errno::ENOENT);
        }
        Ok(Knob::Int(match key {
            "net.ipv4.ip_forward" => &mut self.ip_forward,
            "net.ipv4.ip_default_ttl" => &mut self.default_ttl,
            "net.ipv4.icmp_ratelimit" => &mut self.icmp_ratelimit,
            "net.ipv4.icmp_echo_ignore_all" => &mut self.icmp_echo_ignore_all,
            "net.ipv4.icmp_echo_ignore_broadcasts" => &mut self.icmp_echo_ignore_broadcasts,
            "net.ipv4.ipfrag_time" => &mut self.ipfrag_time,
            "net.ipv6.icmp.ratelimit" => &mut self.icmpv6_ratelimit,
            "net.ipv6.ip6frag_time" => &mut self.ip6frag_time,
            "net.ipv6.bindv6only" => &mut self.bindv6only,
            "net.bridge.bridge-nf-call-iptables" => &mut self.bridge_nf_call_iptables,
            "net.bridge.bridge-nf-call-ip6tables" => &mut self.bridge_nf_call_ip6tables,
            _ => return Err(Errno::ENOENT),
        }))
    }

    /// `DEV.NAME`
    fn conf_knob(&mut self, devs: &Devices, rest: &str) -> Option<Knob<'_>> {
        let (dev, name) = rest.rsplit_once('.')?;
        let default = self.default;
        let conf = match dev {
            "all" => &mut self.all,
            "default" => &mut self.default,
            dev => self.dev.entry(find_dev(devs, dev)?).or_insert(default),
        };
        conf.knob(name).map(Knob::Int)
    }

    /// `DEV.NAME`
    fn neigh_knob(&mut self, devs: &Devices, family: Family, rest: &str) -> Option<Knob<'_>> {
        let (dev, name) = rest.rsplit_once('.')?;
        let neigh = self.neigh.entry((find_dev(devs, dev)?, family)).or_insert(NeighConfig::new(family));
        let (second, millisecond, jiffy) =
            (Duration::from_secs(1), Duration::from_millis(1), Duration::from_millis(10));
        Some(match name {
            "delay_first_probe_time" => Knob::Time(&mut neigh.delay_probe_time, second),
            "base_reachable_time" => Knob::Time(&mut neigh.base_reachable_time, second),
            "base_reachable_time_ms" => Knob::Time(&mut neigh.base_reachable_time, millisecond),
            "retrans_time_ms" => Knob::Time(&mut neigh.retrans_time, millisecond),
            "gc_stale_time" => Knob::Time(&mut neigh.gc_stale_time, second),
            "locktime" => Knob::Time(&mut neigh.locktime, jiffy),
            "mcast_solicit" => Knob::Count(&mut neigh.mcast_solicit),
            "ucast_solicit" => Knob::Count(&mut neigh.ucast_solicit),
            _ => return None,
        })
    }
}

/// `net.ipv4.ip_local_port_range`, the one with two numbers.
const PORT_RANGE: &str = "net.ipv4.ip_local_port_range";

/// Sysctls the emulator knows one value of, the kernel's default: it behaves so, and refuses another.
const FIXED: [(&str, i64); 8] = [
    ("net.ipv4.ipfrag_high_thresh", 4_194_304),
    ("net.ipv4.icmp_ratemask", 6168),
    ("net.ipv4.icmp_errors_use_inbound_ifaddr", 0),
    ("net.ipv4.ip_no_pmtu_disc", 0),
    ("net.ipv4.ip_forward_use_pmtu", 0),
    ("net.ipv4.route.mtu_expires", 600),
    ("net.bridge.bridge-nf-call-arptables", 0),
    ("net.netfilter.nf_conntrack_events", 2),
];
/// The same of `net.ipv4.neigh.DEV.*`, for every device.
const FIXED_NEIGH: [(&str, i64); 3] = [("app_solicit", 0), ("unres_qlen_bytes", 212_992), ("proxy_delay", 80)];
/// The same of `net.ipv4.conf.DEV.*`, for every device, `all` and `default`.
const FIXED_CONF: [(&str, i64); 2] = [("arp_announce", 0), ("log_martians", 0)];

/// The one value of a sysctl that has only one.
fn fixed(devs: &Devices, key: &str) -> Option<i64> {
    let of = |table: &[(&str, i64)], name: &str| table.iter().find(|(n, _)| *n == name).map(|(_, value)| *value);
    if let Some((dev, name)) = key.strip_prefix("net.ipv4.neigh.").and_then(|rest| rest.rsplit_once('.')) {
        return find_dev(devs, dev).and_then(|_| of(&FIXED_NEIGH, name));
    }
    if let Some((who, name)) = key.strip_prefix("net.ipv6.conf.").and_then(|rest| rest.rsplit_once('.')) {
        return who_of(devs, who).and_then(|_| of(&ipv6::FIXED, name));
    }
    if let Some((dev, name)) = key.strip_prefix("net.ipv4.conf.").and_then(|rest| rest.rsplit_once('.')) {
        let everywhere = matches!(dev, "all" | "default");
        return match name {
            // Both `all` and the device must say yes; devices do, `all` does not.
            "accept_source_route" if dev == "all" => Some(0),
            "accept_source_route" if everywhere || find_dev(devs, dev).is_some() => Some(1),
            name if everywhere || find_dev(devs, dev).is_some() => of(&FIXED_CONF, name),
            _ => None,
        };
    }
    of(&FIXED, key)
}

/// One value, with the unit it is written in.
enum Knob<'a> {
    Int(&'a mut i64),
    Count(&'a mut u32),
    Time(&'a mut Duration, Duration),
}

impl Knob<'_> {
    fn get(&self) -> i64 {
        match self {
            Self::Int(n) => **n,
            Self::Count(n) => i64::from(**n),
            Self::Time(time, unit) => (time.as_nanos() / unit.as_nanos()) as i64,
        }
    }

    fn set(self, number: i64) -> Result<(), Errno> {
        match (self, u32::try_from(number)) {
            (Self::Int(n), _) if i32::try_from(number).is_ok() => *n = number,
            (Self::Count(n), Ok(number)) => *n = number,
            (Self::Time(time, unit), Ok(number)) => *time = unit.saturating_mul(u64::from(number)),
            _ => return Err(Errno::EINVAL),
        }
        Ok(())
    }
}

impl super::Netns {
    /// Sets a sysctl, conntrack's and TCP's among them.
    pub(crate) fn set_sysctl(&mut self, key: &str, value: &str) -> Result<(), Errno> {
        let conntrack = key.strip_prefix(CONNTRACK).filter(|name| self.conntrack.config.get(name).is_some());
        if let Some(name) = conntrack {
            let value = value.trim().parse().map_err(|_| Errno::EINVAL)?;
            return self.conntrack.config.set(name, value);
        }
        let (low, high) = match self.sysctl.set(&self.devs, key, value) {
            Err(Errno::ENOENT) => return self.tcp.config_mut().set(key, value),
            done => done.map(|()| self.sysctl.local_port_range)?,
        };
        self.tcp.config_mut().local_port_range = [low, high];
        if key.starts_with("net.ipv6.conf.") {
            self.follow_ipv6_conf();
        }
        Ok(())
    }

    /// Reads a sysctl, conntrack's and TCP's among them.
    pub(crate) fn get_sysctl(&self, key: &str) -> Result<String, Errno> {
        let conntrack = key.strip_prefix(CONNTRACK).and_then(|name| self.conntrack.config.get(name));
        let known = conntrack.map(|v| v.to_string()).or_else(|| self.tcp.config().get(key));
        known.map_or_else(|| self.sysctl.get(&self.devs, key), Ok)
    }
}

/// How the names of conntrack's sysctls begin.
const CONNTRACK: &str = "net.netfilter.nf_conntrack_";

/// Whose knob of `net.ipv6.conf` a name means.
fn who_of(devs: &Devices, name: &str) -> Option<Who> {
    match name {
        "all" => Some(Who::All),
        "default" => Some(Who::Default),
        dev => find_dev(devs, dev).map(Who::Dev),
    }
}

/// A device as a sysctl name spells it: a dot in it becomes a slash (`flannel/1`); the dot is taken too.
fn find_dev(devs: &Devices, name: &str) -> Option<DevId> {
    devs.by_name(name).or_else(|| devs.by_name(&name.replace('/', "."))).map(|d| d.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ip_forward_sets_every_device() {
        let devs = Devices::default();
        let mut s = Sysctl::default();
        s.add_dev(Devices::LO, 1000);
        s.set(&devs, "net.ipv4.ip_forward", "1").unwrap();
        assert!(s.forwarding(Devices::LO, Family::V4));
        assert_eq!(s.get(&devs, "net.ipv4.conf.lo.forwarding").as_deref(), Ok("1"));
    }

    #[test]
    fn unknown_names_and_values_are_refused() {
        let devs = Devices::default();
        let mut s = Sysctl::default();
        assert_eq!(s.set(&devs, "net.ipv4.no_such", "1"), Err(Errno::ENOENT));
        assert_eq!(s.set(&devs, "net.ipv4.conf.eth9.rp_filter", "1"), Err(Errno::ENOENT));
        assert_eq!(s.set(&devs, "net.ipv4.ip_forward", "yes"), Err(Errno::EINVAL));
        assert_eq!(s.set(&devs, "net.ipv4.ip_local_port_range", "9 1"), Err(Errno::EINVAL));
        assert_eq!(s.set(&devs, "net.ipv4.neigh.lo.locktime", "-1"), Err(Errno::EINVAL));
    }

    #[test]
    fn a_value_without_behaviour_is_refused_and_the_one_there_is_taken() {
        let devs = Devices::default();
        let mut s = Sysctl::default();
        assert_eq!(s.set(&devs, "net.ipv4.ip_no_pmtu_disc", "0"), Ok(()));
        assert_eq!(s.set(&devs, "net.ipv4.ip_no_pmtu_disc", "1"), Err(Errno::ENOTSUP));
        assert_eq!(s.get(&devs, "net.ipv4.neigh.lo.app_solicit").as_deref(), Ok("0"), "of every device");
        assert_eq!(s.get(&devs, "net.ipv4.neigh.eth9.app_solicit"), Err(Errno::ENOENT), "that is there");
    }

    #[test]
    fn what_is_set_is_read_back() {
        let devs = Devices::default();
        let mut s = Sysctl::default();
        s.set(&devs, "net.ipv4.neigh.lo.delay_first_probe_time", "600").unwrap();
        assert_eq!(s.get(&devs, "net.ipv4.neigh.lo.delay_first_probe_time").as_deref(), Ok("600"));
        s.set(&devs, "net.ipv4.ip_local_port_range", "32768\t60999").unwrap();
        assert_eq!(s.get(&devs, "net.ipv4.ip_local_port_range").as_deref(), Ok("32768\t60999"));
    }
}

//! Devices and their addresses as `ip link`, `ip addr` and `bridge link` of iproute2 6.1 print them.

use std::net::IpAddr;

use ipnet::IpNet;

use super::Netns;
use crate::dev::{Dev, DevKind};
use crate::engine::arena::NetnsId;
use crate::netns::addr::{Addr, Dad, Scope};
use crate::wire::ip::Family;

/// How much `ip` is asked to print.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LinkForm {
    /// Everything.
    #[default]
    Full,
    /// Of addresses those of one family, and only devices that have one (`-4`, `-6`).
    Of(Family),
    /// One line a device (`-br`).
    Brief,
}

impl Netns {
    /// Lines of `ip link show`, of one device or of all.
    pub fn show_links(&self, dev: Option<&str>, form: LinkForm) -> Vec<String> {
        self.wanted(dev).flat_map(|dev| self.show_link(dev, form)).collect()
    }

    fn show_link(&self, dev: &Dev, form: LinkForm) -> Vec<String> {
        if form == LinkForm::Brief {
            return vec![format!("{} {} {}", self.brief(dev), dev.mac, self.flags(dev))];
        }
        vec![format!("{} mode DEFAULT group default qlen 1000", self.head(dev)), self.hardware(dev)]
    }

    /// Lines of `ip addr show`, of one device or of all.
    pub fn show_addrs(&self, dev: Option<&str>, form: LinkForm) -> Vec<String> {
        self.wanted(dev).flat_map(|dev| self.show_addrs_of(dev, form)).collect()
    }

    fn show_addrs_of(&self, dev: &Dev, form: LinkForm) -> Vec<String> {
        let mut addrs: Vec<&Addr> = self.addrs.of(dev.id).collect();
        if let LinkForm::Of(family) = form {
            addrs.retain(|a| Family::of(a.net.addr()) == family);
        }
        // Those of IPv4 come first, of IPv6 those that reach farthest, the last added first (`ipv6_link_dev_addr`).
        addrs.sort_by_key(|a| Family::of(a.net.addr()));
        let first_v6 = addrs.partition_point(|a| a.net.addr().is_ipv4());
        addrs[first_v6..].reverse();
        addrs[first_v6..].sort_by_key(|a| a.scope);
        let head = || format!("{} group default qlen 1000", self.head(dev));
        let mut lines = match form {
            LinkForm::Brief => {
                let nets = addrs.iter().map(|a| format!(" {}", a.net));
                return vec![nets.fold(self.brief(dev), |line, net| line + &net)];
            }
            LinkForm::Of(_) if addrs.is_empty() => return Vec::new(),
            LinkForm::Of(_) => vec![head()],
            LinkForm::Full => vec![head(), self.hardware(dev)],
        };
        for (at, addr) in addrs.iter().enumerate() {
            // net/ipv4/devinet.c, `__inet_insert_ifa`: the first address of a subnet is the primary one.
            let secondary = addr.net.addr().is_ipv4() && addrs[..at].iter().any(|a| a.net.trunc() == addr.net.trunc());
            lines.push(show_addr(addr, &dev.name, secondary));
            lines.push("       valid_lft forever preferred_lft forever".to_owned());
        }
        lines
    }

    /// Lines of `bridge link show`: the ports of bridges, of one device or of all.
    pub fn show_bridge_ports(&self, dev: Option<&str>) -> Vec<String> {
        let line = |dev: &Dev| {
            let master = self.dev_name(dev.port?.bridge);
            let state = if dev.up { "forwarding" } else { "disabled" };
            let (name, flags, mtu) = (self.name_and_peer(dev), self.flags(dev), dev.mtu);
            Some(format!("{}: {name}: {flags} mtu {mtu} master {master} state {state} priority 32 cost 2", dev.id.0))
        };
        self.wanted(dev).filter_map(line).collect()
    }

    fn wanted(&self, name: Option<&str>) -> impl Iterator<Item = &Dev> {
        self.devs.iter().filter(move |dev| name.is_none_or(|name| dev.name == name))
    }

    /// `2: cni0: <…> mtu 1450 qdisc noqueue state UP`; no device of the emulator has a queueing discipline.
    fn head(&self, dev: &Dev) -> String {
        let master = dev.port.map(|port| format!(" master {}", self.dev_name(port.bridge))).unwrap_or_default();
        let qdisc = if dev.up { "noqueue" } else { "noop" };
        let (name, flags, state) = (self.name_and_peer(dev), self.flags(dev), self.state(dev));
        format!("{}: {name}: {flags} mtu {} qdisc {qdisc}{master} state {state}", dev.id.0, dev.mtu)
    }

    fn brief(&self, dev: &Dev) -> String {
        format!("{:<16} {:<14}", self.name_and_peer(dev), self.state(dev))
    }

    /// `eth0@veth1`, or `eth0@if7` if the other end is in another netns.
    fn name_and_peer(&self, dev: &Dev) -> String {
        match &dev.kind {
            DevKind::Veth(veth) => match veth.peer {
                Some((netns, peer)) if netns == self.id => format!("{}@{}", dev.name, self.dev_name(peer)),
                Some((_, peer)) => format!("{}@if{}", dev.name, peer.0),
                None => dev.name.clone(),
            },
            _ => dev.name.clone(),
        }
    }

    fn hardware(&self, dev: &Dev) -> String {
        let (kind, broadcast) = match dev.kind {
            DevKind::Loopback => ("loopback", "00:00:00:00:00:00"),
            _ => ("ether", "ff:ff:ff:ff:ff:ff"),
        };
        let netnsid = self.netnsid(dev).map(|id| format!(" link-netnsid {id}")).unwrap_or_default();
        format!("    link/{kind} {} brd {broadcast}{netnsid}", dev.mac)
    }

    /// The number this netns has for that of a device's other end: they are given out in the order in which they are
    /// first needed (net/core/net_namespace.c, `peernet2id_alloc`).
    fn netnsid(&self, dev: &Dev) -> Option<usize> {
        let other = |dev: &Dev| match &dev.kind {
            DevKind::Veth(veth) => veth.peer.map(|(netns, _)| netns).filter(|netns| *netns != self.id),
            _ => None,
        };
        let wanted = other(dev)?;
        let mut known: Vec<NetnsId> = Vec::new();
        for netns in self.devs.iter().filter_map(other) {
            if !known.contains(&netns) {
                known.push(netns);
            }
        }
        known.iter().position(|netns| *netns == wanted)
    }

    fn flags(&self, dev: &Dev) -> &'static str {
        match (&dev.kind, dev.up) {
            (DevKind::Loopback, true) => "<LOOPBACK,UP,LOWER_UP>",
            (DevKind::Loopback, false) => "<LOOPBACK>",
            (_, false) => "<BROADCAST,MULTICAST>",
            (_, true) if self.has_carrier(dev) => "<BROADCAST,MULTICAST,UP,LOWER_UP>",
            (_, true) => "<NO-CARRIER,BROADCAST,MULTICAST,UP>",
        }
    }

    fn state(&self, dev: &Dev) -> &'static str {
        match (&dev.kind, dev.up) {
            (_, false) => "DOWN",
            (DevKind::Loopback | DevKind::Vxlan(_), true) => "UNKNOWN",
            (_, true) if self.has_carrier(dev) => "UP",
            (_, true) => "DOWN",
        }
    }

    /// A bridge has a carrier as soon as a port has (net/bridge/br_stp_if.c, `br_port_carrier_check`).
    fn has_carrier(&self, dev: &Dev) -> bool {
        let up = |port| self.devs.get(port).is_some_and(|port| port.up);
        dev.bridge().is_none_or(|bridge| bridge.ports.iter().any(|port| up(*port)))
    }
}

fn show_addr(addr: &Addr, dev: &str, secondary: bool) -> String {
    let family = match addr.net.addr() {
        IpAddr::V4(_) => "inet",
        IpAddr::V6(_) => "inet6",
    };
    let broadcast = addr.broadcast.map(|b| format!(" brd {b}")).unwrap_or_default();
    let scope = match addr.scope {
        Scope::Universe => "global",
        Scope::Link => "link",
        Scope::Host => "host",
    };
    let secondary = if secondary { " secondary" } else { "" };
    let flags = match (addr.net, addr.dad) {
        (IpNet::V4(_), _) => format!("{secondary} {dev}"),
        (IpNet::V6(_), Dad::Done) => String::new(),
        (IpNet::V6(_), Dad::Tentative { .. }) => " tentative".to_owned(),
        (IpNet::V6(_), Dad::Failed) => " dadfailed tentative".to_owned(),
    };
    format!("    {family} {}{broadcast} scope {scope}{flags}", addr.net)
}

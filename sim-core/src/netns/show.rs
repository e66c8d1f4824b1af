//! State as the tools print it: `ip route`, `ip neigh`, `ip addr`, `bridge fdb`.

use std::fmt::Write as _;

use ipnet::IpNet;

use super::Netns;
use super::fib::{Route, RouteKind};
use crate::dev::Devices;
use crate::engine::arena::DevId;
use crate::engine::time::Instant;
use crate::netfilter::conntrack::Conntrack;

impl Netns {
    /// The name of a device; empty if it is gone.
    pub fn dev_name(&self, dev: DevId) -> &str {
        self.devs.name(Some(dev))
    }

    /// Lines of `conntrack -L -o extended`, oldest entry first.
    pub fn show_conntrack(&self, now: Instant) -> Vec<String> {
        self.conntrack.iter(now).map(|(_, entry)| entry.show(now)).collect()
    }

    /// The conntrack table, to look at.
    pub fn conntrack(&self) -> &Conntrack {
        &self.conntrack
    }

    /// The devices, to look at.
    pub fn devs(&self) -> &Devices {
        &self.devs
    }

    /// Lines of `ip route show table N`.
    pub fn show_routes(&self, table: u32) -> Vec<String> {
        self.fib.routes(table).iter().map(|r| self.show_route(r)).collect()
    }

    fn show_route(&self, r: &Route) -> String {
        let mut line = String::new();
        let kind = match r.kind {
            RouteKind::Unicast => "",
            RouteKind::Local => "local ",
            RouteKind::Broadcast => "broadcast ",
            RouteKind::Blackhole => "blackhole ",
            RouteKind::Unreachable => "unreachable ",
            RouteKind::Prohibit => "prohibit ",
        };
        line.push_str(kind);
        line.push_str(&show_prefix(r.dst));
        if let Some(via) = r.via {
            let _ = write!(line, " via {via}");
        }
        if r.dev.is_some() {
            let _ = write!(line, " dev {}", self.devs.name(r.dev));
        }
        if let Some(src) = r.src {
            let _ = write!(line, " src {src}");
        }
        if r.metric != 0 {
            let _ = write!(line, " metric {}", r.metric);
        }
        if r.onlink {
            line.push_str(" onlink");
        }
        line
    }

    /// Lines of `ip neigh show`.
    pub fn show_neighs(&self) -> Vec<String> {
        let line = |(dev, ip): &super::neigh::NeighKey, n: &super::neigh::Neigh| {
            let mac = if n.state.is_valid() { format!(" lladdr {}", n.mac) } else { String::new() };
            format!("{ip} dev {}{mac} {}", self.devs.name(Some(*dev)), n.state.name())
        };
        self.neighs.iter().map(|(key, n)| line(key, n)).collect()
    }

    /// Lines of `bridge fdb show`, of one bridge or of all devices: learned entries and those set by hand.
    pub fn show_fdb(&self, bridge: Option<&str>, now: Instant) -> Vec<String> {
        let mut lines = Vec::new();
        for dev in self.devs.iter() {
            let wanted = bridge.is_none_or(|b| b == dev.name);
            if let Some(b) = dev.bridge().filter(|_| wanted) {
                for (mac, e) in b.entries(now) {
                    let port = self.devs.name(e.port.or(Some(dev.id)));
                    let fixed = if e.fixed { " permanent" } else { "" };
                    lines.push(format!("{mac} dev {port} master {}{fixed}", dev.name));
                }
            }
            if let Some(v) = dev.vxlan().filter(|_| bridge.is_none()) {
                let remotes = v.entries();
                lines.extend(remotes.iter().map(|(m, r)| format!("{m} dev {} dst {r} self permanent", dev.name)));
            }
        }
        lines
    }
}

/// A prefix as iproute2 prints it: a whole address without its length, everything as `default`.
fn show_prefix(net: IpNet) -> String {
    match net.prefix_len() {
        0 => "default".to_owned(),
        len if len == net.max_prefix_len() => net.addr().to_string(),
        _ => net.to_string(),
    }
}

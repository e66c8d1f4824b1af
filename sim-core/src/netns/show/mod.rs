//! State as the tools print it, less the blanks some of them leave at the end of a line.
//!
//! Here are `ip neigh`, `bridge fdb` and `conntrack -L`; the others have a file each.

mod counters;
mod link;
mod route;
mod rules;
mod sockets;

pub use link::LinkForm;
pub use sockets::SocketForm;

pub use crate::netfilter::text::list::RuleForm;

use std::net::IpAddr;

use super::Netns;
use crate::dev::Devices;
use crate::engine::arena::DevId;
use crate::engine::time::Instant;
use crate::netfilter::conntrack::{Conntrack, Filter};
use crate::wire::ip::Family;

impl Netns {
    /// The name of a device; empty if it is gone.
    pub fn dev_name(&self, dev: DevId) -> &str {
        self.devs.name(Some(dev))
    }

    /// Lines of `conntrack -L -o extended`, oldest entry first.
    pub fn show_conntrack(&self, now: Instant) -> Vec<String> {
        self.show_conntrack_of(&Filter::default(), now)
    }

    /// Lines of `conntrack -L -o extended` for the entries that fit.
    pub fn show_conntrack_of(&self, filter: &Filter, now: Instant) -> Vec<String> {
        let fitting = self.conntrack.iter(now).filter(|(_, entry)| filter.matches(entry));
        fitting.map(|(_, entry)| entry.show(now)).collect()
    }

    /// The conntrack table, to look at.
    pub fn conntrack(&self) -> &Conntrack {
        &self.conntrack
    }

    /// The devices, to look at.
    pub fn devs(&self) -> &Devices {
        &self.devs
    }

    /// The addresses of all devices, in the order they were given.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.addrs.iter().map(|addr| addr.net.addr())
    }

    /// Lines of `ip neigh show`: those of both families, or of one.
    pub fn show_neighs(&self, family: Option<Family>) -> Vec<String> {
        let line = |(dev, ip): &super::neigh::NeighKey, n: &super::neigh::Neigh| {
            let mac = if n.state.is_valid() { format!(" lladdr {}", n.mac) } else { String::new() };
            let router = if n.router { " router" } else { "" };
            format!("{ip} dev {}{mac}{router} {}", self.devs.name(Some(*dev)), n.state.name())
        };
        let wanted = |ip: IpAddr| family.is_none_or(|family| Family::of(ip) == family);
        self.neighs.iter().filter(|(key, _)| wanted(key.1)).map(|(key, n)| line(key, n)).collect()
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

//! `net.ipv6.conf.*`: the knobs of IPv6 by device (net/ipv6/addrconf.c).

use crate::engine::arena::{DevId, Map};

/// `net.ipv6.conf.DEV.*`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Conf {
    /// No address, no packet. Default 1, as with the kernel's parameter `ipv6.disable_ipv6=1`: a netns has IPv6 when
    /// somebody asks for it.
    pub disable_ipv6: i64,
    /// This host is a router. Default 0. Packets are forwarded if `all` says so.
    pub forwarding: i64,
    /// Whether an address waits until nobody else has it: if `all` or the device says 1. Default 1, `all` 0.
    pub accept_dad: i64,
    /// How often an address is asked for before it is used. Default 1.
    pub dad_transmits: i64,
    /// Hop limit of packets of this host. Default 64.
    pub hop_limit: i64,
    /// Redirects are followed, unless this host is a router. Default 1; `all` has no say.
    pub accept_redirects: i64,
    /// The link-local address follows from the hardware address (0) or there is none (1). Default 0.
    pub addr_gen_mode: i64,
}

impl Default for Conf {
    fn default() -> Self {
        Self {
            disable_ipv6: 1,
            forwarding: 0,
            accept_dad: 1,
            dad_transmits: 1,
            hop_limit: 64,
            accept_redirects: 1,
            addr_gen_mode: 0,
        }
    }
}

impl Conf {
    fn knob(&mut self, name: &str) -> Option<&mut i64> {
        Some(match name {
            "disable_ipv6" => &mut self.disable_ipv6,
            "forwarding" => &mut self.forwarding,
            "accept_dad" => &mut self.accept_dad,
            "dad_transmits" => &mut self.dad_transmits,
            "hop_limit" => &mut self.hop_limit,
            "accept_redirects" => &mut self.accept_redirects,
            "addr_gen_mode" => &mut self.addr_gen_mode,
            _ => return None,
        })
    }
}

/// The knobs the emulator knows one value of: it asks no router and listens to none.
pub(super) const FIXED: [(&str, i64); 5] =
    [("accept_ra", 0), ("autoconf", 0), ("router_solicitations", 0), ("proxy_ndp", 0), ("ndisc_notify", 0)];

/// The knobs of all devices.
#[derive(Clone, Debug)]
pub(super) struct Confs {
    all: Conf,
    default: Conf,
    dev: Map<DevId, Conf>,
}

impl Default for Confs {
    fn default() -> Self {
        Self { all: Conf { accept_dad: 0, ..Conf::default() }, default: Conf::default(), dev: Map::default() }
    }
}

impl Confs {
    pub(super) fn add_dev(&mut self, dev: DevId) {
        self.dev.insert(dev, self.default);
    }

    pub(super) fn remove_dev(&mut self, dev: DevId) {
        self.dev.remove(&dev);
    }

    pub(super) const fn all(&self) -> &Conf {
        &self.all
    }

    pub(super) fn of(&self, dev: DevId) -> Conf {
        self.dev.get(&dev).copied().unwrap_or(self.default)
    }

    /// The knob `name` of `dev`: `all`, `default` or a device.
    pub(super) fn knob(&mut self, dev: Who, name: &str) -> Option<&mut i64> {
        let default = self.default;
        match dev {
            Who::All => self.all.knob(name),
            Who::Default => self.default.knob(name),
            Who::Dev(dev) => self.dev.entry(dev).or_insert(default).knob(name),
        }
    }

    /// `all.disable_ipv6` and `all.forwarding` set every device, `default` included (`addrconf_disable_ipv6`,
    /// `addrconf_fixup_forwarding`).
    pub(super) fn propagate(&mut self, name: &str, value: i64) {
        for conf in self.dev.values_mut().chain([&mut self.default]) {
            match name {
                "disable_ipv6" => conf.disable_ipv6 = value,
                "forwarding" => conf.forwarding = value,
                _ => {}
            }
        }
    }
}

/// Whose knob.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Who {
    All,
    Default,
    Dev(DevId),
}

//! Routes and policy rules come and go (net/ipv4/fib_semantics.c, `fib_create_info`).

use ipnet::IpNet;

use super::{Mode, RouteWords};
use crate::dev::Devices;
use crate::engine::arena::DevId;
use crate::engine::errno::Errno;
use crate::netns::Netns;
use crate::netns::addr::Scope;
use crate::netns::fib::{FibKey, METRIC_USER, PolicyRule, Route, RouteKind};
use crate::wire::ip::Family;

impl Netns {
    pub(super) fn route_change(&mut self, mode: Mode, words: &RouteWords) -> Result<(), Errno> {
        let dev = words.dev.as_deref().map(|d| self.dev_id(d)).transpose()?;
        if mode == Mode::Del {
            let fits = |r: &Route| {
                (dev.is_none() || r.dev == dev)
                    && (words.via.is_none() || r.via == words.via)
                    && (words.metric == 0 || r.metric == words.metric)
            };
            let removed = self.fib.remove(words.table, words.dst.trunc(), fits);
            return if removed == 0 { Err(Errno::ESRCH) } else { Ok(()) };
        }
        if words.dst.trunc() != words.dst {
            return Err(Errno::EINVAL);
        }
        let dev = match words.kind {
            RouteKind::Unicast => Some(self.next_hop_dev(words, dev)?),
            RouteKind::Local | RouteKind::Broadcast | RouteKind::Anycast | RouteKind::Multicast => {
                dev.or(Some(Devices::LO))
            }
            RouteKind::Blackhole | RouteKind::Unreachable | RouteKind::Prohibit | RouteKind::Throw => None,
        };
        if words.via.is_some_and(|via| Family::of(via) != Family::of(words.dst.addr())) {
            return Err(Errno::EINVAL);
        }
        if words.src.is_some_and(|s| self.fib.kind_of(s) != RouteKind::Local) {
            return Err(Errno::EINVAL);
        }
        let scope = if words.via.is_some() { Scope::Universe } else { Scope::Link };
        let (dst, kind, via, src) = (words.dst, words.kind, words.via, words.src);
        let metric = match (dst, words.metric) {
            (IpNet::V6(_), 0) => METRIC_USER,
            (_, metric) => metric,
        };
        let (onlink, mtu, advmss) = (words.onlink, words.mtu, words.advmss);
        let route = Route { dst, kind, dev, via, src, scope, metric, onlink, mtu, advmss };
        match mode {
            Mode::Replace => self.fib.replace(words.table, route),
            _ if !self.fib.insert(words.table, route) => return Err(Errno::EEXIST),
            _ => {}
        }
        Ok(())
    }

    /// The device of a next hop (`fib_check_nh`): given, and then up; or found by the next hop, which must be on a link.
    fn next_hop_dev(&self, words: &RouteWords, dev: Option<DevId>) -> Result<DevId, Errno> {
        if let Some(dev) = dev
            && self.devs.get(dev).is_none_or(|d| !d.up)
        {
            return Err(Errno::ENETUNREACH);
        }
        let Some(via) = words.via else { return dev.ok_or(Errno::ENODEV) };
        if self.fib.kind_of(via) == RouteKind::Local && !words.onlink {
            return Err(Errno::EINVAL);
        }
        if words.onlink {
            return dev.ok_or(Errno::ENODEV);
        }
        let route = self.fib.lookup(&FibKey { oif: dev, ..FibKey::to(via) }).ok_or(Errno::ENETUNREACH)?;
        if route.kind != RouteKind::Unicast || route.scope < Scope::Link {
            return Err(Errno::ENETUNREACH);
        }
        route.dev.ok_or(Errno::ENETUNREACH)
    }

    pub(super) fn rule_change(&mut self, mode: Mode, rule: PolicyRule, iif: Option<&str>) -> Result<(), Errno> {
        let iif = iif.map(|d| self.dev_id(d)).transpose()?;
        let rule = PolicyRule { iif, ..rule };
        if mode == Mode::Del {
            return if self.fib.remove_rule(&rule) { Ok(()) } else { Err(Errno::ENOENT) };
        }
        if self.fib.rules(rule.family).any(|r| *r == rule) {
            return Err(Errno::EEXIST);
        }
        self.fib.add_rule(rule);
        Ok(())
    }
}

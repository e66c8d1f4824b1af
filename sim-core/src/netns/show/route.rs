//! Routes and policy rules as `ip route` and `ip rule` of iproute2 6.1 print them.

use std::fmt::Write as _;
use std::net::IpAddr;

use ipnet::IpNet;

use super::Netns;
use crate::dev::Devices;
use crate::engine::errno::Errno;
use crate::engine::time::Instant;
use crate::netns::addr::Scope;
use crate::netns::exception::Exception;
use crate::netns::fib::{
    Fib, FibKey, METRIC_KERNEL, PolicyRule, Route, RouteKind, TABLE_DEFAULT, TABLE_LOCAL, TABLE_MAIN,
};
use crate::wire::ip::Family;

impl Netns {
    /// Whether packets to the network `dst` go by `via`: by a route to just this network.
    pub fn has_route(&self, dst: IpNet, via: IpAddr) -> bool {
        let route = self.fib.lookup(&FibKey::to(dst.network()));
        route.is_some_and(|route| route.dst == dst && route.via == Some(via))
    }

    /// The network of the route that leads to `ip`; `None` if there is none.
    pub fn route_network(&self, ip: IpAddr) -> Option<IpNet> {
        self.fib.lookup(&FibKey::to(ip)).map(|route| route.dst)
    }

    /// Lines of `ip route show table N`, or with `-6`.
    pub fn show_routes(&self, family: Family, table: u32) -> Vec<String> {
        self.fib.routes(family, table).iter().map(|r| self.show_route(r, table, "")).collect()
    }

    /// Lines of `ip route show table all`, or with `-6`.
    pub fn show_all_routes(&self, family: Family) -> Vec<String> {
        let mut tables = self.fib.table_numbers();
        // The order of the kernel's hash of tables is its own; main comes before local, others before both.
        tables.sort_by_key(|table| (*table >= TABLE_DEFAULT, *table == TABLE_LOCAL, *table));
        let named = |table| match table {
            TABLE_MAIN => String::new(),
            table => format!(" table {}", table_name(table)),
        };
        let lines = |table| {
            let name = named(table);
            self.fib
                .routes(family, table)
                .into_iter()
                .map(move |r| self.show_route(&r, table, &name))
                .collect::<Vec<_>>()
        };
        tables.into_iter().flat_map(lines).collect()
    }

    /// Whether a routing table exists: `main` and `local` do from the start.
    pub fn has_routing_table(&self, table: u32) -> bool {
        matches!(table, TABLE_MAIN | TABLE_LOCAL) || self.fib.table_numbers().contains(&table)
    }

    fn show_route(&self, r: &Route, number: u32, table: &str) -> String {
        let mut line = String::new();
        line.push_str(kind_word(r.kind));
        line.push_str(&show_prefix(r.dst, "default"));
        // Writing to a string never fails.
        let mut add = |text: std::fmt::Arguments<'_>| line.write_fmt(text).expect("a string takes all text");
        if let Some(via) = r.via {
            add(format_args!(" via {via}"));
        }
        // Those of IPv6 that refuse are by `lo` (`fib6_nh_init`).
        match (r.dev, r.dst) {
            (None, IpNet::V4(_)) => {}
            (dev, _) => add(format_args!(" dev {}", self.devs.name(dev.or(Some(Devices::LO))))),
        }
        add(format_args!("{table}"));
        if self.is_kernels(r, number) {
            add(format_args!(" proto kernel"));
        }
        match (r.kind, r.scope) {
            _ if matches!(r.dst, IpNet::V6(_)) => {}
            (RouteKind::Local, _) => add(format_args!(" scope host")),
            (_, Scope::Link) if r.dev.is_some() => add(format_args!(" scope link")),
            _ => {}
        }
        // The source of IPv6's own routes is no more than what the route is for.
        if let Some(src) = r.src.filter(|src| src.is_ipv4() || r.kind != RouteKind::Local) {
            add(format_args!(" src {src}"));
        }
        if r.metric != 0 || matches!(r.dst, IpNet::V6(_)) {
            add(format_args!(" metric {}", r.metric));
        }
        if r.onlink {
            add(format_args!(" onlink"));
        }
        if let Some(mtu) = r.mtu {
            add(format_args!(" mtu {mtu}"));
        }
        if let Some(advmss) = r.advmss {
            add(format_args!(" advmss {advmss}"));
        }
        if matches!(r.dst, IpNet::V6(_)) {
            add(format_args!(" pref medium"));
        }
        line
    }

    /// Whether the kernel made the route because of an address (net/ipv4/fib_frontend.c, `fib_add_ifaddr`): it then has
    /// that address as source, and leads to itself or to its subnet.
    fn is_kernels(&self, r: &Route, table: u32) -> bool {
        if matches!(r.dst, IpNet::V6(_)) {
            return r.via.is_none() && (table == TABLE_LOCAL || r.metric == METRIC_KERNEL);
        }
        let mut own = self.addrs.iter().filter(|a| Some(a.dev) == r.dev && Some(a.net.addr()) == r.src);
        r.via.is_none() && own.any(|a| table == TABLE_LOCAL || a.net.trunc() == r.dst)
    }

    /// Lines of `ip route get`: where a packet of this host would go, or with `key.iif` one that came in there.
    ///
    /// # Errors
    /// `ENETUNREACH` without a route, `EINVAL`, `EHOSTUNREACH`, `EACCES` for one that refuses; `EINVAL` for a source that
    /// is no address of this host.
    pub fn show_route_to(&self, key: &FibKey, now: Instant) -> Result<Vec<String>, Errno> {
        if key.iif.is_none() && key.src.is_some_and(|src| self.fib.kind_of(src) != RouteKind::Local) {
            return Err(Errno::EINVAL);
        }
        let route = self.fib.lookup(key).ok_or(Errno::ENETUNREACH)?;
        let local = matches!(route.kind, RouteKind::Local);
        let dev = match route.kind {
            RouteKind::Blackhole => return Err(Errno::EINVAL),
            RouteKind::Unreachable => return Err(Errno::EHOSTUNREACH),
            RouteKind::Prohibit => return Err(Errno::EACCES),
            RouteKind::Throw => return Err(Errno::ENETUNREACH),
            RouteKind::Local => "lo",
            RouteKind::Unicast | RouteKind::Broadcast | RouteKind::Anycast | RouteKind::Multicast => {
                self.devs.name(route.dev)
            }
        };
        let of_v6 = key.dst.is_ipv6();
        let exception = self.exceptions.get(key.dst, route.next_hop()).filter(|exception| now < exception.until);
        let via = exception.and_then(|exception| exception.redirect).map_or(route.via, |(_, via)| via);
        let mut line = format!("{}{}", kind_word(route.kind), key.dst);
        let mut add = |text: std::fmt::Arguments<'_>| line.write_fmt(text).expect("a string takes all text");
        if let Some(src) = key.src.or(of_v6.then_some(Family::V6.unspecified())) {
            add(format_args!(" from {src}"));
        }
        if let Some(via) = via {
            add(format_args!(" via {via}"));
        }
        add(format_args!(" dev {dev}"));
        // The first policy rule of one's own parts the tables (net/ipv4/fib_frontend.c, `fib_unmerge`), and then the
        // kernel tells that the route is of the table local; those of IPv6 are apart from the start.
        let family = Family::of(key.dst);
        let own_rules = self.fib.rules(family).count() > Fib::default().rules(family).count();
        if local && (of_v6 || own_rules) {
            add(format_args!(" table local"));
        }
        if of_v6 && self.is_kernels(route, if local { TABLE_LOCAL } else { TABLE_MAIN }) {
            add(format_args!(" proto kernel"));
        }
        if key.src.is_none() {
            // A redirect leaves the source as it was.
            let near = Some(route.via.unwrap_or(key.dst));
            let chosen = || self.addrs.source(route.dev?, near, key.dst, Scope::Link);
            let own = local.then_some(key.dst);
            if let Some(src) = own.or(route.src).or_else(chosen) {
                add(format_args!(" src {src}"));
            }
        }
        if of_v6 {
            add(format_args!(" metric {}{} pref medium", route.metric, learned(route, exception, now)));
            return Ok(vec![line]);
        }
        if key.iif.is_none() {
            add(format_args!(" uid 0"));
        }
        Ok(vec![line, self.show_cache(route, exception, key, now)])
    }

    /// The second line of `ip route get`.
    fn show_cache(&self, route: &Route, exception: Option<&Exception>, key: &FibKey, now: Instant) -> String {
        let redirected = exception.is_some_and(|exception| exception.redirect.is_some());
        let flags = match route.kind {
            RouteKind::Local => " <local>",
            RouteKind::Broadcast => " <local,brd>",
            _ if redirected => " <redirected>",
            _ => "",
        };
        let mut line = format!("    cache{flags}{}", learned(route, exception, now));
        if key.iif.is_some() {
            line += &format!(" iif {}", self.devs.name(key.iif));
        }
        line
    }

    /// Lines of `ip rule show`, or with `-6`.
    pub fn show_policy_rules(&self, family: Family) -> Vec<String> {
        self.fib.rules(family).map(|rule| self.show_policy_rule(rule)).collect()
    }

    fn show_policy_rule(&self, rule: &PolicyRule) -> String {
        let from = rule.from.map_or("all".to_owned(), |net| show_prefix(net, "all"));
        let mut line = format!("{}:\tfrom {from}", rule.priority);
        if let Some(to) = rule.to {
            line += &format!(" to {}", show_prefix(to, "all"));
        }
        match rule.fwmark {
            Some((mark, u32::MAX)) => line += &format!(" fwmark {mark:#x}"),
            Some((mark, mask)) => line += &format!(" fwmark {mark:#x}/{mask:#x}"),
            None => {}
        }
        if rule.iif.is_some() {
            line += &format!(" iif {}", self.devs.name(rule.iif));
        }
        line + &format!(" lookup {}", table_name(rule.table))
    }
}

/// How long what was learned about a destination is believed, and the path MTU.
fn learned(route: &Route, exception: Option<&Exception>, now: Instant) -> String {
    let mut text = String::new();
    // What IPv6 learned from a redirect alone is collected, it does not expire.
    let expires = |exception: &&Exception| route.dst.addr().is_ipv4() || exception.path_mtu.is_some();
    if let Some(exception) = exception.filter(expires) {
        text += &format!(" expires {}sec", exception.until.since(now).as_secs());
    }
    let path_mtu = exception.and_then(|exception| exception.path_mtu).map(|learned| learned.mtu);
    if let Some(mtu) = path_mtu.or(route.mtu) {
        text += &format!(" mtu {mtu}");
    }
    text
}

fn kind_word(kind: RouteKind) -> &'static str {
    match kind {
        RouteKind::Unicast => "",
        RouteKind::Local => "local ",
        RouteKind::Broadcast => "broadcast ",
        RouteKind::Anycast => "anycast ",
        RouteKind::Multicast => "multicast ",
        RouteKind::Blackhole => "blackhole ",
        RouteKind::Unreachable => "unreachable ",
        RouteKind::Prohibit => "prohibit ",
        RouteKind::Throw => "throw ",
    }
}

/// A table by the name it has in /etc/iproute2/rt_tables.
fn table_name(table: u32) -> String {
    match table {
        TABLE_LOCAL => "local".to_owned(),
        TABLE_MAIN => "main".to_owned(),
        TABLE_DEFAULT => "default".to_owned(),
        number => number.to_string(),
    }
}

/// A prefix as iproute2 prints it: a whole address without its length, everything as `all`.
fn show_prefix(net: IpNet, all: &str) -> String {
    match net.prefix_len() {
        0 => all.to_owned(),
        len if len == net.max_prefix_len() => net.addr().to_string(),
        _ => net.to_string(),
    }
}

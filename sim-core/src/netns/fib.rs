//! The forwarding information base: policy rules choose a table, longest prefix chooses a route
//! (net/ipv4/fib_rules.c, fib_trie.c). One path for both families: keys are 128 bits, IPv4 is mapped
//! (`::ffff:a.b.c.d`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::addr::Scope;
use crate::engine::arena::{DevId, Map};
use crate::wire::ip::Family;

/// The metric of IPv6 routes that come with an address (include/uapi/linux/ipv6_route.h, `IP6_RT_PRIO_ADDRCONF`).
pub const METRIC_KERNEL: u32 = 256;
/// The metric of IPv6 routes that name none (`IP6_RT_PRIO_USER`).
pub const METRIC_USER: u32 = 1024;

/// Number of the table `local`.
pub const TABLE_LOCAL: u32 = 255;
/// Number of the table `main`.
pub const TABLE_MAIN: u32 = 254;
/// Number of the table `default`.
pub const TABLE_DEFAULT: u32 = 253;

/// What a route does with a packet (include/uapi/linux/rtnetlink.h, `RTN_*`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum RouteKind {
    /// Forwards it.
    Unicast,
    /// Delivers it here.
    Local,
    /// Delivers it here as a broadcast.
    Broadcast,
    /// Delivers it here as to one of several hosts (IPv6).
    Anycast,
    /// Delivers it to the members of a group (IPv6).
    Multicast,
    /// Drops it silently.
    Blackhole,
    /// Refuses it with "host unreachable".
    Unreachable,
    /// Refuses it with "administratively prohibited".
    Prohibit,
    /// Leaves it to the next policy rule, as if the table had no route.
    Throw,
}

/// A route.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Route {
    /// Destinations it is for.
    pub dst: IpNet,
    /// What it does.
    pub kind: RouteKind,
    /// The device packets leave by; `None` for refusing kinds.
    pub dev: Option<DevId>,
    /// The next hop; `None` if the destination is on the link.
    pub via: Option<IpAddr>,
    /// Preferred source address.
    pub src: Option<IpAddr>,
    /// How far the destination is.
    pub scope: Scope,
    /// Smaller is preferred among routes to the same prefix.
    pub metric: u32,
    /// The next hop is on the link although no subnet says so.
    pub onlink: bool,
    /// MTU towards the destination, if the route fixes one.
    pub mtu: Option<u32>,
    /// MSS that TCP announces to the destination, if the route fixes one.
    pub advmss: Option<u16>,
}

/// Where packets go next: the device they leave by, and the neighbour if it is not the destination itself.
pub type NextHop = (Option<DevId>, Option<IpAddr>);

impl Route {
    /// Its next hop.
    pub const fn next_hop(&self) -> NextHop {
        (self.dev, self.via)
    }
}

/// What a policy rule looks at, and the table it leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PolicyRule {
    /// Whose packets it is for.
    pub family: Family,
    /// Smaller is asked first.
    pub priority: u32,
    /// Source addresses.
    pub from: Option<IpNet>,
    /// Destination addresses.
    pub to: Option<IpNet>,
    /// Mark and mask.
    pub fwmark: Option<(u32, u32)>,
    /// Incoming device.
    pub iif: Option<DevId>,
    /// The table to look in.
    pub table: u32,
}

impl PolicyRule {
    /// The rule for all packets of a family.
    pub const fn all(family: Family, priority: u32, table: u32) -> Self {
        Self { family, priority, from: None, to: None, fwmark: None, iif: None, table }
    }

    fn matches(&self, key: &FibKey) -> bool {
        self.family == Family::of(key.dst)
            && self.from.is_none_or(|net| key.src.is_some_and(|s| net.contains(&s)))
            && self.to.is_none_or(|net| net.contains(&key.dst))
            && self.fwmark.is_none_or(|(value, mask)| key.mark & mask == value)
            && self.iif.is_none_or(|dev| key.iif == Some(dev))
    }
}

/// What is looked up (`struct flowi4`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FibKey {
    /// Destination.
    pub dst: IpAddr,
    /// Source, if known.
    pub src: Option<IpAddr>,
    /// Packet mark.
    pub mark: u32,
    /// Incoming device; `None` for packets of this host.
    pub iif: Option<DevId>,
    /// Only routes by this device.
    pub oif: Option<DevId>,
}

impl FibKey {
    /// A key for `dst` alone.
    pub const fn to(dst: IpAddr) -> Self {
        Self { dst, src: None, mark: 0, iif: None, oif: None }
    }
}

/// Routes of one prefix length by their prefix: a mapped address of IPv6 is not one of IPv4.
type Routes = Map<(Family, u128), Vec<Route>>;

/// A table: routes by prefix length, longest first.
#[derive(Clone, Debug, Default)]
struct Table {
    lengths: Vec<(u8, Routes)>,
}

const fn mapped(ip: IpAddr) -> u128 {
    let v6: Ipv6Addr = match ip {
        IpAddr::V4(a) => a.to_ipv6_mapped(),
        IpAddr::V6(a) => a,
    };
    v6.to_bits()
}

fn mapped_len(net: IpNet) -> u8 {
    net.prefix_len() + if matches!(net, IpNet::V4(_)) { 96 } else { 0 }
}

const fn masked(bits: u128, len: u8) -> u128 {
    if len == 0 { 0 } else { bits & (u128::MAX << (128 - len)) }
}

impl Table {
    fn slot(&mut self, net: IpNet) -> &mut Vec<Route> {
        let len = mapped_len(net);
        let at = match self.lengths.binary_search_by(|(l, _)| len.cmp(l)) {
            Ok(at) => at,
            Err(at) => {
                self.lengths.insert(at, (len, Map::default()));
                at
            }
        };
        self.lengths[at].1.entry((Family::of(net.addr()), masked(mapped(net.addr()), len))).or_default()
    }

    fn lookup(&self, key: &FibKey) -> Option<&Route> {
        let (family, bits) = (Family::of(key.dst), mapped(key.dst));
        let usable = |r: &&Route| key.oif.is_none() || r.dev == key.oif;
        self.lengths.iter().find_map(|(len, routes)| routes.get(&(family, masked(bits, *len)))?.iter().find(usable))
    }

    fn routes(&self) -> impl Iterator<Item = &Route> {
        self.lengths.iter().flat_map(|(_, m)| m.values().flatten())
    }
}

/// The tables and the rules that choose among them.
#[derive(Clone, Debug)]
pub struct Fib {
    rules: Vec<PolicyRule>,
    tables: Vec<(u32, Table)>,
}

impl Default for Fib {
    /// The rules every netns starts with (net/ipv4/fib_rules.c, `fib_default_rules_init`; net/ipv6/fib6_rules.c,
    /// `fib6_rules_net_init`).
    fn default() -> Self {
        Self {
            rules: vec![
                PolicyRule::all(Family::V4, 0, TABLE_LOCAL),
                PolicyRule::all(Family::V6, 0, TABLE_LOCAL),
                PolicyRule::all(Family::V4, 32766, TABLE_MAIN),
                PolicyRule::all(Family::V6, 32766, TABLE_MAIN),
                PolicyRule::all(Family::V4, 32767, TABLE_DEFAULT),
            ],
            tables: Vec::new(),
        }
    }
}

impl Fib {
    /// The route for a packet, or `None` if no table has one.
    pub fn lookup(&self, key: &FibKey) -> Option<&Route> {
        let chosen = |r: &PolicyRule| self.table(r.table)?.lookup(key).filter(|route| route.kind != RouteKind::Throw);
        self.rules.iter().filter(|r| r.matches(key)).find_map(chosen)
    }

    /// The route in one table, without asking the policy rules.
    pub fn lookup_in(&self, table: u32, key: &FibKey) -> Option<&Route> {
        self.table(table)?.lookup(key)
    }

    /// What kind of address `ip` is according to the table `local` (net/ipv4/fib_frontend.c, `inet_addr_type`).
    pub fn kind_of(&self, ip: IpAddr) -> RouteKind {
        self.lookup_in(TABLE_LOCAL, &FibKey::to(ip)).map_or(RouteKind::Unicast, |r| r.kind)
    }

    /// Whether `ip` stands for many hosts: a group, or a broadcast of a network or of the link (`RTCF_BROADCAST`,
    /// `RTCF_MULTICAST`), 0.0.0.0 included.
    pub fn is_for_many(&self, ip: IpAddr) -> bool {
        let nobody = ip.is_ipv4() && ip.is_unspecified();
        nobody || ip.is_multicast() || is_limited_broadcast(ip) || self.kind_of(ip) == RouteKind::Broadcast
    }

    /// Adds a route; `false` if one to the same prefix with the same metric is there (`ip route add`: EEXIST).
    pub fn insert(&mut self, table: u32, route: Route) -> bool {
        let slot = self.table_mut(table).slot(route.dst);
        // Every device brings its own route to the same network of link-local addresses.
        let by_device = table == TABLE_LOCAL || route.metric == METRIC_KERNEL;
        if slot.iter().any(|r| r.metric == route.metric && (!by_device || r.dev == route.dev)) {
            return false;
        }
        let at = slot.partition_point(|r| r.metric <= route.metric);
        slot.insert(at, route);
        true
    }

    /// Adds a route in place of the one to the same prefix with the same metric (`ip route replace`).
    pub fn replace(&mut self, table: u32, route: Route) {
        self.table_mut(table).slot(route.dst).retain(|r| r.metric != route.metric);
        self.insert(table, route);
    }

    /// Removes the routes to `dst` that `matches` says; how many there were.
    pub fn remove(&mut self, table: u32, dst: IpNet, matches: impl Fn(&Route) -> bool) -> usize {
        let slot = self.table_mut(table).slot(dst);
        let before = slot.len();
        slot.retain(|r| !matches(r));
        before - slot.len()
    }

    /// Removes the routes by a device that `doomed` says, asked with their table.
    pub fn remove_dev(&mut self, dev: DevId, doomed: impl Fn(u32, &Route) -> bool) {
        for (number, table) in &mut self.tables {
            for (_, routes) in &mut table.lengths {
                routes.values_mut().for_each(|r| r.retain(|r| r.dev != Some(dev) || !doomed(*number, r)));
            }
        }
    }

    /// The routes of a table and family, by prefix, as `ip route show` orders them (shorter prefixes of one address
    /// first).
    pub fn routes(&self, family: Family, table: u32) -> Vec<Route> {
        let of_family = |r: &&Route| Family::of(r.dst.addr()) == family;
        let routes = |t: &Table| t.routes().filter(of_family).copied().collect();
        let mut all: Vec<Route> = self.table(table).map(routes).unwrap_or_default();
        all.sort_by_key(|r| (mapped(r.dst.addr()), mapped_len(r.dst), r.metric));
        all
    }

    /// Whether a route of any table has this next hop (`ip_fib_check_default`).
    pub fn has_next_hop(&self, next_hop: NextHop) -> bool {
        self.tables.iter().any(|(_, table)| table.routes().any(|route| route.next_hop() == next_hop))
    }

    /// The numbers of the tables there are.
    pub fn table_numbers(&self) -> Vec<u32> {
        self.tables.iter().map(|(number, _)| *number).collect()
    }

    /// The policy rules of a family by priority.
    pub fn rules(&self, family: Family) -> impl Iterator<Item = &PolicyRule> {
        self.rules.iter().filter(move |rule| rule.family == family)
    }

    /// Adds a policy rule after those of its priority.
    pub fn add_rule(&mut self, rule: PolicyRule) {
        let at = self.rules.partition_point(|r| r.priority <= rule.priority);
        self.rules.insert(at, rule);
    }

    /// Removes an equal policy rule; whether there was one.
    pub fn remove_rule(&mut self, rule: &PolicyRule) -> bool {
        let at = self.rules.iter().position(|r| r == rule);
        at.map(|at| self.rules.remove(at)).is_some()
    }

    fn table(&self, number: u32) -> Option<&Table> {
        self.tables.iter().find(|(n, _)| *n == number).map(|(_, t)| t)
    }

    fn table_mut(&mut self, number: u32) -> &mut Table {
        let at = match self.tables.iter().position(|(n, _)| *n == number) {
            Some(at) => at,
            None => {
                self.tables.push((number, Table::default()));
                self.tables.len() - 1
            }
        };
        &mut self.tables[at].1
    }
}

/// The route of the loopback network and of every local address.
pub fn local_route(ip: IpAddr, dev: DevId) -> Route {
    Route {
        dst: IpNet::from(ip),
        kind: RouteKind::Local,
        dev: Some(dev),
        via: None,
        src: Some(ip),
        scope: Scope::Host,
        metric: 0,
        onlink: false,
        mtu: None,
        advmss: None,
    }
}

/// Whether `ip` is 0.0.0.0 (`ipv4_is_zeronet`: of its network nothing else is special any more).
pub fn is_zeronet(ip: IpAddr) -> bool {
    ip.is_ipv4() && ip.is_unspecified()
}

/// Whether `ip` is 255.255.255.255 (`ipv4_is_lbcast`).
pub fn is_limited_broadcast(ip: IpAddr) -> bool {
    ip == IpAddr::V4(Ipv4Addr::BROADCAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(dst: &str, dev: u32) -> Route {
        Route {
            kind: RouteKind::Unicast,
            src: None,
            scope: Scope::Link,
            dst: dst.parse().unwrap(),
            ..local_route(IpAddr::V4(Ipv4Addr::UNSPECIFIED), DevId(dev))
        }
    }

    fn dev_for(fib: &Fib, ip: &str) -> Option<u32> {
        fib.lookup(&FibKey::to(ip.parse().unwrap())).and_then(|r| r.dev).map(|d| d.0)
    }

    #[test]
    fn the_longest_prefix_wins() {
        let mut fib = Fib::default();
        for (dst, dev) in [("0.0.0.0/0", 2), ("10.244.0.0/16", 3), ("10.244.1.0/24", 4), ("10.244.1.7/32", 5)] {
            assert!(fib.insert(TABLE_MAIN, route(dst, dev)));
        }
        assert_eq!(dev_for(&fib, "8.8.8.8"), Some(2));
        assert_eq!(dev_for(&fib, "10.244.9.1"), Some(3));
        assert_eq!(dev_for(&fib, "10.244.1.1"), Some(4));
        assert_eq!(dev_for(&fib, "10.244.1.7"), Some(5));
        assert_eq!(dev_for(&fib, "2001:db8::1"), None, "families do not mix");
    }

    #[test]
    fn a_local_address_wins_over_every_route_of_main() {
        let mut fib = Fib::default();
        fib.insert(TABLE_MAIN, route("10.0.0.1/32", 2));
        fib.insert(TABLE_LOCAL, local_route("10.0.0.1".parse().unwrap(), DevId(1)));
        assert_eq!(dev_for(&fib, "10.0.0.1"), Some(1));
    }

    #[test]
    fn a_policy_rule_on_the_mark_chooses_another_table() {
        let mut fib = Fib::default();
        fib.insert(TABLE_MAIN, route("0.0.0.0/0", 2));
        fib.insert(100, route("0.0.0.0/0", 7));
        fib.add_rule(PolicyRule { fwmark: Some((1, 1)), ..PolicyRule::all(Family::V4, 100, 100) });
        let key = FibKey { mark: 3, ..FibKey::to("8.8.8.8".parse().unwrap()) };
        assert_eq!(fib.lookup(&key).unwrap().dev, Some(DevId(7)));
        assert_eq!(dev_for(&fib, "8.8.8.8"), Some(2));
    }

    #[test]
    fn adding_twice_is_refused_and_replacing_replaces() {
        let mut fib = Fib::default();
        assert!(fib.insert(TABLE_MAIN, route("10.0.0.0/8", 2)));
        assert!(!fib.insert(TABLE_MAIN, route("10.0.0.0/8", 3)));
        fib.replace(TABLE_MAIN, route("10.0.0.0/8", 3));
        assert_eq!(dev_for(&fib, "10.1.1.1"), Some(3));
        assert_eq!(fib.remove(TABLE_MAIN, "10.0.0.0/8".parse().unwrap(), |_| true), 1);
        assert_eq!(dev_for(&fib, "10.1.1.1"), None);
    }
}

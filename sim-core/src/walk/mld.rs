//! The groups of IPv6 a device is in, and the reports that tell them to switches and multicast routers (net/ipv6/mcast.c;
//! RFC 3810). Nobody asks and nobody listens here, but bridges learn from reports where their sender is.

use std::net::{IpAddr, Ipv6Addr};

use super::{Ctx, Timer, nd, run};
use crate::engine::arena::DevId;
use crate::engine::time::Duration;
use crate::netns::Netns;
use crate::wire::build;
use crate::wire::ext::HOP_BY_HOP;
use crate::wire::icmp::IcmpHeader;
use crate::wire::icmpv6::MLD2_REPORT;
use crate::wire::ip::{ICMPV6, IpHeader};
use crate::wire::nd::{ALL_NODES, ALL_ROUTERS, solicited_node};

/// Where reports go: all routers that know MLDv2.
const ALL_MLD2_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16);
/// All nodes and all routers within this host: no other hears of them.
const ALL_NODES_HERE: Ipv6Addr = Ipv6Addr::new(0xff01, 0, 0, 0, 0, 0, 0, 1);
const ALL_ROUTERS_HERE: Ipv6Addr = Ipv6Addr::new(0xff01, 0, 0, 0, 0, 0, 0, 2);
/// All routers of a site.
const ALL_SITE_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff05, 0, 0, 0, 0, 0, 0, 2);
/// How often a change is told (`mc_qrv`).
const ROBUSTNESS: u8 = 2;
/// A report waits for the next two ticks of the kernel's clock (`mld_ifc_start_work`).
const SOON: Duration = Duration::from_millis(8);
/// It is said again within a second (`mldv2_unsolicited_report_interval`).
const INTERVAL: Duration = Duration::from_secs(1);
/// Hop-by-hop options with a router alert (RFC 2711), before a message of ICMP.
const ROUTER_ALERT: [u8; 8] = [ICMPV6, 0, 5, 2, 0, 0, 1, 0];
/// A record that says: the device wants everything sent to this group (`MLD2_CHANGE_TO_EXCLUDE`).
const CHANGE_TO_EXCLUDE: u8 = 4;

/// Devices with new addresses will tell their groups.
pub(crate) fn begin_reports(ns: &mut Netns, ctx: &mut Ctx<'_>) {
    for dev in std::mem::take(&mut ns.listening) {
        ctx.out.timers.push((ctx.now + SOON, Timer::Listener { dev, left: ROBUSTNESS }));
    }
}

/// Tells all groups of the device, and will do so again (`mld_ifc_work`).
pub(super) fn report(ns: &mut Netns, ctx: &mut Ctx<'_>, dev: DevId, left: u8) {
    if ns.devs.get(dev).is_none_or(|d| !d.up) || ns.sysctl.ipv6(dev).disable_ipv6 != 0 {
        return;
    }
    let mut told: Vec<Ipv6Addr> =
        groups(ns, dev).filter(|group| ![ALL_NODES, ALL_NODES_HERE, ALL_ROUTERS_HERE].contains(group)).collect();
    told.sort_unstable();
    told.dedup();
    if told.is_empty() {
        return;
    }
    // Until the link-local address may be used, nobody in particular says it (`mld_newpack`).
    let src = ns.addrs.link_local(dev).unwrap_or(Ipv6Addr::UNSPECIFIED.into());
    let to = IpAddr::V6(ALL_MLD2_ROUTERS);
    let records = told.iter().flat_map(|group| [&[CHANGE_TO_EXCLUDE, 0, 0, 0], &group.octets()[..]].concat());
    let [high, low] = (told.len() as u16).to_be_bytes();
    let message = IcmpHeader { kind: MLD2_REPORT, code: 0, rest: [0, 0, high, low] };
    let body = message.to_bytes((src, to), &records.collect::<Vec<u8>>());
    let mut header = IpHeader::new(src, to, HOP_BY_HOP, 0);
    header.ttl = 1;
    let packet = build::ip(ctx.out.packet_id(), header, &[&ROUTER_ALERT, &body[..]].concat());
    let stage = nd::on_link(ns, dev, src, packet);
    run(ns, ctx, stage);
    if left > 1 {
        let delay = Duration::from_micros(u64::from(ns.streams.mld.below(INTERVAL.as_micros() as u32)));
        ctx.out.timers.push((ctx.now + delay, Timer::Listener { dev, left: left - 1 }));
    }
}

/// Whether a device is in a group (`ipv6_chk_mcast_addr`).
pub(super) fn is_member(ns: &Netns, group: Ipv6Addr, dev: DevId) -> bool {
    groups(ns, dev).any(|own| own == group)
}

/// The groups a device is in without being asked: all nodes, all routers if it is one, and those of its addresses and
/// of its anycast addresses.
fn groups(ns: &Netns, dev: DevId) -> impl Iterator<Item = Ipv6Addr> {
    let router = ns.sysctl.ipv6(dev).forwarding != 0;
    let of_addresses = ns.addrs.of(dev).flat_map(move |addr| {
        let anycast = router.then(|| addr.net.network());
        [Some(addr.net.addr()), anycast].into_iter().flatten()
    });
    let asked_for = of_addresses.filter_map(|addr| match addr {
        IpAddr::V6(addr) => Some(solicited_node(addr)),
        IpAddr::V4(_) => None,
    });
    let of_routers = [ALL_ROUTERS_HERE, ALL_ROUTERS, ALL_SITE_ROUTERS].into_iter().filter(move |_| router);
    [ALL_NODES_HERE, ALL_NODES].into_iter().chain(of_routers).chain(asked_for)
}

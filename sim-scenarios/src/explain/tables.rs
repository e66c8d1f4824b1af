//! What the tables of each netns on the way said about a packet, in the words of their tools.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use serde::Serialize;
use sim_core::capture::layers::{Layer, layers};
use sim_core::capture::{End, Seen};
use sim_core::engine::arena::NetnsId;
use sim_core::netns::fib::FibKey;
use sim_core::wire::packet::PacketId;

use crate::run::Run;

/// What a netns knew of a packet's addresses.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Tables {
    /// The netns, by name.
    pub netns: String,
    /// `ip route get` of each destination.
    pub routes: Vec<String>,
    /// Lines of `ip neigh` about destinations and next hops.
    pub neighs: Vec<String>,
    /// Lines of `bridge fdb` about the frames' destinations.
    pub fdb: Vec<String>,
    /// Lines of `conntrack -L` about the packet's connection.
    pub conntrack: Vec<String>,
}

/// The tables of all netns that a packet came by, in that order, as they stand in `run`.
pub(super) fn of(packet: PacketId, seen: &[Seen], run: &Run) -> Vec<Tables> {
    let mut on_the_way: Vec<NetnsId> = Vec::new();
    let frames: Vec<&Seen> = seen.iter().filter(|seen| seen.packet() == packet).collect();
    for (netns, _) in frames.iter().map(|seen| seen.tap()) {
        if !on_the_way.contains(&netns) {
            on_the_way.push(netns);
        }
    }
    on_the_way.into_iter().filter_map(|netns| of_netns(netns, &frames, run)).collect()
}

fn of_netns(id: NetnsId, frames: &[&Seen], run: &Run) -> Option<Tables> {
    let (now, netns) = (run.world().now(), run.world().find_netns(id)?);
    let here = frames.iter().filter(|seen| seen.tap().0 == id);
    let layers: Vec<Layer> = here.flat_map(|seen| layers(seen.frame())).collect();
    let ends = || layers.iter().filter_map(|layer| layer.ends);
    let ips: BTreeSet<IpAddr> = ends().map(|[_, dst]| dst.ip).collect();
    let macs: BTreeSet<String> = layers.iter().map(|layer| layer.eth.dst.to_string()).collect();
    let tuples: BTreeSet<String> = ends().flat_map(|[src, dst]| [tuple(src, dst), tuple(dst, src)]).collect();
    let routes = ips.iter().filter_map(|ip| netns.show_route_to(&FibKey::to(*ip), now).ok()?.into_iter().next());
    let routes: Vec<String> = routes.collect();
    let next_hops = routes.iter().filter_map(|route| route.split(" via ").nth(1)?.split(' ').next());
    let neighs: BTreeSet<String> = ips.iter().map(IpAddr::to_string).chain(next_hops.map(str::to_owned)).collect();
    let about =
        |line: &String, words: &BTreeSet<String>| line.split(' ').next().is_some_and(|first| words.contains(first));
    Some(Tables {
        netns: netns.name.clone(),
        neighs: netns.show_neighs(None).into_iter().filter(|line| about(line, &neighs)).collect(),
        fdb: netns.show_fdb(None, now).into_iter().filter(|line| about(line, &macs)).collect(),
        conntrack: netns
            .show_conntrack(now)
            .into_iter()
            .filter(|line| tuples.iter().any(|tuple| line.contains(tuple)))
            .collect(),
        routes,
    })
}

/// One direction of an entry, as `conntrack -L` prints it.
fn tuple(src: End, dst: End) -> String {
    match (src.port, dst.port) {
        (Some(sport), Some(dport)) => format!("src={} dst={} sport={sport} dport={dport} ", src.ip, dst.ip),
        _ => format!("src={} dst={} ", src.ip, dst.ip),
    }
}

impl fmt::Display for Tables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { netns, routes, neighs, fdb, conntrack } = self;
        let kinds = [("ip route get", routes), ("ip neigh", neighs), ("bridge fdb", fdb), ("conntrack -L", conntrack)];
        for (tool, lines) in kinds {
            lines.iter().try_for_each(|line| writeln!(f, "  {netns}: {tool:<13} {line}"))?;
        }
        Ok(())
    }
}

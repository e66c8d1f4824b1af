//! What happened where a packet ended.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use sim_core::capture::layers::layers;
use sim_core::capture::{Decision, Direction, End, Hop, Loss, Names, Ruled, Seen};
use sim_core::engine::arena::{DevId, NetnsId};
use sim_core::engine::trail::DropReason;
use sim_core::netfilter::text::rule;
use sim_core::wire::ip::{Family, SCTP, TCP};
use sim_core::world::RulesOf;
use sim_k8s::cluster::Node;

use super::condition::{Condition, listening};
use super::{Fact, Why, ends};
use crate::explain::flow;
use crate::run::Run;

pub(super) fn why(seen: &[Seen], run: &Run) -> Option<Why> {
    match seen.last()? {
        Seen::Loss(loss) => Some(lost(loss, seen, run)),
        Seen::Hop(hop) if hop.direction == Direction::Out => Some(reset(hop, run)),
        Seen::Hop(_) => None,
    }
}

/// The last rule that spoke about the packet in a netns.
fn ruled(seen: &[Seen], netns: NetnsId) -> Option<&Ruled> {
    let here = seen.iter().filter(|seen| seen.tap().0 == netns);
    let ruled = here.flat_map(Seen::decisions).filter_map(|decision| match decision {
        Decision::Ruled(ruled) => Some(ruled),
        _ => None,
    });
    ruled.last()
}

fn lost(loss: &Loss, seen: &[Seen], run: &Run) -> Why {
    let world = run.world();
    let place = loss.place;
    let tap = world.tap(place.netns, place.dev).name;
    let what = format!("{} at {tap}, stage {}", place.reason.name(), place.stage);
    let [src, dst] = flow::ends(&loss.frame).map_or([None; 2], |ends| ends.map(Some));
    let mut why = Why { what, because: Vec::new(), whose: None };
    why.because.extend(at_the_place(loss, seen, dst, run));
    if let Some(dst) = dst {
        ends::destination(&mut why, dst, (seen, place.netns), run);
    }
    if let Some(src) = src {
        ends::source(&mut why, src, place.netns, run);
    }
    why
}

/// What the place itself has to do with it.
fn at_the_place(loss: &Loss, seen: &[Seen], dst: Option<End>, run: &Run) -> Option<Fact> {
    let (world, place) = (run.world(), loss.place);
    let name = world.netns_name(place.netns);
    let to = dst.map_or_else(String::new, |dst| dst.ip.to_string());
    let dev = || place.dev.map_or("", |dev| Names::dev_name(world, place.netns, dev));
    match place.reason {
        DropReason::NetfilterDrop | DropReason::NetfilterReject => {
            let family = dst.map_or(Family::V4, |dst| Family::of(dst.ip));
            rule_said(ruled(seen, place.netns)?, (place.netns, family).into(), run)
        }
        DropReason::LinkDown | DropReason::LinkLoss | DropReason::LinkQueueFull => wire(place.netns, place.dev, run),
        DropReason::NeighFailed | DropReason::NeighQueueFull => {
            let asked = next_hop(loss, seen, &to);
            let how = if asked.contains(':') { "neighbour discovery" } else { "ARP" };
            Some(Fact::new(format!("{name} asked by {how} who has {asked}, and nobody answered")))
        }
        DropReason::IpInNoRoutes | DropReason::IpOutNoRoutes => Some(Fact::new(format!("{name} has no route to {to}"))),
        DropReason::ForwardingOff => {
            Some(Fact::new(format!("{to} is no address of {name}, which forwards nothing: net.ipv4.ip_forward is 0")))
        }
        DropReason::VxlanNoRemote => {
            Some(Fact::new(format!("the FDB of {name}/{} does not say which node has the frame's destination", dev())))
        }
        DropReason::PktTooBig => too_big(loss, seen, run),
        DropReason::NoSocket => {
            let dst = dst.map_or_else(String::new, |dst| dst.to_string());
            Some(Fact::new(format!("nobody in {name} has a socket at {dst}")))
        }
        DropReason::IpRpFilter => {
            let value =
                world.sysctl_get(place.netns, &format!("net.ipv4.conf.{}.rp_filter", dev())).unwrap_or_default();
            let says = format!(
                "{name} would not answer its source by {}: net.ipv4.conf.{}.rp_filter is {value}",
                dev(),
                dev()
            );
            Some(Fact::new(says))
        }
        DropReason::TtlExceeded => {
            Some(Fact::new("it went through more routers than its TTL allows: is it in a circle?"))
        }
        DropReason::DevDown if world.find_netns(place.netns).is_none() => {
            Some(Fact::new(format!("the netns {name} was removed")))
        }
        DropReason::DevDown => Some(Fact::new(format!("{name}/{} is down", dev()))),
        _ => None,
    }
}

/// Who was asked for: where the packet was routed last; of a VXLAN packet the node it goes to, which is on the link.
fn next_hop(loss: &Loss, seen: &[Seen], to: &str) -> String {
    let via = seen.iter().flat_map(Seen::decisions).filter_map(|decision| match decision {
        Decision::Forwarded { via, .. } => Some(via.map_or_else(|| to.to_owned(), |via| via.to_string())),
        _ => None,
    });
    via.last().filter(|_| layers(&loss.frame).len() < 2).unwrap_or_else(|| to.to_owned())
}

fn rule_said(ruled: &Ruled, whose: RulesOf, run: &Run) -> Option<Fact> {
    let (chain, table, name) = (&ruled.chain, ruled.table, run.world().netns_name(whose.netns));
    let Some(entry) = chain.rules.get(ruled.number as usize) else {
        return Some(Fact::new(format!(
            "no rule of {name} spoke for it, and the policy of chain {} in table {table} is DROP",
            chain.name
        )));
    };
    let text = rule::print(&chain.name, &entry.rule);
    let says = format!("rule {} of chain {} in table {table} of {name}: {text}", ruled.number + 1, chain.name);
    let bare = text.strip_prefix(&format!("-A {} ", chain.name)).unwrap_or(&text).to_owned();
    Some(Fact::when(says, Condition::Rule { whose, table, chain: chain.name.to_string(), rule: bare }))
}

/// The node whose wire ends at this device, or at its other end.
fn at_wire(netns: NetnsId, dev: Option<DevId>, run: &Run) -> Option<&Node> {
    let far = dev.and_then(|dev| run.world().peer(netns, dev)).map(|(netns, _)| netns);
    run.cluster().nodes.iter().find(|node| node.netns == netns || Some(node.netns) == far)
}

fn wire(netns: NetnsId, dev: Option<DevId>, run: &Run) -> Option<Fact> {
    let node = at_wire(netns, dev, run)?;
    let full =
        || Some(Fact::new(format!("more frames wait for the wire of {} than its queue has room for", node.name)));
    of_wire(node, run).or_else(full)
}

/// What is wrong with the wire of a node.
pub(super) fn of_wire(node: &Node, run: &Run) -> Option<Fact> {
    let config = run.world().link_config(node.link)?;
    let how = match config.loss {
        _ if config.down => "is cut".to_owned(),
        0 => return None,
        loss => format!("loses {loss} frames of a million"),
    };
    Some(Fact::when(format!("the wire of {} {how}", node.name), Condition::Link(node.link, config)))
}

fn too_big(loss: &Loss, seen: &[Seen], run: &Run) -> Option<Fact> {
    let netns = loss.place.netns;
    let routed = seen.iter().flat_map(Seen::decisions).filter_map(|decision| match decision {
        Decision::Forwarded { dev, .. } => Some(*dev),
        _ => None,
    });
    let dev = run.world().find_netns(netns)?.devs().get(routed.last().or(loss.place.dev)?)?;
    let (mtu, bytes) = (dev.mtu, loss.frame.len().saturating_sub(14));
    let place = format!("{}/{}", run.world().netns_name(netns), dev.name);
    let says = format!("the packet has {bytes} bytes and must not be fragmented (DF), {place} takes {mtu}");
    Some(Fact::when(says, Condition::Mtu { netns, dev: dev.name.clone(), mtu }))
}

/// A RST or ABORT came from a netns that has no socket for the connection, or wants none.
fn reset(hop: &Hop, run: &Run) -> Why {
    let name = run.world().netns_name(hop.netns);
    let proto = flow::protocol(&hop.frame).unwrap_or(TCP);
    let sent = if proto == SCTP { "ABORT" } else { "RST" };
    let mut why = Why { what: format!("{sent} from {name}"), because: Vec::new(), whose: None };
    let Some([server, _]) = flow::ends(&hop.frame) else { return why };
    let Some(port) = server.port else { return why };
    let at = (server.ip, port).into();
    if super::condition::listens(run, hop.netns, proto, at) {
        why.because.push(Fact::new(format!("{name} listens on {server}, and ended this connection")));
        return why;
    }
    why.because
        .push(Fact::when(format!("nobody in {name} listens on {server}"), Condition::Deaf(hop.netns, proto, at)));
    let pod = run.cluster().pods.iter().rfind(|pod| pod.netns == hop.netns).map(|pod| &pod.key);
    let leaving = pod.map(|pod| Condition::Leaving(pod.clone())).filter(|leaving| leaving.holds(run));
    why.whose = Some(match (pod, leaving) {
        (Some(pod), Some(leaving)) => {
            why.because.push(Fact::when(format!("pod {pod} is being deleted"), leaving));
            format!(
                "pod {pod} should serve on until every kube-proxy has heard of it: a preStop hook that sleeps some seconds"
            )
        }
        (Some(pod), None) => {
            why.because.push(Fact::new(listens_on(hop.netns, proto, run)));
            format!("the application of pod {pod} should listen there, or the Service's targetPort be another")
        }
        (None, _) => {
            why.because.push(Fact::new(listens_on(hop.netns, proto, run)));
            format!("an application of {name} should listen there")
        }
    });
    why
}

/// Where something listens, for who has asked for the wrong port.
fn listens_on(netns: NetnsId, proto: u8, run: &Run) -> String {
    let name = run.world().netns_name(netns);
    let ports: BTreeSet<u16> = listening(run, netns, proto).iter().map(SocketAddr::port).collect();
    let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
    let transport = if proto == SCTP { "SCTP" } else { "TCP" };
    match ports.as_slice() {
        [] => format!("{name} listens on no {transport} port at all"),
        ports => format!("{name} listens on {transport} port {}", ports.join(", ")),
    }
}

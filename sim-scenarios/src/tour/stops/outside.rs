//! Into the cluster, by a load balancer.

use std::collections::BTreeMap;
use std::net::IpAddr;

use sim_core::capture::layers::layers;
use sim_core::capture::{Decision, Direction, Hop};

use super::pods::{is_connected, places};
use crate::tour::guide::{Guide, Sent};

pub(crate) const BALANCER: &str = "A call from outside goes to an address that only the cloud's load balancer has. It chooses a node and \
    changes nothing; the node's rules make a pod of the address, and the answer goes straight back.";
pub(crate) const SECOND_HOP: &str = "A load balancer knows nodes, not pods. A node without endpoint sends the call on to one that has it, in its \
    own name so that the answer comes back: a second hop, and the client's address is lost.";
pub(crate) const LOCAL: &str = "With externalTrafficPolicy Local a node hands calls to its own pods alone: no second hop, and the pod sees who \
    calls. A node without endpoint fails the health check and gets no calls.";

/// The host that calls.
const WORLD: &str = "world";
/// Connections from which a spread is told.
const MANY: usize = 24;

/// How a connection came in.
struct Entry {
    /// The node, as an index.
    node: Option<usize>,
    /// The endpoint it was given to.
    endpoint: Option<IpAddr>,
}

impl Entry {
    fn of(guide: &Guide<'_>, sent: &Sent) -> Self {
        let nodes = &guide.run().cluster().nodes;
        let node = sent.hops().find_map(|hop| nodes.iter().position(|node| node.netns == hop.netns));
        let endpoint = sent.translations().find(|nat| !nat.source).map(|nat| nat.after.ip);
        Self { node, endpoint }
    }

    fn is_second_hop(&self, guide: &Guide<'_>) -> bool {
        self.endpoint.and_then(|ip| guide.pod_at(ip)).map(|pod| pod.node) != self.node
    }
}

pub(crate) fn balancer(guide: &mut Guide<'_>) {
    let vip = guide.external("lone");
    guide.look("kubectl get services");
    guide.look_for("lb: iptables -t mangle -S", &[&format!("NODES-{vip}")]);
    let sent = entering(guide, vip, 1);
    guide.walk(&sent, 2);
    let lone = guide.pod("lone");
    guide.must("it is connected", is_connected(&sent));
    let [asks, answers] = [0, 1].map(|at| sent.only(at));
    guide.must("the call goes by the load balancer", places(guide, &asks).contains("lb/eth0"));
    let at_balancer = guide.run().world().netns_id("lb");
    let mut there = sent.hops().filter(|hop| Some(hop.netns) == at_balancer);
    guide.must("which changes no address", there.all(|hop| ends(hop).is_some_and(|[_, to]| to == vip)));
    let asked = asks.translations().find(|nat| !nat.source);
    guide.must(
        "the node changes it into the pod's",
        asked.is_some_and(|nat| (nat.before.ip, nat.after.ip) == (vip, lone)),
    );
    guide.must("no other node sees it", !places(guide, &sent).iter().any(|place| place.starts_with("n1/")));
    guide.must("the answer goes back without the load balancer", !places(guide, &answers).contains("lb/eth0"));
    guide.must("nothing was dropped", sent.losses().count() == 0);
}

pub(crate) fn second_hop(guide: &mut Guide<'_>) {
    let sent = entering(guide, guide.external("lone"), 0);
    guide.walk(&sent, 2);
    guide.say("Now four pods, one on n1 and three on n2.");
    let cluster = spread(guide, "uneven");
    guide.say("With externalTrafficPolicy Local there is no second hop, but the one pod of n1 gets all calls of n1.");
    let local = spread(guide, "uneven-local");
    guide.say(
        "Spread by topologySpreadConstraints, two on each node, they get their share, and no call takes a second hop.",
    );
    let cured = spread(guide, "spread");

    let client = caller(&sent);
    guide.must("it is connected", is_connected(&sent));
    guide.must("it entered at n1, its endpoint is on n2", Entry::of(guide, &sent).is_second_hop(guide));
    let n1 = guide.run().world().netns_id("n1");
    let lent = sent.translations().find(|nat| nat.source && Some(nat.before.ip) == client);
    guide.must("n1 put its own address in place of the client's", lent.is_some());
    guide.must("the pod does not see who calls", callers(guide, &sent, "lone").iter().all(|ip| Some(*ip) != client));
    let translated = sent.hops().filter(|hop| translates(hop)).all(|hop| Some(hop.netns) == n1);
    guide.must("the answer goes back through n1, which alone changes addresses", translated);
    guide.must("nothing was dropped", sent.losses().count() == 0);
    guide.must("Cluster: about half of the calls take a second hop", (MANY / 4..=MANY * 3 / 4).contains(&cluster.hops));
    guide.must("Local: none does", local.hops == 0);
    let one = guide.pod("one");
    guide.must(
        "Local: the lonely pod gets most",
        local.calls.iter().max_by_key(|(_, calls)| **calls).is_some_and(|(ip, _)| *ip == one),
    );
    guide.must("spread: none does", cured.hops == 0);
    let busiest = |spread: &Spread| spread.calls.values().max().copied().unwrap_or(MANY);
    guide.must("spread: the busiest pod gets less than the lonely one did", busiest(&cured) < busiest(&local));
    guide.must(
        "no call was lost",
        [cluster, local, cured].iter().all(|spread| spread.calls.values().sum::<usize>() == MANY),
    );
}

pub(crate) fn local(guide: &mut Guide<'_>) {
    let [all, kept] = ["lone", "lone-local"].map(|name| guide.external(name));
    let chains = [all, kept].map(|vip| {
        let chain = format!("-A NODES-{vip}");
        guide.look_for("lb: iptables -t mangle -S", &[&chain])
    });
    let sent = guide.connect_often(MANY, WORLD, kept);
    let sent: Vec<_> = sent.iter().map(|sent| sent.about(kept)).collect();
    guide.walk(&sent[0], 2);
    let client = caller(&sent[0]);
    let modulo = |chain: &str, nodes: usize| chain.contains(&format!("--hmark-mod {nodes} "));
    guide.must("Cluster: the load balancer chooses among two nodes", modulo(&chains[0], 2));
    guide.must("Local: it has one, the other fails its health check", modulo(&chains[1], 1));
    guide.must("every call is answered", sent.iter().all(is_connected));
    let n1 = |place: &String| place.starts_with("n1/");
    guide.must("none comes to n1", !sent.iter().any(|sent| places(guide, sent).iter().any(n1)));
    guide.must(
        "the source is kept",
        sent.iter().all(|sent| sent.translations().all(|nat| Some(nat.before.ip) != client)),
    );
    let seen = callers(guide, &sent[0], "lone");
    guide.must("the pod sees who calls", !seen.is_empty() && seen.iter().all(|ip| Some(*ip) == client));
    guide.must("nothing was dropped", sent.iter().all(|sent| sent.losses().count() == 0));
}

/// How calls were spread.
struct Spread {
    /// Second hops.
    hops: usize,
    /// By endpoint.
    calls: BTreeMap<IpAddr, usize>,
}

/// Calls a Service often, and tells how that was spread.
fn spread(guide: &mut Guide<'_>, service: &str) -> Spread {
    let vip = guide.external(service);
    let sent = guide.connect_often(MANY, WORLD, vip);
    let entries: Vec<_> = sent.iter().map(|sent| Entry::of(guide, &sent.about(vip))).collect();
    let hops = entries.iter().filter(|entry| entry.is_second_hop(guide)).count();
    let mut calls = BTreeMap::new();
    entries.iter().filter_map(|entry| entry.endpoint).for_each(|ip| *calls.entry(ip).or_default() += 1);
    let entered = |node| entries.iter().filter(|entry| entry.node == Some(node)).count();
    let told: Vec<_> = calls.iter().map(|(ip, calls)| format!("{calls} {}", guide.pod_name(*ip))).collect();
    let (n1, n2) = (entered(0), entered(1));
    guide.say(&format!(
        "Of {MANY} calls {n1} entered at n1, {n2} at n2; {hops} took a second hop. By pod: {}.",
        told.join(", ")
    ));
    Spread { hops, calls }
}

/// Calls until one enters at this node: that one, without what else went on.
fn entering(guide: &mut Guide<'_>, vip: IpAddr, node: usize) -> Sent {
    let enters = |guide: &Guide<'_>, sent: &Sent| Entry::of(guide, &sent.about(vip)).node == Some(node);
    guide.connect_until(WORLD, vip, enters).about(vip)
}

/// Who sent the first packet.
fn caller(sent: &Sent) -> Option<IpAddr> {
    sent.hops().find_map(ends).map(|[from, _]| from)
}

/// Whose packets a pod got.
fn callers(guide: &Guide<'_>, sent: &Sent, pod: &str) -> Vec<IpAddr> {
    let netns = guide.run().world().netns_id(&format!("default/{pod}"));
    let got = sent.hops().filter(|hop| Some(hop.netns) == netns && hop.direction == Direction::In);
    got.filter_map(ends).map(|[from, _]| from).collect()
}

fn translates(hop: &Hop) -> bool {
    hop.decisions.iter().any(|decision| matches!(decision, Decision::Translated(_)))
}

/// From whom to whom a packet goes.
fn ends(hop: &Hop) -> Option<[IpAddr; 2]> {
    layers(&hop.frame).first()?.ends.map(|[from, to]| [from.ip, to.ip])
}

//! Pods among themselves.

use std::collections::BTreeSet;

use sim_core::capture::Decision;
use sim_k8s::cluster::ClusterConfig;
use sim_k8s::flannel;

use crate::tour::guide::{Guide, Sent};

pub(crate) const POD_IP: &str = "Every pod has an address of its own that others route to: two pods of one node serve the same port, and \
    no port is mapped.";
pub(crate) const NETNS: &str = "A pod and its node are two hosts: each has its own devices, addresses, routes and rules. A veth pair joins \
    them.";
pub(crate) const SAME_NODE: &str = "Pods of one node talk through its bridge: veth, bridge, veth. ARP asks everybody once; the bridge \
    learns behind which port an address is, and the rest goes there alone.";
pub(crate) const CROSS_NODE: &str = "From node to node a packet needs no tunnel if the network between them knows where pods are: the cloud's \
    routes lead each node's pod network to it.";
pub(crate) const OVERLAY: &str = "To a pod on another node the packet travels inside a UDP packet of its node, and comes out unchanged. Which \
    node has which pods stands in three tables of the sender's node: a route, a neighbour, a forwarding entry.";

pub(crate) fn pod_ip(guide: &mut Guide<'_>) {
    guide.look("kubectl get pods -o wide");
    let [blue, cyan] = ["blue", "cyan"].map(|pod| guide.pod(pod));
    let sent = [blue, cyan].map(|to| guide.connect("client", to));
    for sent in &sent {
        guide.walk(sent, 1);
    }
    guide.must("both are reached at port 80", sent.iter().all(is_connected));
    guide.must("they are two addresses of one node", blue != cyan);
    guide.must(
        "no address and no port was changed on the way",
        sent.iter().all(|sent| sent.translations().count() == 0),
    );
    guide.must("nothing was dropped", sent.iter().all(|sent| sent.losses().count() == 0));
}

pub(crate) fn netns(guide: &mut Guide<'_>) {
    let pod = [guide.look("client: ip -br addr; ip route"), guide.look("client: iptables -S")];
    let node =
        [guide.look("n1: ip -br addr; ip route"), guide.look_for("n1: iptables -S", &["-P ", "-N KUBE-FORWARD"])];
    let gateway = pod[0].split("default via ").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
    let gateway = gateway.expect("a pod has a default route");
    let sent = guide.ping("client", gateway);
    guide.walk(&sent, 2);
    guide.must(
        "the pod sees lo and eth0",
        pod[0].contains("lo ") && pod[0].contains("eth0") && !pod[0].contains("cni0"),
    );
    guide.must(
        "the node has the bridge and the other ends of the veths",
        node[0].contains("cni0") && node[0].contains("veth"),
    );
    guide.must(
        "the pod has no rules, the node kube-proxy's",
        !pod[1].contains("KUBE") && node[1].contains("KUBE-FORWARD"),
    );
    guide.must("the bridge's address is the pod's gateway and answers", sent.printed.contains("1 received"));
}

pub(crate) fn same_node(guide: &mut Guide<'_>) {
    let blue = guide.pod("blue");
    let sent = guide.connect("client", blue);
    guide.walk_arp(&sent);
    guide.walk(&sent, 2);
    let fdb = guide.look_for("n1: bridge fdb", &["dev veth"]);
    let places = places(guide, &sent);
    guide.must("it is connected", is_connected(&sent));
    guide.must("the question was flooded", sent.decisions().any(|decision| matches!(decision, Decision::Flooded)));
    let switched = sent.decisions().filter(|decision| matches!(decision, Decision::Switched(_))).count();
    guide.must("everything after it went to one port", switched > 4);
    guide.must("the bridge has learned both pods' ports", fdb.lines().count() >= 2);
    let outside = |place: &String| place == "n1/eth0" || place.contains("flannel") || place.starts_with("n2");
    guide.must("nothing left the node", !places.iter().any(outside));
    guide.must("nothing was routed", !sent.decisions().any(|decision| matches!(decision, Decision::Forwarded { .. })));
}

/// No overlay: the cloud has a route to each node's pods.
pub(crate) fn routed_by_the_cloud(config: &mut ClusterConfig) {
    config.pod_routes = true;
    config.flannel.backend = flannel::backend("alloc").expect("a backend of flannel");
}

pub(crate) fn cross_node(guide: &mut Guide<'_>) {
    guide.look("n1: ip route");
    let routes = guide.look_for("gw: ip route", &["10.244."]);
    let green = guide.pod("green");
    let sent = guide.connect("client", green);
    guide.walk(&sent, 2);
    let places = places(guide, &sent);
    guide.must("it is connected", is_connected(&sent));
    guide.must("the cloud knows each node's pods", routes.lines().count() == 2);
    guide.must(
        "it left by one card and came by the other",
        ["n1/eth0", "n2/eth0"].iter().all(|place| places.contains(*place)),
    );
    let tunneled = sent.decisions().any(|decision| matches!(decision, Decision::Encapsulated { .. }));
    guide.must("no tunnel was used", !tunneled && !places.iter().any(|place| place.contains("flannel")));
    guide.must("the pods' addresses stayed", sent.translations().count() == 0);
    guide.must("nothing was dropped", sent.losses().count() == 0);
}

pub(crate) fn overlay(guide: &mut Guide<'_>) {
    guide.look_for("n1: ip route", &["flannel.1"]);
    guide.look_for("n1: ip neigh", &["flannel.1"]);
    guide.look_for("n1: bridge fdb", &["flannel.1"]);
    let green = guide.pod("green");
    let sent = guide.connect("client", green);
    guide.walk(&sent, 2);
    let places = places(guide, &sent);
    guide.must("it is connected", is_connected(&sent));
    let through = ["n1/flannel.1", "n1/eth0", "n2/eth0", "n2/flannel.1"];
    guide.must("it went through both tunnel ends and both cards", through.iter().all(|place| places.contains(*place)));
    guide.must(
        "it was put into VXLAN",
        sent.decisions().any(|decision| matches!(decision, Decision::Encapsulated { .. })),
    );
    guide.must("the pods' addresses stayed", sent.translations().count() == 0);
    guide.must("nothing was dropped", sent.losses().count() == 0);
}

/// Whether `nc` said so.
pub(super) fn is_connected(sent: &Sent) -> bool {
    sent.printed.contains("succeeded")
}

/// Every device that was passed.
pub(super) fn places(guide: &Guide<'_>, sent: &Sent) -> BTreeSet<String> {
    sent.seen.iter().map(|seen| guide.place(seen)).collect()
}

//! Out of the cluster.

use sim_core::capture::Decision;
use sim_core::netfilter::hooks::Hook;

use sim_k8s::cluster::ClusterConfig;

use super::pods::places;
use crate::tour::guide::Guide;

pub(crate) const NODE: &str = "A node reaches the internet through the cloud's gateway, which gives it its public address: one address for \
    one address.";
pub(crate) const POD_DROPPED: &str = "The gateway knows nodes, not pods. A packet that leaves with a pod's address is dropped there, and \
    the pod waits for an answer that never comes.";
pub(crate) const POD: &str = "So the node lends the pod its own address: masquerading in POSTROUTING, for everything that leaves the pod \
    network. Conntrack brings the answer back to the pod.";

/// A host of the outside world.
const OUTSIDE: &str = "8.8.8.8";

pub(crate) fn node(guide: &mut Guide<'_>) {
    let sent = guide.ping("n1", OUTSIDE.parse().expect("an address"));
    guide.walk(&sent, 2);
    let public = guide.run().cluster().nodes[0].public_ip();
    guide.must("the answer comes back", sent.printed.contains("1 received"));
    guide.must(
        "outside it bears the node's public address",
        sent.translations().any(|nat| nat.source && nat.after.ip == public),
    );
    guide.must("and inside its own again", sent.translations().any(|nat| !nat.source && nat.before.ip == public));
}

/// flannel without `--ip-masq`.
pub(crate) fn without_masquerade(config: &mut ClusterConfig) {
    config.flannel.ip_masq = false;
}

pub(crate) fn pod_dropped(guide: &mut Guide<'_>) {
    let sent = guide.ping("client", OUTSIDE.parse().expect("an address"));
    guide.walk(&sent, 1);
    let gateway = guide.run().world().netns_id("gw");
    guide.must("no answer comes", sent.printed.contains("0 received"));
    guide.must(
        "the node sends it on with the pod's address",
        places(guide, &sent).contains("n1/eth0") && sent.translations().count() == 0,
    );
    let losses: Vec<_> = sent.losses().map(|loss| Some(loss.place.netns)).collect();
    guide.must("the gateway drops it", losses == [gateway]);
    guide.must("nothing arrives outside", !places(guide, &sent).iter().any(|place| place.starts_with("world")));
}

pub(crate) fn pod(guide: &mut Guide<'_>) {
    let sent = guide.ping("client", OUTSIDE.parse().expect("an address"));
    guide.walk(&sent, 2);
    guide.look_for("n1: conntrack -L", &[OUTSIDE]);
    let (client, node) = (guide.pod("client"), guide.run().cluster().nodes[0].ip());
    guide.must("the answer comes back", sent.printed.contains("1 received"));
    let lent = sent.translations().find(|nat| nat.hook == Hook::Postrouting && nat.before.ip == client);
    guide.must("the node lends the pod its address", lent.is_some_and(|nat| nat.after.ip == node));
    guide.must("the answer finds the pod", sent.translations().any(|nat| !nat.source && nat.after.ip == client));
    guide
        .must("no tunnel is used", !sent.decisions().any(|decision| matches!(decision, Decision::Encapsulated { .. })));
}

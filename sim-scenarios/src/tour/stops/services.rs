//! Services.

use std::net::IpAddr;

use sim_core::capture::layers::layers;
use sim_core::capture::{Decision, Direction};
use sim_core::engine::trail::DropReason;
use sim_core::netfilter::hooks::Hook;

use super::pods::{is_connected, places};
use crate::tour::guide::{Guide, Sent};

pub(crate) const SELECTOR: &str = "Labels choose the endpoints, endpoints become rules: of three pods each connection gets one, by chance. \
    No process is asked on the way.";
pub(crate) const SERVICE_DNAT: &str = "A Service's address is on no device. The client's own node changes it into a pod's, remembers that, and \
    changes the answer back: neither the server nor the network in between ever sees it.";
pub(crate) const SAME_NODE: &str = "Client and endpoint on one node: the answer would go straight from pod to pod through the bridge and \
    arrive from a stranger. br_netfilter brings bridged packets to the rules, so it is changed back all the same.";
pub(crate) const HAIRPIN: &str = "A pod that calls its own Service meets itself. The packet must come back by the port it came from, and from \
    another address than the pod's own: hence hairpin ports and masquerading.";
pub(crate) const NO_ENDPOINTS: &str = "A Service without endpoints refuses at once: a REJECT rule answers, and the client need not wait for a \
    timeout.";
pub(crate) const CHURN: &str = "Pods die, and others take their place with other addresses. The Service keeps its own: the rules on every \
    node follow the endpoints, and clients need not know.";
pub(crate) const DNS: &str = "A name becomes an address before anything else happens. The pod asks a Service, 10.96.0.10, whose endpoints are \
    CoreDNS pods, and the answer is an address that is on no device again.";

/// The cluster address of the cluster's DNS.
const NAME_SERVER: &str = "10.96.0.10";

pub(crate) fn selector(guide: &mut Guide<'_>) {
    guide.look("kubectl get services -o wide");
    guide.look("kubectl get endpointslices");
    let web = guide.service("web");
    let rules = guide.look_for("n1: iptables -t nat -S", &["--comment \"default/web"]);
    let mut spread = ["blue", "cyan", "green"].map(|pod| (pod, guide.pod(pod), 0));
    let all = guide.connect_often(12, "client", web);
    let went = |sent: &Sent| sent.translations().find(|nat| !nat.source).map(|nat| nat.after.ip);
    let other = all.iter().find(|sent| went(sent) != went(&all[0]));
    all.iter().take(1).chain(other).for_each(|sent| guide.walk(&sent.only(0), 1));
    for sent in &all {
        spread.iter_mut().filter(|(_, ip, _)| Some(*ip) == went(sent)).for_each(|(_, _, count)| *count += 1);
    }
    let told: Vec<_> = spread.iter().map(|(pod, _, count)| format!("{count} {pod}")).collect();
    guide.say(&format!("Who got the 12 connections: {}.", told.join(", ")));
    guide.must("every connection was answered", all.iter().all(is_connected));
    guide.must(
        "every endpoint got some, nobody else any",
        spread.iter().all(|s| s.2 > 0) && spread.iter().map(|s| s.2).sum::<usize>() == 12,
    );
    let chances = rules.lines().filter(|line| line.contains("--mode random")).count();
    guide.must("the rules draw twice: one in three, then one in two", chances == 2);
}

pub(crate) fn churn(guide: &mut Guide<'_>) {
    let vip = guide.service("spread");
    let rules = |guide: &mut Guide<'_>| guide.look_for("n1: iptables -t nat -S", &["--comment \"default/spread -> "]);
    let endpoints = |guide: &Guide<'_>| -> Vec<(String, IpAddr)> {
        let pods = guide.run().cluster().running().filter(|pod| pod.workload.key.name.starts_with("spread"));
        pods.map(|pod| (pod.key.name.clone(), pod.ip())).collect()
    };
    guide.look_for("kubectl get endpointslices", &["NAME", "spread"]);
    let (old, old_rules) = (endpoints(guide), rules(guide));
    let before = guide.connect("client", vip).about(vip);
    let deletes: Vec<_> = old.iter().map(|(pod, _)| format!("kubectl delete pod {pod}")).collect();
    guide.look(&deletes.join("; "));
    guide.look("run 60s");
    guide.look_for("kubectl get endpointslices", &["NAME", "spread"]);
    let (new, new_rules) = (endpoints(guide), rules(guide));
    let after = guide.connect("client", vip).about(vip);
    guide.walk(&after, 1);
    let to = |sent: &Sent| sent.translations().find(|nat| !nat.source).map(|nat| nat.after.ip);
    let [went, goes] = [&before, &after].map(to);
    let among = |pods: &[(String, IpAddr)], ip: Option<IpAddr>| pods.iter().any(|pod| Some(pod.1) == ip);
    let names = |rules: &str, pods: &[(String, IpAddr)]| {
        pods.iter().filter(|pod| rules.contains(&format!("{}:80\"", pod.1))).count()
    };
    guide.must("four pods died, and four others came", (old.len(), new.len()) == (4, 4));
    guide.must(
        "no name and no address is the same",
        old.iter().all(|(pod, ip)| new.iter().all(|new| new.0 != *pod && new.1 != *ip)),
    );
    guide.must("the Service's address is the same", guide.service("spread") == vip);
    guide.must("it is reached as before", is_connected(&before) && is_connected(&after));
    guide.must("then by one of the old pods, now by one of the new", among(&old, went) && among(&new, goes));
    guide.must("the rules named the four old pods", (names(&old_rules, &old), names(&old_rules, &new)) == (4, 0));
    guide.must("now they name the four new ones alone", (names(&new_rules, &old), names(&new_rules, &new)) == (0, 4));
}

pub(crate) fn dns(guide: &mut Guide<'_>) {
    let vip = guide.service("lone");
    let server: IpAddr = NAME_SERVER.parse().expect("an address");
    guide.look("kubectl get services -n kube-system");
    guide.look_for("kubectl get pods -n kube-system -o wide", &["NAME", "coredns"]);
    let sent = guide.connect_by_name("client", "lone");
    let [asked, called] = [server, vip].map(|ip| sent.about(ip));
    guide.walk(&asked.only(0), 1);
    guide.say("Together with the question for AAAA it is answered:");
    guide.walk(&asked.only(2), 1);
    guide.walk(&called, 1);
    let lone = guide.pod("lone");
    let to = |sent: &Sent| sent.translations().find(|nat| !nat.source).map(|nat| nat.after.ip);
    let coredns = to(&asked).and_then(|ip| guide.pod_at(ip)).is_some_and(|pod| pod.key.name.starts_with("coredns"));
    guide.must("the name became the Service's address", sent.printed.contains(&format!("lone ({vip})")));
    guide.must("it is connected", is_connected(&sent));
    guide.must("the name server is a Service, a CoreDNS pod answers", coredns);
    guide.must("two questions, A and AAAA, and their answers: four packets", asked.packets(false).len() == 4);
    guide.must("then the call goes to the Service's pod", to(&called) == Some(lone));
    guide
        .must("only after the answer", called.hops().next().map(|hop| hop.at) >= asked.hops().last().map(|hop| hop.at));
    guide.must("nothing was dropped", sent.losses().count() == 0);
}

pub(crate) fn service_dnat(guide: &mut Guide<'_>) {
    let (far, green, client) = (guide.service("far"), guide.pod("green"), guide.pod("client"));
    let sent = guide.connect("client", far);
    guide.walk(&sent, 2);
    guide.look_for("n1: conntrack -L", &[&far.to_string()]);
    let on_other_node = guide.look_for("n2: conntrack -L", &[&far.to_string()]);
    guide.must("it is connected", is_connected(&sent));
    let asked = sent.translations().find(|nat| nat.hook == Hook::Prerouting && !nat.source);
    guide.must(
        "PREROUTING changed the Service's address into the pod's",
        asked.is_some_and(|nat| (nat.before.ip, nat.after.ip) == (far, green)),
    );
    let answered = sent.translations().find(|nat| nat.source);
    guide
        .must("the answer was changed back", answered.is_some_and(|nat| (nat.before.ip, nat.after.ip) == (green, far)));
    let n1 = guide.run().world().netns_id("n1");
    let only_there = sent.hops().filter(|hop| hop.decisions.iter().any(|d| matches!(d, Decision::Translated(_))));
    guide.must("both on the client's node", only_there.into_iter().all(|hop| Some(hop.netns) == n1));
    guide.must("the other node knows nothing of the Service", on_other_node.is_empty());
    let server = guide.run().world().netns_id("default/green");
    let at_server = sent.hops().filter(|hop| Some(hop.netns) == server && hop.direction == Direction::In);
    let ends = at_server.filter_map(|hop| layers(&hop.frame).first()?.ends);
    let sees_client = ends.into_iter().any(|[src, dst]| (src.ip, dst.ip) == (client, green) && dst.port.is_some());
    guide.must("the server sees the client's own address", sees_client);
}

pub(crate) fn same_node(guide: &mut Guide<'_>) {
    let (near, blue) = (guide.service("near"), guide.pod("blue"));
    let sent = guide.connect("client", near);
    guide.walk(&sent, 2);
    guide.look_for("n1: conntrack -L", &[&near.to_string()]);
    let places = places(guide, &sent);
    guide.must("it is connected", is_connected(&sent));
    guide.must("the address was changed", sent.translations().any(|nat| (nat.before.ip, nat.after.ip) == (near, blue)));
    guide.must(
        "and back, on a packet that was only bridged",
        sent.translations().any(|nat| nat.source && (nat.before.ip, nat.after.ip) == (blue, near)),
    );
    guide.must("nothing left the node", !places.iter().any(|place| place == "n1/eth0" || place.contains("flannel")));
}

pub(crate) fn hairpin(guide: &mut Guide<'_>) {
    let (near, blue) = (guide.service("near"), guide.pod("blue"));
    let sent = guide.connect("blue", near);
    guide.walk(&sent, 2);
    guide.look_for("n1: conntrack -L", &[&near.to_string()]);
    guide.must("it is connected to itself", is_connected(&sent));
    guide.must(
        "the destination became the pod itself",
        sent.translations().any(|nat| !nat.source && nat.after.ip == blue),
    );
    let masqueraded = sent.translations().find(|nat| nat.source && nat.before.ip == blue);
    guide.must(
        "the source became the node's",
        masqueraded.is_some_and(|nat| nat.after.ip != blue && nat.after.ip != near),
    );
    let mut ways: Vec<_> = Vec::new();
    let first = sent.packets(false).first().copied();
    for hop in sent.hops().filter(|hop| Some(hop.packet) == first) {
        let (netns, dev) = (hop.netns, hop.dev);
        if guide.run().world().dev_name(netns, dev).starts_with("veth") {
            ways.push(dev);
        }
    }
    guide.must("it went back by the port it came from", ways.len() == 2 && ways[0] == ways[1]);
}

pub(crate) fn no_endpoints(guide: &mut Guide<'_>) {
    guide.look("kubectl get endpointslices");
    guide.look_for("n1: iptables -S", &["has no endpoints"]);
    let nobody = guide.service("nobody");
    let sent = guide.connect("client", nobody);
    guide.walk(&sent, 2);
    guide.must("the connection is refused", sent.printed.contains("Connection refused"));
    let losses: Vec<_> = sent.losses().map(|loss| loss.place.reason).collect();
    guide.must("one packet was dropped, by REJECT", losses == [DropReason::NetfilterReject]);
    guide.must("nothing left the node", !places(guide, &sent).contains("n1/eth0"));
}

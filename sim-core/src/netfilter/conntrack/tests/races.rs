//! Two packets between their visits at the same time, as on two CPUs (`nf_ct_resolve_clash`).

use crate::netfilter::conntrack::bench::{Node, at, tcp, to, udp};
use crate::netfilter::conntrack::{Status, Verdict};
use crate::netfilter::nat::NatRange;
use crate::wire::l4::SYN;
use crate::wire::packet::{CtInfo, CtRef, Packet};

const CLIENT: &str = "10.244.1.2:40000";
const SERVICE: &str = "10.96.0.10:53";

/// Both packets reach POSTROUTING before either is confirmed; `dnat` is what the rules say to the second.
fn race(node: &mut Node, mut first: Packet, mut second: Packet, dnat: Option<NatRange>) -> (Packet, Packet, Verdict) {
    assert_eq!(node.receive(&mut first), Verdict::Accept);
    node.dnat = dnat;
    assert_eq!(node.receive(&mut second), Verdict::Accept);
    assert_eq!(node.send(&mut first), Verdict::Accept);
    let verdict = node.send(&mut second);
    node.ct.discard_tentative();
    (first, second, verdict)
}

#[test]
fn two_datagrams_of_one_flow_become_one_entry() {
    let mut node = Node::new();
    node.dnat = Some(to("10.244.2.2:8080"));
    let same = node.dnat;
    let (first, second, verdict) = race(&mut node, udp(CLIENT, SERVICE), udp(CLIENT, SERVICE), same);
    assert_eq!((verdict, first.ct), (Verdict::Accept, second.ct));
    assert_eq!(node.only().counters.unwrap()[0].packets, 2);
    assert_eq!(node.ct.stats().clash_resolve, 1);
    assert_eq!(node.ct.len(), 1, "the loser is gone");
}

#[test]
fn a_datagram_that_was_sent_to_another_endpoint_keeps_its_way_for_a_second() {
    let mut node = Node::new();
    node.dnat = Some(to("10.244.2.2:8080"));
    let other = Some(to("10.244.2.3:8080"));
    let (_, second, verdict) = race(&mut node, udp(CLIENT, SERVICE), udp(CLIENT, SERVICE), other);
    assert_eq!(verdict, Verdict::Accept);
    assert_eq!(second.ip().unwrap().dst, at("10.244.2.3:8080").ip());
    assert_eq!((node.count(), node.ct.len()), (1, 2), "the loser is not listed");
    let answer = node.forward(udp("10.244.2.3:8080", CLIENT)).unwrap();
    assert_eq!(answer.ip().unwrap().src, at(SERVICE).ip(), "its answer is translated back");
    assert!(node.ct.of(&answer).unwrap().2.status.has(Status::NAT_CLASH));
    node.wait(1);
    let late = node.forward(udp("10.244.2.3:8080", CLIENT)).unwrap();
    assert_eq!(late.ip().unwrap().src, at("10.244.2.3:8080").ip());
}

#[test]
fn requests_in_both_directions_at_once_become_one_flow() {
    let mut node = Node::new();
    let (first, second, verdict) =
        race(&mut node, udp("10.0.0.1:500", "10.0.0.2:500"), udp("10.0.0.2:500", "10.0.0.1:500"), None);
    assert_eq!((verdict, first.ct), (Verdict::Accept, second.ct));
    assert_eq!(node.count(), 1);
}

#[test]
fn two_syns_of_one_connection_cannot_be_merged_and_the_second_is_lost() {
    let mut node = Node::new();
    let syn = || tcp(CLIENT, "10.244.2.2:80", SYN, 1, 0, b"");
    let (.., verdict) = race(&mut node, syn(), syn(), None);
    assert_eq!(verdict, Verdict::Drop);
    let stats = node.ct.stats();
    assert_eq!((stats.drop, stats.insert_failed, stats.clash_resolve), (1, 1, 0));
}

#[test]
fn a_flooded_clone_finds_its_entry_confirmed() {
    let mut node = Node::new();
    let mut packet = udp(CLIENT, "10.244.2.2:53");
    assert_eq!(node.receive(&mut packet), Verdict::Accept);
    let mut clone = packet.clone();
    assert_eq!(node.send(&mut packet), Verdict::Accept);
    assert_eq!(node.send(&mut clone), Verdict::Accept);
    assert!(matches!(clone.ct, CtRef::Entry(_, CtInfo::New)));
    assert_eq!(node.only().counters.unwrap()[0].packets, 1);
}

//! Stories of translated flows; facts are those of `../shared/facts/kernel-behaviour.md`.

use proptest::prelude::*;

use super::NatRange;
use crate::engine::arena::DevId;
use crate::netfilter::conntrack::bench::{Node, at, icmp, icmp_error, ip, tcp, to, udp};
use crate::netfilter::conntrack::{Dir, Status, Verdict};
use crate::netfilter::hooks::Hook;
use crate::wire::checksum::Sum;
use crate::wire::icmp::{
    DEST_UNREACH, ECHO, ECHO_REPLY, FRAG_NEEDED, HOST_UNREACH, PORT_UNREACH, REDIRECT, TIME_EXCEEDED,
};
use crate::wire::ip::{IpHeader, TCP, UDP};
use crate::wire::l4::{ACK, FIN, SYN, checksum_ok, ports};
use crate::wire::packet::Packet;

const POD: &str = "10.244.1.2:40000";
const OTHER_POD: &str = "10.244.1.3:40000";
const DNS: &str = "8.8.8.8:53";
const NODE: &str = "10.240.0.11";
const SERVICE: &str = "10.96.0.10:53";
const ENDPOINT: &str = "10.244.2.2:8080";

fn addrs(packet: &Packet) -> (String, String) {
    let ip = packet.ip().unwrap();
    let show = |addr, port| format!("{addr}:{port}");
    let (src, dst) = ports(ip.proto, &packet.l3()[20..]).unwrap();
    (show(ip.src, src), show(ip.dst, dst))
}

fn has_right_checksums(packet: &Packet) -> bool {
    let ip = packet.ip().unwrap();
    let l4 = &packet.l3()[20..];
    let l4_right = match ip.proto {
        UDP | TCP => checksum_ok(ip.src, ip.dst, ip.proto, l4),
        _ => Sum::default().bytes(l4).finish() == 0,
    };
    l4_right && Sum::default().bytes(&packet.l3()[..20]).finish() == 0
}

fn masquerading() -> Node {
    Node { snat: Some(to(NODE)), ..Node::new() }
}

fn serving() -> Node {
    Node { dnat: Some(to(ENDPOINT)), ..Node::new() }
}

fn source_port(packet: &Packet) -> u16 {
    ports(packet.ip().unwrap().proto, &packet.l3()[20..]).unwrap().0
}

#[test]
fn a_service_is_translated_to_its_endpoint_and_back() {
    let mut node = serving();
    let sent = node.forward(udp(POD, SERVICE)).unwrap();
    assert_eq!(addrs(&sent), (POD.into(), ENDPOINT.into()));
    let answer = node.forward(udp(ENDPOINT, POD)).unwrap();
    assert_eq!(addrs(&answer), (SERVICE.into(), POD.into()));
    assert!(has_right_checksums(&sent) && has_right_checksums(&answer));
    assert!(node.only().status.has(Status::DST_NAT | Status::SRC_NAT_DONE | Status::DST_NAT_DONE));
}

/// Facts 44 and 45.
#[test]
fn only_the_first_packet_asks_the_rules() {
    let mut node = serving();
    node.forward(udp(POD, SERVICE));
    node.dnat = Some(to("10.244.2.9:9"));
    assert_eq!(addrs(&node.forward(udp(POD, SERVICE)).unwrap()).1, ENDPOINT);
    let mut node = Node::new();
    node.forward(udp(POD, SERVICE));
    node.dnat = Some(to(ENDPOINT));
    assert_eq!(addrs(&node.forward(udp(POD, SERVICE)).unwrap()).1, SERVICE, "older than the service");
}

/// Fact 41; golden snat_port_collision.
#[test]
fn a_source_port_is_kept_if_it_is_free_and_else_chosen_from_its_class() {
    for (port, class) in [(53, 1..=511), (700, 600..=1023), (40_000, 1024..=65_535)] {
        let mut node = masquerading();
        let first = node.forward(udp(&format!("10.244.1.2:{port}"), DNS)).unwrap();
        assert_eq!(source_port(&first), port);
        let second = node.forward(udp(&format!("10.244.1.3:{port}"), DNS)).unwrap();
        let chosen = source_port(&second);
        assert!(chosen != port && class.contains(&chosen), "{port} became {chosen}");
        let back = node.forward(udp(DNS, &format!("{NODE}:{chosen}"))).unwrap();
        assert_eq!(addrs(&back).1, format!("10.244.1.3:{port}"));
        let elsewhere = node.forward(udp(&format!("10.244.1.3:{port}"), "8.8.4.4:53")).unwrap();
        assert_eq!(source_port(&elsewhere), chosen, "one source keeps its mapping where it is free");
    }
}

/// Fact 41; golden snat_port_collision, step 6.
#[test]
fn to_another_destination_the_port_is_kept() {
    let mut node = masquerading();
    node.forward(udp(POD, DNS));
    assert_eq!(source_port(&node.forward(udp(OTHER_POD, "8.8.8.8:5353")).unwrap()), 40_000);
}

/// Fact 42.
#[test]
fn a_flow_that_no_rule_translates_still_gets_another_port_if_its_answers_would_clash() {
    let mut node = Node::new();
    node.forward(udp(POD, ENDPOINT));
    node.dnat = Some(to(ENDPOINT));
    let sent = node.forward(udp(POD, SERVICE)).unwrap();
    assert_eq!(addrs(&sent).1, ENDPOINT);
    assert_ne!(source_port(&sent), 40_000);
    let answer = node.forward(udp(ENDPOINT, &addrs(&sent).0)).unwrap();
    assert_eq!(addrs(&answer), (SERVICE.into(), POD.into()));
}

#[test]
fn random_ports_come_from_the_same_classes() {
    let random = NatRange { random: true, ..to(NODE) };
    let mut node = Node { snat: Some(random), ..Node::new() };
    let mut kept = 0;
    for n in 0..20 {
        let port = source_port(&node.forward(udp(&format!("10.244.1.2:{}", 100 + n), DNS)).unwrap());
        assert!((1..=511).contains(&port));
        kept += u16::from(port == 100 + n);
    }
    assert!(kept < 5);
}

/// Fact 107.
#[test]
fn when_a_port_range_is_used_up_the_packet_is_dropped_and_leaves_no_entry() {
    let range = NatRange { ports: Some((5000, 5001)), ..to(NODE) };
    let mut node = Node { snat: Some(range), ..Node::new() };
    let syn = |port: u16, to| tcp(&format!("10.244.1.2:{port}"), to, SYN, 1, 0, b"");
    let mut chosen: Vec<_> = (1..=2).map(|n| source_port(&node.forward(syn(n, "8.8.8.8:80")).unwrap())).collect();
    chosen.sort();
    assert_eq!(chosen, [5000, 5001]);
    assert!(node.forward(syn(3, "8.8.8.8:80")).is_none());
    assert_eq!((node.count(), node.ct.stats().insert_failed), (2, 1));
    assert!(node.forward(syn(3, "8.8.8.8:81")).is_some(), "another destination is free");
}

/// Fact 107.
#[test]
fn the_address_of_a_range_depends_on_the_addresses_and_with_persistent_on_the_source_alone() {
    let range = NatRange { addrs: Some((ip("10.240.0.20"), ip("10.240.0.29"))), ..NatRange::default() };
    let choices = |range| {
        let mut node = Node { snat: Some(range), ..Node::new() };
        let mut choose = |port: u16, n: u8| {
            let sent = node.forward(udp(&format!("10.244.1.2:{port}"), &format!("8.8.8.{n}:53"))).unwrap();
            sent.ip().unwrap().src
        };
        (1..20).map(|n| (choose(1000 + u16::from(n), n), choose(2000 + u16::from(n), n))).collect::<Vec<_>>()
    };
    let usual = choices(range);
    assert!(usual.iter().all(|(a, b)| a == b), "the same for every connection of two hosts");
    assert!(usual.iter().any(|(a, _)| *a != usual[0].0));
    let persistent = choices(NatRange { persistent: true, ..range });
    assert!(persistent.iter().all(|(a, b)| a == b && *a == persistent[0].0));
}

#[test]
fn a_range_of_destination_ports_can_be_shifted() {
    let shift = NatRange { ports: Some((5000, 5999)), base_port: Some(4000), ..to("10.244.2.2") };
    let mut node = Node { dnat: Some(shift), ..Node::new() };
    assert_eq!(addrs(&node.forward(udp(POD, "10.96.0.10:4123")).unwrap()).1, "10.244.2.2:5123");
}

#[test]
fn an_icmp_identifier_is_mapped_like_a_port() {
    let mut node = masquerading();
    let id = |p: &Packet| u16::from_be_bytes([p.l3()[24], p.l3()[25]]);
    let first = node.forward(icmp("10.244.1.2", "8.8.8.8", ECHO, 7)).unwrap();
    let second = node.forward(icmp("10.244.1.3", "8.8.8.8", ECHO, 7)).unwrap();
    assert_eq!(id(&first), 7);
    assert_ne!(id(&second), 7);
    let back = node.forward(icmp("8.8.8.8", NODE, ECHO_REPLY, id(&second))).unwrap();
    assert_eq!((id(&back), back.ip().unwrap().dst), (7, ip("10.244.1.3")));
    assert!(has_right_checksums(&second) && has_right_checksums(&back));
}

#[test]
fn in_the_last_attempts_a_connection_in_time_wait_gives_its_port_to_a_newer_one() {
    let one_port = NatRange { ports: Some((5000, 5000)), ..to(NODE) };
    let mut node = Node { snat: Some(NatRange { random: true, ..one_port }), ..Node::new() };
    let (a, b, s) = ("10.244.1.2:1", "10.244.1.3:1", "8.8.8.8:80");
    let back = format!("{NODE}:5000");
    node.forward(tcp(a, s, SYN, 1000, 0, b""));
    assert!(node.forward(tcp(b, s, SYN, 9000, 0, b"")).is_none(), "the port is in use");
    node.forward(tcp(s, &back, SYN | ACK, 5000, 1001, b""));
    node.forward(tcp(a, s, FIN | ACK, 1001, 5001, b""));
    node.forward(tcp(s, &back, FIN | ACK, 5001, 1002, b""));
    node.forward(tcp(a, s, ACK, 1002, 5002, b""));
    assert!(node.forward(tcp(b, s, SYN, 500, 0, b"")).is_none(), "its numbers are older");
    assert!(node.forward(tcp(b, s, SYN, 9000, 0, b"")).is_some());
    assert_eq!(node.only().orig.src, at(b).ip());
}

/// Fact 20: the source of the error itself is translated, and the quotation is what the client sent.
#[test]
fn an_error_about_a_service_comes_from_the_service() {
    for (from, kind, code) in [
        ("10.244.2.2", DEST_UNREACH, PORT_UNREACH),
        ("10.244.2.0", TIME_EXCEEDED, 0),
        ("10.244.1.1", DEST_UNREACH, FRAG_NEEDED),
        ("10.244.2.3", DEST_UNREACH, HOST_UNREACH),
    ] {
        let mut node = serving();
        let original = udp(POD, SERVICE);
        let sent = node.forward(original.clone()).unwrap();
        let error = node.forward(icmp_error(from, &sent, kind, code)).unwrap();
        assert_eq!(error.ip().unwrap().src, at(SERVICE).ip(), "from {from}");
        assert_eq!(&error.l3()[28..], original.l3());
        assert!(has_right_checksums(&error));
    }
}

/// Fact 20.
#[test]
fn an_error_about_a_masqueraded_flow_keeps_its_source_and_finds_the_pod() {
    let mut node = masquerading();
    let original = udp(POD, DNS);
    let sent = node.forward(original.clone()).unwrap();
    let error = node.forward(icmp_error("10.240.0.1", &sent, TIME_EXCEEDED, 0)).unwrap();
    let outer = error.ip().unwrap();
    assert_eq!((outer.src, outer.dst), (ip("10.240.0.1"), at(POD).ip()));
    assert_eq!(&error.l3()[28..], original.l3());
    assert!(has_right_checksums(&error));
}

#[test]
fn an_error_the_client_sends_about_an_answer_reaches_the_endpoint() {
    let mut node = serving();
    node.forward(udp(POD, SERVICE));
    let from_endpoint = udp(ENDPOINT, POD);
    let answer = node.forward(from_endpoint.clone()).unwrap();
    let error = node.forward(icmp_error("10.244.1.2", &answer, DEST_UNREACH, PORT_UNREACH)).unwrap();
    assert_eq!(error.ip().unwrap().dst, at(ENDPOINT).ip());
    assert_eq!(&error.l3()[28..], from_endpoint.l3());
}

#[test]
fn an_error_with_a_bad_checksum_or_too_short_a_quotation_is_dropped() {
    let mut node = serving();
    node.ct.config.checksum = false;
    let sent = node.forward(udp(POD, SERVICE)).unwrap();
    let mut error = icmp_error("10.244.2.2", &sent, DEST_UNREACH, PORT_UNREACH);
    error.l3_mut()[22] ^= 1;
    assert!(node.forward(error).is_none());
    let mut cut = sent.clone();
    cut.trim_l3(25); // ports, but no whole UDP header
    assert!(node.forward(icmp_error("10.244.2.2", &cut, DEST_UNREACH, PORT_UNREACH)).is_none());
}

/// Fact 28.
#[test]
fn a_redirect_is_dropped_for_translated_flows_and_before_nat_is_decided() {
    let redirect =
        |node: &mut Node, about: &Packet| node.forward(icmp_error("10.244.2.1", about, REDIRECT, 1)).is_some();
    let mut node = serving();
    let sent = node.forward(udp(POD, SERVICE)).unwrap();
    assert!(!redirect(&mut node, &sent));
    let mut node = Node::new();
    let sent = node.forward(udp(POD, ENDPOINT)).unwrap();
    assert!(redirect(&mut node, &sent));
    let mut node = Node { has_nat: false, ..Node::new() };
    let sent = node.forward(udp(POD, ENDPOINT)).unwrap();
    node.has_nat = true;
    assert!(!redirect(&mut node, &sent));
}

/// `nf_nat_oif_changed`, `masq_device_event`.
#[test]
fn a_masqueraded_flow_dies_when_it_leaves_by_another_device_or_its_device_goes_down() {
    let eth0 = Some(DevId(2));
    let mut node = Node { snat: Some(NatRange { masq_dev: eth0, ..to(NODE) }), ..Node::new() };
    let mut first = udp(POD, DNS);
    assert_eq!(node.receive(&mut first), Verdict::Accept);
    let (id, ..) = node.ct.of(&first).unwrap();
    super::setup(&mut node.ct, node.now, id, super::Manip::Src, node.snat.as_ref(), &mut node.rng);
    assert_eq!(super::translate(&mut node.ct, &mut first, Hook::Postrouting, eth0), Verdict::Accept);
    assert_eq!(node.ct.confirm(node.now, &mut first), Verdict::Accept);
    let mut other = node.ct.clone();
    let mut second = udp(POD, DNS);
    assert_eq!(node.receive(&mut second), Verdict::Accept);
    let verdict = super::translate(&mut node.ct, &mut second, Hook::Postrouting, Some(DevId(3)));
    assert_eq!((verdict, node.count()), (Verdict::Drop, 0));
    other.masq_device_down(DevId(3));
    assert_eq!(other.len(), 1);
    other.masq_device_down(DevId(2));
    assert!(other.is_empty());
}

/// Fact 50.
#[test]
fn an_absent_udp_checksum_stays_absent() {
    let mut packet = udp(POD, SERVICE);
    packet.l3_mut()[26..28].fill(0);
    assert_eq!(serving().forward(packet).unwrap().l3()[26..28], [0, 0]);
}

proptest! {
    /// However the quotation in an error is cut or garbled: translated or dropped, never a panic.
    #[test]
    fn a_garbled_quotation_does_no_harm(len in 0usize..40, at_byte in 0usize..40, value in any::<u8>(), kind in 0u8..19) {
        let mut node = Node { snat: Some(to(NODE)), ..serving() };
        node.ct.config.checksum = false;
        let mut quoted = node.forward(udp(POD, SERVICE)).unwrap();
        let about = quoted.ip().unwrap();
        quoted.trim_l3(len);
        if let Some(byte) = quoted.l3_mut().get_mut(at_byte) {
            *byte = value;
        }
        let message = crate::wire::icmp::IcmpHeader { kind, code: 0, rest: [0; 4] };
        let header = IpHeader::new(about.dst, about.src, crate::wire::ip::ICMP, 0);
        if let Some(error) = node.forward(crate::wire::build::icmp(Default::default(), header, message, quoted.l3())) {
            prop_assert_eq!(Sum::default().bytes(&error.l3()[..20]).finish(), 0);
        }
    }

    /// What goes out translated and comes back unchanged but for its direction is, translated back, what an
    /// untranslated answer would be; the same for the first packet with both ends exchanged.
    #[test]
    fn translating_there_and_back_restores_the_bytes(
        client in 1u16.., data in proptest::collection::vec(any::<u8>(), 0..40), is_tcp in any::<bool>(), snat in any::<bool>(),
    ) {
        let client = format!("10.244.1.2:{client}");
        let mut node = serving();
        node.snat = snat.then(|| to(NODE));
        let make = |from: &str, to: &str, flags| {
            if is_tcp { tcp(from, to, flags, 1, 2, &data) } else {
                let (from, to) = (at(from), at(to));
                crate::wire::build::udp(Default::default(), IpHeader::new(from.ip(), to.ip(), UDP, 0), from.port(), to.port(), &data)
            }
        };
        let sent = node.forward(make(&client, SERVICE, SYN)).unwrap();
        prop_assert!(has_right_checksums(&sent));
        let (from, towards) = addrs(&sent);
        let untranslated = make(SERVICE, &client, SYN | ACK);
        let answer = node.forward(make(&towards, &from, SYN | ACK)).unwrap();
        prop_assert_eq!(answer.l3(), untranslated.l3());
        prop_assert!(node.only().tuple(Dir::Reply).src == at(ENDPOINT).ip());
    }
}

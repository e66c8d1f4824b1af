use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;
use crate::capture::{Hop, Loss, Tap};
use crate::engine::arena::{DevId, NetnsId};
use crate::engine::time::Instant;
use crate::engine::trail::{DropPlace, DropReason};
use crate::wire::arp::{Arp, REQUEST};
use crate::wire::eth::{ETHERTYPE_ARP, ETHERTYPE_IPV4, EthHeader};
use crate::wire::ip::{ICMP, IpHeader, UDP};
use crate::wire::packet::{Packet, PacketId, PacketType};
use crate::wire::{build, l4, vxlan};

/// Netns 1 is a node, `n1`, with `cni0`; netns 2 is `shop/cart-0`.
struct Cluster;

impl Names for Cluster {
    fn tap(&self, _: NetnsId, _: Option<DevId>) -> Tap {
        unreachable!("a filter describes no device")
    }

    fn netns_name(&self, netns: NetnsId) -> &str {
        ["", "n1", "shop/cart-0"][netns.index()]
    }

    fn dev_name(&self, netns: NetnsId, _: DevId) -> &str {
        ["", "cni0", "eth0"][netns.index()]
    }
}

const MACS: [MacAddr; 2] = [MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2])];

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn framed(mut packet: Packet, ethertype: u16) -> Packet {
    packet.push_l2(&EthHeader { dst: MACS[1], src: MACS[0], ethertype }.to_bytes());
    packet
}

fn tcp(src: &str, dst: &str, ports: (u16, u16)) -> Packet {
    let header = IpHeader::new(ip(src), ip(dst), crate::wire::ip::TCP, 0);
    let tcp = l4::TcpHeader { src: ports.0, dst: ports.1, ..l4::TcpHeader::default() };
    framed(build::tcp(PacketId(1), header, tcp, &[], b"GET /"), ETHERTYPE_IPV4)
}

fn udp(src: &str, dst: &str, ports: (u16, u16), data: &[u8]) -> Packet {
    framed(build::udp(PacketId(2), IpHeader::new(ip(src), ip(dst), UDP, 0), ports.0, ports.1, data), ETHERTYPE_IPV4)
}

fn seen(packet: &Packet) -> Seen {
    Seen::Hop(Hop {
        at: Instant::START,
        event: 0,
        stamp: 0,
        netns: NetnsId(1),
        dev: DevId(2),
        direction: Direction::Out,
        pkt_type: PacketType::Outgoing,
        packet: packet.id,
        csum_pending: false,
        frame: packet.to_frame(),
        decisions: Vec::new(),
    })
}

/// A request from a pod to another's port 80, in the pod network.
fn request() -> Packet {
    tcp("10.244.1.2", "10.244.2.3", (40000, 80))
}

/// The same on its way between the nodes.
fn tunneled() -> Packet {
    let inner = [&vxlan::header(1)[..], request().data()].concat();
    udp("10.240.0.11", "10.240.0.12", (51000, 8472), &inner)
}

fn accepts(filter: &str, packet: &Packet) -> bool {
    Filter::parse(filter, &[]).unwrap_or_else(|e| panic!("{filter}: {e}")).accepts(&seen(packet), &Cluster)
}

#[test]
fn the_words_of_pcap_filter_mean_what_they_mean_there() {
    for yes in [
        "tcp",
        "ip",
        "tcp port 80",
        "port 80",
        "dst port 80",
        "src port 40000",
        "portrange 79-81",
        "portrange 81-79",
        "host 10.244.1.2",
        "10.244.1.2",
        "src 10.244.1.2",
        "src host 10.244.1.2 and dst host 10.244.2.3",
        "src or dst host 10.244.2.3",
        "src and dst net 10.244.0.0/16",
        "net 10.244.2.0/24",
        "dst 10.244.2.0/24",
        "tcp dst port 443 or 80",
        "not udp",
        "!(udp or arp)",
        "tcp && not port 22 || arp",
        "ether src 02:00:00:00:00:01",
        "ether host 02:00:00:00:00:02",
        "less 59 and greater 59",
        "outbound",
        "packet 1",
        "netns n1 and dev cni0",
        "dev n1/cni*",
    ] {
        assert!(accepts(yes, &request()), "{yes}");
        assert!(!accepts(&format!("not ({yes})"), &request()), "not ({yes})");
    }
    for no in
        ["udp port 80", "src port 80", "src 10.244.2.3", "src and dst host 10.244.1.2", "vxlan", "inbound", "dropped"]
    {
        assert!(!accepts(no, &request()), "{no}");
    }
}

#[test]
fn and_and_or_bind_alike_from_the_left() {
    // pcap-filter(7): (tcp or udp) and port 53, not tcp or (udp and port 53).
    assert!(!accepts("tcp or udp and port 53", &request()));
    assert!(accepts("tcp or (udp and port 53)", &request()));
}

#[test]
fn a_packet_inside_vxlan_is_looked_at_too() {
    for yes in ["tcp port 80", "host 10.244.2.3", "host 10.240.0.11", "vxlan", "vxlan 1", "udp port 8472"] {
        assert!(accepts(yes, &tunneled()), "{yes}");
    }
    assert!(!accepts("vxlan 2", &tunneled()));
    assert!(!accepts("not tcp", &tunneled()), "there is TCP in it");
    let plain = udp("10.240.0.11", "10.240.0.12", (51000, 9), b"x");
    assert!(!accepts("tcp", &plain) && !accepts("vxlan", &plain));
}

#[test]
fn arp_has_addresses_and_icmp_has_no_ports() {
    let [spa, tpa] = [Ipv4Addr::new(10, 244, 1, 1), Ipv4Addr::new(10, 244, 1, 2)];
    let arp = Arp { op: REQUEST, sha: MACS[0], spa, tha: MacAddr::ZERO, tpa };
    let mut packet = Packet::new(PacketId(3), &arp.to_bytes());
    packet.push_l2(&EthHeader { dst: MacAddr::BROADCAST, src: MACS[0], ethertype: ETHERTYPE_ARP }.to_bytes());
    for yes in ["arp", "host 10.244.1.2", "src 10.244.1.1", "broadcast", "multicast", "net 10.244.1.0/24"] {
        assert!(accepts(yes, &packet), "{yes}");
    }
    assert!(!accepts("ip", &packet) && !accepts("port 0", &packet));
    let header = IpHeader::new(ip("10.0.0.1"), ip("10.0.0.2"), ICMP, 8);
    let ping = framed(build::ip(PacketId(4), header, &[8, 0, 0, 0, 0, 80, 0, 80]), ETHERTYPE_IPV4);
    assert!(accepts("icmp", &ping) && !accepts("port 80", &ping) && !accepts("portrange 0-65535", &ping));
}

#[test]
fn a_drop_is_asked_for_by_its_word_and_its_place() {
    let place = DropPlace { netns: NetnsId(2), dev: None, stage: "OUTPUT", reason: DropReason::NetfilterDrop };
    let frame = request().to_frame();
    let loss =
        Seen::Loss(Loss { at: Instant::START, event: 0, packet: PacketId(1), place, frame, decisions: Vec::new() });
    for (filter, kept) in [("dropped", true), ("netns shop/cart-*", true), ("dev *", false), ("outbound", false)] {
        assert_eq!(Filter::parse(filter, &[]).unwrap().accepts(&loss, &Cluster), kept, "{filter}");
    }
}

#[test]
fn names_stand_for_addresses_and_ports_that_may_come_later() {
    let mut filter = Filter::parse("dst service shop/* or pod gone", &["pod", "service"]).unwrap();
    assert!(!filter.accepts(&seen(&request()), &Cluster));
    let end = |port| vec![End { ip: ip("10.244.2.3"), port }];
    let service = |port| {
        move |kind: &str, name: &Pattern| {
            if kind == "service" && name.fits("shop/cart") { end(port) } else { Vec::new() }
        }
    };
    filter.resolve(service(Some(81)));
    assert!(!filter.accepts(&seen(&request()), &Cluster), "another port");
    filter.resolve(service(Some(80)));
    assert!(filter.accepts(&seen(&request()), &Cluster));
    assert!(!filter.accepts(&seen(&tcp("10.244.2.3", "10.244.1.2", (80, 40000))), &Cluster), "the other direction");
    assert_eq!(filter.not_found().map(|named| named.name.to_string()).collect::<Vec<_>>(), ["gone"]);
}

#[test]
fn what_is_not_understood_is_told_with_its_column() {
    for (text, column, told) in [
        ("", 1, "a test is missing"),
        ("tcp and", 8, "a test is missing"),
        ("tcp port", 9, "a value is missing"),
        ("port http", 6, "\"http\" is no port"),
        ("port 70000", 6, "\"70000\" is no port"),
        ("host 10.0.0", 6, "\"10.0.0\" is no address"),
        ("net 10.0.0.1/8", 5, "10.0.0.0/8 has not"),
        ("net somewhere", 5, "no network"),
        ("(tcp or udp", 12, "\")\" is missing"),
        ("tcp)", 4, "no parenthesis is open"),
        ("tcp udp", 5, "\"and\" or \"or\" must stand before \"udp\""),
        ("tcp & udp", 5, "'&' is no part"),
        ("pod a/b", 1, "\"pod\" is not known here"),
        ("80", 1, "\"80\" is no address"),
        ("netns and", 7, "no name of a netns"),
        ("packet x", 8, "not the id of a packet"),
        ("ether 10.0.0.1", 7, "src, dst or host is missing"),
        ("ether src 1:2", 11, "not a hardware address"),
        ("ether src port 1", 11, "ether goes with"),
        ("host é", 6, "'é' is no part"),
    ] {
        let error = Filter::parse(text, &["service"]).unwrap_err();
        assert!(error.message.contains(told), "{text:?}: {error}");
        assert_eq!(error.column, column, "{text:?}: {error}");
    }
    let deep = |n: usize| format!("{}tcp{}", "(".repeat(n), ")".repeat(n));
    assert!(Filter::parse(&deep(64), &[]).is_ok());
    assert!(Filter::parse(&deep(100_000), &[]).unwrap_err().message.contains("nested deeper"));
    assert!(accepts(&vec!["tcp"; 100_000].join(" or "), &request()), "long is not deep");
}

#[test]
fn a_star_stands_for_any_letters() {
    for (pattern, name, fits) in [
        ("a", "a", true),
        ("a", "ab", false),
        ("*", "", true),
        ("a*", "abc", true),
        ("*c", "abc", true),
        ("a*c", "ac", true),
        ("a*a", "a", false),
        ("a*b*c", "a-b-b-c", true),
        ("a*b*c", "acb", false),
    ] {
        assert_eq!(Pattern::new(pattern).fits(name), fits, "{pattern} {name}");
    }
}

proptest! {
    #[test]
    fn no_text_and_no_frame_panics(text in "[a-z0-9./:()!&| -]{0,40}|\\PC{0,20}", bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        if let Ok(filter) = Filter::parse(&text, &["pod"]) {
            filter.accepts(&seen(&Packet::new(PacketId(1), &bytes)), &Cluster);
        }
    }
}

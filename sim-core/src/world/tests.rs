//! A node with a bridge and two pods behind hairpin ports.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::*;
use crate::capture::{Decision, Direction, End, Loss, Ruled, Seen};
use crate::engine::trail::DropReason;
use crate::netfilter::rules::{CtState, TableName, Verdict};
use crate::netns::show::SocketForm;
use crate::netns::socket::tcp::SocketOptions;
use crate::wire::eth::ETH_LEN;
use crate::wire::ip::IpHeader;

/// Node `n` (10.0.0.1 on `br0`), pods `a` (10.0.0.2) and `b` (10.0.0.3); with `arp_notify` in the pods or without.
fn world(arp_notify: bool) -> World {
    let mut world = World::new(Seed(1));
    let node = world.add_netns("n").unwrap();
    for line in ["link add br0 type bridge", "link set br0 up", "addr add 10.0.0.1/24 dev br0"] {
        world.ip(node, line).unwrap();
    }
    world.sysctl(node, "net.ipv4.ip_forward", "1").unwrap();
    for (pod, ip) in [("a", "10.0.0.2"), ("b", "10.0.0.3")] {
        let netns = world.add_netns(pod).unwrap();
        world.ip(node, &format!("link add v{pod} type veth peer name eth0 netns {pod}")).unwrap();
        world.ip(node, &format!("link set v{pod} master br0 up")).unwrap();
        world.bridge(node, &format!("link set v{pod} hairpin on")).unwrap();
        world.sysctl(netns, "net.ipv4.conf.eth0.arp_notify", if arp_notify { "1" } else { "0" }).unwrap();
        world.capture(true);
        world.ip(netns, &format!("addr add {ip}/24 dev eth0")).unwrap();
        world.ip(netns, "link set eth0 up").unwrap();
        world.ip(netns, "route add default via 10.0.0.1").unwrap();
    }
    world
}

fn settle(world: &mut World) {
    while world.step(Instant::START + Duration::from_secs(1)).is_some() {}
}

/// Frames that a netns sent.
fn sent(world: &mut World, netns: NetnsId) -> usize {
    let hops = world.drain_hops();
    hops.iter().filter(|hop| hop.netns == netns && hop.direction == Direction::Out).count()
}

#[test]
fn a_device_that_comes_up_announces_its_address_if_asked_to() {
    for (arp_notify, announcements) in [(false, 0), (true, 1)] {
        let mut world = world(arp_notify);
        settle(&mut world);
        let a = world.netns_id("a").unwrap();
        // A hairpin port brings each back to its sender, which must not take it for a question and answer.
        assert_eq!(sent(&mut world, a), announcements);
        world.ip(a, "link set eth0 up").unwrap();
        assert_eq!(sent(&mut world, a), 0, "it was up already");
    }
}

#[test]
fn a_bridged_dnat_that_waits_for_its_neighbour_keeps_its_conntrack_entry() {
    let mut world = world(false);
    let rules = "*nat\n-A PREROUTING -d 10.96.0.1 -j DNAT --to-destination 10.0.0.3\nCOMMIT\n\
                 *filter\n-A FORWARD -m conntrack --ctstate INVALID -j DROP\nCOMMIT\n";
    let [node, a, b] = ["n", "a", "b"].map(|name| world.netns_id(name).unwrap());
    world.iptables_restore(node, rules, false).unwrap();
    let any = |port| SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port);
    let server = world.udp_bind(b, any(53), false).unwrap();
    let client = world.udp_bind(a, any(0), false).unwrap();
    let service = SocketAddr::new(IpAddr::from([10, 96, 0, 1]), 53);
    world.udp_send(a, client, Some(service), b"hello").unwrap();
    settle(&mut world);
    assert_eq!(world.udp_recv(b, server).map(|datagram| datagram.data), Ok("hello".into()));
}

/// Sends a datagram of `len` bytes from `a` to 10.96.0.1, which is `b` by DNAT, under filter rules; what the taps saw.
fn sent_to_service(filter: &str, len: usize) -> (World, Vec<Seen>) {
    let mut world = world(false);
    let [node, a, b] = ["n", "a", "b"].map(|name| world.netns_id(name).unwrap());
    let rules = format!("*nat\n-A PREROUTING -d 10.96.0.1 -j DNAT --to-destination 10.0.0.3\nCOMMIT\n{filter}");
    world.iptables_restore(node, &rules, false).unwrap();
    let any = |port| SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port);
    world.udp_bind(b, any(53), false).unwrap();
    let client = world.udp_bind(a, any(0), false).unwrap();
    let service = SocketAddr::new(IpAddr::from([10, 96, 0, 1]), 53);
    world.udp_send(a, client, Some(service), &vec![0; len]).unwrap();
    settle(&mut world);
    let seen = world.drain_seen();
    (world, seen)
}

fn destination(frame: &[u8]) -> Option<IpAddr> {
    IpHeader::read(frame.get(ETH_LEN..)?).map(|ip| ip.dst)
}

#[test]
fn a_drop_shows_the_packet_as_it_was_then_and_what_was_decided_before() {
    let (world, seen) = sent_to_service("*filter\n-A FORWARD -d 10.0.0.3 -j DROP\nCOMMIT\n", 5);
    let losses: Vec<&Loss> =
        seen.iter().filter_map(|s| if let Seen::Loss(loss) = s { Some(loss) } else { None }).collect();
    let [loss] = losses[..] else { panic!("{losses:?}") };
    assert_eq!((loss.place.reason, loss.place.stage), (DropReason::NetfilterDrop, "FORWARD"));
    assert_eq!(destination(&loss.frame), Some(IpAddr::from([10, 0, 0, 3])), "it was translated by then");
    assert_eq!(world.drops().total(DropReason::NetfilterDrop), 1);
    let same = |s: &&Seen| matches!(s, Seen::Hop(hop) if hop.packet == loss.packet);
    let first = seen.iter().find(same).expect("it was sent");
    let Seen::Hop(first) = first else { unreachable!() };
    assert_eq!(destination(&first.frame), Some(IpAddr::from([10, 96, 0, 1])));
    let [.., Decision::Ruled(Ruled { table: TableName::Filter, number: 0, verdict: Verdict::Drop, .. })] =
        loss.decisions[..]
    else {
        panic!("{:?}", loss.decisions)
    };
}

#[test]
fn a_frame_shows_what_was_decided_since_the_packets_last_tap() {
    let (_, seen) = sent_to_service("", 5);
    let decided: Vec<_> = seen
        .iter()
        .filter_map(|s| if let Seen::Hop(hop) = s { Some(&hop.decisions) } else { None })
        .flatten()
        .collect();
    let states: Vec<_> = decided
        .iter()
        .filter_map(|d| if let Decision::Tracked(_, state, _) = d { Some(*state) } else { None })
        .collect();
    assert_eq!(states, [CtState::New]);
    let translated = decided.iter().find_map(|d| if let Decision::Translated(t) = d { Some(t) } else { None }).unwrap();
    let end = |ip: [u8; 4]| End { ip: ip.into(), port: Some(53) };
    assert_eq!((translated.before, translated.after), (end([10, 96, 0, 1]), end([10, 0, 0, 3])));
    assert!(decided.iter().any(|d| matches!(d, Decision::Confirmed(_))), "{decided:?}");
}

#[test]
fn fragments_of_a_packet_and_the_whole_of_them_share_its_id() {
    let (_, seen) = sent_to_service("", 4000);
    let hops: Vec<_> = seen.iter().filter_map(|s| if let Seen::Hop(hop) = s { Some(hop) } else { None }).collect();
    let ip: Vec<_> = hops.iter().filter(|hop| destination(&hop.frame).is_some()).collect();
    assert!(ip.len() >= 12, "three fragments at four devices: {}", ip.len());
    assert!(ip.iter().all(|hop| hop.packet == ip[0].packet));
}

/// `ss` of iproute2 6.1 on Linux 6.18 shows the same.
#[test]
fn a_socket_of_ipv6_shows_ipv4_by_mapped_addresses() {
    let mut world = world(false);
    let a = world.netns_id("a").unwrap();
    let addr = |text: &str| text.parse::<SocketAddr>().unwrap();
    let listener = world.tcp_listen(a, addr("[::]:80"), 5).unwrap();
    world.tcp_listen(a, addr("0.0.0.0:81"), 5).unwrap();
    world.udp_bind(a, addr("[::]:80"), false).unwrap();
    let plain = world.tcp_connect(a, addr("0.0.0.0:4000"), addr("10.0.0.2:80"), SocketOptions::default()).unwrap();
    let mapped =
        world.tcp_connect(a, addr("[::]:5000"), addr("[::ffff:10.0.0.2]:80"), SocketOptions::default()).unwrap();
    settle(&mut world);
    let (first, _) = world.tcp_accept(a, listener).unwrap();
    let names = |id| world.tcp_endpoints(a, id).map(|(local, peer)| (local.to_string(), peer.to_string()));
    assert_eq!(names(plain), Some(("10.0.0.2:4000".into(), "10.0.0.2:80".into())));
    assert_eq!(names(mapped), Some(("[::ffff:10.0.0.2]:5000".into(), "[::ffff:10.0.0.2]:80".into())));
    assert_eq!(names(first), Some(("[::ffff:10.0.0.2]:80".into(), "[::ffff:10.0.0.2]:4000".into())));
    let form = SocketForm { tcp: true, udp: true, listening: true, connected: true, passing: true, titles: false };
    let shown = [
        "udp UNCONN 0 0                 *:80                   *:*",
        "tcp LISTEN 0 0           0.0.0.0:81             0.0.0.0:*",
        "tcp ESTAB  0 0          10.0.0.2:4000          10.0.0.2:80",
        "tcp LISTEN 1 0                 *:80                   *:*",
        "tcp ESTAB  0 0 [::ffff:10.0.0.2]:80   [::ffff:10.0.0.2]:4000",
        "tcp ESTAB  0 0 [::ffff:10.0.0.2]:80   [::ffff:10.0.0.2]:5000",
        "tcp ESTAB  0 0 [::ffff:10.0.0.2]:5000 [::ffff:10.0.0.2]:80",
    ];
    assert_eq!(world.netns(a).show_sockets(form), shown);
}

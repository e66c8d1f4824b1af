//! Two pods at a node's bridge; one of them goes. What the others see was measured on Linux 6.18 with real netns.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::*;
use crate::engine::arena::SocketId;
use crate::engine::rng::Seed;
use crate::engine::time::Duration;
use crate::netns::socket::tcp::SocketOptions;
use crate::wire::ip::Family;

/// A node `n` with bridge `br0` (10.0.0.1).
fn node() -> World {
    let mut world = World::new(Seed(1));
    let node = world.add_netns("n").unwrap();
    for line in ["link add br0 type bridge", "link set br0 up", "addr add 10.0.0.1/24 dev br0"] {
        world.ip(node, line).unwrap();
    }
    world
}

/// Adds a netns `name` with address 10.0.0.`host`, at the end of veth `v<name>`.
fn join(world: &mut World, name: &str, host: u8) -> NetnsId {
    let (node, netns) = (world.netns_id("n").unwrap(), world.add_netns(name).unwrap());
    world.ip(node, &format!("link add v{name} type veth peer name eth0 netns {name}")).unwrap();
    world.ip(node, &format!("link set v{name} master br0 up")).unwrap();
    world.ip(netns, &format!("addr add 10.0.0.{host}/24 dev eth0")).unwrap();
    world.ip(netns, "link set eth0 up").unwrap();
    netns
}

fn run_for(world: &mut World, ms: u64) {
    let until = world.now() + Duration::from_millis(ms);
    while world.step(until).is_some() {}
}

const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// A connection from `client` to a new server at 10.0.0.`host` in `server`: the client's socket, the server's.
fn connect(world: &mut World, client: NetnsId, (server, host): (NetnsId, u8)) -> (SocketId, SocketId) {
    let at = SocketAddr::new([10, 0, 0, host].into(), 80);
    let listener = world.tcp_listen(server, at, 5).unwrap();
    let connecting = world.tcp_connect(client, ANY, at, SocketOptions::default()).unwrap();
    run_for(world, 10);
    let (accepted, _) = world.tcp_accept(server, listener).unwrap();
    world.tcp_close(server, listener);
    (connecting, accepted)
}

fn frames_seen(world: &mut World, at: NetnsId) -> usize {
    world.drain_hops().iter().filter(|hop| hop.netns == at).count()
}

#[test]
fn sockets_die_without_a_word_and_their_peers_find_out_by_themselves() {
    let mut world = node();
    let (a, b) = (join(&mut world, "a", 2), join(&mut world, "b", 3));
    let (client, _) = connect(&mut world, a, (b, 3));
    world.capture(true);
    world.remove_netns(b).unwrap();
    run_for(&mut world, 1000);
    assert_eq!(frames_seen(&mut world, a), 0, "no FIN, no RST");
    assert!(!world.tcp_readiness(a, client).hangup);
    world.tcp_send(a, client, b"x").unwrap();
    run_for(&mut world, 60_000);
    assert!(frames_seen(&mut world, a) > 3, "it sends again and again");
    assert!(!world.tcp_readiness(a, client).error, "until its own timeout");
}

#[test]
fn the_other_end_of_a_veth_goes_too_and_its_bridge_forgets_it() {
    let mut world = node();
    let (a, b) = (join(&mut world, "a", 2), join(&mut world, "b", 3));
    connect(&mut world, a, (b, 3));
    let node = world.netns_id("n").unwrap();
    let (port, bridge) = (world.dev_id(node, "vb").unwrap(), world.dev_id(node, "br0").unwrap());
    world.remove_netns(b).unwrap();
    assert_eq!(world.dev_id(node, "vb"), None);
    let table = world.netns(node).devs.get(bridge).unwrap().bridge().unwrap();
    assert_eq!(table.ports, [world.dev_id(node, "va").unwrap()]);
    assert!(table.entries(world.now()).iter().all(|(_, entry)| entry.port != Some(port)));
    assert_eq!((world.netns_name(b), world.dev_name(node, port)), ("b", "vb"), "captures still name them");
}

#[test]
fn what_is_on_its_way_is_dropped_and_counted() {
    let mut world = node();
    let (a, b) = (join(&mut world, "a", 2), join(&mut world, "b", 3));
    let (client, server) = connect(&mut world, a, (b, 3));
    let node = world.netns_id("n").unwrap();
    // The frame is handed over to the node, and one from the node to b.
    world.tcp_send(a, client, b"hello").unwrap();
    world.step(Instant::NEVER);
    // b itself waits for a neighbour that does not exist.
    let nobody = SocketAddr::new(Ipv4Addr::new(10, 0, 0, 99).into(), 9);
    let asking = world.udp_bind(b, ANY, false).unwrap();
    world.udp_send(b, asking, Some(nobody), b"anybody?").unwrap();
    world.remove_netns(b).unwrap();
    run_for(&mut world, 50);
    assert_eq!(world.drops().total(DropReason::QueuePurge), 1, "the datagram that waited for ARP");
    let at = |netns, reason| {
        let here = world.drops().iter().filter(|(place, _)| (place.netns, place.reason) == (netns, reason));
        here.map(|(_, count)| count).sum::<u64>()
    };
    assert_eq!(at(b, DropReason::DevDown), 1, "the frame handed over to b");
    assert!(at(node, DropReason::DevDown) >= 1, "b's question, handed over to a port that is gone");
    assert_eq!(world.tcp_endpoints(b, server), None);
}

#[test]
fn a_removed_netns_refuses_everything() {
    let mut world = node();
    let b = join(&mut world, "b", 3);
    world.remove_netns(b).unwrap();
    assert_eq!(world.remove_netns(b), Err(Errno::ENOENT));
    assert!(world.ip(b, "link set lo up").is_err());
    assert!(world.iptables_restore(b, "*filter\nCOMMIT\n", false).is_err());
    assert_eq!(world.sysctl(b, "net.ipv4.ip_forward", "1"), Err(Errno::ENOENT));
    assert_eq!(world.tcp_listen(b, ANY, 5), Err(Errno::ENOENT));
    assert_eq!(world.udp_bind(b, ANY, false), Err(Errno::ENOENT));
    assert!(world.udp_send(b, SocketId(1), Some(ANY), b"x").is_err());
    let raw = world.raw_open(b, Family::V4.unspecified());
    assert!(world.ping(b, raw, ANY.ip(), (1, 1), b"x").is_err());
    world.tcp_close(b, SocketId(7));
    world.close(b, raw);
    assert!(world.find_netns(b).is_none());
}

#[test]
fn names_are_used_again_and_ids_are_not() {
    let mut world = node();
    let first = join(&mut world, "b", 3);
    world.remove_netns(first).unwrap();
    let second = join(&mut world, "b", 4);
    assert_ne!(first, second);
    assert_eq!((world.netns_id("b"), world.netns_name(first)), (Some(second), "b"));
}

#[test]
fn thousands_come_and_go_and_what_stays_is_small() {
    let mut world = node();
    let a = join(&mut world, "a", 2);
    let node = world.netns_id("n").unwrap();
    for round in 0..3000u32 {
        let b = join(&mut world, "b", 3);
        if round % 100 == 0 {
            let (_, server) = connect(&mut world, b, (a, 2));
            world.tcp_abort(a, server);
        }
        world.remove_netns(b).unwrap();
        run_for(&mut world, 1);
    }
    assert_eq!(world.all_netns().count(), 2);
    let ns = world.netns(node);
    assert_eq!(ns.devs.iter().count(), 3, "lo, br0, va");
    run_for(&mut world, 600_000);
    assert_eq!(world.next_at(), None, "and nothing goes on for ever");
}

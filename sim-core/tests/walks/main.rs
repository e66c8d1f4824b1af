//! How packets walk, told hop by hop: small networks built by the door, one packet sent, every tap read.

mod hostile;
mod lab;

use lab::{Lab, hops};

#[test]
fn two_netns_and_a_veth_ask_for_the_address_and_then_answer_the_ping() {
    let mut lab = Lab::new(1);
    lab.netns(&["a", "b"]);
    lab.ip("a", "link add eth0 address 02:00:00:00:00:0a type veth peer name eth0 address 02:00:00:00:00:0b netns b");
    for (ns, addr) in [("a", "10.0.0.1/24"), ("b", "10.0.0.2/24")] {
        lab.ip(ns, "link set eth0 up");
        lab.ip(ns, &format!("addr add {addr} brd + dev eth0"));
    }
    let got = lab.ping("a", "10.0.0.2");
    assert_eq!(
        hops(&got),
        "\
a/eth0 out 02:00:00:00:00:0a > ff:ff:ff:ff:ff:ff who-has 10.0.0.2 tell 10.0.0.1
b/eth0 in 02:00:00:00:00:0a > ff:ff:ff:ff:ff:ff who-has 10.0.0.2 tell 10.0.0.1
b/eth0 out 02:00:00:00:00:0b > 02:00:00:00:00:0a is-at 10.0.0.2
a/eth0 in 02:00:00:00:00:0b > 02:00:00:00:00:0a is-at 10.0.0.2
a/eth0 out 02:00:00:00:00:0a > 02:00:00:00:00:0b 10.0.0.1 > 10.0.0.2 ttl 64 icmp 8/0
b/eth0 in 02:00:00:00:00:0a > 02:00:00:00:00:0b 10.0.0.1 > 10.0.0.2 ttl 64 icmp 8/0
b/eth0 out 02:00:00:00:00:0b > 02:00:00:00:00:0a 10.0.0.2 > 10.0.0.1 ttl 64 icmp 0/0
a/eth0 in 02:00:00:00:00:0b > 02:00:00:00:00:0a 10.0.0.2 > 10.0.0.1 ttl 64 icmp 0/0
"
    );
}

/// Three netns in a row: the middle one forwards.
fn router() -> Lab {
    let mut lab = Lab::new(1);
    lab.netns(&["left", "mid", "right"]);
    lab.ip("left", "link add eth0 type veth peer name l0 netns mid");
    lab.ip("right", "link add eth0 type veth peer name r0 netns mid");
    for (ns, dev, addr) in [
        ("left", "eth0", "10.1.0.2/24"),
        ("mid", "l0", "10.1.0.1/24"),
        ("mid", "r0", "10.2.0.1/24"),
        ("right", "eth0", "10.2.0.2/24"),
    ] {
        lab.ip(ns, &format!("link set {dev} up"));
        lab.ip(ns, &format!("addr add {addr} brd + dev {dev}"));
    }
    lab.ip("left", "route add default via 10.1.0.1");
    lab.ip("right", "route add default via 10.2.0.1");
    lab
}

#[test]
fn a_router_forwards_only_when_told_to() {
    let mut lab = router();
    lab.ping("left", "10.2.0.2");
    assert_eq!(lab.drops(), "mid PREROUTING FORWARDING_OFF 1\n");
    lab.sysctl("mid", "net.ipv4.ip_forward", "1");
    let walk = hops(&lab.ping("left", "10.2.0.2"));
    assert!(walk.contains("right/eth0 in") && walk.contains("ttl 63 icmp 8/0"), "{walk}");
    assert!(walk.contains("left/eth0 in") && walk.contains("ttl 63 icmp 0/0"), "{walk}");
}

#[test]
fn a_packet_whose_time_is_up_is_answered_by_the_router() {
    let mut lab = router();
    lab.sysctl("mid", "net.ipv4.ip_forward", "1");
    lab.ping("left", "10.2.0.2");
    let walk = hops(&lab.ping_ttl("left", "10.2.0.2", 1));
    assert!(walk.contains("mid/l0 out") && walk.contains("10.1.0.1 > 10.1.0.2 ttl 64 icmp 11/0"), "{walk}");
}

#[test]
fn a_destination_nobody_routes_to_is_unreachable_and_one_that_is_silent_too() {
    let mut lab = router();
    lab.sysctl("mid", "net.ipv4.ip_forward", "1");
    let walk = hops(&lab.ping("left", "192.0.2.9"));
    assert!(walk.contains("icmp 3/0"), "{walk}");
    let walk = hops(&lab.ping("left", "10.2.0.77"));
    assert_eq!(walk.matches("who-has 10.2.0.77").count(), 6, "asked three times, seen at both ends:\n{walk}");
    assert!(walk.contains("icmp 3/1"), "{walk}");
}

#[test]
fn masquerade_and_dnat_are_undone_for_the_answer() {
    let mut lab = router();
    lab.sysctl("mid", "net.ipv4.ip_forward", "1");
    lab.restore(
        "mid",
        "*nat\n:PREROUTING ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n\
         -A PREROUTING -d 10.96.0.1/32 -j DNAT --to-destination 10.2.0.2\n\
         -A POSTROUTING -o r0 -j MASQUERADE\nCOMMIT\n",
    );
    let walk = hops(&lab.ping("left", "10.96.0.1"));
    assert!(walk.contains("mid/r0 out") && walk.contains("10.2.0.1 > 10.2.0.2 ttl 63 icmp 8/0"), "{walk}");
    assert!(walk.contains("10.96.0.1 > 10.1.0.2 ttl 63 icmp 0/0"), "{walk}");
    assert_eq!(lab.conntrack("mid").len(), 1);
}

#[test]
fn a_dropped_packet_leaves_no_entry_and_is_counted_with_its_place() {
    let mut lab = router();
    lab.sysctl("mid", "net.ipv4.ip_forward", "1");
    lab.restore(
        "mid",
        "*filter\n:FORWARD DROP [0:0]\n-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT\nCOMMIT\n",
    );
    lab.ping("left", "10.2.0.2");
    assert!(lab.conntrack("mid").is_empty());
    assert_eq!(lab.drops(), "mid FORWARD NETFILTER_DROP 1\n");
}

/// Two hosts on one bridge of a third netns.
fn bridge() -> Lab {
    let mut lab = Lab::new(1);
    lab.netns(&["a", "b", "sw"]);
    lab.ip("sw", "link add br0 type bridge");
    lab.ip("sw", "link set br0 up");
    for (ns, n) in [("a", 1), ("b", 2)] {
        lab.ip("sw", &format!("link add p{n} type veth peer name eth0 netns {ns}"));
        lab.ip("sw", &format!("link set p{n} master br0 up"));
        lab.ip(ns, "link set eth0 up");
        lab.ip(ns, &format!("addr add 10.0.0.{n}/24 brd + dev eth0"));
    }
    lab
}

#[test]
fn a_bridge_floods_what_it_does_not_know_and_learns() {
    let mut lab = bridge();
    let first = hops(&lab.ping("a", "10.0.0.2"));
    assert!(first.contains("sw/br0 in"), "the broadcast reaches the bridge itself:\n{first}");
    let second = hops(&lab.ping("a", "10.0.0.2"));
    assert_eq!(second.lines().count(), 8, "{second}");
    assert!(!second.contains("sw/br0"), "{second}");
}

#[test]
fn a_tunnel_carries_frames_inside_udp_and_says_where_they_go_by_fdb() {
    let mut lab = Lab::new(1);
    lab.netns(&["a", "b"]);
    lab.ip("a", "link add eth0 type veth peer name eth0 netns b");
    for (ns, n, other) in [("a", 1, 2), ("b", 2, 1)] {
        lab.ip(ns, "link set eth0 up");
        lab.ip(ns, &format!("addr add 10.0.0.{n}/24 brd + dev eth0"));
        lab.ip(ns, &format!("link add vx address 0e:00:00:00:00:0{n} type vxlan id 1 local 10.0.0.{n} dev eth0 dstport 8472 nolearning"));
        lab.ip(ns, "link set vx up");
        lab.ip(ns, &format!("addr add 10.9.0.{n}/24 dev vx"));
        lab.ip(ns, &format!("neigh replace 10.9.0.{other} lladdr 0e:00:00:00:00:0{other} dev vx nud permanent"));
        lab.bridge(ns, &format!("fdb replace 0e:00:00:00:00:0{other} dev vx dst 10.0.0.{other} self permanent"));
    }
    let walk = hops(&lab.ping("a", "10.9.0.2"));
    for expected in ["a/vx out", "a/eth0 out", "10.0.0.1 > 10.0.0.2 ttl 64 udp", "b/vx in", "a/vx in"] {
        assert!(walk.contains(expected), "{expected}\n{walk}");
    }
}

#[test]
fn a_closed_port_is_told_to_the_socket_that_asked() {
    let mut lab = bridge();
    assert_eq!(lab.udp("a", "10.0.0.2:9"), Err("ECONNREFUSED".to_owned()));
}

#[test]
fn a_storm_in_a_loop_of_bridges_takes_time_and_ends_with_the_run() {
    let mut lab = bridge();
    lab.netns(&["sw2"]);
    lab.ip("sw2", "link add br0 type bridge");
    lab.ip("sw2", "link set br0 up");
    for n in [3, 4] {
        lab.ip("sw", &format!("link add p{n} type veth peer name p{n} netns sw2"));
        lab.ip("sw", &format!("link set p{n} master br0 up"));
        lab.ip("sw2", &format!("link set p{n} master br0 up"));
    }
    lab.send_ping("a", "10.0.0.99");
    lab.run_for_ms(5);
    assert!(lab.hop_count() > 1000, "a broadcast goes round and round");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |capture| {
        let mut lab = bridge();
        lab.capture(capture);
        lab.ping("a", "10.0.0.2");
        lab.fingerprint()
    };
    assert_eq!(run(true), run(true));
    assert_eq!(run(true), run(false), "looking changes nothing");
}

#[test]
fn a_connection_is_made_used_and_closed() {
    let mut lab = bridge();
    assert_eq!(lab.tcp("a", "10.0.0.2:80"), Err("ECONNREFUSED".to_owned()), "nobody listens yet");
    lab.echo_server("b", 80);
    assert_eq!(lab.tcp("a", "10.0.0.2:80").as_deref(), Ok(&b"hello"[..]));
}

#[test]
fn the_hundredth_connection_costs_no_more_events_than_the_tenth() {
    let mut lab = bridge();
    lab.echo_server("b", 80);
    let ten_more = |lab: &mut Lab| {
        let before = lab.event_count();
        (0..10).for_each(|_| drop(lab.tcp("a", "10.0.0.2:80").expect("an answer")));
        lab.event_count() - before
    };
    ten_more(&mut lab);
    let early = ten_more(&mut lab);
    for _ in 0..7 {
        ten_more(&mut lab);
    }
    let late = ten_more(&mut lab);
    assert!(late <= early + early / 10, "{early} events for ten early connections, {late} for ten late ones");
}

#[test]
fn a_wire_takes_its_time_and_when_cut_says_what_it_swallowed() {
    let mut lab = Lab::new(1);
    lab.netns(&["a", "b"]);
    let wire = lab.wire("a", "b");
    for (ns, addr) in [("a", "10.0.0.1/24"), ("b", "10.0.0.2/24")] {
        lab.ip(ns, "link set eth0 up");
        lab.ip(ns, &format!("addr add {addr} brd + dev eth0"));
    }
    let seen = lab.ping("a", "10.0.0.2");
    let (sent, answered) = (seen[4].1.at, seen[7].1.at);
    assert_eq!(answered.since(sent).as_micros(), 100, "50 us each way");
    lab.cut(wire);
    let walk = hops(&lab.ping("a", "10.0.0.2"));
    assert!(walk.contains("a/eth0 out") && !walk.contains(" in "), "frames leave and do not arrive:\n{walk}");
    assert_eq!(lab.drops(), "a link LINK_DOWN 3\nb link LINK_DOWN 1\n", "the echo, and b's three questions");
}

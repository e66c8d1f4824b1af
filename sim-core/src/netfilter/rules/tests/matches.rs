//! What each match says.

use super::{At, Bench, FORWARD, datagram};
use crate::netfilter::conntrack::bench::{at, icmp, ip, tcp, tcp_with, udp};
use crate::netfilter::conntrack::{Conntrack, ConntrackConfig, Dir, Entry, Status, Zone};
use crate::netfilter::hooks::Hook;
use crate::netfilter::rules::{CtFacts, CtState};
use crate::wire::l4::{ACK, FIN, SYN, TcpHeader};
use crate::wire::packet::{CtInfo, CtRef, Packet, PacketType};

/// Whether a packet fits what is asked.
fn fits(ask: &str, packet: &Packet) -> bool {
    fits_at(ask, packet, &FORWARD)
}

fn fits_at(ask: &str, packet: &Packet, at: &At<'_>) -> bool {
    !Bench::forward(&format!("-A FORWARD {ask} -j DROP")).passes_at(packet, at)
}

#[test]
fn ports() {
    let packet = tcp("10.244.1.2:40000", "10.244.2.2:80", SYN, 1, 0, b"");
    assert!(fits("-p tcp --dport 80", &packet));
    assert!(fits("-p tcp --dport 79:81 --sport 40000:", &packet));
    assert!(!fits("-p tcp ! --dport 80", &packet));
    assert!(!fits("-p udp --dport 80", &packet));
    assert!(fits("-p tcp -m multiport --dports 22,80", &packet));
    assert!(!fits("-p tcp -m multiport --sports 22,80", &packet));
    assert!(fits("-p tcp -m multiport --ports 22,70:90", &packet));
    assert!(!fits("-p tcp -m multiport ! --ports 22,70:90", &packet));
}

#[test]
fn tcp_flags_and_options() {
    let syn = tcp("10.0.0.1:1", "10.0.0.2:2", SYN, 1, 0, b"");
    let syn_ack = tcp("10.0.0.1:1", "10.0.0.2:2", SYN | ACK, 1, 0, b"");
    assert!(fits("-p tcp --syn", &syn) && !fits("-p tcp --syn", &syn_ack));
    assert!(!fits("-p tcp ! --syn", &syn) && fits("-p tcp ! --syn", &syn_ack));
    assert!(fits("-p tcp --tcp-flags ALL SYN,ACK", &syn_ack));
    assert!(fits("-p tcp --tcp-flags FIN,RST NONE", &syn_ack));
    assert!(!fits("-p tcp --tcp-flags FIN,RST NONE", &tcp("10.0.0.1:1", "10.0.0.2:2", FIN, 1, 0, b"")));
    let header = TcpHeader { flags: SYN, ..Default::default() };
    let with_mss = tcp_with("10.0.0.1:1", "10.0.0.2:2", header, &[1, 1, 1, 1, 2, 4, 5, 0xb4], b"");
    assert!(fits("-p tcp --tcp-option 2", &with_mss));
    assert!(!fits("-p tcp --tcp-option 3", &with_mss) && fits("-p tcp ! --tcp-option 3", &with_mss));
    assert!(!fits("-p tcp --tcp-option 2", &syn));
}

#[test]
fn icmp_types() {
    let ping = icmp("10.0.0.1", "10.0.0.2", 8, 1);
    assert!(fits("-p icmp --icmp-type echo-request", &ping));
    assert!(fits("-p icmp --icmp-type 8/0", &ping) && fits("-p icmp --icmp-type any", &ping));
    assert!(!fits("-p icmp --icmp-type echo-reply", &ping) && !fits("-p icmp ! --icmp-type 8", &ping));
}

#[test]
fn lengths_addresses_ttls_and_code_points() {
    let mut packet = udp("10.244.1.2:40000", "10.244.2.2:53");
    crate::wire::edit::set_tos(packet.l3_mut(), 0x28);
    let len = packet.ip().unwrap().total_len;
    assert!(fits(&format!("-m length --length {len}"), &packet) && fits("-m length --length 20:", &packet));
    assert!(!fits("-m length --length 1000:", &packet) && !fits("-m length --length 60:20", &packet));
    assert!(fits("-m iprange --src-range 10.244.1.0-10.244.1.2 --dst-range 10.244.2.2", &packet));
    assert!(!fits("-m iprange --src-range 10.244.1.3-10.244.1.9", &packet));
    assert!(fits("-m iprange ! --src-range 10.244.1.3-10.244.1.1", &packet), "an exchanged range holds nothing");
    assert!(fits("-m ttl --ttl-eq 64", &packet) && !fits("-m ttl ! --ttl-eq 64", &packet));
    assert!(fits("-m ttl --ttl-lt 65", &packet) && !fits("-m ttl --ttl-gt 64", &packet));
    assert!(fits("-m dscp --dscp-class af11", &packet) && !fits("-m dscp --dscp 0x28", &packet));
}

#[test]
fn packet_types() {
    let mut packet = datagram();
    assert!(fits("-m pkttype --pkt-type unicast", &packet) && !fits("-m pkttype --pkt-type multicast", &packet));
    packet.pkt_type = PacketType::Broadcast;
    assert!(fits("-m pkttype --pkt-type broadcast", &packet) && fits("-m pkttype ! --pkt-type host", &packet));
}

#[test]
fn marks() {
    let at = At { mark: 0x4005, ..FORWARD };
    assert!(fits_at("-m mark --mark 0x4000/0x4000", &datagram(), &at));
    assert!(!fits_at("-m mark ! --mark 0x4000/0x4000", &datagram(), &at));
    assert!(!fits_at("-m mark --mark 0x4000", &datagram(), &at));
    // The value is compared as written, not masked: this fits no packet.
    assert!(!fits_at("-m mark --mark 0x5/0x4", &datagram(), &at));
}

/// A flow a -> service, translated to c.
fn flow() -> Entry {
    let mut ct = Conntrack::new(ConntrackConfig::default());
    let mut packet = udp("10.244.1.2:40000", "10.96.0.10:53");
    let _ = ct.track_in(crate::engine::time::Instant::START, &mut packet, Hook::Prerouting, Zone::default());
    let CtRef::Entry(id, CtInfo::New) = packet.ct else { panic!("{:?}", packet.ct) };
    let mut entry = ct.get(id).unwrap().clone();
    entry.reply.src = at("10.244.2.2:53").ip();
    entry.status = entry.status | Status::DST_NAT | Status::CONFIRMED;
    entry.mark = 0x7;
    entry.timeout = crate::engine::time::Instant::START + crate::engine::time::Duration::from_secs(1020);
    entry
}

#[test]
fn what_conntrack_knows() {
    let entry = flow();
    let established = CtFacts { state: CtState::Established, flow: Some((&entry, Dir::Reply)), mark: entry.mark };
    let at = At { ct: established, ..FORWARD };
    for (ask, expected) in [
        ("--ctstate ESTABLISHED", true),
        ("--ctstate NEW,RELATED", false),
        ("--ctstate DNAT", true),
        ("--ctstate SNAT", false),
        ("! --ctstate RELATED,ESTABLISHED,DNAT", false),
        ("--ctproto udp", true),
        ("--ctorigsrc 10.244.1.0/24 --ctorigdst 10.96.0.10 --ctreplsrc 10.244.2.2 --ctrepldst 10.244.1.2", true),
        ("! --ctorigdst 10.96.0.10", false),
        ("--ctorigsrcport 40000 --ctorigdstport 53 --ctreplsrcport 53 --ctrepldstport 40000", true),
        ("--ctorigdstport 54:60", false),
        ("--ctstatus CONFIRMED,ASSURED", true),
        ("--ctstatus SEEN_REPLY", false),
        ("--ctstatus NONE", false),
        ("--ctdir REPLY", true),
        ("--ctdir ORIGINAL", false),
        ("--ctexpire 15:25", true),
        ("--ctexpire 10", false),
    ] {
        assert_eq!(fits_at(&format!("-m conntrack {ask}"), &datagram(), &at), expected, "{ask}");
    }
    assert!(fits_at("-m connmark --mark 0x7", &datagram(), &at));
    assert!(fits_at("-m state --state ESTABLISHED", &datagram(), &at));
}

#[test]
fn without_an_entry_the_state_decides_alone() {
    let untracked = At { ct: CtFacts { state: CtState::Untracked, ..CtFacts::default() }, ..FORWARD };
    assert!(fits("-m conntrack --ctstate INVALID", &datagram()));
    assert!(fits_at("-m conntrack --ctstate UNTRACKED", &datagram(), &untracked));
    assert!(!fits_at("-m conntrack --ctstate INVALID", &datagram(), &untracked));
    assert!(fits("-m conntrack ! --ctstate NEW --ctproto tcp", &datagram()), "the rest is not asked");
    assert!(!fits("-m conntrack --ctproto udp", &datagram()));
    assert!(!fits("-m connmark --mark 0", &datagram()) && !fits("-m connmark ! --mark 0", &datagram()));
}

#[test]
fn kinds_of_addresses() {
    let to_node = udp("10.244.1.2:1", "10.240.0.11:2");
    assert!(fits("-m addrtype --dst-type LOCAL", &to_node));
    assert!(fits("-m addrtype --src-type UNICAST ! --dst-type UNICAST,MULTICAST", &to_node));
    assert!(!fits("-m addrtype --dst-type LOCAL", &datagram()));
    assert!(!fits("-m addrtype --dst-type LOCAL --limit-iface-in", &to_node), "not on cni0");
    assert!(fits("-m addrtype --dst-type LOCAL --limit-iface-out", &to_node), "on eth0");
}

#[test]
fn nth_counts_what_it_is_asked() {
    let mut bench = Bench::forward("-A FORWARD -m statistic --mode nth --every 3 --packet 1 -j DROP");
    let dropped: Vec<_> = (0..7).map(|_| !bench.passes(&datagram())).collect();
    assert_eq!(dropped, [false, true, false, false, true, false, false]);
}

#[test]
fn random_fits_its_share_and_the_same_ones_for_the_same_seed() {
    let run = || {
        let mut bench = Bench::forward("-A FORWARD -m statistic --mode random --probability 0.25 -j DROP");
        (0..2000).map(|_| !bench.passes(&datagram())).collect::<Vec<_>>()
    };
    let dropped = run().iter().filter(|d| **d).count();
    assert!((440..560).contains(&dropped), "{dropped} of 2000");
    assert_eq!(run(), run());
    assert!(!fits("-m statistic --mode random --probability 0", &datagram()));
    assert!(fits("-m statistic --mode random --probability 1", &datagram()));
}

#[test]
fn a_limit_lets_a_burst_through_and_then_one_per_interval() {
    let mut bench = Bench::forward("-A FORWARD -m limit --limit 1/sec --limit-burst 3 -j ACCEPT\n-A FORWARD -j DROP");
    let passed = |bench: &mut Bench, n| (0..n).filter(|_| bench.passes(&datagram())).count();
    assert_eq!(passed(&mut bench, 10), 3);
    bench.wait(1);
    assert_eq!(passed(&mut bench, 10), 1);
    bench.wait(100);
    assert_eq!(passed(&mut bench, 10), 3, "no more than the burst is saved up");
}

#[test]
fn physdev_asks_for_bridge_ports() {
    let bridged = At { physin: "veth-a", physout: "veth-b", ..FORWARD };
    let entering = At { physin: "veth-a", ..FORWARD };
    for (ask, on_bridge, entered, routed) in [
        ("--physdev-in veth-a", true, true, false),
        ("! --physdev-in veth-a", false, false, true),
        ("--physdev-in veth+", true, true, false),
        ("--physdev-out veth-b", true, false, false),
        ("--physdev-is-in", true, true, false),
        ("--physdev-is-out", true, false, false),
        ("--physdev-is-bridged", true, false, false),
        ("! --physdev-is-bridged", false, true, true),
    ] {
        let fits = [&bridged, &entering, &FORWARD].map(|at| fits_at(&format!("-m physdev {ask}"), &datagram(), at));
        assert_eq!(fits, [on_bridge, entered, routed], "{ask}");
    }
}

#[test]
fn recent_remembers_who_was_here() {
    let mut bench = Bench::forward(
        "-A FORWARD -p udp --dport 1 -m recent --name l --set -j ACCEPT\n\
         -A FORWARD -p udp --dport 2 -m recent --name l --remove -j ACCEPT\n\
         -A FORWARD -m recent --name l --rcheck --seconds 10 -j ACCEPT\n-A FORWARD -j DROP",
    );
    let (knock, leave, visit) =
        (udp("10.0.0.1:9", "10.0.0.2:1"), udp("10.0.0.1:9", "10.0.0.2:2"), udp("10.0.0.1:9", "10.0.0.2:3"));
    assert!(!bench.passes(&visit));
    assert!(bench.passes(&knock) && bench.passes(&visit));
    assert!(!bench.passes(&udp("10.0.0.7:9", "10.0.0.2:3")), "another source");
    bench.wait(10);
    assert!(bench.passes(&visit), "ten seconds are still within ten seconds");
    bench.wait(1);
    assert!(!bench.passes(&visit));
    assert!(bench.passes(&knock) && bench.passes(&leave) && !bench.passes(&leave));
    assert!(!bench.passes(&visit));
}

#[test]
fn recent_counts_hits_and_an_update_counts_itself() {
    let mut bench = Bench::forward(
        "-A FORWARD -m recent --name l --update --seconds 60 --hitcount 3 -j DROP\n\
         -A FORWARD -m recent --name l --set -j ACCEPT",
    );
    let passed: Vec<_> = (0..5).map(|_| bench.passes(&datagram())).collect();
    assert_eq!(passed, [true, true, true, false, false]);
    bench.wait(59);
    assert!(!bench.passes(&datagram()), "refreshed by the refused ones");
    bench.wait(61);
    assert!(bench.passes(&datagram()));
}

#[test]
fn recent_reaps_the_oldest_and_keeps_a_hundred() {
    let mut bench = Bench::forward(
        "-A FORWARD -p udp --dport 1 -m recent --name l --set -j ACCEPT\n\
         -A FORWARD -p udp --dport 2 -m recent --name l --rcheck --seconds 10 --reap -j ACCEPT\n\
         -A FORWARD -m recent --name l --rcheck -j ACCEPT\n-A FORWARD -j DROP",
    );
    let from = |n: u32, port| udp(&format!("{}:9", std::net::Ipv4Addr::from(n)), &format!("10.0.0.2:{port}"));
    assert!(bench.passes(&from(1, 1)));
    bench.wait(20);
    assert!(bench.passes(&from(2, 1)) && bench.passes(&from(1, 3)));
    assert!(bench.passes(&from(2, 2)), "which reaps the first");
    assert!(!bench.passes(&from(1, 3)));
    (3..=102).for_each(|n| assert!(bench.passes(&from(n, 1))));
    assert!(!bench.passes(&from(2, 3)) && bench.passes(&from(3, 3)), "the 101st displaced the oldest");
    assert_eq!(ip("0.0.0.3"), std::net::IpAddr::from(std::net::Ipv4Addr::from(3)));
}

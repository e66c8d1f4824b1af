//! Stories of flows that are not TCP; numbers in comments are those of the measured facts
//! (`../shared/facts/kernel-behaviour.md`).

mod properties;
mod races;

use super::bench::{Node, at, icmp, icmp_error, ip, tcp, to, udp};
use super::*;
use crate::engine::errno::Errno;
use crate::engine::time::Duration;
use crate::netfilter::hooks::Hook;
use crate::wire::icmp::{DEST_UNREACH, ECHO, ECHO_REPLY, PORT_UNREACH, TIMESTAMP, TIMESTAMP_REPLY};
use crate::wire::l4::SYN;

const A: &str = "10.244.1.2:40000";
const B: &str = "10.244.2.2:53";

#[test]
fn an_entry_prints_as_conntrack_prints_it() {
    let mut node = Node::new();
    node.forward(udp(A, B));
    node.wait(1);
    let unreplied = "ipv4     2 udp      17 29 src=10.244.1.2 dst=10.244.2.2 sport=40000 dport=53 packets=1 bytes=33 \
         [UNREPLIED] src=10.244.2.2 dst=10.244.1.2 sport=53 dport=40000 packets=0 bytes=0 mark=0 use=1";
    assert_eq!(node.lines(), [unreplied]);
    node.forward(udp(B, A));
    let replied = "ipv4     2 udp      17 30 src=10.244.1.2 dst=10.244.2.2 sport=40000 dport=53 packets=1 bytes=33 \
         src=10.244.2.2 dst=10.244.1.2 sport=53 dport=40000 packets=1 bytes=33 mark=0 use=1";
    assert_eq!(node.lines(), [replied]);
}

/// Fact 36.
#[test]
fn a_udp_flow_is_assured_by_a_packet_more_than_two_seconds_after_the_first() {
    let mut node = Node::new();
    node.forward(udp(A, B));
    assert_eq!(node.left(), 30);
    node.forward(udp(B, A));
    node.wait(2);
    node.forward(udp(A, B));
    assert_eq!(
        (node.left(), node.only().status.has(Status::ASSURED)),
        (30, false),
        "two seconds are not more than two"
    );
    node.now += Duration::from_millis(1);
    node.forward(udp(A, B));
    assert_eq!((node.left(), node.only().status.has(Status::ASSURED)), (120, true));
}

#[test]
fn without_answers_a_udp_flow_stays_new_however_long_it_lasts() {
    let mut node = Node::new();
    for _ in 0..5 {
        let packet = node.forward(udp(A, B)).unwrap();
        assert!(matches!(packet.ct, CtRef::Entry(_, CtInfo::New)));
        node.wait(5);
    }
    assert_eq!(node.left(), 25);
}

/// Fact 37.
#[test]
fn a_packet_dropped_on_its_way_leaves_no_entry() {
    let mut node = Node::new();
    let mut packet = udp(A, B);
    assert_eq!(node.receive(&mut packet), Verdict::Accept);
    assert_eq!((node.ct.len(), node.count()), (1, 0), "tentative: there, but not listed");
    node.ct.discard_tentative();
    assert!(node.ct.is_empty());
    assert!(node.ct.of(&packet).is_none());
}

#[test]
fn an_entry_whose_time_is_over_is_neither_found_nor_shown() {
    let mut node = Node::new();
    node.forward(udp(A, B));
    node.wait(30);
    assert_eq!(node.count(), 0);
    let late = node.forward(udp(B, A)).unwrap();
    assert!(matches!(late.ct, CtRef::Entry(_, CtInfo::New)), "the late answer begins a flow of its own");
    assert_eq!(node.ct.len(), 1);
    node.wait(30);
    node.ct.expire(node.now);
    assert!(node.ct.is_empty());
}

/// Facts 39 and golden icmp_errors_through_nat.
#[test]
fn only_icmp_queries_begin_a_flow() {
    let mut node = Node::new();
    let stray = node.forward(icmp("10.244.2.2", "10.244.1.2", ECHO_REPLY, 9)).unwrap();
    assert_eq!((stray.ct, node.ct.stats().invalid), (CtRef::None, 1));
    node.forward(icmp("10.244.2.2", "10.244.1.2", TIMESTAMP, 9));
    let answer = node.forward(icmp("10.244.1.2", "10.244.2.2", TIMESTAMP_REPLY, 9)).unwrap();
    assert!(matches!(answer.ct, CtRef::Entry(_, CtInfo::EstablishedReply)));
    let line = "ipv4     2 icmp     1 30 src=10.244.2.2 dst=10.244.1.2 type=13 code=0 id=9 packets=1 bytes=28 \
         src=10.244.1.2 dst=10.244.2.2 type=14 code=0 id=9 packets=1 bytes=28 mark=0 use=1";
    assert_eq!(node.lines(), [line]);
}

#[test]
fn an_icmp_error_about_a_flow_is_related_and_not_counted() {
    let mut node = Node::new();
    let sent = node.forward(udp(A, B)).unwrap();
    let error = node.forward(icmp_error("10.244.2.2", &sent, DEST_UNREACH, PORT_UNREACH)).unwrap();
    assert!(matches!(error.ct, CtRef::Entry(_, CtInfo::RelatedReply)));
    assert_eq!(node.only().counters.unwrap()[Dir::Reply as usize], Counter::default());
    let answer = node.forward(udp(B, A)).unwrap();
    let error = node.forward(icmp_error("10.244.1.2", &answer, DEST_UNREACH, PORT_UNREACH)).unwrap();
    assert!(matches!(error.ct, CtRef::Entry(_, CtInfo::Related)), "an error about an answer goes as the request");
}

#[test]
fn an_icmp_error_about_no_flow_or_to_somebody_else_is_invalid() {
    let mut node = Node::new();
    let unseen = udp("10.244.1.2:49999", B);
    let error = node.forward(icmp_error("10.244.2.2", &unseen, DEST_UNREACH, PORT_UNREACH)).unwrap();
    assert_eq!(error.ct, CtRef::None);
    let sent = node.forward(udp(A, B)).unwrap();
    let mut bogus = icmp_error("10.244.2.2", &sent, DEST_UNREACH, PORT_UNREACH);
    crate::wire::edit::set_addr(bogus.l3_mut(), crate::wire::edit::End::Dst, ip("10.244.1.77"));
    assert_eq!(node.forward(bogus).unwrap().ct, CtRef::None);
    assert_eq!(node.ct.stats().error, 2);
}

/// Fact 20: the error is made before its flow is confirmed.
#[test]
fn an_error_made_here_is_tied_to_the_flow_even_if_that_is_tentative() {
    let mut node = Node::new();
    let mut packet = udp(A, B);
    assert_eq!(node.receive(&mut packet), Verdict::Accept);
    let mut error = icmp_error("10.244.1.1", &packet, DEST_UNREACH, PORT_UNREACH);
    Conntrack::attach(&mut error, &packet);
    assert_eq!(node.ct.track_in(node.now, &mut error, Hook::Output, Zone::default()), Verdict::Accept);
    assert!(matches!(node.ct.of(&error), Some((_, CtInfo::RelatedReply, entry)) if !entry.is_confirmed()));
    assert_eq!(node.ct.confirm(node.now, &mut error), Verdict::Accept);
    assert_eq!(node.count(), 0, "only a packet of the flow itself confirms it");
}

/// Facts 39 and 50.
#[test]
fn a_bad_checksum_is_invalid_at_prerouting_only_and_only_while_checked() {
    let broken = || {
        let mut packet = udp(A, B);
        packet.l3_mut()[26] ^= 0x55;
        packet
    };
    let mut node = Node::new();
    assert_eq!(node.forward(broken()).unwrap().ct, CtRef::None);
    let mut own = broken();
    assert_eq!(node.ct.track_in(node.now, &mut own, Hook::Output, Zone::default()), Verdict::Accept);
    assert!(matches!(own.ct, CtRef::Entry(..)));
    node.ct.config.checksum = false;
    assert!(matches!(node.forward(broken()).unwrap().ct, CtRef::Entry(..)));
}

/// Fact 105.
#[test]
fn an_untracked_packet_has_no_entry_and_its_answer_begins_one() {
    let mut node = Node::new();
    let mut packet = udp(A, B);
    packet.ct = CtRef::Untracked;
    assert_eq!(node.forward(packet).unwrap().ct, CtRef::Untracked);
    assert!(node.ct.is_empty());
    node.forward(udp(B, A));
    assert_eq!(node.only().orig.src, at(B).ip());
}

/// Fact 104.
#[test]
fn zones_keep_equal_tuples_apart_unless_they_count_for_one_direction_only() {
    let mut node = Node::new();
    node.zone = Zone { id: 7, dir: ZoneDir::Both };
    node.forward(udp(A, B));
    node.zone = Zone::default();
    node.forward(udp(B, A));
    assert_eq!(node.count(), 2, "the answer, in zone 0, does not find the flow of zone 7");

    let mut node = Node::new();
    node.zone = Zone { id: 7, dir: ZoneDir::Orig };
    node.forward(udp(A, B));
    node.zone = Zone::default();
    node.forward(udp(B, A));
    assert!(node.only().status.has(Status::SEEN_REPLY));
    assert!(node.lines()[0].contains("dport=53 zone-orig=7 packets=1"), "{}", node.lines()[0]);
}

#[test]
fn entries_are_deleted_by_what_conntrack_d_can_say() {
    let mut node = Node::new();
    node.dnat = Some(to("10.244.2.2:8080"));
    node.forward(udp(A, "10.96.0.10:53"));
    node.dnat = None;
    node.forward(udp("10.244.1.3:40000", B));
    node.forward(tcp("10.244.1.3:40001", "10.244.2.2:53", SYN, 1, 0, b""));
    let of_service = Filter { proto: Some(17), orig_dst: Some(ip("10.96.0.10")), ..Filter::default() };
    assert_eq!(node.ct.delete(node.now, &of_service), 1);
    let of_endpoint = Filter { reply_src: Some(ip("10.244.2.2")), reply_port_src: Some(53), ..Filter::default() };
    assert_eq!(node.ct.delete(node.now, &Filter { proto: Some(6), ..of_endpoint }), 1);
    assert_eq!(node.ct.delete(node.now, &of_service), 0);
    assert_eq!(node.ct.flush(), 1);
    assert!(node.ct.is_empty());
}

/// Fact 110.
#[test]
fn a_full_table_evicts_what_is_not_assured_near_the_new_entry_or_drops_the_packet() {
    let mut node = Node::new();
    node.ct.config.max = 4;
    node.ct.config.buckets = 4;
    for port in 1000..1005 {
        assert!(node.forward(udp(&format!("10.244.1.2:{port}"), B)).is_some());
    }
    assert!(node.ct.stats().early_drop >= 1 && node.count() <= 4);
    for id in node.ct.iter(node.now).map(|(id, _)| id).collect::<Vec<_>>() {
        node.ct.get_mut(id).unwrap().status |= Status::ASSURED;
    }
    let room = 4 - node.count();
    for port in 2000..2000 + room {
        node.forward(udp(&format!("10.244.1.2:{port}"), B));
    }
    for id in node.ct.iter(node.now).map(|(id, _)| id).collect::<Vec<_>>() {
        node.ct.get_mut(id).unwrap().status |= Status::ASSURED;
    }
    assert!(node.forward(udp("10.244.1.2:3000", B)).is_none());
    assert_eq!(node.ct.stats().drop, 1);
    assert!(node.forward(udp("10.244.1.2:2000", B)).is_some() || room == 0, "known flows live on");
    node.wait(31);
    assert!(node.forward(udp("10.244.1.2:3000", B)).is_some(), "expired entries make room");
}

#[test]
fn an_entry_made_by_hand_is_an_entry_like_others_and_needs_its_place_and_room() {
    let mut node = Node::new();
    let made = |port| {
        let orig = Tuple::of(udp(&format!("10.244.1.2:{port}"), B).l3()).unwrap();
        Creation { orig, status: Status::SEEN_REPLY | Status::ASSURED, lifetime: Duration::from_secs(600) }
    };
    assert_eq!(node.ct.create(node.now, &made(40000)), Ok(()));
    assert_eq!(node.ct.create(node.now, &made(40000)), Err(Errno::EEXIST));
    let line = "ipv4     2 udp      17 600 src=10.244.1.2 dst=10.244.2.2 sport=40000 dport=53 packets=0 bytes=0 \
         src=10.244.2.2 dst=10.244.1.2 sport=53 dport=40000 packets=0 bytes=0 [ASSURED] mark=0 use=1";
    assert_eq!(node.lines(), [line]);
    assert!(node.forward(udp(A, B)).is_some());
    assert_eq!(node.count(), 1, "packets find it");
    node.ct.config.max = 1;
    assert_eq!(node.ct.create(node.now, &made(40001)), Err(Errno::ENOMEM));
    assert_eq!(node.ct.flush(), 1);
}

#[test]
fn expired_entries_nobody_asks_for_do_not_pile_up() {
    let mut node = Node::new();
    for n in 0..20_000u32 {
        node.forward(udp(&format!("10.244.1.2:{}", n % 60_000 + 1), B));
        if n % 100 == 99 {
            node.wait(3);
        }
    }
    assert!(node.ct.len() <= 2 * 1024, "{} entries for {} live ones", node.ct.len(), node.count());
    assert_eq!(node.count(), 900);
}

/// Fact 104.
#[test]
fn a_mark_set_on_the_flow_is_there_for_its_answers() {
    let mut node = Node::new();
    let sent = node.forward(udp(A, B)).unwrap();
    let (id, ..) = node.ct.of(&sent).unwrap();
    node.ct.set_mark(id, 0x4000);
    let answer = node.forward(udp(B, A)).unwrap();
    assert_eq!(node.ct.of(&answer).unwrap().2.mark, 0x4000);
    assert!(node.lines()[0].ends_with("mark=16384 use=1"));
}

#[test]
fn a_protocol_that_is_not_looked_into_is_tracked_by_its_addresses() {
    use crate::wire::{build, ip::IpHeader, packet::PacketId};
    let mut node = Node::new();
    let gre = |from, to| build::ip(PacketId(1), IpHeader::new(ip(from), ip(to), 47, 0), &[0; 8]);
    node.forward(gre("10.0.0.1", "10.0.0.2"));
    node.forward(gre("10.0.0.2", "10.0.0.1"));
    let line = "ipv4     2 unknown  47 600 src=10.0.0.1 dst=10.0.0.2 packets=1 bytes=28 \
         src=10.0.0.2 dst=10.0.0.1 packets=1 bytes=28 mark=0 use=1";
    assert_eq!(node.lines(), [line]);
}

#[test]
fn statistics_print_as_conntrack_s_prints_them() {
    let mut node = Node::new();
    node.forward(icmp("10.244.2.2", "10.244.1.2", ECHO_REPLY, 9));
    node.forward(icmp("10.244.2.2", "10.244.1.2", ECHO, 9));
    let line = "cpu=0   \tfound=0 invalid=1 insert=0 insert_failed=0 drop=0 early_drop=0 error=0 search_restart=0 \
         clash_resolve=0 chaintoolong=0";
    assert_eq!(node.ct.stats().to_string(), line);
}

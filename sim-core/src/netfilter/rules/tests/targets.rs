//! What each target does.

use super::{At, Bench, FORWARD, datagram};
use crate::engine::time::Instant;
use crate::netfilter::conntrack::bench::{icmp_error, ip, tcp};
use crate::netfilter::conntrack::{Conntrack, ConntrackConfig, Zone, ZoneDir};
use crate::netfilter::hooks::Hook;
use crate::netfilter::rules::targets::ct::CtTemplate;
use crate::netfilter::rules::targets::nat::{Nat, NatKind};
use crate::netfilter::rules::targets::reject::RejectWith;
use crate::netfilter::rules::targets::tcpmss::MssLimit;
use crate::netfilter::rules::{CtFacts, TableName, Verdict};
use crate::wire::ip::Family;
use crate::wire::l4::SYN;
use crate::wire::packet::Packet;

#[test]
fn marks_are_changed_bit_by_bit_and_the_walk_goes_on() {
    for (option, before, after) in [
        ("--or-mark 0x4000", 0x8001, 0xc001),
        ("--xor-mark 0x4000", 0x4001, 0x1),
        ("--and-mark 0xff", 0x4001, 0x1),
        ("--set-mark 0x5/0xf0", 0xff, 0x0f),
        ("--set-xmark 0x5/0xf", 0xff, 0xf5),
        ("--set-mark 7", 0xff, 7),
    ] {
        let mut bench = Bench::forward(&format!("-A FORWARD -j MARK {option}\n-A FORWARD -j DROP"));
        let result = bench.send(&datagram(), &At { mark: before, ..FORWARD });
        assert_eq!((result.verdict, result.mark), (Verdict::Drop, after), "{option}");
    }
}

#[test]
fn connmark_copies_between_packet_and_connection() {
    let mut ct = Conntrack::new(ConntrackConfig::default());
    let mut packet = datagram();
    let _ = ct.track_in(Instant::START, &mut packet, Hook::Prerouting, Zone::default());
    let facts = CtFacts { mark: 0x30, ..CtFacts::of(&ct, &packet) };
    let at = At { mark: 0x5, ct: facts, ..FORWARD };
    let run = |option: &str, at: &At<'_>| {
        let result = Bench::forward(&format!("-A FORWARD -j CONNMARK {option}")).send(&packet, at);
        (result.mark, result.ct_mark)
    };
    assert_eq!(run("--save-mark", &at), (0x5, 0x5));
    assert_eq!(run("--save-mark --mask 0xf", &at), (0x5, 0x35));
    assert_eq!(run("--restore-mark", &at), (0x30, 0x30));
    assert_eq!(run("--restore-mark --nfmask 0x1 --ctmask 0xff", &at), (0x34, 0x30));
    assert_eq!(run("--set-xmark 0x1/0xf0", &at), (0x5, 0x1));
    assert_eq!(run("--save-mark", &At { mark: 0x5, ..FORWARD }), (0x5, 0), "no connection, no change");
}

#[test]
fn a_reject_says_how() {
    let mut bench = Bench::forward("-A FORWARD -j REJECT");
    assert_eq!(bench.send(&datagram(), &FORWARD).verdict, Verdict::Reject(RejectWith::Unreachable(Family::V4, 3)));
    assert_eq!(RejectWith::Unreachable(Family::V4, 10).name(), "icmp-host-prohibited");
    assert_eq!(RejectWith::TcpReset.icmp_code(), None);
}

#[test]
fn a_translation_ends_the_walk_with_its_range() {
    let mut bench = Bench::new(
        "*nat\n:PREROUTING ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n\
         -A PREROUTING -p udp -j DNAT --to-destination 10.244.2.2:8080\n-A PREROUTING -j DNAT --to-destination 1.1.1.1\n\
         -A POSTROUTING -j MASQUERADE --random-fully\nCOMMIT\n",
    );
    let at = At { table: TableName::Nat, hook: Hook::Prerouting, out_dev: "", ..FORWARD };
    let nat = Nat::to(NatKind::Dnat, ip("10.244.2.2"), Some(8080));
    assert_eq!(bench.send(&datagram(), &at).verdict, Verdict::Nat(nat));
    let at = At { hook: Hook::Postrouting, ..at };
    let Verdict::Nat(masquerade) = bench.send(&datagram(), &at).verdict else { panic!("no translation") };
    assert!(masquerade.kind == NatKind::Masquerade && masquerade.range().random && masquerade.addrs.is_none());
}

#[test]
fn ttl_and_code_point_change_and_later_rules_see_it() {
    let at = At { table: TableName::Mangle, ..FORWARD };
    for (target, ttl_tos) in [
        ("TTL --ttl-set 7", (7, 0)),
        ("TTL --ttl-dec 100", (0, 0)),
        ("TTL --ttl-inc 200", (255, 0)),
        ("DSCP --set-dscp 10", (64, 40)),
        ("DSCP --set-dscp-class EF", (64, 184)),
    ] {
        let mut bench =
            Bench::new(&format!("*mangle\n-A FORWARD -j {target}\n-A FORWARD -m ttl --ttl-lt 9 -j DROP\nCOMMIT\n"));
        let after = bench.send(&datagram(), &at);
        assert_eq!(after.ttl_tos, ttl_tos, "{target}");
        assert_eq!(after.verdict == Verdict::Drop, ttl_tos.0 < 9, "{target}");
    }
}

#[test]
fn a_flow_has_one_hash_in_both_directions_and_in_errors_about_it() {
    let hash = "-A FORWARD -j HMARK --hmark-tuple src,dst,sport,dport --hmark-rnd 1 --hmark-mod 1000 --hmark-offset 5";
    let mark = |packet: &Packet| Bench::forward(hash).send(packet, &FORWARD).mark;
    let there = tcp("10.0.0.1:1", "10.0.0.2:2", SYN, 1, 0, b"");
    assert_eq!(mark(&there), mark(&tcp("10.0.0.2:2", "10.0.0.1:1", SYN, 1, 0, b"")));
    assert_eq!(mark(&there), mark(&icmp_error("10.0.0.9", &there, 3, 4)), "that of the packet it quotes");
    assert_ne!(mark(&there), mark(&tcp("10.0.0.1:3", "10.0.0.2:2", SYN, 1, 0, b"")));
    let marks: Vec<u32> =
        (1..=200).map(|port| mark(&tcp(&format!("10.0.0.1:{port}"), "10.0.0.2:2", SYN, 1, 0, b""))).collect();
    assert!(marks.iter().all(|mark| (5..1005).contains(mark)));
    assert!((80..120).contains(&marks.iter().filter(|mark| **mark < 505).count()), "spread: {marks:?}");
}

#[test]
fn ct_leaves_a_template_and_the_first_one_counts() {
    let mut bench = Bench::new(
        "*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p udp -j CT --zone-orig 5\n-A PREROUTING -j CT --notrack\nCOMMIT\n",
    );
    let at = At { table: TableName::Raw, hook: Hook::Prerouting, ..FORWARD };
    let zone = CtTemplate::Zone(Zone { id: 5, dir: ZoneDir::Orig });
    assert_eq!(bench.send(&datagram(), &at).template, Some(zone));
    let segment = tcp("10.0.0.1:1", "10.0.0.2:2", SYN, 1, 0, b"");
    assert_eq!(bench.send(&segment, &at).template, Some(CtTemplate::Notrack));
}

#[test]
fn tcpmss_asks_for_an_edit() {
    let mut bench = Bench::forward(
        "-A FORWARD -p tcp --syn -j TCPMSS --set-mss 1400\n-A FORWARD -p tcp --syn -j TCPMSS --set-mss 1440",
    );
    let segment = tcp("10.0.0.1:1", "10.0.0.2:2", SYN, 1, 0, b"");
    assert_eq!(bench.send(&segment, &FORWARD).mss, Some(MssLimit { fixed: 1400, pmtu: false }));
    assert_eq!(bench.send(&datagram(), &FORWARD).mss, None);
}

#[test]
fn log_counts_and_goes_on() {
    let mut bench = Bench::forward("-A FORWARD -j LOG --log-prefix x\n-A FORWARD -j NFLOG\n-A FORWARD -j DROP");
    assert!(!bench.passes(&datagram()));
    assert_eq!((bench.counted("FORWARD", 0).0, bench.counted("FORWARD", 1).0), (1, 1));
}

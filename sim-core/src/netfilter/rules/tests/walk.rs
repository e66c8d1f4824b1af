//! The way through chains.

use super::{Bench, FORWARD, datagram};
use crate::netfilter::conntrack::bench::tcp;
use crate::netfilter::hooks::Hook;
use crate::netfilter::rules::{TableName, Verdict};
use crate::wire::l4::SYN;

#[test]
fn the_first_verdict_decides_and_else_the_policy() {
    let mut bench = Bench::forward("-A FORWARD -p tcp -j DROP\n-A FORWARD -d 10.244.2.2 -j ACCEPT\n-A FORWARD -j DROP");
    assert!(bench.passes(&datagram()));
    assert!(!bench.passes(&tcp("10.244.1.2:1", "10.244.2.2:2", SYN, 1, 0, b"")));
    assert_eq!(bench.counted("FORWARD", 2).0, 0);
    let mut closed = Bench::new("*filter\n:FORWARD DROP [0:0]\nCOMMIT\n");
    assert!(!closed.passes(&datagram()));
}

#[test]
fn a_jump_comes_back_and_a_goto_comes_back_to_the_last_jump() {
    let mut bench = Bench::forward("-A FORWARD -j x\n-A FORWARD -j DROP\n-A x -g y\n-A x -j ACCEPT");
    assert!(!bench.passes(&datagram()), "y ends: back to FORWARD, not to x");
    assert_eq!(bench.counted("x", 1).0, 0);
    let mut bench = Bench::forward("-A FORWARD -j x\n-A FORWARD -j DROP\n-A x -j y\n-A x -j ACCEPT");
    assert!(bench.passes(&datagram()), "y ends: back to x");
    let mut bench = Bench::forward("-A FORWARD -g x\n-A FORWARD -j DROP");
    assert!(bench.passes(&datagram()), "a goto out of the built-in chain ends in its policy");
}

#[test]
fn return_leaves_the_chain_and_in_a_built_in_one_asks_the_policy() {
    let mut bench = Bench::forward("-A FORWARD -j x\n-A FORWARD -j ACCEPT\n-A x -j RETURN\n-A x -j DROP");
    assert!(bench.passes(&datagram()));
    let mut bench = Bench::new("*filter\n:FORWARD DROP [0:0]\n-A FORWARD -j RETURN\n-A FORWARD -j ACCEPT\nCOMMIT\n");
    assert!(!bench.passes(&datagram()));
}

#[test]
fn fifteen_nested_jumps_work() {
    let chains: String = (0..15).map(|i| format!(":c{i} - [0:0]\n")).collect();
    let jumps: String = (0..14).map(|i| format!("-A c{i} -j c{}\n", i + 1)).collect();
    let text = format!("*filter\n:FORWARD ACCEPT [0:0]\n{chains}-A FORWARD -j c0\n{jumps}-A c14 -j DROP\nCOMMIT\n");
    assert!(!Bench::new(&text).passes(&datagram()));
}

#[test]
fn rules_and_policies_count_packets_and_bytes_of_the_ip_packet() {
    let mut bench = Bench::forward("-A FORWARD -s 10.244.1.2\n-A FORWARD -s 10.244.1.3");
    bench.passes(&datagram());
    bench.passes(&datagram());
    assert_eq!(bench.counted("FORWARD", 0), (2, 66), "20 + 8 + hello");
    assert_eq!(bench.counted("FORWARD", 1), (0, 0));
    let table = bench.rules.table(TableName::Filter).unwrap();
    assert_eq!(bench.state.policy_counters(table, table.base_chain(Hook::Forward).unwrap()).packets, 2);
}

#[test]
fn devices_are_asked_by_name_or_by_beginning() {
    for (rule, fits) in [
        ("-i cni0", true),
        ("-i cni", false),
        ("-i cn+", true),
        ("! -i cn+", false),
        ("-i cni0 -o eth0", true),
        ("-o cni0", false),
        ("! -o cni0", true),
        ("! -i +", false),
    ] {
        let mut bench = Bench::forward(&format!("-A FORWARD {rule} -j DROP"));
        assert_eq!(!bench.passes(&datagram()), fits, "{rule}");
    }
}

#[test]
fn fragments_after_the_first_are_asked_with_f_and_have_no_ports() {
    let mut later = datagram();
    later.l3_mut()[6..8].copy_from_slice(&100u16.to_be_bytes());
    let mut bench = Bench::forward("-A FORWARD -f -j DROP");
    assert!(!bench.passes(&later) && bench.passes(&datagram()));
    let mut bench = Bench::forward("-A FORWARD -p udp --dport 53 -j DROP");
    assert!(bench.passes(&later) && !bench.passes(&datagram()));
}

/// As iptables-nft asks: ports and flags by nft's own expressions, options and lists of ports by the matches of xtables.
#[test]
fn a_cut_header_fits_no_ports_and_is_dropped_by_the_match_that_wants_to_read_it() {
    let mut cut = datagram();
    cut.trim_l3(22);
    for (rule, verdict) in [
        ("-p udp --sport 1:65535 -j DROP", Verdict::Drop),
        ("-p udp ! --dport 99 -j DROP", Verdict::Accept),
        ("-p udp -m udp -j DROP", Verdict::Drop),
        ("-p udp -m multiport --dports 99 -j ACCEPT", Verdict::Drop),
    ] {
        let mut bench = Bench::forward(&format!("-A FORWARD {rule}"));
        assert_eq!(bench.send(&cut, &FORWARD).verdict, verdict, "{rule}");
    }
    // RFC 1858: a second fragment that would overwrite the flags of the first.
    let mut tiny = tcp("10.244.1.2:1", "10.244.2.2:2", SYN, 1, 0, b"");
    tiny.l3_mut()[6..8].copy_from_slice(&1u16.to_be_bytes());
    for (rule, verdict) in [("--dport 99", Verdict::Accept), ("--tcp-option 2", Verdict::Drop)] {
        let mut bench = Bench::forward(&format!("-A FORWARD -p tcp -m tcp {rule} -j ACCEPT"));
        assert_eq!(bench.send(&tiny, &FORWARD).verdict, verdict, "{rule}");
    }
}

#[test]
fn a_table_without_that_hook_accepts() {
    let mut bench = Bench::forward("-A FORWARD -j DROP");
    assert!(bench.passes_at(&datagram(), &super::At { hook: Hook::Prerouting, ..FORWARD }));
}

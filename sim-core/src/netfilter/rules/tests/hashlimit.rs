//! Buckets for each address and port.

use super::{Bench, RuleState, Ruleset, datagram};
use crate::netfilter::conntrack::bench::udp;
use crate::netfilter::text::{Restore, save};
use crate::wire::ip::Family;
use crate::wire::packet::Packet;

/// Of ten packets, how many pass.
fn passing(bench: &mut Bench, packet: &Packet) -> usize {
    (0..10).filter(|_| bench.passes(packet)).count()
}

fn limited(options: &str) -> Bench {
    Bench::forward(&format!("-A FORWARD -m hashlimit {options} --hashlimit-name h -j ACCEPT\n-A FORWARD -j DROP"))
}

#[test]
fn each_source_has_its_own_burst_and_then_its_own_rate() {
    let mut bench = limited("--hashlimit-upto 1/sec --hashlimit-burst 3 --hashlimit-mode srcip");
    assert_eq!(passing(&mut bench, &datagram()), 3);
    assert_eq!(passing(&mut bench, &udp("10.244.1.2:1", "10.244.2.9:9")), 0, "ports and destination do not count");
    assert_eq!(passing(&mut bench, &udp("10.244.1.3:1", "10.244.2.2:53")), 3);
    bench.wait(2);
    assert_eq!(passing(&mut bench, &datagram()), 3, "a bucket nobody asks for a second is forgotten, and begins anew");
}

#[test]
fn a_bucket_kept_longer_is_refilled_slowly() {
    let keep = "--hashlimit-upto 1/sec --hashlimit-burst 3 --hashlimit-mode srcip --hashlimit-htable-expire 60000";
    let mut bench = limited(keep);
    assert_eq!(passing(&mut bench, &datagram()), 3);
    bench.wait(2);
    assert_eq!(passing(&mut bench, &datagram()), 2);
}

#[test]
fn masks_make_one_bucket_of_a_network() {
    let mut bench = limited("--hashlimit-upto 1/min --hashlimit-mode srcip,dstport --hashlimit-srcmask 24");
    assert_eq!(passing(&mut bench, &datagram()), 5);
    assert_eq!(passing(&mut bench, &udp("10.244.1.9:7", "10.244.2.9:53")), 0);
    assert_eq!(passing(&mut bench, &udp("10.244.1.9:7", "10.244.2.9:54")), 5);
}

#[test]
fn above_fits_what_is_too_much() {
    let rules = "-A FORWARD -m hashlimit --hashlimit-above 1/min --hashlimit-burst 2 --hashlimit-name h -j DROP";
    assert_eq!(passing(&mut Bench::forward(rules), &datagram()), 2);
}

#[test]
fn a_full_table_drops_who_is_new() {
    let mut bench =
        limited("--hashlimit-upto 9/sec --hashlimit-mode srcip --hashlimit-htable-size 1 --hashlimit-htable-max 1");
    assert!(bench.passes(&datagram()));
    assert!(!bench.passes(&udp("10.244.1.3:1", "10.244.2.2:53")));
}

#[test]
fn rules_of_one_name_share_a_table_while_one_of_them_stays() {
    let mut bench = limited("--hashlimit-upto 1/min --hashlimit-burst 3 --hashlimit-mode srcip");
    assert_eq!(passing(&mut bench, &datagram()), 3);
    let other = "-A FORWARD -m hashlimit --hashlimit-upto 100/sec --hashlimit-name h -j ACCEPT";
    bench.restore(&format!("*filter\n-F FORWARD\n{other}\n-A FORWARD -j DROP\nCOMMIT\n")).unwrap();
    assert_eq!(passing(&mut bench, &datagram()), 0, "the first rule's limits hold");
    bench.restore("*filter\n-F FORWARD\nCOMMIT\n").unwrap();
    bench.restore(&format!("*filter\n{other}\n-A FORWARD -j DROP\nCOMMIT\n")).unwrap();
    assert_eq!(passing(&mut bench, &datagram()), 5);
}

#[test]
fn bytes_are_counted_in_chunks_of_sixteen_and_a_burst_is_a_second_more() {
    // A datagram of 33 bytes is three chunks; 160 bytes a second are eleven.
    let rate = "--hashlimit-upto 160b/s";
    let packet = datagram();
    assert_eq!(packet.l3().len() / 16, 2, "three chunks");
    let mut bench = limited(rate);
    assert_eq!(passing(&mut bench, &packet), 3);
    bench.wait(1);
    assert_eq!(passing(&mut bench, &packet), 3);
    let mut bench = limited(&format!("{rate} --hashlimit-burst 320b"));
    assert_eq!(passing(&mut bench, &packet), 9, "two seconds more, once");
    bench.wait(1);
    assert_eq!(passing(&mut bench, &packet), 3);
}

#[test]
fn rates_of_bytes_are_refused_if_the_unit_cannot_hold_them() {
    for (options, why) in [
        ("--hashlimit-upto 99999999mb/s", "rate too high"),
        ("--hashlimit-upto 20kb/s --hashlimit-burst 10k", "smaller than 20480b"),
        ("--hashlimit-upto 1/day --hashlimit-burst 5", "too much"),
        ("--hashlimit-upto 5/sec --hashlimit-burst 1000001", "more than 1000000"),
    ] {
        let text = format!("*filter\n-A FORWARD -m hashlimit --hashlimit-name h {options}\nCOMMIT\n");
        let error = Restore::parse(Family::V4, &text).unwrap_err().to_string();
        assert!(error.contains(why), "{options}: {error}");
    }
}

#[test]
fn of_ipv6_addresses_all_bits_count_unless_masked() {
    let text = "*filter\n-A FORWARD -m hashlimit --hashlimit-upto 1/min --hashlimit-mode srcip --hashlimit-name h MASK\nCOMMIT\n";
    for (mask, printed) in [("--hashlimit-srcmask 128", ""), ("--hashlimit-srcmask 32", " --hashlimit-srcmask 32")] {
        let rules = Restore::parse(Family::V6, &text.replace("MASK", mask)).unwrap();
        let rules = rules.apply(&Ruleset::default(), false).unwrap();
        let saved = save(&rules, &RuleState::default(), false);
        assert!(saved.contains(&format!("--hashlimit-name h{printed}\n")), "{saved}");
    }
}

#[test]
fn by_windows_what_was_too_much_is_held_against_the_next_window() {
    let mut bench =
        limited("--hashlimit-upto 2/sec --hashlimit-burst 1 --hashlimit-rate-match --hashlimit-htable-expire 9000");
    assert_eq!(passing(&mut bench, &datagram()), 3, "the rate and the burst");
    bench.wait(1);
    assert_eq!(passing(&mut bench, &datagram()), 0, "ten came in the second before");
    bench.wait(6);
    assert_eq!(passing(&mut bench, &datagram()), 3, "ten in six seconds are less than two a second");
}

//! Buckets for each address and port.

use super::{Bench, datagram};
use crate::netfilter::conntrack::bench::udp;
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

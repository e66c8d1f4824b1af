use super::*;
use crate::wire::packet::PacketId;

const KEY: (DevId, IpAddr) = (DevId(2), IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2)));
const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
const ANSWER: Heard = Heard { confirms: true, replaces: Replaces::AfterLocktime, create: false, router: None };

fn packet(n: u64) -> Packet {
    Packet::new(PacketId(n), b"x")
}

fn at(secs: u64) -> Instant {
    Instant::START + Duration::from_secs(secs)
}

#[test]
fn a_silent_neighbour_is_asked_three_times_and_fails_every_waiting_packet() {
    let (mut t, c) = (Neighs::default(), NeighConfig::new(Family::V4));
    let NeighOutput::Held { solicit: Some(first), .. } = t.output(KEY, packet(1), &c, at(0)) else { panic!() };
    assert_eq!(first.to, None);
    assert!(matches!(t.output(KEY, packet(2), &c, at(0)), NeighOutput::Held { solicit: None, .. }));
    let mut asked_at = vec![0];
    let failed = loop {
        let due = t.deadline(KEY);
        let done = t.timer(KEY, &c, due);
        if done.solicit.is_none() {
            break (due, done.failed.len());
        }
        asked_at.push(due.as_nanos() / 1_000_000_000);
    };
    assert_eq!(asked_at, [0, 1, 2]);
    assert_eq!(failed, (at(3), 2));
}

#[test]
fn an_answer_releases_what_waited_and_holds_for_the_reachable_time() {
    let (mut t, c) = (Neighs::default(), NeighConfig::new(Family::V4));
    t.output(KEY, packet(1), &c, at(0));
    assert_eq!(t.heard(KEY, MAC, ANSWER, &c, at(0)).len(), 1);
    assert_eq!(t.get(KEY).unwrap().state, Nud::Reachable);
    t.timer(KEY, &c, at(30));
    assert_eq!(t.get(KEY).unwrap().state, Nud::Stale, "not used for five seconds");
    assert!(matches!(t.output(KEY, packet(2), &c, at(31)), NeighOutput::Send(MAC, _)));
    assert_eq!(t.get(KEY).unwrap().state, Nud::Delay);
    let asked = t.timer(KEY, &c, at(36));
    assert_eq!(asked.solicit, Some(Solicit { to: Some(MAC) }), "asked again by unicast");
}

#[test]
fn a_second_answer_within_the_locktime_is_ignored() {
    let (mut t, c) = (Neighs::default(), NeighConfig::new(Family::V4));
    t.output(KEY, packet(1), &c, at(1));
    t.heard(KEY, MAC, ANSWER, &c, at(1));
    t.heard(KEY, MacAddr([9; 6]), ANSWER, &c, at(1));
    assert_eq!(t.get(KEY).unwrap().mac, MAC);
    t.heard(KEY, MacAddr([9; 6]), ANSWER, &c, at(3));
    assert_eq!(t.get(KEY).unwrap().mac, MacAddr([9; 6]));
}

#[test]
fn the_queue_drops_its_oldest_packet() {
    let (mut t, c) = (Neighs::default(), NeighConfig { queue_len: 1, ..NeighConfig::new(Family::V4) });
    t.output(KEY, packet(1), &c, at(0));
    let NeighOutput::Held { overflow: Some(lost), .. } = t.output(KEY, packet(2), &c, at(0)) else { panic!() };
    assert_eq!(lost.id, PacketId(1));
}

#[test]
fn a_scan_of_a_large_subnet_does_not_grow_the_table_without_bound() {
    let (mut t, c) = (Neighs::default(), NeighConfig::new(Family::V4));
    let refused = (0..3000u32)
        .filter(|n| {
            let key = (DevId(2), IpAddr::V4((0x0a00_0000 + n).into()));
            matches!(t.output(key, packet(0), &c, at(0)), NeighOutput::Refused(_))
        })
        .count();
    assert_eq!(refused, 3000 - GC_THRESH3);
}

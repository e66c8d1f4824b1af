use std::borrow::Cow;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;

use bytes::Bytes;
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketOption;
use pcap_file::pcapng::blocks::interface_description::InterfaceDescriptionOption;
use pcap_file::pcapng::blocks::interface_statistics::InterfaceStatisticsOption;
use pcap_file::pcapng::{Block as Read, PcapNgParser};

use super::*;
use crate::capture::{Decision, End, Ruled, Translated};
use crate::engine::trail::{DropPlace, DropReason};
use crate::netfilter::conntrack::Dir;
use crate::netfilter::hooks::Hook;
use crate::netfilter::rules::{CtState, Ruleset, TableName, Verdict};
use crate::netfilter::text::Restore;
use crate::wire::build;
use crate::wire::eth::{ETHERTYPE_IPV4, EthHeader, MacAddr};
use crate::wire::ip::Family;
use crate::wire::ip::{IpHeader, UDP};
use crate::wire::packet::PacketId;

/// Devices called `ns1/dev2`, with something hostile in the description.
struct Numbered;

impl Names for Numbered {
    fn tap(&self, netns: NetnsId, dev: Option<DevId>) -> Tap {
        let name = dev.map_or_else(|| format!("ns{}", netns.0), |dev| format!("ns{}/dev{}", netns.0, dev.0));
        Tap { name, description: "\u{1b}[31m\u{202e}x\0y".into(), mac: dev.map(|_| MacAddr([2, 0, 0, 0, 0, 1])) }
    }

    fn netns_name(&self, _: NetnsId) -> &str {
        "netns"
    }

    fn dev_name(&self, _: NetnsId, _: DevId) -> &str {
        "dev"
    }
}

fn frame() -> Bytes {
    let header = IpHeader::new("10.244.1.2".parse().unwrap(), "10.244.1.3".parse().unwrap(), UDP, 0);
    let mut packet = build::udp(PacketId(7), header, 40000, 9, b"hello");
    let (src, dst) = (MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2]));
    packet.push_l2(&EthHeader { dst, src, ethertype: ETHERTYPE_IPV4 }.to_bytes());
    packet.to_frame()
}

fn hop(ns: u64, (netns, dev): (u32, u32), direction: Direction, pkt_type: PacketType) -> Hop {
    Hop {
        csum_pending: false,
        at: Instant::from_nanos(ns),
        event: 12,
        stamp: 0,
        netns: NetnsId(netns),
        dev: DevId(dev),
        direction,
        pkt_type,
        packet: PacketId(7),
        frame: frame(),
        decisions: Vec::new(),
    }
}

fn loss() -> Loss {
    let (netns, dev) = (NetnsId(1), Some(DevId(2)));
    let place = DropPlace { netns, dev, stage: "FORWARD", reason: DropReason::NetfilterDrop };
    let at = Instant::from_nanos(1_500_000_004);
    Loss { at, event: 13, packet: PacketId(7), place, frame: frame(), decisions: Vec::new() }
}

/// The one rule of a table, which drops.
fn dropped_by_rule() -> Decision {
    let text = "*filter\n-A FORWARD -p udp -m comment --comment \"no \\\"way\" -j DROP\nCOMMIT\n";
    let rules = Ruleset::default().apply(&Restore::parse(Family::V4, text).unwrap().tables[0], false).unwrap();
    let table = rules.table(TableName::Filter).unwrap();
    let chain = Arc::new(table.chain(table.find("FORWARD").unwrap()).unwrap().clone());
    let (hook, table, verdict, mark) = (Hook::Forward, TableName::Filter, Verdict::Drop, Some((0, 0x4000)));
    Decision::Ruled(Ruled { hook, table, chain, number: 0, verdict, mark })
}

/// Three hops, the last with decisions, and a loss.
fn file(snaplen: u32) -> Vec<u8> {
    let mut out = Vec::new();
    let mut file = PcapNg::begin(snaplen, "a test", &mut out);
    let ip: IpAddr = "10.244.1.2".parse().unwrap();
    file.names([(ip, "shop/c\u{7}art"), ("fd00::1".parse().unwrap(), "six")], &mut out);
    let mut decided = hop(1_500_000_003, (1, 2), Direction::In, PacketType::Broadcast);
    let (before, after) = (End { ip, port: Some(80) }, End { ip: "10.0.0.1".parse().unwrap(), port: None });
    decided.decisions = vec![
        Decision::Tracked(Hook::Prerouting, CtState::Established, Some(Dir::Reply)),
        Decision::Translated(Translated { hook: Hook::Prerouting, source: false, before, after }),
        Decision::Forwarded { dev: DevId(2), via: Some(ip) },
    ];
    let first = hop(1, (1, 2), Direction::Out, PacketType::Outgoing);
    let second = hop(1_500_000_002, (2, 2), Direction::In, PacketType::OtherHost);
    let lost = Loss { decisions: vec![dropped_by_rule()], ..loss() };
    for seen in [Seen::Hop(first), Seen::Hop(second), Seen::Hop(decided), Seen::Loss(lost)] {
        file.write(&seen, &Numbered, &mut out);
    }
    let mut drops = DropCounters::default();
    drops.count(loss().place);
    file.statistics(Instant::from_nanos(2_000_000_000), &drops, &mut out);
    out
}

/// What tshark reads in `file` of these fields, a line a frame, and what it complains of; `None` where there is no tshark.
fn tshark(file: &[u8], fields: &[&str]) -> Option<(String, String)> {
    let mut command = Command::new("tshark");
    command.args(["-n", "-r", "-", "-T", "fields"]).args(fields.iter().flat_map(|f| ["-e", f]));
    let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.map_err(|e| eprintln!("skipped: tshark: {e}")).ok()?;
    child.stdin.take().unwrap().write_all(file).unwrap();
    let output = child.wait_with_output().unwrap();
    let complaints = String::from_utf8(output.stderr).unwrap();
    let complaints = complaints.lines().filter(|line| !line.starts_with("Running as user")).collect();
    Some((String::from_utf8(output.stdout).unwrap(), complaints))
}

#[test]
fn wireshark_shows_names_directions_nanoseconds_and_packet_ids() {
    let fields =
        ["frame.time_epoch", "frame.interface_name", "frame.packet_flags_direction", "frame.packet_id", "udp.srcport"];
    let Some((read, complaints)) = tshark(&file(0), &fields) else { return };
    assert_eq!(complaints, "");
    let lines: Vec<_> = read.lines().map(|line| line.split('\t').collect::<Vec<_>>()).collect();
    assert!(lines[1][0].ends_with("1.500000002"), "{read}");
    let rest: Vec<_> = lines.iter().map(|line| line[1..].join(" ")).collect();
    assert_eq!(
        rest,
        [
            "ns1/dev2 0x00000002 7 40000",
            "ns2/dev2 0x00000001 7 40000",
            "ns1/dev2 0x00000001 7 40000",
            "ns1/dev2  7 40000",
        ]
    );
}

#[test]
fn what_was_decided_stands_with_the_frame_and_a_drop_has_its_verdict() {
    let Some((read, _)) = tshark(&file(0), &["frame.verdict.ebpf_tc", "frame.comment"]) else { return };
    let lines: Vec<_> = read.lines().collect();
    assert_eq!(
        lines[2..],
        [
            "\tPREROUTING conntrack: ESTABLISHED reply,PREROUTING nat: destination 10.244.1.2:80 → 10.0.0.1,\
             route: via 10.244.1.2 dev dev,event 12",
            "2\tFORWARD filter FORWARD rule 1: -A FORWARD -p udp -m comment --comment \"no \\\"way\" -j DROP \
             (mark 0x0 → 0x4000),dropped: NETFILTER_DROP at FORWARD,event 13",
        ]
    );
}

/// The blocks after the first as another reader finds them, up to one that is not whole.
fn blocks(file: &[u8]) -> Vec<Read<'_>> {
    let Ok((mut rest, mut parser)) = PcapNgParser::new(file) else { return Vec::new() };
    let mut blocks = Vec::new();
    while let Ok((after, block)) = parser.next_block(rest) {
        blocks.push(block);
        rest = after;
    }
    blocks
}

#[test]
fn another_reader_finds_every_block_whole() {
    let (mut packets, mut comments, mut drops) = (Vec::new(), 0, Vec::new());
    for block in blocks(&file(20)) {
        match block {
            Read::EnhancedPacket(packet) => {
                packets.push((packet.data.len(), packet.original_len));
                let is_comment = |option: &&EnhancedPacketOption| matches!(option, EnhancedPacketOption::Comment(_));
                comments += packet.options.iter().filter(is_comment).count();
            }
            Read::InterfaceStatistics(block) => {
                drops.extend(block.options.into_iter().filter_map(|option| match option {
                    InterfaceStatisticsOption::IsbIfDrop(n) => Some(n),
                    _ => None,
                }));
            }
            Read::InterfaceDescription(block) => {
                let mac = Cow::Borrowed(&[2, 0, 0, 0, 0, 1][..]);
                let harmless = Cow::Borrowed("\u{fffd}[31m\u{fffd}x\u{fffd}y");
                for option in [
                    InterfaceDescriptionOption::IfTsResol(9),
                    InterfaceDescriptionOption::IfMacAddr(mac),
                    InterfaceDescriptionOption::IfDescription(harmless),
                ] {
                    assert!(block.options.contains(&option), "{option:?} of {block:?}");
                }
            }
            Read::NameResolution(block) => assert_eq!(block.records.len(), 2),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(packets, [(20, 47); 4], "cut, with the length they had");
    assert_eq!((comments, drops), (7, vec![1, 0]));
}

#[test]
fn the_bytes_are_the_same_on_every_machine() {
    let file = file(0);
    assert_eq!(file[..4], 0x0a0d_0d0a_u32.to_le_bytes(), "section header");
    assert_eq!(file[8..12], 0x1a2b_3c4d_u32.to_le_bytes(), "byte order");
    assert_eq!(file.len() % 4, 0);
}

/// Where the frames of a file end.
fn frame_ends(file: &[u8]) -> Vec<usize> {
    let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
    let (mut at, mut ends) = (0, Vec::new());
    while at < file.len() {
        let kind = word(at);
        at += word(at + 4) as usize;
        ends.extend((kind == EPB).then_some(at));
    }
    ends
}

#[test]
fn a_file_cut_at_any_byte_is_readable_up_to_there() {
    let file = file(0);
    let ends = frame_ends(&file);
    assert_eq!(ends.len(), 4);
    for cut in 0..file.len() {
        let whole = ends.iter().filter(|end| **end <= cut).count();
        let packets = blocks(&file[..cut]).iter().filter(|block| matches!(block, Read::EnhancedPacket(_))).count();
        assert_eq!(packets, whole, "cut at {cut}");
    }
    // Wireshark needs the first block to tell what file it is.
    let first = u32::from_le_bytes(file[4..8].try_into().unwrap()) as usize;
    for cut in (first..file.len()).step_by(101) {
        let Some((read, _)) = tshark(&file[..cut], &["frame.number"]) else { return };
        assert_eq!(read.lines().count(), ends.iter().filter(|end| **end <= cut).count(), "cut at {cut}");
    }
}

#[test]
fn a_text_without_end_is_cut_and_no_option_overflows() {
    let mut out = Vec::new();
    let file = PcapNg::begin(0, &"→".repeat(100_000), &mut out);
    file.names([("10.0.0.1".parse().unwrap(), "ä".repeat(100_000).as_str())], &mut out);
    let Read::NameResolution(names) = &blocks(&out)[0] else { panic!("no names") };
    assert_eq!(names.records.len(), 1);
    assert!(out.len() < 30_000, "{}", out.len());
}

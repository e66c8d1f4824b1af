use std::io::{self, Write};
use std::process::{Command, Stdio};

use bytes::Bytes;

use super::*;
use crate::engine::time::Instant;
use crate::wire::build;
use crate::wire::eth::{ETHERTYPE_IPV4, EthHeader, MacAddr};
use crate::wire::ip::{IpHeader, UDP};
use crate::wire::packet::PacketId;

fn hop(ns: u64, netns: u32, dev: u32, direction: Direction, pkt_type: PacketType) -> Hop {
    let header = IpHeader::new("10.244.1.2".parse().unwrap(), "10.244.1.3".parse().unwrap(), UDP, 0);
    let mut packet = build::udp(PacketId(7), header, 40000, 9, b"hello");
    let eth =
        EthHeader { dst: MacAddr([2, 0, 0, 0, 0, 2]), src: MacAddr([2, 0, 0, 0, 0, 1]), ethertype: ETHERTYPE_IPV4 };
    packet.push_l2(&eth.to_bytes());
    Hop {
        csum_pending: false,
        at: Instant::from_nanos(ns),
        stamp: 0,
        netns: NetnsId(netns),
        dev: DevId(dev),
        direction,
        pkt_type,
        packet: PacketId(7),
        frame: Bytes::copy_from_slice(packet.data()),
    }
}

fn three_hops() -> Vec<u8> {
    let mut file = PcapNg::new(Vec::new()).unwrap();
    let hops = [
        (hop(1, 1, 2, Direction::Out, PacketType::Outgoing), "a/eth0"),
        (hop(1_500_000_002, 2, 2, Direction::In, PacketType::OtherHost), "n1/veth-a"),
        (hop(1_500_000_003, 1, 2, Direction::In, PacketType::Broadcast), "a/eth0"),
    ];
    for (hop, name) in hops {
        file.write(&hop, || name.into()).unwrap();
    }
    file.finish().unwrap()
}

/// What tshark reads in `file` of these fields, a line a frame; `None` where there is no tshark.
fn tshark(file: &[u8], fields: &[&str]) -> Option<String> {
    let mut command = Command::new("tshark");
    command.args(["-r", "-", "-T", "fields"]).args(fields.iter().flat_map(|f| ["-e", f]));
    let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.map_err(|e| eprintln!("skipped: tshark: {e}")).ok()?;
    child.stdin.take().unwrap().write_all(file).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn wireshark_reads_every_block_with_names_directions_and_nanoseconds() {
    let fields = [
        "frame.time_epoch",
        "frame.interface_name",
        "frame.packet_flags_direction",
        "frame.packet_flags_reception_type",
        "udp.srcport",
    ];
    let Some(read) = tshark(&three_hops(), &fields) else { return };
    let times: Vec<_> =
        read.lines().map(|line| line.split('\t').next().unwrap().trim_start_matches("1970-01-01T00:00:")).collect();
    assert!(times[1].contains("1.500000002"), "{times:?}");
    let rest: Vec<_> = read.lines().map(|line| line.split('\t').skip(1).collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(rest.len(), 3, "{read}");
    assert!(rest[0].starts_with("a/eth0 0x00000002"), "{read}");
    assert!(rest[1].starts_with("n1/veth-a 0x00000001"), "{read}");
    assert!(rest[2].starts_with("a/eth0 0x00000001"), "an interface is described once: {read}");
    assert!(rest.iter().all(|line| line.contains("40000")), "{read}");
}

#[test]
fn the_bytes_are_the_same_on_every_machine() {
    let file = three_hops();
    assert_eq!(file[..4], 0x0a0d_0d0a_u32.to_le_bytes(), "section header");
    assert_eq!(file[8..12], 0x1a2b_3c4d_u32.to_le_bytes(), "byte order");
    assert_eq!(file, three_hops());
    assert_eq!(file.len() % 4, 0);
}

/// An output with room for some bytes.
struct Disk(usize);

impl Write for Disk {
    fn write(&mut self, b: &[u8]) -> io::Result<usize> {
        self.0 = self.0.checked_sub(b.len()).ok_or(io::ErrorKind::StorageFull)?;
        Ok(b.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_is_an_error() {
    let mut file = PcapNg::new(Disk(100)).unwrap();
    file.write(&hop(1, 1, 1, Direction::In, PacketType::Host), || "x".repeat(100_000)).unwrap();
    assert_eq!(file.flush().unwrap_err().kind(), io::ErrorKind::StorageFull);
}

#[test]
fn nothing_is_written_between_blocks() {
    struct Writes(Vec<usize>);
    impl Write for Writes {
        fn write(&mut self, b: &[u8]) -> io::Result<usize> {
            self.0.push(b.len());
            Ok(b.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut file = PcapNg::new(Writes(Vec::new())).unwrap();
    let one = hop(1, 1, 1, Direction::In, PacketType::Host);
    for _ in 0..20_000 {
        file.write(&one, || "a/eth0".into()).unwrap();
    }
    let writes = file.finish().unwrap().0;
    assert!(writes.len() < 8, "{writes:?}");
    assert!(writes.iter().all(|n| n % 4 == 0), "{writes:?}");
}

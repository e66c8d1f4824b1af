use std::collections::BTreeSet;
use std::process::Command;

use sim_core::capture::pcapng::PcapNg;
use sim_core::capture::{Direction, Hop, Seen};
use sim_core::engine::arena::{DevId, NetnsId};
use sim_core::engine::rng::Seed;
use sim_core::engine::time::Instant;
use sim_core::wire::build;
use sim_core::wire::eth::{ETHERTYPE_IPV4, EthHeader, MacAddr};
use sim_core::wire::ip::{IpHeader, TCP, UDP};
use sim_core::wire::l4::{ACK, FIN, PSH, SYN, TcpHeader};
use sim_core::wire::packet::{PacketId, PacketType};
use sim_core::world::World;
use sim_k8s::api::ObjectKey;

use super::*;

const HOST: &str = "web.default.svc.cluster.local";

fn signature_of_pod_7() -> String {
    signature::sign(7, &ObjectKey::new("default", "web-7d9f5c6b8-x2v4k"))
}

fn exchange(protocol: &Protocol) -> (Vec<u8>, Vec<u8>) {
    let request = (protocol.request)(HOST);
    let answer = (protocol.answer)(&signature_of_pod_7(), &request);
    (request, answer)
}

#[test]
fn every_answer_is_signed_but_those_of_silent_ports() {
    for (_, _, protocol) in TABLE.iter().filter(|(_, _, p)| p.name != "silent") {
        let (_, answer) = exchange(protocol);
        assert_eq!(signature::signed_by(&answer), Some(7), "{}", protocol.name);
    }
    assert_eq!(signature::signed_by(&exchange(&text::TEXT).1), Some(7));
}

#[test]
fn no_request_looks_like_an_answer() {
    for (_, _, protocol) in TABLE {
        assert_eq!(signature::signed_by(&exchange(protocol).0), None, "{}", protocol.name);
    }
}

#[test]
fn the_port_of_the_pod_decides_before_those_that_lead_to_it() {
    assert_eq!(spoken(Transport::Tcp, [8080, 443]).name, "http");
    assert_eq!(spoken(Transport::Tcp, [9376, 443]).name, "tls");
    assert_eq!(spoken(Transport::Udp, [1053, 53]).name, "dns");
    assert_eq!(spoken(Transport::Tcp, [3550]).name, "text");
    assert_eq!(spoken(Transport::Udp, [80]).name, "text");
}

#[test]
fn a_dns_server_asked_nonsense_says_format_error() {
    for request in [&b""[..], b"\x01", &[0; 12], &[255; 40]] {
        let answer = (dns::OVER_UDP.answer)("x", request);
        assert_eq!((answer.len(), answer[3] & 0xf), (12, 1), "{request:?}");
    }
}

/// One exchange on `port`, frame by frame as on a wire.
struct Wire {
    frames: Vec<Vec<u8>>,
    ports: [u16; 2],
    seq: [u32; 2],
}

impl Wire {
    fn new(client: u16, port: u16) -> Self {
        Self { frames: Vec::new(), ports: [client, port], seq: [100, 900] }
    }

    fn frame(&mut self, from: usize, proto: u8, flags: u8, data: &[u8]) {
        let ip = |n: usize| format!("10.0.0.{}", n + 1).parse().unwrap();
        let header = IpHeader::new(ip(from), ip(1 - from), proto, 0);
        let (src, dst) = (self.ports[from], self.ports[1 - from]);
        let mut packet = if proto == UDP {
            build::udp(PacketId(1), header, src, dst, data)
        } else {
            let ack = if flags == SYN { 0 } else { self.seq[1 - from] };
            let tcp = TcpHeader { src, dst, seq: self.seq[from], ack, flags, window: 64240, header_len: 20 };
            build::tcp(PacketId(1), header, tcp, &[], data)
        };
        self.seq[from] += data.len() as u32 + u32::from(flags & (SYN | FIN) != 0);
        let eth = EthHeader { dst: MacAddr([2; 6]), src: MacAddr([4; 6]), ethertype: ETHERTYPE_IPV4 };
        packet.push_l2(&eth.to_bytes());
        self.frames.push(packet.data().to_vec());
    }

    fn of(transport: Transport, client: u16, port: u16) -> Vec<Vec<u8>> {
        let mut wire = Self::new(client, port);
        let (request, answer) = exchange(spoken(transport, [port]));
        if transport == Transport::Udp {
            wire.frame(0, UDP, 0, &request);
            wire.frame(1, UDP, 0, &answer);
            return wire.frames;
        }
        [(0, SYN), (1, SYN | ACK), (0, ACK)].iter().for_each(|(from, flags)| wire.frame(*from, TCP, *flags, &[]));
        for (from, data) in [(0, request), (1, answer)].into_iter().filter(|(_, data)| !data.is_empty()) {
            wire.frame(from, TCP, PSH | ACK, &data);
            wire.frame(1 - from, TCP, ACK, &[]);
        }
        [(0, FIN | ACK), (1, FIN | ACK), (0, ACK)].iter().for_each(|(from, flags)| wire.frame(*from, TCP, *flags, &[]));
        wire.frames
    }
}

/// The ports Wireshark has a dissector for, by the field of its table.
fn known_ports(field: &str) -> Option<BTreeSet<u16>> {
    let out = Command::new("tshark").args(["-G", "decodes"]).output().ok()?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let port = |line: &str| {
        let mut words = line.split('\t');
        (words.next() == Some(field)).then(|| words.next()?.parse().ok()).flatten()
    };
    Some(text.lines().filter_map(port).collect())
}

/// The server's ports of frames that tshark finds malformed or in error.
fn complaints(frames: &[Vec<u8>], field: &str) -> BTreeSet<u16> {
    let mut bytes = Vec::new();
    let mut file = PcapNg::begin(0, "", &mut bytes);
    for (n, frame) in frames.iter().enumerate() {
        let hop = Hop {
            at: Instant::from_nanos(n as u64 * 1000),
            event: 0,
            stamp: 0,
            netns: NetnsId(0),
            dev: DevId(1),
            direction: Direction::In,
            pkt_type: PacketType::Host,
            packet: PacketId(1),
            csum_pending: false,
            frame: frame.clone().into(),
            decisions: Vec::new(),
        };
        file.write(&Seen::Hop(hop), &World::new(Seed(1)), &mut bytes);
    }
    let path = std::env::temp_dir().join(format!("everyhop-{field}-{}.pcapng", std::process::id()));
    std::fs::write(&path, bytes).unwrap();
    let error = "_ws.malformed || _ws.expert.severity == error || ip.checksum.status == 0";
    let args = ["-n", "-r", path.to_str().unwrap(), "-Y", error, "-T", "fields", "-E", "occurrence=f", "-e", field];
    let out = Command::new("tshark").args(args).output().unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let text = String::from_utf8(out.stdout).unwrap();
    text.lines().flat_map(|line| line.split(',')).map(|port| port.parse().unwrap()).collect()
}

/// Wireshark finds nothing wrong with any exchange, on any port it has a dissector for and on some it has none for.
#[test]
fn wireshark_takes_every_exchange_for_a_valid_one() {
    for (transport, field) in [(Transport::Tcp, "tcp.port"), (Transport::Udp, "udp.port")] {
        let Some(mut ports) = known_ports(field) else {
            eprintln!("skipped: no tshark");
            return;
        };
        assert!(ports.len() > 100);
        // Port 0 cannot be called.
        ports.remove(&0);
        ports.extend([81, 2181, 2379, 3000, 3550, 4317, 6443, 7070, 8443, 9090, 9100, 10250, 50051]);
        // Another client for every port, or Wireshark would take port 2000 for port 2001's client.
        let frames: Vec<Vec<u8>> = ports.iter().zip(20_100..).flat_map(|(p, c)| Wire::of(transport, c, *p)).collect();
        let complaints = complaints(&frames, field);
        let bad: Vec<_> = complaints.intersection(&ports).collect();
        assert!(bad.is_empty(), "{field}: {bad:?}");
    }
}

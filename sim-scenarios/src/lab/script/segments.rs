//! What the peer sends, as bytes.

use std::net::IpAddr;

use serde_json::{Value, json};
use sim_core::wire::build;
use sim_core::wire::eth::{ETH_LEN, ETHERTYPE_IPV4, EthHeader, MacAddr};
use sim_core::wire::icmp::IcmpHeader;
use sim_core::wire::ip::{ICMP, IpHeader, TCP};
use sim_core::wire::l4::TcpHeader;
use sim_core::wire::packet::{Packet, PacketId};

use super::{DEV, MACS, NETNS, Runner};
use crate::lab::bench::Refused;
use crate::lab::decode::FLAGS;
use crate::lab::forge::WRONG;
use crate::lab::spec::{POD, PeerError, PeerOptions, PeerSegment};

/// TTL and identification of everything the peer sends.
const TTL_ID: (u8, u32) = (60, 7);
/// The peer's timestamps begin here, in milliseconds.
const CLOCK: u32 = 1000;
/// How much of the pod's segment an error quotes: the IP header and 8 bytes.
const QUOTED: usize = 28;
/// Where the checksum of a segment stands in a packet without IP options.
const CHECKSUM: usize = 36;

impl Runner<'_> {
    /// Sends segments back to back; the pod has taken each before the next one leaves.
    pub(super) fn send_segments(&mut self, segments: &[PeerSegment]) -> Result<(), Refused> {
        for segment in segments {
            self.send_segment(segment)?;
            let now = self.bench.now();
            while self.bench.advance(now).is_some() {}
        }
        Ok(())
    }

    fn send_segment(&mut self, segment: &PeerSegment) -> Result<(), Refused> {
        let clock = CLOCK.wrapping_add(self.bench.now().since(self.start).as_millis() as u32);
        let Some(flow) = self.flows.get_mut(&segment.flow) else { return Ok(()) };
        let isn = *flow.peer_isn.insert(segment.isn.or(flow.peer_isn).unwrap_or(super::events::PEER_ISN));
        let pod_isn = flow.pod_isn.unwrap_or(0);
        let from_pod = |offset: i64| pod_isn.wrapping_add(offset as u32);
        let timestamps = segment.options.timestamps.map(|(value, echo)| {
            let value = if value == 1 { clock } else { value };
            flow.peer_clock.push(value);
            (value, echo.unwrap_or(flow.pod_clock))
        });
        let options = options(&segment.options, timestamps, from_pod);
        let flags = FLAGS.iter().filter(|(_, letter)| segment.flags.contains(*letter));
        let (pod, peer) = flow.ends;
        let header = TcpHeader {
            src: peer.port(),
            dst: pod.port(),
            seq: isn.wrapping_add(segment.seq as u32),
            ack: segment.ack.map_or(0, from_pod),
            flags: flags.fold(0, |all, (bit, _)| all | bit),
            window: segment.window,
            header_len: 0,
        };
        let ip = ip_header(peer.ip(), TCP, segment.tos);
        let mut bytes = frame(&build::tcp(PacketId(0), ip, header, &options, &vec![b'd'; segment.len]));
        if segment.bad_checksum {
            let at = ETH_LEN + CHECKSUM;
            let spoiled = u16::from_be_bytes([bytes[at], bytes[at + 1]]) ^ WRONG;
            bytes[at..at + 2].copy_from_slice(&spoiled.to_be_bytes());
        }
        self.send(bytes)
    }

    /// Sends an ICMP error about the pod's last segment, if there is one.
    pub(super) fn send_error(&mut self, error: &PeerError) -> Result<Option<Value>, Refused> {
        let flow = &self.flows[&error.flow];
        let mut quoted = flow.last_sent.get(..QUOTED).map(<[u8]>::to_vec).unwrap_or_default();
        if quoted.is_empty() {
            return Ok(Some(json!("nothing to quote")));
        }
        if let Some(offset) = error.seq {
            let seq = flow.pod_isn.unwrap_or(0).wrapping_add(offset as u32);
            quoted[24..].copy_from_slice(&seq.to_be_bytes());
        }
        let [high, low] = error.mtu.to_be_bytes();
        let message = IcmpHeader { kind: error.kind.0, code: error.kind.1, rest: [0, 0, high, low] };
        let packet = build::icmp(PacketId(0), ip_header(error.from, ICMP, 0), message, &quoted);
        self.send(frame(&packet)).map(|()| None)
    }

    fn send(&mut self, frame: Vec<u8>) -> Result<(), Refused> {
        let [_, peer] = NETNS;
        self.bench.inject(peer, DEV, frame.into())
    }
}

fn ip_header(src: IpAddr, proto: u8, tos: u8) -> IpHeader {
    let mut header = IpHeader::new(src, POD.into(), proto, 0);
    (header.ttl, header.id) = TTL_ID;
    header.df = true;
    header.tos = tos;
    header
}

fn frame(packet: &Packet) -> Vec<u8> {
    let [pod, peer] = MACS.map(|mac| mac.parse::<MacAddr>().unwrap_or_default());
    let mut bytes = EthHeader { src: peer, dst: pod, ethertype: ETHERTYPE_IPV4 }.to_bytes().to_vec();
    bytes.extend(packet.l3());
    bytes
}

/// Option bytes in the lab's order, which a stack need not share.
fn options(wanted: &PeerOptions, timestamps: Option<(u32, u32)>, from_pod: impl Fn(i64) -> u32) -> Vec<u8> {
    let mut out = Vec::new();
    if let Some(mss) = wanted.mss {
        out.extend([2, 4]);
        out.extend(mss.to_be_bytes());
    }
    if wanted.sack_permitted {
        out.extend([1, 1, 4, 2]);
    }
    if let Some((value, echo)) = timestamps {
        out.extend([1, 1, 8, 10]);
        out.extend(value.to_be_bytes());
        out.extend(echo.to_be_bytes());
    }
    if let Some(scale) = wanted.window_scale {
        out.extend([1, 3, 3, scale]);
    }
    if !wanted.sack.is_empty() {
        out.extend([1, 1, 5, 2 + 8 * wanted.sack.len() as u8]);
        for (start, end) in &wanted.sack {
            out.extend(from_pod(*start).to_be_bytes());
            out.extend(from_pod(*end).to_be_bytes());
        }
    }
    out
}

//! Bytes of the raw frames that a spec describes, wrong checksums and lying lengths included.

use std::net::{IpAddr, Ipv4Addr};

use sim_core::wire::checksum::Sum;
use sim_core::wire::eth::{ETHERTYPE_ARP, ETHERTYPE_IPV4, EthHeader};
use sim_core::wire::ip::{ICMP, TCP, UDP};

use super::decode::FLAGS;
use super::spec::{Body, Forge, Icmp, IcmpBody, Ip, L4, L4Checksum, RawFrame, Tcp, Udp};

/// What a wrong checksum differs by from the right one.
pub(super) const WRONG: u16 = 0x5555;

/// The frame's bytes.
pub fn frame(raw: &RawFrame) -> Vec<u8> {
    let (ethertype, body) = match &raw.body {
        Body::Arp(arp) => {
            let message =
                sim_core::wire::arp::Arp { op: arp.op, sha: arp.sha, spa: v4(arp.spa), tha: arp.tha, tpa: v4(arp.tpa) };
            (ETHERTYPE_ARP, message.to_bytes().to_vec())
        }
        Body::Ip(packet) => (ETHERTYPE_IPV4, ip(packet)),
    };
    let mut out = EthHeader { src: raw.eth[0], dst: raw.eth[1], ethertype }.to_bytes().to_vec();
    out.extend(body);
    out
}

/// A forged segment of the flow from `src` to `dst`, whose sender would send `next` (sequence number,
/// acknowledgment number, window).
pub fn segment(forge: &Forge, src: (IpAddr, u16), dst: (IpAddr, u16), next: (u32, u32, u16)) -> RawFrame {
    let tcp = Tcp {
        src: src.1,
        dst: dst.1,
        seq: next.0.wrapping_add(forge.seq as u32),
        ack: next.1.wrapping_add(forge.ack as u32),
        flags: forge.flags.clone(),
        win: forge.win.unwrap_or(next.2),
        checksum: L4Checksum::Ok,
    };
    let packet = Ip::new(src.0, dst.0, L4::Tcp(tcp), forge.data.clone().into_bytes());
    RawFrame { eth: forge.eth, body: Body::Ip(Box::new(packet)) }
}

fn ip(packet: &Ip) -> Vec<u8> {
    let mut data = packet.data.clone();
    if let Some(inner) = &packet.inner {
        data.extend(frame(inner));
    }
    if let Some(size) = packet.size {
        data.resize(size, b'.');
    }
    let (proto, mut l4) = match &packet.l4 {
        L4::Udp(header) => (UDP, udp(header, packet, &data)),
        L4::Tcp(header) => (TCP, tcp(header, packet, &data)),
        L4::Icmp(message) => (ICMP, icmp(message, &data)),
        L4::None(proto) => (*proto, data),
    };
    if let Some([from, to]) = packet.cut {
        let to = to.min(l4.len());
        l4 = l4[from.min(to)..to].to_vec();
    }
    let mut out = header(packet, proto, l4.len());
    out.extend(l4);
    out
}

fn header(packet: &Ip, proto: u8, payload: usize) -> Vec<u8> {
    let len = 20 + packet.options.len();
    let total = packet.len.unwrap_or((len + payload).min(usize::from(u16::MAX)) as u16);
    let flags = u16::from(packet.df) << 14 | u16::from(packet.mf) << 13 | (packet.off / 8) & 0x1fff;
    let mut b = vec![0x40 | (len / 4) as u8, packet.tos];
    b.extend(total.to_be_bytes());
    b.extend(packet.id.to_be_bytes());
    b.extend(flags.to_be_bytes());
    b.extend([packet.ttl, proto, 0, 0]);
    b.extend(v4(packet.src).octets());
    b.extend(v4(packet.dst).octets());
    b.extend(&packet.options);
    let check = Sum::default().bytes(&b).finish() ^ if packet.bad_checksum { WRONG } else { 0 };
    b[10..12].copy_from_slice(&check.to_be_bytes());
    b
}

fn udp(udp: &Udp, packet: &Ip, data: &[u8]) -> Vec<u8> {
    let len = (8 + data.len()).min(usize::from(u16::MAX)) as u16;
    let mut b = Vec::with_capacity(8 + data.len());
    b.extend(udp.src.to_be_bytes());
    b.extend(udp.dst.to_be_bytes());
    b.extend(len.to_be_bytes());
    b.extend([0, 0]);
    b.extend(data);
    let right = Sum::default().pseudo(packet.src, packet.dst, UDP, b.len()).bytes(&b).finish();
    let right = if right == 0 { 0xffff } else { right };
    let check = match udp.checksum {
        L4Checksum::Ok => right,
        L4Checksum::Bad => right ^ WRONG,
        L4Checksum::None => 0,
    };
    b[6..8].copy_from_slice(&check.to_be_bytes());
    b
}

fn tcp(tcp: &Tcp, packet: &Ip, data: &[u8]) -> Vec<u8> {
    let flags = FLAGS.iter().filter(|(_, letter)| tcp.flags.contains(*letter)).fold(0, |all, (bit, _)| all | bit);
    let mut b = Vec::with_capacity(20 + data.len());
    b.extend(tcp.src.to_be_bytes());
    b.extend(tcp.dst.to_be_bytes());
    b.extend(tcp.seq.to_be_bytes());
    b.extend(tcp.ack.to_be_bytes());
    b.extend([0x50, flags]);
    b.extend(tcp.win.to_be_bytes());
    b.extend([0; 4]);
    b.extend(data);
    let right = Sum::default().pseudo(packet.src, packet.dst, TCP, b.len()).bytes(&b).finish();
    b[16..18].copy_from_slice(&spoiled(right, tcp.checksum).to_be_bytes());
    b
}

fn icmp(icmp: &Icmp, data: &[u8]) -> Vec<u8> {
    let mut b = vec![icmp.kind, icmp.code, 0, 0];
    match &icmp.body {
        IcmpBody::Echo { id, seq } => {
            b.extend(id.to_be_bytes());
            b.extend(seq.to_be_bytes());
            b.extend(data);
        }
        IcmpBody::Quote { packet, len, mtu } => {
            b.extend([0, 0]);
            b.extend(mtu.to_be_bytes());
            let quoted = ip(packet);
            b.extend(&quoted[..quoted.len().min(*len)]);
        }
    }
    let right = Sum::default().bytes(&b).finish();
    b[2..4].copy_from_slice(&spoiled(right, icmp.checksum).to_be_bytes());
    b
}

fn spoiled(right: u16, how: L4Checksum) -> u16 {
    if how == L4Checksum::Bad { right ^ WRONG } else { right }
}

/// Specs hold IPv4 addresses only: the reader refuses others.
fn v4(addr: IpAddr) -> Ipv4Addr {
    match addr {
        IpAddr::V4(addr) => addr,
        IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
    }
}

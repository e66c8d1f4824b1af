//! Bytes of the raw frames that a spec describes, wrong checksums and lying lengths included.

use std::net::{IpAddr, Ipv4Addr};

use sim_core::wire::eth::{ETHERTYPE_ARP, EthHeader};
use sim_core::wire::ext::{self, FRAGMENT};
use sim_core::wire::ip::{Family, TCP, UDP};
use sim_core::wire::{self, checksum::Sum};

use super::decode::FLAGS;
use super::spec::{Body, Chain, Ext, Forge, Header, Icmp, Ip, L4, L4Checksum, RawFrame, Single, Tcp, Udp};

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
        Body::Ip(packet) => (Family::of(packet.dst).ethertype(), ip(packet)),
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

/// The packet's bytes.
pub(super) fn ip(packet: &Ip) -> Vec<u8> {
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
        L4::Icmp(message) => (Family::of(packet.dst).icmp(), icmp(message, packet, &data)),
        L4::None(proto) => (*proto, data),
    };
    if let Some([from, to]) = packet.cut {
        let to = to.min(l4.len());
        l4 = l4[from.min(to)..to].to_vec();
    }
    let mut out = match &packet.header {
        Header::V4(header) => single(packet, header, proto, l4.len()),
        Header::V6(header) => chain(packet, header, proto, l4.len()),
    };
    out.extend(l4);
    out
}

fn single(packet: &Ip, header: &Single, proto: u8, payload: usize) -> Vec<u8> {
    let len = 20 + header.options.len();
    let total = packet.len.unwrap_or((len + payload).min(usize::from(u16::MAX)) as u16);
    let flags = u16::from(header.df) << 14 | u16::from(header.mf) << 13 | (header.off / 8) & 0x1fff;
    let mut b = vec![0x40 | (len / 4) as u8, packet.tos];
    b.extend(total.to_be_bytes());
    b.extend(header.id.to_be_bytes());
    b.extend(flags.to_be_bytes());
    b.extend([packet.ttl, proto, 0, 0]);
    b.extend(v4(packet.src).octets());
    b.extend(v4(packet.dst).octets());
    b.extend(&header.options);
    let check = Sum::default().bytes(&b).finish() ^ if header.bad_checksum { WRONG } else { 0 };
    b[10..12].copy_from_slice(&check.to_be_bytes());
    b
}

/// The IPv6 header and its extension headers.
fn chain(packet: &Ip, header: &Chain, proto: u8, payload: usize) -> Vec<u8> {
    let (mut chain, mut next) = (Vec::new(), proto);
    for extension in header.ext.iter().rev() {
        let (kind, mut bytes) = match extension {
            Ext::Any { kind, body } => (*kind, [&[next, ((body.len() + 2) / 8 - 1) as u8], &body[..]].concat()),
            Ext::Fragment(fragment) => (FRAGMENT, ext::fragment_bytes(next, *fragment).to_vec()),
        };
        bytes.extend(chain);
        (chain, next) = (bytes, kind);
    }
    let total = packet.len.map_or(ext::IPV6_LEN + chain.len() + payload, usize::from);
    let mut b = (6 << 28 | u32::from(packet.tos) << 20 | header.flow & 0xf_ffff).to_be_bytes().to_vec();
    b.extend((total.saturating_sub(ext::IPV6_LEN).min(usize::from(u16::MAX)) as u16).to_be_bytes());
    b.extend([next, packet.ttl]);
    for addr in [packet.src, packet.dst] {
        if let IpAddr::V6(addr) = addr {
            b.extend(addr.octets());
        }
    }
    b.extend(chain);
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

fn icmp(icmp: &Icmp, packet: &Ip, data: &[u8]) -> Vec<u8> {
    let mut b = vec![icmp.kind, icmp.code, 0, 0];
    b.extend(icmp.rest);
    match &icmp.quote {
        None => b.extend(data),
        Some((quoted, len)) => b.extend(ip(quoted).iter().take(*len)),
    }
    let right = wire::icmp::checksum(packet.src, packet.dst, &b);
    b[2..4].copy_from_slice(&spoiled(right, icmp.checksum).to_be_bytes());
    b
}

fn spoiled(right: u16, how: L4Checksum) -> u16 {
    if how == L4Checksum::Bad { right ^ WRONG } else { right }
}

/// ARP and IPv4 hold IPv4 addresses only: the reader refuses others.
fn v4(addr: IpAddr) -> Ipv4Addr {
    match addr {
        IpAddr::V4(addr) => addr,
        IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
    }
}

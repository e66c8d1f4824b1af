//! VXLAN: encapsulation on transmit, decapsulation on delivery (drivers/net/vxlan/vxlan_core.c).

use xxhash_rust::xxh3::xxh3_64;

use super::{Ctx, Next, Stage, Target, output};
use crate::capture::Decision;
use crate::dev::Dev;
use crate::dev::vxlan::Vxlan;
use crate::engine::arena::DevId;
use crate::engine::mutant::{Mutant, Planted};
use crate::engine::trail::DropReason;
use crate::netns::Netns;
use crate::netns::fib::FibKey;
use crate::wire::eth::{ETH_LEN, EthHeader, MacAddr};
use crate::wire::ip::{Family, IpHeader, UDP, octets};
use crate::wire::packet::Packet;
use crate::wire::{build, edit, l4, vxlan};

/// A tunnel inside so many devices and tunnels is taken to be inside itself (`iptunnel_xmit`; the fourth refuses, as
/// measured on Linux 6.18).
const DEEPEST: u8 = 5;

/// The frame gets its outer headers and leaves as a packet of this host (`vxlan_xmit_one`).
pub(super) fn encapsulate(ns: &mut Netns, ctx: &mut Ctx<'_>, dev: DevId, packet: Packet) -> Next {
    let Some(v) = ns.devs.get(dev).and_then(|d| d.vxlan()) else { return Next::Drop(DropReason::DevDown, packet) };
    let dst_mac = EthHeader::read(packet.data()).map_or(MacAddr::ZERO, |e| e.dst);
    let Some(remote) = v.remote(dst_mac) else { return Next::Drop(DropReason::VxlanNoRemote, packet) };
    let (vni, port, local) = (v.vni, v.port, v.local);
    let key = FibKey { src: local, mark: packet.mark, ..FibKey::to(remote) };
    let Ok((dst, src)) = output::route_output(ns, key) else { return Next::Drop(DropReason::IpOutNoRoutes, packet) };
    if dst.dev == dev {
        return Next::Drop(DropReason::TunnelDepth, packet);
    }
    if packet.nested > DEEPEST {
        return Next::Drop(DropReason::TunnelDepth, packet);
    }
    let chosen = packet.flow_hash;
    let hash = if chosen != 0 { chosen } else { flow_hash(&packet) };
    let src_port = source_port(ns.sysctl.local_port_range, hash);
    let mut inner = packet;
    // What has no ports is told apart anew by the next tunnel (`skb_clear_hash_if_not_l4`).
    inner.flow_hash = if ports(&inner).is_some() { hash } else { chosen };
    inner.scrub(false);
    // POSTROUTING of the outer packet sees the VXLAN device as the incoming one.
    inner.iif = Some(dev);
    inner.nested += 1;
    let mut header = IpHeader::new(src, remote, UDP, inner.len() + vxlan::VXLAN_LEN + 8);
    header.ttl = ns.default_ttl(Family::of(remote), dst.dev);
    header.tos = outer_tos(ns.planted, inner.ip().map_or(0, |ip| ip.tos));
    let mut outer = outer_packet(inner, &header, (src_port, port), vni);
    // What is quoted before a device has summed it up shows it (net/ipv4/udp.c, `udp_set_csum`).
    outer.csum_partial = true;
    edit::set_id(outer.l3_mut(), ns.ip_ids.draw());
    ctx.decided(outer.id, || Some(Decision::Encapsulated { vni, remote }));
    ctx.out.stamp();
    Next::Go(Stage::LocalOut(dst, outer))
}

/// Of the inner type of service only ECN, and that never as "congestion experienced" (net/ipv4/ip_tunnel_core.c,
/// `INET_ECN_encapsulate`).
fn outer_tos(planted: Planted, inner_tos: u8) -> u8 {
    match inner_tos & 3 {
        _ if planted.is(Mutant::TunnelTosCopied) => inner_tos,
        3 => 2,
        ecn => ecn,
    }
}

/// UDP, IP and VXLAN headers around the frame: no flow label, DF clear, checksum present.
fn outer_packet(mut packet: Packet, header: &IpHeader, ports: (u16, u16), vni: u32) -> Packet {
    packet.push_l3(&vxlan::header(vni));
    let udp = build::udp_segment(header, ports.0, ports.1, packet.data());
    packet.push_l3(&udp[..8]);
    let ip = header.to_bytes(packet.len());
    packet.push_l3(&ip);
    packet
}

/// The outer source port: a hash of the inner flow within the local port range (include/net/udp.h, `udp_flow_src_port`).
fn source_port((low, high): (u16, u16), hash: u32) -> u16 {
    let span = u64::from(high - low);
    (u64::from(low) + ((u64::from(hash ^ (hash << 16)) * span) >> 32)) as u16
}

/// A hash of addresses, protocol and ports, the same for both directions (net/core/flow_dissector.c, `__skb_get_hash`).
pub(crate) fn flow_hash(packet: &Packet) -> u32 {
    let Some(ip) = packet.ip() else { return 1 };
    let (sp, dp) = ports(packet).unwrap_or((0, 0));
    let (a, b) = ((octets(ip.src), sp), (octets(ip.dst), dp));
    let (low, high) = if a <= b { (a, b) } else { (b, a) };
    let mut key = [0u8; 37];
    key[..16].copy_from_slice(&low.0);
    key[16..32].copy_from_slice(&high.0);
    key[32..34].copy_from_slice(&low.1.to_be_bytes());
    key[34..36].copy_from_slice(&high.1.to_be_bytes());
    key[36] = ip.proto;
    (xxh3_64(&key) as u32).max(1)
}

/// The ports of a packet that is no fragment.
fn ports(packet: &Packet) -> Option<(u16, u16)> {
    let ip = packet.ip().filter(|ip| !ip.is_fragment())?;
    l4::ports(ip.proto, packet.l3().get(usize::from(ip.header_len)..)?)
}

/// The VXLAN devices that listen on a UDP port of that family.
fn listening(ns: &Netns, family: Family, port: u16) -> impl Iterator<Item = (&Dev, &Vxlan)> {
    let up = ns.devs.iter().filter(|dev| dev.up);
    let vteps = up.filter_map(|dev| Some((dev, dev.vxlan()?)));
    vteps.filter(move |(_, vxlan)| vxlan.port == port && vxlan.family() == family)
}

/// Whether a VXLAN device listens on a UDP port of that family.
pub(super) fn listens(ns: &Netns, family: Family, port: u16) -> bool {
    listening(ns, family, port).next().is_some()
}

/// A UDP datagram for a VTEP (`vxlan_rcv`): the inner frame is received by the VXLAN device, by an event as
/// the kernel's GRO cells do it. `packet` begins with the outer IP header of `header_len` bytes.
pub(super) fn decapsulate(ns: &mut Netns, ctx: &mut Ctx<'_>, header_len: usize, mut packet: Packet) -> Next {
    let l4 = packet.l3().get(header_len..).unwrap_or(&[]);
    let (Some(port), Some(tunneled)) = (l4.get(2..4).map(|p| u16::from_be_bytes([p[0], p[1]])), l4.get(8..)) else {
        return Next::Drop(DropReason::HdrTrunc, packet);
    };
    let Some(vni) = vxlan::vni(tunneled) else { return Next::Drop(DropReason::VxlanInvalidHdr, packet) };
    let Some(family) = packet.ip().map(|ip| ip.family()) else { return Next::Drop(DropReason::IpInHdr, packet) };
    let found = listening(ns, family, port).find(|(_, vxlan)| vxlan.vni == vni);
    let Some((dev, _)) = found else { return Next::Drop(DropReason::VxlanInvalidHdr, packet) };
    let inner = tunneled.get(vxlan::VXLAN_LEN..).unwrap_or(&[]);
    let Some(eth) = EthHeader::read(inner) else { return Next::Drop(DropReason::HdrTrunc, packet) };
    if eth.src == dev.mac {
        return Next::Drop(DropReason::VxlanInvalidSmac, packet);
    }
    let outer_tos = packet.ip().map_or(0, |ip| ip.tos);
    // Only now: a packet that is dropped above is shown with its outer headers.
    packet.pull(header_len + 8 + vxlan::VXLAN_LEN);
    let id = dev.id;
    packet.scrub(false);
    packet.set_l2();
    if decapsulate_ecn(outer_tos, &mut packet).is_err() {
        return Next::Drop(DropReason::VxlanInvalidHdr, packet);
    }
    ctx.out.frames.push((Target::Dev(ns.id, id), packet));
    Next::Transmitted
}

/// RFC 6040 section 4.2: congestion seen on the way is passed on; a packet that cannot say so is dropped.
fn decapsulate_ecn(outer_tos: u8, packet: &mut Packet) -> Result<(), ()> {
    const ECT_1: u8 = 1;
    const ECT_0: u8 = 2;
    const CE: u8 = 3;
    if packet.data().len() < ETH_LEN + 20 {
        return Ok(());
    }
    let Some(ip) = packet.ip() else { return Ok(()) };
    let inner = match (outer_tos & 3, ip.tos & 3) {
        (CE, 0) => return Err(()),
        (CE, _) => CE,
        (ECT_1, ECT_0) => ECT_1,
        _ => return Ok(()),
    };
    edit::set_tos(packet.l3_mut(), ip.tos & !CE | inner);
    Ok(())
}

//! The headers of a frame, and of the frame inside if it is a VXLAN packet.

use super::End;
use crate::wire::arp::Arp;
use crate::wire::eth::{ETH_LEN, ETHERTYPE_ARP, EthHeader};
use crate::wire::ip::{IpHeader, UDP};
use crate::wire::{l4, vxlan};

/// UDP ports of VXLAN: Linux's own default (drivers/net/vxlan/vxlan_core.c), and IANA's (RFC 7348 section 8).
const VXLAN_PORTS: [u16; 2] = [8472, 4789];

/// The headers of one frame.
#[derive(Clone, Copy, Debug)]
pub struct Layer {
    /// The Ethernet header.
    pub eth: EthHeader,
    /// IP protocol.
    pub proto: Option<u8>,
    /// Source and destination, of ARP sender and target.
    pub ends: Option<[End; 2]>,
    /// The VXLAN network of the frame inside.
    pub vni: Option<u32>,
}

impl Layer {
    /// Whether its protocol is `proto`, if that matters.
    pub fn is(&self, proto: Option<u8>) -> bool {
        proto.is_none_or(|proto| self.proto == Some(proto))
    }
}

/// The layers of a frame from the outermost; a frame inside a frame inside a frame is not looked at.
pub fn layers(frame: &[u8]) -> Vec<Layer> {
    let Some((outer, inside)) = layer(frame) else { return Vec::new() };
    let inner = inside.and_then(layer).map(|(inner, _)| inner);
    std::iter::once(outer).chain(inner).collect()
}

/// The headers at the start of a frame, and the frame inside.
fn layer(frame: &[u8]) -> Option<(Layer, Option<&[u8]>)> {
    let eth = EthHeader::read(frame)?;
    let l3 = &frame[ETH_LEN..];
    let plain = Layer { eth, proto: None, ends: None, vni: None };
    if eth.ethertype == ETHERTYPE_ARP {
        let end = |ip: std::net::Ipv4Addr| End { ip: ip.into(), port: None };
        let ends = Arp::read(l3).map(|arp| [end(arp.spa), end(arp.tpa)]);
        return Some((Layer { ends, ..plain }, None));
    }
    let Some(ip) = IpHeader::read(l3) else { return Some((plain, None)) };
    let l4 = l3.get(usize::from(ip.header_len)..).unwrap_or(&[]);
    let ports = l4::ports(ip.proto, l4).filter(|_| ip.frag_offset == 0);
    let ends = [End { ip: ip.src, port: ports.map(|p| p.0) }, End { ip: ip.dst, port: ports.map(|p| p.1) }];
    let tunnel = ip.proto == UDP && ports.is_some_and(|(_, dst)| VXLAN_PORTS.contains(&dst));
    let header = l4.get(8..).filter(|_| tunnel);
    let vni = header.and_then(vxlan::vni);
    let inside = header.filter(|_| vni.is_some()).and_then(|header| header.get(vxlan::VXLAN_LEN..));
    Some((Layer { proto: Some(ip.proto), ends: Some(ends), vni, ..plain }, inside))
}

//! A packet: one buffer with headroom and what travels with it (the kernel's `struct sk_buff`).
//!
//! The buffer is a `BytesMut`; since that cannot grow at its front, the start of the data is an
//! offset of ours. Pushing a header moves the offset down, pulling one moves it up; no byte is
//! copied. Whatever is added here must be cheap to move.

use std::ops::{Deref, DerefMut};

use bytes::{Bytes, BytesMut};

use super::eth::{ETH_LEN, ETHERTYPE_IPV4, EthHeader, MacAddr};
use super::ip::{Family, IpHeader};
use crate::engine::arena::{CtId, DevId};

/// Room before the first header of a packet that is built here: one VXLAN encapsulation
/// (Ethernet 14 + VXLAN 8 + UDP 8 + IPv6 40) and the packet's own Ethernet header fit.
pub const HEADROOM: usize = 96;

/// Follows one packet through NAT, forwarding and encapsulation; a reply is another packet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct PacketId(pub u64);

/// To whom a received frame was addressed (include/uapi/linux/if_packet.h, `PACKET_*`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum PacketType {
    /// To the receiving device.
    #[default]
    Host,
    /// To everyone.
    Broadcast,
    /// To a group.
    Multicast,
    /// To somebody else.
    OtherHost,
    /// Sent by this host.
    Outgoing,
    /// Sent by this host to a group it is in, and received by it: there is no frame.
    Loopback,
}

/// How a packet relates to its conntrack entry (include/uapi/linux/netfilter/nf_conntrack_common.h,
/// `enum ip_conntrack_info`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum CtInfo {
    /// Part of an established connection, original direction.
    Established,
    /// Started by an existing connection or an ICMP error about it, original direction.
    Related,
    /// Starts a new connection.
    New,
    /// Part of an established connection, reply direction.
    EstablishedReply,
    /// As [`Self::Related`], reply direction.
    RelatedReply,
}

impl CtInfo {
    /// Whether the packet travels in the entry's reply direction (`CTINFO2DIR`).
    pub const fn is_reply(self) -> bool {
        matches!(self, Self::EstablishedReply | Self::RelatedReply)
    }
}

/// What conntrack said about a packet (`skb->_nfct`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum CtRef {
    /// Conntrack has not seen it, or could make nothing of it (INVALID).
    #[default]
    None,
    /// Exempted by the raw table (`-j CT --notrack`).
    Untracked,
    /// It belongs to this entry, which may still be tentative.
    Entry(CtId, CtInfo),
}

/// The bridge ports of a bridged packet that br_netfilter shows to IP hooks (`struct nf_bridge_info`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BridgePorts {
    /// The port it came in by (`physindev`).
    pub physin: Option<DevId>,
    /// The port it leaves by (`physoutdev`).
    pub physout: Option<DevId>,
    /// The frame was addressed to another host, which IP hooks must not see (`pkt_otherhost`).
    pub other_host: bool,
    /// Set while a packet whose destination NAT changed to a neighbour on the same bridge waits for that
    /// neighbour's address: its own source address, to be put back (`bridged_dnat`, `neigh_header`).
    pub bridged_dnat: Option<MacAddr>,
}

/// One packet: a pointer, because it moves by value from stage to stage.
#[derive(Clone, Debug)]
pub struct Packet(Box<Content>);

impl Deref for Packet {
    type Target = Content;
    fn deref(&self) -> &Content {
        &self.0
    }
}

impl DerefMut for Packet {
    fn deref_mut(&mut self) -> &mut Content {
        &mut self.0
    }
}

/// What a packet is and what travels with it (`struct sk_buff`).
#[derive(Clone, Debug)]
pub struct Content {
    buf: BytesMut,
    start: usize,
    l3: usize,
    /// Identity for trails and captures.
    pub id: PacketId,
    /// The packet mark (`skb->mark`).
    pub mark: u32,
    /// What conntrack said.
    pub ct: CtRef,
    /// The device it was received on, as IP sees it (`skb->dev` on input).
    pub iif: Option<DevId>,
    /// To whom the frame was addressed.
    pub pkt_type: PacketType,
    /// Set while br_netfilter carries the packet through IP hooks, and kept until it leaves the bridge.
    pub bridge: Option<BridgePorts>,
    /// The flow hash that a sending socket or an earlier tunnel chose (`skb->hash`); 0 is none.
    pub flow_hash: u32,
    /// Order stamp of the capture tap (`skb->tstamp`); 0 is none. See `walk`.
    pub stamp: u64,
    /// Its stamp says when it may leave, not when it was received: a TCP segment on its way (`skb->tstamp_type`).
    pub timed: bool,
    /// Whether it came over `lo` with the route its sender chose, so that it is not routed again
    /// (`skb_dst_force`, drivers/net/loopback.c).
    pub looped: bool,
    /// Whether the raw table asked for a trace of its rules (`skb->nf_trace`).
    pub trace: bool,
    /// The kernel would not have computed its L4 checksum yet (`ip_summed == CHECKSUM_PARTIAL`). Here it is always
    /// right; who shows such a packet shows what the kernel would have there ([`super::edit::leave_checksum_partial`]).
    pub csum_partial: bool,
    /// What the changeable fields of its IPv6 header summed up to when conntrack summed up the whole packet
    /// ([`changeable_sum`](super::ext::changeable_sum); `CHECKSUM_COMPLETE`, `skb->csum`); `None` if it did not.
    pub summed: Option<u16>,
    /// The largest fragment this packet was reassembled from (`IPCB(skb)->frag_max_size`); 0 if it was not.
    pub frag_max: u32,
    /// The payloads of the fragments it was reassembled from, which it is cut into again (the list of fragments in
    /// net/ipv4/ip_output.c, `ip_do_fragment`; net/ipv6/ip6_output.c, `ip6_fragment`); empty if it was not.
    pub pieces: Vec<u16>,
    /// This host may cut it although routers must not (`skb->ignore_df`).
    pub ignore_df: bool,
    /// By how many devices and tunnels it is being sent inside each other (`softnet_data.xmit.recursion`).
    pub nested: u8,
    /// Whose ICMP socket sends it, or what is in it, right now: that one can say nothing meanwhile (`icmp_xmit_lock`,
    /// `icmpv6_xmit_lock`).
    pub said_by: Option<Family>,
}

impl Packet {
    /// A packet whose data is `data`, with the default headroom before it.
    pub fn new(id: PacketId, data: &[u8]) -> Self {
        let mut buf = BytesMut::with_capacity(HEADROOM + data.len());
        buf.resize(HEADROOM, 0);
        buf.extend_from_slice(data);
        Self(Box::new(Content {
            buf,
            start: HEADROOM,
            l3: HEADROOM,
            id,
            mark: 0,
            ct: CtRef::None,
            iif: None,
            pkt_type: PacketType::Host,
            bridge: None,
            flow_hash: 0,
            stamp: 0,
            timed: false,
            looped: false,
            trace: false,
            csum_partial: false,
            summed: None,
            frag_max: 0,
            pieces: Vec::new(),
            ignore_df: false,
            nested: 0,
            said_by: None,
        }))
    }
}

impl Content {
    /// All data, from the outermost header present.
    pub fn data(&self) -> &[u8] {
        &self.buf[self.start..]
    }

    /// All data, to edit.
    pub fn data_mut(&mut self) -> &mut [u8] {
        &mut self.buf[self.start..]
    }

    /// Bytes of data.
    pub fn len(&self) -> usize {
        self.buf.len() - self.start
    }

    /// Whether there is no data at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// From the network header on (the packet without its L2 header).
    pub fn l3(&self) -> &[u8] {
        &self.buf[self.l3..]
    }

    /// From the network header on, to edit.
    pub fn l3_mut(&mut self) -> &mut [u8] {
        &mut self.buf[self.l3..]
    }

    /// Whether an L2 header stands before the network header.
    pub fn has_l2(&self) -> bool {
        self.l3 > self.start
    }

    /// The Ethernet header the packet came with, be it pulled (`eth_hdr(skb)`): the bytes before the network header.
    /// Meaningful only until another header is pushed.
    pub fn last_eth(&self) -> Option<EthHeader> {
        if self.pkt_type == PacketType::Loopback {
            return None;
        }
        EthHeader::read(self.buf.get(self.l3.checked_sub(ETH_LEN)?..)?)
    }

    /// Declares that the data begins with an Ethernet header and the network header follows it.
    /// A frame shorter than that keeps an empty network part.
    pub fn set_l2(&mut self) {
        self.l3 = (self.start + ETH_LEN).min(self.buf.len());
    }

    /// Drops the L2 header: the data begins with the network header.
    pub fn pull_l2(&mut self) {
        self.start = self.l3;
    }

    /// Drops `n` bytes at the front; the data then begins with what followed, taken as network header.
    pub fn pull(&mut self, n: usize) {
        self.start = (self.start + n).min(self.buf.len());
        self.l3 = self.start;
    }

    /// Puts `header` before the data and keeps the network header where it is (an L2 header).
    pub fn push_l2(&mut self, header: &[u8]) {
        self.make_room(header.len());
        self.start -= header.len();
        let at = self.start;
        self.buf[at..at + header.len()].copy_from_slice(header);
    }

    /// Puts `header` before the data as the new network header (an outer header).
    pub fn push_l3(&mut self, header: &[u8]) {
        self.push_l2(header);
        self.l3 = self.start;
    }

    /// Cuts the network part to `len` bytes (Ethernet padding after an IP packet).
    pub fn trim_l3(&mut self, len: usize) {
        self.buf.truncate((self.l3 + len).max(self.l3).min(self.buf.len()));
    }

    /// Replaces everything from the network header on.
    pub fn replace_l3(&mut self, bytes: &[u8]) {
        self.buf.truncate(self.l3);
        self.buf.extend_from_slice(bytes);
    }

    /// The IP header, or `None` if there is no whole one.
    pub fn ip(&self) -> Option<IpHeader> {
        IpHeader::read(self.l3())
    }

    /// A copy as a frame: with the Ethernet header it has, else with the one it came with, else (it was made here, and no
    /// device has been reached) with one of zero addresses.
    pub fn to_frame(&self) -> Bytes {
        if self.has_l2() {
            return Bytes::copy_from_slice(self.data());
        }
        let ethertype = self.ip().map_or(ETHERTYPE_IPV4, |ip| ip.family().ethertype());
        let none = EthHeader { dst: MacAddr::ZERO, src: MacAddr::ZERO, ethertype };
        let eth = self.last_eth().filter(|eth| eth.ethertype == ethertype).unwrap_or(none);
        let mut frame = BytesMut::with_capacity(ETH_LEN + self.len());
        frame.extend_from_slice(&eth.to_bytes());
        frame.extend_from_slice(self.data());
        frame.freeze()
    }

    /// Forgets what the stack knew before the packet enters a tunnel or another netns
    /// (`skb_scrub_packet`, net/core/skbuff.c): the mark and the stamp survive within a netns.
    pub fn scrub(&mut self, leaves_netns: bool) {
        self.ct = CtRef::None;
        self.iif = None;
        self.bridge = None;
        self.looped = false;
        self.trace = false;
        self.summed = None;
        self.frag_max = 0;
        self.pieces.clear();
        self.ignore_df = false;
        self.pkt_type = PacketType::Host;
        if leaves_netns {
            self.mark = 0;
            self.stamp = 0;
            self.nested = 0;
            self.said_by = None;
        }
    }

    /// Moves the data back if less than `n` bytes of headroom are left; happens only beyond one encapsulation.
    fn make_room(&mut self, n: usize) {
        if self.start >= n {
            return;
        }
        let shift = HEADROOM + n;
        let mut buf = BytesMut::with_capacity(self.buf.len() + shift);
        buf.resize(shift, 0);
        buf.extend_from_slice(&self.buf);
        self.buf = buf;
        self.start += shift;
        self.l3 += shift;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_pushed_and_pulled_without_moving_the_payload() {
        let mut p = Packet::new(PacketId(1), b"payload");
        p.push_l3(b"IP");
        p.push_l2(b"ETH");
        assert_eq!(p.data(), b"ETHIPpayload");
        assert_eq!(p.l3(), b"IPpayload");
        p.pull_l2();
        assert_eq!(p.data(), b"IPpayload");
        p.pull(2);
        assert_eq!(p.l3(), b"payload");
    }

    #[test]
    fn a_packet_without_headroom_left_grows_at_its_front() {
        let mut p = Packet::new(PacketId(1), b"x");
        for _ in 0..10 {
            p.push_l3(&[7; 50]);
        }
        assert_eq!(p.len(), 501);
        assert_eq!(p.data()[500], b'x');
    }

    #[test]
    fn trimming_never_grows_and_pulling_stops_at_the_end() {
        let mut p = Packet::new(PacketId(1), b"abc");
        p.trim_l3(9);
        assert_eq!(p.data(), b"abc");
        p.trim_l3(2);
        assert_eq!(p.data(), b"ab");
        p.pull(50);
        assert!(p.is_empty());
    }
}

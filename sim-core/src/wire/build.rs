//! Whole packets from their parts.

use super::checksum::Sum;
use super::icmp::IcmpHeader;
use super::ip::{IpHeader, TCP, UDP};
use super::l4::TcpHeader;
use super::packet::{Packet, PacketId};

/// An IP packet with `payload` as it stands; length fields are set from it.
pub fn ip(id: PacketId, header: IpHeader, payload: &[u8]) -> Packet {
    let mut packet = Packet::new(id, payload);
    packet.push_l3(&header.to_bytes(payload.len()));
    packet
}

/// An ICMP message of the header's family, its checksum set.
pub fn icmp(id: PacketId, header: IpHeader, message: IcmpHeader, body: &[u8]) -> Packet {
    ip(id, header, &message.to_bytes((header.src, header.dst), body))
}

/// A UDP datagram; its checksum is computed, zero becoming 0xffff (RFC 768).
pub fn udp(id: PacketId, header: IpHeader, src_port: u16, dst_port: u16, data: &[u8]) -> Packet {
    ip(id, header, &udp_segment(&header, src_port, dst_port, data))
}

/// The UDP header and data of a datagram, checksum set.
pub fn udp_segment(header: &IpHeader, src_port: u16, dst_port: u16, data: &[u8]) -> Vec<u8> {
    let mut l4 = Vec::with_capacity(8 + data.len());
    l4.extend(src_port.to_be_bytes());
    l4.extend(dst_port.to_be_bytes());
    l4.extend(((8 + data.len()) as u16).to_be_bytes());
    l4.extend([0, 0]);
    l4.extend(data);
    let check = Sum::default().pseudo(header.src, header.dst, UDP, l4.len()).bytes(&l4).finish();
    l4[6..8].copy_from_slice(&(if check == 0 { 0xffff } else { check }).to_be_bytes());
    l4
}

/// A TCP segment in its packet; see [`tcp_segment`].
pub fn tcp(id: PacketId, header: IpHeader, tcp: TcpHeader, options: &[u8], data: &[u8]) -> Packet {
    ip(id, header, &tcp_segment(&header, tcp, options, data))
}

/// A TCP segment with `options` (padded to four bytes with zeros) and `data`, checksum set.
pub fn tcp_segment(header: &IpHeader, tcp: TcpHeader, options: &[u8], data: &[u8]) -> Vec<u8> {
    let header_len = 20 + options.len().div_ceil(4) * 4;
    let mut l4 = Vec::with_capacity(header_len + data.len());
    l4.extend(tcp.src.to_be_bytes());
    l4.extend(tcp.dst.to_be_bytes());
    l4.extend(tcp.seq.to_be_bytes());
    l4.extend(tcp.ack.to_be_bytes());
    l4.extend([((header_len / 4) << 4) as u8, tcp.flags]);
    l4.extend(tcp.window.to_be_bytes());
    l4.extend([0; 4]);
    l4.extend(options);
    l4.resize(header_len, 0);
    l4.extend(data);
    let check = Sum::default().pseudo(header.src, header.dst, TCP, l4.len()).bytes(&l4).finish();
    l4[16..18].copy_from_slice(&check.to_be_bytes());
    l4
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::l4::{self, SYN};

    #[test]
    fn built_packets_have_right_checksums() {
        let h = |proto| IpHeader::new("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap(), proto, 0);
        let u = udp(PacketId(1), h(UDP), 40000, 53, b"hello");
        assert_eq!(u.ip().unwrap().total_len, 33);
        assert!(l4::checksum_ok(h(UDP).src, h(UDP).dst, UDP, &u.l3()[20..]));
        let t = tcp(
            PacketId(2),
            h(TCP),
            TcpHeader { src: 1, dst: 2, flags: SYN, ..Default::default() },
            &[2, 4, 5, 130, 1, 1],
            b"x",
        );
        assert!(l4::checksum_ok(h(TCP).src, h(TCP).dst, TCP, &t.l3()[20..]));
        assert_eq!(TcpHeader::read(&t.l3()[20..]).unwrap().header_len, 28);
    }
}

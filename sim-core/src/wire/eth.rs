//! Ethernet II framing (IEEE 802.3).

use std::fmt;

/// Length of an Ethernet header in bytes.
pub const ETH_LEN: usize = 14;
/// EtherType of IPv4.
pub const ETHERTYPE_IPV4: u16 = 0x0800;
/// EtherType of ARP.
pub const ETHERTYPE_ARP: u16 = 0x0806;
/// EtherType of IPv6.
pub const ETHERTYPE_IPV6: u16 = 0x86dd;

/// A 48-bit hardware address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// `ff:ff:ff:ff:ff:ff`
    pub const BROADCAST: Self = Self([0xff; 6]);
    /// `00:00:00:00:00:00`, the address of `lo`.
    pub const ZERO: Self = Self([0; 6]);

    /// Whether the group bit is set (broadcast included).
    pub const fn is_multicast(self) -> bool {
        self.0[0] & 1 != 0
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for MacAddr {
    type Err = BadMac;

    fn from_str(s: &str) -> Result<Self, BadMac> {
        let mut out = [0u8; 6];
        let mut parts = s.split(':');
        for byte in &mut out {
            let part = parts.next().ok_or(BadMac)?;
            if part.len() != 2 {
                return Err(BadMac);
            }
            *byte = u8::from_str_radix(part, 16).map_err(|_| BadMac)?;
        }
        if parts.next().is_some() { Err(BadMac) } else { Ok(Self(out)) }
    }
}

/// The text is not six hex bytes joined by colons.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not a hardware address (six hex bytes joined by ':')")]
pub struct BadMac;

/// An Ethernet header by value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EthHeader {
    /// Destination address.
    pub dst: MacAddr,
    /// Source address.
    pub src: MacAddr,
    /// EtherType.
    pub ethertype: u16,
}

impl EthHeader {
    /// Reads the header at the start of `frame`; `None` if it is shorter than [`ETH_LEN`].
    pub fn read(frame: &[u8]) -> Option<Self> {
        let head = etherparse::Ethernet2HeaderSlice::from_slice(frame).ok()?;
        Some(Self { dst: MacAddr(head.destination()), src: MacAddr(head.source()), ethertype: head.ether_type().0 })
    }

    /// The fourteen bytes of the header.
    pub fn to_bytes(self) -> [u8; ETH_LEN] {
        let mut out = [0; ETH_LEN];
        out[..6].copy_from_slice(&self.dst.0);
        out[6..12].copy_from_slice(&self.src.0);
        out[12..].copy_from_slice(&self.ethertype.to_be_bytes());
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_reads_back_as_written() {
        let h = EthHeader { dst: MacAddr::BROADCAST, src: MacAddr([2, 0, 0, 0, 0, 1]), ethertype: ETHERTYPE_ARP };
        assert_eq!(EthHeader::read(&h.to_bytes()), Some(h));
        assert_eq!(EthHeader::read(&h.to_bytes()[..13]), None);
    }

    #[test]
    fn a_mac_is_read_as_it_is_printed() {
        let m = MacAddr([0x0a, 0x58, 10, 244, 1, 2]);
        assert_eq!(m.to_string().parse(), Ok(m));
        for bad in ["", "0a:58", "0a:58:0a:f4:01:02:03", "0a58:0a:f4:01:02", "zz:58:0a:f4:01:02", "+1:00:00:00:00:000"]
        {
            assert!(bad.parse::<MacAddr>().is_err(), "{bad}");
        }
    }
}

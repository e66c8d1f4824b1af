//! ARP for IPv4 over Ethernet (RFC 826): 28 bytes.

use std::net::Ipv4Addr;

use super::eth::MacAddr;

/// Operation: who has the target address?
pub const REQUEST: u16 = 1;
/// Operation: the sender has it.
pub const REPLY: u16 = 2;

/// An ARP message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arp {
    /// [`REQUEST`] or [`REPLY`].
    pub op: u16,
    /// Sender hardware address.
    pub sha: MacAddr,
    /// Sender protocol address.
    pub spa: Ipv4Addr,
    /// Target hardware address; zero in a request.
    pub tha: MacAddr,
    /// Target protocol address.
    pub tpa: Ipv4Addr,
}

impl Arp {
    /// Reads a message; `None` if it is cut or not Ethernet and IPv4.
    pub fn read(b: &[u8]) -> Option<Self> {
        let b: &[u8; 28] = b.get(..28)?.try_into().ok()?;
        if b[..6] != [0, 1, 8, 0, 6, 4] {
            return None;
        }
        let mac = |at: usize| MacAddr(std::array::from_fn(|i| b[at + i]));
        let ip = |at: usize| Ipv4Addr::new(b[at], b[at + 1], b[at + 2], b[at + 3]);
        Some(Self { op: u16::from_be_bytes([b[6], b[7]]), sha: mac(8), spa: ip(14), tha: mac(18), tpa: ip(24) })
    }

    /// The 28 bytes of the message.
    pub fn to_bytes(self) -> [u8; 28] {
        let mut b = [0; 28];
        b[..6].copy_from_slice(&[0, 1, 8, 0, 6, 4]);
        b[6..8].copy_from_slice(&self.op.to_be_bytes());
        b[8..14].copy_from_slice(&self.sha.0);
        b[14..18].copy_from_slice(&self.spa.octets());
        b[18..24].copy_from_slice(&self.tha.0);
        b[24..28].copy_from_slice(&self.tpa.octets());
        b
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_reads_back_as_written_and_a_foreign_one_is_refused() {
        let a = Arp {
            op: REQUEST,
            sha: MacAddr([2; 6]),
            spa: Ipv4Addr::new(10, 244, 1, 2),
            tha: MacAddr::ZERO,
            tpa: Ipv4Addr::new(10, 244, 1, 1),
        };
        let mut bytes = a.to_bytes();
        assert_eq!(Arp::read(&bytes), Some(a));
        assert_eq!(Arp::read(&bytes[..27]), None);
        bytes[1] = 6; // IEEE 802 hardware
        assert_eq!(Arp::read(&bytes), None);
    }
}

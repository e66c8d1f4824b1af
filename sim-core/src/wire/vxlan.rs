//! The VXLAN header (RFC 7348 section 5): flags, reserved, VNI, reserved. Eight bytes.

use super::ip::Family;

/// Length of the header.
pub const VXLAN_LEN: usize = 8;
/// Bytes that encapsulation adds: inner Ethernet 14, VXLAN 8, UDP 8, and the outer IP header.
pub const fn overhead(outer: Family) -> u32 {
    30 + outer.header_len() as u32
}

/// The bytes of a header for `vni` (24 bits).
pub const fn header(vni: u32) -> [u8; VXLAN_LEN] {
    let v = vni.to_be_bytes();
    [0x08, 0, 0, 0, v[1], v[2], v[3], 0]
}

/// The VNI of a header, or `None` if it is cut, the I flag is clear, or any other flag or reserved bit is
/// set (drivers/net/vxlan/vxlan_core.c, `vxlan_rcv`: such packets are dropped).
pub fn vni(bytes: &[u8]) -> Option<u32> {
    match *bytes.get(..VXLAN_LEN)? {
        [0x08, 0, 0, 0, a, b, c, 0] => Some(u32::from_be_bytes([0, a, b, c])),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clean_header_is_accepted() {
        assert_eq!(vni(&header(1)), Some(1));
        for (at, what) in [(0, "flags"), (1, "reserved"), (3, "reserved"), (7, "reserved")] {
            let mut h = header(1);
            h[at] ^= 1;
            assert_eq!(vni(&h), None, "{what}");
        }
        assert_eq!(vni(&header(1)[..7]), None);
    }
}

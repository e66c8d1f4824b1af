//! What ICMP says about an association (net/sctp/input.c, `sctp_v4_err_handle`; net/sctp/ipv6.c, `sctp_v6_err_handle`).

use super::{Association, State};
use crate::engine::errno::Errno;
use crate::netns::socket::sctp::config::MIN_PATH_MTU;
use crate::netns::socket::sctp::context::Context;
use crate::wire::icmp::{self, IcmpHeader};
use crate::wire::icmpv6;
use crate::wire::ip::Family;
use crate::wire::sctp::{CHUNK_HEADER, HEADER, INIT, SctpHeader, be32};

/// An ICMP error that SCTP heeds. All others are "soft": they are told to who asks for them, and end nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IcmpError {
    /// The peer's host does not speak SCTP.
    ProtocolUnreachable,
    /// The packet did not fit: the MTU of the next hop in bytes, 0 if the router does not tell.
    TooBig(u32),
}

impl IcmpError {
    /// What the header of an ICMP error means; `None` for those that end nothing.
    pub fn of(family: Family, header: IcmpHeader) -> Option<Self> {
        let unspoken = match family {
            Family::V4 => (icmp::DEST_UNREACH, icmp::PROT_UNREACH),
            Family::V6 => (icmpv6::PARAMETER_PROBLEM, icmpv6::UNKNOWN_NEXT_HEADER),
        };
        let too_big = header.too_big(family).map(Self::TooBig);
        too_big.or_else(|| ((header.kind, header.code) == unspoken).then_some(Self::ProtocolUnreachable))
    }
}

impl Association {
    /// Whether a quoted packet is one of ours: its tag says so, of an INIT the tag inside (`sctp_err_lookup`).
    pub(in super::super) fn has_sent(&self, quoted: &[u8]) -> bool {
        let Some(header) = SctpHeader::read(quoted) else {
            // Eight bytes are quoted at least, and they hold the tag.
            return quoted.get(4..8).is_some_and(|tag| be32(tag) == self.peer.tag && self.peer.tag != 0);
        };
        if header.tag != 0 {
            return header.tag == self.peer.tag;
        }
        let init = quoted.get(HEADER..HEADER + CHUNK_HEADER + 4);
        init.is_some_and(|init| init[0] == INIT && be32(&init[CHUNK_HEADER..]) == self.own.tag)
    }

    /// An ICMP error about a packet of ours.
    pub(in super::super) fn on_icmp_error(&mut self, cx: &mut Context, error: IcmpError) {
        match error {
            // RFC 9260 section 10, ICMP8; later on the table of states ignores it.
            IcmpError::ProtocolUnreachable if self.state == State::CookieWait => {
                self.end(cx, Some(Errno::ENOPROTOOPT));
            }
            IcmpError::ProtocolUnreachable => {}
            // `sctp_icmp_frag_needed`
            IcmpError::TooBig(mtu) if mtu < self.path_mtu => {
                self.path_mtu = mtu.max(MIN_PATH_MTU);
                if self.outbound.is_in_flight() {
                    cx.count("PmtudRetransmits");
                    self.outbound.send_all_again();
                }
                self.go_on(cx);
            }
            IcmpError::TooBig(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_says_that_nobody_speaks_sctp_or_that_it_did_not_fit_is_heeded() {
        let told = |kind, code, rest| IcmpError::of(Family::V4, IcmpHeader { kind, code, rest });
        assert_eq!(told(3, 2, [0; 4]), Some(IcmpError::ProtocolUnreachable));
        assert_eq!(told(3, 4, [0, 0, 5, 120]), Some(IcmpError::TooBig(1400)));
        assert_eq!((told(3, 1, [0; 4]), told(3, 3, [0; 4]), told(11, 0, [0; 4])), (None, None, None));
    }
}

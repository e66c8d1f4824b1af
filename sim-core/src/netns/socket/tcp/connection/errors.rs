//! What ICMP says about a connection (net/ipv4/tcp_ipv4.c, `tcp_v4_err`; net/ipv6/tcp_ipv6.c, `tcp_v6_err`; facts 25,
//! 96, 97).

use super::{Connection, State};
use crate::engine::errno::Errno;
use crate::netns::socket::PmtuDiscovery;
use crate::netns::socket::error::errno_of;
use crate::netns::socket::tcp::context::{Context, Wake};
use crate::netns::socket::tcp::path::Path;
use crate::netns::socket::tcp::seq::between;
use crate::wire::icmp::{self, IcmpHeader};
use crate::wire::icmpv6;
use crate::wire::ip::Family;

/// An ICMP error, as TCP understands it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IcmpError {
    /// The segment was not delivered.
    Unreachable {
        /// What connect() fails with.
        errno: Errno,
        /// No route to the network or host: timeouts were no sign of congestion (RFC 6069).
        no_route: bool,
        /// A half-open connection is given up (`tcp_req_err`).
        fatal: bool,
    },
    /// The segment did not fit: the MTU of the next hop in bytes.
    TooBig {
        /// The MTU; 0 if the router does not tell.
        mtu: u32,
    },
}

impl IcmpError {
    /// What the header of an ICMP error means; `None` for those TCP ignores.
    pub fn of(family: Family, header: IcmpHeader) -> Option<Self> {
        if let Some(mtu) = header.too_big(family) {
            return Some(Self::TooBig { mtu });
        }
        // Missing fragments are no sign that the peer cannot be reached (net/ipv4/icmp.c, `icmp_unreach`).
        if (family, header.kind, header.code) == (Family::V4, icmp::TIME_EXCEEDED, icmp::EXC_FRAGTIME) {
            return None;
        }
        let errno = errno_of(family, header.kind, header.code)?;
        let (no_route, fatal) = match family {
            Family::V4 => {
                let no_route =
                    matches!((header.kind, header.code), (icmp::DEST_UNREACH, icmp::NET_UNREACH | icmp::HOST_UNREACH));
                (no_route, no_route || matches!(header.kind, icmp::TIME_EXCEEDED | icmp::PARAMETER_PROBLEM))
            }
            Family::V6 => {
                let no_route = (header.kind, header.code) == (icmpv6::DEST_UNREACH, icmpv6::NO_ROUTE);
                // `icmpv6_err_convert`
                (no_route, !matches!(errno, Errno::ENETUNREACH | Errno::EHOSTUNREACH))
            }
        };
        Some(Self::Unreachable { errno, no_route, fatal })
    }
}

impl Connection {
    /// An ICMP error quotes the segment with sequence number `seq`.
    ///
    /// Returns the path as it must be remembered for others, if the MTU has shrunk.
    pub(in super::super) fn on_icmp_error(&mut self, cx: &mut Context, seq: u32, error: IcmpError) -> Option<Path> {
        if !self.has_sent(cx, seq) {
            return None;
        }
        match error {
            IcmpError::TooBig { mtu } => return self.path_shrinks(cx, mtu),
            IcmpError::Unreachable { errno, no_route, .. } => {
                if no_route {
                    self.revert_backoff(cx, seq);
                }
                if matches!(self.state, State::SynSent | State::SynReceived) {
                    self.fail(cx, errno);
                } else if self.options.recverr {
                    self.error = Some(errno);
                    cx.wake(self.id, Wake::Error);
                } else {
                    self.soft_error = Some(errno);
                }
            }
        }
        None
    }

    /// Whether `seq` was sent and is not acknowledged: else an ICMP message that quotes it is not believed.
    pub(in super::super) fn has_sent(&self, cx: &mut Context, seq: u32) -> bool {
        if self.state == State::Closed {
            return false;
        }
        let in_window = between(seq, self.snd.una, self.snd.nxt);
        if !in_window {
            cx.count("OutOfWindowIcmps");
        }
        in_window
    }

    /// `tcp_v4_mtu_reduced`, `tcp_simple_retransmit`: below min_pmtu the router may fragment instead.
    fn path_shrinks(&mut self, cx: &mut Context, mtu: u32) -> Option<Path> {
        if mtu >= self.path.mtu {
            return None;
        }
        let least = cx.config.min_pmtu;
        let path =
            Path { mtu: mtu.max(least.min(self.path.mtu)), locked: self.path.locked || mtu < least, ..self.path };
        self.set_path(cx, path);
        Some(path)
    }

    /// The route to the peer has changed.
    pub(in super::super) fn set_path(&mut self, cx: &mut Context, path: Path) {
        if self.options.pmtu == PmtuDiscovery::Dont {
            return;
        }
        let shrinks = path.mtu < self.path.mtu;
        self.path = path;
        self.sync_mss(cx);
        if shrinks {
            self.retransmit_smaller(cx);
        }
    }

    /// RFC 6069: takes one doubling back, and retransmits at once if that is overdue (`tcp_ld_RTO_revert`).
    fn revert_backoff(&mut self, cx: &mut Context, seq: u32) {
        if seq != self.snd.una || self.recovery.retransmits == 0 || self.rtt.backoff == 0 {
            return;
        }
        self.rtt.backoff -= 1;
        self.rtt.rto = self.rtt.backed_off();
        let Some(sent) = self.snd.rtx.head().map(|head| head.sent_at) else { return };
        if sent + self.rtt.rto > cx.now {
            self.timers.retransmit_at(sent + self.rtt.rto);
        } else {
            self.retransmit_timer(cx);
        }
    }
}

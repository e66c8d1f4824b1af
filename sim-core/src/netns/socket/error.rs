//! What a socket is told of trouble: the error queue of `IP_RECVERR` (include/uapi/linux/errqueue.h).

use std::collections::VecDeque;
use std::net::IpAddr;

use super::bound::seen_from;
use crate::engine::errno::Errno;
use crate::wire::ip::Family::{self, V4, V6};
use crate::wire::{icmp, icmpv6};

/// Who says it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ErrorOrigin {
    /// This host (`SO_EE_ORIGIN_LOCAL`).
    Local,
    /// An ICMP message (`SO_EE_ORIGIN_ICMP`).
    Icmp {
        /// Its type.
        kind: u8,
        /// Its code.
        code: u8,
        /// Its sender.
        from: IpAddr,
    },
}

/// One error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SocketError {
    /// The error number; `None` for a message that means none (a source quench).
    pub errno: Option<Errno>,
    /// Who says it.
    pub origin: ErrorOrigin,
    /// The path MTU of "too big"; else 0.
    pub mtu: u32,
}

impl SocketError {
    /// The error as a socket of this family reads it.
    pub(crate) fn seen_from(self, family: Family) -> Self {
        let origin = match self.origin {
            ErrorOrigin::Local => ErrorOrigin::Local,
            ErrorOrigin::Icmp { kind, code, from } => {
                ErrorOrigin::Icmp { kind, code, from: seen_from(family, (from, 0).into()).ip() }
            }
        };
        Self { origin, ..self }
    }

    /// An error of this host.
    pub const fn local(errno: Errno, mtu: u32) -> Self {
        Self { errno: Some(errno), origin: ErrorOrigin::Local, mtu }
    }

    /// Whether an ICMP error of IPv4 ends what it is about (`icmp_err_convert`, `fatal`).
    pub const fn is_final(&self) -> bool {
        match self.origin {
            ErrorOrigin::Icmp { kind: icmp::DEST_UNREACH, code, .. } => !matches!(code, 0 | 1 | 5 | 11 | 12),
            ErrorOrigin::Icmp { kind, .. } => kind == icmp::PARAMETER_PROBLEM,
            ErrorOrigin::Local => true,
        }
    }

    /// An ICMP error.
    pub const fn icmp(kind: u8, code: u8, from: IpAddr, mtu: u32) -> Self {
        Self { errno: errno_of(Family::of(from), kind, code), origin: ErrorOrigin::Icmp { kind, code, from }, mtu }
    }
}

/// The error number of an ICMP message (net/ipv4/icmp.c, `icmp_err_convert`; net/ipv4/udp.c, `__udp4_lib_err`;
/// net/ipv6/icmp.c, `icmpv6_err_convert`).
pub const fn errno_of(family: Family, kind: u8, code: u8) -> Option<Errno> {
    match (family, kind, code) {
        (V4, icmp::DEST_UNREACH, 0 | 6 | 9 | 11) => Some(Errno::ENETUNREACH),
        (V4, icmp::DEST_UNREACH, 2) => Some(Errno::ENOPROTOOPT),
        (V4, icmp::DEST_UNREACH, 3) => Some(Errno::ECONNREFUSED),
        (V4, icmp::DEST_UNREACH, 4) => Some(Errno::EMSGSIZE),
        (V4, icmp::DEST_UNREACH, 5) => Some(Errno::ENOTSUP),
        (V4, icmp::DEST_UNREACH, 1 | 7 | 8 | 10 | 12..=15) | (V4, icmp::TIME_EXCEEDED, _) => Some(Errno::EHOSTUNREACH),
        (V4, icmp::PARAMETER_PROBLEM, _) => Some(Errno::EPROTO),
        (V4, ..) => None,
        (V6, icmpv6::DEST_UNREACH, icmpv6::NO_ROUTE) => Some(Errno::ENETUNREACH),
        (V6, icmpv6::DEST_UNREACH, icmpv6::ADM_PROHIBITED | icmpv6::POLICY_FAIL | icmpv6::REJECT_ROUTE) => {
            Some(Errno::EACCES)
        }
        (V6, icmpv6::DEST_UNREACH, icmpv6::PORT_UNREACH) => Some(Errno::ECONNREFUSED),
        (V6, icmpv6::DEST_UNREACH, icmpv6::BEYOND_SCOPE | icmpv6::ADDR_UNREACH) | (V6, icmpv6::TIME_EXCEEDED, _) => {
            Some(Errno::EHOSTUNREACH)
        }
        (V6, icmpv6::TOO_BIG, _) => Some(Errno::EMSGSIZE),
        (V6, ..) => Some(Errno::EPROTO),
    }
}

/// Errors not yet read, oldest first; beyond 256 new ones are lost, as when the queue's memory is full.
#[derive(Clone, Debug, Default)]
pub struct ErrorQueue(VecDeque<SocketError>);

impl ErrorQueue {
    const LIMIT: usize = 256;

    /// Adds an error.
    pub fn push(&mut self, error: SocketError) {
        if self.0.len() < Self::LIMIT {
            self.0.push_back(error);
        }
    }

    /// Takes the oldest error.
    pub fn pop(&mut self) -> Option<SocketError> {
        self.0.pop_front()
    }
}

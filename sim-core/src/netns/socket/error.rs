//! What a socket is told of trouble: the error queue of `IP_RECVERR` (include/uapi/linux/errqueue.h).

use std::collections::VecDeque;
use std::net::IpAddr;

use crate::engine::errno::Errno;
use crate::wire::icmp;

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
    /// An error of this host.
    pub const fn local(errno: Errno, mtu: u32) -> Self {
        Self { errno: Some(errno), origin: ErrorOrigin::Local, mtu }
    }

    /// An ICMP error.
    pub const fn icmp(kind: u8, code: u8, from: IpAddr, mtu: u32) -> Self {
        Self { errno: errno_of(kind, code), origin: ErrorOrigin::Icmp { kind, code, from }, mtu }
    }
}

/// The error number of an ICMP message (net/ipv4/icmp.c, `icmp_err_convert`; net/ipv4/udp.c, `__udp4_lib_err`).
pub const fn errno_of(kind: u8, code: u8) -> Option<Errno> {
    match (kind, code) {
        (icmp::DEST_UNREACH, 0 | 6 | 9 | 11) => Some(Errno::ENETUNREACH),
        (icmp::DEST_UNREACH, 2) => Some(Errno::ENOPROTOOPT),
        (icmp::DEST_UNREACH, 3) => Some(Errno::ECONNREFUSED),
        (icmp::DEST_UNREACH, 4) => Some(Errno::EMSGSIZE),
        (icmp::DEST_UNREACH, 5) => Some(Errno::ENOTSUP),
        (icmp::DEST_UNREACH, 1 | 7 | 8 | 10 | 12..=15) | (icmp::TIME_EXCEEDED, _) => Some(Errno::EHOSTUNREACH),
        (icmp::PARAMETER_PROBLEM, _) => Some(Errno::EPROTO),
        _ => None,
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

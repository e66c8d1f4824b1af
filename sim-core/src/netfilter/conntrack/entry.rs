//! One tracked flow.

use std::ops::{BitOr, BitOrAssign};

use super::sctp::Sctp;
use super::tcp::{Tcp, TcpState};
use super::tuple::{Dir, Tuple, Zone};
use crate::engine::arena::DevId;
use crate::engine::time::{Duration, Instant};

/// Status bits of an entry (include/uapi/linux/netfilter/nf_conntrack_common.h, `enum ip_conntrack_status`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Status(u16);

impl Status {
    /// A packet was seen in the reply direction.
    pub const SEEN_REPLY: Self = Self(1 << 1);
    /// Not evicted when the table is full.
    pub const ASSURED: Self = Self(1 << 2);
    /// In the hash: its first packet left this host or was delivered.
    pub const CONFIRMED: Self = Self(1 << 3);
    /// The source is translated.
    pub const SRC_NAT: Self = Self(1 << 4);
    /// The destination is translated.
    pub const DST_NAT: Self = Self(1 << 5);
    /// Source translation was decided, be it not to translate.
    pub const SRC_NAT_DONE: Self = Self(1 << 7);
    /// Destination translation was decided, be it not to translate.
    pub const DST_NAT_DONE: Self = Self(1 << 8);
    /// Out of the hash for good; packets under way may still refer to it.
    pub const DYING: Self = Self(1 << 9);
    /// The timeout is not refreshed.
    pub const FIXED_TIMEOUT: Self = Self(1 << 10);
    /// Lost a race for its original tuple, so only its reply tuple is in the hash.
    pub const NAT_CLASH: Self = Self(1 << 12);

    /// Whether all bits of `bits` are set.
    pub const fn has(self, bits: Self) -> bool {
        self.0 & bits.0 == bits.0
    }

    /// Whether any bit of `bits` is set.
    pub const fn has_any(self, bits: Self) -> bool {
        self.0 & bits.0 != 0
    }
}

impl BitOr for Status {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Status {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// Packets and bytes of one direction; bytes count whole IP packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counter {
    /// Packets.
    pub packets: u64,
    /// Bytes, with the IP header.
    pub bytes: u64,
}

/// What an L4 protocol keeps about a flow (`union nf_conntrack_proto`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Proto {
    /// Nothing: ICMP and protocols that are not looked into.
    Stateless,
    /// UDP: when a flow with answers becomes a stream.
    Udp {
        /// Two seconds after the first packet.
        stream_after: Instant,
    },
    /// TCP.
    Tcp(Box<Tcp>),
    /// SCTP.
    Sctp(Box<Sctp>),
}

/// One flow (`struct nf_conn`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The first packet's tuple, before any translation.
    pub orig: Tuple,
    /// The tuple answers arrive with.
    pub reply: Tuple,
    /// Its zone.
    pub zone: Zone,
    /// Status bits.
    pub status: Status,
    /// When it expires. While tentative: [`Instant::START`] plus the lifetime that confirmation starts
    /// (`__nf_conntrack_confirm`: `ct->timeout += nfct_time_stamp`).
    pub timeout: Instant,
    /// The connection mark (`CONNMARK`).
    pub mark: u32,
    /// Counters of both directions; `None` if accounting was off when the entry was made.
    pub counters: Option<[Counter; 2]>,
    /// State of the L4 protocol.
    pub proto: Proto,
    /// The device whose address MASQUERADE took (`nat->masq_index`).
    pub masq_dev: Option<DevId>,
}

impl Entry {
    pub(super) fn new(orig: Tuple, reply: Tuple, zone: Zone, acct: bool) -> Self {
        Self {
            orig,
            reply,
            zone,
            status: Status::default(),
            timeout: Instant::START,
            mark: 0,
            counters: acct.then(<[Counter; 2]>::default),
            proto: Proto::Stateless,
            masq_dev: None,
        }
    }

    /// The tuple of one direction.
    pub fn tuple(&self, dir: Dir) -> &Tuple {
        match dir {
            Dir::Orig => &self.orig,
            Dir::Reply => &self.reply,
        }
    }

    /// Whether it is in the hash.
    pub fn is_confirmed(&self) -> bool {
        self.status.has(Status::CONFIRMED)
    }

    /// Whether both ends have closed (net/netfilter/nf_conncount.c, `already_closed`).
    pub fn is_closed(&self) -> bool {
        matches!(&self.proto, Proto::Tcp(tcp) if matches!(tcp.state(), TcpState::TimeWait | TcpState::Close))
    }

    /// Whether its time is over (`nf_ct_is_expired`). A tentative entry has not begun to age.
    pub fn is_expired(&self, now: Instant) -> bool {
        self.is_confirmed() && self.timeout <= now
    }

    /// How long it lives if nothing more is seen (`nf_ct_expires`).
    pub fn expires_in(&self, now: Instant) -> Duration {
        self.timeout.since(if self.is_confirmed() { now } else { Instant::START })
    }

    /// Gives it `lifetime` from now, unless its timeout is fixed (`__nf_ct_refresh_acct`).
    pub(super) fn refresh(&mut self, now: Instant, lifetime: Duration) {
        if !self.status.has(Status::FIXED_TIMEOUT) {
            self.timeout = if self.is_confirmed() { now } else { Instant::START } + lifetime;
        }
    }

    /// Counts one packet of `bytes` bytes (`nf_ct_acct_update`).
    pub(super) fn count(&mut self, dir: Dir, bytes: usize) {
        if let Some(counters) = &mut self.counters {
            let counter = &mut counters[dir as usize];
            counter.packets += 1;
            counter.bytes += bytes as u64;
        }
    }
}

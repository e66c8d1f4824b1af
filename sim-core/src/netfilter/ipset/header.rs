//! What a set is created with: its type and what its elements may have.

use std::net::IpAddr;

/// An address family.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Family {
    Inet,
    Inet6,
}

impl Family {
    /// The family of an address.
    pub fn of(addr: IpAddr) -> Self {
        if addr.is_ipv4() { Self::Inet } else { Self::Inet6 }
    }

    /// Bits of an address.
    pub const fn bits(self) -> u8 {
        match self {
            Self::Inet => 32,
            Self::Inet6 => 128,
        }
    }
}

/// The type of a set, with what only it has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Type {
    /// Addresses, cut to `netmask` bits.
    HashIp {
        /// Bits that count.
        netmask: u8,
    },
    /// Networks.
    HashNet,
    /// Pairs of address and port of a protocol.
    HashIpPort,
    /// TCP and UDP ports of a range.
    BitmapPort {
        /// The range.
        first: u16,
        /// Its last port.
        last: u16,
    },
    /// Other sets, in order.
    ListSet {
        /// As it was asked for; nothing depends on it.
        size: u32,
    },
}

impl Type {
    /// The name after `create SET`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::HashIp { .. } => "hash:ip",
            Self::HashNet => "hash:net",
            Self::HashIpPort => "hash:ip,port",
            Self::BitmapPort { .. } => "bitmap:port",
            Self::ListSet { .. } => "list:set",
        }
    }

    /// How many sides of a packet it asks for.
    pub(crate) const fn dimension(self) -> u8 {
        if matches!(self, Self::HashIpPort) { 2 } else { 1 }
    }

    pub(super) const fn is_list(self) -> bool {
        matches!(self, Self::ListSet { .. })
    }

    pub(super) const fn is_hash(self) -> bool {
        matches!(self, Self::HashIp { .. } | Self::HashNet | Self::HashIpPort)
    }

    pub(super) fn same_type(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

/// What a set was created with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    /// Its type.
    pub kind: Type,
    /// The family of its addresses; `None` for types without.
    pub family: Option<Family>,
    /// Hash buckets, a power of two; nothing depends on it.
    pub hashsize: u32,
    /// Most elements of a hash.
    pub maxelem: u32,
    /// How long an element stays unless it says so itself, in seconds, 0 for ever; `None`: elements have no timeouts.
    pub timeout: Option<u32>,
    /// Whether elements count packets and bytes.
    pub counters: bool,
    /// Whether elements bear comments.
    pub comment: bool,
    /// Whether a full hash drops an element for a new one.
    pub forceadd: bool,
    /// Shown only.
    pub bucketsize: u8,
    /// Shown only: what the kernel's hash begins with.
    pub initval: u32,
}

impl Header {
    /// Whether `create -exist` finds the set it asks for (`same_set` of each type).
    pub(super) fn same(&self, other: &Self) -> bool {
        let shape = |h: &Self| (h.kind, h.family, h.maxelem, h.timeout, h.counters, h.comment, h.forceadd);
        match (self.kind, other.kind) {
            (Type::ListSet { .. }, Type::ListSet { .. }) => true,
            _ => shape(self) == shape(other),
        }
    }
}

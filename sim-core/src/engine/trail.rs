//! What became of a packet: its stages, its fate, and why it was dropped.

use std::collections::BTreeMap;

use super::arena::{DevId, NetnsId};

macro_rules! drop_reasons {
    ($(#[doc = $doc:literal] $name:ident = $text:literal),* $(,)?) => {
        /// Why a packet was dropped, by the kernel's names (include/net/dropreason-core.h,
        /// `SKB_DROP_REASON_*`). Where the kernel says only NOT_SPECIFIED the name is ours.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
        pub enum DropReason { $(#[doc = $doc] $name),* }

        impl DropReason {
            /// Every reason there is.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The kernel's name, for example `NETFILTER_DROP`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }

            /// What it means, in a sentence: `A rule said DROP.`
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => $doc.trim_ascii_start()),* }
            }
        }
    };
}

drop_reasons! {
    /// The device is down.
    DevDown = "DEV_READY",
    /// Too many frames wait to be received.
    CpuBacklog = "CPU_BACKLOG",
    /// No handler for the EtherType.
    UnhandledProto = "UNHANDLED_PROTO",
    /// IPv6 is switched off on the device.
    Ipv6Disabled = "IPV6DISABLED",
    /// Neighbour discovery that no neighbour can have sent, or that says what cannot be.
    NdInvalid = "IPV6_NDISC_BAD_OPTIONS",
    /// Sent to another host's hardware address.
    OtherHost = "OTHERHOST",
    /// Unusable IP header.
    IpInHdr = "IP_INHDR",
    /// Wrong IP header checksum.
    IpCsum = "IP_CSUM",
    /// No route to the destination.
    IpInNoRoutes = "IP_INNOROUTES",
    /// No route for a packet of our own.
    IpOutNoRoutes = "IP_OUTNOROUTES",
    /// Destination this host forwards nothing to (ip_forward is 0).
    ForwardingOff = "FORWARDING_OFF",
    /// Source address that cannot come from there.
    IpMartianSource = "IP_INVALID_SOURCE",
    /// Destination address that cannot be.
    IpInvalidDest = "IP_INVALID_DEST",
    /// Our own address as source of a received packet.
    IpLocalSource = "IP_LOCAL_SOURCE",
    /// Strict or loose reverse path filter.
    IpRpFilter = "IP_RPFILTER",
    /// A rule said DROP.
    NetfilterDrop = "NETFILTER_DROP",
    /// A rule said REJECT; the answer was sent.
    NetfilterReject = "NETFILTER_REJECT",
    /// Conntrack could not take the packet (full table, clash, no free port).
    ConntrackDrop = "CONNTRACK_DROP",
    /// br_netfilter found the IP header of a bridged packet unusable.
    BridgeNfInvalid = "BRIDGE_NF_INVALID",
    /// Time to live used up; time exceeded was sent.
    TtlExceeded = "IP_TTL_EXCEEDED",
    /// Bigger than the MTU and must not be fragmented.
    PktTooBig = "PKT_TOO_BIG",
    /// L2 broadcast or foreign frame that must not be forwarded.
    NotForHost = "IP_FORWARD_NOT_HOST",
    /// It waited for something that is gone.
    QueuePurge = "QUEUE_PURGE",
    /// The neighbour did not answer.
    NeighFailed = "NEIGH_FAILED",
    /// Too many packets wait for the neighbour.
    NeighQueueFull = "NEIGH_QUEUEFULL",
    /// Nobody listens; port unreachable was sent.
    NoSocket = "NO_SOCKET",
    /// Wrong UDP checksum.
    UdpCsum = "UDP_CSUM",
    /// Wrong TCP checksum.
    TcpCsum = "TCP_CSUM",
    /// Wrong SCTP checksum.
    SctpCsum = "SCTP_CSUM",
    /// Wrong ICMP checksum.
    IcmpCsum = "ICMP_CSUM",
    /// Header shorter than its protocol demands.
    HdrTrunc = "PKT_TOO_SMALL",
    /// Receive buffer full.
    SocketRcvBuff = "SOCKET_RCVBUFF",
    /// No protocol handler; protocol unreachable was sent.
    IpNoProto = "IP_NOPROTO",
    /// The bridge port leads back to where the frame came from and is no hairpin port.
    BridgeSamePort = "BRIDGE_SAME_PORT",
    /// Group source address, or a link-local group the bridge does not forward.
    BridgeIngress = "BRIDGE_INGRESS_INVALID",
    /// Flooded to no port.
    BridgeNoPort = "BRIDGE_NO_EGRESS_PORT",
    /// VXLAN header with unknown flags, reserved bits or VNI.
    VxlanInvalidHdr = "VXLAN_INVALID_HDR",
    /// No FDB entry says where the inner destination is.
    VxlanNoRemote = "VXLAN_NO_REMOTE",
    /// Inner frame that has our own VTEP's hardware address as source.
    VxlanInvalidSmac = "VXLAN_INVALID_SMAC",
    /// Fragment that could not be put together in time or was wrong.
    FragReasm = "FRAG_REASM_TIMEOUT",
    /// Too much fragment memory in use.
    FragTooFar = "FRAG_TOO_FAR",
    /// Encapsulated too deep.
    TunnelDepth = "RECURSION_LIMIT",
    /// Lost on the underlay wire.
    LinkLoss = "LINK_LOSS",
    /// The underlay wire is cut.
    LinkDown = "LINK_DOWN",
    /// The underlay wire's queue is full.
    LinkQueueFull = "LINK_QUEUE_FULL",
    /// The stack was given a packet for nobody (ICMP message without a reader, and the like).
    NotSpecified = "NOT_SPECIFIED",
}

/// Where packets were dropped and why, counted. Iterates in a stable order.
#[derive(Clone, Debug, Default)]
pub struct DropCounters(BTreeMap<DropPlace, u64>);

/// One row of [`DropCounters`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct DropPlace {
    /// The netns.
    pub netns: NetnsId,
    /// The device it came in by or would have left by, if any.
    pub dev: Option<DevId>,
    /// The stage of the walk, for example `route`.
    pub stage: &'static str,
    /// Why.
    pub reason: DropReason,
}

impl DropCounters {
    /// Counts one dropped packet.
    pub fn count(&mut self, place: DropPlace) {
        *self.0.entry(place).or_default() += 1;
    }

    /// All rows with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (&DropPlace, u64)> {
        self.0.iter().map(|(place, n)| (place, *n))
    }

    /// How many packets were dropped for `reason`, anywhere.
    pub fn total(&self, reason: DropReason) -> u64 {
        self.iter().filter(|(p, _)| p.reason == reason).map(|(_, n)| n).sum()
    }
}

//! Counters as `nstat -a` of iproute2 6.1 prints them: groups and names in the order of /proc/net/snmp, snmp6 and netstat.

use crate::netns::Netns;
use crate::netns::mib::{Icmp, Ip, Udp, Way};
use crate::wire::ip::Family;

const IP: [Ip; 18] = [
    Ip::InReceives,
    Ip::InHdrErrors,
    Ip::InAddrErrors,
    Ip::ForwDatagrams,
    Ip::InUnknownProtos,
    Ip::InDiscards,
    Ip::InDelivers,
    Ip::OutRequests,
    Ip::OutDiscards,
    Ip::OutNoRoutes,
    Ip::ReasmTimeout,
    Ip::ReasmReqds,
    Ip::ReasmOKs,
    Ip::ReasmFails,
    Ip::FragOKs,
    Ip::FragFails,
    Ip::FragCreates,
    Ip::OutTransmits,
];

const IP_EXT: [Ip; 18] = [
    Ip::InNoRoutes,
    Ip::InTruncatedPkts,
    Ip::InMcastPkts,
    Ip::OutMcastPkts,
    Ip::InBcastPkts,
    Ip::OutBcastPkts,
    Ip::InOctets,
    Ip::OutOctets,
    Ip::InMcastOctets,
    Ip::OutMcastOctets,
    Ip::InBcastOctets,
    Ip::OutBcastOctets,
    Ip::InCsumErrors,
    Ip::InNoECTPkts,
    Ip::InECT1Pkts,
    Ip::InECT0Pkts,
    Ip::InCEPkts,
    Ip::ReasmOverlaps,
];

const IP6: [Ip; 31] = [
    Ip::InReceives,
    Ip::InHdrErrors,
    Ip::InTooBigErrors,
    Ip::InNoRoutes,
    Ip::InAddrErrors,
    Ip::InUnknownProtos,
    Ip::InTruncatedPkts,
    Ip::InDiscards,
    Ip::InDelivers,
    Ip::ForwDatagrams,
    Ip::OutRequests,
    Ip::OutDiscards,
    Ip::OutNoRoutes,
    Ip::ReasmTimeout,
    Ip::ReasmReqds,
    Ip::ReasmOKs,
    Ip::ReasmFails,
    Ip::FragOKs,
    Ip::FragFails,
    Ip::FragCreates,
    Ip::InMcastPkts,
    Ip::OutMcastPkts,
    Ip::InOctets,
    Ip::OutOctets,
    Ip::InMcastOctets,
    Ip::OutMcastOctets,
    Ip::InNoECTPkts,
    Ip::InECT1Pkts,
    Ip::InECT0Pkts,
    Ip::InCEPkts,
    Ip::OutTransmits,
];

/// Names of types (net/ipv4/proc.c, `icmpmibmap`).
const ICMP_TYPES: [(&str, u8); 11] = [
    ("DestUnreachs", 3),
    ("TimeExcds", 11),
    ("ParmProbs", 12),
    ("SrcQuenchs", 4),
    ("Redirects", 5),
    ("Echos", 8),
    ("EchoReps", 0),
    ("Timestamps", 13),
    ("TimestampReps", 14),
    ("AddrMasks", 17),
    ("AddrMaskReps", 18),
];

/// Names of types (net/ipv6/proc.c, `icmp6type2name`).
const ICMP6_TYPES: [(&str, u8); 15] = [
    ("DestUnreachs", 1),
    ("PktTooBigs", 2),
    ("TimeExcds", 3),
    ("ParmProblems", 4),
    ("Echos", 128),
    ("EchoReplies", 129),
    ("GroupMembQueries", 130),
    ("GroupMembResponses", 131),
    ("GroupMembReductions", 132),
    ("RouterSolicits", 133),
    ("RouterAdvertisements", 134),
    ("NeighborSolicits", 135),
    ("NeighborAdvertisements", 136),
    ("Redirects", 137),
    ("MLDv2Reports", 143),
];

const UDP: [Udp; 7] = [
    Udp::InDatagrams,
    Udp::NoPorts,
    Udp::InErrors,
    Udp::OutDatagrams,
    Udp::RcvbufErrors,
    Udp::InCsumErrors,
    Udp::IgnoredMulti,
];

/// TCP's counters of /proc/net/snmp; all others are in /proc/net/netstat.
const TCP: [&str; 10] = [
    "ActiveOpens",
    "PassiveOpens",
    "AttemptFails",
    "EstabResets",
    "InSegs",
    "OutSegs",
    "RetransSegs",
    "InErrs",
    "OutRsts",
    "InCsumErrors",
];

impl Netns {
    /// All counters that are there and their values, as `nstat -az` names them.
    pub fn counters(&self) -> Vec<(String, u64)> {
        let mut out = Vec::new();
        self.ip_counters(Family::V4, "Ip", &IP, &mut out);
        self.icmp_counters(Family::V4, &mut out);
        let tcp = |(name, group): (&'static str, &str)| (format!("{group}{name}"), self.tcp.counter(name));
        out.extend(TCP.into_iter().map(|name| tcp((name, "Tcp"))));
        self.udp_counters(Family::V4, "Udp", &mut out);
        self.ip_counters(Family::V6, "Ip6", &IP6, &mut out);
        self.icmp_counters(Family::V6, &mut out);
        self.udp_counters(Family::V6, "Udp6", &mut out);
        let ext = self.tcp.counters().map(|(name, _)| name).filter(|name| !TCP.contains(name));
        out.extend(ext.map(|name| tcp((name, "TcpExt"))));
        self.ip_counters(Family::V4, "IpExt", &IP_EXT, &mut out);
        out
    }

    /// Lines of `nstat -a`, those that never counted only with `zeros`.
    pub fn show_counters(&self, zeros: bool) -> Vec<String> {
        let counters = self.counters().into_iter().filter(|(_, count)| zeros || *count > 0);
        let lines = counters.map(|(name, count)| format!("{name:<32}{count:<18} 0.0"));
        std::iter::once("#kernel".to_owned()).chain(lines).collect()
    }

    fn ip_counters(&self, family: Family, group: &str, counters: &[Ip], out: &mut Vec<(String, u64)>) {
        out.extend(counters.iter().map(|ip| {
            // The one name that is not the same for both families.
            let out = if (family, *ip) == (Family::V6, Ip::ForwDatagrams) { "Out" } else { "" };
            (format!("{group}{out}{ip:?}"), self.mibs.of_ip(family, *ip))
        }));
    }

    fn udp_counters(&self, family: Family, group: &str, out: &mut Vec<(String, u64)>) {
        out.extend(UDP.iter().map(|udp| (format!("{group}{udp:?}"), self.mibs.of_udp(family, *udp))));
    }

    /// Messages, then their types by name, then by number.
    fn icmp_counters(&self, family: Family, out: &mut Vec<(String, u64)>) {
        let (group, by_number, types) = match family {
            Family::V4 => ("Icmp", "IcmpMsg", &ICMP_TYPES[..]),
            Family::V6 => ("Icmp6", "Icmp6", &ICMP6_TYPES[..]),
        };
        let of = |counter: Icmp| (format!("{group}{counter:?}"), self.mibs.of_icmp(family, counter));
        let named = |way: Way| {
            let named = move |(name, kind): &(&str, u8)| {
                (format!("{group}{way:?}{name}"), self.mibs.of_type(family, way, *kind))
            };
            types.iter().map(named)
        };
        let numbered = |way: Way| {
            let numbered = move |kind| (format!("{by_number}{way:?}Type{kind}"), self.mibs.of_type(family, way, kind));
            self.mibs.types(family, way).map(numbered)
        };
        out.extend([of(Icmp::InMsgs), of(Icmp::InErrors)]);
        if family == Family::V4 {
            out.push(of(Icmp::InCsumErrors));
            out.extend(named(Way::In));
        }
        out.push(of(Icmp::OutMsgs));
        if family == Family::V6 {
            out.push(of(Icmp::InCsumErrors));
        }
        out.push(of(Icmp::OutRateLimitHost));
        if family == Family::V6 {
            out.extend(named(Way::In));
        }
        out.extend(named(Way::Out));
        out.extend(numbered(Way::In));
        out.extend(numbered(Way::Out));
    }
}

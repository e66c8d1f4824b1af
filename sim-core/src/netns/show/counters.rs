//! Counters as `nstat -a` of iproute2 6.1 prints them: groups and names in the order of /proc/net/snmp, snmp6 and netstat.

use crate::netns::Netns;
use crate::netns::mib::{Icmp, Ip, Udp, Way};
use crate::wire::ip::Family;

const IP: [(&str, Ip); 18] = [
    ("InReceives", Ip::InReceives),
    ("InHdrErrors", Ip::InHdrErrors),
    ("InAddrErrors", Ip::InAddrErrors),
    ("ForwDatagrams", Ip::ForwDatagrams),
    ("InUnknownProtos", Ip::InUnknownProtos),
    ("InDiscards", Ip::InDiscards),
    ("InDelivers", Ip::InDelivers),
    ("OutRequests", Ip::OutRequests),
    ("OutDiscards", Ip::OutDiscards),
    ("OutNoRoutes", Ip::OutNoRoutes),
    ("ReasmTimeout", Ip::ReasmTimeout),
    ("ReasmReqds", Ip::ReasmReqds),
    ("ReasmOKs", Ip::ReasmOKs),
    ("ReasmFails", Ip::ReasmFails),
    ("FragOKs", Ip::FragOKs),
    ("FragFails", Ip::FragFails),
    ("FragCreates", Ip::FragCreates),
    ("OutTransmits", Ip::OutTransmits),
];

const IP_EXT: [(&str, Ip); 18] = [
    ("InNoRoutes", Ip::InNoRoutes),
    ("InTruncatedPkts", Ip::InTruncatedPkts),
    ("InMcastPkts", Ip::InMcastPkts),
    ("OutMcastPkts", Ip::OutMcastPkts),
    ("InBcastPkts", Ip::InBcastPkts),
    ("OutBcastPkts", Ip::OutBcastPkts),
    ("InOctets", Ip::InOctets),
    ("OutOctets", Ip::OutOctets),
    ("InMcastOctets", Ip::InMcastOctets),
    ("OutMcastOctets", Ip::OutMcastOctets),
    ("InBcastOctets", Ip::InBcastOctets),
    ("OutBcastOctets", Ip::OutBcastOctets),
    ("InCsumErrors", Ip::InCsumErrors),
    ("InNoECTPkts", Ip::InNoECTPkts),
    ("InECT1Pkts", Ip::InECT1Pkts),
    ("InECT0Pkts", Ip::InECT0Pkts),
    ("InCEPkts", Ip::InCEPkts),
    ("ReasmOverlaps", Ip::ReasmOverlaps),
];

const IP6: [(&str, Ip); 31] = [
    ("InReceives", Ip::InReceives),
    ("InHdrErrors", Ip::InHdrErrors),
    ("InTooBigErrors", Ip::InTooBigErrors),
    ("InNoRoutes", Ip::InNoRoutes),
    ("InAddrErrors", Ip::InAddrErrors),
    ("InUnknownProtos", Ip::InUnknownProtos),
    ("InTruncatedPkts", Ip::InTruncatedPkts),
    ("InDiscards", Ip::InDiscards),
    ("InDelivers", Ip::InDelivers),
    ("OutForwDatagrams", Ip::ForwDatagrams),
    ("OutRequests", Ip::OutRequests),
    ("OutDiscards", Ip::OutDiscards),
    ("OutNoRoutes", Ip::OutNoRoutes),
    ("ReasmTimeout", Ip::ReasmTimeout),
    ("ReasmReqds", Ip::ReasmReqds),
    ("ReasmOKs", Ip::ReasmOKs),
    ("ReasmFails", Ip::ReasmFails),
    ("FragOKs", Ip::FragOKs),
    ("FragFails", Ip::FragFails),
    ("FragCreates", Ip::FragCreates),
    ("InMcastPkts", Ip::InMcastPkts),
    ("OutMcastPkts", Ip::OutMcastPkts),
    ("InOctets", Ip::InOctets),
    ("OutOctets", Ip::OutOctets),
    ("InMcastOctets", Ip::InMcastOctets),
    ("OutMcastOctets", Ip::OutMcastOctets),
    ("InNoECTPkts", Ip::InNoECTPkts),
    ("InECT1Pkts", Ip::InECT1Pkts),
    ("InECT0Pkts", Ip::InECT0Pkts),
    ("InCEPkts", Ip::InCEPkts),
    ("OutTransmits", Ip::OutTransmits),
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

const UDP: [(&str, Udp); 7] = [
    ("InDatagrams", Udp::InDatagrams),
    ("NoPorts", Udp::NoPorts),
    ("InErrors", Udp::InErrors),
    ("OutDatagrams", Udp::OutDatagrams),
    ("RcvbufErrors", Udp::RcvbufErrors),
    ("InCsumErrors", Udp::InCsumErrors),
    ("IgnoredMulti", Udp::IgnoredMulti),
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

    fn ip_counters(&self, family: Family, group: &str, names: &[(&str, Ip)], out: &mut Vec<(String, u64)>) {
        out.extend(names.iter().map(|(name, ip)| (format!("{group}{name}"), self.mibs.of_ip(family, *ip))));
    }

    fn udp_counters(&self, family: Family, group: &str, out: &mut Vec<(String, u64)>) {
        out.extend(UDP.iter().map(|(name, udp)| (format!("{group}{name}"), self.mibs.of_udp(family, *udp))));
    }

    /// Messages, then their types by name, then by number.
    fn icmp_counters(&self, family: Family, out: &mut Vec<(String, u64)>) {
        let (group, by_number, types) = match family {
            Family::V4 => ("Icmp", "IcmpMsg", &ICMP_TYPES[..]),
            Family::V6 => ("Icmp6", "Icmp6", &ICMP6_TYPES[..]),
        };
        let of = |name: &str, counter| (format!("{group}{name}"), self.mibs.of_icmp(family, counter));
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
        out.extend([of("InMsgs", Icmp::InMsgs), of("InErrors", Icmp::InErrors)]);
        if family == Family::V4 {
            out.push(of("InCsumErrors", Icmp::InCsumErrors));
            out.extend(named(Way::In));
        }
        out.push(of("OutMsgs", Icmp::OutMsgs));
        if family == Family::V6 {
            out.push(of("InCsumErrors", Icmp::InCsumErrors));
        }
        out.push(of("OutRateLimitHost", Icmp::OutRateLimitHost));
        if family == Family::V6 {
            out.extend(named(Way::In));
        }
        out.extend(named(Way::Out));
        out.extend(numbered(Way::In));
        out.extend(numbered(Way::Out));
    }
}

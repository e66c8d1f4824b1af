//! What IP, ICMP and UDP count (include/net/snmp.h): /proc/net/snmp, /proc/net/snmp6 and the group IpExt of
//! /proc/net/netstat. TCP's own counters are in its table.

use std::collections::BTreeMap;

use crate::wire::ip::Family;

macro_rules! counters {
    ($(#[$doc:meta])* $kind:ident { $($(#[$what:meta])* $name:ident,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub(crate) enum $kind { $($(#[$what])* $name,)* }

        impl $kind {
            const COUNT: usize = [$(Self::$name),*].len();
        }
    };
}

counters! {
    /// Counters of IP (`IPSTATS_MIB_*`), by nstat's names.
    Ip {
        InReceives, InHdrErrors, InTooBigErrors, InNoRoutes, InAddrErrors, InUnknownProtos, InTruncatedPkts, InDiscards,
        InDelivers, ForwDatagrams, OutRequests, OutDiscards, OutNoRoutes, ReasmTimeout, ReasmReqds, ReasmOKs,
        ReasmFails, FragOKs, FragFails, FragCreates, OutTransmits, InMcastPkts, OutMcastPkts, InBcastPkts, OutBcastPkts,
        InOctets, OutOctets, InMcastOctets, OutMcastOctets, InBcastOctets, OutBcastOctets, InCsumErrors, InNoECTPkts,
        InECT1Pkts, InECT0Pkts, InCEPkts, ReasmOverlaps,
    }
}

counters! {
    /// Counters of ICMP (`ICMP_MIB_*`, `ICMP6_MIB_*`) besides those of its types, by nstat's names.
    Icmp { InMsgs, InErrors, InCsumErrors, OutMsgs, OutRateLimitHost, }
}

counters! {
    /// Counters of UDP (`UDP_MIB_*`), by nstat's names.
    Udp { InDatagrams, NoPorts, InErrors, OutDatagrams, RcvbufErrors, InCsumErrors, IgnoredMulti, }
}

/// Which way a message goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    In,
    Out,
}

/// The counters of one family.
#[derive(Clone, Debug)]
struct OfFamily {
    ip: [u64; Ip::COUNT],
    icmp: [u64; Icmp::COUNT],
    /// By type, those that came and those that left.
    types: [BTreeMap<u8, u64>; 2],
    udp: [u64; Udp::COUNT],
}

impl Default for OfFamily {
    fn default() -> Self {
        let types = Default::default();
        Self { ip: [0; Ip::COUNT], icmp: [0; Icmp::COUNT], types, udp: [0; Udp::COUNT] }
    }
}

/// The counters of a netns.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mibs([OfFamily; 2]);

impl Mibs {
    pub(crate) fn ip(&mut self, family: Family, counter: Ip) {
        self.ip_add(family, counter, 1);
    }

    fn ip_add(&mut self, family: Family, counter: Ip, n: u64) {
        self.0[family as usize].ip[counter as usize] += n;
    }

    /// A packet and its length (`IP_UPD_PO_STATS`).
    pub(crate) fn ip_packet(&mut self, family: Family, packets: Ip, octets: Ip, len: usize) {
        self.ip(family, packets);
        self.ip_add(family, octets, len as u64);
    }

    /// A packet came in with this type of service (RFC 3168 5).
    pub(crate) fn ip_ecn(&mut self, family: Family, tos: u8) {
        self.ip(family, [Ip::InNoECTPkts, Ip::InECT1Pkts, Ip::InECT0Pkts, Ip::InCEPkts][usize::from(tos & 3)]);
    }

    pub(crate) fn icmp(&mut self, family: Family, counter: Icmp) {
        self.0[family as usize].icmp[counter as usize] += 1;
    }

    /// A message of this type (`ICMPMSGIN_INC_STATS`, `icmp_out_count`).
    pub(crate) fn icmp_type(&mut self, family: Family, way: Way, kind: u8) {
        *self.0[family as usize].types[way as usize].entry(kind).or_default() += 1;
    }

    pub(crate) fn udp(&mut self, family: Family, counter: Udp) {
        self.0[family as usize].udp[counter as usize] += 1;
    }

    /// What a counter of IP has counted.
    pub(crate) fn of_ip(&self, family: Family, counter: Ip) -> u64 {
        self.0[family as usize].ip[counter as usize]
    }

    /// What a counter of ICMP has counted.
    pub(crate) fn of_icmp(&self, family: Family, counter: Icmp) -> u64 {
        self.0[family as usize].icmp[counter as usize]
    }

    /// How many messages of a type there were.
    pub(crate) fn of_type(&self, family: Family, way: Way, kind: u8) -> u64 {
        self.0[family as usize].types[way as usize].get(&kind).copied().unwrap_or(0)
    }

    /// The types of which there were messages.
    pub(crate) fn types(&self, family: Family, way: Way) -> impl Iterator<Item = u8> {
        self.0[family as usize].types[way as usize].keys().copied()
    }

    /// What a counter of UDP has counted.
    pub(crate) fn of_udp(&self, family: Family, counter: Udp) -> u64 {
        self.0[family as usize].udp[counter as usize]
    }
}

//! Stories of packets that meet rules.

mod apply;
mod hashlimit;
mod ipv6;
mod kernel;
mod matches;
mod targets;
mod trace;
mod walk;

use std::net::IpAddr;

use super::{
    AddrType, CtFacts, FibFacts, ReversePath, RulePacket, RuleState, Ruleset, TableName, TraceStep, Trail, Verdict,
    evaluate,
};
use crate::engine::mutant::Planted;
use crate::engine::rng::{Seed, Stream};
use crate::engine::time::{Duration, Instant};
use crate::netfilter::conntrack::Conntrack;
use crate::netfilter::conntrack::bench::{ip, udp};
use crate::netfilter::hooks::Hook;
use crate::netfilter::ipset::IpSets;
use crate::netfilter::rules::upper;
use crate::netfilter::text::Restore;
use crate::wire::eth::MacAddr;
use crate::wire::ip::Family;
use crate::wire::packet::Packet;

/// 127/8 and 10.240.0.11 are this host's, 224/4 are groups, 10.244/16 is behind cni0 and the rest behind eth0.
struct Fib;

impl FibFacts for Fib {
    fn addr_type(&self, addr: IpAddr, dev: Option<&str>) -> AddrType {
        match addr {
            _ if addr.is_loopback() => AddrType::Local,
            _ if addr == ip("10.240.0.11") && dev.is_none_or(|d| d == "eth0") => AddrType::Local,
            _ if addr.is_multicast() => AddrType::Multicast,
            _ => AddrType::Unicast,
        }
    }

    fn reverses(&self, path: &ReversePath<'_>) -> bool {
        path.loose || path.dev == if path.src.to_string().starts_with("10.244.") { "cni0" } else { "eth0" }
    }
}

/// A ruleset and what packets have done to it.
struct Bench {
    rules: Ruleset,
    state: RuleState,
    sets: IpSets,
    conntrack: Conntrack,
    now: Instant,
    rng: Stream,
}

/// What came of a packet.
#[derive(Debug, PartialEq)]
struct After {
    verdict: Verdict,
    mark: u32,
    ct_mark: u32,
    template: Option<super::targets::ct::CtTemplate>,
    mss: Option<super::targets::tcpmss::MssLimit>,
    /// TTL and type of service.
    ttl_tos: (u8, u8),
    trace: Vec<TraceStep>,
}

/// Where and how a packet comes by.
#[derive(Clone)]
struct At<'a> {
    table: TableName,
    hook: Hook,
    in_dev: &'a str,
    out_dev: &'a str,
    physin: &'a str,
    physout: &'a str,
    mark: u32,
    traced: bool,
    mac: Option<MacAddr>,
    ct: CtFacts<'a>,
}

const FORWARD: At<'static> = At {
    table: TableName::Filter,
    hook: Hook::Forward,
    in_dev: "cni0",
    out_dev: "eth0",
    physin: "",
    physout: "",
    mark: 0,
    traced: false,
    mac: None,
    ct: CtFacts { state: super::CtState::Invalid, flow: None, mark: 0 },
};

impl Bench {
    fn new(text: &str) -> Self {
        let rules = Restore::parse(Family::V4, text).unwrap().apply(&Ruleset::default(), false).unwrap();
        let now = Instant::START + Duration::from_secs(1000);
        Self {
            rules,
            state: RuleState::default(),
            sets: IpSets::default(),
            conntrack: Conntrack::default(),
            now,
            rng: Seed(1).stream("rules", 0),
        }
    }

    /// A filter table whose FORWARD chain holds `rules`.
    fn forward(rules: &str) -> Self {
        Self::new(&format!("*filter\n:FORWARD ACCEPT [0:0]\n:x - [0:0]\n:y - [0:0]\n{rules}\nCOMMIT\n"))
    }

    fn send(&mut self, packet: &Packet, at: &At<'_>) -> After {
        let header = packet.ip().unwrap();
        let mut seen = RulePacket {
            ip: header,
            upper: upper(&header, packet.l3()),
            l3: packet.l3(),
            l4: Some(&packet.l3()[usize::from(header.header_len)..]),
            in_dev: at.in_dev,
            out_dev: at.out_dev,
            physin: at.physin,
            physout: at.physout,
            pkt_type: packet.pkt_type,
            mac: at.mac,
            ct: at.ct,
            conntrack: &self.conntrack,
            fib: &Fib,
            sets: &mut self.sets,
            now: self.now,
            rng: &mut self.rng,
            planted: Planted::default(),
            mark: at.mark,
            traced: at.traced,
            template: None,
            mss: None,
        };
        let mut trail = Trail::default();
        let table = self.rules.table(at.table).unwrap();
        let (verdict, _) = evaluate(table, &mut self.state, at.hook, &mut seen, &mut trail);
        let (mark, ct_mark, template, mss) = (seen.mark, seen.ct.mark, seen.template, seen.mss);
        let ttl_tos = (seen.ip.ttl, seen.ip.tos);
        After { verdict, mark, ct_mark, template, mss, ttl_tos, trace: trail.steps }
    }

    /// Whether a packet passes FORWARD.
    fn passes(&mut self, packet: &Packet) -> bool {
        self.passes_at(packet, &FORWARD)
    }

    fn passes_at(&mut self, packet: &Packet, at: &At<'_>) -> bool {
        self.send(packet, at).verdict == Verdict::Accept
    }

    fn wait(&mut self, secs: u64) {
        self.now += Duration::from_secs(secs);
    }

    /// `packets` and `bytes` of a rule of a chain of the filter table.
    fn counted(&self, chain: &str, rule: usize) -> (u64, u64) {
        let table = self.rules.table(TableName::Filter).unwrap();
        let counters = self.state.counters(table, table.find(chain).unwrap(), rule);
        (counters.packets, counters.bytes)
    }

    /// Changes the table by `text`, as `iptables-restore --noflush` does.
    fn restore(&mut self, text: &str) -> Result<(), String> {
        let new = Restore::parse(Family::V4, text).unwrap().apply(&self.rules, true).map_err(|e| e.to_string())?;
        self.state.follow(&self.rules, &new);
        self.rules = new;
        Ok(())
    }
}

/// A datagram from pod a to pod c.
fn datagram() -> Packet {
    udp("10.244.1.2:40000", "10.244.2.2:53")
}

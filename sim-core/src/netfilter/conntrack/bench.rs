//! For tests: a node that forwards, with conntrack and NAT at its hooks, and packets in few words.

use std::net::{IpAddr, SocketAddr};

use super::{Conntrack, ConntrackConfig, Entry, Verdict, Zone};
use crate::engine::rng::{Seed, Stream};
use crate::engine::time::{Duration, Instant};
use crate::netfilter::hooks::Hook;
use crate::netfilter::nat::{self, Manip, NatRange};
use crate::wire::build;
use crate::wire::icmp::IcmpHeader;
use crate::wire::ip::{ICMP, IpHeader, TCP, UDP};
use crate::wire::l4::TcpHeader;
use crate::wire::packet::{Packet, PacketId};

pub(crate) fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) fn udp(from: &str, to: &str) -> Packet {
    let (from, to) = (at(from), at(to));
    build::udp(PacketId(1), IpHeader::new(from.ip(), to.ip(), UDP, 0), from.port(), to.port(), b"hello")
}

/// A TCP segment of `flags` at `seq`, acknowledging `ack`, without options. Its window field is 502, as Linux
/// sends it with a scale of 7.
pub(crate) fn tcp(from: &str, to: &str, flags: u8, seq: u32, ack: u32, data: &[u8]) -> Packet {
    tcp_with(from, to, TcpHeader { flags, seq, ack, window: 502, ..Default::default() }, &[], data)
}

pub(crate) fn tcp_with(from: &str, to: &str, header: TcpHeader, options: &[u8], data: &[u8]) -> Packet {
    let (from, to) = (at(from), at(to));
    let header = TcpHeader { src: from.port(), dst: to.port(), ..header };
    build::tcp(PacketId(1), IpHeader::new(from.ip(), to.ip(), TCP, 0), header, options, data)
}

pub(crate) fn icmp(from: &str, to: &str, kind: u8, id: u16) -> Packet {
    let [a, b] = id.to_be_bytes();
    let message = IcmpHeader { kind, code: 0, rest: [a, b, 0, 1] }.to_bytes((ip(from), ip(to)), b"");
    build::ip(PacketId(1), IpHeader::new(ip(from), ip(to), ICMP, 0), &message)
}

/// An ICMP error from `from` to the sender of `about`, quoting it.
pub(crate) fn icmp_error(from: &str, about: &Packet, kind: u8, code: u8) -> Packet {
    let to = about.ip().unwrap().src;
    let message = IcmpHeader { kind, code, rest: [0; 4] }.to_bytes((ip(from), to), about.l3());
    build::ip(PacketId(2), IpHeader::new(ip(from), to, ICMP, 0), &message)
}

/// A range of one address and perhaps one port.
pub(crate) fn to(text: &str) -> NatRange {
    match text.parse::<SocketAddr>() {
        Ok(a) => NatRange { addrs: Some((a.ip(), a.ip())), ports: Some((a.port(), a.port())), ..NatRange::default() },
        Err(_) => NatRange { addrs: Some((ip(text), ip(text))), ..NatRange::default() },
    }
}

pub(crate) struct Node {
    pub(crate) ct: Conntrack,
    pub(crate) now: Instant,
    pub(crate) rng: Stream,
    /// What the nat table says at PREROUTING and POSTROUTING to every flow that asks.
    pub(crate) dnat: Option<NatRange>,
    pub(crate) snat: Option<NatRange>,
    /// Without rules in the nat table there are no nat hooks.
    pub(crate) has_nat: bool,
    pub(crate) zone: Zone,
}

impl Node {
    pub(crate) fn new() -> Self {
        Self {
            ct: Conntrack::new(ConntrackConfig { acct: true, ..ConntrackConfig::default() }),
            now: Instant::START + Duration::from_secs(1000),
            rng: Seed(1).stream("nat", 0),
            dnat: None,
            snat: None,
            has_nat: true,
            zone: Zone::default(),
        }
    }

    pub(crate) fn wait(&mut self, secs: u64) {
        self.now += Duration::from_secs(secs);
    }

    /// PREROUTING up to the nat hook.
    pub(crate) fn receive(&mut self, packet: &mut Packet) -> Verdict {
        match self.ct.track_in(self.now, packet, Hook::Prerouting, self.zone) {
            Verdict::Accept => self.nat(packet, Hook::Prerouting),
            Verdict::Drop => Verdict::Drop,
        }
    }

    /// POSTROUTING.
    pub(crate) fn send(&mut self, packet: &mut Packet) -> Verdict {
        match self.nat(packet, Hook::Postrouting) {
            Verdict::Accept => self.ct.confirm(self.now, packet),
            Verdict::Drop => Verdict::Drop,
        }
    }

    fn nat(&mut self, packet: &mut Packet, hook: Hook) -> Verdict {
        if !self.has_nat {
            return Verdict::Accept;
        }
        let manip = Manip::of(hook).unwrap();
        if nat::wants_rules(&self.ct, packet, hook) {
            let (id, ..) = self.ct.of(packet).unwrap();
            let range = if manip == Manip::Dst { self.dnat } else { self.snat };
            nat::setup(&mut self.ct, self.now, id, manip, range.as_ref(), &mut self.rng);
        }
        nat::translate(&mut self.ct, packet, hook, None)
    }

    /// The whole way; `None` if it is dropped.
    pub(crate) fn forward(&mut self, mut packet: Packet) -> Option<Packet> {
        let accepted = self.receive(&mut packet) == Verdict::Accept && self.send(&mut packet) == Verdict::Accept;
        self.ct.discard_tentative();
        accepted.then_some(packet)
    }

    /// The only entry.
    pub(crate) fn only(&self) -> &Entry {
        let mut entries = self.ct.iter(self.now);
        let (_, entry) = entries.next().expect("an entry");
        assert!(entries.next().is_none(), "more than one entry");
        entry
    }

    pub(crate) fn count(&self) -> usize {
        self.ct.iter(self.now).count()
    }

    /// The table as `conntrack -L -o extended` prints it.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.ct.iter(self.now).map(|(_, entry)| entry.show(self.now)).collect()
    }

    /// Seconds the only entry has left.
    pub(crate) fn left(&self) -> u64 {
        self.only().expires_in(self.now).as_secs()
    }
}

//! IPv6 packets in the lab's canonical form.

use serde_json::{Value, json};
use sim_core::wire::ext::{self, AUTH, DESTINATION, FRAGMENT, HOP_BY_HOP, NO_NEXT, ROUTING};
use sim_core::wire::icmp;
use sim_core::wire::icmpv6::{
    ECHO, ECHO_REPLY, NEIGH_ADVERT, NEIGH_SOLICIT, PARAMETER_PROBLEM, REDIRECT, ROUTER_ADVERT, ROUTER_SOLICIT, TOO_BIG,
};
use sim_core::wire::ip::{ICMPV6, IpHeader, TCP, UDP};

use super::{Around, Decoder, Fields, be16, be32, cut, hex, letter, protocol};

impl Decoder<'_> {
    /// An IPv6 packet; puts `ip6` and what follows it into `out`.
    pub(super) fn ip6(&mut self, b: &[u8], out: &mut Fields, quoted: bool) {
        let Some(header) = IpHeader::read(b).filter(|header| header.dst.is_ipv6()) else {
            out.insert("ip6".into(), json!({ "short": b.len() }));
            return;
        };
        let mut ip = Fields::new();
        ip.insert("s".into(), header.src.to_string().into());
        ip.insert("d".into(), header.dst.to_string().into());
        ip.insert("hl".into(), header.ttl.into());
        ip.insert("len".into(), header.total_len.into());
        if header.tos != 0 {
            ip.insert("tc".into(), header.tos.into());
        }
        if header.flow != 0 {
            ip.insert("flow".into(), letter(&mut self.flows, header.flow));
        }
        let packet = cut(b, 0, header.total_len as usize);
        // The lab does not know authentication headers.
        let chain: Vec<_> = ext::each(packet).take_while(|extension| extension.kind != AUTH).collect();
        let shown: Vec<Value> = chain.iter().map(|extension| self.extension(packet, extension)).collect();
        if !shown.is_empty() {
            ip.insert("ext".into(), shown.into());
        }
        let proto = chain.last().map_or(b[6], |extension| extension.next);
        let name = match proto {
            ICMPV6 => "icmp6".into(),
            TCP | UDP => protocol(proto),
            NO_NEXT => "none".into(),
            other => other.into(),
        };
        ip.insert("p".into(), name);
        let rest = cut(packet, chain.last().map_or(ext::IPV6_LEN, |e| e.at + e.len), packet.len());
        if header.frag_offset != 0 {
            ip.insert("data".into(), rest.len().into());
        }
        out.insert("ip6".into(), ip.into());
        let whole = !header.is_fragment() && b.len() >= header.total_len as usize;
        let around = Around { src: header.src, dst: header.dst, whole, quoted };
        match proto {
            _ if header.frag_offset != 0 => {}
            UDP if rest.len() >= 8 => self.udp(rest, around, out),
            TCP if rest.len() >= 8 => self.tcp(rest, around, out),
            ICMPV6 if rest.len() >= 8 => self.icmp6(rest, around, out),
            _ => {}
        }
    }

    fn extension(&mut self, packet: &[u8], extension: &ext::Extension) -> Value {
        let name = match extension.kind {
            HOP_BY_HOP => "hbh",
            ROUTING => "rt",
            DESTINATION => "dst",
            FRAGMENT => return self.fragment(packet, extension.at),
            other => return json!({ other.to_string(): null }),
        };
        json!({ name: hex(cut(packet, extension.at + 2, extension.at + extension.len)) })
    }

    fn fragment(&mut self, packet: &[u8], at: usize) -> Value {
        let Some(fragment) = ext::fragment_at(packet, at) else { return Value::Null };
        let mut shown = Fields::new();
        shown.insert("off".into(), fragment.offset.into());
        shown.insert("id".into(), if fragment.id == 0 { 0.into() } else { letter(&mut self.fragments, fragment.id) });
        if fragment.more {
            shown.insert("mf".into(), 1.into());
        }
        json!({ "frag": shown })
    }

    fn icmp6(&mut self, p: &[u8], around: Around, out: &mut Fields) {
        let (kind, word) = (p[0], be32(p, 4));
        let mut message = Fields::new();
        message.insert("type".into(), kind.into());
        message.insert("code".into(), p[1].into());
        match kind {
            ECHO | ECHO_REPLY => {
                message.insert("id".into(), self.echo_id(be16(p, 4)));
                message.insert("seq".into(), be16(p, 6).into());
                message.insert("data".into(), (p.len() - 8).into());
            }
            TOO_BIG => drop(message.insert("mtu".into(), word.into())),
            PARAMETER_PROBLEM => drop(message.insert("ptr".into(), word.into())),
            ROUTER_SOLICIT..=REDIRECT => self.discovery(p, &mut message),
            _ => {}
        }
        if around.whole && !around.quoted {
            let right = icmp::checksum(around.src, around.dst, p) == 0;
            message.insert("ck".into(), if right { "ok" } else { "bad" }.into());
        }
        if icmp::is_error(ICMPV6, kind) && (1..=4).contains(&kind) && !around.quoted {
            message.insert("quote_len".into(), (p.len() - 8).into());
            let mut quote = Fields::new();
            self.ip6(&p[8..], &mut quote, true);
            message.insert("quote".into(), quote.into());
        }
        out.insert("icmp6".into(), message.into());
    }

    fn discovery(&self, p: &[u8], message: &mut Fields) {
        let (name, options) = match p[0] {
            ROUTER_SOLICIT => ("rs", 8),
            ROUTER_ADVERT => ("ra", 16),
            NEIGH_SOLICIT => ("ns", 24),
            NEIGH_ADVERT => ("na", 24),
            _ => ("redirect", 40),
        };
        message.insert("nd".into(), name.into());
        let address = |at: usize| {
            let octets: Option<[u8; 16]> = p.get(at..at + 16).and_then(|b| b.try_into().ok());
            octets.map(|octets| Value::from(std::net::Ipv6Addr::from(octets).to_string()))
        };
        if matches!(p[0], NEIGH_SOLICIT | NEIGH_ADVERT | REDIRECT) {
            message.extend(address(8).map(|target| ("target".into(), target)));
        }
        if p[0] == NEIGH_ADVERT {
            let flags = [(0x80, 'R'), (0x40, 'S'), (0x20, 'O')];
            let set: String = flags.iter().filter(|(bit, _)| p[4] & bit != 0).map(|(_, letter)| *letter).collect();
            message.insert("fl".into(), set.into());
        }
        if p[0] == REDIRECT {
            message.extend(address(24).map(|dst| ("dst".into(), dst)));
        }
        let mut rest = cut(p, options, p.len());
        while let [kind, len, value @ ..] = rest
            && *len > 0
            && value.len() >= 6
        {
            match kind {
                1 => drop(message.insert("sll".into(), self.mac(&value[..6]))),
                2 => drop(message.insert("tll".into(), self.mac(&value[..6]))),
                _ => {}
            }
            rest = cut(rest, usize::from(*len) * 8, rest.len());
        }
    }
}

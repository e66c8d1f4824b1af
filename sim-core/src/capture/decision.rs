//! What was decided about a packet between two taps, as values.

use std::net::IpAddr;
use std::sync::Arc;

use crate::engine::arena::DevId;
use crate::netfilter::conntrack::Dir;
use crate::netfilter::hooks::Hook;
use crate::netfilter::rules::{Chain, CtState, TableName, TraceStep, Verdict};
use crate::wire::l4;
use crate::wire::packet::Packet;

/// One decision.
#[derive(Clone, Debug)]
pub enum Decision {
    /// Conntrack said how the packet relates to a connection, and which way it goes if it belongs to one.
    Tracked(Hook, CtState, Option<Dir>),
    /// A table gave its verdict, or changed the packet's mark.
    Ruled(Ruled),
    /// Which rules a table looked at on its way to a verdict, if the taps are to know.
    Asked(Asked),
    /// NAT changed an address or port.
    Translated(Translated),
    /// The connection's entry went into the conntrack table.
    Confirmed(Hook),
    /// The FIB said that the packet is for somebody else, and where it leaves.
    Forwarded {
        /// The device.
        dev: DevId,
        /// The next hop; `None` if the destination itself is on the link.
        via: Option<IpAddr>,
    },
    /// A bridge knew the port for the destination.
    Switched(DevId),
    /// A bridge did not know the port, or the frame was for a group: to every port.
    Flooded,
    /// The frame was put into a VXLAN packet.
    Encapsulated {
        /// Its network.
        vni: u32,
        /// The VTEP it goes to.
        remote: IpAddr,
    },
}

/// What a table decided.
#[derive(Clone, Debug)]
pub struct Ruled {
    /// At which hook.
    pub hook: Hook,
    /// Which table.
    pub table: TableName,
    /// The chain of the rule that decided, as it stood.
    pub chain: Arc<Chain>,
    /// The rule's number, from 0; the number of rules if it was the chain's policy.
    pub number: u32,
    /// What was decided.
    pub verdict: Verdict,
    /// The packet's mark before and after, if the table changed it.
    pub mark: Option<(u32, u32)>,
}

/// The way of a packet through a table.
#[derive(Clone, Debug)]
pub struct Asked {
    /// At which hook.
    pub hook: Hook,
    /// Which table.
    pub table: TableName,
    /// What was seen, and the chain, as it stood. What stands between two steps in one chain did not fit.
    pub steps: Vec<(Arc<Chain>, TraceStep)>,
}

/// What NAT changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Translated {
    /// At which hook.
    pub hook: Hook,
    /// Whether the source was changed, not the destination.
    pub source: bool,
    /// Before.
    pub before: End,
    /// After.
    pub after: End,
}

/// One end of a packet's way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct End {
    /// Its address.
    pub ip: IpAddr,
    /// Its port; `None` where the protocol has none.
    pub port: Option<u16>,
}

impl End {
    /// Source and destination of a packet that begins with an IP header; `None` if it does not.
    pub fn both(packet: &Packet) -> Option<[Self; 2]> {
        let ip = packet.ip()?;
        let l4 = packet.l3().get(usize::from(ip.header_len)..).unwrap_or(&[]);
        let ports = l4::ports(ip.proto, l4).filter(|_| ip.frag_offset == 0);
        Some([Self { ip: ip.src, port: ports.map(|p| p.0) }, Self { ip: ip.dst, port: ports.map(|p| p.1) }])
    }
}

impl Translated {
    /// What changed at `hook` between two looks at a packet; `None` if nothing did.
    pub fn between(hook: Hook, before: [End; 2], after: [End; 2]) -> Option<Self> {
        let [source, destination] = [0, 1].map(|i| before[i] != after[i]);
        let i = if destination { 1 } else { 0 };
        (source || destination).then(|| Self { hook, source: i == 0, before: before[i], after: after[i] })
    }
}

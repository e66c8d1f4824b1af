//! Flows as a dump of conntrack tells them (net/netfilter/nf_conntrack_netlink.c, `ctnetlink_dump_table`).

use std::net::SocketAddr;

use crate::engine::time::Instant;
use crate::netfilter::conntrack::{L4, Tuple};
use crate::netns::Netns;

/// A flow of a protocol with ports.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Flow {
    /// L4 protocol number.
    pub proto: u8,
    /// Its first packet, as it came.
    pub orig: Way,
    /// Its answers, as they come; of a translated flow the source is who was chosen to answer.
    pub reply: Way,
}

/// One direction of a flow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Way {
    /// From.
    pub src: SocketAddr,
    /// To.
    pub dst: SocketAddr,
}

impl Way {
    fn of(tuple: &Tuple) -> Option<Self> {
        let L4::Ports { src, dst } = tuple.l4 else { return None };
        Some(Self { src: SocketAddr::new(tuple.src, src), dst: SocketAddr::new(tuple.dst, dst) })
    }
}

impl Netns {
    /// The flows that `conntrack -L` lists, those of protocols with ports, oldest first.
    pub fn flows(&self, now: Instant) -> impl Iterator<Item = Flow> {
        self.conntrack.iter(now).filter_map(|(_, entry)| {
            let (orig, reply) = (Way::of(&entry.orig)?, Way::of(&entry.reply)?);
            Some(Flow { proto: entry.orig.proto, orig, reply })
        })
    }
}

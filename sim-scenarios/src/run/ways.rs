//! By which node calls from outside came in, and where they ended, told by following their packets.
//!
//! A packet keeps its id through NAT, load balancers and encapsulation: so it can be followed from the client's device to
//! the first node that sees it, and on to the netns that sees it last.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use sim_core::capture::{Direction, Hop, Seen};
use sim_core::engine::arena::NetnsId;
use sim_core::wire::packet::PacketId;

use super::losses::flow;

/// Packets that are followed: more than are on their way at any moment.
const FOLLOWED: usize = 1 << 14;
/// Clients whose way is remembered until their call ends.
const CLIENTS: usize = 1 << 14;

/// The way of a packet from outside.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Way {
    /// The node it entered the cluster at, as an index.
    pub entered: usize,
    /// The netns that saw it last.
    pub reached: NetnsId,
}

/// The ways of calls from outside.
#[derive(Clone, Debug, Default)]
pub(super) struct Ways {
    /// Packets that left a client, and its end.
    packets: BTreeMap<PacketId, SocketAddr>,
    /// The way of the last packet of each client that came to a node.
    ways: BTreeMap<SocketAddr, (PacketId, Way)>,
}

impl Ways {
    /// Takes note of what the taps saw. Clients are in the netns `outside`; `node` tells a node's index by its netns.
    pub(super) fn see(&mut self, seen: &[Seen], outside: NetnsId, node: impl Fn(NetnsId) -> Option<usize>) {
        for seen in seen {
            match seen {
                Seen::Hop(hop) if hop.netns == outside && hop.direction == Direction::Out => self.begin(hop),
                Seen::Hop(hop) => self.follow(hop.packet, hop.netns, &node),
                Seen::Loss(_) => {}
            }
        }
    }

    fn begin(&mut self, hop: &Hop) {
        let Some(([client, _], _)) = flow(&hop.frame).filter(|_| !self.packets.contains_key(&hop.packet)) else {
            return;
        };
        self.packets.insert(hop.packet, client);
        if self.packets.len() > FOLLOWED {
            self.packets.pop_first();
        }
    }

    fn follow(&mut self, packet: PacketId, netns: NetnsId, node: impl Fn(NetnsId) -> Option<usize>) {
        let Some(client) = self.packets.get(&packet) else { return };
        match self.ways.get_mut(client) {
            Some((last, way)) if *last == packet => way.reached = netns,
            // Packets of a client follow each other closely: this one is overtaken by a later one that has entered.
            Some((last, _)) if *last > packet => {}
            _ => {
                let Some(entered) = node(netns) else { return };
                self.ways.insert(*client, (packet, Way { entered, reached: netns }));
                if self.ways.len() > CLIENTS {
                    self.ways.pop_first();
                }
            }
        }
    }

    /// The way of the call whose client had this end.
    pub(super) fn take(&mut self, client: SocketAddr) -> Option<Way> {
        self.ways.remove(&client).map(|(_, way)| way)
    }
}

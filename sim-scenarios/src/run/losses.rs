//! Where the packets of a call went missing, told by following them.
//!
//! A packet keeps its id through NAT, forwarding and encapsulation, and at its first tap it still bears the addresses its
//! sender gave it: so the id of a dropped packet leads back to the socket whose packet it was.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use sim_core::capture::{Hop, Loss, Seen};
use sim_core::engine::arena::NetnsId;
use sim_core::engine::time::Instant;
use sim_core::engine::trail::{DropPlace, DropReason};
use sim_core::wire::eth::ETH_LEN;
use sim_core::wire::ip::IpHeader;
use sim_core::wire::l4;
use sim_core::wire::packet::PacketId;

use crate::workload::Attempt;

/// Packets whose sender is remembered: more than are on their way at any moment.
const REMEMBERED: usize = 1 << 16;
/// Ends of connections whose last trouble is remembered.
const TROUBLES: usize = 1 << 16;

/// Where a call failed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Place {
    /// A packet of it was dropped here.
    Dropped(DropPlace),
    /// It was ended by force from this netns, by this protocol.
    Reset(NetnsId, u8),
}

/// The last trouble of every socket that had some.
#[derive(Clone, Debug, Default)]
pub(super) struct Losses {
    flows: BTreeMap<PacketId, [SocketAddr; 2]>,
    places: BTreeMap<SocketAddr, (Instant, Place)>,
    /// Packets that no tap saw, since they were dropped before they reached a device: of each netns the last.
    untapped: BTreeMap<NetnsId, (Instant, Place)>,
}

impl Losses {
    /// Takes note of what the taps saw.
    pub(super) fn see(&mut self, seen: &[Seen]) {
        for seen in seen {
            match seen {
                Seen::Hop(hop) => self.hop(hop),
                Seen::Loss(loss) => self.loss(loss),
            }
        }
    }

    fn hop(&mut self, hop: &Hop) {
        if self.flows.contains_key(&hop.packet) {
            return;
        }
        let Some((ends, reset_by)) = flow(&hop.frame) else { return };
        self.flows.insert(hop.packet, ends);
        if let Some(proto) = reset_by {
            self.note(ends[1], hop.at, Place::Reset(hop.netns, proto));
        }
        if self.flows.len() > REMEMBERED {
            self.flows.pop_first();
        }
    }

    fn loss(&mut self, loss: &Loss) {
        // A copy that a bridge flooded to someone else: the packet went on.
        if loss.place.reason == DropReason::OtherHost {
            return;
        }
        let place = Place::Dropped(loss.place);
        match self.flows.get(&loss.packet).copied() {
            Some(ends) => ends.into_iter().for_each(|end| self.note(end, loss.at, place)),
            None if loss.place.dev.is_none() => {
                self.untapped.insert(loss.place.netns, (loss.at, place));
            }
            None => {}
        }
    }

    fn note(&mut self, end: SocketAddr, at: Instant, place: Place) {
        if self.places.len() >= TROUBLES {
            self.places.pop_first();
        }
        self.places.insert(end, (at, place));
    }

    /// Where packets of this call were lost last.
    pub(super) fn place(&self, call: Attempt) -> Option<Place> {
        let since = |(at, place): &(Instant, Place)| (*at >= call.begun).then_some(*place);
        let on_the_way = self.places.get(&call.local).and_then(since);
        on_the_way.or_else(|| self.untapped.get(&call.netns).and_then(since))
    }
}

/// Both ends of a frame's packet, and the protocol by which it ends a connection by force, if it does.
pub(super) fn flow(frame: &[u8]) -> Option<([SocketAddr; 2], Option<u8>)> {
    let packet = frame.get(ETH_LEN..)?;
    let ip = IpHeader::read(packet)?;
    let l4 = packet.get(usize::from(ip.header_len)..)?;
    let (src, dst) = l4::ports(ip.proto, l4)?;
    let reset_by = l4::resets(ip.proto, l4).then_some(ip.proto);
    Some(([SocketAddr::new(ip.src, src), SocketAddr::new(ip.dst, dst)], reset_by))
}

//! What the walk hands to the capture: frames at devices, decisions in between, losses.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Ctx, Outbox};
use crate::capture::{Decision, Direction, Hop, Loss, Seen};
use crate::engine::arena::DevId;
use crate::engine::time::Instant;
use crate::engine::trail::DropPlace;
use crate::netns::Netns;
use crate::wire::packet::{Packet, PacketId, PacketType};

/// Packets whose decisions wait for their next tap: more are on their way only if many wait for neighbours. Fragments that
/// became part of another packet stay until they are the oldest.
const WAITING: usize = 4096;

/// The taps of all devices.
#[derive(Clone, Debug, Default)]
pub(crate) struct Taps {
    /// Whether they are on. What is off costs nothing.
    pub on: bool,
    /// Whether they are told of each rule that was looked at.
    pub rules: bool,
    /// The number of the event that is happening.
    pub event: u64,
    pub seen: Vec<Seen>,
    decided: BTreeMap<PacketId, Vec<Decision>>,
}

impl Taps {
    /// A packet reached its socket: what was decided since its last tap is shown there.
    pub(super) fn delivered(&mut self, packet: PacketId) {
        let Some(decided) = self.decided.remove(&packet) else { return };
        let hop = self.seen.iter_mut().rev().find_map(|seen| match seen {
            Seen::Hop(hop) if hop.packet == packet => Some(hop),
            _ => None,
        });
        if let Some(hop) = hop {
            hop.decisions.extend(decided);
        }
    }

    fn take(&mut self, packet: PacketId) -> Vec<Decision> {
        self.decided.remove(&packet).unwrap_or_default()
    }
}

impl Ctx<'_> {
    /// The frame passes `dev`. An incoming frame bears the stamp of its hand-over, unless that is no time of receipt.
    pub(super) fn tap(&mut self, ns: &Netns, dev: DevId, direction: Direction, packet: &Packet) {
        let out = &mut *self.out;
        out.hop_count += 1;
        if !out.taps.on {
            return;
        }
        let stamp = match direction {
            Direction::In if packet.stamp != 0 && !packet.timed => packet.stamp,
            _ => out.stamp(),
        };
        let decisions = out.taps.take(packet.id);
        out.taps.seen.push(Seen::Hop(Hop {
            at: self.now,
            event: out.taps.event,
            stamp,
            netns: ns.id,
            dev,
            direction,
            pkt_type: if direction == Direction::Out { PacketType::Outgoing } else { packet.pkt_type },
            packet: packet.id,
            csum_pending: packet.csum_partial,
            frame: Bytes::copy_from_slice(packet.data()),
            decisions,
        }));
    }

    /// The packet is for this host: what said when it may leave says when it came (`skb_clear_delivery_time`).
    pub(super) fn arrived(&mut self, packet: &mut Packet) {
        if std::mem::take(&mut packet.timed) {
            packet.stamp = self.out.stamp();
        }
    }

    /// Something was decided about a packet. `what` is asked only if taps are on.
    pub(super) fn decided(&mut self, packet: PacketId, what: impl FnOnce() -> Option<Decision>) {
        let taps = &mut self.out.taps;
        if !taps.on {
            return;
        }
        let Some(what) = what() else { return };
        taps.decided.entry(packet).or_default().push(what);
        if taps.decided.len() > WAITING {
            taps.decided.pop_first();
        }
    }
}

impl Outbox {
    /// A packet is gone: it is counted, and shown if taps are on. Without `packet` it never became one, or not a whole one.
    pub(crate) fn lose(&mut self, at: Instant, packet: Option<&Packet>, place: DropPlace) {
        self.drops.count(place);
        let Some(packet) = packet.filter(|_| self.taps.on) else { return };
        let decisions = self.taps.take(packet.id);
        let (event, frame) = (self.taps.event, packet.to_frame());
        self.taps.seen.push(Seen::Loss(Loss { at, event, packet: packet.id, place, frame, decisions }));
    }
}

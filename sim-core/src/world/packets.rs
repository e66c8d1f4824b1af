//! What a walk leaves behind becomes events: frames between netns and into wires, timers.

use super::{Event, World};
use crate::engine::arena::{CpuId, DevId, NetnsId};
use crate::engine::time::Instant;
use crate::engine::trail::{DropPlace, DropReason};
use crate::link::Passage;
use crate::walk::Target;
use crate::wire::packet::Packet;

impl World {
    /// `cpu` is where the walk was.
    pub(super) fn schedule_left_behind(&mut self, netns: NetnsId, now: Instant, cpu: Option<CpuId>) {
        let mut frames = std::mem::take(&mut self.out.frames);
        for (target, packet) in frames.drain(..) {
            match target {
                Target::Dev(to, dev) => {
                    let refused = self.queue.hand_over(Event::Receive(to, dev, packet, cpu));
                    if let Err(Event::Receive(to, dev, packet, _)) = refused {
                        self.lose_in_backlog((to, dev, &packet), DropReason::CpuBacklog);
                    }
                }
                Target::Link(link, end) => self.send_into(link, end, packet, now),
            }
        }
        self.out.frames = frames;
        let mut timers = std::mem::take(&mut self.out.timers);
        for (at, timer) in timers.drain(..) {
            self.queue.schedule(at, Event::Timer(netns, timer));
        }
        self.out.timers = timers;
    }

    /// A frame that no CPU took from where it waited is gone.
    pub(super) fn lose_in_backlog(&mut self, (netns, dev, packet): (NetnsId, DevId, &Packet), reason: DropReason) {
        let place = DropPlace { netns, dev: Some(dev), stage: "backlog", reason };
        self.out.lose(self.queue.now(), Some(packet), place);
    }

    fn send_into(&mut self, link: crate::engine::arena::LinkId, end: u8, mut packet: Packet, now: Instant) {
        let Some(wire) = self.links.get_mut(link.index()) else { return };
        let (netns, dev) = wire.far_end(end);
        match wire.send(end, packet.len(), now) {
            Passage::Lost(reason) => {
                let place = DropPlace { netns, dev: Some(dev), stage: "link", reason };
                self.out.lose(now, Some(&packet), place);
            }
            Passage::Arrives { at, again, flip } => {
                (packet.stamp, packet.timed, packet.flow_hash) = (0, false, 0);
                if let Some(again) = again {
                    self.queue.schedule(again, Event::Receive(netns, dev, packet.clone(), None));
                }
                if let Some(bit) = flip {
                    let len = packet.len() as u32 * 8;
                    let bit = bit.checked_rem(len).unwrap_or(0);
                    if let Some(byte) = packet.data_mut().get_mut(bit as usize / 8) {
                        *byte ^= 1 << (bit % 8);
                    }
                }
                self.queue.schedule(at, Event::Receive(netns, dev, packet, None));
            }
        }
    }
}

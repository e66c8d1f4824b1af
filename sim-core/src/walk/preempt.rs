//! A stage boundary is where another CPU of the machine may run: the walk of this one is suspended, as when an interrupt
//! or a slow cache holds it up, and goes on some microseconds later. What it would have found meanwhile may have changed.

use super::{After, Ctx, Outbox, Stage, go_on};
use crate::engine::rng::Stream;
use crate::engine::time::Duration;
use crate::netfilter::hooks::Hook;
use crate::netns::Netns;

/// One of so many stage boundaries suspends the walk: a packet that crosses a node is held up once or twice. In life it
/// is far rarer; but whoever looks for a race wants to see it within some dozens of seeds, also one whose window is as
/// short as that between the choice of a port and its confirmation.
const RARITY: u32 = 16;
/// A walk is suspended for at most this long. It is what the walk of a packet takes on a busy machine; so another
/// packet can pass meanwhile, and no timer notices.
const LONGEST_US: u32 = 20;

/// A walk that waits until it is resumed: its stages, the next one last, and for how long.
pub(crate) struct Suspended {
    pub stages: Vec<Stage>,
    pub wait: Duration,
}

impl Ctx<'_> {
    /// Whether the walk is suspended here. Not while a packet of this host is in OUTPUT: whoever sends it learns in the
    /// same system call what became of it there.
    pub(super) fn is_preempted(&mut self, worklist: &[Stage]) -> bool {
        let Some(draws) = &mut self.preempt else { return false };
        let in_output = |stage: &Stage| match stage {
            Stage::LocalOut(..) => true,
            Stage::Hook(walk) => walk.hook == Hook::Output,
            _ => false,
        };
        draws.below(RARITY) == 0 && !worklist.iter().any(in_output)
    }

    /// Whether the rest of a system call waits for softirqs: between two fragments they may run (`__dev_queue_xmit`,
    /// `rcu_read_unlock_bh`), so one arrives before the next is sent; and before the packet of which a copy came back
    /// (`netif_rx`).
    pub(super) fn softirqs_go_first(&self, worklist: &[Stage]) -> bool {
        let leaves = |stage: &Stage| match stage {
            Stage::Resolve(..) | Stage::ComeBack(..) => true,
            Stage::Hook(walk) => matches!(walk.after, After::PostroutingDone(_)) && walk.indev.is_none(),
            _ => false,
        };
        let rest = !worklist.is_empty() && worklist.iter().all(leaves);
        self.out.in_syscall && self.preempt.is_none() && rest && !self.out.frames.is_empty()
    }
}

/// The conntrack entries of suspended packets are kept for them.
pub(super) fn suspend(ns: &mut Netns, stages: &[Stage]) {
    stages.iter().filter_map(Stage::packet).for_each(|packet| ns.conntrack.hold(packet));
}

/// Takes back what is suspended.
pub(super) fn take(ns: &mut Netns, ctx: &mut Ctx<'_>) -> Vec<Stage> {
    let stages = std::mem::take(&mut ctx.out.worklist.0);
    stages.iter().filter_map(Stage::packet).for_each(|packet| ns.conntrack.release(packet));
    stages
}

/// Goes on with a walk that was suspended.
pub(crate) fn resume(ns: &mut Netns, ctx: &mut Ctx<'_>, stages: Vec<Stage>) {
    ctx.out.worklist.0 = stages;
    let worklist = take(ns, ctx);
    go_on(ns, ctx, worklist);
}

impl Outbox {
    /// The rest of a system call that waits for softirqs, if there is any.
    pub(crate) fn take_waiting(&mut self) -> Option<Vec<Stage>> {
        Some(std::mem::take(&mut self.worklist.0)).filter(|stages| !stages.is_empty())
    }

    /// The walk that was suspended, if one was.
    pub(crate) fn take_suspended(&mut self, draws: &mut Stream) -> Option<Suspended> {
        if self.worklist.0.is_empty() {
            return None;
        }
        let wait = Duration::from_micros(u64::from(1 + draws.below(LONGEST_US)));
        Some(Suspended { stages: std::mem::take(&mut self.worklist.0), wait })
    }
}

//! Does to a run what was planned.

use sim_core::engine::rng::Stream;
use sim_core::engine::time::Instant;

use super::{Alarm, Run};
use crate::fault::Planned;

impl Run {
    /// Plans faults, before the cluster has settled: from then on their time counts.
    #[must_use]
    pub fn with_faults(mut self, faults: Vec<Planned>) -> Self {
        self.faults = faults;
        self
    }

    /// What was done to it so far: when, and in words.
    pub fn struck(&self) -> &[(Instant, String)] {
        &self.struck
    }

    /// The stream of draws of faults that leave something open.
    pub(crate) fn fault_draws(&mut self) -> &mut Stream {
        &mut self.fault_draws
    }

    /// A node, as an index into the cluster's.
    ///
    /// # Errors
    /// There is none of this name.
    pub(crate) fn node(&self, name: &str) -> Result<usize, String> {
        let found = self.cluster.nodes.iter().position(|node| node.name == name);
        found.ok_or_else(|| "there is no such node".to_owned())
    }

    /// The power of a node fails; if it `leaves`, its Node is deleted as well.
    pub(crate) fn power_off(&mut self, node: usize, leaves: bool) {
        self.cluster.power_off(&mut self.world, node, leaves);
        self.play_applications();
    }

    /// Cuts or heals the watches of an agent.
    ///
    /// # Errors
    /// There is none of this name.
    pub(crate) fn set_watches(&mut self, agent: &str, cut: bool) -> Result<(), String> {
        let plane = self.cluster.control_plane();
        let agent = plane.agent_named(agent).ok_or("there is no such agent")?;
        if cut {
            plane.cut_watches(agent);
        } else {
            plane.heal_watches(&mut self.world, agent);
        }
        Ok(())
    }

    pub(super) fn begin_faults(&mut self, now: Instant) {
        for (index, planned) in self.faults.iter().enumerate() {
            self.over = self.over.max(now + planned.at);
            self.world.alarm(now + planned.at, Alarm::Strike(index).token());
        }
    }

    pub(super) fn strike(&mut self, index: usize) {
        let Planned { at, fault } = self.faults[index].clone();
        let done = match fault.strike(self) {
            Ok(detail) if detail.is_empty() => format!("at {at}: {fault}"),
            Ok(detail) => format!("at {at}: {fault} ({detail})"),
            Err(why) => format!("at {at}: {fault}: not done, {why}"),
        };
        self.struck.push((self.world.now(), done));
    }
}

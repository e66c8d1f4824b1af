//! Pods that are pushed out for one of higher priority (upstream pkg/scheduler/framework/preemption and
//! plugins/defaultpreemption). Disruption budgets are not modelled.

use std::cmp::Reverse;
use std::sync::Arc;

use sim_core::engine::rng::Stream;
use sim_core::engine::time::Instant;

use crate::api::Pod;

use super::cycle::{Cycle, Unschedulable, histogram};
use super::plugins;
use super::snapshot::{ClassId, Snapshot};

/// So many candidates are enough, or a tenth of the nodes (`DefaultPreemptionArgs`).
const CANDIDATES: usize = 100;

/// A node that can be cleared for a pod.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) node: String,
    /// Who has to go, the most important one first.
    pub(super) victims: Vec<Arc<Pod>>,
}

/// Why pushing others out does not help, in upstream's words.
#[derive(Clone, Debug)]
pub(super) enum Futile {
    /// The pod may not push others out, or not again: it goes on waiting for the node it waits for.
    NotEligible(&'static str),
    /// There is no node where it would help.
    NoCandidate(String),
}

/// The node that is best cleared for the pod that fits nowhere.
///
/// # Errors
/// Why that would not help.
pub(super) fn preempt(cycle: &Cycle<'_>, failure: &Unschedulable, draws: &mut Stream) -> Result<Candidate, Futile> {
    may_preempt(cycle, failure).map_err(Futile::NotEligible)?;
    let potential: Vec<&String> =
        failure.rejections.iter().filter(|(_, r)| r.resolvable).map(|(name, _)| name).collect();
    let unhelpful = failure.rejections.len() - potential.len();
    let mut reasons = vec!["Preemption is not helpful for scheduling".to_owned(); unhelpful];
    let offset = draws.below(potential.len() as u32) as usize;
    let mut candidates = Vec::new();
    for index in 0..potential.len() {
        let node = potential[(offset + index) % potential.len()];
        match dry_run(cycle, node) {
            Ok(candidate) => candidates.push(candidate),
            Err(why) => reasons.extend(why),
        }
        if candidates.len() >= CANDIDATES.max(potential.len() / 10) {
            break;
        }
    }
    // `pickOneNodeForPreemption`: the first of the best.
    let best = candidates.into_iter().min_by_key(harm);
    best.ok_or_else(|| Futile::NoCandidate(histogram(failure.rejections.len(), reasons.iter())))
}

/// `PodEligibleToPreemptOthers`.
fn may_preempt(cycle: &Cycle<'_>, failure: &Unschedulable) -> Result<(), &'static str> {
    if cycle.pod.template.never_preempts {
        return Err("not eligible due to preemptionPolicy=Never.");
    }
    let Some((_, node)) = cycle.nominated.get(&cycle.pod.key) else { return Ok(()) };
    let hopeless = failure.rejections.get(node).is_some_and(|rejection| !rejection.resolvable);
    let leaving = || cycle.snapshot.pods_on(node).any(|pod| pod.is_terminating() && is_victim(cycle, pod));
    if !hopeless && leaving() {
        return Err("not eligible due to a terminating pod on the nominated node.");
    }
    Ok(())
}

fn is_victim(cycle: &Cycle<'_>, pod: &Pod) -> bool {
    pod.template.priority < cycle.pod.template.priority
}

/// Who has to leave `node` (`SelectVictimsOnNode`): all of lower priority, but for those that may stay after all, the
/// most important ones first.
fn dry_run(cycle: &Cycle<'_>, node: &str) -> Result<Candidate, Vec<String>> {
    let lower = |class: &ClassId| cycle.snapshot.classes[*class].template.priority < cycle.pod.template.priority;
    if !cycle.snapshot.node(node).is_some_and(|node| node.pods.keys().any(lower)) {
        return Err(vec!["No preemption victims found for incoming pod".into()]);
    }
    let mut snapshot = cycle.snapshot.clone();
    let mut potential: Vec<Arc<Pod>> = snapshot.pods_on(node).filter(|pod| is_victim(cycle, pod)).cloned().collect();
    potential.sort_by_key(|pod| (Reverse(pod.template.priority), started(pod)));
    potential.iter().for_each(|pod| drop(snapshot.remove(&pod.key)));
    fits(cycle, &snapshot, node)?;
    let mut victims = Vec::new();
    for pod in potential {
        snapshot.place(&pod, node);
        if fits(cycle, &snapshot, node).is_err() {
            snapshot.remove(&pod.key);
            victims.push(pod);
        }
    }
    Ok(Candidate { node: node.to_owned(), victims })
}

fn fits(cycle: &Cycle<'_>, snapshot: &Snapshot, node: &str) -> Result<(), Vec<String>> {
    let cycle = cycle.with(snapshot);
    let node = snapshot.node(node).expect("the node is one of those that were looked at");
    cycle.filter(&plugins::all(&cycle), node).map_err(|rejection| rejection.reasons)
}

/// When a pod was started; those that were not count as the latest (`GetPodStartTime`).
fn started(pod: &Pod) -> Instant {
    pod.status.started.unwrap_or(Instant::NEVER)
}

/// How much harm clearing a node does, the least first (`OrderedScoreFuncs`): by the highest priority among the victims,
/// the sum of their priorities, their number, and how late the first of the most important ones was started.
fn harm(candidate: &Candidate) -> (i32, i64, usize, Reverse<Instant>) {
    let victims = &candidate.victims;
    let highest = victims.first().map_or(i32::MIN, |pod| pod.template.priority);
    // Upstream adds 2^31 to each, so that more victims of negative priority are not better than fewer.
    let sum = victims.iter().map(|pod| i64::from(pod.template.priority) + (1 << 31)).sum();
    let most_important = victims.iter().filter(|pod| pod.template.priority == highest);
    let first = most_important.map(|pod| started(pod)).min().unwrap_or(Instant::NEVER);
    (highest, sum, victims.len(), Reverse(first))
}

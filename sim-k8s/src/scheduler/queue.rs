//! The pods that wait for a node (upstream pkg/scheduler/backend/queue/scheduling_queue.go).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sim_core::engine::time::{Duration, Instant};

use crate::api::{ObjectKey, Pod};
use crate::timings::Span;

use super::plugins::Name;

/// Pods whose backoff is over are looked for so often (`flushBackoffQCompleted`).
const BACKOFF_CHECK: Duration = Duration::from_secs(1);
/// A pod that nothing helped for so long is tried again (`DefaultPodMaxInUnschedulablePodsDuration`) …
const LEFT_OVER: Duration = Duration::from_secs(300);
/// … and such pods are looked for so often (`flushUnschedulablePodsLeftover`).
const LEFT_OVER_CHECK: Duration = Duration::from_secs(30);

/// Who is first: the highest priority, then whoever has waited longest (`PrioritySort`).
type Rank = (Reverse<i32>, Instant, u64);

/// Where in the queue a pod is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    /// It will be tried in its turn.
    Active(Rank),
    /// It will be tried, but not before this time.
    Backoff(Instant),
    /// Nothing has changed that would help it; at this time it is tried all the same.
    Unschedulable(Instant),
    /// It is being tried.
    InFlight,
}

/// A pod without a node.
#[derive(Clone, Debug)]
struct Waiting {
    pod: Arc<Pod>,
    place: Place,
    attempts: u32,
    /// When its last attempt ended.
    failed: Instant,
    /// The plugins that objected then.
    rejected_by: BTreeSet<Name>,
}

/// All pods without a node.
#[derive(Clone, Default, Debug)]
pub(super) struct Queue {
    pods: BTreeMap<ObjectKey, Waiting>,
    active: BTreeMap<Rank, ObjectKey>,
    /// When something is to be done for a pod that is not active.
    due: BTreeSet<(Instant, ObjectKey)>,
    numbers: u64,
}

impl Queue {
    /// A new pod; or the same one, changed.
    pub(super) fn add(&mut self, pod: &Arc<Pod>, now: Instant, backoff: Span) {
        match self.pods.get_mut(&pod.key) {
            Some(waiting) if waiting.pod.meta.uid == pod.meta.uid => {
                let changed = waiting.pod.labels != pod.labels;
                waiting.pod = pod.clone();
                if changed {
                    self.wake(&pod.key, now, backoff);
                }
            }
            _ => {
                self.remove(&pod.key);
                let (place, rejected_by) = (Place::InFlight, BTreeSet::new());
                let waiting = Waiting { pod: pod.clone(), place, attempts: 0, failed: now, rejected_by };
                self.pods.insert(pod.key.clone(), waiting);
                self.activate(&pod.key, now);
            }
        }
    }

    /// A pod has a node, or is gone.
    pub(super) fn remove(&mut self, pod: &ObjectKey) {
        if self.pods.contains_key(pod) {
            self.put(pod, Place::InFlight);
            self.pods.remove(pod);
        }
    }

    /// The pod to be tried next.
    pub(super) fn pop(&mut self) -> Option<ObjectKey> {
        let pod = self.active.values().next()?.clone();
        self.put(&pod, Place::InFlight);
        self.waiting(&pod).attempts += 1;
        Some(pod)
    }

    /// The pod as it is known now, if it still waits.
    pub(super) fn get(&self, pod: &ObjectKey) -> Option<&Arc<Pod>> {
        self.pods.get(pod).map(|waiting| &waiting.pod)
    }

    /// An attempt has failed: the pod waits for a change that helps.
    pub(super) fn fail(&mut self, pod: &ObjectKey, now: Instant, rejected_by: BTreeSet<Name>) {
        let waiting = self.waiting(pod);
        (waiting.failed, waiting.rejected_by) = (now, rejected_by);
        let again = now + LEFT_OVER + Duration::from_nanos(1);
        self.put(pod, Place::Unschedulable(next_check(again, LEFT_OVER_CHECK)));
    }

    /// The pods that wait for a change, and the plugins that objected to them.
    pub(super) fn unschedulable(&self) -> impl Iterator<Item = (&Arc<Pod>, &BTreeSet<Name>)> {
        let resting = self.due.iter().map(|(_, pod)| &self.pods[pod]);
        let stuck = resting.filter(|waiting| matches!(waiting.place, Place::Unschedulable(_)));
        stuck.map(|waiting| (&waiting.pod, &waiting.rejected_by))
    }

    /// Something changed that may help a pod: it is tried again, once its backoff is over.
    pub(super) fn wake(&mut self, pod: &ObjectKey, now: Instant, backoff: Span) {
        let waiting = self.waiting(pod);
        if !matches!(waiting.place, Place::Unschedulable(_)) {
            return;
        }
        match waiting.failed + backoff_of(waiting.attempts, backoff) {
            over if over > now => self.put(pod, Place::Backoff(next_check(over, BACKOFF_CHECK))),
            _ => self.activate(pod, now),
        }
    }

    /// Does what is due.
    pub(super) fn flush(&mut self, now: Instant, backoff: Span) {
        while let Some((_, pod)) = self.due.first().filter(|(at, _)| *at <= now).cloned() {
            match self.waiting(&pod).place {
                Place::Backoff(_) => self.activate(&pod, now),
                _ => self.wake(&pod, now, backoff),
            }
        }
    }

    /// When something is due next.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    fn waiting(&mut self, pod: &ObjectKey) -> &mut Waiting {
        self.pods.get_mut(pod).expect("the pod waits")
    }

    fn activate(&mut self, pod: &ObjectKey, now: Instant) {
        self.numbers += 1;
        let rank = (Reverse(self.waiting(pod).pod.template.priority), now, self.numbers);
        self.put(pod, Place::Active(rank));
    }

    fn put(&mut self, pod: &ObjectKey, place: Place) {
        match std::mem::replace(&mut self.waiting(pod).place, place) {
            Place::Active(rank) => drop(self.active.remove(&rank)),
            Place::Backoff(at) | Place::Unschedulable(at) => drop(self.due.remove(&(at, pod.clone()))),
            Place::InFlight => {}
        }
        match place {
            Place::Active(rank) => drop(self.active.insert(rank, pod.clone())),
            Place::Backoff(at) | Place::Unschedulable(at) => drop(self.due.insert((at, pod.clone()))),
            Place::InFlight => {}
        }
    }
}

/// How long a pod rests after so many attempts: twice as long each time (`calculateBackoffDuration`).
fn backoff_of(attempts: u32, backoff: Span) -> Duration {
    let factor = 1u64.checked_shl(attempts.saturating_sub(1)).unwrap_or(u64::MAX);
    backoff.from.saturating_mul(factor).min(backoff.to)
}

/// The first check at `at` or after it.
fn next_check(at: Instant, every: Duration) -> Instant {
    Instant::from_nanos(at.as_nanos().checked_next_multiple_of(every.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_rests_twice_as_long_after_each_attempt_up_to_a_limit() {
        let seconds = |attempts| backoff_of(attempts, Span::secs(1, 10)).as_secs();
        assert_eq!([1, 2, 3, 4, 5, 100].map(seconds), [1, 2, 4, 8, 10, 10]);
    }

    #[test]
    fn checks_are_made_at_round_times() {
        let at = |nanos| next_check(Instant::from_nanos(nanos), BACKOFF_CHECK);
        assert_eq!(at(1_000_000_000), Instant::START + Duration::from_secs(1));
        assert_eq!(at(1_000_000_001), Instant::START + Duration::from_secs(2));
    }
}

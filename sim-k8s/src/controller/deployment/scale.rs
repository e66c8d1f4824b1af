//! What happens when someone scales a Deployment (`scale`, pkg/controller/deployment/sync.go).

use std::cmp::Reverse;

use crate::api::{UpdateStrategy, Workload};

use super::sets::{Set, Sets, surge_and_unavailable};

/// Whether another number of pods is wanted than when a set was last scaled (`isScalingEvent`).
pub(super) fn is_asked_for(deployment: &Workload, sets: &Sets) -> bool {
    sets.all().any(|set| set.is_active() && set.note.desired != deployment.replicas)
}

/// The only set with pods takes all of the change; in the middle of a rollout each takes its part, so that a rollout that
/// fails does not go on faster.
pub(super) fn scale(deployment: &Workload, sets: &mut Sets) {
    let (surge, _) = surge_and_unavailable(deployment);
    let active = sets.all().filter(|set| set.is_active()).count();
    if active <= 1 {
        let set = active_or_latest(sets).filter(|set| set.replicas != deployment.replicas);
        if let Some(set) = set {
            set.replicas = deployment.replicas;
            set.note(deployment, surge);
        }
        return;
    }
    let saturated = sets.new.as_ref().is_some_and(|new| {
        let all = new.replicas == deployment.replicas && new.note.desired == deployment.replicas;
        all && new.available() == deployment.replicas
    });
    if saturated {
        for set in sets.old.iter_mut().filter(|set| set.is_active()) {
            set.replicas = 0;
            set.note(deployment, surge);
        }
    } else if matches!(deployment.update, UpdateStrategy::RollingUpdate { .. }) {
        proportionally(deployment, sets, surge);
    }
}

/// `FindActiveOrLatest`, for at most one active set.
fn active_or_latest(sets: &mut Sets) -> Option<&mut Set> {
    let old = sets.old.iter().position(Set::is_active);
    match (old, &mut sets.new) {
        (Some(old), _) => Some(&mut sets.old[old]),
        (None, Some(new)) => Some(new),
        (None, None) => sets.old.last_mut(),
    }
}

fn proportionally(deployment: &Workload, sets: &mut Sets, surge: u32) {
    let allowed = if deployment.replicas > 0 { i64::from(deployment.replicas) + i64::from(surge) } else { 0 };
    let to_add = allowed - i64::from(sets.wanted());
    let mut active: Vec<&mut Set> = sets.old.iter_mut().chain(&mut sets.new).filter(|set| set.is_active()).collect();
    // The largest first; of equal ones the newest when there is something to give, the oldest when something to take.
    active.sort_by_cached_key(|set| set.age());
    if to_add > 0 {
        active.reverse();
    }
    active.sort_by_key(|set| Reverse(set.replicas));
    let mut added = 0;
    for set in &mut active {
        let part = part(set, deployment, allowed, to_add, added);
        set.replicas = u32::try_from(i64::from(set.replicas) + part).unwrap_or_default();
        set.note(deployment, surge);
        added += part;
    }
    if let Some(largest) = active.first_mut() {
        largest.replicas = u32::try_from(i64::from(largest.replicas) + to_add - added).unwrap_or_default();
    }
}

/// The part of a set in the `to_add` pods (less than none when pods are taken) of which `added` have been given
/// (`GetReplicaSetProportion`).
fn part(set: &Set, deployment: &Workload, allowed: i64, to_add: i64, added: i64) -> i64 {
    let own = i64::from(set.replicas);
    let fraction = if deployment.replicas == 0 {
        -own
    } else {
        let before = i64::from(if set.note.max == 0 { deployment.status.replicas } else { set.note.max }).max(1);
        // Rounded, halves up (`RoundToInt32`).
        (2 * own * allowed + before) / (2 * before) - own
    };
    let left = to_add - added;
    match to_add {
        0 => 0,
        1.. => fraction.min(left),
        _ => fraction.max(left),
    }
}

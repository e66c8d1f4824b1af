//! One step of a rollout (pkg/controller/deployment/{rolling,recreate}.go).

use crate::api::Workload;

use super::sets::{Set, Sets, surge_and_unavailable, wanted_by_new};

/// A rolling update's next step: more new pods if there may be more, else fewer old ones.
pub(super) fn roll(deployment: &Workload, sets: &mut Sets) {
    let (surge, _) = surge_and_unavailable(deployment);
    sets.new_or_made(deployment);
    let all = sets.wanted();
    let new = sets.new.as_mut().expect("made above");
    let own = new.replicas;
    let wanted = if own > deployment.replicas { deployment.replicas } else { wanted_by_new(deployment, all, own) };
    if wanted != own {
        new.replicas = wanted;
        new.note(deployment, surge);
        return;
    }
    scale_down_old(deployment, sets);
}

/// `reconcileOldReplicaSets`: unhealthy pods go first, as nobody misses them; then as many as are available beyond what
/// has to be.
fn scale_down_old(deployment: &Workload, sets: &mut Sets) {
    let (surge, unavailable) = surge_and_unavailable(deployment);
    let min_available = i64::from(deployment.replicas) - i64::from(unavailable);
    let new_unavailable = sets.new.as_ref().map_or(0, |new| i64::from(new.replicas) - i64::from(new.available()));
    let mut unhealthy = i64::from(sets.wanted()) - min_available - new_unavailable;
    if unhealthy <= 0 {
        return;
    }
    for set in sets.old.iter_mut().filter(|set| set.is_active()) {
        let missing = i64::from(set.replicas) - i64::from(set.available());
        unhealthy -= scale_down(set, missing.min(unhealthy), deployment, surge);
    }
    let mut healthy = i64::from(sets.available()) - min_available;
    for set in sets.old.iter_mut().filter(|set| set.is_active()) {
        healthy -= scale_down(set, healthy, deployment, surge);
    }
}

/// Takes at most `count` pods from a set; how many it took.
fn scale_down(set: &mut Set, count: i64, deployment: &Workload, surge: u32) -> i64 {
    let count = u32::try_from(count).unwrap_or_default().min(set.replicas);
    if count > 0 {
        set.replicas -= count;
        set.note(deployment, surge);
    }
    i64::from(count)
}

/// Recreate's next step: no old pods; when all of them are gone, new ones.
pub(super) fn recreate(deployment: &Workload, sets: &mut Sets, old_pods_run: bool) {
    if sets.old.iter().any(Set::is_active) {
        for set in sets.old.iter_mut().filter(|set| set.is_active()) {
            set.replicas = 0;
            set.note(deployment, 0);
        }
    } else if !old_pods_run {
        let new = sets.new_or_made(deployment);
        if new.replicas != deployment.replicas {
            new.replicas = deployment.replicas;
            new.note(deployment, 0);
        }
    }
}

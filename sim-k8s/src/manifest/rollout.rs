//! How pods are replaced (`ValidateRollingUpdateDeployment` and its like, pkg/apis/apps/validation; defaults:
//! pkg/apis/apps/v1/defaults.go).

use k8s_openapi::api::apps::v1::{DaemonSetUpdateStrategy, DeploymentStrategy, StatefulSetUpdateStrategy};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use sim_core::engine::time::Duration;

use crate::api::{Share, UpdateStrategy};

use super::check::Check;
use super::shown::shown;

/// Where the shares of a rolling update stand, those of a Deployment excepted.
const UPDATE: &str = "spec.updateStrategy.rollingUpdate";

/// A strategy by its word, and whether it is a rolling update.
fn word(
    check: &mut Check<'_>,
    path: &str,
    word: Option<&str>,
    other: (&str, UpdateStrategy),
) -> Option<UpdateStrategy> {
    check.one_of(path, word, &[("RollingUpdate", None), (other.0, Some(other.1))], None)
}

/// The strategy of a Deployment.
pub(super) fn of_deployment(check: &mut Check<'_>, from: Option<&DeploymentStrategy>) -> UpdateStrategy {
    let kind = from.and_then(|strategy| strategy.type_.as_deref());
    let rolling = from.and_then(|strategy| strategy.rolling_update.as_ref());
    if let Some(other) = word(check, "spec.strategy.type", kind, ("Recreate", UpdateStrategy::Recreate)) {
        if rolling.is_some() {
            let message = "it has no meaning with type Recreate";
            check.error("spec.strategy.rollingUpdate", message, "remove it, or the type");
        }
        return other;
    }
    let at = |field: &str| format!("spec.strategy.rollingUpdate.{field}");
    let max_surge =
        share(check, &at("maxSurge"), rolling.and_then(|r| r.max_surge.as_ref()), Share::Percent(25), u32::MAX);
    let max_unavailable =
        share(check, &at("maxUnavailable"), rolling.and_then(|r| r.max_unavailable.as_ref()), Share::Percent(25), 100);
    if is_zero(max_surge) && is_zero(max_unavailable) {
        check.error(
            &at("maxUnavailable"),
            "no pod may go and none may come: maxSurge is 0 too",
            "let one of them be 1",
        );
    }
    UpdateStrategy::RollingUpdate { max_surge, max_unavailable, partition: 0 }
}

/// The strategy of a StatefulSet.
pub(super) fn of_stateful_set(check: &mut Check<'_>, from: Option<&StatefulSetUpdateStrategy>) -> UpdateStrategy {
    let kind = from.and_then(|strategy| strategy.type_.as_deref());
    if let Some(other) = word(check, "spec.updateStrategy.type", kind, ("OnDelete", UpdateStrategy::OnDelete)) {
        return other;
    }
    let rolling = from.and_then(|strategy| strategy.rolling_update.as_ref());
    let partition = rolling.and_then(|r| r.partition);
    let partition = check.count(&format!("{UPDATE}.partition"), partition, 0);
    let path = format!("{UPDATE}.maxUnavailable");
    let max_unavailable = share(check, &path, rolling.and_then(|r| r.max_unavailable.as_ref()), Share::Pods(1), 100);
    if is_zero(max_unavailable) {
        check.error(&path, "no pod may ever be replaced", "write 1 or more");
    }
    UpdateStrategy::RollingUpdate { max_surge: Share::Pods(0), max_unavailable, partition }
}

/// The strategy of a DaemonSet.
pub(super) fn of_daemon_set(check: &mut Check<'_>, from: Option<&DaemonSetUpdateStrategy>) -> UpdateStrategy {
    let kind = from.and_then(|strategy| strategy.type_.as_deref());
    if let Some(other) = word(check, "spec.updateStrategy.type", kind, ("OnDelete", UpdateStrategy::OnDelete)) {
        return other;
    }
    let rolling = from.and_then(|strategy| strategy.rolling_update.as_ref());
    let at = |field: &str| format!("{UPDATE}.{field}");
    let max_surge = share(check, &at("maxSurge"), rolling.and_then(|r| r.max_surge.as_ref()), Share::Pods(0), 100);
    let max_unavailable =
        share(check, &at("maxUnavailable"), rolling.and_then(|r| r.max_unavailable.as_ref()), Share::Pods(1), 100);
    if is_zero(max_surge) == is_zero(max_unavailable) {
        let message = "one of maxSurge and maxUnavailable has to be 0 and the other not";
        check.error(&at("maxUnavailable"), message, "with maxSurge, write maxUnavailable: 0");
    }
    UpdateStrategy::RollingUpdate { max_surge, max_unavailable, partition: 0 }
}

fn is_zero(share: Share) -> bool {
    matches!(share, Share::Pods(0) | Share::Percent(0))
}

/// A number or a percentage of at most `most`.
fn share(check: &mut Check<'_>, path: &str, from: Option<&IntOrString>, otherwise: Share, most: u32) -> Share {
    match from {
        None => otherwise,
        Some(IntOrString::Int(number)) => Share::Pods(check.count(path, Some(*number), 0)),
        Some(IntOrString::String(text)) => {
            let digits = text.strip_suffix('%').filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
            match digits.and_then(|digits| digits.parse().ok()) {
                Some(percent) if percent <= most => Share::Percent(percent),
                Some(percent) => {
                    check.error(path, format!("{percent}% are more than all pods"), "write at most 100%");
                    otherwise
                }
                None => {
                    let message = format!("\"{}\" is neither a number nor a percentage", shown(text));
                    check.error(path, message, "write one like 1 or 25%");
                    otherwise
                }
            }
        }
    }
}

/// A number of seconds, 0 or more.
pub(super) fn seconds(check: &mut Check<'_>, path: &str, seconds: Option<i64>) -> Option<Duration> {
    let seconds = seconds?;
    if seconds < 0 {
        check.error(path, format!("{seconds} is negative"), "write 0 or more");
    }
    Some(Duration::from_secs(1).saturating_mul(seconds.unsigned_abs()))
}

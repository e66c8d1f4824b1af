//! PriorityClasses, and the priority of pods.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PodSpec;
use k8s_openapi::api::scheduling::v1::PriorityClass;

use super::check::Check;
use super::names;
use super::shown::shown;

/// The highest priority of a class that is not Kubernetes' own (`HighestUserDefinablePriority`, pkg/apis/scheduling/types.go).
const HIGHEST: i32 = 1_000_000_000;

/// What a priority class gives a pod.
#[derive(Clone, Copy)]
struct Class {
    priority: i32,
    never_preempts: bool,
}

/// The priority classes of a cluster, by name.
pub(super) struct PriorityClasses {
    classes: BTreeMap<String, Class>,
    /// For pods that name no class.
    default: Option<Class>,
}

impl Default for PriorityClasses {
    /// Those that are always there (`SystemPriorityClasses`).
    fn default() -> Self {
        let class =
            |name: &str, above| (name.to_owned(), Class { priority: 2 * HIGHEST + above, never_preempts: false });
        let classes = [class("system-cluster-critical", 0), class("system-node-critical", 1000)];
        Self { classes: classes.into(), default: None }
    }
}

impl PriorityClasses {
    pub(super) fn add(&mut self, check: &mut Check<'_>, from: &PriorityClass) {
        let key = check.key(names::dns_subdomain);
        let priority = or_zero(from.value);
        let system = self.classes.contains_key(&key.name);
        if priority > HIGHEST && !system {
            check.error("value", format!("{priority} is too high"), format!("write at most {HIGHEST}"));
        }
        let never_preempts = never_preempts(check, "preemptionPolicy", from.preemption_policy.as_deref());
        let class = Class { priority, never_preempts };
        self.classes.insert(key.name, class);
        // Of several defaults the lowest is taken (`getDefaultPriorityClass`, plugin/pkg/admission/priority).
        if from.global_default == Some(true) && self.default.is_none_or(|other| priority < other.priority) {
            self.default = Some(class);
        }
    }

    /// Priority of the pods of `spec`, whose fields stand under `path`, and whether they push no others out
    /// (plugin/pkg/admission/priority).
    pub(super) fn of(&self, check: &mut Check<'_>, path: &str, spec: &PodSpec) -> (i32, bool) {
        let class = match spec.priority_class_name.as_deref().filter(|name| !name.is_empty()) {
            None => self.default,
            Some(name) => {
                let class = self.classes.get(name).copied();
                if class.is_none() {
                    let message = format!("there is no PriorityClass \"{}\", so the pods have priority 0", shown(name));
                    check.warn(&format!("{path}.priorityClassName"), message, "add the PriorityClass to the files");
                }
                class
            }
        };
        let written = never_preempts(check, &format!("{path}.preemptionPolicy"), spec.preemption_policy.as_deref());
        let class = class.unwrap_or(Class { priority: or_zero(spec.priority), never_preempts: false });
        (class.priority, class.never_preempts || written)
    }
}

fn never_preempts(check: &mut Check<'_>, path: &str, policy: Option<&str>) -> bool {
    check.one_of(path, policy, &[("PreemptLowerPriority", false), ("Never", true)], false)
}

fn or_zero(number: impl Into<Option<i32>>) -> i32 {
    number.into().unwrap_or_default()
}

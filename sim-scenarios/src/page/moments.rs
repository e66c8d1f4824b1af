//! What of a control plane's journal is worth telling, in words.

use std::collections::BTreeSet;
use std::net::IpAddr;

use sim_core::engine::time::Instant;
use sim_k8s::agent::{Deed, Entry};
use sim_k8s::api::{Condition, EndpointSlice, Node, Object, Phase, Pod, Service, Workload};
use sim_k8s::apiserver::Cache;

/// Addresses that are told of one change of endpoints.
const CHANGES: usize = 6;

/// One thing that happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Moment {
    pub(super) at: Instant,
    pub(super) lane: Lane,
    /// To whom, or by whom: `pod shop/cart-0`.
    pub(super) who: String,
    /// What, alike for those it happens to alike: `ready`.
    pub(super) what: String,
    /// What differs; may be empty.
    pub(super) detail: String,
    /// Whether it is trouble.
    pub(super) bad: bool,
}

/// A kind of moments: a lane of the timeline.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Lane {
    /// What was done to the run.
    Faults,
    /// Calls that failed.
    Calls,
    /// Nodes join, leave, become ready.
    Nodes,
    /// Pods are made, scheduled, ready, gone; workloads are scaled.
    Pods,
    /// Services and who stands behind them.
    Endpoints,
    /// kube-proxy writes rules.
    KubeProxy,
    /// Other agents program a netns.
    Network,
}

impl Lane {
    pub(super) const ALL: [Self; 7] =
        [Self::Faults, Self::Calls, Self::Nodes, Self::Pods, Self::Endpoints, Self::KubeProxy, Self::Network];

    /// Its class in the page's style.
    pub(super) const fn class(self) -> &'static str {
        match self {
            Self::Faults => "faults",
            Self::Calls => "calls",
            Self::Nodes => "nodes",
            Self::Pods => "pods",
            Self::Endpoints => "endpoints",
            Self::KubeProxy => "kube-proxy",
            Self::Network => "network",
        }
    }

    /// What it is called.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Faults => "faults",
            Self::Calls => "failed calls",
            Self::Nodes => "nodes",
            Self::Pods => "pods",
            Self::Endpoints => "Services",
            Self::KubeProxy => "kube-proxy",
            Self::Network => "other agents",
        }
    }
}

/// What happened to an object, or what an agent did.
struct Words {
    what: String,
    detail: String,
    bad: bool,
}

fn well(what: impl Into<String>) -> Words {
    Words { what: what.into(), detail: String::new(), bad: false }
}

fn badly(what: impl Into<String>, detail: impl Into<String>) -> Words {
    Words { what: what.into(), detail: detail.into(), bad: true }
}

/// The moments of an entry. `objects` are those before it, and after this call those with it.
pub(super) fn of_entry(entry: &Entry, objects: &mut Cache) -> Vec<Moment> {
    let (lane, who, words) = match &entry.deed {
        Deed::Programmed { agent, lines, refused, .. } => {
            let lane = if agent.starts_with("kube-proxy ") { Lane::KubeProxy } else { Lane::Network };
            let words = match refused {
                Some(why) => badly("was refused", why),
                None if lane == Lane::KubeProxy => Words { detail: counted(*lines, "line"), ..well("wrote rules") },
                None => Words { detail: counted(*lines, "command"), ..well("programmed the network") },
            };
            (lane, agent.clone(), vec![words])
        }
        Deed::Changed(change) => {
            let before = objects.apply(change);
            let key = change.object.key();
            let gone = change.is_deletion();
            match (&change.object, before) {
                (Object::Pod(now), Some(Object::Pod(was))) => (Lane::Pods, format!("pod {key}"), pod(&was, now, gone)),
                (Object::Pod(_), _) => (Lane::Pods, format!("pod {key}"), vec![well("created")]),
                (Object::Node(now), Some(Object::Node(was))) => {
                    (Lane::Nodes, format!("node {}", now.name()), node(&was, now, gone))
                }
                (Object::Node(now), _) => (Lane::Nodes, format!("node {}", now.name()), vec![well("joined")]),
                (Object::Workload(now), Some(Object::Workload(was))) => {
                    (Lane::Pods, now.reference().to_string(), workload(&was, now))
                }
                (Object::Service(now), Some(Object::Service(was))) => {
                    (Lane::Endpoints, format!("Service {key}"), service(&was, now, gone))
                }
                (Object::EndpointSlice(now), was) => {
                    let was = was.and_then(|was| if let Object::EndpointSlice(was) = was { Some(was) } else { None });
                    let Some(service) = &now.service else { return Vec::new() };
                    let now = Some(&**now).filter(|_| !gone);
                    let some_left = objects.slices_of(service).any(|slice| !ready(slice).is_empty());
                    (Lane::Endpoints, format!("Service {service}"), slice(was.as_deref(), now, some_left))
                }
                _ => return Vec::new(),
            }
        }
    };
    let moment = |Words { what, detail, bad }| Moment { at: entry.at, lane, who: who.clone(), what, detail, bad };
    words.into_iter().map(moment).collect()
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn pod(was: &Pod, now: &Pod, gone: bool) -> Vec<Words> {
    if gone {
        return vec![well("gone")];
    }
    let mut words = Vec::new();
    if let (None, Some(node)) = (&was.node_name, &now.node_name) {
        words.push(well(format!("scheduled to {node}")));
    }
    let (before, after) = (&was.status, &now.status);
    if let Some(why) = after.unschedulable.as_ref().filter(|why| before.unschedulable.as_ref() != Some(why)) {
        words.push(Words { detail: why.clone(), ..well("waits for a node") });
    }
    if let Some(why) = after.message.as_ref().filter(|why| before.message.as_ref() != Some(why)) {
        words.push(badly("cannot run", why));
    }
    if was.meta.deletion.is_none() && now.meta.deletion.is_some() {
        words.push(well("to be deleted"));
    }
    let restarts = |pod: &Pod| pod.status.containers.iter().map(|container| container.restarts).sum::<u32>();
    if restarts(now) > restarts(was) {
        words.push(badly("restarted", format!("{} in all", restarts(now))));
    }
    match (before.ready, after.ready) {
        (false, true) => words.push(well("ready")),
        // One that is deleted, or has done its work, is not missed.
        (true, false) if now.is_terminating() || now.is_finished() => words.push(well("no longer ready")),
        (true, false) => words.push(badly("no longer ready", "")),
        _ => {}
    }
    match after.phase {
        phase if phase == before.phase => {}
        Phase::Succeeded => words.push(well("succeeded")),
        Phase::Failed => words.push(badly("failed", "")),
        Phase::Pending | Phase::Running => {}
    }
    words
}

fn node(was: &Node, now: &Node, gone: bool) -> Vec<Words> {
    if gone {
        return vec![badly("gone", "")];
    }
    let mut words = Vec::new();
    match (was.ready, now.ready) {
        (before, after) if before == after => {}
        (_, Condition::True) => words.push(well("ready")),
        (_, Condition::False) => words.push(badly("not ready", "")),
        (_, Condition::Unknown) => words.push(badly("silent", "its kubelet has not been heard of")),
    }
    if was.unschedulable != now.unschedulable {
        words.push(well(if now.unschedulable { "takes no new pods" } else { "takes pods again" }));
    }
    words
}

fn workload(was: &Workload, now: &Workload) -> Vec<Words> {
    let scaled =
        (was.replicas != now.replicas).then(|| well(format!("scaled from {} to {}", was.replicas, now.replicas)));
    let rolled = (was.template != now.template).then(|| well("has a new template"));
    let stuck = (now.status.stuck && !was.status.stuck).then(|| badly("makes no progress", ""));
    scaled.into_iter().chain(rolled).chain(stuck).collect()
}

fn service(was: &Service, now: &Service, gone: bool) -> Vec<Words> {
    if gone {
        return vec![well("gone")];
    }
    let mut words = Vec::new();
    if was.ingress != now.ingress {
        let ips: Vec<String> = now.ingress.iter().filter_map(|ingress| Some(ingress.ip?.to_string())).collect();
        words.push(Words { detail: ips.join(", "), ..well("load balancer changed") });
    }
    if let Some(why) = now.balancer_error.as_ref().filter(|why| was.balancer_error.as_ref() != Some(why)) {
        words.push(badly("has no load balancer", why));
    }
    words
}

/// Endpoints that take calls came or went.
fn slice(was: Option<&EndpointSlice>, now: Option<&EndpointSlice>, some_left: bool) -> Vec<Words> {
    let [before, after] = [was, now].map(|slice| slice.map(ready).unwrap_or_default());
    let came = after.difference(&before).map(|ip| format!("+{ip}"));
    let went = before.difference(&after).map(|ip| format!("−{ip}"));
    let mut changes: Vec<String> = came.chain(went).collect();
    if changes.is_empty() {
        return Vec::new();
    }
    if changes.len() > CHANGES {
        let more = changes.split_off(CHANGES).len();
        changes.push(format!("and {more} more"));
    }
    let detail = changes.join(" ");
    vec![if some_left { Words { detail, ..well("endpoints changed") } } else { badly("has no endpoint left", detail) }]
}

/// The endpoints of a slice that take calls.
fn ready(slice: &EndpointSlice) -> BTreeSet<IpAddr> {
    slice.endpoints.iter().filter(|endpoint| endpoint.ready).map(|endpoint| endpoint.address).collect()
}

//! EndpointSlices: who stands behind a Service with a selector (pkg/controller/endpointslice, kubernetes/endpointslice).
//!
//! | room | what it decides |
//! | --- | --- |
//! | `endpoint` | which pods are listed, and as what |
//! | `pack` | which slices they are in |
//! | `hints` | who should use them, by `trafficDistribution` |
//! | `topology` | the same, by the zones' CPUs |

use sim_core::wire::ip::Family;
mod endpoint;
mod hints;
mod pack;
mod topology;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sim_core::engine::time::{Duration, Instant};

use crate::api::{EndpointPort, EndpointSlice, Kind, Node, Object, ObjectKey, Pod, Service, ServiceType};
use crate::apiserver::{Change, Request};
use crate::workload::name;

use super::queue::Backoff;
use super::reconciler::{Plan, Reconciler};
use super::store::Store;
use hints::Hinting;
use pack::{MANAGED_BY, Slices, Wanted};
use topology::Topology;

/// How long a Service waits that someone else's change of a slice concerns (`endpointSliceChangeMinSyncDelay`).
const FOREIGN_CHANGE: Duration = Duration::from_secs(1);

/// The controller of EndpointSlices.
#[derive(Clone, Debug, Default)]
pub(super) struct EndpointSlices {
    topology: Topology,
    /// Slices it has written and not seen again since, by Service (`EndpointSliceTracker`).
    unseen: BTreeMap<ObjectKey, BTreeSet<ObjectKey>>,
    /// How many slices each Service was given, for their names.
    made: BTreeMap<ObjectKey, u64>,
}

impl Reconciler for EndpointSlices {
    type Key = ObjectKey;

    fn kinds(&self) -> Vec<Kind> {
        vec![Kind::Service, Kind::Pod, Kind::Node, Kind::EndpointSlice]
    }

    fn concerned(&mut self, store: &Store, change: &Change, before: Option<&Object>) -> Vec<ObjectKey> {
        match (&change.object, before) {
            (Object::Pod(pod), Some(Object::Pod(was))) if !change.is_deletion() => {
                if !endpoint::has_changed(was, pod) {
                    return Vec::new();
                }
                let mut services = selecting(store, pod);
                services.extend(selecting(store, was));
                services.into_iter().collect()
            }
            (Object::Pod(pod), _) => selecting(store, pod).into_iter().collect(),
            (Object::Node(_), before) => {
                let matters = |object: &Object| match object {
                    Object::Node(node) => Some((node.ready, node.labels.clone(), node.allocatable.clone())),
                    _ => None,
                };
                if change.is_deletion() || before.and_then(matters) != matters(&change.object) {
                    self.topology.set_nodes(store.nodes.values().map(AsRef::as_ref));
                    return self.topology.overloaded();
                }
                Vec::new()
            }
            (Object::EndpointSlice(slice), before) => self.seen(slice, before).into_iter().collect(),
            (object, _) => vec![object.key().clone()],
        }
    }

    fn delay(&self, change: &Change) -> Duration {
        if change.object.kind() == Kind::EndpointSlice { FOREIGN_CHANGE } else { Duration::ZERO }
    }

    fn reconcile(&mut self, store: &Store, key: &ObjectKey, _now: Instant) -> Plan {
        let Some(service) = store.services.get(key) else {
            self.topology.forget(key);
            self.unseen.remove(key);
            return Plan::default();
        };
        let external_name = matches!(service.service_type, ServiceType::ExternalName(_));
        let Some(selector) = service.pod_selector().filter(|_| !external_name) else { return Plan::default() };
        if self.unseen.contains_key(key) {
            // Its own writes have not come back yet: what it sees is out of date (`StaleSlices`).
            return Plan { stale: true, ..Plan::default() };
        }
        let namespace = ObjectKey::new(&key.namespace, "")..;
        let near = store.pods.range(namespace).take_while(|(pod, _)| pod.namespace == key.namespace);
        let pods: Vec<_> = near.map(|(_, pod)| pod).filter(|pod| selector.matches(&pod.labels)).collect();
        let existing = store.slices_of(key).filter(|slice| slice.managed_by.as_deref() == Some(MANAGED_BY));
        let existing: Vec<_> = existing.cloned().collect();
        let of_lost_family =
            |slice: &&Arc<EndpointSlice>| slice.family.is_none_or(|it| !service.ip_families.contains(&it));
        let mut requests: Vec<Request> =
            existing.iter().filter(of_lost_family).map(|slice| pack::delete_slice(slice)).collect();
        let mut complete = true;
        for family in service.ip_families.iter().copied() {
            let existing = existing.iter().filter(|slice| slice.family == Some(family)).cloned().collect();
            let (slices, all) = self.family(store, service, &pods, existing, family);
            complete &= all;
            let made = self.made.entry(key.clone()).or_default();
            let object = pack::owner(service).object;
            requests.extend(slices.requests(service, || {
                *made += 1;
                name::with_suffix(&format!("{}-", key.name), &object, *made - 1)
            }));
        }
        Plan { stale: !complete, ..Plan::in_turn(requests) }
    }

    fn succeeded(&mut self, service: &ObjectKey, request: &Request) {
        let slice = match request {
            Request::Create(slice) | Request::Update(slice) => slice.key(),
            Request::Delete { object, .. } => &object.key,
            _ => return,
        };
        self.unseen.entry(service.clone()).or_default().insert(slice.clone());
    }

    fn backoff(&self) -> Backoff {
        // `defaultSyncBackOff`, `maxSyncBackOff`, `maxRetries`.
        Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(1000), tries: Some(15) }
    }
}

impl EndpointSlices {
    /// The slices of one address family, and whether every pod was taken into account (`reconcileByAddressType`).
    fn family(
        &mut self,
        store: &Store,
        service: &Service,
        pods: &[&Arc<Pod>],
        existing: Vec<Arc<EndpointSlice>>,
        family: Family,
    ) -> (Slices, bool) {
        let mut wanted: BTreeMap<Vec<EndpointPort>, Wanted> = BTreeMap::new();
        let mut complete = true;
        for pod in pods.iter().filter(|pod| endpoint::is_listed(pod)) {
            let wanted = wanted.entry(endpoint::ports(service, pod)).or_default();
            let node: Option<&Node> = pod.node_name.as_ref().and_then(|node| store.nodes.get(node)).map(AsRef::as_ref);
            if node.is_none() && !service.publish_not_ready_addresses {
                complete = false;
                continue;
            }
            endpoint::endpoint(service, pod, node, family).into_iter().for_each(|endpoint| wanted.insert(endpoint));
        }
        let mut slices = Slices::default();
        let mut by_ports: BTreeMap<Vec<EndpointPort>, Vec<Arc<EndpointSlice>>> = BTreeMap::new();
        let own = Some(pack::owner(service));
        for slice in existing {
            if slice.meta.owner == own {
                let mut ports = slice.ports.clone();
                ports.sort();
                by_ports.entry(ports).or_default().push(slice);
            } else {
                slices.delete.push(slice);
            }
        }
        for (ports, wanted) in wanted {
            let existing = by_ports.remove(&ports).unwrap_or_default();
            slices.pack((service, family), &ports, wanted, existing);
        }
        slices.delete.extend(by_ports.into_values().flatten());
        slices.keep_one((service, family));
        match hints::hinting(service) {
            Hinting::Proportional => self.topology.share_out((&service.key, family), &mut slices),
            hinting => {
                self.topology.forget(&service.key);
                hints::give(&mut slices, hinting);
            }
        }
        (slices, complete)
    }

    /// A slice was seen: the Service that has to be looked at if it was not itself who wrote it.
    fn seen(&mut self, slice: &EndpointSlice, before: Option<&Object>) -> Option<ObjectKey> {
        let service = slice.service.clone()?;
        let is_own = |slice: &EndpointSlice| slice.managed_by.as_deref() == Some(MANAGED_BY);
        let was_own = matches!(before, Some(Object::EndpointSlice(was)) if is_own(was));
        if !is_own(slice) && !was_own {
            return None;
        }
        let Some(unseen) = self.unseen.get_mut(&service) else { return Some(service) };
        let expected = unseen.remove(&slice.key);
        if unseen.is_empty() {
            self.unseen.remove(&service);
        }
        (!expected).then_some(service)
    }
}

/// The Services that select a pod (`getServicesForPod`).
fn selecting(store: &Store, pod: &Pod) -> BTreeSet<ObjectKey> {
    let namespace = ObjectKey::new(&pod.key.namespace, "")..;
    let near = store.services.range(namespace).take_while(|(service, _)| service.namespace == pod.key.namespace);
    let selects = |service: &Service| service.pod_selector().is_some_and(|selector| selector.matches(&pod.labels));
    near.filter(|(_, service)| selects(service)).map(|(key, _)| key.clone()).collect()
}

#[cfg(test)]
mod tests;

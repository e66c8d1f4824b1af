//! What changed since the last sync (upstream `servicechangetracker.go`, `endpointschangetracker.go`,
//! `endpointslicecache.go`).

use sim_core::wire::ip::Family;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::objects::{endpoints, service_ports};
use super::service_port::{ServiceMap, ServicePortName};
use crate::api::{EndpointSlice, ObjectKey, Protocol, Service};

/// An object as the last sync had it, and as it is to be.
#[derive(Clone, Debug)]
struct Tracked<T> {
    applied: Option<Arc<T>>,
    /// `Some`: it is to be this, or to be gone.
    pending: Option<Option<Arc<T>>>,
}

impl<T> Tracked<T> {
    /// What is to be becomes what is.
    fn apply(&mut self) {
        if let Some(pending) = self.pending.take() {
            self.applied = pending;
        }
    }
}

/// The objects of a kube-proxy, and which of them changed since its last sync.
#[derive(Clone, Debug)]
pub struct Tracker {
    family: Family,
    services: BTreeMap<ObjectKey, Tracked<Service>>,
    slices: BTreeMap<ObjectKey, Tracked<EndpointSlice>>,
    /// The slices of each Service as of the last sync, whether it exists or not.
    slices_of: BTreeMap<ObjectKey, BTreeSet<ObjectKey>>,
    changed_services: BTreeSet<ObjectKey>,
    changed_slices: BTreeSet<ObjectKey>,
}

/// What a sync has to do with the changes before it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Changes {
    /// Services that changed, or whose slices did.
    pub services: BTreeSet<ObjectKey>,
    /// Some slice that changed has, or had, endpoints by UDP.
    pub udp_endpoints: bool,
    /// Service ports that are gone, as they were, but without endpoints.
    pub deleted: ServiceMap,
}

impl Tracker {
    /// Of the proxier of `family`, without any object.
    pub fn new(family: Family) -> Self {
        Self {
            family,
            services: BTreeMap::new(),
            slices: BTreeMap::new(),
            slices_of: BTreeMap::new(),
            changed_services: BTreeSet::new(),
            changed_slices: BTreeSet::new(),
        }
    }

    /// A Service is new, has changed or is gone (`None`). Says whether a sync is due for any Service. What kube-proxy
    /// does not look at, labels for example, is no change; and one that is taken back is none.
    pub fn service(&mut self, key: &ObjectKey, service: Option<Arc<Service>>) -> bool {
        let ports = |service: &Option<Arc<Service>>| service.as_ref().map(|it| service_ports(it, self.family));
        let ports = |service| ports(service).unwrap_or_default();
        let tracked = self.services.entry(key.clone()).or_insert_with(|| Tracked { applied: None, pending: None });
        if ports(&service) == ports(&tracked.applied) {
            *tracked = Tracked { applied: service, pending: None };
            self.changed_services.remove(key);
        } else {
            tracked.pending = Some(service);
            self.changed_services.insert(key.clone());
        }
        if tracked.applied.is_none() && tracked.pending.is_none() {
            self.services.remove(key);
        }
        !self.changed_services.is_empty()
    }

    /// A slice is new, has changed or is gone (`None`). Says whether a sync is due for it: any change of it counts.
    pub fn slice(&mut self, key: &ObjectKey, slice: Option<Arc<EndpointSlice>>) -> bool {
        // A slice without a Service is nobody's.
        let slice = slice.filter(|slice| slice.service.is_some());
        let tracked = self.slices.entry(key.clone()).or_insert_with(|| Tracked { applied: None, pending: None });
        if *tracked.pending.as_ref().unwrap_or(&tracked.applied) == slice {
            if tracked.applied.is_none() && tracked.pending.is_none() {
                self.slices.remove(key);
            }
            return false;
        }
        tracked.pending = Some(slice);
        self.changed_slices.insert(key.clone());
        true
    }

    /// Brings `services` up to date: from now on nothing has changed.
    pub fn apply(&mut self, services: &mut ServiceMap) -> Changes {
        let mut changes = Changes { services: std::mem::take(&mut self.changed_services), ..Changes::default() };
        for key in &changes.services {
            if let Some(tracked) = self.services.get_mut(key) {
                tracked.apply();
                if tracked.applied.is_none() {
                    self.services.remove(key);
                }
            }
        }
        for key in std::mem::take(&mut self.changed_slices) {
            self.apply_slice(&key, &mut changes);
        }
        for key in &changes.services {
            let mut before = take_ports(services, key);
            services.extend(self.ports(key).inspect(|(name, _)| drop(before.remove(name))));
            before.values_mut().for_each(|port| port.endpoints.clear());
            changes.deleted.extend(before);
        }
        changes
    }

    fn apply_slice(&mut self, key: &ObjectKey, changes: &mut Changes) {
        let Some(tracked) = self.slices.get_mut(key) else { return };
        let before = tracked.applied.clone();
        tracked.apply();
        let after = tracked.applied.clone();
        if after.is_none() {
            self.slices.remove(key);
        }
        for slice in before.iter().chain(&after) {
            changes.services.extend(slice.service.clone());
            let any = slice.family == Some(self.family) && !slice.endpoints.is_empty();
            changes.udp_endpoints |= any && slice.ports.iter().any(|port| port.protocol == Protocol::Udp);
        }
        if let Some(service) = before.as_ref().and_then(|slice| slice.service.as_ref())
            && let Some(slices) = self.slices_of.get_mut(service)
        {
            slices.remove(key);
            if slices.is_empty() {
                self.slices_of.remove(service);
            }
        }
        if let Some(service) = after.as_ref().and_then(|slice| slice.service.as_ref()) {
            self.slices_of.entry(service.clone()).or_default().insert(key.clone());
        }
    }

    /// The ports of a Service with their endpoints.
    fn ports(&self, key: &ObjectKey) -> impl Iterator<Item = (ServicePortName, super::ServicePort)> {
        let service = self.services.get(key).and_then(|tracked| tracked.applied.as_ref());
        let ports = service.map(|service| service_ports(service, self.family)).unwrap_or_default();
        ports.into_iter().map(move |(name, mut port)| {
            let slices = self.slices_of.get(name.service()).into_iter().flatten();
            let slices = slices.filter_map(|slice| self.slices.get(slice)?.applied.as_deref());
            port.endpoints = endpoints(slices, &name, self.family);
            (name, port)
        })
    }
}

/// Takes the ports of one Service out of the map.
fn take_ports(services: &mut ServiceMap, key: &ObjectKey) -> ServiceMap {
    let first = ServicePortName::first_of(key);
    let names: Vec<_> =
        services.range(first..).map(|(name, _)| name).take_while(|name| name.service() == key).cloned().collect();
    names.into_iter().filter_map(|name| services.remove_entry(&name)).collect()
}

#[cfg(test)]
mod tests;

//! Endpoints into slices, so that few slices change (`reconcileByPortMapping`, `finalize`: kubernetes/endpointslice
//! reconciler.go).

use sim_core::wire::ip::Family;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::api::{Endpoint, EndpointPort, EndpointSlice, Kind, Meta, Object, ObjectKey, ObjectRef, Owner, Service};
use crate::apiserver::Request;

/// Who writes the slices of Services with a selector.
pub(super) const MANAGED_BY: &str = "endpointslice-controller.k8s.io";

/// Endpoints of one slice at most (`--max-endpoints-per-slice`).
const MAX_ENDPOINTS: usize = 100;

/// What is to become of a Service's slices.
#[derive(Clone, Debug, Default)]
pub(super) struct Slices {
    /// New ones; they have no name yet.
    pub(super) create: Vec<EndpointSlice>,
    /// Those that change, as they shall be.
    pub(super) update: Vec<EndpointSlice>,
    /// Those that go.
    pub(super) delete: Vec<Arc<EndpointSlice>>,
    /// Those that stay as they are.
    pub(super) unchanged: Vec<Arc<EndpointSlice>>,
}

/// Endpoints that share their ports, by what tells them apart (`hashEndpoint`).
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    endpoints: BTreeMap<Identity, Endpoint>,
}

type Identity = (IpAddr, Option<String>, Option<ObjectKey>);

fn identity(endpoint: &Endpoint) -> Identity {
    (endpoint.address, endpoint.hostname.clone(), endpoint.pod.clone())
}

impl Wanted {
    pub(super) fn insert(&mut self, endpoint: Endpoint) {
        self.endpoints.insert(identity(&endpoint), endpoint);
    }

    fn take_into(&mut self, slice: &mut EndpointSlice) {
        while slice.endpoints.len() < MAX_ENDPOINTS
            && let Some((_, endpoint)) = self.endpoints.pop_first()
        {
            slice.endpoints.push(endpoint);
        }
    }
}

/// A slice of `service`, of one family, without endpoints, and without a name.
pub(super) fn empty((service, family): (&Service, Family), ports: Vec<EndpointPort>) -> EndpointSlice {
    EndpointSlice {
        key: ObjectKey::new(&service.key.namespace, ""),
        meta: Meta { owner: Some(owner(service)), ..Meta::default() },
        managed_by: Some(MANAGED_BY.into()),
        service: Some(service.key.clone()),
        family: Some(family),
        ports,
        endpoints: Vec::new(),
    }
}

/// `service` as the owner of its slices.
pub(super) fn owner(service: &Service) -> Owner {
    Owner { object: ObjectRef { kind: Kind::Service, key: service.key.clone() }, uid: service.meta.uid }
}

impl Slices {
    /// Puts the endpoints that are wanted for one set of ports into the slices that exist for it: each stays where it is,
    /// new ones fill slices that change anyway, then one that has just the room, then new slices.
    pub(super) fn pack(
        &mut self,
        of: (&Service, Family),
        ports: &[EndpointPort],
        mut wanted: Wanted,
        existing: Vec<Arc<EndpointSlice>>,
    ) {
        let mut update = Vec::new();
        let mut unchanged = Vec::new();
        for slice in existing {
            let kept: Vec<Endpoint> =
                slice.endpoints.iter().filter_map(|endpoint| wanted.endpoints.remove(&identity(endpoint))).collect();
            if kept.len() == slice.endpoints.len()
                && std::iter::zip(&kept, &slice.endpoints).all(|(a, b)| is_same(a, b))
            {
                unchanged.push(slice);
            } else if kept.is_empty() {
                self.delete.push(slice);
            } else {
                update.push(EndpointSlice { endpoints: kept, ..EndpointSlice::clone(&slice) });
            }
        }
        // The fullest first.
        update.sort_by_key(|slice| std::cmp::Reverse(slice.endpoints.len()));
        update.iter_mut().for_each(|slice| wanted.take_into(slice));
        while !wanted.endpoints.is_empty() {
            let count = wanted.endpoints.len();
            // The one that is closest to full with all of them in it (`getSliceToFill`).
            let fits = |slice: &Arc<EndpointSlice>| count + slice.endpoints.len() <= MAX_ENDPOINTS;
            let fitting = unchanged.iter().enumerate().filter(|(_, slice)| fits(slice));
            let fullest = fitting.min_by_key(|(_, slice)| MAX_ENDPOINTS - slice.endpoints.len());
            if let Some((index, _)) = fullest {
                let mut slice = EndpointSlice::clone(&unchanged.remove(index));
                wanted.take_into(&mut slice);
                update.push(slice);
            } else {
                let mut slice = empty(of, ports.to_vec());
                wanted.take_into(&mut slice);
                self.create.push(slice);
            }
        }
        self.update.extend(update);
        self.unchanged.extend(unchanged);
    }

    /// A Service without endpoints has one slice that says so; one that is there already stays.
    pub(super) fn keep_one(&mut self, of: (&Service, Family)) {
        if !self.create.is_empty() || !self.update.is_empty() || !self.unchanged.is_empty() {
            return;
        }
        let placeholder = |slice: &EndpointSlice| slice.endpoints.is_empty() && slice.ports.is_empty();
        let own = Some(owner(of.0));
        match self.delete.as_slice() {
            [only] if placeholder(only) && only.meta.owner == own => self.unchanged = std::mem::take(&mut self.delete),
            _ => self.create.push(empty(of, Vec::new())),
        }
    }

    /// The requests that bring all this about. A slice that would go becomes one that would come; `name` gives names.
    pub(super) fn requests(mut self, service: &Service, mut name: impl FnMut() -> String) -> Vec<Request> {
        let own = Some(owner(service));
        let mut delete = Vec::new();
        for slice in self.delete {
            match self.create.pop() {
                Some(new) if slice.meta.owner == own => {
                    self.update.push(EndpointSlice { key: slice.key.clone(), meta: slice.meta.clone(), ..new });
                }
                new => {
                    self.create.extend(new);
                    delete.push(slice);
                }
            }
        }
        let create = self.create.into_iter().map(|mut slice| {
            slice.key.name = name();
            Request::Create(Object::EndpointSlice(Arc::new(slice)))
        });
        let update = self.update.into_iter().map(|slice| Request::Update(Object::EndpointSlice(Arc::new(slice))));
        create.chain(update).chain(delete.iter().map(|slice| delete_slice(slice))).collect()
    }
}

/// Deletes a slice.
pub(super) fn delete_slice(slice: &EndpointSlice) -> Request {
    let object = ObjectRef { kind: Kind::EndpointSlice, key: slice.key.clone() };
    Request::Delete { object, uid: Some(slice.meta.uid), grace: None }
}

/// Whether two endpoints are equal but for their hints (`EndpointsEqualBeyondHash`).
fn is_same(wanted: &Endpoint, there: &Endpoint) -> bool {
    let shown = |e: &Endpoint| (e.ready, e.serving, e.terminating);
    (shown(wanted), &wanted.node_name, &wanted.zone) == (shown(there), &there.node_name, &there.zone)
}

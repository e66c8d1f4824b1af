//! Which zones and nodes should use an endpoint, as `spec.trafficDistribution` has it (kubernetes/endpointslice
//! trafficdist/trafficdist.go).

use crate::api::{Endpoint, EndpointSlice, Service};

use super::pack::Slices;

/// How the hints of a Service's endpoints are made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Hinting {
    /// There are none.
    Nowhere,
    /// An endpoint serves its own zone (`PreferSameZone`, and `PreferClose`, its old name).
    SameZone,
    /// An endpoint serves its own node, or its zone (`PreferSameNode`).
    SameNode,
    /// Zones get endpoints in proportion to their CPUs (annotation `service.kubernetes.io/topology-mode: Auto`).
    Proportional,
}

/// How the hints of `service` are made. The annotation comes before the field.
pub(super) fn hinting(service: &Service) -> Hinting {
    // The old name of the annotation comes first (`hintsEnabled`).
    let names = ["service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode"];
    let mode = names.iter().find_map(|name| service.annotations.get(*name));
    if mode.is_some_and(|mode| mode == "Auto" || mode == "auto") {
        return Hinting::Proportional;
    }
    match service.traffic_distribution.as_deref() {
        Some("PreferClose" | "PreferSameZone") => Hinting::SameZone,
        Some("PreferSameNode") => Hinting::SameNode,
        _ => Hinting::Nowhere,
    }
}

/// Gives every ready endpoint its hints by `hinting`; slices that have others already are updated.
pub(super) fn give(slices: &mut Slices, hinting: Hinting) {
    let hinted = |endpoint: &Endpoint| -> (Vec<String>, Vec<String>) {
        match hinting {
            Hinting::Nowhere | Hinting::Proportional => Default::default(),
            Hinting::SameZone => (endpoint.zone.clone().into_iter().collect(), Vec::new()),
            Hinting::SameNode => {
                (endpoint.zone.clone().into_iter().collect(), endpoint.node_name.clone().into_iter().collect())
            }
        }
    };
    // Without hints none is left anywhere; else one that is not ready keeps what it has.
    let counts = |endpoint: &Endpoint| endpoint.ready || hinting == Hinting::Nowhere;
    let is_wrong = |endpoint: &Endpoint| {
        let (zones, nodes) = hinted(endpoint);
        counts(endpoint) && (endpoint.for_zones != zones || endpoint.for_nodes != nodes)
    };
    touch(slices, |slice| slice.endpoints.iter().any(is_wrong));
    for endpoint in endpoints_mut(slices).filter(|endpoint| counts(endpoint)) {
        (endpoint.for_zones, endpoint.for_nodes) = hinted(endpoint);
    }
}

/// The endpoints of all slices that are written.
pub(super) fn endpoints_mut(slices: &mut Slices) -> impl Iterator<Item = &mut Endpoint> {
    slices.create.iter_mut().chain(&mut slices.update).flat_map(|slice| &mut slice.endpoints)
}

/// Lets those of the unchanged slices be written that `is_wrong` says.
pub(super) fn touch(slices: &mut Slices, mut is_wrong: impl FnMut(&EndpointSlice) -> bool) {
    let (wrong, right) = std::mem::take(&mut slices.unchanged).into_iter().partition(|slice| is_wrong(slice));
    slices.unchanged = right;
    slices.update.extend(Vec::into_iter(wrong).map(|slice| EndpointSlice::clone(&slice)));
}

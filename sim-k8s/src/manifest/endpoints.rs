//! EndpointSlices and Endpoints written by hand.

use sim_core::wire::ip::Family;
use std::collections::BTreeSet;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{EndpointSubset, Endpoints};
use k8s_openapi::api::discovery::v1::{Endpoint as K8sEndpoint, EndpointSlice as K8sEndpointSlice};

use crate::api::{Endpoint, EndpointPort, EndpointSlice, Meta, ObjectKey};

use super::check::{Check, or_default};
use super::names;
use super::passed_over::PassedOver;

/// The label by which a slice belongs to a Service (discovery/v1 `LabelServiceName`).
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// The label that says who writes a slice (discovery/v1 `LabelManagedBy`).
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";

/// Controllers that write slices: for Services with a selector, and for Endpoints written by hand.
pub(super) const CONTROLLERS: [&str; 2] = ["endpointslice-controller.k8s.io", MIRRORING];
/// Who makes slices of Endpoints (pkg/controller/endpointslicemirroring).
const MIRRORING: &str = "endpointslicemirroring-controller.k8s.io";

/// The document as an EndpointSlice.
pub(super) fn read_slice(check: &mut Check<'_>, passed_over: &mut PassedOver) -> Option<EndpointSlice> {
    let slice = check.read::<K8sEndpointSlice>(passed_over)?;
    let key = check.key(names::dns_subdomain);
    let types = [("IPv4", Some(Family::V4)), ("IPv6", Some(Family::V6)), ("FQDN", None)];
    let family = check.one_of("addressType", Some(&slice.address_type), &types, None);
    if slice.address_type.is_empty() && !check.says("addressType") {
        check.error("addressType", "it is missing", "write IPv4 or IPv6");
    }
    let mut endpoints = Vec::new();
    for (index, from) in or_default::<Vec<K8sEndpoint>>(slice.endpoints).iter().enumerate() {
        let path = format!("endpoints[{index}].addresses");
        let Some(text) = from.addresses.first() else {
            check.error(&path, "the endpoint has no address", "add one");
            continue;
        };
        let Some(family) = family else { continue };
        let Some(address) = check.address(&format!("{path}[0]"), text) else { continue };
        if !family.has(&address) {
            check.error(&format!("{path}[0]"), format!("{address} is not {family}"), "make it fit addressType");
        }
        endpoints.push(endpoint(address, from));
    }
    let mut ports = Vec::new();
    for (index, from) in slice.ports.iter().flatten().enumerate() {
        let Some(number) = from.port else { continue };
        let port = check.port(&format!("ports[{index}].port"), number);
        let protocol = check.protocol(&format!("ports[{index}].protocol"), from.protocol.as_deref());
        ports.push(EndpointPort { name: from.name.clone().unwrap_or_default(), protocol, port });
    }
    let labels = check.own_labels();
    let service = labels.get(SERVICE_NAME).map(|name| ObjectKey::new(&key.namespace, name));
    let managed_by = labels.get(MANAGED_BY).cloned();
    Some(EndpointSlice { key, meta: Meta::default(), managed_by, service, family, ports, endpoints })
}

fn endpoint(address: IpAddr, from: &K8sEndpoint) -> Endpoint {
    let conditions = from.conditions.clone().unwrap_or_default();
    let ready = conditions.ready.unwrap_or(true);
    let zones = from.hints.iter().flat_map(|hints| hints.for_zones.iter().flatten());
    let nodes = from.hints.iter().flat_map(|hints| hints.for_nodes.iter().flatten());
    Endpoint {
        address,
        ready,
        serving: conditions.serving.unwrap_or(true),
        terminating: conditions.terminating.unwrap_or_default(),
        node_name: from.node_name.clone(),
        zone: from.zone.clone(),
        for_zones: zones.map(|zone| zone.name.clone()).collect(),
        for_nodes: nodes.map(|node| node.name.clone()).collect(),
        hostname: from.hostname.clone(),
        pod: None,
    }
}

/// The document as slices: one for each subset and family of an Endpoints object, as the mirroring controller makes them
/// (pkg/controller/endpointslicemirroring).
pub(super) fn read_endpoints(check: &mut Check<'_>, passed_over: &mut PassedOver) -> Option<Vec<EndpointSlice>> {
    let endpoints = check.read::<Endpoints>(passed_over)?;
    let service = check.key(names::dns_subdomain);
    let mut slices = Vec::new();
    for (index, subset) in endpoints.subsets.iter().flatten().enumerate() {
        slices.extend(from_subset(check, &format!("subsets[{index}]"), subset, &service));
    }
    for (index, slice) in slices.iter_mut().enumerate() {
        slice.key.name = format!("{}-{index}", service.name);
    }
    Some(slices)
}

fn from_subset(check: &mut Check<'_>, path: &str, subset: &EndpointSubset, service: &ObjectKey) -> Vec<EndpointSlice> {
    let mut endpoints = Vec::new();
    for (field, list, ready) in
        [("addresses", &subset.addresses, true), ("notReadyAddresses", &subset.not_ready_addresses, false)]
    {
        for (index, from) in list.iter().flatten().enumerate() {
            let Some(address) = check.address(&format!("{path}.{field}[{index}].ip"), &from.ip) else { continue };
            endpoints.push(Endpoint {
                address,
                ready,
                serving: ready,
                terminating: false,
                node_name: from.node_name.clone(),
                zone: None,
                for_zones: Vec::new(),
                for_nodes: Vec::new(),
                hostname: from.hostname.clone(),
                pod: None,
            });
        }
    }
    let mut ports = Vec::new();
    for (index, from) in subset.ports.iter().flatten().enumerate() {
        let port = check.port(&format!("{path}.ports[{index}].port"), from.port);
        let protocol = check.protocol(&format!("{path}.ports[{index}].protocol"), from.protocol.as_deref());
        ports.push(EndpointPort { name: from.name.clone().unwrap_or_default(), protocol, port });
    }
    let of_family = |family: Family| EndpointSlice {
        key: service.clone(),
        meta: Meta::default(),
        managed_by: Some(MIRRORING.to_owned()),
        service: Some(service.clone()),
        family: Some(family),
        ports: ports.clone(),
        endpoints: endpoints.iter().filter(|endpoint| family.has(&endpoint.address)).cloned().collect(),
    };
    let families: BTreeSet<Family> = endpoints.iter().map(|endpoint| Family::of(endpoint.address)).collect();
    families.into_iter().map(of_family).collect()
}

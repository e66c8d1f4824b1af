//! `kubectl apply` of manifests.

use std::sync::Arc;

use sim_core::world::World;

use super::ClusterError;
use crate::agent::ControlPlane;
use crate::api::{ClusterIp, Object, ObjectKey, Objects, Service, WorkloadKind};
use crate::apiserver::{Refused, Request};
use crate::controller::bare_pod;

/// Pods of one cluster, at most.
const MAX_PODS: u64 = 100_000;

/// Creates all of `objects`. What has no effect is told.
///
/// Services come before the pods that may want them, and those that ask for a number before those that take any: so no
/// order of files makes a difference.
pub(super) fn apply(
    world: &mut World,
    plane: &mut ControlPlane,
    objects: &Objects,
) -> Result<Vec<String>, ClusterError> {
    let wanted = objects.workloads.iter().map(|workload| u64::from(workload.replicas)).sum();
    if wanted > MAX_PODS {
        return Err(ClusterError::TooManyPods { wanted, most: MAX_PODS });
    }
    let (asking, others): (Vec<&Service>, Vec<&Service>) = objects.services.iter().partition(|s| asks_by_number(s));
    for service in asking.into_iter().chain(others) {
        create(world, plane, Object::Service(Arc::new(service.clone()))).map_err(|why| refused(&service.key, why))?;
    }
    for slice in &objects.endpoint_slices {
        create(world, plane, Object::EndpointSlice(Arc::new(slice.clone()))).expect("two slices of one name are one");
    }
    for workload in &objects.workloads {
        let object = match workload.kind {
            WorkloadKind::Pod => Object::Pod(Arc::new(bare_pod(workload))),
            _ => Object::Workload(Arc::new(workload.clone())),
        };
        create(world, plane, object).expect("manifests name every object once");
    }
    let orphans = objects
        .endpoint_slices
        .iter()
        .filter(|slice| slice.service.as_ref().is_none_or(|service| !plane.objects().services.contains_key(service)));
    Ok(orphans.map(|slice| format!("EndpointSlice {}: it belongs to no Service of the manifests", slice.key)).collect())
}

fn create(world: &mut World, plane: &mut ControlPlane, object: Object) -> Result<(), Refused> {
    plane.kubectl(world, Request::Create(object))
}

fn refused(service: &ObjectKey, why: Refused) -> ClusterError {
    ClusterError::Service { service: service.clone(), why }
}

fn asks_by_number(service: &Service) -> bool {
    let ports = service.ports.iter().any(|port| port.node_port.is_some());
    matches!(service.cluster_ip, ClusterIp::Fixed(_)) || ports || service.health_check_node_port.is_some()
}

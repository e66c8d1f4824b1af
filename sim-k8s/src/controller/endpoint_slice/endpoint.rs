//! Pods as endpoints (kubernetes/endpointslice utils.go, util/controller_utils.go).

use crate::api::{Endpoint, EndpointPort, Node, Pod, Service};
use crate::workload::target_port;
use sim_core::wire::ip::Family;

/// Whether a pod is listed, ready or not (`ShouldPodBeInEndpoints`): until its kubelet reports its end, a terminating
/// one too.
pub(super) fn is_listed(pod: &Pod) -> bool {
    !pod.is_finished() && !pod.status.ips.is_empty()
}

/// The ports of `service` as `pod` has them, in a fixed order: a port whose name means nothing to the pod is left out.
pub(super) fn ports(service: &Service, pod: &Pod) -> Vec<EndpointPort> {
    let ports = service.ports.iter().filter_map(|port| {
        let number = target_port(port, &pod.template)?;
        Some(EndpointPort { name: port.name.clone(), protocol: port.protocol, port: number })
    });
    let mut ports: Vec<_> = ports.collect();
    ports.sort();
    ports
}

/// `pod` as an endpoint of `service` (`podToEndpoint`); `None` if it has no address of the family.
pub(super) fn endpoint(service: &Service, pod: &Pod, node: Option<&Node>, family: Family) -> Option<Endpoint> {
    let address = pod.status.ips.iter().copied().find(|ip| family.has(ip))?;
    let (serving, terminating) = (pod.status.ready, pod.is_terminating());
    let in_domain = pod.template.subdomain.as_ref() == Some(&service.key.name);
    Some(Endpoint {
        address,
        ready: service.publish_not_ready_addresses || serving && !terminating,
        serving,
        terminating,
        node_name: pod.node_name.clone(),
        zone: node.map(|node| node.zone().to_owned()).filter(|zone| !zone.is_empty()),
        for_zones: Vec::new(),
        for_nodes: Vec::new(),
        hostname: pod.template.hostname.clone().filter(|_| in_domain),
        pod: Some(pod.key.clone()),
    })
}

/// Whether a pod has changed in what its endpoints show or who selects it (`podEndpointsChanged`).
pub(super) fn has_changed(before: &Pod, pod: &Pod) -> bool {
    let shown = |pod: &Pod| (pod.meta.deletion, pod.status.ready);
    let named = |pod: &Pod| (pod.template.hostname.clone(), pod.template.subdomain.clone());
    shown(before) != shown(pod)
        || before.status.ips != pod.status.ips
        || before.labels != pod.labels
        || named(before) != named(pod)
}

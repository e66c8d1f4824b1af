//! What a pod answers.

use std::collections::BTreeSet;

use crate::api::{Labels, PodTemplate, Protocol, Service, ServicePort, TargetPort};

/// The port of a pod that `port` of a Service leads to; `None` if it names a port the pod does not have.
pub fn target_port(port: &ServicePort, template: &PodTemplate) -> Option<u16> {
    match &port.target_port {
        TargetPort::Number(number) => Some(*number),
        TargetPort::Name(name) => template.port_named(name, port.protocol),
    }
}

/// Every port a pod of `template`, with `labels` and in `namespace`, listens on: those its containers declare, and those
/// the Services lead to that select it (a container may listen without saying so).
pub fn served_ports(
    template: &PodTemplate,
    labels: &Labels,
    namespace: &str,
    services: &[Service],
) -> BTreeSet<(Protocol, u16)> {
    let declared = template.containers.iter().flat_map(|container| &container.ports).map(|p| (p.protocol, p.port));
    let selecting = services.iter().filter(|service| {
        service.key.namespace == namespace && service.pod_selector().is_some_and(|selector| selector.matches(labels))
    });
    let targets = selecting.flat_map(|service| &service.ports);
    let targets = targets.filter_map(|port| Some((port.protocol, target_port(port, template)?)));
    declared.chain(targets).collect()
}

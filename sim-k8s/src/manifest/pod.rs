//! Pod templates.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container as K8sContainer, PodSpec, Probe as K8sProbe};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use sim_core::engine::time::Duration;

use crate::api::{Container, ContainerPort, InitContainer, PodTemplate};

use super::check::Check;
use super::probe::{self, ProbeKind};
use super::shown::shown;
use super::{Referred, names};

/// The fields of a template that have an effect, each with all below it.
pub(super) const APPLIED_FIELDS: &[&str] = &[
    "metadata.labels",
    "metadata.annotations.controller.kubernetes.io/pod-deletion-cost",
    "spec.hostname",
    "spec.subdomain",
    "spec.dnsPolicy",
    "spec.dnsConfig",
    "spec.hostAliases",
    "spec.hostNetwork",
    "spec.nodeName",
    "spec.nodeSelector",
    "spec.terminationGracePeriodSeconds",
    "spec.affinity",
    "spec.tolerations",
    "spec.topologySpreadConstraints",
    "spec.priorityClassName",
    "spec.priority",
    "spec.preemptionPolicy",
    "spec.restartPolicy",
    "spec.containers[].name",
    "spec.containers[].image",
    "spec.containers[].command",
    "spec.containers[].args",
    "spec.containers[].startupProbe",
    "spec.containers[].livenessProbe",
    "spec.containers[].readinessProbe",
    "spec.containers[].lifecycle",
    "spec.containers[].ports",
    "spec.containers[].resources.requests",
    "spec.containers[].resources.limits",
    "spec.containers[].env",
    "spec.containers[].envFrom",
    "spec.initContainers[].name",
    "spec.initContainers[].ports",
    "spec.initContainers[].resources.requests",
    "spec.initContainers[].resources.limits",
    "spec.initContainers[].env",
    "spec.initContainers[].envFrom",
    "spec.initContainers[].restartPolicy",
    "spec.initContainers[].image",
    "spec.initContainers[].command",
    "spec.initContainers[].args",
    "spec.initContainers[].startupProbe",
    "spec.initContainers[].livenessProbe",
    "spec.initContainers[].readinessProbe",
    "spec.initContainers[].lifecycle",
];

/// The template whose `metadata` and `spec` stand under `path` (`spec.template`; empty for a bare pod).
pub(super) fn template(
    check: &mut Check<'_>,
    referred: &mut Referred,
    path: &str,
    metadata: Option<&ObjectMeta>,
    spec: Option<&PodSpec>,
) -> PodTemplate {
    let at = |field: &str| if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") };
    let labels = check.labels(&at("metadata.labels"), metadata.and_then(|m| m.labels.as_ref()));
    let Some(spec) = spec.filter(|spec| !spec.containers.is_empty()) else {
        check.error(&at("spec.containers"), "there is no container", "name at least one container");
        return PodTemplate::default();
    };
    if let Some(node) = &spec.node_name {
        check.name(&at("spec.nodeName"), node, names::dns_subdomain);
    }
    for (field, name) in [("spec.hostname", &spec.hostname), ("spec.subdomain", &spec.subdomain)] {
        if let Some(name) = name.as_ref().filter(|name| !name.is_empty()) {
            check.name(&at(field), name, names::dns_label);
        }
    }
    let host_network = spec.host_network.unwrap_or_default();
    let init = spec.init_containers.iter().flatten().enumerate();
    let sidecars = init.filter(|(_, c)| c.restart_policy.as_deref() == Some("Always"));
    let sidecars = sidecars.map(|(i, c)| (format!("spec.initContainers[{i}]"), c, true));
    let main = spec.containers.iter().enumerate().map(|(i, c)| (format!("spec.containers[{i}]"), c, false));
    let mut taken = Taken::default();
    let init = init_containers(check, &at("spec.initContainers"), spec, &mut taken);
    let containers = sidecars.chain(main).map(|(field, from, sidecar)| {
        let path = at(&field);
        taken.name(check, &path, &from.name);
        let ports = ports(check, &path, from, host_network, &mut taken);
        container(check, referred, &path, from, sidecar, ports)
    });
    let containers = containers.collect();
    let (priority, never_preempts) = referred.priorities.of(check, &at("spec"), spec);
    PodTemplate {
        labels,
        host_network,
        node_name: spec.node_name.clone().filter(|name| !name.is_empty()),
        node_selector: check.labels(&at("spec.nodeSelector"), spec.node_selector.as_ref()),
        hostname: spec.hostname.clone().filter(|name| !name.is_empty()),
        subdomain: spec.subdomain.clone().filter(|name| !name.is_empty()),
        dns: check.dns(&at("spec"), spec),
        deletion_cost: deletion_cost(metadata),
        affinity: check.affinity(&at("spec.affinity"), spec.affinity.as_ref()),
        tolerations: check.tolerations(&at("spec.tolerations"), spec.tolerations.as_ref()),
        topology_spread: check
            .topology_spread(&at("spec.topologySpreadConstraints"), spec.topology_spread_constraints.as_ref()),
        priority,
        never_preempts,
        init_requests: check.init_requests(&at("spec.initContainers"), spec),
        containers,
        init,
        restart_policy: check.restart_policy(&at("spec"), spec),
        // A negative one is one second (`SetDefaults_PodSpec`'s counterpart in pkg/registry/core/pod/strategy.go).
        grace: spec
            .termination_grace_period_seconds
            .map_or(Duration::from_secs(30), |seconds| Duration::from_secs(u64::try_from(seconds).unwrap_or(1))),
    }
}

/// `GetDeletionCostFromPodAnnotations` (pkg/apis/core/helper): what is no number costs nothing.
fn deletion_cost(metadata: Option<&ObjectMeta>) -> i32 {
    let annotations = metadata.and_then(|metadata| metadata.annotations.as_ref());
    let cost = annotations.and_then(|annotations| annotations.get("controller.kubernetes.io/pod-deletion-cost"));
    cost.and_then(|cost| cost.parse().ok()).unwrap_or_default()
}

fn container(
    check: &mut Check<'_>,
    referred: &mut Referred,
    path: &str,
    from: &K8sContainer,
    sidecar: bool,
    ports: Vec<ContainerPort>,
) -> Container {
    let mut probed = |field: &str, probe: &Option<K8sProbe>, kind| {
        probe.as_ref().and_then(|probe| check.probe(&format!("{path}.{field}"), probe, &ports, kind))
    };
    Container {
        name: from.name.clone(),
        sidecar,
        image: from.image.clone().unwrap_or_default(),
        sleeps: probe::sleeps(words(from)),
        startup_probe: probed("startupProbe", &from.startup_probe, ProbeKind::OneSuccess),
        liveness_probe: probed("livenessProbe", &from.liveness_probe, ProbeKind::OneSuccess),
        readiness_probe: probed("readinessProbe", &from.readiness_probe, ProbeKind::Readiness),
        lifecycle: check.lifecycle(&format!("{path}.lifecycle"), from.lifecycle.as_ref(), &ports),
        ports,
        requests: check.requests(path, from.resources.as_ref()),
        env: referred.configs.environment(check, path, from),
    }
}

/// What one pod may have only once.
#[derive(Default)]
struct Taken {
    names: BTreeSet<String>,
    /// Host ports by protocol, address and number (`AccumulateUniqueHostPorts`, pkg/apis/core/validation).
    host_ports: BTreeSet<(String, String, i32)>,
}

impl Taken {
    /// Takes the name of a container.
    fn name(&mut self, check: &mut Check<'_>, path: &str, name: &str) {
        check.name(&format!("{path}.name"), name, names::dns_label);
        if !self.names.insert(name.to_owned()) {
            let message = format!("the pod has two containers \"{}\"", shown(name));
            check.error(&format!("{path}.name"), message, "give each container a name of its own");
        }
    }
}

/// The command of a container with its arguments.
fn words(container: &K8sContainer) -> impl Iterator<Item = &String> {
    container.command.iter().flatten().chain(container.args.iter().flatten())
}

/// The init containers that end.
fn init_containers(check: &mut Check<'_>, path: &str, spec: &PodSpec, taken: &mut Taken) -> Vec<InitContainer> {
    let all = spec.init_containers.iter().flatten().enumerate();
    let ending = all.filter(|(_, container)| container.restart_policy.as_deref() != Some("Always"));
    let ending = ending.map(|(index, container)| {
        taken.name(check, &format!("{path}[{index}]"), &container.name);
        InitContainer { name: container.name.clone(), runs: probe::sleeps(words(container)) }
    });
    ending.collect()
}

fn ports(
    check: &mut Check<'_>,
    path: &str,
    container: &K8sContainer,
    host_network: bool,
    taken: &mut Taken,
) -> Vec<ContainerPort> {
    let mut port_names = BTreeSet::new();
    let mut ports = Vec::new();
    for (index, from) in container.ports.iter().flatten().enumerate() {
        let at = |field: &str| format!("{path}.ports[{index}].{field}");
        let port = check.port(&at("containerPort"), from.container_port);
        let protocol = check.protocol(&at("protocol"), from.protocol.as_deref());
        let mut host_port = from.host_port.filter(|p| *p != 0).map(|p| check.port(&at("hostPort"), p));
        if host_network {
            if host_port.is_some_and(|p| p != port) {
                let message = "it differs from containerPort, but the pod uses the node's network";
                check.error(&at("hostPort"), message, "write the same number, or leave hostPort out");
            }
            // `SetDefaults_PodSpec` (defaultHostNetworkPorts): pkg/apis/core/v1/defaults.go.
            host_port = Some(port);
        }
        if let Some(host_port) = host_port {
            let place = (protocol.to_string(), from.host_ip.clone().unwrap_or_default(), i32::from(host_port));
            if !taken.host_ports.insert(place) {
                check.error(&at("hostPort"), format!("the pod claims port {host_port} of its node twice"), "keep one");
            }
        }
        let name = from.name.clone().filter(|name| !name.is_empty());
        if let Some(name) = &name {
            check.name(&at("name"), name, names::port_name);
            if !port_names.insert(name.clone()) {
                let message = format!("the container has two ports \"{}\"", shown(name));
                check.error(&at("name"), message, "give each port a name of its own");
            }
        }
        let host_ip = from.host_ip.as_deref().filter(|ip| !ip.is_empty());
        let host_ip = host_ip.and_then(|ip| check.address(&at("hostIP"), ip)).filter(|ip| !ip.is_unspecified());
        ports.push(ContainerPort { name, port, protocol, host_port, host_ip });
    }
    ports
}

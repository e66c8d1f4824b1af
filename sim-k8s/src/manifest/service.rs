//! Services (`ValidateService`: pkg/apis/core/validation/validation.go; defaults: `SetDefaults_Service`,
//! pkg/apis/core/v1/defaults.go).

use sim_core::engine::time::Duration;
use sim_core::wire::ip::Family;
use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use k8s_openapi::api::core::v1::{Service as K8sService, ServicePort as K8sServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::api::{ClusterIp, IpFamilyPolicy, Meta, Service, ServicePort, ServiceType, TargetPort, TrafficPolicy};

use super::check::Check;
use super::names;
use super::passed_over::PassedOver;
use super::shown::shown;

/// Ports of a node that Services may take (`--service-node-port-range` of the apiserver, default).
const NODE_PORTS: std::ops::RangeInclusive<u16> = 30000..=32767;
/// How long a client sticks to its endpoint unless the Service says otherwise
/// (`DefaultClientIPServiceAffinitySeconds`).
const AFFINITY_SECONDS: i32 = 10800;
/// The longest it may (`MaxClientIPServiceAffinitySeconds`).
const MAX_AFFINITY_SECONDS: i32 = 86400;

/// The document as a Service.
pub(super) fn read(check: &mut Check<'_>, passed_over: &mut PassedOver) -> Option<Service> {
    let service = check.read::<K8sService>(passed_over)?;
    let spec = service.spec.unwrap_or_default();
    let service_type = service_type(check, &spec);
    let cluster_ip = cluster_ip(check, &spec, &service_type);
    let ip_families = ip_families(check, &spec, &service_type, &cluster_ip);
    let ports = ports(check, &spec, &service_type, &cluster_ip);
    let external_ips = external_ips(check, &spec);
    let reached_from_outside =
        matches!(service_type, ServiceType::NodePort | ServiceType::LoadBalancer) || !external_ips.is_empty();
    let policies = [("Cluster", TrafficPolicy::Cluster), ("Local", TrafficPolicy::Local)];
    let mut policy = |field: &str, word: &Option<String>| {
        check.one_of(&format!("spec.{field}"), word.as_deref(), &policies, TrafficPolicy::Cluster)
    };
    let internal_traffic_policy = policy("internalTrafficPolicy", &spec.internal_traffic_policy);
    let external_traffic_policy = policy("externalTrafficPolicy", &spec.external_traffic_policy);
    if spec.external_traffic_policy.as_ref().is_some_and(|word| !word.is_empty()) && !reached_from_outside {
        let message = "it has no meaning: nothing outside the cluster reaches this Service";
        check.error("spec.externalTrafficPolicy", message, "remove it, or make the type NodePort or LoadBalancer");
    }
    Some(Service {
        key: check.key(names::dns_label),
        meta: Meta::default(),
        labels: check.own_labels(),
        annotations: service.metadata.annotations.unwrap_or_default(),
        cluster_ip,
        ip_families,
        ip_family_policy: ip_family_policy(check, &spec),
        ports,
        selector: selector(check, &spec, &service_type),
        external_ips,
        load_balancer_ip: load_balancer_ip(check, &spec),
        load_balancer_source_ranges: source_ranges(check, &spec, &service_type),
        allocate_load_balancer_node_ports: spec.allocate_load_balancer_node_ports.unwrap_or(true),
        internal_traffic_policy,
        external_traffic_policy,
        health_check_node_port: health_check_node_port(check, &spec, &service_type, external_traffic_policy),
        session_affinity: session_affinity(check, &spec),
        publish_not_ready_addresses: spec.publish_not_ready_addresses.unwrap_or_default(),
        traffic_distribution: spec.traffic_distribution,
        ingress: Vec::new(),
        balancer_error: None,
        service_type,
    })
}

fn service_type(check: &mut Check<'_>, spec: &ServiceSpec) -> ServiceType {
    let name = spec.external_name.clone().unwrap_or_default();
    let known = [
        ("ClusterIP", ServiceType::ClusterIp),
        ("NodePort", ServiceType::NodePort),
        ("LoadBalancer", ServiceType::LoadBalancer),
        ("ExternalName", ServiceType::ExternalName(name.clone())),
    ];
    let service_type = check.one_of("spec.type", spec.type_.as_deref(), &known, ServiceType::ClusterIp);
    if matches!(service_type, ServiceType::ExternalName(_)) {
        check.name("spec.externalName", name.trim_end_matches('.'), names::dns_subdomain);
    }
    service_type
}

fn cluster_ip(check: &mut Check<'_>, spec: &ServiceSpec, service_type: &ServiceType) -> ClusterIp {
    let first = spec.cluster_ip.as_deref().filter(|ip| !ip.is_empty());
    let listed: Vec<&str> = spec.cluster_ips.iter().flatten().map(String::as_str).collect();
    if let (Some(first), Some(listed)) = (first, listed.first())
        && first != *listed
    {
        check.error("spec.clusterIPs", "the first address is not clusterIP", "make them equal, or leave one out");
    }
    let field = if first.is_some() { "spec.clusterIP" } else { "spec.clusterIPs" };
    let asked = if listed.is_empty() { Vec::from_iter(first) } else { listed };
    if asked.is_empty() {
        return ClusterIp::Allocate;
    }
    if matches!(service_type, ServiceType::ExternalName(_)) {
        check.error(field, "an ExternalName has no cluster address", "remove it");
        return ClusterIp::Allocate;
    }
    if asked == ["None"] {
        if *service_type != ServiceType::ClusterIp {
            check.error(
                field,
                "only a Service of type ClusterIP may be headless",
                "remove \"None\", or change the type",
            );
        }
        return ClusterIp::Headless;
    }
    let addresses: Vec<IpAddr> = asked.iter().filter_map(|text| check.address(field, text)).collect();
    if let [first, others @ ..] = addresses.as_slice()
        && (others.len() > 1 || others.iter().any(|other| Family::of(*other) == Family::of(*first)))
    {
        check.error(field, "a Service has one address of each family at most", "leave the others out");
    }
    ClusterIp::Fixed(addresses)
}

/// The families that are asked for; each cluster address is of the one in its place
/// (`ValidateServiceClusterIPsRelatedFields`).
fn ip_families(
    check: &mut Check<'_>,
    spec: &ServiceSpec,
    service_type: &ServiceType,
    cluster_ip: &ClusterIp,
) -> Vec<Family> {
    let known = Family::ALL.map(|family| (family.to_string(), family));
    let mut families = Vec::new();
    for (index, word) in spec.ip_families.iter().flatten().enumerate() {
        let path = format!("spec.ipFamilies[{index}]");
        let family = check.one_of(&path, Some(word), &known, Family::V4);
        if families.contains(&family) {
            check.error(&path, format!("{family} stands twice"), "name each family once");
        }
        if let ClusterIp::Fixed(ips) = cluster_ip
            && let Some(ip) = ips.get(index).filter(|ip| !family.has(ip))
        {
            check.error(&path, format!("the cluster address {ip} is not {family}"), "bring them into one order");
        }
        families.push(family);
    }
    let says = spec.ip_family_policy.is_some() || !families.is_empty();
    if says && matches!(service_type, ServiceType::ExternalName(_)) {
        check.error("spec", "an ExternalName has no address family", "remove ipFamilies and ipFamilyPolicy");
    }
    families
}

fn ip_family_policy(check: &mut Check<'_>, spec: &ServiceSpec) -> Option<IpFamilyPolicy> {
    use IpFamilyPolicy::{PreferDualStack, RequireDualStack, SingleStack};
    let known = [SingleStack, PreferDualStack, RequireDualStack].map(|policy| (policy.to_string(), Some(policy)));
    check.one_of("spec.ipFamilyPolicy", spec.ip_family_policy.as_deref(), &known, None)
}

fn ports(
    check: &mut Check<'_>,
    spec: &ServiceSpec,
    service_type: &ServiceType,
    cluster_ip: &ClusterIp,
) -> Vec<ServicePort> {
    let from = spec.ports.as_deref().unwrap_or_default();
    let may_lack = *cluster_ip == ClusterIp::Headless || matches!(service_type, ServiceType::ExternalName(_));
    if from.is_empty() && !may_lack {
        check.error("spec.ports", "the Service has no port", "add ports: with at least one port:");
    }
    let (mut port_names, mut numbers, mut node_ports) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let mut ports = Vec::new();
    for (index, one) in from.iter().enumerate() {
        let at = |field: &str| format!("spec.ports[{index}].{field}");
        let port = port(check, &format!("spec.ports[{index}]"), one, service_type);
        if from.len() > 1 && port.name.is_empty() {
            check.error(&at("name"), "a Service of several ports must name each", "add name:");
        } else if !port_names.insert(port.name.clone()) {
            check.error(&at("name"), format!("the name \"{}\" stands twice", shown(&port.name)), "choose another");
        }
        if !numbers.insert((port.protocol, port.port)) {
            let message = format!("the Service has {} port {} twice", port.protocol, port.port);
            check.error(&at("port"), message, "remove one of the two");
        }
        if port.node_port.is_some_and(|number| !node_ports.insert((port.protocol, number))) {
            check.error(&at("nodePort"), "the Service takes this node port twice", "choose another, or none");
        }
        ports.push(port);
    }
    ports
}

fn port(check: &mut Check<'_>, path: &str, from: &K8sServicePort, service_type: &ServiceType) -> ServicePort {
    let at = |field: &str| format!("{path}.{field}");
    let port = check.port(&at("port"), from.port);
    let name = from.name.clone().unwrap_or_default();
    if !name.is_empty() {
        check.name(&at("name"), &name, names::dns_label);
    }
    let target_port = match &from.target_port {
        None | Some(IntOrString::Int(0)) => TargetPort::Number(port),
        Some(IntOrString::String(name)) if name.is_empty() => TargetPort::Number(port),
        Some(IntOrString::Int(number)) => TargetPort::Number(check.port(&at("targetPort"), *number)),
        Some(IntOrString::String(name)) => {
            check.name(&at("targetPort"), name, names::port_name);
            TargetPort::Name(name.clone())
        }
    };
    let node_port = from.node_port.filter(|p| *p != 0).map(|number| {
        let number = check.port(&at("nodePort"), number);
        if !matches!(service_type, ServiceType::NodePort | ServiceType::LoadBalancer) {
            check.error(&at("nodePort"), "this type of Service has no node port", "remove it, or write type: NodePort");
        } else if !NODE_PORTS.contains(&number) {
            let advice = format!("choose one from {} to {}", NODE_PORTS.start(), NODE_PORTS.end());
            check.error(&at("nodePort"), format!("{number} is outside the range of node ports"), advice);
        }
        number
    });
    let protocol = check.protocol(&at("protocol"), from.protocol.as_deref());
    ServicePort { name, protocol, port, target_port, node_port, app_protocol: from.app_protocol.clone() }
}

fn selector(check: &mut Check<'_>, spec: &ServiceSpec, service_type: &ServiceType) -> Option<crate::api::Labels> {
    let selector = spec.selector.as_ref().filter(|labels| !labels.is_empty())?;
    let labels = check.labels("spec.selector", Some(selector));
    (!matches!(service_type, ServiceType::ExternalName(_))).then_some(labels)
}

fn external_ips(check: &mut Check<'_>, spec: &ServiceSpec) -> Vec<IpAddr> {
    let mut addresses = Vec::new();
    for (index, text) in spec.external_ips.iter().flatten().enumerate() {
        let path = format!("spec.externalIPs[{index}]");
        let Some(address) = check.address(&path, text) else { continue };
        // `ValidateNonSpecialIP`; link-local addresses count as special too.
        let link_local = match address {
            IpAddr::V4(ip) => ip.is_link_local(),
            IpAddr::V6(ip) => ip.is_unicast_link_local(),
        };
        if address.is_unspecified() || address.is_loopback() || address.is_multicast() || link_local {
            check.error(&path, format!("{address} has a special meaning"), "write an address clients can reach");
        }
        addresses.push(address);
    }
    addresses
}

fn load_balancer_ip(check: &mut Check<'_>, spec: &ServiceSpec) -> Option<IpAddr> {
    let text = spec.load_balancer_ip.as_deref().filter(|ip| !ip.is_empty())?;
    check.address("spec.loadBalancerIP", text)
}

fn source_ranges(check: &mut Check<'_>, spec: &ServiceSpec, service_type: &ServiceType) -> Vec<IpNet> {
    let field = "spec.loadBalancerSourceRanges";
    let from = spec.load_balancer_source_ranges.as_deref().unwrap_or_default();
    if !from.is_empty() && *service_type != ServiceType::LoadBalancer {
        check.error(field, "only a LoadBalancer has source ranges", "remove them, or change the type");
    }
    let mut ranges = Vec::new();
    for (index, text) in from.iter().enumerate() {
        match text.trim().parse() {
            Ok(range) => ranges.push(range),
            Err(_) => {
                let message = format!("\"{}\" is no address range", shown(text));
                check.error(&format!("{field}[{index}]"), message, "write one like 192.0.2.0/24");
            }
        }
    }
    ranges
}

fn health_check_node_port(
    check: &mut Check<'_>,
    spec: &ServiceSpec,
    service_type: &ServiceType,
    policy: TrafficPolicy,
) -> Option<u16> {
    let field = "spec.healthCheckNodePort";
    let number = spec.health_check_node_port.filter(|p| *p != 0)?;
    if *service_type != ServiceType::LoadBalancer || policy != TrafficPolicy::Local {
        let message = "only a LoadBalancer with externalTrafficPolicy: Local has a health check";
        check.error(field, message, "remove it");
    }
    Some(check.port(field, number))
}

fn session_affinity(check: &mut Check<'_>, spec: &ServiceSpec) -> Option<Duration> {
    let known = [("None", false), ("ClientIP", true)];
    let sticks = check.one_of("spec.sessionAffinity", spec.session_affinity.as_deref(), &known, false);
    let config = spec.session_affinity_config.as_ref().and_then(|config| config.client_ip.as_ref());
    let seconds = config.and_then(|client_ip| client_ip.timeout_seconds).unwrap_or(AFFINITY_SECONDS);
    if !(1..=MAX_AFFINITY_SECONDS).contains(&seconds) {
        let advice = format!("write 1 to {MAX_AFFINITY_SECONDS}");
        let field = "spec.sessionAffinityConfig.clientIP.timeoutSeconds";
        check.error(field, format!("{seconds} seconds are out of range"), advice);
    }
    sticks.then(|| Duration::from_secs(u64::from(seconds.unsigned_abs())))
}

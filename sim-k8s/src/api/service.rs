//! Services.

use sim_core::engine::time::Duration;
use sim_core::wire::ip::Family;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use super::{IpFamilyPolicy, Labels, Meta, ObjectKey, Protocol, Selector};

/// A Service with every default filled in; addresses and node ports that the manifest leaves open are
/// still open here (allocation is the apiserver's part).
#[derive(Clone, PartialEq, Debug)]
pub struct Service {
    /// Namespace and name.
    pub key: ObjectKey,
    /// What the apiserver keeps of it.
    pub meta: Meta,
    /// Its labels (kube-proxy reads `service.kubernetes.io/service-proxy-name`).
    pub labels: Labels,
    /// Its annotations.
    pub annotations: Labels,
    /// How it is reached.
    pub service_type: ServiceType,
    /// The cluster addresses asked for.
    pub cluster_ip: ClusterIp,
    /// Its address families, the primary one first (`ipFamilies`); none: the apiserver's choice.
    pub ip_families: Vec<Family>,
    /// How many families it wants; `None`: the apiserver's choice.
    pub ip_family_policy: Option<IpFamilyPolicy>,
    /// The ports, at least one unless the Service is headless or an external name.
    pub ports: Vec<ServicePort>,
    /// Which pods stand behind it; `None` when someone else writes the endpoints.
    pub selector: Option<Labels>,
    /// Addresses outside the cluster that lead here.
    pub external_ips: Vec<IpAddr>,
    /// The address asked of the load balancer (`loadBalancerIP`).
    pub load_balancer_ip: Option<IpAddr>,
    /// Clients the load balancer admits; empty admits all.
    pub load_balancer_source_ranges: Vec<IpNet>,
    /// Whether a load balancer needs node ports. Default true.
    pub allocate_load_balancer_node_ports: bool,
    /// Which endpoints serve clients inside the cluster. Default [`TrafficPolicy::Cluster`].
    pub internal_traffic_policy: TrafficPolicy,
    /// Which endpoints serve clients from outside. Default [`TrafficPolicy::Cluster`].
    pub external_traffic_policy: TrafficPolicy,
    /// Port of the health check of a load balancer with [`TrafficPolicy::Local`]; `None`: allocate one.
    pub health_check_node_port: Option<u16>,
    /// How long a client sticks to its endpoint (`sessionAffinity: ClientIP`); `None`: not at all.
    pub session_affinity: Option<Duration>,
    /// Pods are listed before they are ready, for DNS. Default false.
    pub publish_not_ready_addresses: bool,
    /// Preference between endpoints (`PreferClose`, …), as written.
    pub traffic_distribution: Option<String>,
    /// Where its load balancer is reached (`status.loadBalancer.ingress`).
    pub ingress: Vec<Ingress>,
    /// Why it has no load balancer, or not the one it asks for (what upstream says in an Event `SyncLoadBalancerFailed`).
    pub balancer_error: Option<String>,
}

/// Where a load balancer is reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ingress {
    /// Its address; `None` if it is known by name alone.
    pub ip: Option<IpAddr>,
    /// Packets arrive at nodes with this address still as their destination (`ipMode: VIP`, the default), so that
    /// kube-proxy has to know it; not with a load balancer that is a proxy (`ipMode: Proxy`).
    pub is_vip: bool,
}

impl Service {
    /// The pods behind it, if a selector says so. An empty selector selects nothing for a Service.
    pub fn pod_selector(&self) -> Option<Selector> {
        self.selector.as_ref().map(Selector::equal_to)
    }

    /// Whether clients resolve its name to pod addresses instead of one cluster address.
    pub fn is_headless(&self) -> bool {
        self.cluster_ip == ClusterIp::Headless
    }
}

/// How a Service is reached; each kind includes the ones before it, the last excepted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ServiceType {
    /// Inside the cluster. The default.
    ClusterIp,
    /// Also at a port of every node.
    NodePort,
    /// Also at a load balancer of the cloud.
    LoadBalancer,
    /// Not at all: the name is an alias of this DNS name.
    ExternalName(String),
}

/// The cluster addresses a Service asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ClusterIp {
    /// Whatever the allocator gives.
    Allocate,
    /// These, the first being the primary one.
    Fixed(Vec<IpAddr>),
    /// None (`clusterIP: None`).
    Headless,
}

/// One port of a Service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServicePort {
    /// Name, empty if the Service has only one port and leaves it out.
    pub name: String,
    /// Protocol. Default TCP.
    pub protocol: Protocol,
    /// Number at the cluster address, 1 to 65535.
    pub port: u16,
    /// Where it leads on the pods. Default: the same number.
    pub target_port: TargetPort,
    /// Port of every node that leads here; `None`: none asked for.
    pub node_port: Option<u16>,
    /// What the client will speak (`http`, `kubernetes.io/h2c`), as written.
    pub app_protocol: Option<String>,
}

/// Where a Service port leads on a pod.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TargetPort {
    /// To this port.
    Number(u16),
    /// To the container port of this name, which may have another number on another pod.
    Name(String),
}

impl fmt::Display for TargetPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

/// Which endpoints may serve a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TrafficPolicy {
    /// All of them.
    #[default]
    Cluster,
    /// Those of the node the packet is on.
    Local,
}

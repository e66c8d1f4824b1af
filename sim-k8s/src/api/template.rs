//! Pods as a workload's template describes them.

use std::fmt;
use std::net::IpAddr;

use sim_core::engine::time::Duration;

use super::{
    Affinity, Handler, InitContainer, Labels, Lifecycle, PodDns, Probe, Resources, RestartPolicy, Toleration,
    TopologySpreadConstraint,
};

/// A layer 4 protocol, spelled as Kubernetes does (`TCP`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Protocol {
    /// TCP, the default of every port.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// In lower case, as in rules and in the names kube-proxy hashes.
    pub const fn in_rules(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        })
    }
}

/// What every pod of a workload is made from.
#[derive(Clone, PartialEq, Debug)]
pub struct PodTemplate {
    /// Labels of the pods.
    pub labels: Labels,
    /// The pod lives in its node's netns instead of one of its own.
    pub host_network: bool,
    /// The node it must run on, if the manifest names one; the scheduler is then not asked.
    pub node_name: Option<String>,
    /// Labels the node must carry.
    pub node_selector: Labels,
    /// Its name in its Service's domain, if another than the pod's own is wanted (`spec.hostname`).
    pub hostname: Option<String>,
    /// The headless Service in whose domain it has a name (`spec.subdomain`).
    pub subdomain: Option<String>,
    /// How it resolves names.
    pub dns: PodDns,
    /// Of several pods that might go, the one that costs least goes (annotation
    /// `controller.kubernetes.io/pod-deletion-cost`). Default 0.
    pub deletion_cost: i32,
    /// Which nodes, and which pods nearby, it wants or shuns.
    pub affinity: Affinity,
    /// The taints it puts up with.
    pub tolerations: Vec<Toleration>,
    /// How the pods of its kind are to be spread.
    pub topology_spread: Vec<TopologySpreadConstraint>,
    /// Pods of higher priority are scheduled first and may push out those of lower. Default 0.
    pub priority: i32,
    /// It waits rather than push others out (`preemptionPolicy: Never`).
    pub never_preempts: bool,
    /// The most an init container asks for, together with the sidecars that run by then.
    pub init_requests: Resources,
    /// Containers that run as long as the pod: init containers with `restartPolicy: Always`
    /// (sidecars) first, as the kubelet starts them.
    pub containers: Vec<Container>,
    /// Init containers that end, in their order; they run before all others.
    pub init: Vec<InitContainer>,
    /// Whether its containers are started again. Default: always.
    pub restart_policy: RestartPolicy,
    /// How long its containers may take to stop (`terminationGracePeriodSeconds`). Default 30 s.
    pub grace: Duration,
}

impl Default for PodTemplate {
    fn default() -> Self {
        Self {
            hostname: None,
            subdomain: None,
            dns: PodDns::default(),
            deletion_cost: 0,
            labels: Labels::new(),
            host_network: false,
            node_name: None,
            node_selector: Labels::new(),
            affinity: Affinity::default(),
            tolerations: Vec::new(),
            topology_spread: Vec::new(),
            priority: 0,
            never_preempts: false,
            init_requests: Resources::new(),
            containers: Vec::new(),
            init: Vec::new(),
            restart_policy: RestartPolicy::default(),
            grace: Duration::from_secs(30),
        }
    }
}

impl PodTemplate {
    /// The number behind the port name `name` for `protocol`: the first container that has it decides
    /// (`FindPort` in pkg/api/v1/pod/util.go). Sidecars are searched last, as there.
    pub fn port_named(&self, name: &str, protocol: Protocol) -> Option<u16> {
        let (sidecars, main): (Vec<_>, Vec<_>) = self.containers.iter().partition(|c| c.sidecar);
        main.into_iter()
            .chain(sidecars)
            .flat_map(|c| &c.ports)
            .find(|p| p.name.as_deref() == Some(name) && p.protocol == protocol)
            .map(|p| p.port)
    }
}

/// One container of a pod.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct Container {
    /// Name, unique in the pod.
    pub name: String,
    /// An init container that keeps running (`restartPolicy: Always`).
    pub sidecar: bool,
    /// Its image, for example `nginx:1.27`.
    pub image: String,
    /// What the `sleep`s of its command take together; zero if it has none, or no command.
    pub sleeps: Duration,
    /// The ports it declares.
    pub ports: Vec<ContainerPort>,
    /// What it asks for (`resources.requests`; where that is silent, `resources.limits`).
    pub requests: Resources,
    /// Its environment: `envFrom` first, then `env`, a later name replacing an earlier one.
    pub env: Vec<EnvVar>,
    /// Says that it has started; until then the others wait.
    pub startup_probe: Option<Probe>,
    /// Says that it need not be started again.
    pub liveness_probe: Option<Probe>,
    /// Says that it can serve.
    pub readiness_probe: Option<Probe>,
    /// What is done after its start and before its end.
    pub lifecycle: Lifecycle,
}

impl Container {
    /// The ports of its pod that its probes and hooks go to, all of TCP.
    pub fn probed_ports(&self) -> impl Iterator<Item = u16> {
        let probes = [&self.startup_probe, &self.liveness_probe, &self.readiness_probe];
        let handlers = probes.into_iter().flatten().map(|probe| &probe.handler);
        let hooks = [&self.lifecycle.post_start, &self.lifecycle.pre_stop];
        handlers.chain(hooks.into_iter().flatten()).filter_map(Handler::pod_port)
    }
}

/// A port a container listens on.
#[derive(Clone, PartialEq, Debug)]
pub struct ContainerPort {
    /// Name by which Services and probes may refer to it.
    pub name: Option<String>,
    /// Port number, 1 to 65535.
    pub port: u16,
    /// Protocol.
    pub protocol: Protocol,
    /// Port of the node that leads here. Equal to `port` for host-network pods.
    pub host_port: Option<u16>,
    /// Node address `host_port` is bound to; all of them if absent.
    pub host_ip: Option<IpAddr>,
}

/// One variable of a container's environment.
#[derive(Clone, PartialEq, Debug)]
pub struct EnvVar {
    /// Name.
    pub name: String,
    /// Where its value comes from.
    pub source: EnvSource,
}

impl EnvVar {
    /// The value, if it is known before the pod exists.
    pub fn value(&self) -> Option<&str> {
        match &self.source {
            EnvSource::Value(value) => Some(value),
            EnvSource::Field(_) => None,
        }
    }
}

/// Where the value of an environment variable comes from.
#[derive(Clone, PartialEq, Debug)]
pub enum EnvSource {
    /// Written down, or read from a ConfigMap or Secret of the manifests; `$(NAME)` is expanded.
    Value(String),
    /// A field of the pod or a resource of its container, known once it runs (`status.podIP`).
    Field(String),
}

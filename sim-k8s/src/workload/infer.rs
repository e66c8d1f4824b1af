//! The calls that environments speak of.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use sim_core::engine::time::Duration;

use crate::api::{
    ClusterIp, Container, EnvVar, Labels, ObjectKey, Objects, Protocol, Service, ServiceType, Workload, WorkloadKind,
};

use super::address::{Address, addresses};
use super::call::{Call, Caller, Fault, NotCalled, Plan, Target, Why};

/// What a name ends with that says which cluster it belongs to.
const CLUSTER_DOMAIN: &str = ".svc.cluster.local";
/// Endings of the names of variables that hold a host, whose port is in a variable of its own (`DB_HOST`, `DB_PORT`).
const HOST_ENDINGS: [&str; 8] =
    ["_SERVICE_HOST", "_HOST", "_HOSTNAME", "_SERVER", "_SERVICE", "_ADDRESS", "_ADDR", "_ENDPOINT"];

/// A host in the world outside, and the port it serves.
pub(super) const OUTSIDE: (&str, u16) = ("www.example.com", 80);

/// Whether something outside the cluster leads to `service`.
pub(super) fn is_open(service: &Service) -> bool {
    matches!(service.service_type, ServiceType::NodePort | ServiceType::LoadBalancer)
        || !service.external_ips.is_empty()
}

/// Who calls whom: each Service port that an environment value of a workload names is called by that workload, each that
/// nobody names once by some other workload, each that is open to the world outside from there; and a pod and a node each
/// call out.
pub fn infer_calls(objects: &Objects) -> Plan {
    let mut inference = Inference {
        services: objects.services.iter().map(|service| (&service.key, service)).collect(),
        by_address: by_address(&objects.services),
        plan: Plan::default(),
        called: BTreeSet::new(),
    };
    for workload in objects.workloads.iter().filter(|w| has_pods(w)) {
        for container in &workload.template.containers {
            for variable in &container.env {
                inference.variable(workload, container, variable);
            }
        }
    }
    inference.uncalled(objects);
    inference.open(&objects.services);
    inference.egress(&objects.workloads);
    inference.plan
}

fn by_address(services: &[Service]) -> BTreeMap<IpAddr, &Service> {
    let fixed = services.iter().filter_map(|service| match &service.cluster_ip {
        ClusterIp::Fixed(addresses) => Some((service, addresses)),
        _ => None,
    });
    fixed.flat_map(|(service, addresses)| addresses.iter().map(move |address| (*address, service))).collect()
}

fn has_pods(workload: &Workload) -> bool {
    workload.kind == WorkloadKind::DaemonSet || workload.replicas > 0
}

struct Inference<'a> {
    services: BTreeMap<&'a ObjectKey, &'a Service>,
    by_address: BTreeMap<IpAddr, &'a Service>,
    plan: Plan,
    /// The calls so far, by caller and port: a workload that names a port twice calls it once.
    called: BTreeSet<(Caller, ObjectKey, u16, Protocol)>,
}

impl<'a> Inference<'a> {
    fn variable(&mut self, workload: &Workload, container: &Container, variable: &EnvVar) {
        let Some(value) = variable.value() else { return };
        for address in addresses(value) {
            let whole = address.text == value.trim();
            match self.target(workload, container, variable, &address, whole) {
                Some(Ok((service, port, protocol))) => {
                    let why = Why::Environment {
                        container: container.name.clone(),
                        name: variable.name.clone(),
                        value: address.text.to_owned(),
                    };
                    self.call(Caller::Workload(workload.reference()), service, (port, protocol), why);
                }
                Some(Err(fault)) => self.plan.not_called.push(NotCalled::Value {
                    from: workload.reference(),
                    container: container.name.clone(),
                    name: variable.name.clone(),
                    value: address.text.to_owned(),
                    fault,
                }),
                None => {}
            }
        }
    }

    /// What `address` leads to. `None` if it is no address at all: a word that no Service has for its name, or that is the
    /// workload's own (`SERVICE_NAME=cart`).
    fn target(
        &self,
        workload: &Workload,
        container: &Container,
        variable: &EnvVar,
        address: &Address<'_>,
        whole: bool,
    ) -> Option<Result<(&'a Service, u16, Protocol), Fault>> {
        let Some(service) = self.service(address.host, &workload.key.namespace) else {
            return address.looks_like_one().then_some(Err(Fault::NoService));
        };
        let bare = address.port.is_none() && address.scheme.is_none();
        if bare && (!whole || selects(service, &workload.template.labels)) {
            return None;
        }
        let numbered = |number: u16| service.ports.iter().find(|port| port.port == number);
        let written = address.port.or_else(|| bare.then(|| port_beside(container, variable)).flatten());
        let of_scheme = address.port_of_scheme();
        if let ServiceType::ExternalName(_) = service.service_type {
            // Only another name: whoever has it serves what it likes.
            let number = written.or(of_scheme).or(service.ports.first().map(|port| port.port));
            let found = number.map(|number| (service, number, Protocol::Tcp));
            return Some(found.ok_or_else(|| Fault::NoPort(service.key.clone())));
        }
        let port = match written {
            Some(number) => numbered(number),
            None => of_scheme.and_then(numbered).or(service.ports.first()),
        };
        let found = port.map(|port| (service, port.port, port.protocol));
        Some(found.ok_or_else(|| Fault::NoPort(service.key.clone())))
    }

    /// The Service that `host` means to a pod of `namespace` (the search list of a pod's resolv.conf), be it its own name or
    /// that of a pod behind it.
    fn service(&self, host: &str, namespace: &str) -> Option<&'a Service> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return self.by_address.get(&address).copied();
        }
        let host = host.to_ascii_lowercase();
        let find = |namespace: &str, name: &str| self.services.get(&ObjectKey::new(namespace, name)).copied();
        let qualified = host.strip_suffix(CLUSTER_DOMAIN).or_else(|| host.strip_suffix(".svc"));
        let parts: Vec<&str> = qualified.unwrap_or(&host).split('.').collect();
        match (parts.as_slice(), qualified.is_some()) {
            ([name], false) => find(namespace, name),
            ([name, namespace] | [_, name, namespace], true) => find(namespace, name),
            ([first, second], false) => find(second, first).or_else(|| find(namespace, second)),
            ([_, name, namespace], false) => find(namespace, name),
            _ => None,
        }
    }

    fn call(&mut self, from: Caller, service: &Service, (port, protocol): (u16, Protocol), why: Why) {
        if self.called.insert((from.clone(), service.key.clone(), port, protocol)) {
            let to = Target::Service(service.key.clone());
            let call = Call { from, to, port, protocol, source_port: None, count: 1, every: Duration::ZERO, why };
            self.plan.calls.push(call);
        }
    }

    /// Adds calls from outside to what is open to it.
    fn open(&mut self, services: &[Service]) {
        for service in services.iter().filter(|service| is_open(service)) {
            for port in &service.ports {
                self.call(Caller::World, service, (port.port, port.protocol), Why::Open);
            }
        }
    }

    /// Adds a call out of a pod and out of a node, if there is a pod at all.
    fn egress(&mut self, workloads: &[Workload]) {
        let Some(first) = workloads.iter().find(|w| has_pods(w)) else { return };
        let (host, port) = OUTSIDE;
        for from in [Caller::Workload(first.reference()), Caller::Node] {
            let (to, protocol, every, why) = (Target::Outside(host), Protocol::Tcp, Duration::ZERO, Why::Egress);
            self.plan.calls.push(Call { from, to, port, protocol, source_port: None, count: 1, every, why });
        }
    }

    /// Adds a call for each port that has none, the callers taking turns.
    fn uncalled(&mut self, objects: &Objects) {
        let named: BTreeSet<_> =
            self.called.iter().map(|(_, service, port, protocol)| (service.clone(), *port, *protocol)).collect();
        let callers = Callers::new(&objects.workloads);
        let mut turn = 0;
        for service in objects.services.iter().filter(|s| !matches!(s.service_type, ServiceType::ExternalName(_))) {
            for port in &service.ports {
                if named.contains(&(service.key.clone(), port.port, port.protocol)) {
                    continue;
                }
                match callers.choose(service, turn) {
                    Some(caller) => {
                        let (caller, port) = (Caller::Workload(caller.reference()), (port.port, port.protocol));
                        self.call(caller, service, port, Why::Uncalled);
                    }
                    None => {
                        self.plan.not_called.push(NotCalled::Port { service: service.key.clone(), port: port.port })
                    }
                }
                turn += 1;
            }
        }
    }
}

/// Whether the pods of `labels` stand behind `service`.
fn selects(service: &Service, labels: &Labels) -> bool {
    service.pod_selector().is_some_and(|selector| selector.matches(labels))
}

/// The workloads that have pods, all and by namespace.
struct Callers<'a> {
    all: Vec<&'a Workload>,
    by_namespace: BTreeMap<&'a str, Vec<&'a Workload>>,
}

impl<'a> Callers<'a> {
    fn new(workloads: &'a [Workload]) -> Self {
        let all: Vec<&Workload> = workloads.iter().filter(|w| has_pods(w)).collect();
        let mut by_namespace: BTreeMap<&str, Vec<&Workload>> = BTreeMap::new();
        for workload in &all {
            by_namespace.entry(&workload.key.namespace).or_default().push(workload);
        }
        Self { all, by_namespace }
    }

    /// Who calls `service`: a workload of its namespace that does not stand behind it; else one of any namespace; else one
    /// that does. Whose `turn` it is comes first.
    fn choose(&self, service: &Service, turn: usize) -> Option<&'a Workload> {
        let near = self.by_namespace.get(service.key.namespace.as_str()).map(Vec::as_slice).unwrap_or_default();
        let other = |w: &&Workload| w.key.namespace != service.key.namespace || !selects(service, &w.template.labels);
        let find = |list: &[&'a Workload]| (0..list.len()).map(|i| list[(turn + i) % list.len()]).find(other);
        find(near).or_else(|| find(&self.all)).or(self.all.first().copied())
    }
}

/// The port in the variable that goes with `variable`: `DB_PORT` with `DB_HOST`.
fn port_beside(container: &Container, variable: &EnvVar) -> Option<u16> {
    let stem = HOST_ENDINGS.iter().find_map(|ending| variable.name.strip_suffix(ending)).unwrap_or(&variable.name);
    let beside = |ending: &str| {
        let name = format!("{stem}{ending}");
        container.env.iter().find(|other| other.name == name).and_then(EnvVar::value)?.trim().parse().ok()
    };
    beside("_PORT").or_else(|| beside("_SERVICE_PORT"))
}

#[cfg(test)]
mod tests;

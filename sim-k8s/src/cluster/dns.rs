//! Who resolves names: CoreDNS in its pods, the name server of the world outside, and what programs are told of them.

use sim_core::engine::arena::NetnsId;
use sim_core::wire::ip::Family;
use sim_core::world::World;

use super::{Cluster, ClusterConfig, Pod};
use crate::agent::{ContainerRef, ControlPlane, Notice, Signal};
use crate::cloud::Plan;
use crate::dns::{self, ClusterDns, CoreDns, CoreDnsConfig, Libc, OutsideResolver, ResolvConf, Resolver};

/// The domain of every cluster here.
const DOMAIN: &str = "cluster.local";
/// What a machine is told of name servers, the nodes and those outside: the one outside, in the cluster's primary family.
fn machine(family: Family) -> ResolvConf {
    ResolvConf::parse(&format!("nameserver {}\n", Plan::of(family).resolver))
}

/// Starts the name server of the world outside.
pub(super) fn start(world: &mut World, plane: &mut ControlPlane, outside: NetnsId, config: &ClusterConfig) {
    let families = config.families();
    let names: Vec<_> = families.iter().map(|family| Plan::of(*family).names).collect();
    for ip in families.iter().map(|family| Plan::of(*family).resolver) {
        let resolver = OutsideResolver::new(outside, ip, names.clone());
        plane.spawn(world, "name server outside", Box::new(resolver));
    }
}

/// What kubelets know of the cluster's DNS.
pub(super) fn cluster_dns(config: &ClusterConfig) -> ClusterDns {
    ClusterDns { nameserver: dns::nameserver(config.service_networks[0]), domain: DOMAIN.to_owned() }
}

impl Cluster {
    /// How the programs of a pod resolve names; without one, those of a machine.
    pub fn resolver(&self, pod: Option<&Pod>) -> Resolver {
        let machine = self.machine();
        let Some(pod) = pod else { return Resolver::new(Libc::Glibc, machine) };
        let mut resolver = Resolver::new(Libc::Glibc, self.resolv_conf(pod, &machine));
        resolver.hosts = pod.template.dns.host_aliases.clone();
        resolver
    }

    fn machine(&self) -> ResolvConf {
        machine(Family::of(self.world_ips[0]))
    }

    fn resolv_conf(&self, pod: &Pod, machine: &ResolvConf) -> ResolvConf {
        ResolvConf::of_pod(&pod.template, &pod.key.namespace, &self.dns, machine)
    }

    /// Plays CoreDNS in its containers; whether that was such a container.
    pub(super) fn play_coredns(&mut self, world: &mut World, notice: &Notice) -> bool {
        match notice {
            Notice::Started { container, netns, ips } => {
                let pod = self.by_key.get(&container.pod).map(|index| &self.pods[*index]);
                let image = pod.and_then(|pod| pod.template.containers.get(container.container));
                if !image.is_some_and(dns::runs_coredns) {
                    return false;
                }
                let machine = self.machine();
                let conf = pod.map_or(machine.clone(), |pod| self.resolv_conf(pod, &machine));
                let upstream = conf.nameservers.first().or(machine.nameservers.first());
                let config = CoreDnsConfig {
                    upstream: *upstream.expect("a machine is told of a name server"),
                    ..CoreDnsConfig::default()
                };
                let agent = CoreDns::new(config, container.clone(), *netns, ips.clone());
                // It goes when its node goes: its name ends with the node's.
                let node = pod.map_or("", |pod| self.nodes[pod.node].name.as_str());
                let name = format!("coredns {} {node}", container.pod);
                let agent = self.plane.spawn(world, name, Box::new(agent));
                self.coredns.insert(container.clone(), agent);
                true
            }
            Notice::Stop(container) => self.signal_coredns(world, container, Signal::Stop),
            Notice::Killed(container) => {
                let was = self.signal_coredns(world, container, Signal::Kill);
                self.coredns.remove(container);
                was
            }
            Notice::Exited(container, code) => {
                if let Some(agent) = self.coredns.remove(container) {
                    self.plane.retire(agent);
                }
                self.plane.exited(world, container, *code);
                true
            }
        }
    }

    fn signal_coredns(&mut self, world: &mut World, container: &ContainerRef, signal: Signal) -> bool {
        let agent = self.coredns.get(container).copied();
        agent.inspect(|agent| self.plane.signal(world, *agent, signal)).is_some()
    }
}

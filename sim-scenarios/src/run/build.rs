//! Puts a run together: the cluster, a server for every port, an edge for every call of the plan.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use sim_core::engine::time::Instant;
use sim_core::world::World;
use sim_k8s::api::{Objects, Protocol as Transport};
use sim_k8s::cluster::{Cluster, ClusterConfig, ClusterError, ServicePort};
use sim_k8s::workload::{Call, Caller, Plan, served_ports};

use super::edge::{Edge, Origin};
use super::losses::Losses;
use super::{Alarm, LINGER, Run, RunConfig, resolve};
use crate::workload::protocol::{Protocol, signature, spoken};
use crate::workload::{Clients, Server, Servers};

pub(super) fn build(objects: &Objects, plan: &Plan, config: RunConfig) -> Result<Run, ClusterError> {
    let cluster_config = ClusterConfig { nodes: config.nodes, seed: config.seed, ..ClusterConfig::default() };
    let (mut world, cluster) = Cluster::build(objects, &cluster_config)?;
    world.capture(config.capture);
    let leading = Leading::to_endpoints(&cluster);
    let mut not_called = Vec::new();
    let servers = serve(&mut world, objects, &cluster, &leading, &mut not_called);
    not_called.extend(plan.not_called.iter().map(ToString::to_string));
    let end = Instant::START + config.duration;
    let mut edges = Vec::new();
    for call in &plan.calls {
        match prepare(&cluster, &leading, call) {
            Ok((origins, protocol)) => {
                let place = (edges.len(), plan.calls.len());
                let mut edge = Edge::new(call.clone(), origins, protocol, place, (config.seed, config.duration));
                let late = edge.end_at(end);
                if late > 0 {
                    let Call { from, service, port, .. } = call;
                    not_called.push(format!("{from} → {service}:{port}: {late} calls would begin after the run's end"));
                }
                edges.push(edge);
            }
            Err(why) => {
                not_called.push(format!("{} → {}:{}/{}: {why}", call.from, call.service, call.port, call.protocol));
            }
        }
    }
    for (index, edge) in edges.iter().enumerate() {
        if let Some(at) = edge.begins_at(0) {
            world.alarm(at, Alarm::Begin(index).token());
        }
    }
    let (clients, losses) = (Clients::default(), Losses::default());
    let (calls, seen, over) = (BTreeMap::new(), Vec::new(), end + LINGER);
    Ok(Run { config, world, cluster, servers, clients, edges, calls, last_call: 0, over, losses, seen, not_called })
}

/// The ports under which packets travel to a server: its own, those of Services that lead to it, their node ports.
struct Leading(BTreeMap<(SocketAddr, Transport), Vec<u16>>);

impl Leading {
    fn to_endpoints(cluster: &Cluster) -> Self {
        let mut leading: BTreeMap<_, Vec<u16>> = BTreeMap::new();
        for port in cluster.services.iter().flat_map(|service| &service.ports) {
            for endpoint in &port.endpoints {
                let ports = leading.entry((endpoint.addr, port.protocol)).or_default();
                ports.push(port.port);
                ports.extend(port.node_port);
            }
        }
        Self(leading)
    }

    fn protocol_at(&self, addr: SocketAddr, transport: Transport) -> &'static Protocol {
        let leading = self.0.get(&(addr, transport)).map_or(&[][..], Vec::as_slice);
        spoken(transport, [addr.port()].into_iter().chain(leading.iter().copied()))
    }

    /// What is spoken to a Service port: the protocol of its endpoints, of which the first speaks for all.
    fn protocol_of(&self, port: &ServicePort) -> &'static Protocol {
        match port.endpoints.first() {
            Some(endpoint) => self.protocol_at(endpoint.addr, port.protocol),
            None => spoken(port.protocol, [port.port]),
        }
    }
}

/// Starts a server at every port of every pod. One that cannot be started is told of.
fn serve(
    world: &mut World,
    objects: &Objects,
    cluster: &Cluster,
    leading: &Leading,
    not_called: &mut Vec<String>,
) -> Servers {
    let mut servers = Servers::default();
    for (number, pod) in cluster.pods.iter().enumerate() {
        for (transport, port) in served_ports(&pod.template, &pod.labels, &pod.key.namespace, &objects.services) {
            let local = SocketAddr::new(pod.ip, port);
            let protocol = leading.protocol_at(local, transport);
            let signature = signature::sign(number, &pod.key);
            let server = Server { netns: pod.netns, local, transport, protocol, signature };
            if let Err(errno) = servers.start(world, server) {
                not_called.push(format!("pod {} does not listen on {transport} port {port}: {errno}", pod.key));
            }
        }
    }
    servers
}

/// Where a call comes from, and its protocol; or why it is not made.
fn prepare(
    cluster: &Cluster,
    leading: &Leading,
    call: &Call,
) -> Result<(Vec<Origin>, &'static Protocol), &'static str> {
    let (service, port) = resolve::target(cluster, call).ok_or("there is no such port")?;
    if call.protocol == Transport::Sctp {
        return Err("SCTP has no sockets here");
    }
    let origins: Vec<Origin> = match &call.from {
        Caller::World if port.node_port.is_none() && service.external_ips.is_empty() => {
            return Err("nothing outside the cluster reaches it");
        }
        Caller::World => vec![Origin { netns: cluster.world_netns, from: Some(cluster.world_ip) }],
        Caller::Workload(workload) => {
            let pods = cluster.pods.iter().filter(|pod| pod.workload == *workload);
            pods.map(|pod| Origin { netns: pod.netns, from: None }).collect()
        }
    };
    Ok((origins, leading.protocol_of(port)))
}

//! The control plane's agents: who is started where.
//!
//! Those that a cluster has once are the scheduler and the controllers; each node has a kubelet, a flanneld and a kube-proxy,
//! whose names end with the node's.

use std::net::IpAddr;

use sim_core::engine::time::Instant;
use sim_core::world::World;

use super::underlay::{Underlay, networks, networks_outside};
use super::{ClusterConfig, ClusterError, Node};
use crate::agent::ControlPlane;
use crate::api::{self, Namespace};
use crate::cloud::lb::LoadBalancers;
use crate::cloud::routes::RouteController;
use crate::controller;
use crate::flannel::{self, Flannel, Uplink};
use crate::ipam::PodCidrs;
use crate::kubelet::{self, Kubelet};
use crate::kubeproxy::{self, KubeProxy};
use crate::scheduler::Scheduler;

/// MTU of the nodes' `eth0`.
const UPLINK_MTU: u16 = 1500;

/// Starts them all. `objects` are the nodes as their kubelets register them, `namespaces` those with labels of their own.
pub(super) fn start(
    world: &mut World,
    plane: &mut ControlPlane,
    (underlay, nodes): (&Underlay, &[Node]),
    (objects, namespaces): (Vec<api::Node>, &[Namespace]),
    config: &ClusterConfig,
) -> Result<(), ClusterError> {
    // The first pod network is left to the control plane's node, which is no part of the cluster: so `n1` usually has
    // 10.244.1.0/24.
    let mut pod_cidrs = Vec::new();
    for network in &config.pod_networks {
        // `--node-cidr-mask-size-ipv4` and `-ipv6`, by default.
        let prefix = if network.addr().is_ipv4() { 24 } else { 64 };
        let mut cidrs = PodCidrs::new(*network, prefix).map_err(ClusterError::PodNetwork)?;
        cidrs.allocate("control plane").map_err(ClusterError::PodNetwork)?;
        pod_cidrs.push(cidrs);
    }
    for (name, agent) in controller::all(&config.timings, pod_cidrs) {
        plane.spawn(world, name, agent);
    }
    plane.spawn(world, "scheduler", Box::new(Scheduler::new(namespaces)));
    let inside = networks(config).into_iter().chain(config.service_networks.clone());
    let elsewhere = inside.chain(networks_outside(config)).collect();
    let (gateway, balancer) = (underlay.gateway, underlay.balancer);
    let balancers = LoadBalancers::new(config.load_balancer.clone(), config.families(), (gateway, balancer), elsewhere);
    plane.spawn(world, "service-controller", Box::new(balancers));
    if config.pod_routes {
        plane.spawn(world, "route-controller", Box::new(RouteController::new(gateway)));
    }
    let mut joins = world.now();
    for (node, object) in nodes.iter().zip(objects) {
        start_node(world, plane, (node, joins), object, config);
        joins += config.timings.join;
    }
    Ok(())
}

/// Starts the agents of one node, which joins at that moment.
fn start_node(
    world: &mut World,
    plane: &mut ControlPlane,
    (node, joins): (&Node, Instant),
    object: api::Node,
    config: &ClusterConfig,
) {
    let Node { name, netns, ips, public_ips, .. } = node;
    let uplink = Uplink { dev: "eth0".into(), ips: ips.clone(), mtu: UPLINK_MTU };
    let proxied = |ip: &IpAddr| kubeproxy::Node {
        name: name.clone(),
        ip: *ip,
        // Those it has are looked at whenever rules are written.
        addresses: ips.clone(),
        zone: object.zone().to_owned(),
        cores: 2,
    };
    let proxied = ips.iter().map(proxied).collect();
    let kubelet = kubelet::Config {
        node: api::Node { internal_ips: ips.clone(), external_ips: public_ips.clone(), ..object },
        netns: *netns,
        pod_networks: config.pod_networks.clone(),
        pod_mtu: config.flannel.backend.pod_mtu(&uplink),
        hairpin: true,
    };
    let flannel = flannel::Config { networks: config.pod_networks.clone(), ..config.flannel.clone() };
    let proxier = kubeproxy::proxier("iptables").expect("a mode of kube-proxy");
    plane.spawn_at(world, joins, format!("kubelet {name}"), Box::new(Kubelet::new(kubelet)));
    plane.spawn_at(
        world,
        joins,
        format!("flannel {name}"),
        Box::new(Flannel::new(flannel, name.as_str(), *netns, uplink)),
    );
    let proxy = KubeProxy::new(proxier, &config.kube_proxy, proxied, *netns);
    plane.spawn_at(world, joins, format!("kube-proxy {name}"), Box::new(proxy));
}

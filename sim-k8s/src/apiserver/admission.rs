//! What the apiserver fills in. ClusterIPs and node ports: given out as a Service is written, given back as it is deleted
//! (upstream pkg/registry/core/service/storage/alloc.go).

use sim_core::wire::ip::Family;
use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::api::{ClusterIp, Node, Service, ServiceType, Taint, TaintEffect, TrafficPolicy};
use crate::ipam::{ClusterIps, IpamError, NodePorts};

use super::families;

/// A new node that is not ready takes no pods until the node lifecycle controller has seen it ready
/// (plugin/pkg/admission/nodetaint).
pub(super) fn taint(node: &mut Node) {
    let taint =
        Taint { key: "node.kubernetes.io/not-ready".into(), value: String::new(), effect: TaintEffect::NoSchedule };
    if !node.taints.contains(&taint) {
        node.taints.push(taint);
    }
}

/// What the apiserver remembers of what it gave out.
#[derive(Clone, Debug)]
pub(super) struct Admission {
    /// The families the cluster has, the default one first.
    families: Vec<Family>,
    ips: BTreeMap<Family, ClusterIps>,
    /// Where others have their addresses.
    elsewhere: Vec<IpNet>,
    /// Addresses outside the service network, and who has them.
    foreign: BTreeMap<IpAddr, String>,
    ports: NodePorts,
}

impl Admission {
    pub(super) fn new(service_networks: &[IpNet], elsewhere: Vec<IpNet>) -> Self {
        let ips = service_networks.iter().map(|net| (Family::of_net(*net), ClusterIps::new(*net)));
        Self {
            families: service_networks.iter().copied().map(Family::of_net).collect(),
            ips: ips.collect(),
            elsewhere,
            foreign: BTreeMap::new(),
            ports: NodePorts::default(),
        }
    }

    /// Fills in what a new Service leaves open. Refused, it takes nothing.
    pub(super) fn create(&mut self, service: &mut Service) -> Result<(), String> {
        let done = self.give(service, None);
        if done.is_err() {
            self.delete(service);
        }
        done
    }

    /// Fills in what a changed Service leaves open; what it had and has no more goes back.
    pub(super) fn update(&mut self, service: &mut Service, old: &Service) -> Result<(), String> {
        self.delete(old);
        let done = self.give(service, Some(old));
        if done.is_err() {
            self.delete(service);
            self.give(&mut old.clone(), None).expect("it had all this a moment ago");
        }
        done
    }

    /// Takes back what a Service has.
    pub(super) fn delete(&mut self, service: &Service) {
        let name = service.key.to_string();
        if let ClusterIp::Fixed(ips) = &service.cluster_ip {
            for ip in ips {
                let is_own = self.foreign.get(ip).is_some_and(|owner| *owner == name);
                if is_own {
                    self.foreign.remove(ip);
                }
                if let Some(ips) = self.ips.get_mut(&Family::of(*ip)) {
                    ips.release(*ip, &name);
                }
            }
        }
        let ports = service.ports.iter().filter_map(|port| port.node_port).chain(service.health_check_node_port);
        ports.for_each(|port| self.ports.release(port, &name));
    }

    fn give(&mut self, service: &mut Service, old: Option<&Service>) -> Result<(), String> {
        if matches!(service.service_type, ServiceType::ExternalName(_)) {
            return Ok(());
        }
        families::settle(service, old, &self.families)?;
        self.requested(service)?;
        self.open(service).map_err(|why| why.to_string())
    }

    /// What a Service asks for by number.
    fn requested(&mut self, service: &Service) -> Result<(), String> {
        let name = service.key.to_string();
        if let ClusterIp::Fixed(asked) = &service.cluster_ip {
            asked.iter().try_for_each(|ip| self.request_ip(*ip, &name)).map_err(|why| why.to_string())?;
        }
        let ports = service.ports.iter().filter_map(|port| port.node_port).chain(service.health_check_node_port);
        ports.into_iter().try_for_each(|port| self.ports.request(port, &name)).map_err(|why| why.to_string())
    }

    /// An apiserver refuses what is not of its service network. Here it is granted, for the manifests may have been
    /// read from a cluster that has another one (`kubectl get -o yaml`).
    fn request_ip(&mut self, ip: IpAddr, service: &str) -> Result<(), IpamError> {
        let usable = !(ip.is_loopback() || ip.is_multicast() || ip.is_unspecified());
        let usable = usable && !self.elsewhere.iter().any(|network| network.contains(&ip));
        let ips = self.ips.get_mut(&Family::of(ip)).expect("families that are not there were refused");
        match ips.request(ip, service) {
            Err(IpamError::OutOfRange { what, .. }) if usable => match self.foreign.get(&ip) {
                Some(owner) => Err(IpamError::Taken { what, owner: owner.clone() }),
                None => {
                    self.foreign.insert(ip, service.to_owned());
                    Ok(())
                }
            },
            result => result,
        }
    }

    /// What is left open.
    fn open(&mut self, service: &mut Service) -> Result<(), IpamError> {
        let name = service.key.to_string();
        let node_ports = match service.service_type {
            ServiceType::ExternalName(_) | ServiceType::ClusterIp => false,
            ServiceType::NodePort => true,
            ServiceType::LoadBalancer => service.allocate_load_balancer_node_ports,
        };
        if service.cluster_ip == ClusterIp::Allocate {
            service.cluster_ip = ClusterIp::Fixed(Vec::new());
        }
        if let ClusterIp::Fixed(ips) = &mut service.cluster_ip {
            for family in &service.ip_families[ips.len()..] {
                let free = self.ips.get_mut(family).expect("families that are not there were refused");
                ips.push(free.allocate(&name)?);
            }
        }
        for port in service.ports.iter_mut().filter(|port| node_ports && port.node_port.is_none()) {
            port.node_port = Some(self.ports.allocate(&name)?);
        }
        let health_checked = service.service_type == ServiceType::LoadBalancer
            && service.external_traffic_policy == TrafficPolicy::Local;
        if health_checked && service.health_check_node_port.is_none() {
            service.health_check_node_port = Some(self.ports.allocate(&name)?);
        }
        Ok(())
    }
}

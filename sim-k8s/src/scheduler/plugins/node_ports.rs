//! Ports of the node that are free (upstream plugins/nodeports).

use std::net::IpAddr;

use crate::api::{PodTemplate, Protocol};

use super::super::cycle::Cycle;
use super::super::snapshot::{NodeInfo, PodClass};
use super::{Objection, Plugin};

struct NodePorts<'a> {
    wanted: Vec<HostPort>,
    classes: &'a [PodClass],
}

/// A port of a node, on one of its addresses or all of them.
type HostPort = (Protocol, u16, Option<IpAddr>);

pub(super) fn prepare<'a>(cycle: &'a Cycle<'a>) -> Box<dyn Plugin + 'a> {
    Box::new(NodePorts { wanted: host_ports(&cycle.pod.template).collect(), classes: &cycle.snapshot.classes })
}

fn host_ports(template: &PodTemplate) -> impl Iterator<Item = HostPort> {
    let ports = template.containers.iter().flat_map(|container| &container.ports);
    ports.filter_map(|p| Some((p.protocol, p.host_port?, p.host_ip)))
}

/// One address and all addresses exclude each other (`HostPortInfo.CheckConflict`, kube-scheduler framework/types.go).
fn conflict(a: HostPort, b: HostPort) -> bool {
    (a.0, a.1) == (b.0, b.1) && (a.2.is_none() || b.2.is_none() || a.2 == b.2)
}

impl Plugin for NodePorts<'_> {
    fn filter(&self, node: &NodeInfo) -> Result<(), Objection> {
        let taken = |wanted: &HostPort| {
            let templates = node.pods.keys().map(|class| &self.classes[*class].template);
            templates.into_iter().any(|template| host_ports(template).any(|port| conflict(port, *wanted)))
        };
        match self.wanted.iter().any(taken) {
            false => Ok(()),
            true => Err(Objection::pods("node(s) didn't have free ports for the requested pod ports")),
        }
    }
}

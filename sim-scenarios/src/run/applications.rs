//! Plays the applications in pods: started, stopped, killed.

use std::net::SocketAddr;

use sim_k8s::agent::{ContainerRef, Notice};
use sim_k8s::api::Protocol as Transport;
use sim_k8s::cluster::Pod;
use sim_k8s::workload::{served_ports, target_port};

use super::Run;
use crate::workload::Server;
use crate::workload::protocol::{Protocol, signature, spoken};

impl Run {
    /// Does what the cluster tells applications to do.
    pub(super) fn play_applications(&mut self) {
        while let Some(notice) = self.cluster.next_notice() {
            match notice {
                Notice::Started { container, .. } => self.serve(&container),
                Notice::Stop(container) => self.cluster.exited(&mut self.world, &container, 0),
                Notice::Killed(_) => {}
            }
        }
    }

    /// Starts a server at every port of a container. One that cannot be started is told of.
    fn serve(&mut self, container: &ContainerRef) {
        let number = self.cluster.pods.iter().rposition(|pod| pod.uid == container.uid);
        let number = number.expect("the cluster knows the pods that were started");
        let pod = &self.cluster.pods[number];
        let signature = signature::sign(number, &pod.key);
        for (transport, port) in self.ports_of(pod, container.container) {
            let local = SocketAddr::new(pod.ip, port);
            let protocol = self.spoken_by(pod, transport, port);
            let server = Server { netns: pod.netns, local, transport, protocol, signature: signature.clone() };
            if let Err(errno) = self.servers.start(&mut self.world, server) {
                self.not_called.push(format!("pod {} does not listen on {transport} port {port}: {errno}", pod.key));
            }
        }
    }

    /// What a container listens on: what it declares, and of a pod's first one what Services lead to and nobody declares.
    fn ports_of(&self, pod: &Pod, container: usize) -> Vec<(Transport, u16)> {
        let declares = |index: usize, port: (Transport, u16)| {
            pod.template.containers[index].ports.iter().any(|p| (p.protocol, p.port) == port)
        };
        let others = |port| (0..pod.template.containers.len()).any(|index| declares(index, port));
        let first = pod.template.containers.iter().position(|container| !container.sidecar);
        let served = served_ports(&pod.template, &pod.labels, &pod.key.namespace, &self.services);
        let own = |port: &(Transport, u16)| declares(container, *port) || (first == Some(container) && !others(*port));
        served.into_iter().filter(own).collect()
    }

    /// What a pod speaks at a port: that is told by its number, or by those of the Service ports that lead to it.
    pub(super) fn spoken_by(&self, pod: &Pod, transport: Transport, number: u16) -> &'static Protocol {
        let selecting = self.services.iter().filter(|service| {
            let selector = service.pod_selector();
            service.key.namespace == pod.key.namespace && selector.is_some_and(|s| s.matches(&pod.labels))
        });
        let ports = selecting
            .flat_map(|service| &service.ports)
            .filter(|port| port.protocol == transport && target_port(port, &pod.template) == Some(number));
        let leading = ports.flat_map(|port| [port.port].into_iter().chain(port.node_port));
        spoken(transport, [number].into_iter().chain(leading))
    }
}

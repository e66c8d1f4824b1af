//! Plays the applications in pods: started, stopped, killed.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use sim_k8s::agent::{ContainerRef, Notice};
use sim_k8s::api::Protocol as Transport;
use sim_k8s::cluster::Pod;
use sim_k8s::workload::{served_ports, target_port};

use super::Run;
use crate::workload::protocol::{Protocol, signature, spoken};
use crate::workload::{Habits, Refused, Server};

impl Run {
    /// Does what the cluster tells applications to do, and tells it which have ended.
    pub(super) fn play_applications(&mut self) {
        loop {
            while let Some(notice) = self.cluster.next_notice() {
                match notice {
                    Notice::Started { container, .. } => self.start(container),
                    Notice::Stop(container) => self.applications.stop(&mut self.world, &container),
                    Notice::Killed(container) => self.applications.kill(&mut self.world, &container),
                    Notice::Exited(..) => {}
                }
            }
            let Some((container, code)) = self.applications.next_ended() else { break };
            self.cluster.exited(&mut self.world, &container, code);
        }
        for Refused { container, server, why } in self.applications.take_refused() {
            let Server { local, transport, .. } = server;
            let port = local.port();
            self.not_called.push(format!("pod {} does not listen on {transport} port {port}: {why}", container.pod));
        }
    }

    /// Starts the application of a container: a server at every port.
    fn start(&mut self, container: ContainerRef) {
        let number = self.cluster.pods.iter().rposition(|pod| pod.uid == container.uid);
        let number = number.expect("the cluster knows the pods that were started");
        let pod = &self.cluster.pods[number];
        let signature = signature::sign(number, &pod.key);
        let server = |(transport, port), ip| Server {
            netns: pod.netns,
            local: SocketAddr::new(ip, port),
            transport,
            protocol: self.spoken_by(pod, transport, port),
            signature: signature.clone(),
        };
        let ports = self.ports_of(pod, container.container).into_iter();
        let servers = ports.flat_map(|port| pod.ips.iter().map(|ip| server(port, *ip)).collect::<Vec<_>>()).collect();
        let habits = Habits::of(&pod.template.containers[container.container], pod.template.restart_policy);
        self.applications.start(&mut self.world, container, servers, habits);
    }

    /// What a container listens on: what it declares, where its probes go, and of a pod's first one what Services lead to
    /// and nobody declares.
    fn ports_of(&self, pod: &Pod, container: usize) -> Vec<(Transport, u16)> {
        let declares = |index: usize, port: (Transport, u16)| {
            pod.template.containers[index].ports.iter().any(|p| (p.protocol, p.port) == port)
        };
        let others = |port| (0..pod.template.containers.len()).any(|index| declares(index, port));
        let first = pod.template.containers.iter().position(|container| !container.sidecar);
        let served = served_ports(&pod.template, &pod.labels, &pod.key.namespace, &self.services);
        let own = |port: &(Transport, u16)| declares(container, *port) || (first == Some(container) && !others(*port));
        let probed = pod.template.containers[container].probed_ports().map(|port| (Transport::Tcp, port));
        let probed: BTreeSet<_> = probed.filter(|port| !served.contains(port)).collect();
        served.into_iter().filter(own).chain(probed).collect()
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

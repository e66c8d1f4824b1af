//! UDP flows that conntrack still sends where no endpoint serves them any more (upstream `pkg/proxy/conntrack/cleanup.go`,
//! `CleanStaleEntries`).
//!
//! Rules are asked for a flow's first packet only. A UDP flow has no end, so without this a client that keeps its port
//! would never reach another endpoint. TCP ends by itself, and SCTP; they are left alone.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use sim_core::netns::netlink::Flow;
use sim_core::wire::ip::UDP;

use super::service_port::{ServiceMap, ServicePort};
use crate::api::Protocol;
use crate::command::Command;

/// Where flows to one frontend may go.
type Serving = BTreeSet<SocketAddr>;

/// The commands that delete the flows, out of `flows`, which were made for a UDP service port and do not go to an
/// endpoint that serves it. Traffic policies, topology and termination do not matter: as with TCP, a flow outlives their
/// changes. `deleted` are service ports that are gone. If `unserved` is off, ports without any serving endpoint are
/// passed over ([`super::Config::clean_unserved`]).
///
/// A flow is known by its original destination and by who answers, so that one that was never translated, made before
/// there were rules, goes too. Its zone does not matter.
pub fn stale_flows<'a>(
    services: &ServiceMap,
    deleted: &ServiceMap,
    unserved: bool,
    flows: impl IntoIterator<Item = &'a Flow>,
) -> Vec<Command> {
    let frontends = Frontends::new(services, deleted, unserved);
    let mut commands = Vec::new();
    // Those of many clients are deleted at once.
    let mut seen = BTreeSet::new();
    for flow in flows.into_iter().filter(|flow| flow.proto == UDP) {
        let (to, from) = (flow.orig.dst, flow.reply.src);
        let by_address = frontends.addresses.get(&to).is_some_and(|serving| !serving.contains(&from));
        let by_node_port = frontends.node_ports.get(&to.port()).is_some_and(|serving| !serving.contains(&from));
        if (by_address || by_node_port) && seen.insert((to, from)) {
            let (ip, port) = (from.ip(), from.port());
            let family = if ip.is_ipv6() { " -f ipv6" } else { "" };
            commands.push(Command::Conntrack(format!(
                "-D{family} -p udp --orig-dst {} --orig-port-dst {} --reply-src {ip} --reply-port-src {port}",
                to.ip(),
                to.port()
            )));
        }
    }
    commands
}

/// What leads to UDP service ports.
#[derive(Default)]
struct Frontends {
    /// ClusterIPs, load balancer addresses and external IPs, each with the port.
    addresses: BTreeMap<SocketAddr, Serving>,
    /// At any address.
    node_ports: BTreeMap<u16, Serving>,
}

impl Frontends {
    /// Those that are gone come first, so that a Service that has taken over an address decides.
    fn new(services: &ServiceMap, deleted: &ServiceMap, unserved: bool) -> Self {
        let mut this = Self::default();
        for (_, port) in deleted.iter().chain(services).filter(|(name, _)| name.protocol() == Protocol::Udp) {
            let serving: Serving = port.endpoints.iter().filter(|e| e.serving).map(|e| e.addr).collect();
            if unserved || !serving.is_empty() {
                this.add(port, &serving);
            }
        }
        this
    }

    fn add(&mut self, port: &ServicePort, serving: &Serving) {
        let external = port.lb_vips.iter().chain(&port.external_ips);
        for ip in std::iter::once(&port.cluster_ip).chain(external) {
            self.addresses.insert(SocketAddr::new(*ip, port.port), serving.clone());
        }
        if port.node_port != 0 {
            self.node_ports.insert(port.node_port, serving.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use sim_core::netns::netlink::Way;

    use super::*;
    use crate::api::ObjectKey;
    use crate::kubeproxy::{Endpoint, ServicePortName};

    fn addr(text: &str) -> SocketAddr {
        text.parse().expect("an address with a port")
    }

    fn flow(proto: u8, to: &str, answers: &str) -> Flow {
        let client = addr("10.244.1.2:40000");
        let (orig, reply) = (Way { src: client, dst: addr(to) }, Way { src: addr(answers), dst: client });
        Flow { proto, orig, reply }
    }

    fn statsd(endpoints: &[&str]) -> ServiceMap {
        let name = ServicePortName::new(ObjectKey::new("shop", "statsd"), "", Protocol::Udp).expect("labels");
        let endpoints = endpoints.iter().map(|text| Endpoint::ready(addr(text), None)).collect();
        let cluster_ip = "10.96.0.20".parse().expect("an address");
        ServiceMap::from([(name, ServicePort { node_port: 30125, endpoints, ..ServicePort::new(cluster_ip, 8125) })])
    }

    fn cleaned(services: &ServiceMap, deleted: &ServiceMap, unserved: bool, flows: &[Flow]) -> Vec<String> {
        stale_flows(services, deleted, unserved, flows).iter().map(Command::to_string).collect()
    }

    #[test]
    fn a_flow_to_an_endpoint_that_is_gone_goes_whatever_way_it_came() {
        let flows = [
            flow(17, "10.96.0.20:8125", "10.244.2.2:8125"),
            flow(17, "10.96.0.20:8125", "10.244.2.3:8125"),
            flow(17, "10.96.0.20:53", "10.244.2.3:8125"),
            flow(17, "10.240.0.11:30125", "10.244.2.3:8125"),
            flow(6, "10.96.0.20:8125", "10.244.2.3:8125"),
        ];
        let of = |dst: &str, port: u16| {
            format!(
                "conntrack -D -p udp --orig-dst {dst} --orig-port-dst {port} --reply-src 10.244.2.3 \
                 --reply-port-src 8125 2>/dev/null || true"
            )
        };
        let expected = [of("10.96.0.20", 8125), of("10.240.0.11", 30125)];
        assert_eq!(cleaned(&statsd(&["10.244.2.2:8125"]), &ServiceMap::new(), true, &flows), expected);
    }

    #[test]
    fn a_flow_made_before_there_were_rules_goes() {
        let untranslated = flow(17, "10.96.0.20:8125", "10.96.0.20:8125");
        assert_eq!(cleaned(&statsd(&["10.244.2.2:8125"]), &ServiceMap::new(), true, &[untranslated]).len(), 1);
    }

    /// Kubernetes issue 139628.
    #[test]
    fn a_service_scaled_to_zero_keeps_its_flows_only_with_the_regression() {
        let stuck = [flow(17, "10.96.0.20:8125", "10.244.2.2:8125")];
        assert_eq!(cleaned(&statsd(&[]), &ServiceMap::new(), true, &stuck).len(), 1);
        assert_eq!(cleaned(&statsd(&[]), &ServiceMap::new(), false, &stuck).len(), 0);
    }

    #[test]
    fn flows_of_a_deleted_service_go_unless_another_took_its_address_over() {
        let flows = [flow(17, "10.96.0.20:8125", "10.244.2.2:8125")];
        assert_eq!(cleaned(&ServiceMap::new(), &statsd(&[]), true, &flows).len(), 1);
        assert_eq!(cleaned(&statsd(&["10.244.2.2:8125"]), &statsd(&[]), true, &flows).len(), 0);
    }

    #[test]
    fn what_terminates_but_serves_keeps_its_flows() {
        let mut services = statsd(&["10.244.2.2:8125"]);
        let endpoint = &mut services.values_mut().next().expect("one").endpoints[0];
        (endpoint.ready, endpoint.terminating) = (false, true);
        let flows = [flow(17, "10.96.0.20:8125", "10.244.2.2:8125")];
        assert_eq!(cleaned(&services, &ServiceMap::new(), true, &flows).len(), 0);
    }
}

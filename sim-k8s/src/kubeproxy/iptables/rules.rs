//! The rules of one service port (upstream `syncProxyRules`, the loop over `svcPortMap`).

use sim_core::wire::ip::Family;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};

use super::chains::{
    EXTERNAL_SERVICES, MARK_MASQ, NODE_PORTS, PROXY_FIREWALL, SERVICES, ServiceChains, endpoint_chain,
};
use super::restore::{Section, Tables};
use crate::api::Protocol;
use crate::kubeproxy::config::DetectLocal;
use crate::kubeproxy::endpoints::{Categorized, Chooser, Endpoint, categorize};
use crate::kubeproxy::service_port::{ServicePort, ServicePortName};
use crate::kubeproxy::{Config, Work};

/// nfacct counter of connections to localhost node ports (upstream `pkg/proxy/metrics`).
const NFACCT_LOCALHOST: &str = "localhost_nps_accepted_pkts";

/// What happens to traffic for which there is no endpoint, and why.
struct Refusal {
    target: &'static str,
    why: &'static str,
}

/// Everything decided about one service port on one node.
pub(super) struct ServiceRules<'a> {
    work: &'a Work<'a>,
    name: &'a ServicePortName,
    port: &'a ServicePort,
    protocol: Protocol,
    chains: ServiceChains,
    endpoints: Categorized<'a>,
    /// The chain of each of `endpoints.reachable`.
    endpoint_chains: BTreeMap<SocketAddr, String>,
    /// Whether ClusterIP traffic finds an endpoint here.
    has_internal: bool,
    /// Whether traffic from outside finds an endpoint here.
    has_external: bool,
    /// Off in large clusters, where comments are a large part of the rules' memory.
    with_comments: bool,
}

impl<'a> ServiceRules<'a> {
    pub(super) fn new(
        work: &'a Work<'a>,
        name: &'a ServicePortName,
        port: &'a ServicePort,
        with_comments: bool,
    ) -> Self {
        let (node, zone) = (work.node.name.as_str(), work.node.zone.as_str());
        let node_hints = work.config.prefer_same_traffic_distribution;
        let endpoints = categorize(port, Chooser { node, zone, node_hints });
        let chain = |endpoint: &&Endpoint| (endpoint.addr, endpoint_chain(name, endpoint.addr));
        Self {
            work,
            name,
            port,
            protocol: name.protocol(),
            chains: ServiceChains::of(name),
            endpoint_chains: endpoints.reachable.iter().map(chain).collect(),
            has_internal: endpoints.has_any && !(port.internal_policy_local && endpoints.local.is_empty()),
            has_external: endpoints.has_any && !(port.external_policy_local && endpoints.local.is_empty()),
            endpoints,
            with_comments,
        }
    }

    fn config(&self) -> &Config {
        self.work.config
    }

    /// No endpoint anywhere is told to the client at once. Where only this node has none, silence
    /// lets it try again elsewhere.
    fn refusal(&self) -> Refusal {
        if self.endpoints.has_any {
            Refusal { target: "DROP", why: "has no local endpoints" }
        } else {
            Refusal { target: "REJECT", why: "has no endpoints" }
        }
    }

    fn endpoint_chain(&self, endpoint: &Endpoint) -> &str {
        &self.endpoint_chains[&endpoint.addr]
    }

    fn internal_chain(&self) -> &str {
        if self.port.internal_policy_local { &self.chains.local } else { &self.chains.cluster }
    }

    // Each chain below exists only under its condition; the same conditions decide whether it is filled.

    fn uses_external(&self) -> bool {
        // Also without an endpoint for external traffic: the short circuits for pods and node remain.
        self.endpoints.has_any && self.port.externally_accessible()
    }

    fn uses_firewall(&self) -> bool {
        self.endpoints.has_any && !self.port.lb_vips.is_empty() && !self.port.source_ranges.is_empty()
    }

    fn uses_cluster(&self) -> bool {
        !self.endpoints.cluster.is_empty()
    }

    fn uses_local(&self) -> bool {
        !self.endpoints.local.is_empty()
    }

    /// Names of the chains that belong to this service port, in the order in which they are declared.
    pub(super) fn own_chains(&self) -> impl Iterator<Item = &str> {
        let named = [
            (self.uses_external(), &self.chains.external),
            (self.uses_firewall(), &self.chains.firewall),
            (self.uses_cluster(), &self.chains.cluster),
            (self.uses_local(), &self.chains.local),
        ];
        let named = named.into_iter().filter(|(used, _)| *used).map(|(_, chain)| chain.as_str());
        named.chain(self.endpoints.reachable.iter().map(|e| self.endpoint_chain(e)))
    }

    /// `-m comment --comment "name what" -m proto -p proto -d ip --dport port`
    fn at(&self, ip: IpAddr, what: &str) -> String {
        let (name, proto, port) = (self.name, self.protocol.in_rules(), self.port.port);
        format!("-m comment --comment \"{name} {what}\" -m {proto} -p {proto} -d {ip} --dport {port}")
    }

    /// The rules that recognise traffic for this service port, in chains shared by all.
    pub(super) fn capture(&self, tables: &mut Tables) {
        if self.has_internal {
            tables.nat.rule(SERVICES, self.at(self.port.cluster_ip, "cluster IP"), self.internal_chain());
        } else {
            let Refusal { target, why } = self.refusal();
            tables.filter.rule(SERVICES, self.at(self.port.cluster_ip, why), target);
        }
        for ip in &self.port.external_ips {
            if self.endpoints.has_any {
                tables.nat.rule(SERVICES, self.at(*ip, "external IP"), &self.chains.external);
            }
            self.refuse_external(*ip, &mut tables.filter);
        }
        self.capture_load_balancer(tables);
        self.capture_node_port(tables);
        if self.port.health_check_node_port != 0 {
            let (name, port) = (self.name, self.port.health_check_node_port);
            let matches =
                format!("-m comment --comment \"{name} health check node port\" -m tcp -p tcp --dport {port}");
            tables.filter.rule(NODE_PORTS, matches, "ACCEPT");
        }
    }

    /// What was not short-circuited is refused in filter, where its destination is still `ip`.
    fn refuse_external(&self, ip: IpAddr, filter: &mut Section) {
        if !self.has_external {
            let Refusal { target, why } = self.refusal();
            filter.rule(EXTERNAL_SERVICES, self.at(ip, why), target);
        }
    }

    fn capture_load_balancer(&self, tables: &mut Tables) {
        let firewall = &self.chains.firewall;
        let entry = if self.uses_firewall() { firewall } else { &self.chains.external };
        for ip in &self.port.lb_vips {
            if self.endpoints.has_any {
                tables.nat.rule(SERVICES, self.at(*ip, "loadbalancer IP"), entry);
            }
            if self.uses_firewall() {
                let what = format!("traffic not accepted by {firewall}");
                tables.filter.rule(PROXY_FIREWALL, self.at(*ip, &what), "DROP");
            }
        }
        for ip in &self.port.lb_vips {
            self.refuse_external(*ip, &mut tables.filter);
        }
    }

    /// Node ports are not subject to source ranges.
    fn capture_node_port(&self, tables: &mut Tables) {
        let (name, proto, port) = (self.name, self.protocol.in_rules(), self.port.node_port);
        if port == 0 {
            return;
        }
        if self.endpoints.has_any {
            let comment = format!("-m comment --comment {name} -m {proto} -p {proto}");
            if self.config().nfacct && self.config().serves_localhost(self.work.node) {
                let counted = format!("-d 127.0.0.0/8 --dport {port} -m nfacct --nfacct-name {NFACCT_LOCALHOST}");
                tables.nat.rule(NODE_PORTS, format_args!("{comment} {counted}"), &self.chains.external);
            }
            tables.nat.rule(NODE_PORTS, format_args!("{comment} --dport {port}"), &self.chains.external);
        }
        if !self.has_external {
            let Refusal { target, why } = self.refusal();
            let local = "-m addrtype --dst-type LOCAL";
            let matches = format!("-m comment --comment \"{name} {why}\" {local} -m {proto} -p {proto} --dport {port}");
            tables.filter.rule(EXTERNAL_SERVICES, matches, target);
        }
    }

    /// Declares and fills this service port's own chains.
    pub(super) fn fill_own_chains(&self, nat: &mut Section) {
        for chain in self.own_chains() {
            nat.chain(chain);
        }
        self.mark_foreign(nat);
        if self.uses_external() {
            self.fill_external(nat);
        }
        if self.uses_firewall() {
            self.fill_firewall(nat);
        }
        self.spread(nat, &self.chains.cluster, &self.endpoints.cluster);
        self.spread(nat, &self.chains.local, &self.endpoints.local);
        for endpoint in &self.endpoints.reachable {
            self.fill_endpoint(nat, endpoint);
        }
    }

    /// ClusterIP traffic that comes from no pod may bounce off this node, so its answers must come
    /// back through it. The destination is matched again because external traffic shares the chain.
    fn mark_foreign(&self, nat: &mut Section) {
        if !self.has_internal {
            return;
        }
        let at = self.at(self.port.cluster_ip, "cluster IP");
        if self.config().masquerade_all {
            nat.rule(self.internal_chain(), at, MARK_MASQ);
        } else if let Some(local) = self.pod_match() {
            nat.rule(self.internal_chain(), format_args!("{at} ! {local}"), MARK_MASQ);
        }
    }

    fn fill_external(&self, nat: &mut Section) {
        let (name, chain, cluster) = (self.name, &self.chains.external, &self.chains.cluster);
        let comment =
            |before: &str| format!("-m comment --comment \"{before} traffic for {name} external destinations\"");
        if self.port.external_policy_local {
            // Pods and node are served as if they had gone out to a load balancer and come back by any node.
            if let Some(local) = self.pod_match() {
                nat.rule(chain, format_args!("{} {local}", comment("pod")), cluster);
            }
            let from_node = "-m addrtype --src-type LOCAL";
            nat.rule(chain, format_args!("{} {from_node}", comment("masquerade LOCAL")), MARK_MASQ);
            nat.rule(chain, format_args!("{} {from_node}", comment("route LOCAL")), cluster);
        } else {
            nat.rule(chain, comment("masquerade"), MARK_MASQ);
        }
        if self.has_external {
            let policy = if self.port.external_policy_local { &self.chains.local } else { cluster };
            nat.rule(chain, "", policy);
        }
    }

    fn fill_firewall(&self, nat: &mut Section) {
        let (name, chain, external) = (self.name, &self.chains.firewall, &self.chains.external);
        let comment = format!("-m comment --comment \"{name} loadbalancer IP\"");
        for range in &self.port.source_ranges {
            nat.rule(chain, format_args!("{comment} -s {}", range.trunc()), external);
        }
        // If the address is bound on the node, the node's own traffic to it has it as source, too.
        if self.port.source_ranges.iter().any(|range| range.contains(&self.work.node.ip)) {
            for ip in &self.port.lb_vips {
                nat.rule(chain, format_args!("{comment} -s {ip}"), external);
            }
        }
        nat.remark(chain, format_args!("other traffic to {name} will be dropped by {PROXY_FIREWALL}"));
    }

    /// Session affinity first, then an even spread over `endpoints`.
    fn spread(&self, nat: &mut Section, chain: &str, endpoints: &[&Endpoint]) {
        let comment = |e: &Endpoint| self.comment(format_args!("\"{} -> {}\"", self.name, e.addr));
        if let Some(seconds) = self.port.affinity_seconds {
            for endpoint in endpoints {
                let sep = self.endpoint_chain(endpoint);
                let seen = format_args!("-m recent --name {sep} --rcheck --seconds {seconds} --reap");
                nat.rule(chain, format_args!("{}{seen}", comment(endpoint)), sep);
            }
        }
        for (i, endpoint) in endpoints.iter().enumerate() {
            let draw = match endpoints.len() - i {
                1 => String::new(),
                left => format!("-m statistic --mode random --probability {}", probability(left)),
            };
            nat.rule(chain, format_args!("{}{draw}", comment(endpoint)), self.endpoint_chain(endpoint));
        }
    }

    fn fill_endpoint(&self, nat: &mut Section, endpoint: &Endpoint) {
        let (chain, addr, proto) = (self.endpoint_chain(endpoint), endpoint.addr, self.protocol.in_rules());
        let comment = self.comment(self.name);
        // A pod that is sent to itself must not see its own address as source.
        nat.rule(chain, format_args!("{comment}-s {}", addr.ip()), MARK_MASQ);
        let remember = match self.port.affinity_seconds {
            Some(_) => format!("-m recent --name {chain} --set "),
            None => String::new(),
        };
        let matches = format_args!("{comment}{remember}-m {proto} -p {proto}");
        nat.rule(chain, matches, format_args!("DNAT --to-destination {addr}"));
    }

    /// The match for traffic of local pods; `None` if they cannot be told from others.
    fn pod_match(&self) -> Option<String> {
        match &self.config().detect_local {
            DetectLocal::Unknown => None,
            DetectLocal::Cidrs(nets) => {
                let family = Family::of(self.work.node.ip);
                nets.iter().find(|net| family.has_net(net)).map(|net| format!("-s {net}"))
            }
            DetectLocal::BridgeInterface(dev) => Some(format!("-i {dev}")),
            DetectLocal::InterfaceNamePrefix(prefix) => Some(format!("-i {prefix}+")),
        }
    }

    /// A comment match with a blank after it; nothing in large clusters.
    fn comment(&self, text: impl Display) -> String {
        if self.with_comments { format!("-m comment --comment {text} ") } else { String::new() }
    }
}

/// The chance of the first of `left` endpoints, with ten decimals (upstream `computeProbability`).
///
/// Nothing is decided on the float: it is printed, and IEEE 754 division and printing are exact rules.
fn probability(left: usize) -> String {
    format!("{:.10}", 1.0 / left as f64)
}

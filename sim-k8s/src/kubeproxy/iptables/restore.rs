//! The `iptables-restore` input of one sync (upstream `syncProxyRules`, top to bottom).

use std::collections::BTreeSet;
use std::fmt::{Display, Write};

use super::chains::{
    EXTERNAL_SERVICES, FORWARD, KUBELET_FIREWALL, MARK_MASQ, NODE_PORTS, POSTROUTING, PROXY_FIREWALL, SERVICES,
    is_service_chain,
};
use super::rules::ServiceRules;
use crate::kubeproxy::Work;
use crate::kubeproxy::config::NodePortAddresses;

/// nfacct counter of dropped INVALID packets (upstream `pkg/proxy/metrics`).
const NFACCT_INVALID: &str = "ct_state_invalid_dropped_pkts";

/// Lines of one table: those that declare chains come before all rules.
#[derive(Default)]
pub(super) struct Section {
    chains: String,
    rules: String,
}

impl Section {
    /// `:chain - [0:0]`: makes the chain, or empties it.
    pub(super) fn chain(&mut self, name: &str) {
        line(&mut self.chains, format_args!(":{name} - [0:0]"));
    }

    /// `-A chain matches -j target`; blanks at the end of `matches` do not count.
    pub(super) fn rule(&mut self, chain: &str, matches: impl Display, target: impl Display) {
        let matches = matches.to_string();
        let matches = matches.trim_end();
        let blank = if matches.is_empty() { "" } else { " " };
        line(&mut self.rules, format_args!("-A {chain}{blank}{matches} -j {target}"));
    }

    /// A rule that does nothing but say something to the reader.
    pub(super) fn remark(&mut self, chain: &str, text: impl Display) {
        line(&mut self.rules, format_args!("-A {chain} -m comment --comment \"{text}\""));
    }

    /// Empties a chain that has no use any more, and deletes it.
    fn delete(&mut self, chain: &str) {
        self.chain(chain);
        line(&mut self.rules, format_args!("-X {chain}"));
    }
}

fn line(to: &mut String, text: impl Display) {
    writeln!(to, "{text}").expect("a String takes all");
}

/// The two tables that kube-proxy writes.
#[derive(Default)]
pub(super) struct Tables {
    pub(super) filter: Section,
    pub(super) nat: Section,
}

/// The text for `iptables-restore --noflush --counters`.
pub(super) fn text(work: &Work<'_>) -> String {
    let mut tables = Tables::default();
    for chain in [SERVICES, EXTERNAL_SERVICES, FORWARD, NODE_PORTS, PROXY_FIREWALL] {
        tables.filter.chain(chain);
    }
    for chain in [SERVICES, NODE_PORTS, POSTROUTING, MARK_MASQ] {
        tables.nat.chain(chain);
    }
    masquerade(work, &mut tables.nat);
    localhost_guard(work, &mut tables.filter);
    let active = services(work, &mut tables);
    for stale in work.existing_chains.into_iter().flatten() {
        if is_service_chain(stale) && !active.contains(stale) {
            tables.nat.delete(stale);
        }
    }
    node_ports(work, &mut tables.nat);
    forwarding(work, &mut tables.filter);
    let Tables { filter, nat } = tables;
    format!("*filter\n{}{}COMMIT\n*nat\n{}{}COMMIT\n", filter.chains, filter.rules, nat.chains, nat.rules)
}

/// Writes the rules of every service port; gives the names of all their chains, also of those not
/// written this time.
fn services(work: &Work<'_>, tables: &mut Tables) -> BTreeSet<String> {
    let with_comments = work.endpoints() <= work.config.large_cluster_endpoints;
    let mut active = BTreeSet::new();
    for (name, port) in work.services {
        let rules = ServiceRules::new(work, name, port, with_comments);
        rules.capture(tables);
        active.extend(rules.own_chains().map(str::to_owned));
        if work.scope.includes(name.service()) {
            rules.fill_own_chains(&mut tables.nat);
        }
    }
    active
}

/// KUBE-POSTROUTING and KUBE-MARK-MASQ.
fn masquerade(work: &Work<'_>, nat: &mut Section) {
    let mark = work.config.masquerade_mark();
    nat.rule(POSTROUTING, format_args!("-m mark ! --mark {mark}/{mark}"), "RETURN");
    // The mark is cleared so that a packet that comes by again is not masqueraded again.
    nat.rule(POSTROUTING, "", format_args!("MARK --xor-mark {mark}"));
    let random = if work.config.random_fully { " --random-fully" } else { "" };
    let comment = "-m comment --comment \"kubernetes service traffic requiring SNAT\"";
    nat.rule(POSTROUTING, comment, format_args!("MASQUERADE{random}"));
    nat.rule(MARK_MASQ, "", format_args!("MARK --or-mark {mark}"));
}

/// route_localnet=1, which localhost node ports need, would let neighbours reach 127.0.0.0/8
/// (kubernetes issue 90259).
fn localhost_guard(work: &Work<'_>, filter: &mut Section) {
    if work.config.serves_localhost(work.node) {
        filter.chain(KUBELET_FIREWALL);
        let matches = "-m comment --comment \"block incoming localnet connections\" -d 127.0.0.0/8 ! -s 127.0.0.0/8 \
                       -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT";
        filter.rule(KUBELET_FIREWALL, matches, "DROP");
    }
}

/// The end of KUBE-SERVICES: what is no service address may be a node's.
fn node_ports(work: &Work<'_>, nat: &mut Section) {
    let comment =
        "-m comment --comment \"kubernetes service nodeports; NOTE: this must be the last rule in this chain\"";
    let localhost = work.config.serves_localhost(work.node);
    match work.config.node_port_addresses(work.node) {
        NodePortAddresses::All => {
            let but = match (work.node.ip.is_ipv6(), localhost) {
                (true, _) => " ! -d ::1/128",
                (false, true) => "",
                (false, false) => " ! -d 127.0.0.0/8",
            };
            nat.rule(SERVICES, format_args!("{comment} -m addrtype --dst-type LOCAL{but}"), NODE_PORTS);
        }
        NodePortAddresses::These(these) => {
            for ip in these.iter().filter(|ip| localhost || !ip.is_loopback()) {
                nat.rule(SERVICES, format_args!("{comment} -d {ip}"), NODE_PORTS);
            }
        }
    }
}

/// KUBE-FORWARD.
fn forwarding(work: &Work<'_>, filter: &mut Section) {
    if !work.config.tcp_be_liberal {
        let counter =
            if work.config.nfacct { format!(" -m nfacct --nfacct-name {NFACCT_INVALID}") } else { String::new() };
        filter.rule(FORWARD, format_args!("-m conntrack --ctstate INVALID{counter}"), "DROP");
    }
    // Node port traffic is forwarded even if the default verdict of FORWARD is DROP.
    let mark = work.config.masquerade_mark();
    let marked = format!("-m comment --comment \"kubernetes forwarding rules\" -m mark --mark {mark}/{mark}");
    filter.rule(FORWARD, marked, "ACCEPT");
    let known =
        "-m comment --comment \"kubernetes forwarding conntrack rule\" -m conntrack --ctstate RELATED,ESTABLISHED";
    filter.rule(FORWARD, known, "ACCEPT");
}

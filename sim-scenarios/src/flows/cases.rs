//! The flows of a case: on one kube-proxy, step by step; each flow as often as chance needs to show all its endpoints.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use serde_json::{Value, json};
use sim_core::wire::ip::Family;

use super::bench::{Bench, Seen};
use super::node::Node;
use super::objects::{Objects, Stored, address, protocol};
use super::packet::First;
use super::table::{Case, Defaults, Flow};
use super::{BACKENDS, Interrupted, NFTABLES, Outcome, Row};

/// Packets for each endpoint that may be chosen: the chance to miss one of k is below k·e⁻²⁰.
const TRIES: usize = 20;

/// Packets for one flow, at most.
const MOST_TRIES: usize = 1000;

/// Pods of one case, at most: each is a netns.
const MOST_PODS: usize = 500;

/// Runs a case with every backend that its flows name.
pub(super) fn run(
    defaults: &Defaults,
    case: &Case,
    only: Option<&str>,
    outcome: &mut Outcome,
    interrupted: &dyn Fn() -> bool,
) -> Result<(), Interrupted> {
    for backend in backends(case) {
        let left_out = only.filter(|only| *only != backend).map(|_| "left out by --backend".to_owned());
        let unknown = (!BACKENDS.contains(&backend)).then(|| match backend {
            "nftables" => NFTABLES.to_owned(),
            other => format!("there is no backend {other:?}"),
        });
        let mut trial = Trial { case, backend, outcome, interrupted };
        match left_out.or(unknown) {
            Some(reason) => trial.skip(0, &reason),
            None => match Node::new(defaults, backend, &case.node) {
                Ok(node) => trial.run(&node)?,
                Err(reason) => trial.skip(0, &reason),
            },
        }
    }
    Ok(())
}

/// The backends that a case and its flows name, in the order in which they are named.
fn backends(case: &Case) -> Vec<&str> {
    let of_flows = steps(case).flat_map(|(_, flows)| flows).flat_map(|flow| flow.backends.iter().flatten());
    let mut named: Vec<&str> = Vec::new();
    for backend in case_backends(case).into_iter().chain(of_flows.map(String::as_str)) {
        if !named.contains(&backend) {
            named.push(backend);
        }
    }
    named
}

/// A case that names no backend is for the one there is.
fn case_backends(case: &Case) -> Vec<&str> {
    case.backends.as_ref().map_or(BACKENDS.to_vec(), |all| all.iter().map(String::as_str).collect())
}

/// The flows of each step.
fn steps(case: &Case) -> impl Iterator<Item = (usize, &[Flow])> {
    let later = case.then.iter().map(|step| step.flows.as_slice());
    std::iter::once(case.flows.as_slice()).chain(later).enumerate()
}

/// One case with one backend.
struct Trial<'a> {
    case: &'a Case,
    backend: &'a str,
    outcome: &'a mut Outcome,
    interrupted: &'a dyn Fn() -> bool,
}

impl<'a> Trial<'a> {
    /// The flows of a step that are for this backend.
    fn flows(&self, flows: &'a [Flow]) -> impl Iterator<Item = (usize, &'a Flow)> + use<'a> {
        let (case, backend) = (self.case, self.backend);
        flows.iter().enumerate().filter(move |(_, flow)| match &flow.backends {
            Some(named) => named.iter().any(|name| name == backend),
            None => case_backends(case).contains(&backend),
        })
    }

    /// Flows from step `from` on are not run.
    fn skip(&mut self, from: usize, reason: &str) {
        for (step, flows) in steps(self.case).skip(from) {
            for (index, _) in self.flows(flows) {
                self.outcome.not_run(self.case.id.clone(), Some(step), Some(index), Some(self.backend), reason);
            }
        }
    }

    fn run(&mut self, node: &Node) -> Result<(), Interrupted> {
        let mut objects = Objects { services: self.case.services.clone(), slices: self.case.endpoint_slices.clone() };
        let mut benches = match Benches::new(node, self.case) {
            Ok(benches) => benches,
            Err(reason) => {
                self.skip(0, &reason);
                return Ok(());
            }
        };
        for (step, flows) in steps(self.case) {
            let change = step.checked_sub(1).map(|nth| &self.case.then[nth]);
            let changed = change.map_or(Ok(()), |c| objects.change(c.action.as_deref(), &c.endpoint_slices));
            let synced = changed.and_then(|()| objects.stored()).and_then(|objects| benches.sync(objects));
            if let Err(reason) = synced {
                self.skip(step, &reason);
                return Ok(());
            }
            if step == 0 {
                self.localnet_drop_rule(&mut benches);
            }
            for (index, flow) in self.flows(flows) {
                if (self.interrupted)() {
                    return Err(Interrupted);
                }
                match result(flow, &mut benches) {
                    Ok(got) => self.row(step, index, flow, got),
                    Err(reason) => {
                        let case = self.case.id.clone();
                        self.outcome.not_run(case, Some(step), Some(index), Some(self.backend), reason);
                    }
                }
            }
        }
        Ok(())
    }

    fn row(&mut self, step: usize, index: usize, flow: &Flow, got: Value) {
        let mut emitted = json!({ "case": self.case.id, "step": step, "flow": index, "backend": self.backend });
        if let (Some(emitted), Some(got)) = (emitted.as_object_mut(), got.as_object()) {
            emitted.extend(got.clone());
        }
        self.outcome.rows.push(Row {
            case: self.case.id.clone(),
            step: Some(step),
            flow: Some(index),
            name: flow.name.clone(),
            backend: Some(self.backend.to_owned()),
            expected: expected(flow, &got),
            got,
            emitted: Some(emitted),
        });
    }

    /// Whether KUBE-FIREWALL keeps neighbours from 127.0.0.0/8, if the table says.
    fn localnet_drop_rule(&mut self, benches: &mut Benches<'_>) {
        let (Some(expected), Ok(bench)) = (benches.node.expect_localnet_drop_rule, benches.get(0)) else { return };
        let rules = bench.rules();
        let got = rules.lines().any(|rule| rule.contains("-A KUBE-FIREWALL ") && rule.contains(" -d 127.0.0.0/8 "));
        self.outcome.rows.push(Row {
            case: self.case.id.clone(),
            step: Some(0),
            flow: None,
            name: "expect_localnet_drop_rule".to_owned(),
            backend: Some(self.backend.to_owned()),
            expected: Some(expected.into()),
            got: got.into(),
            emitted: None,
        });
    }
}

/// What the table expects, in the words of the result; what it leaves open is taken from there.
fn expected(flow: &Flow, got: &Value) -> Option<Value> {
    let verdict = flow.expect.as_ref()?;
    let mut to = flow.to.clone();
    to.sort();
    let masq = flow.masq.map_or_else(|| got["masq"].clone(), Value::Bool);
    Some(json!({ "verdict": verdict, "to": to, "masq": masq }))
}

/// One kube-proxy under many seeds: chance is all they differ in.
struct Benches<'a> {
    node: &'a Node,
    pods: BTreeSet<IpAddr>,
    syncs: Vec<Stored>,
    made: Vec<Bench>,
}

impl<'a> Benches<'a> {
    fn new(node: &'a Node, case: &Case) -> Result<Self, String> {
        let senders = steps(case).flat_map(|(_, flows)| flows).map(|flow| &flow.src);
        let slices = case.endpoint_slices.iter().chain(case.then.iter().flat_map(|step| &step.endpoint_slices));
        let local = slices.flat_map(|slice| &slice.endpoints).filter(|e| e.node.as_ref() == Some(&node.proxied.name));
        let mut pods = BTreeSet::new();
        for text in senders.chain(local.map(|endpoint| &endpoint.ip)) {
            let ip = address(text)?;
            if node.is_pod(ip) {
                pods.insert(ip);
            }
        }
        if pods.len() > MOST_PODS {
            return Err(format!("{} pods on one node; at most {MOST_PODS} are tried", pods.len()));
        }
        Ok(Self { node, pods, syncs: Vec::new(), made: Vec::new() })
    }

    /// The objects are these from now on.
    fn sync(&mut self, objects: Stored) -> Result<(), String> {
        for bench in &mut self.made {
            bench.sync(self.node, &objects)?;
        }
        self.syncs.push(objects);
        self.get(0).map(drop)
    }

    /// The bench of a seed, with all syncs so far.
    fn get(&mut self, seed: usize) -> Result<&Bench, String> {
        while self.made.len() <= seed {
            let mut bench = Bench::new(self.node, &self.pods, self.made.len() as u64)?;
            for objects in &self.syncs {
                bench.sync(self.node, objects)?;
            }
            self.made.push(bench);
        }
        Ok(&self.made[seed])
    }

    /// How many endpoints a packet that was sent to `seen` might have been sent to.
    fn alternatives(&self, seen: SocketAddr) -> usize {
        let ports = self.made.first().into_iter().flat_map(|bench| bench.services().values());
        let sizes = ports.filter(|port| port.endpoints.iter().any(|e| e.addr == seen)).map(|port| port.endpoints.len());
        sizes.max().unwrap_or(1)
    }
}

/// What becomes of a flow over many draws: `{verdict, to, masq}`.
fn result(flow: &Flow, benches: &mut Benches<'_>) -> Result<Value, String> {
    let (src, dst) = (address(&flow.src)?, address(&flow.dst)?);
    if [src, dst].iter().any(|ip| Family::of(*ip) != benches.node.family()) {
        return Err(format!("the node's kube-proxy is that of {}, and the packet is not", benches.node.family()));
    }
    let first = First { src, dst: SocketAddr::new(dst, flow.dport), protocol: protocol(Some(&flow.proto))? };
    let mut endpoints = BTreeSet::new();
    let mut others = BTreeSet::new();
    // By whether the packet came back to its sender: that is masqueraded whatever becomes of the others.
    let mut masquerades = BTreeMap::new();
    let (mut seed, mut tries) = (0, 1);
    while seed < tries {
        let seen = benches.get(seed)?.clone().send(benches.node, &first)?;
        seed += 1;
        match seen {
            Seen::Endpoint { to, masquerade } => {
                *masquerades.entry(to.ip() == src).or_default() |= masquerade;
                let wanted = benches.alternatives(to);
                endpoints.insert(to);
                let more = if wanted == 1 { 1 } else { wanted * TRIES };
                tries = if endpoints.len() >= wanted { seed } else { tries.max(more.min(MOST_TRIES)) };
            }
            Seen::Dropped => drop(others.insert("DROP")),
            Seen::Rejected => drop(others.insert("REJECT")),
            Seen::Accepted => drop(others.insert("ACCEPT")),
            Seen::NoMatch => drop(others.insert("NO_MATCH")),
        }
    }
    let mut verdicts: Vec<&str> = others.into_iter().collect();
    if !endpoints.is_empty() {
        verdicts.insert(0, "ENDPOINTS");
    }
    let mut to: Vec<String> = endpoints.iter().map(SocketAddr::to_string).collect();
    to.sort();
    let masq: bool = masquerades.get(&false).or(masquerades.get(&true)).copied().unwrap_or_default();
    Ok(json!({ "verdict": verdicts.join(" or "), "to": to, "masq": masq }))
}

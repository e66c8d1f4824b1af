//! How calls from outside reach a Service: where they enter, whether they go on to another node, and how evenly they
//! come to its endpoints.
//!
//! A load balancer knows nodes and nothing of pods. With `externalTrafficPolicy: Cluster` a node hands every call to any
//! endpoint, most often one on another node: a second hop, and the client's address is lost. With `Local` there is no
//! second hop, but each node gets the same share whether one endpoint stands on it or ten.

mod advice;
mod gather;
mod text;

use std::collections::BTreeMap;

use serde::Serialize;
use sim_k8s::api::{Node, Service, ServiceType, TrafficPolicy, Workload};

use super::EndpointReport;

pub use advice::{Advice, Patch};
pub(super) use gather::of_run;
pub(super) use text::text;

/// A Service of type `LoadBalancer` or `NodePort` and the calls that came to it from outside.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct OutsideReport {
    /// The Service, as `namespace/name`.
    pub service: String,
    /// `LoadBalancer` or `NodePort`.
    pub service_type: &'static str,
    /// Its `externalTrafficPolicy`: `Cluster` or `Local`.
    pub policy: &'static str,
    /// Calls from outside that were answered and whose way was seen.
    pub answered: u64,
    /// Of these, answered by an endpoint on another node than the one they entered at.
    pub second_hops: u64,
    /// Second hops of 100 calls that are to be expected: of a node each call enters at and an endpoint, both chosen by
    /// chance.
    pub expected_second_hops_percent: u64,
    /// The nodes, `n1` first.
    pub nodes: Vec<NodeReport>,
    /// Its endpoints, and how often each answered.
    pub endpoints: Vec<EndpointReport>,
    /// Answers of the busiest endpoint, in percent of an even share; absent if there was no answer.
    pub busiest_percent: Option<u64>,
    /// The same to be expected, if every node that takes calls is given as many: 100 is even.
    pub expected_busiest_percent: Option<u64>,
    /// What would make it better.
    pub advice: Option<Advice>,
}

/// A node, seen from outside.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct NodeReport {
    /// Its name.
    pub node: String,
    /// Calls that entered the cluster here.
    pub entered: u64,
    /// Endpoints of the Service that stand here.
    pub endpoints: u64,
    /// Calls that were answered by them.
    pub answered: u64,
}

/// What is known of a Service that is called from outside.
#[derive(Clone, Debug)]
pub(super) struct Facts<'a> {
    pub(super) service: &'a Service,
    /// The nodes, `n1` first.
    pub(super) nodes: Vec<&'a Node>,
    /// Its endpoints: a pod's name, and the index of its node.
    pub(super) endpoints: Vec<(String, usize)>,
    /// Answered calls by the node they entered at and the endpoint that answered, as indices.
    pub(super) ways: BTreeMap<(usize, usize), u64>,
    /// What makes the pods behind it, if it is one thing.
    pub(super) workload: Option<&'a Workload>,
}

impl OutsideReport {
    pub(super) fn of(facts: &Facts<'_>) -> Self {
        let count = |matching: &dyn Fn(usize, usize) -> bool| -> u64 {
            facts.ways.iter().filter(|((node, endpoint), _)| matching(*node, *endpoint)).map(|(_, count)| count).sum()
        };
        let host = |endpoint: usize| facts.endpoints[endpoint].1;
        let answered = count(&|_, _| true);
        let nodes = facts.nodes.iter().enumerate().map(|(index, node)| NodeReport {
            node: node.name().to_owned(),
            entered: count(&|entered, _| entered == index),
            endpoints: facts.on(index),
            answered: count(&|_, endpoint| host(endpoint) == index),
        });
        let endpoints = facts.endpoints.iter().enumerate().map(|(index, (pod, _))| EndpointReport {
            pod: pod.clone(),
            answered: count(&|_, endpoint| endpoint == index),
        });
        let endpoints: Vec<EndpointReport> = endpoints.collect();
        let busiest = endpoints.iter().map(|endpoint| endpoint.answered).max().unwrap_or(0);
        Self {
            service: facts.service.key.to_string(),
            service_type: if facts.is_balanced() { "LoadBalancer" } else { "NodePort" },
            policy: if facts.is_local() { "Local" } else { "Cluster" },
            answered,
            second_hops: count(&|node, endpoint| host(endpoint) != node),
            expected_second_hops_percent: facts.expected_second_hops(),
            nodes: nodes.collect(),
            busiest_percent: (busiest * endpoints.len() as u64 * 100).checked_div(answered),
            expected_busiest_percent: facts.expected_busiest(),
            endpoints,
            advice: advice::advise(facts),
        }
    }
}

impl Facts<'_> {
    /// Whether a Service of this type is called from outside by way of nodes.
    pub(super) fn concern(service: &Service) -> bool {
        matches!(service.service_type, ServiceType::LoadBalancer | ServiceType::NodePort)
    }

    fn is_balanced(&self) -> bool {
        self.service.service_type == ServiceType::LoadBalancer
    }

    fn is_local(&self) -> bool {
        self.service.external_traffic_policy == TrafficPolicy::Local
    }

    /// Endpoints on a node.
    fn on(&self, node: usize) -> u64 {
        self.endpoints.iter().filter(|(_, host)| *host == node).count() as u64
    }

    /// Of a node and an endpoint chosen by chance: how often in 100 the endpoint is on another node.
    fn expected_second_hops(&self) -> u64 {
        let nodes = self.nodes.len() as u64;
        if self.is_local() || self.endpoints.is_empty() { 0 } else { 100 - 100 / nodes.max(1) }
    }

    /// How much the busiest endpoint gets, in percent of an even share.
    fn expected_busiest(&self) -> Option<u64> {
        let local = self.busiest_with_local()?;
        Some(if self.is_local() { local } else { 100 })
    }

    /// The same if nodes kept calls to themselves: the busiest shares its node with the fewest others.
    fn busiest_with_local(&self) -> Option<u64> {
        let taking: Vec<u64> = (0..self.nodes.len()).map(|node| self.on(node)).filter(|count| *count > 0).collect();
        let fewest = *taking.iter().min()?;
        Some(100 * taking.iter().sum::<u64>() / (taking.len() as u64 * fewest))
    }
}

#[cfg(test)]
mod tests;

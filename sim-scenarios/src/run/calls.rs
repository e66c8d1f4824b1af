//! Begins calls and counts what became of them.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use sim_core::engine::arena::NetnsId;
use sim_core::engine::time::Instant;
use sim_core::wire::ip::Family;
use sim_k8s::api::Protocol as Transport;
use sim_k8s::workload::{Call, Caller};

use super::edge::Edge;
use super::{Alarm, LINGER, Run, resolve};
use crate::workload::protocol::{signature, spoken};
use crate::workload::{Destination, Ended, Reason, Request, Server};

impl Run {
    /// Makes edges of the plan: the cluster stands, and calls are made from now on.
    pub(super) fn begin_calls(&mut self, now: Instant) {
        let end = now + self.config.duration;
        self.over = end + LINGER;
        let plan = std::mem::take(&mut self.plan);
        for call in &plan.calls {
            if let Err(why) = self.refuses(call) {
                self.not_called.push(format!("{} → {}:{}/{}: {why}", call.from, call.to, call.port, call.protocol));
                continue;
            }
            let origins = self.origins(&call.from);
            let place = (self.edges.len(), plan.calls.len(), origins.len());
            let mut edge = Edge::new(call.clone(), place, (self.config.cluster.seed, now, self.config.duration));
            let late = edge.end_at(end);
            if late > 0 {
                let Call { from, to, port, .. } = call;
                self.not_called.push(format!("{from} → {to}:{port}: {late} calls would begin after the run's end"));
            }
            self.edges.push(edge);
        }
        self.serve_outside();
        for (index, edge) in self.edges.iter().enumerate() {
            if let Some(at) = edge.begins_at(0) {
                self.world.alarm(at, Alarm::Begin(index).token());
            }
        }
    }

    /// Whoever is called outside the cluster answers there.
    fn serve_outside(&mut self) {
        let called = self.edges.iter().map(|edge| &edge.call).filter(|call| call.to.service().is_none());
        let ports: BTreeSet<(Transport, u16)> = called.map(|call| (call.protocol, call.port)).collect();
        for (transport, port) in ports {
            // A socket of IPv6 serves both.
            let any = self.cluster.world_ips.iter().copied().map(Family::of).max().unwrap_or(Family::V4).unspecified();
            let (netns, local) = (self.cluster.world_netns, SocketAddr::new(any, port));
            let (protocol, signature) = (spoken(transport, [port]), signature::OUTSIDER.to_owned());
            let server = Server { netns, local, transport, protocol, signature };
            if let Err(errno) = self.outside.start(&mut self.world, server) {
                self.not_called.push(format!("nobody outside listens on {transport} port {port}: {errno}"));
            }
        }
    }

    /// Why a call is not made.
    fn refuses(&self, call: &Call) -> Result<(), &'static str> {
        let Some(key) = call.to.service() else { return Ok(()) };
        let service = self.cluster.service(key).ok_or("there is no such Service")?;
        let port = service.ports.iter().find(|p| p.port == call.port && p.protocol == call.protocol);
        match (&call.from, port) {
            (Caller::World, Some(port)) if port.node_port.is_none() && service.external_ips.is_empty() => {
                Err("nothing outside the cluster reaches it")
            }
            _ => Ok(()),
        }
    }

    /// The netns that calls of `from` come from at this moment.
    fn origins(&self, from: &Caller) -> Vec<NetnsId> {
        match from {
            Caller::World => vec![self.cluster.world_netns],
            Caller::Node => self.cluster.nodes.iter().map(|node| node.netns).collect(),
            Caller::Workload(workload) => self.cluster.callers(workload).map(|pod| pod.netns).collect(),
        }
    }

    /// Begins the next call of an edge and sees to the one after it.
    pub(super) fn begin(&mut self, index: usize) -> Option<Ended> {
        let edge = &mut self.edges[index];
        let nth = edge.tally.sent;
        edge.tally.sent += 1;
        self.last_call += 1;
        let call = self.last_call;
        self.calls.insert(call, index);
        if let Some(at) = edge.begins_at(nth + 1) {
            self.world.alarm(at, Alarm::Begin(index).token());
        }
        let origins = self.origins(&self.edges[index].call.from);
        let Some(&netns) = origins.get(nth as usize % origins.len().max(1)) else {
            return Some(Ended::at_once(call, Reason::NoCaller));
        };
        let protocol = self.protocol_of(&self.edges[index].call);
        let edge = &mut self.edges[index];
        edge.protocol = protocol;
        let draws = self.world.seed().stream("resolver", call);
        let caller = resolve::caller(&self.cluster, &edge.call, netns);
        let (transport, host) = (edge.call.protocol, resolve::host(&edge.call, caller));
        let Some(to) = resolve::destination(&self.cluster, edge, caller, draws) else {
            return Some(Ended::at_once(call, Reason::NoAddress));
        };
        // Clients outside have addresses that no route chooses.
        let from = match &to {
            Destination::Address(to) => self.cluster.world_ips.iter().copied().find(|ip| ip.is_ipv6() == to.is_ipv6()),
            Destination::Name(..) => None,
        };
        let source_port = edge.call.source_port.unwrap_or(0);
        let request = Request { netns, from, source_port, to, transport, protocol, host };
        self.clients.begin(&mut self.world, call, request)
    }

    /// Sets the alarms that calls ask for.
    pub(super) fn set_alarms(&mut self) {
        for (at, call) in self.clients.take_alarms() {
            self.world.alarm(at, Alarm::Patience(call).token());
        }
    }

    /// Counts a call that has ended.
    pub(super) fn finish(&mut self, ended: Option<Ended>) {
        let Some(Ended { call, outcome }) = ended else { return };
        let edge = self.calls.remove(&call).expect("every call has an edge");
        let now = self.world.now();
        self.over = self.over.max(now + LINGER);
        match outcome {
            Ok(answer) => {
                let mut way = None;
                if self.edges[edge].call.from == Caller::World {
                    self.collect();
                    way = self.ways.take(answer.local);
                }
                self.edges[edge].tally.answered(now, answer, way);
            }
            Err(failure) => {
                self.collect();
                let place = failure.attempt.and_then(|attempt| self.losses.place(attempt));
                self.edges[edge].tally.failed(now, failure, place);
            }
        }
    }

    /// What is spoken to a port: the protocol of its endpoints, of which the first speaks for all.
    fn protocol_of(&self, call: &Call) -> &'static crate::workload::protocol::Protocol {
        let service = call.to.service().and_then(|key| self.cluster.service(key));
        let port = service.as_ref().and_then(|service| service.ports.iter().find(|port| port.port == call.port));
        let endpoint = port.and_then(|port| port.endpoints.first());
        let pod = endpoint.and_then(|endpoint| self.cluster.running().find(|pod| pod.ips.contains(&endpoint.ip())));
        match (pod, endpoint) {
            (Some(pod), Some(endpoint)) => self.spoken_by(pod, call.protocol, endpoint.port()),
            _ => spoken(call.protocol, [call.port]),
        }
    }
}

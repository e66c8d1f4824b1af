//! From a run to its report.

use std::collections::BTreeMap;

use sim_core::engine::time::{Duration, Instant};
use sim_core::engine::trail::DropPlace;
use sim_core::netfilter::conntrack::Stats;
use sim_core::netns::Netns;
use sim_core::wire::ip::SCTP;
use sim_core::world::World;
use sim_k8s::api::ObjectKey;
use sim_k8s::cluster::{Service, ServicePort};
use sim_k8s::manifest::Loaded;

use super::{
    Calls, DropReport, EdgeReport, EndpointReport, FailureReport, Latency, RaceReport, Report, ServiceReport, outside,
};
use crate::run::{Edge, Place, Run, Tally};

impl Report {
    /// The report of `run`, whose objects were `loaded`. No files are in it yet.
    pub fn of(run: &Run, loaded: &Loaded) -> Self {
        let (world, cluster) = (run.world(), run.cluster());
        let edges: Vec<EdgeReport> = run.edges().iter().map(|edge| of_edge(run, edge)).collect();
        // The cluster's own are no part of what was asked about.
        let declared = |key: &ObjectKey| loaded.objects.services.iter().any(|service| service.key == *key);
        let mut reached = cluster.services();
        reached.retain(|service| declared(&service.key));
        let ports = reached.iter().flat_map(|service| service.ports.iter().map(move |port| (service, port)));
        let services: Vec<_> = ports.map(|(service, port)| of_service_port(run, service, port)).collect();
        let stored = cluster.objects().pods.values();
        let pending = stored.filter_map(|pod| Some(format!("pod {}: {}", pod.key, pod.status.unschedulable.as_ref()?)));
        let passed = &loaded.passed_over;
        let kinds = passed.kinds.iter().map(|(kind, count)| counted(kind, *count));
        let fields = passed.fields.iter().map(|(field, count)| counted(&field.to_string(), *count));
        Self {
            seed: run.config().cluster.seed.0,
            fingerprint: format!("{:016x}", world.fingerprint().value()),
            events: world.fingerprint().events(),
            hops: world.hop_count(),
            ended_ns: world.now().as_nanos(),
            nodes: cluster.nodes.len(),
            pods: cluster.running().count(),
            settled_ns: run.began().map_or(0, Instant::as_nanos),
            calls: Calls::sum(edges.iter().map(|edge| edge.calls)),
            ok: edges.iter().all(|edge| edge.calls.failed == 0) && services.iter().all(|s| !s.endpoints.is_empty()),
            services,
            edges,
            outside: outside::of_run(run),
            drops: drops(run),
            races: races(run),
            not_applied: kinds.chain(fields).chain(cluster.not_applied.iter().cloned()).collect(),
            faults: run.struck().iter().map(|(_, what)| what.clone()).collect(),
            not_called: run.not_called().to_vec(),
            pending: pending.collect(),
            warnings: loaded.warnings.iter().map(ToString::to_string).collect(),
            files: Vec::new(),
        }
    }
}

impl Calls {
    fn of(tally: &Tally) -> Self {
        let sum = |counts: &mut dyn Iterator<Item = &u64>| counts.sum();
        Self {
            sent: tally.sent,
            answered: sum(&mut tally.answered_by.values()),
            failed: sum(&mut tally.failures.values()),
        }
    }

    fn sum(calls: impl Iterator<Item = Self>) -> Self {
        calls.fold(Self::default(), |a, b| Self {
            sent: a.sent + b.sent,
            answered: a.answered + b.answered,
            failed: a.failed + b.failed,
        })
    }
}

fn counted(what: &str, count: usize) -> String {
    if count == 1 { what.to_owned() } else { format!("{what} ({count} objects)") }
}

fn of_edge(run: &Run, edge: &Edge) -> EdgeReport {
    let failures = edge.tally.failures.iter().map(|((reason, place), count)| FailureReport {
        reason: reason.to_string(),
        place: place.map(|place| where_failed(run.world(), place)).unwrap_or_default(),
        count: *count,
    });
    EdgeReport {
        from: edge.call.from.to_string(),
        service: edge.call.to.to_string(),
        port: edge.call.port,
        protocol: edge.call.protocol.to_string(),
        speaks: edge.protocol.name,
        calls: Calls::of(&edge.tally),
        endpoints: spread(run, &edge.tally.answered_by),
        failures: failures.collect(),
        latency: Latency::of(edge.tally.latencies()),
    }
}

fn spread(run: &Run, answered_by: &BTreeMap<Option<usize>, u64>) -> Vec<EndpointReport> {
    let name = |pod: &Option<usize>| pod.and_then(|pod| run.cluster().pods.get(pod)).map(|pod| pod.key.to_string());
    let row = |(pod, count): (&Option<usize>, &u64)| EndpointReport {
        pod: name(pod).unwrap_or_else(|| "?".into()),
        answered: *count,
    };
    let mut rows: Vec<EndpointReport> = answered_by.iter().map(row).collect();
    rows.sort();
    rows
}

fn of_service_port(run: &Run, service: &Service, port: &ServicePort) -> ServiceReport {
    let here = |edge: &&Edge| {
        let call = &edge.call;
        call.to.service() == Some(&service.key) && call.port == port.port && call.protocol == port.protocol
    };
    let mut answered_by: BTreeMap<Option<usize>, u64> = BTreeMap::new();
    for endpoint in &port.endpoints {
        let pod = run.cluster().pods.iter().rposition(|pod| pod.ips.contains(&endpoint.ip()) && pod.ended.is_none());
        answered_by.extend(pod.map(|pod| (Some(pod), 0)));
    }
    let mut calls = 0;
    for edge in run.edges().iter().filter(here) {
        calls += edge.tally.sent;
        for (pod, count) in &edge.tally.answered_by {
            *answered_by.entry(*pod).or_default() += count;
        }
    }
    ServiceReport {
        service: service.key.to_string(),
        port: port.port,
        protocol: port.protocol.to_string(),
        calls,
        answered: answered_by.values().sum(),
        endpoints: spread(run, &answered_by),
    }
}

impl Latency {
    /// Of these; `None` of none.
    fn of(latencies: impl Iterator<Item = Duration>) -> Option<Self> {
        let mut sorted: Vec<u64> = latencies.map(Duration::as_nanos).collect();
        sorted.sort_unstable();
        let rank = |percent: usize| sorted.get((sorted.len() * percent).div_ceil(100).max(1) - 1).copied();
        Some(Self { min_ns: rank(0)?, median_ns: rank(50)?, p99_ns: rank(99)? })
    }
}

fn drops(run: &Run) -> Vec<DropReport> {
    let row = |(place, count): (&DropPlace, u64)| DropReport {
        reason: place.reason.name().to_owned(),
        place: where_dropped(run.world(), place),
        count,
    };
    run.world().drops().iter().map(row).collect()
}

fn races(run: &Run) -> Vec<RaceReport> {
    let row = |netns: &Netns| {
        let Stats { clash_resolve, insert_failed, .. } = *netns.conntrack().stats();
        RaceReport { netns: netns.name.clone(), clash_resolve, insert_failed }
    };
    run.world().all_netns().map(row).filter(|row| row.clash_resolve + row.insert_failed > 0).collect()
}

fn where_dropped(world: &World, place: &DropPlace) -> String {
    let dev = place.dev.map(|dev| format!("/{}", world.dev_name(place.netns, dev))).unwrap_or_default();
    format!("{}{dev}, {}", world.netns_name(place.netns), place.stage)
}

/// Where a call failed, in words.
pub(crate) fn where_failed(world: &World, place: Place) -> String {
    match place {
        Place::Dropped(place) => format!("{} at {}", place.reason.name(), where_dropped(world, &place)),
        Place::Reset(netns, SCTP) => format!("ABORT from {}", world.netns_name(netns)),
        Place::Reset(netns, _) => format!("RST from {}", world.netns_name(netns)),
    }
}

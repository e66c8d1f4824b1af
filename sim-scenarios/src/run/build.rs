//! Puts a run together: a cluster about to come up, and the calls that will be made.

use std::collections::BTreeMap;

use sim_core::engine::time::Instant;
use sim_k8s::api::Objects;
use sim_k8s::cluster::{Cluster, ClusterError};
use sim_k8s::workload::Plan;

use super::losses::Losses;
use super::ways::Ways;
use super::{Alarm, Run, RunConfig};
use crate::workload::{Applications, Clients, Servers};

pub(super) fn build(objects: &Objects, plan: &Plan, config: RunConfig) -> Result<Run, ClusterError> {
    let (mut world, cluster) = Cluster::build(objects, &config.cluster)?;
    world.capture(config.capture);
    world.alarm(Instant::START, Alarm::Look.token());
    let fault_draws = config.cluster.seed.stream("faults", 0);
    Ok(Run {
        config,
        world,
        cluster,
        services: objects.services.clone(),
        plan: plan.clone(),
        applications: Applications::default(),
        outside: Servers::default(),
        clients: Clients::default(),
        edges: Vec::new(),
        calls: BTreeMap::new(),
        last_call: 0,
        began: None,
        over: Instant::NEVER,
        losses: Losses::default(),
        ways: Ways::default(),
        seen: Vec::new(),
        faults: Vec::new(),
        fault_draws,
        struck: Vec::new(),
        not_called: plan.not_called.iter().map(ToString::to_string).collect(),
    })
}

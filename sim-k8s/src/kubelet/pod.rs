//! What a kubelet knows of one pod.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

use sim_core::engine::arena::NetnsId;
use sim_core::engine::time::{Duration, Instant};

use crate::api::{Container, Pod, PodStatus, PodTemplate};
use crate::cni::SandboxId;
use crate::command::Command;

use super::Run;
use super::backoff::Backoff;
use super::worker::{Seen, Worker};

/// A pod, from the moment its kubelet takes it up until nothing of it is left.
#[derive(Clone, Debug)]
pub(super) struct PodLife {
    pub(super) pod: Arc<Pod>,
    pub(super) stage: Stage,
    /// Its deletion was asked for, or it has run its course.
    pub(super) terminating: bool,
    /// How long its containers may take to stop.
    pub(super) grace: Duration,
    /// The object is no more.
    pub(super) object_gone: bool,
    pub(super) sandbox: Option<Sandbox>,
    /// Sandboxes made before.
    pub(super) attempts: u32,
    /// What remains to be done for its network: where, and what. Each command takes `each`.
    pub(super) wiring: VecDeque<(NetnsId, Vec<Command>)>,
    pub(super) each: Duration,
    /// In the order of the template.
    pub(super) containers: Vec<ContainerLife>,
    /// Each with the index of its container.
    pub(super) workers: Vec<(usize, Worker)>,
    pub(super) taken_up: Instant,
    /// What keeps it from running, in words.
    pub(super) message: Option<String>,
    /// What the apiserver was told last, or is being told.
    pub(super) reported: PodStatus,
}

/// Where a pod is in life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// For the network of the node.
    Waiting,
    /// Its sandbox is being made.
    Sandbox,
    /// The sandbox stands, its network is being made.
    Wiring,
    /// Containers are started: so many of them, init containers first, have been.
    Starting(usize),
    /// All have been started.
    Running,
    /// The containers are being stopped.
    Stopping,
    /// The sandbox is.
    TearingDown,
    /// Nothing is left but the object.
    Over,
}

/// What a pod's containers share.
#[derive(Clone, Debug)]
pub(super) struct Sandbox {
    pub(super) id: SandboxId,
    pub(super) netns: NetnsId,
    pub(super) ips: Vec<IpAddr>,
    /// The netns is the pod's, not its node's.
    pub(super) own_netns: bool,
}

/// A container.
#[derive(Clone, Default, Debug)]
pub(super) struct ContainerLife {
    pub(super) state: State,
    /// How often it was started.
    pub(super) run: u32,
    /// The run that the last listing of containers found; the kubelet knows of no later one.
    pub(super) listed: u32,
    /// The startup probe of this run has succeeded.
    pub(super) startup_passed: bool,
    /// The readiness probe of this run says so.
    pub(super) readiness_passed: bool,
    pub(super) backoff: Backoff,
    pub(super) stop: Option<Stop>,
    /// It is about to be started again.
    pub(super) restarting: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) enum State {
    /// Never started.
    #[default]
    Waiting,
    Running {
        since: Instant,
    },
    Ended {
        at: Instant,
        code: u8,
    },
}

/// A container that is being stopped.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stop {
    /// Since when the step lasts: the preStop hook, the wait for its turn.
    pub(super) since: Instant,
    /// Seconds of grace that are left at its beginning.
    pub(super) left: u64,
    /// It has to wait for others.
    pub(super) waits: bool,
}

impl ContainerLife {
    pub(super) fn is_running(&self) -> bool {
        matches!(self.state, State::Running { .. })
    }

    /// Since when it runs, as far as the last listing tells.
    pub(super) fn running_since(&self) -> Option<Instant> {
        match self.state {
            State::Running { since } if self.listed == self.run => Some(since),
            _ => None,
        }
    }

    pub(super) fn is_started(&self, container: &Container) -> bool {
        self.running_since().is_some() && (self.startup_passed || container.startup_probe.is_none())
    }

    pub(super) fn is_ready(&self, container: &Container) -> bool {
        self.is_started(container) && (self.readiness_passed || container.readiness_probe.is_none())
    }
}

impl PodLife {
    pub(super) fn new(pod: Arc<Pod>, now: Instant) -> Self {
        let pod_grace = pod.template.grace;
        Self {
            containers: vec![ContainerLife::default(); pod.template.containers.len()],
            reported: pod.status.clone(),
            pod,
            stage: Stage::Waiting,
            terminating: false,
            grace: pod_grace,
            object_gone: false,
            sandbox: None,
            attempts: 0,
            wiring: VecDeque::new(),
            each: Duration::ZERO,
            workers: Vec::new(),
            taken_up: now,
            message: None,
        }
    }

    pub(super) fn template(&self) -> &PodTemplate {
        &self.pod.template
    }

    /// Whether containers may be started.
    pub(super) fn may_start(&self) -> bool {
        !self.terminating && matches!(self.stage, Stage::Starting(_) | Stage::Running)
    }

    /// The address that probes and hooks go to.
    pub(super) fn ip(&self) -> Option<IpAddr> {
        self.sandbox.as_ref()?.ips.first().copied()
    }

    /// The present run of a container.
    pub(super) fn run(&self, container: usize) -> Run {
        Run { uid: self.pod.meta.uid, container, run: self.containers[container].run }
    }

    /// The container, if it is still in this run of it.
    pub(super) fn in_run(&mut self, run: Run) -> Option<&mut ContainerLife> {
        self.containers.get_mut(run.container).filter(|container| container.run == run.run && container.is_running())
    }

    /// What a probe's worker sees of its container.
    pub(super) fn seen(&self, container: usize) -> Seen {
        let life = &self.containers[container];
        Seen {
            run: life.listed,
            running_since: life.running_since(),
            started: life.is_started(&self.template().containers[container]),
            terminating: self.terminating,
        }
    }

    /// Those that run as long as the pod does, sidecars left out, with what the template says of them.
    pub(super) fn main_containers(&self) -> impl Iterator<Item = (&ContainerLife, &Container)> {
        self.containers.iter().zip(&self.template().containers).filter(|(_, container)| !container.sidecar)
    }
}

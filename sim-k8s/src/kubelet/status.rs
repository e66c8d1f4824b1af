//! What the apiserver is told of pods: at once when it changes, one write after the other (status/status_manager.go).

use sim_core::engine::time::Duration;

use crate::agent::Context;
use crate::api::{ContainerStatus, ObjectRef, Phase, PodStatus, RestartPolicy};
use crate::apiserver::{Refused, Request};

use super::Kubelet;
use super::pod::{PodLife, Stage, State};

/// The token of requests whose answers do not matter.
pub(super) const UNHEEDED: u64 = 0;
/// The token of those that others wait behind.
const WRITE: u64 = 1;

/// A write to be done; of pods by uid.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Write {
    /// The status as it is when its turn comes.
    Status(u64),
    /// The object of a pod of which nothing is left.
    Delete(u64),
}

impl Kubelet {
    /// Tells the status of a pod, if it is another than before.
    pub(super) fn report(&mut self, cx: &mut Context<'_>, uid: u64) {
        let now = cx.now();
        let Some(life) = self.pods.get_mut(&uid) else { return };
        let mut status = life.status();
        if status.ready != life.reported.ready {
            status.ready_changed = now;
        }
        if status == life.reported {
            return;
        }
        life.reported = status;
        self.write(cx, Write::Status(uid));
    }

    pub(super) fn finished(&mut self, cx: &mut Context<'_>, uid: u64) {
        self.write(cx, Write::Delete(uid));
    }

    fn write(&mut self, cx: &mut Context<'_>, write: Write) {
        if !self.writes.contains(&write) {
            self.writes.push_back(write);
        }
        if self.writing.is_none() {
            self.write_next(cx);
        }
    }

    fn write_next(&mut self, cx: &mut Context<'_>) {
        while let Some(write) = self.writes.pop_front() {
            let (Write::Status(uid) | Write::Delete(uid)) = write;
            let Some(life) = self.pods.get(&uid).filter(|life| !life.object_gone) else { continue };
            let pod = life.pod.key.clone();
            let request = match write {
                Write::Status(_) => Request::UpdatePodStatus { pod, uid, status: life.reported.clone() },
                Write::Delete(_) => {
                    Request::Delete { object: ObjectRef::pod(pod), uid: Some(uid), grace: Some(Duration::ZERO) }
                }
            };
            self.writing = Some(write);
            return cx.request(request, WRITE);
        }
    }

    /// A write was done, or refused: then the pod is gone, or another has its name, which the watch tells.
    pub(super) fn written(&mut self, cx: &mut Context<'_>, result: Result<(), Refused>) {
        if let (Some(Write::Delete(uid)), Ok(())) = (self.writing.take(), result)
            && let Some(life) = self.pods.get_mut(&uid)
        {
            life.object_gone = true;
            self.forget_if_over(uid);
        }
        self.write_next(cx);
    }
}

impl PodLife {
    /// What is to be said of it now (pkg/kubelet/kubelet_pods.go, `generateAPIPodStatus`).
    fn status(&self) -> PodStatus {
        let specs = self.template().containers.iter();
        let containers = self.containers.iter().zip(specs).map(|(container, spec)| ContainerStatus {
            running_since: container.running_since(),
            started: container.is_started(spec),
            ready: container.is_ready(spec),
            restarts: container.listed.saturating_sub(1),
        });
        let containers: Vec<_> = containers.collect();
        let phase = self.phase();
        // The addresses are known with the first listing that finds a container.
        let listed = self.containers.iter().any(|container| container.listed > 0);
        let ips = self.sandbox.as_ref().filter(|_| listed).map(|sandbox| sandbox.ips.clone());
        PodStatus {
            phase,
            ips: ips.unwrap_or_else(|| self.reported.ips.clone()),
            ready: phase == Phase::Running && containers.iter().all(|container| container.ready),
            ready_changed: self.reported.ready_changed,
            started: Some(self.taken_up),
            containers,
            unschedulable: None,
            message: self.message.clone(),
        }
    }

    /// `getPhase`; sidecars do not count.
    fn phase(&self) -> Phase {
        let ended = |good: bool| {
            let ended = self.main_containers().filter(|(container, _)| container.listed == container.run);
            ended.filter(|(c, _)| matches!(c.state, State::Ended { code, .. } if (code == 0) == good)).count()
        };
        let (well, badly) = (ended(true), ended(false));
        let all = self.main_containers().count();
        let never_started = self.main_containers().any(|(container, _)| container.listed == 0);
        if self.stage == Stage::Over {
            // What was never started has failed (`TerminatePod`).
            return if well == all { Phase::Succeeded } else { Phase::Failed };
        }
        match self.template().restart_policy {
            _ if never_started => Phase::Pending,
            _ if well + badly < all => Phase::Running,
            RestartPolicy::Always => Phase::Running,
            _ if badly == 0 => Phase::Succeeded,
            RestartPolicy::Never => Phase::Failed,
            RestartPolicy::OnFailure => Phase::Running,
        }
    }
}

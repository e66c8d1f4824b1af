//! What has ended is started again, or ends its pod (kuberuntime/kuberuntime_manager.go, `computePodActions`, `doBackOff`).

use crate::agent::Context;
use crate::api::RestartPolicy;

use super::pod::{PodLife, State};
use super::{Due, Kubelet};

impl Kubelet {
    /// The containers were listed: starts and ends are noticed.
    pub(super) fn relisted(&mut self, cx: &mut Context<'_>, uid: u64) {
        let Some(life) = self.pods.get_mut(&uid) else { return };
        life.containers.iter_mut().for_each(|container| container.listed = container.run);
        self.sync(cx, uid);
    }

    /// The kubelet looks after one pod (`SyncPod`): what is new is told, what ended is started again, probes go on.
    pub(super) fn sync(&mut self, cx: &mut Context<'_>, uid: u64) {
        self.report(cx, uid);
        if self.pods.get(&uid).is_none_or(|life| !life.may_start()) {
            return;
        }
        self.ask_for_readiness(cx, uid);
        self.arm(cx, uid);
        self.after_sidecar(cx, uid);
        self.restart(cx, uid);
        let Some(life) = self.pods.get_mut(&uid).filter(|life| life.has_run_its_course()) else { return };
        life.terminating = true;
        self.stop_containers(cx, uid);
    }

    fn restart(&mut self, cx: &mut Context<'_>, uid: u64) {
        let (now, timings) = (cx.now(), cx.timings().kubelet.clone());
        let Some(life) = self.pods.get_mut(&uid) else { return };
        let policy = life.template().restart_policy;
        let mut starts = Vec::new();
        for (index, spec) in life.pod.template.containers.iter().enumerate() {
            let container = &mut life.containers[index];
            let State::Ended { at, code } = container.state else { continue };
            // A sidecar is started again whatever its pod's policy says.
            if !(spec.sidecar || restarts(policy, code)) || container.listed != container.run || container.restarting {
                continue;
            }
            let start = container.backoff.starts_at(at, now, &timings);
            container.backoff.restarted(start, &timings);
            container.restarting = true;
            starts.push((index, start.since(now)));
        }
        for (index, wait) in starts {
            let takes = cx.draw(timings.container_start);
            self.after(cx, wait + takes, Due::Starts(uid, index));
        }
    }
}

/// Whether a container that ended with `code` is started again (`ShouldContainerBeRestarted`).
pub(super) fn restarts(policy: RestartPolicy, code: u8) -> bool {
    match policy {
        RestartPolicy::Always => true,
        RestartPolicy::OnFailure => code != 0,
        RestartPolicy::Never => false,
    }
}

impl PodLife {
    /// Whether none of its containers runs or will be started again.
    fn has_run_its_course(&self) -> bool {
        let policy = self.template().restart_policy;
        let ended = |state| matches!(state, State::Ended { code, .. } if !restarts(policy, code));
        self.main_containers().all(|(container, _)| ended(container.state) && container.listed == container.run)
    }

    /// Whether a sidecar has to stay: a container that is no sidecar runs, or a sidecar that was started after it.
    pub(super) fn is_needed(&self, container: usize) -> bool {
        let spec = &self.template().containers;
        // Sidecars come first in the template.
        spec[container].sidecar && self.containers[container + 1..].iter().any(|later| later.is_running())
    }
}

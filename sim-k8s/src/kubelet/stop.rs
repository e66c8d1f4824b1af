//! Containers are stopped, and what is left of their pod is taken down (pkg/kubelet/kubelet.go, `SyncTerminatingPod`,
//! `SyncTerminatedPod`; kuberuntime/kuberuntime_container.go, `killContainer`).

use sim_core::engine::time::Duration;

use crate::agent::{Context, Notice};

use super::hooks::Hook;
use super::pod::{Stage, State, Stop};
use super::start::unwiring;
use super::{Due, Kubelet, Run};

/// What a container has at least between its stop signal and its end, in seconds (`minimumGracePeriodInSeconds`).
const MIN_GRACE: u64 = 2;
/// The exit code of a process that SIGKILL ended.
const KILLED: u8 = 128 + 9;

impl Kubelet {
    /// A pod is to end, its containers within `grace` each; a second is the least (`calculateEffectiveGracePeriod`).
    /// Asking again changes nothing, not even for a shorter grace (`SyncTerminatingPod` is not interrupted).
    pub(super) fn begin_stop(&mut self, cx: &mut Context<'_>, uid: u64, grace: Duration) {
        let Some(life) = self.pods.get_mut(&uid) else { return };
        if std::mem::replace(&mut life.terminating, true) {
            return self.finish_if_over(cx, uid);
        }
        life.grace = grace.max(Duration::from_secs(1));
        // Plugins are not interrupted.
        if life.stage != Stage::Wiring {
            self.stop_containers(cx, uid);
        }
    }

    /// All at once, each with the whole grace period.
    pub(super) fn stop_containers(&mut self, cx: &mut Context<'_>, uid: u64) {
        let Some(life) = self.pods.get_mut(&uid) else { return };
        life.stage = Stage::Stopping;
        let grace = life.grace;
        let running = (0..life.containers.len()).filter(|index| life.containers[*index].is_running());
        // One that is being stopped already goes on as it began.
        let running: Vec<Run> =
            running.filter(|index| life.containers[*index].stop.is_none()).map(|index| life.run(index)).collect();
        running.into_iter().for_each(|run| self.stop_container(cx, run, grace));
        self.containers_gone(cx, uid);
    }

    /// preStop, then the stop signal, then the end.
    pub(super) fn stop_container(&mut self, cx: &mut Context<'_>, run: Run, grace: Duration) {
        let now = cx.now();
        let Some(life) = self.pods.get_mut(&run.uid) else { return };
        let hook = life.template().containers[run.container].lifecycle.pre_stop.clone();
        let Some(container) = life.in_run(run) else { return };
        container.stop = Some(Stop { since: now, left: grace.as_secs(), waits: false });
        match hook.filter(|_| grace.as_secs() > 0) {
            Some(hook) => self.run_hook(cx, run, Hook::PreStop, &hook, Some(grace)),
            None => self.take_turn(cx, run),
        }
    }

    /// The preStop hook is over: its whole seconds are subtracted. Sidecars wait for those that need them.
    pub(super) fn take_turn(&mut self, cx: &mut Context<'_>, run: Run) {
        let now = cx.now();
        let Some(life) = self.pods.get_mut(&run.uid) else { return };
        let needed = life.stage == Stage::Stopping && life.is_needed(run.container);
        let Some(stop) = life.in_run(run).and_then(|container| container.stop.as_mut()) else { return };
        stop.left = stop.left.saturating_sub(now.since(stop.since).as_secs());
        stop.since = now;
        if needed && stop.left > 0 {
            stop.waits = true;
            let left = Duration::from_secs(stop.left);
            return self.after(cx, left, Due::TurnOver(run));
        }
        self.signal(cx, run);
    }

    /// A sidecar's turn has come, or its patience has run out (kuberuntime/kuberuntime_termination_order.go).
    pub(super) fn turn_over(&mut self, cx: &mut Context<'_>, run: Run) {
        let now = cx.now();
        let stop = self.pods.get_mut(&run.uid).and_then(|life| life.in_run(run)?.stop.as_mut());
        let Some(stop) = stop.filter(|stop| stop.waits) else { return };
        stop.waits = false;
        stop.left = stop.left.saturating_sub(now.since(stop.since).as_secs());
        self.signal(cx, run);
    }

    fn signal(&mut self, cx: &mut Context<'_>, run: Run) {
        let stop = self.pods.get_mut(&run.uid).and_then(|life| life.in_run(run)?.stop);
        let (Some(stop), Some(container)) = (stop, self.reference(run)) else { return };
        cx.tell(Notice::Stop(container));
        self.after(cx, Duration::from_secs(stop.left.max(MIN_GRACE)), Due::GraceOver(run));
    }

    /// SIGKILL.
    pub(super) fn grace_over(&mut self, cx: &mut Context<'_>, run: Run) {
        if self.pods.get_mut(&run.uid).and_then(|life| life.in_run(run)).is_none() {
            return;
        }
        if let Some(container) = self.reference(run) {
            cx.tell(Notice::Killed(container));
        }
        self.exited(cx, run.uid, run.container, KILLED);
    }

    /// A container has ended, whyever.
    pub(super) fn exited(&mut self, cx: &mut Context<'_>, uid: u64, container: usize, code: u8) {
        let now = cx.now();
        let Some(life) = self.pods.get_mut(&uid) else { return };
        let Some(state) = life.containers.get_mut(container).filter(|state| state.is_running()) else { return };
        state.state = State::Ended { at: now, code };
        let stopped = state.stop.take();
        if life.stage == Stage::Stopping {
            let turn = |index: &usize| {
                let waits = life.containers[*index].stop.is_some_and(|stop| stop.waits);
                waits && life.containers[*index].is_running() && !life.is_needed(*index)
            };
            let turn: Vec<Run> = (0..life.containers.len()).filter(turn).map(|index| life.run(index)).collect();
            turn.into_iter().for_each(|run| self.turn_over(cx, run));
            self.containers_gone(cx, uid);
        } else if stopped.is_some() {
            // The kubelet stopped it to start it again, and waited for it.
            life.containers[container].listed = life.containers[container].run;
            self.sync(cx, uid);
        } else {
            self.relist(cx, Due::Relist(uid));
        }
    }

    /// Once no container runs, the sandbox goes.
    fn containers_gone(&mut self, cx: &mut Context<'_>, uid: u64) {
        let Some(life) = self.pods.get_mut(&uid) else { return };
        if life.stage != Stage::Stopping || life.containers.iter().any(super::pod::ContainerLife::is_running) {
            return;
        }
        life.stage = Stage::TearingDown;
        life.workers.clear();
        let has_sandbox = life.sandbox.is_some();
        self.end_tries_of(cx, uid);
        if has_sandbox {
            let takes = cx.timings().kubelet.sandbox_stop;
            let takes = cx.draw(takes);
            self.after(cx, takes, Due::SandboxStops(uid));
        } else {
            self.sandbox_gone(cx, uid);
        }
    }

    /// CNI DEL.
    pub(super) fn take_down_network(&mut self, cx: &mut Context<'_>, uid: u64) {
        let (Some(life), Some(network)) = (self.pods.get_mut(&uid), &self.network) else {
            return self.sandbox_gone(cx, uid);
        };
        life.wiring = unwiring(life, self.config.netns, &network.bridge).into();
        let takes = cx.timings().kubelet.cni_del;
        self.wire(cx, uid, takes);
    }

    /// The netns goes, and the pod's last status is told; then, if it was to be deleted, its object.
    pub(super) fn sandbox_gone(&mut self, cx: &mut Context<'_>, uid: u64) {
        self.drop_sandbox(cx, uid);
        let Some(life) = self.pods.get_mut(&uid) else { return };
        life.stage = Stage::Over;
        self.report(cx, uid);
        self.finish_if_over(cx, uid);
    }

    fn finish_if_over(&mut self, cx: &mut Context<'_>, uid: u64) {
        let over = self.pods.get(&uid).is_some_and(|life| life.stage == Stage::Over && life.pod.is_terminating());
        if over {
            let takes = cx.timings().kubelet.volumes;
            let takes = cx.draw(takes);
            self.after(cx, takes, Due::Finished(uid));
        }
        self.forget_if_over(uid);
    }

    /// Nothing is kept of a pod that has ended and whose object is gone.
    pub(super) fn forget_if_over(&mut self, uid: u64) {
        if self.pods.get(&uid).is_some_and(|life| life.stage == Stage::Over && life.object_gone) {
            self.pods.remove(&uid);
        }
    }
}

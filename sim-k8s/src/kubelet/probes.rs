//! Probes are tried: as packets from the node's netns to the pod, with the kubelet's timeouts (pkg/kubelet/prober/prober.go).

use sim_core::engine::arena::SocketId;
use sim_core::engine::time::{Duration, Instant};
use sim_core::netns::socket::Socket;

use crate::agent::Context;
use crate::api::{Container, Handler, Probe};
use crate::timings::Span;

use super::attempt::{self, Attempt};
use super::hooks::Hook;
use super::pod::PodLife;
use super::worker::{Outcome, Purpose, Worker};
use super::{Due, Kubelet, Run};

/// A connection of a probe or hook.
#[derive(Clone, Debug)]
pub(super) struct Try {
    pub(super) run: Run,
    pub(super) by: For,
    pub(super) attempt: Attempt,
}

/// Who waits for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum For {
    /// The worker with this index.
    Worker(usize),
    Hook(Hook),
}

fn probe(container: &Container, purpose: Purpose) -> Option<&Probe> {
    match purpose {
        Purpose::Startup => container.startup_probe.as_ref(),
        Purpose::Liveness => container.liveness_probe.as_ref(),
        Purpose::Readiness => container.readiness_probe.as_ref(),
    }
}

impl Kubelet {
    /// The workers of a pod that is taken up (`AddPod`).
    pub(super) fn add_workers(&self, cx: &mut Context<'_>, life: &mut PodLife) {
        let (now, template) = (cx.now(), life.pod.template.clone());
        for (index, container) in template.containers.iter().enumerate() {
            for purpose in [Purpose::Startup, Purpose::Readiness, Purpose::Liveness] {
                let Some(probe) = probe(container, purpose) else { continue };
                let wait = || cx.draw(Span { from: Duration::ZERO, to: probe.period });
                life.workers.push((index, Worker::new(purpose, probe, now, now.since(self.born), wait)));
            }
        }
    }

    /// Sets the timers of the workers whose ticks can come to anything.
    pub(super) fn arm(&mut self, cx: &mut Context<'_>, uid: u64) {
        let now = cx.now();
        let Some(life) = self.pods.get_mut(&uid) else { return };
        let mut ticks = Vec::new();
        for index in 0..life.workers.len() {
            let seen = life.seen(life.workers[index].0);
            let worker = &mut life.workers[index].1;
            if worker.timer == Instant::NEVER && worker.ticks(seen) {
                worker.timer = worker.next_tick(now);
                ticks.push((index, worker.timer));
            }
        }
        ticks.into_iter().for_each(|(index, at)| self.at(cx, at, Due::Tick(uid, index)));
    }

    pub(super) fn tick(&mut self, cx: &mut Context<'_>, uid: u64, worker: usize) {
        let Some((_, state)) = self.pods.get_mut(&uid).and_then(|life| life.workers.get_mut(worker)) else { return };
        state.timer = Instant::NEVER;
        self.try_probe(cx, uid, worker);
        self.arm(cx, uid);
    }

    /// A status sync found containers that have started and are not ready: their probe is tried at once
    /// (`UpdatePodStatus`, prober_manager.go).
    pub(super) fn ask_for_readiness(&mut self, cx: &mut Context<'_>, uid: u64) {
        let Some(life) = self.pods.get(&uid) else { return };
        let waits = |(_, (container, worker)): &(usize, &(usize, Worker))| {
            let (state, spec) = (&life.containers[*container], &life.template().containers[*container]);
            worker.purpose == Purpose::Readiness && state.is_started(spec) && !state.is_ready(spec)
        };
        let asked: Vec<usize> = life.workers.iter().enumerate().filter(waits).map(|(index, _)| index).collect();
        asked.into_iter().for_each(|worker| self.try_probe(cx, uid, worker));
    }

    fn try_probe(&mut self, cx: &mut Context<'_>, uid: u64, worker: usize) {
        let now = cx.now();
        let Some(life) = self.pods.get_mut(&uid) else { return };
        let Some(container) = life.workers.get(worker).map(|(container, _)| *container) else { return };
        let (seen, run, ip) = (life.seen(container), life.run(container), life.ip());
        let state = &mut life.workers[worker].1;
        if state.trying {
            state.again = true;
            return;
        }
        if !state.is_due(seen, now) {
            return;
        }
        state.trying = true;
        let spec = life.pod.template.clone();
        let Some(probe) = probe(&spec.containers[container], life.workers[worker].1.purpose) else { return };
        let Some(to) = ip.and_then(|ip| attempt::target(&probe.handler, ip)) else {
            let takes = if let Handler::Exec(takes) = probe.handler { takes } else { Duration::ZERO };
            let ends = Due::ExecEnded(run, worker, takes <= probe.timeout);
            return self.after(cx, takes.min(probe.timeout), ends);
        };
        match Attempt::begin(cx.world(), self.config.netns, &probe.handler, to) {
            Ok(attempt) => self.watch_try(cx, Try { run, by: For::Worker(worker), attempt }, Some(probe.timeout)),
            Err(_) => self.after(cx, Duration::ZERO, Due::ExecEnded(run, worker, false)),
        }
    }

    /// Waits for what comes of a connection, at most for `limit`.
    pub(super) fn watch_try(&mut self, cx: &mut Context<'_>, attempt: Try, limit: Option<Duration>) {
        let socket = attempt.attempt.socket;
        cx.own(self.config.netns, Socket::Tcp(socket));
        self.tries.insert(socket, attempt);
        if let Some(limit) = limit {
            self.after(cx, limit, Due::TooLong(socket));
        }
    }

    /// Something happened to a connection.
    pub(super) fn woken(&mut self, cx: &mut Context<'_>, socket: SocketId) {
        let Some(attempt) = self.tries.get_mut(&socket) else { return };
        if let Some(ok) = attempt.attempt.woken(cx.world(), self.config.netns) {
            self.end_try(cx, socket, ok);
        }
    }

    /// A try has ended, if it had not before.
    pub(super) fn end_try(&mut self, cx: &mut Context<'_>, socket: SocketId, ok: bool) {
        let Some(Try { run, by, .. }) = self.close_try(cx, socket) else { return };
        match by {
            For::Worker(worker) => self.tried(cx, run, worker, ok),
            For::Hook(hook) => self.hook_over(cx, run, hook, ok),
        }
    }

    fn close_try(&mut self, cx: &mut Context<'_>, socket: SocketId) -> Option<Try> {
        let attempt = self.tries.remove(&socket)?;
        cx.disown(self.config.netns, Socket::Tcp(socket));
        cx.world().tcp_close(self.config.netns, socket);
        Some(attempt)
    }

    /// Nobody waits any more for the tries of a pod.
    pub(super) fn end_tries_of(&mut self, cx: &mut Context<'_>, uid: u64) {
        let of_pod = self.tries.iter().filter(|(_, attempt)| attempt.run.uid == uid);
        let of_pod: Vec<SocketId> = of_pod.map(|(socket, _)| *socket).collect();
        for socket in of_pod {
            self.close_try(cx, socket);
        }
    }

    /// A try of a worker has ended: if that changes what the probe says, the kubelet acts.
    pub(super) fn tried(&mut self, cx: &mut Context<'_>, run: Run, worker: usize, ok: bool) {
        let Some(life) = self.pods.get_mut(&run.uid) else { return };
        let Some((_, state)) = life.workers.get_mut(worker) else { return };
        state.trying = false;
        let again = std::mem::take(&mut state.again);
        let purpose = state.purpose;
        let changed = state.tried(run.run, if ok { Outcome::Success } else { Outcome::Failure });
        if let Some(outcome) = changed {
            self.said(cx, run, purpose, outcome);
        }
        if again {
            self.try_probe(cx, run.uid, worker);
        }
    }

    fn said(&mut self, cx: &mut Context<'_>, run: Run, purpose: Purpose, outcome: Outcome) {
        let Some(life) = self.pods.get_mut(&run.uid) else { return };
        let spec = &life.pod.template.containers[run.container];
        let grace = probe(spec, purpose).and_then(|probe| probe.grace).unwrap_or(life.template().grace);
        let Some(container) = life.in_run(run) else { return };
        match (purpose, outcome) {
            (Purpose::Readiness, outcome) => container.readiness_passed = outcome == Outcome::Success,
            (Purpose::Startup, Outcome::Success) => container.startup_passed = true,
            (Purpose::Liveness, Outcome::Success) => return,
            (Purpose::Startup | Purpose::Liveness, Outcome::Failure) => {
                if container.stop.is_none() {
                    self.stop_container(cx, run, grace);
                }
                return;
            }
        }
        self.sync(cx, run.uid);
    }
}

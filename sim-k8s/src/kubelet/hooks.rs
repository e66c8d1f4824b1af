//! postStart and preStop (pkg/kubelet/lifecycle/handlers.go).

use sim_core::engine::time::Duration;

use crate::agent::Context;
use crate::api::Handler;

use super::attempt::{self, Attempt};
use super::probes::{For, Try};
use super::{Due, Kubelet, Run};

/// Which of a container's hooks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Hook {
    PostStart,
    PreStop,
}

impl Kubelet {
    /// Runs a hook, at most for `limit`; then [`Self::hook_over`].
    pub(super) fn run_hook(
        &mut self,
        cx: &mut Context<'_>,
        run: Run,
        hook: Hook,
        handler: &Handler,
        limit: Option<Duration>,
    ) {
        let target = self.pods.get(&run.uid).and_then(|life| attempt::target(handler, life.ip()?));
        let (Some(to), false) = (target, matches!(handler, Handler::TcpSocket { .. })) else {
            // Kubernetes knows no TCP hook: it fails at once.
            let takes = match handler {
                Handler::Exec(takes) | Handler::Sleep(takes) => *takes,
                _ => Duration::ZERO,
            };
            let takes = limit.map_or(takes, |limit| takes.min(limit));
            let ok = !matches!(handler, Handler::TcpSocket { .. });
            return self.after(cx, takes, Due::HookOver(run, hook, ok));
        };
        match Attempt::begin(cx.world(), self.config.netns, handler, to) {
            Ok(attempt) => self.watch_try(cx, Try { run, by: For::Hook(hook), attempt }, limit),
            Err(_) => self.after(cx, Duration::ZERO, Due::HookOver(run, hook, false)),
        }
    }

    /// A hook has ended. A container whose postStart hook failed is stopped; whether preStop failed changes nothing.
    pub(super) fn hook_over(&mut self, cx: &mut Context<'_>, run: Run, hook: Hook, ok: bool) {
        let Some(life) = self.pods.get_mut(&run.uid) else { return };
        let grace = life.template().grace;
        let Some(container) = life.in_run(run) else { return };
        match hook {
            Hook::PreStop => self.take_turn(cx, run),
            // It is being stopped already.
            Hook::PostStart if container.stop.is_some() => {}
            Hook::PostStart => {
                if !ok {
                    self.stop_container(cx, run, grace);
                }
                self.has_started(cx, run.uid, run.container);
            }
        }
    }
}

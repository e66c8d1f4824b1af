//! A pod is brought up: sandbox, network, containers one after the other.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use sim_core::engine::arena::NetnsId;
use sim_core::engine::time::Duration;

use crate::agent::{Context, Notice};
use crate::api::Pod;
use crate::cni::{Bridge, PodPort, PortMapping, Portmap, SandboxId, Wiring};
use crate::command::{Command, CommandFailed};
use crate::timings::Span;

use super::hooks::Hook;
use super::node::BridgeState;
use super::pod::{PodLife, Sandbox, Stage, State};
use super::{Due, Kubelet};

impl Kubelet {
    /// A pod is seen for the first time: its probes' workers begin, its sandbox is made.
    pub(super) fn take_up(&mut self, cx: &mut Context<'_>, pod: Arc<Pod>) {
        let (uid, host_network) = (pod.meta.uid, pod.template.host_network);
        let already_over = pod.is_terminating();
        let mut life = PodLife::new(pod, cx.now());
        self.add_workers(cx, &mut life);
        if host_network {
            life.reported.ips = self.config.node.internal_ips.clone();
        }
        self.pods.insert(uid, life);
        if already_over {
            return;
        }
        self.report(cx, uid);
        if host_network || self.network.is_some() {
            self.make_sandbox(cx, uid);
        }
    }

    pub(super) fn make_sandbox(&mut self, cx: &mut Context<'_>, uid: u64) {
        let Some(life) = self.pods.get_mut(&uid) else { return };
        life.stage = Stage::Sandbox;
        let takes = cx.timings().kubelet.sandbox;
        let takes = cx.draw(takes);
        self.after(cx, takes, Due::Sandbox(uid));
    }

    /// The sandbox stands: it gets a netns, and the plugins make its network (CNI ADD).
    pub(super) fn make_network(&mut self, cx: &mut Context<'_>, uid: u64) {
        let Some(life) = self.pods.get_mut(&uid).filter(|life| life.stage == Stage::Sandbox) else { return };
        // Two pods of one name have two identities.
        let pod = format!("{}_{uid}", life.pod.key.name);
        let id = SandboxId::new(&life.pod.key.namespace, &pod, life.attempts);
        life.attempts += 1;
        if life.template().host_network {
            let (netns, ips) = (self.config.netns, self.config.node.internal_ips.clone());
            life.sandbox = Some(Sandbox { id, netns, ips, own_netns: false });
            life.stage = Stage::Starting(0);
            return self.next_step(cx, uid);
        }
        let Some(network) = &mut self.network else { return };
        let name = life.pod.key.to_string();
        // A pod of that name may still be on its way out.
        let name = if cx.world().netns_id(&name).is_none() { name } else { format!("{name}#{uid}") };
        let owner = id.to_string();
        let allocated: Result<Vec<_>, _> = network.addresses.iter_mut().map(|one| one.allocate(&owner)).collect();
        let (netns, ips) = match (allocated, cx.world().add_netns_beside(self.config.netns, &name)) {
            (Ok(ips), Ok(netns)) => (netns, ips),
            (Err(why), Ok(netns)) => {
                network.addresses.iter_mut().for_each(|one| one.release(&owner));
                cx.world().remove_netns(netns).expect("it was just made");
                return self.network_failed(cx, uid, why.to_string());
            }
            (_, Err(errno)) => return self.network_failed(cx, uid, format!("no netns: {errno}")),
        };
        life.sandbox = Some(Sandbox { id: id.clone(), netns, ips: ips.clone(), own_netns: true });
        life.stage = Stage::Wiring;
        let Wiring { node, pod } = network.bridge.add(&PodPort { ips: ips.clone(), netns: name });
        let host = self.config.netns;
        let ports = portmaps(life, &id, &ips, &network.bridge).map(|portmap| (host, portmap.add()));
        life.wiring = [(host, node), (netns, pod)].into_iter().chain(ports).collect();
        match network.bridge_state {
            BridgeState::Made => {}
            BridgeState::ForPod(_) => return network.waiting.push(uid),
            BridgeState::Absent => {
                network.bridge_state = BridgeState::ForPod(uid);
                life.wiring.push_front((host, network.bridge.setup()));
            }
        }
        let takes = cx.timings().kubelet.cni_add;
        self.wire(cx, uid, takes);
    }

    /// Carries out what is to be done for a pod's network; all of it together takes a time of `span`.
    pub(super) fn wire(&mut self, cx: &mut Context<'_>, uid: u64, span: Span) {
        let takes = cx.draw(span);
        let Some(life) = self.pods.get_mut(&uid) else { return };
        let commands: usize = life.wiring.iter().map(|(_, commands)| commands.len()).sum();
        life.each = Duration::from_nanos(takes.as_nanos() / (commands as u64).max(1));
        self.wire_next(cx, uid);
    }

    fn wire_next(&mut self, cx: &mut Context<'_>, uid: u64) {
        let Some(life) = self.pods.get_mut(&uid) else { return };
        let (each, next) = (life.each, life.wiring.pop_front());
        match (next, life.stage) {
            (Some((netns, commands)), _) => {
                let token = self.expect(Due::Wired(uid));
                cx.exec(netns, commands, each, token);
            }
            (None, Stage::TearingDown) => self.sandbox_gone(cx, uid),
            (None, _) => {
                life.stage = Stage::Starting(0);
                self.next_step(cx, uid);
            }
        }
    }

    /// A part of a pod's network was made, or taken down.
    pub(super) fn wired(&mut self, cx: &mut Context<'_>, uid: u64, result: Result<(), CommandFailed>) {
        self.bridge_made(cx, uid, result.is_ok());
        let Some(life) = self.pods.get_mut(&uid) else { return };
        match (life.stage, result) {
            (Stage::Wiring, _) if life.terminating => self.stop_containers(cx, uid),
            (Stage::Wiring, Err(why)) => self.network_failed(cx, uid, why.to_string()),
            // What DEL cannot find is gone already.
            (Stage::Wiring | Stage::TearingDown, _) => self.wire_next(cx, uid),
            _ => {}
        }
    }

    /// If `uid` was the first pod and its first part is over, the bridge is there, or the next pod has to try.
    fn bridge_made(&mut self, cx: &mut Context<'_>, uid: u64, made: bool) {
        let Some(network) = self.network.as_mut().filter(|network| network.bridge_state == BridgeState::ForPod(uid))
        else {
            return;
        };
        network.bridge_state = if made { BridgeState::Made } else { BridgeState::Absent };
        let takes = cx.timings().kubelet.cni_add;
        for uid in std::mem::take(&mut network.waiting) {
            if self.pods.get(&uid).is_some_and(|life| life.stage == Stage::Wiring) {
                self.wire(cx, uid, takes);
            }
        }
    }

    /// What was made is taken back, and everything tried again later.
    fn network_failed(&mut self, cx: &mut Context<'_>, uid: u64, why: String) {
        let Some(life) = self.pods.get_mut(&uid) else { return };
        life.wiring.clear();
        life.stage = Stage::Sandbox;
        life.message = Some(why);
        self.drop_sandbox(cx, uid);
        self.report(cx, uid);
        let retry = cx.timings().kubelet.retry;
        let retry = cx.draw(retry);
        self.after(cx, retry, Due::Sandbox(uid));
    }

    /// Removes a pod's netns, if it has one of its own, and gives its address back.
    pub(super) fn drop_sandbox(&mut self, cx: &mut Context<'_>, uid: u64) {
        let sandbox = self.pods.get_mut(&uid).and_then(|life| life.sandbox.take());
        if let Some(Sandbox { id, netns, .. }) = sandbox.filter(|sandbox| sandbox.own_netns) {
            cx.world().remove_netns(netns).expect("a kubelet alone removes its pods' netns");
            if let Some(network) = &mut self.network {
                network.addresses.iter_mut().for_each(|one| one.release(&id.to_string()));
            }
        }
    }

    /// Starts the next container, init containers first.
    pub(super) fn next_step(&mut self, cx: &mut Context<'_>, uid: u64) {
        let Some(life) = self.pods.get_mut(&uid) else { return };
        let Stage::Starting(step) = life.stage else { return };
        life.message = None;
        let template = life.pod.template.clone();
        let takes = cx.timings().kubelet.container_start;
        if let Some(init) = template.init.get(step) {
            let takes = cx.draw(takes) + init.runs;
            return self.after(cx, takes, Due::InitEnded(uid));
        }
        let container = step - template.init.len();
        if container < template.containers.len() {
            let takes = cx.draw(takes);
            return self.after(cx, takes, Due::Starts(uid, container));
        }
        life.stage = Stage::Running;
        self.relist(cx, Due::Relist(uid));
    }

    /// The end of an init container is found at the next listing.
    pub(super) fn init_ended(&mut self, cx: &mut Context<'_>, uid: u64) {
        let Some(life) = self.pods.get_mut(&uid) else { return };
        if let Stage::Starting(step) = &mut life.stage {
            *step += 1;
            self.relist(cx, Due::NextStep(uid));
        }
    }

    /// A container starts, for the first time or again.
    pub(super) fn starts(&mut self, cx: &mut Context<'_>, uid: u64, container: usize) {
        let now = cx.now();
        let Some(life) = self.pods.get_mut(&uid).filter(|life| life.may_start()) else { return };
        let Some(Sandbox { netns, ips, .. }) = life.sandbox.clone() else { return };
        let state = &mut life.containers[container];
        state.state = State::Running { since: now };
        state.run += 1;
        (state.startup_passed, state.readiness_passed, state.restarting) = (false, false, false);
        let (run, hook) = (life.run(container), life.template().containers[container].lifecycle.post_start.clone());
        if let Some(container) = self.reference(run) {
            cx.tell(Notice::Started { container, netns, ips });
        }
        match hook {
            Some(handler) => self.run_hook(cx, run, Hook::PostStart, &handler, None),
            None => self.has_started(cx, uid, container),
        }
    }

    /// A container has started, and its postStart hook is over: the next one may. After a sidecar that is only decided once
    /// a listing has found it.
    pub(super) fn has_started(&mut self, cx: &mut Context<'_>, uid: u64, container: usize) {
        let Some(life) = self.pods.get_mut(&uid) else { return };
        let sidecar = life.template().containers[container].sidecar;
        match &mut life.stage {
            Stage::Starting(step) if !sidecar => {
                *step += 1;
                self.next_step(cx, uid);
            }
            Stage::Starting(_) | Stage::Running => self.relist(cx, Due::Relist(uid)),
            _ => {}
        }
    }

    /// If the pod waits for a sidecar to have started and it has, the next container may.
    pub(super) fn after_sidecar(&mut self, cx: &mut Context<'_>, uid: u64) {
        let Some(life) = self.pods.get_mut(&uid) else { return };
        let Stage::Starting(step) = life.stage else { return };
        let Some(container) = step.checked_sub(life.template().init.len()) else { return };
        let spec = &life.pod.template.containers[container];
        if spec.sidecar && life.containers[container].is_started(spec) {
            life.stage = Stage::Starting(step + 1);
            self.next_step(cx, uid);
        }
    }

    /// What is due when the containers of the node have been listed the next time (pkg/kubelet/pleg/generic.go).
    pub(super) fn relist(&mut self, cx: &mut Context<'_>, due: Due) {
        let (every, takes) = (cx.timings().kubelet.relist, cx.timings().kubelet.relist_takes);
        let phase = self.born + self.relist_phase;
        let past = cx.now().since(phase).as_nanos() / every.as_nanos().max(1);
        let at = phase + every.saturating_mul(past + 1) + cx.draw(takes);
        self.at(cx, at, due);
    }
}

/// The host ports of a pod, for each of its addresses; nothing if it has none.
fn portmaps<'a>(
    life: &PodLife,
    sandbox: &'a SandboxId,
    ips: &'a [IpAddr],
    bridge: &'a Bridge,
) -> impl Iterator<Item = Portmap> + use<'a> {
    let ports = life.template().containers.iter().flat_map(|container| &container.ports);
    let mappings = ports.filter_map(|port| {
        let (protocol, host_ip) = (port.protocol, port.host_ip);
        Some(PortMapping { host_port: port.host_port?, container_port: port.port, protocol, host_ip })
    });
    let mappings: Vec<_> = mappings.collect();
    let of_node = ips.iter().zip(&bridge.gateways).filter(|_| !mappings.is_empty()).collect::<Vec<_>>();
    of_node.into_iter().map(move |(ip, gateway)| {
        let pod = IpNet::new_assert(*ip, gateway.prefix_len());
        Portmap { sandbox: sandbox.clone(), pod, mappings: mappings.clone() }
    })
}

/// Commands that take a pod's network down again.
pub(super) fn unwiring(life: &PodLife, node: NetnsId, bridge: &Bridge) -> Vec<(NetnsId, Vec<Command>)> {
    let Some(sandbox) = life.sandbox.as_ref().filter(|sandbox| sandbox.own_netns) else { return Vec::new() };
    // Plugins are called in reverse.
    let ports = portmaps(life, &sandbox.id, &sandbox.ips, bridge).map(|portmap| (node, vec![portmap.remove()]));
    ports.chain([(sandbox.netns, bridge.remove())]).collect()
}

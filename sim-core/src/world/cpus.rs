//! Machines: netns that share CPUs and a kernel.
//!
//! A CPU does one thing at a time. While the walk of one packet is suspended, what comes for the same CPU waits behind it,
//! so packets of one CPU never overtake each other; those of another CPU pass. With one CPU nothing is ever suspended.
//!
//! | a packet that | runs on |
//! | --- | --- |
//! | comes by a wire | the CPU that serves its queue of the device: chosen by a hash of its flow (RSS) |
//! | is handed on inside the machine: veth, `lo`, decapsulated | the CPU where it was sent (`netif_rx`, without RPS) |
//! | an application, an agent or a timer sends | any: the scheduler moves tasks as it likes, so the seed draws |
//!
//! A system call cannot wait here. The CPU that is drawn for one first comes to the end of all that waits for it.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Event, World};
use crate::engine::arena::{CpuId, DevId, MachineId, NetnsId};
use crate::engine::errno::Errno;
use crate::engine::rng::Stream;
use crate::engine::trail::{DropPlace, DropReason};
use crate::kernel::Kernel;
use crate::walk::{self, Stage, Suspended};
use crate::wire::packet::Packet;

/// Frames that wait for one CPU at most (`net.core.netdev_max_backlog`).
const BACKLOG_MAX: usize = 1000;

/// All machines and their CPUs.
#[derive(Clone, Debug, Default)]
pub(super) struct Machines {
    machines: Vec<Machine>,
    cpus: Vec<Cpu>,
}

#[derive(Clone, Debug)]
struct Machine {
    kernel: Kernel,
    /// An SCTP socket was opened on it.
    speaks_sctp: bool,
    /// Its CPUs have consecutive ids.
    first: CpuId,
    count: u32,
    /// On which CPU tasks run.
    scheduler: Stream,
    /// When walks are suspended, and for how long.
    preemption: Stream,
}

#[derive(Clone, Debug)]
struct Cpu {
    machine: MachineId,
    /// A walk that is to go on, and in which netns: its stages, the next one last.
    suspended: Option<(NetnsId, Vec<Stage>)>,
    /// Frames that wait behind it.
    backlog: VecDeque<(NetnsId, DevId, Packet)>,
    /// Whether an event that resumes it is on its way.
    awaited: bool,
}

impl Cpu {
    fn is_busy(&self) -> bool {
        self.suspended.is_some() || !self.backlog.is_empty()
    }
}

impl Machines {
    /// The draws of preemption on the machine of `cpu`.
    pub(super) fn preemption(&mut self, cpu: CpuId) -> &mut Stream {
        let machine = self.cpus[cpu.index()].machine;
        &mut self.machines[machine.index()].preemption
    }

    fn cpu(&mut self, cpu: CpuId) -> &mut Cpu {
        &mut self.cpus[cpu.index()]
    }

    /// A machine, if it has several CPUs.
    fn several(&mut self, machine: MachineId) -> Option<&mut Machine> {
        self.machines.get_mut(machine.index()).filter(|machine| machine.count > 1)
    }
}

impl World {
    /// A new machine with `cpus` CPUs, 0 standing for 1, and this kernel.
    pub fn add_machine(&mut self, cpus: u16, kernel: Kernel) -> MachineId {
        let Machines { machines, cpus: all } = &mut self.machines;
        let id = MachineId(machines.len() as u32);
        let (first, count) = (CpuId(all.len() as u32), u32::from(cpus.max(1)));
        let stream = |purpose| self.seed.stream(purpose, u64::from(id.0));
        let (scheduler, preemption) = (stream("scheduler"), stream("preemption"));
        machines.push(Machine { kernel, speaks_sctp: false, first, count, scheduler, preemption });
        let cpu = Cpu { machine: id, suspended: None, backlog: VecDeque::new(), awaited: false };
        all.extend((0..count).map(|_| cpu.clone()));
        id
    }

    /// Adds a netns on a machine, with nothing but `lo`. (One that [`Self::add_netns`] adds has a machine of its own, with
    /// one CPU and the newest kernel.)
    ///
    /// # Errors
    /// `EEXIST` if the name is taken, `ENOENT` if there is no such machine.
    pub fn add_netns_on(&mut self, machine: MachineId, name: &str) -> Result<NetnsId, Errno> {
        let Machine { kernel, speaks_sctp, .. } = *self.machines.machines.get(machine.index()).ok_or(Errno::ENOENT)?;
        let id = self.add_netns(name)?;
        let netns = self.netns_mut(id)?;
        netns.machine = Some(machine);
        netns.set_kernel(kernel);
        if speaks_sctp {
            netns.sctp.load();
        }
        Ok(id)
    }

    /// The first SCTP socket of a machine loads the module: from then on all its netns speak SCTP (`inet_create`,
    /// `request_module`).
    pub(super) fn load_sctp(&mut self, netns: NetnsId) {
        let Some(first) = self.find_netns(netns).filter(|ns| !ns.sctp.is_loaded()) else { return };
        let machine = first.machine;
        if let Some(machine) = machine.and_then(|machine| self.machines.machines.get_mut(machine.index())) {
            machine.speaks_sctp = true;
        }
        for ns in self.netns.iter_mut().flatten() {
            if ns.id == netns || (machine.is_some() && ns.machine == machine) {
                Arc::make_mut(ns).sctp.load();
            }
        }
    }

    /// Adds a netns on the machine that another one is on, as `ip netns add` does.
    ///
    /// # Errors
    /// `EEXIST` if the name is taken, `ENOENT` if the other netns was removed.
    pub fn add_netns_beside(&mut self, other: NetnsId, name: &str) -> Result<NetnsId, Errno> {
        match self.find_netns(other).ok_or(Errno::ENOENT)?.machine {
            Some(machine) => self.add_netns_on(machine, name),
            None => self.add_netns(name),
        }
    }

    fn machine_of(&self, netns: NetnsId) -> Option<MachineId> {
        self.find_netns(netns)?.machine
    }

    /// The CPU that takes a received frame; `None` if there is no choice.
    pub(super) fn cpu_of_frame(&mut self, netns: NetnsId, sent_on: Option<CpuId>, packet: &Packet) -> Option<CpuId> {
        let machine = self.machine_of(netns)?;
        let Machine { first, count, .. } = *self.machines.several(machine)?;
        let here = sent_on.filter(|cpu| self.machines.cpu(*cpu).machine == machine);
        here.or_else(|| Some(CpuId(first.0 + walk::flow_hash(packet) % count)))
    }

    /// The CPU that a call in `netns` runs on, at leisure; `None` if there is no choice.
    pub(super) fn cpu_of_call(&mut self, netns: NetnsId) -> Option<CpuId> {
        let machine = self.machine_of(netns)?;
        let machine = self.machines.several(machine)?;
        let cpu = CpuId(machine.first.0 + machine.scheduler.below(machine.count));
        self.finish(cpu);
        Some(cpu)
    }

    /// A frame is received on `cpu`, or waits for it.
    pub(super) fn receive_on(&mut self, cpu: CpuId, netns: NetnsId, dev: DevId, packet: Packet) {
        let this = self.machines.cpu(cpu);
        if !this.is_busy() {
            self.receive(netns, dev, packet, Some(cpu));
        } else if this.backlog.len() < BACKLOG_MAX {
            this.backlog.push_back((netns, dev, packet));
        } else {
            self.lose_in_backlog((netns, dev, &packet), DropReason::CpuBacklog);
        }
    }

    /// Keeps the walk on `cpu` that has just been suspended, if one was.
    pub(super) fn suspend(&mut self, cpu: CpuId, netns: NetnsId) {
        let Some(Suspended { stages, wait }) = self.out.take_suspended(self.machines.preemption(cpu)) else { return };
        let this = self.machines.cpu(cpu);
        this.suspended = Some((netns, stages));
        if !std::mem::replace(&mut this.awaited, true) {
            self.queue.schedule(self.queue.now() + wait, Event::Resume(cpu));
        }
    }

    /// The time of a CPU has come.
    pub(super) fn resume(&mut self, cpu: CpuId) {
        self.machines.cpu(cpu).awaited = false;
        self.advance(cpu);
        let this = self.machines.cpu(cpu);
        if this.is_busy() && !std::mem::replace(&mut this.awaited, true) {
            self.queue.schedule(self.queue.now(), Event::Resume(cpu));
        }
    }

    /// Comes to the end of all that waits for the CPU: softirqs go before tasks.
    fn finish(&mut self, cpu: CpuId) {
        let in_syscall = std::mem::take(&mut self.out.in_syscall);
        while self.machines.cpu(cpu).is_busy() {
            self.advance(cpu);
        }
        self.out.in_syscall = in_syscall;
    }

    /// Goes on with the suspended walk, or else with the frame that waits longest.
    fn advance(&mut self, cpu: CpuId) {
        let this = self.machines.cpu(cpu);
        if let Some((netns, stages)) = this.suspended.take() {
            self.go_on(Some(cpu), netns, stages);
        } else if let Some((netns, dev, packet)) = this.backlog.pop_front() {
            self.receive(netns, dev, packet, Some(cpu));
        }
    }

    /// Goes on with a walk; what was on its way in a netns that was removed is lost.
    pub(super) fn go_on(&mut self, cpu: Option<CpuId>, netns: NetnsId, stages: Vec<Stage>) {
        if self.find_netns(netns).is_some() {
            self.walk_on(cpu, netns, |ns, ctx| walk::resume(ns, ctx, stages)).expect("the netns is there");
            return;
        }
        let now = self.now();
        for stage in &stages {
            let place = DropPlace { netns, dev: None, stage: stage.name(), reason: DropReason::DevDown };
            self.out.lose(now, stage.packet(), place);
        }
    }
}

#[cfg(test)]
mod tests;

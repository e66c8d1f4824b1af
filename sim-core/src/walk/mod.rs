//! Verbs: the stages a packet goes through inside one netns.
//!
//! ```text
//!             event                                        local socket
//!               │                                               │
//!            receive ── bridge port? ── bridge_hooks ─ switch   output ─► OUTPUT
//!               │ (PREROUTING here if bridge-nf)  │ │           │
//!           ip_receive ◄─────── to the bridge ────┘ │           │
//!               │                                   │           │
//!          PREROUTING ─► route ─► forward ─► FORWARD ─► POSTROUTING ─► resolve ─► transmit ─► event
//!                          └────► INPUT ─► deliver ─► socket, decap, ICMP answer     │ vxlan: output
//! ```
//!
//! A stage is a function from (netns, context, packet) to what comes [`Next`]. The loop in [`run`] keeps the
//! ordered worklist; drop accounting and the trace of stages live there, once; [`taps`] is what a capture gets. A call stack never leaves a
//! netns: frames for another one (or for `lo`) go to the [`Outbox`] and become events.

mod arp;
mod bridge_hooks;
mod deliver;
mod forward;
mod fragment;
mod hook;
mod icmp;
mod mcast_loop;
mod mld;
mod nd;
mod options;
mod output;
mod preempt;
mod receive;
mod redirect;
mod resolve;
mod route;
mod socket_io;
mod switch;
mod taps;
mod transmit;
mod tunnel;

use std::net::{IpAddr, Ipv6Addr};

use crate::engine::arena::{DevId, LinkId, NetnsId, SocketId};
use crate::engine::errno::Errno;
use crate::engine::rng::Stream;
use crate::engine::time::Instant;
use crate::engine::trail::{DropCounters, DropPlace, DropReason};
use crate::netfilter::conntrack::Zone;
use crate::netfilter::hooks::Hook;
use crate::netns::Netns;
use crate::netns::fib::RouteKind;
use crate::netns::neigh::NeighKey;
use crate::wire::ip::Family;
use crate::wire::packet::{Packet, PacketId};

pub(crate) use arp::apply;
pub use hook::{TraceGroup, TracedPacket};
pub(crate) use mld::begin_reports;
pub(crate) use nd::begin_dad;
use output::flow_label;
pub(crate) use preempt::{Suspended, resume};
pub(crate) use socket_io::{
    TcpError, flush_sctp, flush_tcp, sctp_connect, sctp_listen, send_icmp_echo, send_udp, take_woken, tcp_connect,
    tcp_error, udp_bind, udp_connect,
};
use taps::Taps;
pub(crate) use tunnel::flow_hash;

/// Where a routed packet goes (`struct dst_entry`, `struct rtable`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Dst {
    pub kind: RouteKind,
    pub dev: DevId,
    /// The next hop; `None` if the destination itself is on the link.
    pub via: Option<IpAddr>,
    /// Preferred source address.
    pub src: Option<IpAddr>,
    /// Largest packet towards the destination.
    pub mtu: u32,
    /// The MTU is not what routers on the way can carry: DF must not be set (`ip_mtu_locked`).
    pub mtu_locked: bool,
    /// The MSS that TCP announces, if the route says.
    pub advmss: Option<u16>,
}

/// What is called after the last function of a hook accepted (`okfn` of `NF_HOOK`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum After {
    /// PREROUTING of a routed packet: [`route::route_input`].
    Route,
    /// INPUT: [`deliver::deliver`].
    Deliver,
    /// FORWARD: [`output::output`].
    ForwardDone(Dst),
    /// OUTPUT: [`mcast_loop::output`].
    OutputDone(Dst),
    /// POSTROUTING: [`fragment::finish_output`].
    PostroutingDone(Dst),
    /// POSTROUTING of what comes back from a group: [`mcast_loop::receive_own`].
    ComeBack(DevId),
    /// PREROUTING at a bridge port, with the destination before it: [`bridge_hooks::prerouting_done`].
    BridgePrerouting { port: DevId, daddr: IpAddr },
    /// FORWARD between bridge ports: [`bridge_hooks::postrouting`].
    BridgeForward(DevId),
    /// POSTROUTING before a bridge port: [`fragment::finish_bridged`].
    BridgePostrouting(DevId),
}

/// A packet on its way through the functions of one hook (`struct nf_hook_state`).
#[derive(Clone, Debug)]
pub(crate) struct HookWalk {
    pub hook: Hook,
    /// Index of the next function.
    pub step: usize,
    pub indev: Option<DevId>,
    pub outdev: Option<DevId>,
    pub after: After,
    /// The conntrack zone the raw table chose.
    pub zone: Zone,
    /// Whose rules are asked.
    pub family: Family,
    pub packet: Packet,
}

/// A stage with what it works on.
#[derive(Clone, Debug)]
pub(crate) enum Stage {
    Receive(DevId, Packet),
    BridgeInput(DevId, Packet),
    Switch(DevId, Packet),
    BridgeForward {
        port: DevId,
        packet: Packet,
    },
    BridgeUp(DevId, Packet),
    BridgeXmit(DevId, Packet),
    ArpReceive(DevId, Packet),
    IpReceive(DevId, Family, Packet),
    Hook(HookWalk),
    Forward(Dst, Packet),
    LocalOut(Dst, Packet),
    Resolve(Dst, Packet),
    /// To a group of IPv6 that this host is in.
    ComeBack(Dst, Packet),
    Transmit(DevId, Packet),
    Encapsulate(DevId, Packet),
    /// The last lines of a trace, after those of an answer.
    TraceEnd(TraceGroup),
}

impl Stage {
    /// The stage's name, as drop reports show it.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Receive(..) => "receive",
            Self::BridgeInput(..) => "bridge",
            Self::Switch(..) => "switch",
            Self::BridgeForward { .. } => "bridge_forward",
            Self::BridgeUp(..) => "bridge_up",
            Self::BridgeXmit(..) => "bridge_xmit",
            Self::ArpReceive(..) => "arp",
            Self::IpReceive(..) => "ip_receive",
            Self::Hook(h) => match h.hook {
                Hook::Prerouting => "PREROUTING",
                Hook::Input => "INPUT",
                Hook::Forward => "FORWARD",
                Hook::Output => "OUTPUT",
                Hook::Postrouting => "POSTROUTING",
            },
            Self::Forward(..) => "forward",
            Self::LocalOut(..) => "output",
            Self::Resolve(..) => "resolve",
            Self::ComeBack(..) => "come_back",
            Self::Transmit(..) => "transmit",
            Self::Encapsulate(..) => "vxlan",
            Self::TraceEnd(..) => "trace",
        }
    }

    /// The packet it works on.
    pub(crate) fn packet(&self) -> Option<&Packet> {
        Some(match self {
            Self::Receive(_, p)
            | Self::BridgeInput(_, p)
            | Self::Switch(_, p)
            | Self::BridgeForward { packet: p, .. }
            | Self::BridgeUp(_, p)
            | Self::BridgeXmit(_, p)
            | Self::ArpReceive(_, p)
            | Self::IpReceive(_, _, p)
            | Self::Forward(_, p)
            | Self::LocalOut(_, p)
            | Self::Resolve(_, p)
            | Self::ComeBack(_, p)
            | Self::Transmit(_, p)
            | Self::Encapsulate(_, p) => p,
            Self::Hook(h) => &h.packet,
            Self::TraceEnd(_) => return None,
        })
    }
}

/// What comes after a stage.
#[derive(Debug)]
pub(crate) enum Next {
    /// One more stage.
    Go(Stage),
    /// Several, in this order, each to its end before the next (flood, fragments, a reply before the packet).
    Several(Vec<Stage>),
    /// The packet waits in a table (ARP queue, reassembly).
    Held,
    /// It reached a socket or a handler of this host.
    Delivered,
    /// It left the netns, or goes round by `lo`.
    Transmitted,
    /// It is gone.
    Drop(DropReason, Packet),
    /// It is gone, and these go out because of it.
    DropAnd(DropReason, Packet, Vec<Stage>),
}

/// Where a frame that leaves a netns goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Target {
    /// To a device, at once.
    Dev(NetnsId, DevId),
    /// Into this end of an underlay wire.
    Link(LinkId, u8),
}

/// A timer a netns asks for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Timer {
    /// The TCP table's next timer.
    Tcp,
    /// The SCTP table's next timer.
    Sctp,
    /// A neighbour's state machine.
    Neigh(NeighKey),
    /// The oldest incomplete packet.
    Fragments,
    /// The search for duplicates of an address.
    Dad(DevId, Ipv6Addr),
    /// A report of the groups a device listens to.
    Listener {
        /// The device.
        dev: DevId,
        /// How often it will be said, this time included.
        left: u8,
    },
    /// An answer for an anycast address.
    Anycast {
        /// The device it was asked for on.
        dev: DevId,
        /// The anycast address.
        target: Ipv6Addr,
        /// Who asked.
        asker: Ipv6Addr,
    },
}

/// What a walk leaves behind for the world: frames, timers, what was seen, counts. Its buffers are reused.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outbox {
    pub frames: Vec<(Target, Packet)>,
    pub timers: Vec<(Instant, Timer)>,
    pub taps: Taps,
    pub traces: Vec<TraceGroup>,
    /// Trace lines that follow once the backlog is empty (see `hook/reject.rs`).
    pub late_traces: Vec<TraceGroup>,
    /// Whether the walk was begun by a system call, not by a received frame or a timer.
    pub in_syscall: bool,
    /// The TCP socket whose `send()` has not returned: it waits for all that its segments set off on this machine.
    pub sending: Option<(NetnsId, SocketId)>,
    /// What the network said meanwhile about the size of its segments.
    pub told_late: Vec<(NetnsId, TcpError)>,
    pub drops: DropCounters,
    worklist: Worklist,
    pub hop_count: u64,
    /// The packet that OUTPUT or POSTROUTING dropped first since the last was forgotten, and what its sender is told.
    output_drop: Option<(PacketId, Errno)>,
    last_packet: u64,
    last_stamp: u64,
}

impl Outbox {
    /// A fresh packet id.
    pub(crate) fn packet_id(&mut self) -> PacketId {
        self.last_packet += 1;
        PacketId(self.last_packet)
    }

    /// Forgets what was dropped before: somebody begins to send, and will ask.
    pub(crate) fn forget_output_drop(&mut self) {
        self.output_drop = None;
    }

    /// What the sender of this packet is told at once, if OUTPUT or POSTROUTING dropped it (`nf_hook_slow`).
    pub(crate) fn take_output_drop(&mut self, id: PacketId) -> Option<Errno> {
        self.output_drop.take().filter(|(dropped, _)| *dropped == id).map(|(_, errno)| errno)
    }

    /// A fresh order stamp.
    pub(crate) fn stamp(&mut self) -> u64 {
        self.last_stamp += 1;
        self.last_stamp
    }
}

/// What a walk needs besides the netns.
pub(crate) struct Ctx<'a> {
    pub now: Instant,
    pub out: &'a mut Outbox,
    /// The draws of preemption, where another CPU may go on in between.
    pub preempt: Option<&'a mut Stream>,
}

/// Walks a packet from `first` to its end, and all that comes of it.
pub(crate) fn run(ns: &mut Netns, ctx: &mut Ctx<'_>, first: Stage) {
    let _span =
        tracing::trace_span!("walk", at = %ctx.now, netns = ns.name, packet = first.packet().map(|p| p.id.0)).entered();
    let mut worklist = preempt::take(ns, ctx);
    // At the bottom: a packet that was suspended earlier in the same call goes first.
    worklist.insert(0, first);
    go_on(ns, ctx, worklist);
}

/// Takes stages from the end of the list until none is left, or another CPU's turn comes.
fn go_on(ns: &mut Netns, ctx: &mut Ctx<'_>, mut worklist: Vec<Stage>) {
    while let Some(stage) = worklist.pop() {
        tracing::trace!(packet = stage.packet().map(|p| p.id.0), stage = stage.name());
        let (name, packet) = (stage.name(), stage.packet());
        let (dev, id) = (packet.and_then(|p| p.iif), packet.map(|p| p.id));
        // What comes back from a group is a copy: its sender does not hear of it.
        let at_output = matches!(&stage, Stage::Hook(h)
            if matches!(h.hook, Hook::Output | Hook::Postrouting) && !matches!(h.after, After::ComeBack(_)));
        let own = matches!(&stage, Stage::Hook(h) if h.indev.is_none());
        let (reason, packet) = match step(ns, ctx, stage) {
            Next::Go(stage) => {
                worklist.push(stage);
                if ctx.is_preempted(&worklist) {
                    preempt::suspend(ns, &worklist);
                    break;
                }
                continue;
            }
            Next::Several(stages) => {
                worklist.extend(stages.into_iter().rev());
                continue;
            }
            Next::Delivered => {
                if let Some(id) = id {
                    ctx.out.taps.delivered(id);
                }
                continue;
            }
            Next::Held | Next::Transmitted if ctx.softirqs_go_first(&worklist) => {
                preempt::suspend(ns, &worklist);
                break;
            }
            Next::Held | Next::Transmitted => continue,
            Next::Drop(reason, packet) => (reason, packet),
            Next::DropAnd(reason, packet, answers) => {
                worklist.extend(answers.into_iter().rev());
                (reason, packet)
            }
        };
        if at_output && own {
            output::count_discarded(ns, &packet);
        }
        // What a tunnel sends is nobody's system call, nor is an answer to the packet that was dropped first.
        if at_output && packet.nested == 0 && ctx.out.output_drop.is_none() {
            ctx.out.output_drop = id.zip(output::errno_of_drop(ns, reason, &packet));
        }
        ctx.out.lose(ctx.now, Some(&packet), DropPlace { netns: ns.id, dev, stage: name, reason });
    }
    ctx.out.worklist.0 = worklist;
    ns.conntrack.discard_tentative();
}

fn step(ns: &mut Netns, ctx: &mut Ctx<'_>, stage: Stage) -> Next {
    match stage {
        Stage::Receive(dev, packet) => receive::receive(ns, ctx, dev, packet),
        Stage::BridgeInput(port, packet) => bridge_hooks::input(ns, port, packet),
        Stage::Switch(port, packet) => switch::switch(ns, ctx, port, packet),
        Stage::BridgeForward { port, packet } => bridge_hooks::forward(ns, port, packet),
        Stage::BridgeUp(bridge, packet) => bridge_hooks::up(ns, ctx, bridge, packet),
        Stage::BridgeXmit(bridge, packet) => switch::bridge_xmit(ns, ctx, bridge, packet),
        Stage::ArpReceive(dev, packet) => arp::receive(ns, ctx, dev, packet),
        Stage::IpReceive(dev, family, packet) => receive::ip_receive(ns, ctx, dev, family, packet),
        Stage::Hook(walk) => hook::step(ns, ctx, walk),
        Stage::Forward(dst, packet) => forward::forward(ns, ctx, dst, packet),
        Stage::LocalOut(dst, packet) => output::local_out(ns, dst, packet),
        Stage::Resolve(dst, packet) => resolve::resolve(ns, ctx, dst, packet),
        Stage::ComeBack(dst, packet) => mcast_loop::back_and_out(dst, packet),
        Stage::Transmit(dev, packet) => transmit::transmit(ns, ctx, dev, packet),
        Stage::Encapsulate(dev, packet) => tunnel::encapsulate(ns, ctx, dev, packet),
        Stage::TraceEnd(group) => {
            ctx.out.traces.push(group);
            Next::Delivered
        }
    }
}

/// Continues after a hook whose functions all accepted.
fn after_hook(ns: &mut Netns, ctx: &mut Ctx<'_>, after: After, packet: Packet) -> Next {
    match after {
        After::Route => route::route_input(ns, ctx, packet),
        After::Deliver => deliver::deliver(ns, ctx, packet),
        After::ForwardDone(dst) => output::output(dst, packet),
        After::OutputDone(dst) => mcast_loop::output(ns, dst, packet),
        After::ComeBack(dev) => mcast_loop::receive_own(ctx, ns, dev, packet),
        After::PostroutingDone(dst) => fragment::finish_output(ns, ctx, dst, packet),
        After::BridgePrerouting { port, daddr } => bridge_hooks::prerouting_done(ns, port, daddr, packet),
        After::BridgeForward(port) => bridge_hooks::postrouting(ns, port, packet),
        After::BridgePostrouting(port) => fragment::finish_bridged(ns, port, packet),
    }
}

/// Counts the packets that devices took with them (`__skb_queue_purge` in net/core/neighbour.c, `neigh_flush_dev`).
pub(crate) fn count_purged(ns: &mut Netns, ctx: &mut Ctx<'_>) {
    for (dev, packet) in ns.purged.drain(..) {
        ns.conntrack.release(&packet);
        let place = DropPlace { netns: ns.id, dev: Some(dev), stage: "resolve", reason: DropReason::QueuePurge };
        ctx.out.lose(ctx.now, Some(&packet), place);
    }
}

/// A timer of the netns is due.
pub(crate) fn timer(ns: &mut Netns, ctx: &mut Ctx<'_>, timer: Timer) {
    match timer {
        Timer::Neigh(key) => resolve::neigh_timer(ns, ctx, key),
        Timer::Tcp => socket_io::tcp_timer(ns, ctx),
        Timer::Sctp => socket_io::sctp_timer(ns, ctx),
        Timer::Fragments => fragment::expire(ns, ctx),
        Timer::Dad(dev, ip) => nd::dad_timer(ns, ctx, dev, ip),
        Timer::Listener { dev, left } => mld::report(ns, ctx, dev, left),
        Timer::Anycast { dev, target, asker } => nd::answer_for_anycast(ns, ctx, dev, target, asker),
    }
}

/// Stages waiting their turn in a walk, the next one last; empty between walks, kept only for its capacity.
#[derive(Debug, Default)]
struct Worklist(Vec<Stage>);

impl Clone for Worklist {
    fn clone(&self) -> Self {
        assert!(self.0.is_empty(), "a world is cloned between walks");
        Self::default()
    }
}

/// Sends a frame built outside the stack straight out of a device (an AF_PACKET socket, net/packet/af_packet.c).
pub(crate) fn send_frame(ns: &mut Netns, ctx: &mut Ctx<'_>, dev: DevId, frame: &[u8]) {
    let mut packet = Packet::new(ctx.out.packet_id(), frame);
    packet.set_l2();
    run(ns, ctx, Stage::Transmit(dev, packet));
}

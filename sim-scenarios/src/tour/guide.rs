//! Leads through a stop: carries commands out, collects what is seen, tells it, and judges it.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

use sim_core::capture::layers::layers;
use sim_core::capture::{Decision, Hop, Loss, Names, Seen, Translated};
use sim_core::engine::time::Duration;
use sim_core::wire::packet::PacketId;
use sim_k8s::api::{ObjectKey, Objects};
use sim_k8s::cluster::{ClusterConfig, ClusterError, Pod, Service};
use sim_k8s::workload::Plan;

use super::{Stop, Visit, pcapng};
use crate::explain::{PacketWalk, Walk, is_arp, svg};
use crate::run::{Run, RunConfig};
use crate::shell::session::Session;

/// After each command so much time passes, so that connections close and answers come.
const PAUSE: Duration = Duration::from_secs(2);
/// How often a connection is opened at most, for one that goes a certain way.
const ATTEMPTS: usize = 16;
/// The port all servers of the tour listen on, and all its Services.
const PORT: u16 = 80;

/// A visit that is going on.
pub(super) struct Guide<'s> {
    session: Session<'s>,
    story: String,
    /// The walks that were told.
    walks: Vec<PacketWalk>,
    seen: Vec<Seen>,
    sends: u32,
    ok: bool,
}

/// What a command printed, and what was seen meanwhile.
pub(super) struct Sent {
    pub(super) printed: String,
    pub(super) seen: Vec<Seen>,
}

impl Sent {
    pub(super) fn hops(&self) -> impl Iterator<Item = &Hop> {
        self.seen.iter().filter_map(|seen| if let Seen::Hop(hop) = seen { Some(hop) } else { None })
    }

    pub(super) fn losses(&self) -> impl Iterator<Item = &Loss> {
        self.seen.iter().filter_map(|seen| if let Seen::Loss(loss) = seen { Some(loss) } else { None })
    }

    pub(super) fn decisions(&self) -> impl Iterator<Item = &Decision> {
        self.seen.iter().flat_map(Seen::decisions)
    }

    pub(super) fn translations(&self) -> impl Iterator<Item = &Translated> {
        self.decisions().filter_map(|decision| match decision {
            Decision::Translated(translated) => Some(translated),
            _ => None,
        })
    }

    /// Of this what became of packets that bore this address somewhere.
    pub(super) fn about(&self, ip: IpAddr) -> Self {
        let bears =
            |seen: &&Seen| layers(seen.frame()).iter().filter_map(|layer| layer.ends).flatten().any(|end| end.ip == ip);
        let packets: BTreeSet<PacketId> = self.seen.iter().filter(bears).map(Seen::packet).collect();
        self.keep(|packet| packets.contains(&packet))
    }

    /// Of this what became of the packet that is so many after the first.
    pub(super) fn only(&self, number: usize) -> Self {
        let packet = self.packets(false).get(number).copied();
        self.keep(|other| Some(other) == packet)
    }

    fn keep(&self, wanted: impl Fn(PacketId) -> bool) -> Self {
        let seen = self.seen.iter().filter(|seen| wanted(seen.packet())).cloned().collect();
        Self { printed: self.printed.clone(), seen }
    }

    /// Packets that are not ARP, or those that are, in the order in which they appear.
    pub(super) fn packets(&self, arp: bool) -> Vec<PacketId> {
        let mut packets = Vec::new();
        for seen in self.seen.iter().filter(|seen| is_arp(seen.frame()) == arp) {
            if !packets.contains(&seen.packet()) {
                packets.push(seen.packet());
            }
        }
        packets
    }
}

impl Guide<'static> {
    pub(super) fn new(objects: &Objects, cluster: ClusterConfig) -> Result<Self, ClusterError> {
        let config = RunConfig { cluster, ..RunConfig::default() };
        let mut session = Session::new(objects, &Plan::default(), config, &|| false)?;
        // What happens while the cluster comes up is no part of a stop.
        session.settle();
        session.take_seen();
        Ok(Self { session, story: String::new(), walks: Vec::new(), seen: Vec::new(), sends: 0, ok: true })
    }
}

impl Guide<'_> {
    pub(super) fn run(&self) -> &Run {
        self.session.run()
    }

    /// The address of a pod.
    pub(super) fn pod(&self, name: &str) -> IpAddr {
        let key = ObjectKey { namespace: "default".into(), name: name.into() };
        self.run().cluster().pod(&key).expect("a pod of the tour").ip()
    }

    /// The pod that has an address now.
    pub(super) fn pod_at(&self, ip: IpAddr) -> Option<&Pod> {
        self.run().cluster().running().find(|pod| pod.ip() == ip)
    }

    /// The name of the pod that has an address now, else the address.
    pub(super) fn pod_name(&self, ip: IpAddr) -> String {
        self.pod_at(ip).map_or_else(|| ip.to_string(), |pod| pod.key.name.clone())
    }

    /// The cluster address of a Service.
    pub(super) fn service(&self, name: &str) -> IpAddr {
        self.look_up(name).cluster_ip().expect("one that is reached by its address")
    }

    /// The address of a Service's load balancer.
    pub(super) fn external(&self, name: &str) -> IpAddr {
        *self.look_up(name).external_ips.first().expect("one of type LoadBalancer")
    }

    fn look_up(&self, name: &str) -> Service {
        let key = ObjectKey { namespace: "default".into(), name: name.into() };
        self.run().cluster().service(&key).expect("a Service of the tour")
    }

    /// A netns' device as captures call it: `n1/cni0`.
    pub(super) fn place(&self, seen: &Seen) -> String {
        let (netns, dev) = seen.tap();
        self.run().world().tap(netns, dev).name
    }

    /// Says something.
    pub(super) fn say(&mut self, text: &str) {
        self.tell(format_args!("{text}\n\n"));
    }

    /// Carries out a command and shows what it printed.
    pub(super) fn look(&mut self, command: &str) -> String {
        let printed = self.carry_out(command);
        self.seen.extend(self.session.take_seen());
        printed
    }

    /// As [`Self::look`], of that only the lines that hold one of `words`.
    pub(super) fn look_for(&mut self, command: &str, words: &[&str]) -> String {
        let shown = self.story.len();
        let printed = self.carry_out(command);
        self.story.truncate(shown);
        let lines: Vec<_> = printed.lines().filter(|line| words.iter().any(|word| line.contains(word))).collect();
        let lines = lines.join("\n");
        self.tell(format_args!("$ {command}\n{lines}\n\n"));
        lines
    }

    /// Opens a connection from a place and closes it.
    pub(super) fn connect(&mut self, from: &str, to: IpAddr) -> Sent {
        let to = SocketAddr::new(to, PORT);
        self.send(&format!("{from}: nc -zv -w 1 {} {}", to.ip(), to.port()))
    }

    /// Opens a connection to a name and closes it.
    pub(super) fn connect_by_name(&mut self, from: &str, to: &str) -> Sent {
        self.send(&format!("{from}: nc -zv -w 1 {to} {PORT}"))
    }

    /// Opens a connection so many times, one after the other; what they printed is told once.
    pub(super) fn connect_often(&mut self, times: usize, from: &str, to: IpAddr) -> Vec<Sent> {
        let first = self.connect(from, to);
        let told = self.story.len();
        let others: Vec<_> = (1..times).map(|_| self.connect(from, to)).collect();
        self.story.truncate(told);
        self.say(&format!("… and {} times more.", others.len()));
        std::iter::once(first).chain(others).collect()
    }

    /// Opens connections, one after the other, until one is as wanted; that one is told.
    pub(super) fn connect_until(&mut self, from: &str, to: IpAddr, wanted: impl Fn(&Self, &Sent) -> bool) -> Sent {
        let told = self.story.len();
        for before in 0..ATTEMPTS {
            self.story.truncate(told);
            let sent = self.connect(from, to);
            if wanted(self, &sent) {
                if before > 0 {
                    self.say(&format!("… the first that came this way; tried before: {before}."));
                }
                return sent;
            }
        }
        self.must("one of the connections takes this way", false);
        Sent { printed: String::new(), seen: Vec::new() }
    }

    /// Sends one echo request from a place.
    pub(super) fn ping(&mut self, from: &str, to: IpAddr) -> Sent {
        self.send(&format!("{from}: ping -c 1 -W 1 {to}"))
    }

    fn send(&mut self, command: &str) -> Sent {
        self.sends += 1;
        let printed = self.carry_out(command);
        self.pause();
        let seen = self.session.take_seen();
        self.seen.extend(seen.iter().cloned());
        Sent { printed, seen }
    }

    /// Tells the walks of the first `packets` packets of what was sent (ARP aside), and how many more there were.
    pub(super) fn walk(&mut self, sent: &Sent, packets: usize) {
        let ids = sent.packets(false);
        ids.iter().take(packets).for_each(|id| self.tell_walk(*id, &sent.seen));
        match ids.len().saturating_sub(packets) {
            0 => {}
            1 => self.say("… and 1 packet more."),
            more => self.say(&format!("… and {more} packets more.")),
        }
    }

    /// Tells the walks of ARP messages.
    pub(super) fn walk_arp(&mut self, sent: &Sent) {
        sent.packets(true).iter().for_each(|id| self.tell_walk(*id, &sent.seen));
    }

    fn tell_walk(&mut self, packet: PacketId, seen: &[Seen]) {
        let walk = PacketWalk::of(packet, seen, self.run());
        self.tell(format_args!("{walk}"));
        self.walks.push(walk);
    }

    /// Something that must be so.
    pub(super) fn must(&mut self, what: &str, is_so: bool) {
        self.ok &= is_so;
        let mark = if is_so { "✓" } else { "✗" };
        self.tell(format_args!("{mark} {what}\n"));
    }

    /// Ends the visit.
    pub(super) fn end(self, stop: &Stop) -> Visit {
        let pcapng = pcapng(stop, &self.seen, self.session.run());
        let story = format!("=== {}\n{}\n\n{}", stop.name, stop.shows, self.story);
        let picture = svg(&Walk { title: format!("everyhop tour {}", stop.name), packets: self.walks });
        let (name, hops) = (stop.name, self.seen.len());
        Visit { name, ok: self.ok, sends: self.sends, hops, capture: None, story, picture, pcapng }
    }

    fn carry_out(&mut self, command: &str) -> String {
        let mut printed = String::new();
        self.session.line(command, &mut |reply| {
            printed += &reply.output.stdout;
            printed += &reply.output.stderr;
        });
        self.tell(format_args!("$ {command}\n{printed}\n"));
        printed
    }

    fn pause(&mut self) {
        self.session.run_until(self.session.now() + PAUSE);
    }

    fn tell(&mut self, text: std::fmt::Arguments<'_>) {
        self.story.write_fmt(text).expect("a string takes all text");
    }
}

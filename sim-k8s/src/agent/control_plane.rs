//! The apiserver, all agents, and what is due when.

use std::collections::{BTreeMap, VecDeque};

use sim_core::engine::arena::NetnsId;
use sim_core::engine::rng::{Seed, Stream};
use sim_core::engine::time::{Duration, Instant};
use sim_core::netns::socket::Socket;
use sim_core::world::World;

use crate::api::Kind;
use crate::apiserver::{Action, Apiserver, Cache, Change, Refused, Request};
use crate::command::{Command, CommandFailed};
use crate::timings::Timings;

use super::journal::{Deed, Entry};
use super::limiter::Limiter;
use super::watch::{Watch, Watches};
use super::{Agent, ContainerRef, Context, Event, Interest, Notice, Signal};

/// Alarms with this bit are the control plane's.
const TOKEN: u64 = 1 << 63;

/// An agent of a control plane.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AgentId(u32);

/// Something that will happen in the control plane.
#[derive(Clone, Debug)]
pub(super) enum Due {
    /// An agent starts.
    Start(AgentId),
    /// What a watch has to say reaches an agent.
    Deliver(AgentId, Event),
    /// A time has come that an agent asked for.
    Timer(AgentId, u64),
    /// A request reaches the apiserver.
    Commit(AgentId, Request, u64),
    /// The next command is carried out.
    Exec(Exec),
}

/// Commands that an agent puts to a netns, one after the other.
#[derive(Clone, Debug)]
pub(super) struct Exec {
    pub(super) agent: AgentId,
    pub(super) netns: NetnsId,
    /// Those still to come.
    pub(super) commands: VecDeque<Command>,
    pub(super) each: Duration,
    pub(super) token: u64,
    /// Lines of those carried out, if a journal is kept.
    pub(super) lines: usize,
}

impl Due {
    /// Who does it, or what it is done to.
    const fn agent(&self) -> AgentId {
        match self {
            Self::Start(agent)
            | Self::Deliver(agent, _)
            | Self::Timer(agent, _)
            | Self::Commit(agent, ..)
            | Self::Exec(Exec { agent, .. }) => *agent,
        }
    }
}

/// An agent and what is kept for it.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    name: String,
    /// Absent while it acts, and after it was retired.
    agent: Option<Box<dyn Agent>>,
    pub(super) draws: Stream,
    /// For the latency of its calls and watches.
    api: Stream,
    pub(super) limiter: Option<Limiter>,
    /// While its watches are cut: what it has not heard of.
    cut: Option<Vec<Event>>,
}

/// The control plane of a cluster.
#[derive(Clone, Debug)]
pub struct ControlPlane {
    seed: Seed,
    pub(super) timings: Timings,
    apiserver: Apiserver,
    agents: Vec<Slot>,
    watches: Watches,
    due: BTreeMap<u64, Due>,
    scheduled: u64,
    /// Who did something last, and how often anybody did.
    last_act: Option<(u64, AgentId)>,
    /// Whose sockets are whose.
    pub(super) sockets: BTreeMap<(NetnsId, Socket), AgentId>,
    /// The containers that run, and who started them.
    pub(super) started_by: BTreeMap<ContainerRef, AgentId>,
    pub(super) notices: VecDeque<Notice>,
    /// If one is kept.
    journal: Option<Vec<Entry>>,
}

impl ControlPlane {
    /// One without agents.
    pub fn new(seed: Seed, timings: Timings, apiserver: Apiserver) -> Self {
        Self {
            seed,
            timings,
            apiserver,
            agents: Vec::new(),
            watches: Watches::default(),
            due: BTreeMap::new(),
            scheduled: 0,
            last_act: None,
            sockets: BTreeMap::new(),
            started_by: BTreeMap::new(),
            notices: VecDeque::new(),
            journal: None,
        }
    }

    /// Keeps a journal from now on.
    pub fn keep_journal(&mut self) {
        self.journal.get_or_insert_default();
    }

    /// Takes what the journal holds, in order. Without it the journal grows: call it from time to time.
    pub fn take_journal(&mut self) -> Vec<Entry> {
        self.journal.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// The objects as the apiserver has them.
    pub fn objects(&self) -> &Cache {
        self.apiserver.objects()
    }

    /// How long things take.
    pub fn timings(&self) -> &Timings {
        &self.timings
    }

    /// The number of the last change of an object.
    pub fn version(&self) -> u64 {
        self.apiserver.version()
    }

    /// When an object was last changed that is no lease.
    pub fn changed(&self) -> Instant {
        self.apiserver.changed()
    }

    /// Adds an agent, which starts at once. Its name is its identity for random draws.
    pub fn spawn(&mut self, world: &mut World, name: impl Into<String>, agent: Box<dyn Agent>) -> AgentId {
        self.spawn_at(world, world.now(), name, agent)
    }

    /// Adds an agent that starts at `at`.
    pub fn spawn_at(
        &mut self,
        world: &mut World,
        at: Instant,
        name: impl Into<String>,
        agent: Box<dyn Agent>,
    ) -> AgentId {
        let name = name.into();
        let id = AgentId(self.agents.len() as u32);
        let (draws, api) = (self.seed.stream(&name, 0), self.seed.stream(&name, 1));
        self.agents.push(Slot { name, agent: Some(agent), draws, api, limiter: None, cut: None });
        self.schedule(world, at, Due::Start(id));
        id
    }

    /// Ends an agent as a kill does: it hears and does nothing more, what it has asked for still comes to pass, and its
    /// sockets are whose netns they are in.
    pub fn retire(&mut self, agent: AgentId) {
        self.agents[agent.0 as usize].agent = None;
        self.watches.drop_all_of(agent);
        self.sockets.retain(|_, owner| *owner != agent);
    }

    /// Ends the agents of a node, whose names are `kind node`.
    pub fn retire_all_of(&mut self, node: &str) {
        let of_node = |slot: &Slot| slot.name.rsplit_once(' ').is_some_and(|(_, last)| last == node);
        let ids: Vec<usize> = (0..self.agents.len()).filter(|id| of_node(&self.agents[*id])).collect();
        ids.into_iter().for_each(|id| self.retire(AgentId(id as u32)));
    }

    /// The agent of this name, if it has not been retired.
    pub fn agent_named(&self, name: &str) -> Option<AgentId> {
        let found = self.agents.iter().position(|slot| slot.name == name && slot.agent.is_some())?;
        Some(AgentId(found as u32))
    }

    /// The agent that did something last, with a number that grows with each act.
    pub fn last_act(&self) -> Option<(u64, &str)> {
        self.last_act.map(|(count, agent)| (count, self.agents[agent.0 as usize].name.as_str()))
    }

    /// Cuts the watches of an agent: it hears of no change until they are healed, then of all of them in order.
    pub fn cut_watches(&mut self, agent: AgentId) {
        self.slot(agent).cut.get_or_insert_default();
    }

    /// Heals the watches of an agent.
    pub fn heal_watches(&mut self, world: &mut World, agent: AgentId) {
        for event in self.slot(agent).cut.take().unwrap_or_default() {
            self.schedule(world, world.now(), Due::Deliver(agent, event));
        }
    }

    /// Someone outside the control plane (`kubectl`) asks the apiserver, which acts at once.
    ///
    /// # Errors
    /// Why it did nothing.
    pub fn kubectl(&mut self, world: &mut World, request: Request) -> Result<(), Refused> {
        let change = self.apiserver.handle(world.now(), request)?;
        change.into_iter().for_each(|change| self.publish(world, &change));
        Ok(())
    }

    /// A container has ended by itself, or as it was told to, with this exit code.
    pub fn exited(&mut self, world: &mut World, container: &ContainerRef, code: u8) {
        if let Some(agent) = self.started_by.remove(container) {
            self.act(world, agent, Event::Exited(container.clone(), code));
        }
    }

    /// Tells an agent what becomes of the container it runs in.
    pub fn signal(&mut self, world: &mut World, agent: AgentId, signal: Signal) {
        self.act(world, agent, Event::Signal(signal));
        if signal == Signal::Kill {
            self.retire(agent);
        }
    }

    /// What the applications in pods must know, in order, each once.
    pub fn next_notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    /// The world rang with this token; whether that was for the control plane.
    pub fn alarm(&mut self, world: &mut World, token: u64) -> bool {
        if token & TOKEN == 0 {
            return false;
        }
        let due = self.due.remove(&token).expect("every alarm of the control plane is due once");
        self.happen(world, due);
        true
    }

    /// Something happened to a socket; whether it is an agent's.
    pub fn woken(&mut self, world: &mut World, netns: NetnsId, socket: Socket) -> bool {
        let owner = self.sockets.get(&(netns, socket)).copied();
        owner.inspect(|agent| self.act(world, *agent, Event::Woken(netns, socket))).is_some()
    }

    pub(super) fn slot(&mut self, agent: AgentId) -> &mut Slot {
        &mut self.agents[agent.0 as usize]
    }

    pub(super) fn schedule(&mut self, world: &mut World, at: Instant, due: Due) {
        let token = TOKEN | self.scheduled;
        self.scheduled += 1;
        self.due.insert(token, due);
        world.alarm(at, token);
    }

    pub(super) fn watch(&mut self, world: &mut World, agent: AgentId, interest: Interest) {
        let there: Vec<_> = self.objects().all(interest.kind()).into_iter().filter(|o| interest.matches(o)).collect();
        let watch = self.watches.add(Watch { agent, interest: interest.clone(), arrives: world.now() });
        for object in there {
            self.deliver(world, watch, Event::Changed(Change { action: Action::Added, object }));
        }
        self.deliver(world, watch, Event::Listed(interest));
    }

    pub(super) fn request(&mut self, world: &mut World, agent: AgentId, request: Request, token: u64) {
        let (span, now) = (self.timings.call, world.now());
        let slot = self.slot(agent);
        let goes = slot.limiter.as_mut().map_or(now, |limiter| limiter.admit(now));
        let at = goes + span.draw(&mut slot.api);
        self.schedule(world, at, Due::Commit(agent, request, token));
    }

    fn happen(&mut self, world: &mut World, due: Due) {
        self.last_act = Some((self.last_act.map_or(0, |(count, _)| count + 1), due.agent()));
        match due {
            Due::Start(agent) => self.act(world, agent, Event::Start),
            Due::Timer(agent, token) => self.act(world, agent, Event::Timer(token)),
            Due::Deliver(agent, event) => match &mut self.slot(agent).cut {
                Some(unheard) => unheard.push(event),
                None => self.act(world, agent, event),
            },
            Due::Commit(agent, request, token) => {
                let result = self.kubectl(world, request);
                self.act(world, agent, Event::Replied(token, result));
            }
            Due::Exec(exec) => self.exec(world, exec),
        }
    }

    /// Carries out the next command.
    fn exec(&mut self, world: &mut World, mut exec: Exec) {
        let mut done = Ok(());
        if let Some(command) = exec.commands.pop_front() {
            exec.lines += if self.journal.is_some() { command.lines() } else { 0 };
            done = command.run(world, &[exec.netns]);
        }
        if done.is_ok() && !exec.commands.is_empty() {
            let at = world.now() + exec.each;
            return self.schedule(world, at, Due::Exec(exec));
        }
        self.note_programmed(world.now(), &exec, &done);
        self.act(world, exec.agent, Event::Done(exec.token, done));
    }

    fn note_programmed(&mut self, at: Instant, exec: &Exec, done: &Result<(), CommandFailed>) {
        let Some(journal) = self.journal.as_mut().filter(|_| exec.lines > 0) else { return };
        let agent = self.agents[exec.agent.0 as usize].name.clone();
        let refused = done.as_ref().err().map(ToString::to_string);
        journal.push(Entry { at, deed: Deed::Programmed { agent, netns: exec.netns, lines: exec.lines, refused } });
    }

    fn act(&mut self, world: &mut World, me: AgentId, event: Event) {
        let Some(mut agent) = self.slot(me).agent.take() else { return };
        agent.on(event, &mut Context { plane: self, world, me });
        self.slot(me).agent = Some(agent);
    }

    /// Sends a change to everyone who watches.
    fn publish(&mut self, world: &mut World, change: &Change) {
        if let Some(journal) = self.journal.as_mut().filter(|_| change.object.kind() != Kind::Lease) {
            journal.push(Entry { at: world.now(), deed: Deed::Changed(change.clone()) });
        }
        for watch in self.watches.concerned(change) {
            self.deliver(world, watch, Event::Changed(change.clone()));
        }
    }

    fn deliver(&mut self, world: &mut World, watch: usize, event: Event) {
        let span = self.timings.watch;
        let agent = self.watches.get_mut(watch).agent;
        let at = world.now() + span.draw(&mut self.slot(agent).api);
        let watch = self.watches.get_mut(watch);
        watch.arrives = watch.arrives.max(at);
        let at = watch.arrives;
        self.schedule(world, at, Due::Deliver(agent, event));
    }
}

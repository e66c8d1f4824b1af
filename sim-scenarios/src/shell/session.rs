//! A session at a cluster: places, time, and the words of all tools.

use sim_core::capture::Seen;
use sim_core::engine::arena::NetnsId;
use sim_core::engine::time::{Duration, Instant};
use sim_core::world::World;
use sim_k8s::api::{ObjectKey, Objects};
use sim_k8s::apiserver::{Refused, Request};
use sim_k8s::cluster::{Cluster, ClusterError};
use sim_k8s::manifest::shown;
use sim_k8s::workload::Plan;

use super::line::{self, Command};
use super::{Answer, NotUnderstood, Output, TOOLS, exec, kubectl, nc, probe};
use crate::run::{Run, RunConfig};

/// The exit status of words that are not understood.
const NOT_UNDERSTOOD: i32 = 2;

/// A run in which commands may let time pass.
pub(super) struct Network<'s> {
    run: Run,
    probes: u16,
    stop: &'s dyn Fn() -> bool,
    /// Looks at the run after each event.
    watch: Option<&'s mut dyn FnMut(&mut Run)>,
}

impl Network<'_> {
    pub(super) fn world(&self) -> &World {
        self.run.world()
    }

    pub(super) fn world_mut(&mut self) -> &mut World {
        self.run.world_mut()
    }

    pub(super) fn cluster(&self) -> &Cluster {
        self.run.cluster()
    }

    /// Asks the apiserver, which acts at once.
    pub(super) fn kubectl(&mut self, request: Request) -> Result<(), Refused> {
        self.run.kubectl(request)
    }

    /// A number for the echo requests of one `ping`, as the real one takes that of its process.
    pub(super) fn next_probe(&mut self) -> u16 {
        self.probes = self.probes.wrapping_add(1);
        self.probes
    }

    /// Whether the session is to end.
    pub(super) fn is_stopped(&self) -> bool {
        (self.stop)()
    }

    /// Lets one event happen, if one is due by then; else time moves there. Whether there may be more.
    pub(super) fn step(&mut self, until: Instant) -> bool {
        if self.is_stopped() {
            return false;
        }
        let more = self.run.step(until);
        if let Some(watch) = &mut self.watch {
            watch(&mut self.run);
        }
        more
    }
}

/// What became of a command.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Reply {
    /// What it printed.
    pub output: Output,
    /// Whether it ends the session.
    pub over: bool,
}

/// A session: a run, and the place where commands are carried out.
pub struct Session<'s> {
    net: Network<'s>,
    place: NetnsId,
}

impl<'s> Session<'s> {
    /// A session at a run of `objects` in which the calls of `plan` are made. Commands are carried out at the first node,
    /// unless told otherwise. What takes time looks at `stop` and ends early.
    ///
    /// # Errors
    /// What the objects ask for and no cluster can give.
    pub fn new(
        objects: &Objects,
        plan: &Plan,
        config: RunConfig,
        stop: &'s dyn Fn() -> bool,
    ) -> Result<Self, ClusterError> {
        Ok(Self::of(Run::new(objects, plan, config)?, stop, None))
    }

    /// A session at a run; after each event `watch` looks at it.
    pub fn of(run: Run, stop: &'s dyn Fn() -> bool, watch: Option<&'s mut dyn FnMut(&mut Run)>) -> Self {
        let place = run.cluster().nodes[0].netns;
        Self { net: Network { run, probes: 0, stop, watch }, place }
    }

    /// Lets the cluster come up, until it has settled or told to stop.
    pub fn settle(&mut self) {
        while self.net.run.began().is_none() && self.net.step(Instant::NEVER) {}
    }

    /// The run.
    pub fn run(&self) -> &Run {
        &self.net.run
    }

    /// The run, with all that was done to it.
    pub fn into_run(self) -> Run {
        self.net.run
    }

    /// Takes what the taps saw since the last call; see [`RunConfig::capture`].
    pub fn take_seen(&mut self) -> Vec<Seen> {
        self.net.run.take_seen()
    }

    /// Lets time pass until `at`, or until told to stop.
    pub fn run_until(&mut self, at: Instant) {
        while self.net.step(at) {}
    }

    /// The name of the place where commands are carried out: a node's or a pod's.
    pub fn place(&self) -> &str {
        self.net.world().netns_name(self.place)
    }

    /// The moment.
    pub fn now(&self) -> Instant {
        self.net.world().now()
    }

    /// Carries out the commands of one line, in order, and hands each reply to `tell` before the next begins. A command
    /// that fails does not keep the next from being carried out; words that are not understood as a line do.
    pub fn line(&mut self, line: &str, tell: &mut dyn FnMut(&Reply)) {
        match line::commands(line) {
            Ok(commands) => {
                for command in commands {
                    let reply = self.carry_out(&command);
                    tell(&reply);
                    if reply.over {
                        return;
                    }
                }
            }
            Err(error) => tell(&Reply { output: not_understood(&error), over: false }),
        }
    }

    fn carry_out(&mut self, command: &Command) -> Reply {
        let words: Vec<&str> = command.words.iter().map(String::as_str).collect();
        if matches!(words[..], ["exit" | "quit"]) {
            return Reply { over: true, ..Reply::default() };
        }
        let place = command.place.as_deref().map_or(Ok(self.place), |name| self.find(name));
        let answer = place.and_then(|place| self.answer(place, &words));
        Reply { output: answer.unwrap_or_else(|error| not_understood(&error)), over: false }
    }

    fn answer(&mut self, place: NetnsId, words: &[&str]) -> Answer {
        let (first, rest) = words.split_first().unwrap_or((&"", &[]));
        match *first {
            "use" => self.change_place(rest),
            "run" => self.let_pass(rest),
            "ls" => self.list(rest),
            "help" => Ok(Output::lines(help())),
            "ping" => probe::ping(&mut self.net, place, rest),
            "nc" => nc::nc(&mut self.net, place, rest),
            "kubectl" => kubectl::run(&mut self.net, rest),
            first if TOOLS.iter().all(|tool| tool.name != first) => {
                let tools = TOOLS.iter().map(|tool| tool.name);
                let own = ["ping", "nc", "kubectl", "ls", "use", "run", "help", "exit"];
                Err(NotUnderstood::word(first, &tools.chain(own).collect::<Vec<_>>().join(", ")))
            }
            _ => exec(self.net.world_mut(), place, words),
        }
    }

    /// The netns of a node, a pod (`namespace/name`; `name` in namespace default), or of `gw`, `ul`, `world`.
    fn find(&self, name: &str) -> Result<NetnsId, NotUnderstood> {
        let in_default = format!("default/{name}");
        let is = |key: &ObjectKey| key.to_string() == name || key.to_string() == in_default;
        let pod = || self.net.cluster().running().find(|pod| is(&pod.key)).map(|pod| pod.netns);
        self.net.world().netns_id(name).or_else(pod).ok_or_else(|| NotUnderstood {
            what: format!("there is no node or pod called {}", shown(name)),
            understood: "a name that `ls` lists".to_owned(),
        })
    }

    fn change_place(&mut self, words: &[&str]) -> Answer {
        let [name] = words else { return Err(NotUnderstood::word("", "use NODE or use NAMESPACE/POD")) };
        self.place = self.find(name)?;
        Ok(Output::default())
    }

    fn let_pass(&mut self, words: &[&str]) -> Answer {
        let bad = |word: &str| NotUnderstood::word(word, "run with a time: 5s, 500ms, 2m, 1h");
        let [word] = words else { return Err(bad("")) };
        let time = word.parse::<Duration>().map_err(|_| bad(word))?;
        self.run_until(self.now() + time);
        Ok(Output::default())
    }

    fn list(&self, words: &[&str]) -> Answer {
        let cluster = self.net.cluster();
        let nodes = || cluster.nodes.iter().map(|node| node.name.clone());
        let pods = || cluster.running().map(|pod| pod.key.to_string());
        let places: Vec<String> = match words {
            [] => nodes().chain(["gw".to_owned(), "ul".to_owned(), "world".to_owned()]).chain(pods()).collect(),
            ["nodes"] => nodes().collect(),
            ["pods"] => pods().collect(),
            [other, ..] => return Err(NotUnderstood::word(other, "nodes, pods")),
        };
        Ok(Output::lines(places))
    }
}

fn not_understood(error: &NotUnderstood) -> Output {
    Output::refused(NOT_UNDERSTOOD, format!("error: {error}"))
}

fn help() -> Vec<String> {
    let tools = TOOLS.iter().flat_map(|tool| tool.usage);
    let probes = probe::PING_USAGE.iter().chain(nc::NC_USAGE).chain(kubectl::USAGE);
    let own = [
        "ls [nodes|pods] · use PLACE · PLACE: WORDS (for one line) · run 5s (time passes) · exit",
        "A place is a node (n1), a pod (default/web-0), gw, ul or world. Several commands of a line are parted by ;",
    ];
    tools.chain(probes).chain(&own).map(|line| (*line).to_owned()).collect()
}

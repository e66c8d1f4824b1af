use std::sync::Arc;

use sim_core::engine::rng::Seed;
use sim_core::engine::time::Instant;
use sim_core::world::{Happened, World};

use super::*;
use crate::api::{Kind, Node, Object, ObjectRef};
use crate::apiserver::{Action, Apiserver, Request};
use crate::command::Command;
use crate::timings::Timings;

/// Notes what happens to it and when; as a writer it creates two nodes, one after the other.
#[derive(Clone, Debug)]
struct Diary {
    writes: bool,
}

impl Agent for Diary {
    fn on(&mut self, event: Event, cx: &mut Context<'_>) {
        let create = |name: &str| Request::Create(Object::Node(Arc::new(Node::new(name))));
        match event {
            Event::Start if self.writes => cx.request(create("n1"), 1),
            Event::Start => cx.watch(Interest::All(Kind::Node)),
            Event::Replied(1, Ok(())) => cx.request(create("n2"), 2),
            Event::Changed(change) => {
                let at = cx.now().since(Instant::START).as_micros();
                cx.tell(note(&change.object.key().name, at));
            }
            _ => {}
        }
    }
}

/// A notice that tells a name and a time.
fn note(name: &str, uid: u64) -> Notice {
    Notice::Stop(ContainerRef { pod: ObjectKey::new("", name), uid, container: 0 })
}

struct Bench {
    world: World,
    plane: ControlPlane,
}

impl Bench {
    fn new(seed: u64) -> Self {
        let apiserver = Apiserver::new(&["10.96.0.0/12".parse().expect("a network")], Vec::new());
        Self { world: World::new(Seed(seed)), plane: ControlPlane::new(Seed(seed), Timings::default(), apiserver) }
    }

    fn run(&mut self) -> Vec<(String, u64)> {
        while let Some(happened) = self.world.step(Instant::NEVER) {
            if let Happened::Alarm(token) = happened {
                assert!(self.plane.alarm(&mut self.world, token));
            }
        }
        let mut heard = Vec::new();
        while let Some(Notice::Stop(of)) = self.plane.next_notice() {
            heard.push((of.pod.name, of.uid));
        }
        heard
    }
}

#[test]
fn writes_and_watches_take_time_and_order_is_kept() {
    let mut bench = Bench::new(7);
    bench.plane.spawn(&mut bench.world, "watcher", Box::new(Diary { writes: false }));
    bench.plane.spawn(&mut bench.world, "writer", Box::new(Diary { writes: true }));
    let heard = bench.run();
    let names: Vec<&str> = heard.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["n1", "n2"]);
    assert!((7_000..=40_000).contains(&heard[0].1), "5 to 20 ms for the call, 2 to 20 for the watch: {heard:?}");
    assert!(heard[1].1 > heard[0].1);
    let again = |seed| {
        let mut bench = Bench::new(seed);
        bench.plane.spawn(&mut bench.world, "watcher", Box::new(Diary { writes: false }));
        bench.plane.spawn(&mut bench.world, "writer", Box::new(Diary { writes: true }));
        bench.run()
    };
    assert_eq!(again(7), heard, "the seed decides");
    assert_ne!(again(8), heard);
}

#[test]
fn who_watches_later_first_hears_what_is_there() {
    let mut bench = Bench::new(1);
    bench.plane.spawn(&mut bench.world, "writer", Box::new(Diary { writes: true }));
    bench.run();
    bench.plane.spawn(&mut bench.world, "watcher", Box::new(Diary { writes: false }));
    assert_eq!(bench.run().len(), 2);
}

/// Notes how many nodes it has heard of when it is told that this was all.
#[derive(Clone, Debug, Default)]
struct Census(u64);

impl Agent for Census {
    fn on(&mut self, event: Event, cx: &mut Context<'_>) {
        match event {
            Event::Start => cx.watch(Interest::All(Kind::Node)),
            Event::Changed(_) => self.0 += 1,
            Event::Listed(Interest::All(Kind::Node)) => cx.tell(note("all", self.0)),
            _ => {}
        }
    }
}

#[test]
fn the_end_of_the_list_comes_after_everything_that_was_there_and_also_where_nothing_was() {
    let mut bench = Bench::new(1);
    bench.plane.spawn(&mut bench.world, "early", Box::new(Census::default()));
    assert_eq!(bench.run(), [("all".to_owned(), 0)]);
    bench.plane.spawn(&mut bench.world, "writer", Box::new(Diary { writes: true }));
    bench.run();
    bench.plane.spawn(&mut bench.world, "late", Box::new(Census::default()));
    assert_eq!(bench.run(), [("all".to_owned(), 2)]);
}

#[test]
fn a_cut_watch_delivers_everything_once_it_is_healed() {
    let mut bench = Bench::new(1);
    let watcher = bench.plane.spawn(&mut bench.world, "watcher", Box::new(Diary { writes: false }));
    bench.plane.cut_watches(watcher);
    bench.plane.spawn(&mut bench.world, "writer", Box::new(Diary { writes: true }));
    assert_eq!(bench.run(), []);
    bench.plane.heal_watches(&mut bench.world, watcher);
    assert_eq!(bench.run().len(), 2);
}

#[test]
fn a_retired_agent_hears_nothing_more() {
    let mut bench = Bench::new(1);
    let watcher = bench.plane.spawn(&mut bench.world, "watcher", Box::new(Diary { writes: false }));
    bench.run();
    bench.plane.retire(watcher);
    bench.plane.spawn(&mut bench.world, "writer", Box::new(Diary { writes: true }));
    assert_eq!(bench.run(), []);
    assert_eq!(bench.plane.agent_named("watcher"), None);
}

/// Carries out three commands, 10 ms each.
#[derive(Clone, Debug)]
struct Plumber(NetnsId);

impl Agent for Plumber {
    fn on(&mut self, event: Event, cx: &mut Context<'_>) {
        let each = sim_core::engine::time::Duration::from_millis(10);
        match event {
            Event::Start => {
                let lines = ["link add br0 type bridge", "link set br9 up", "link set br0 up"];
                cx.exec(self.0, lines.map(|line| Command::Ip(line.into())).into(), each, 5);
            }
            Event::Done(5, Err(failed)) => {
                assert!(failed.to_string().contains("br9"), "{failed}");
                let at = cx.now().since(Instant::START).as_millis();
                cx.tell(note("failed", at));
            }
            _ => {}
        }
    }
}

#[test]
fn commands_are_events_of_their_own_and_the_first_that_fails_ends_them() {
    let mut bench = Bench::new(1);
    let netns = bench.world.add_netns("n1").expect("a new name");
    bench.plane.spawn(&mut bench.world, "plumber", Box::new(Plumber(netns)));
    assert_eq!(bench.run(), [("failed".to_owned(), 20)]);
    assert!(bench.world.dev_id(netns, "br0").is_some(), "what was done stays done");
}

#[test]
fn a_change_of_an_object_reaches_who_watches_that_object_alone() {
    let interest = Interest::One(ObjectRef::node("n2"));
    let node = |name: &str| Change { action: Action::Added, object: Object::Node(Arc::new(Node::new(name))) };
    assert!(interest.matches(&node("n2").object) && !interest.matches(&node("n1").object));
}

//! Random specs for the reference lab: what nobody thought of writing.
//!
//! A [`Case`] is a pure function of a seed and a number: a small cluster, rules of all tables, sysctls, and packets
//! well-formed and broken. It is the lab's own spec, so that every runner of specs can do it. Both sides run it;
//! where they differ, [`shrink`] finds the smallest spec that still does, and [`coverage`] tells what was met on the way.
//!
//! Reading order: [`Case::spec`], `scene` (the cluster), `words` (what is said otherwise in each family), `rules`,
//! `matches`, `targets` (what nodes do), `traffic` and `frames` (what is sent), `script` (a pod's TCP and a peer), then
//! what is made of it: [`trial`], [`shrink`],
//! [`coverage`], and [`hunt`], which does it all.

pub mod coverage;
mod dice;
mod frames;
pub mod hunt;
mod late;
mod matches;
mod rules;
mod scene;
mod script;
pub mod shrink;
mod targets;
mod traffic;
pub mod trial;
mod words;

#[cfg(test)]
mod mutants;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value, json};
use sim_core::engine::rng::Seed;

use self::dice::Dice;
use self::scene::Scene;
use self::words::Words;

/// What a random case is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A cluster: what becomes of packets.
    Cluster,
    /// A script for one pod's TCP.
    Tcp,
}

impl Kind {
    /// What case `number` is about where nobody asks for a kind: one in four is a script.
    pub const fn of(number: u64) -> Self {
        if number % 4 == 3 { Self::Tcp } else { Self::Cluster }
    }
}

/// One random case.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Case {
    /// What it is about.
    pub kind: Kind,
    /// The seed of all cases of a run.
    pub seed: Seed,
    /// Which of them, counted from 0.
    pub number: u64,
}

impl Case {
    /// Whose packets are sent. A stream of its own: what IPv4 draws is the same, whoever else there is.
    fn families(self) -> &'static [&'static Words] {
        let mut dice = Dice::new(self.seed.stream("random families", self.number));
        dice.weighed(&[(4, words::IPV4), (3, words::IPV6), (1, words::BOTH)])
    }

    /// The spec, the same for the same case on every machine.
    pub fn spec(self) -> Value {
        match self.kind {
            Kind::Cluster => self.cluster(),
            Kind::Tcp => script::spec(&mut Dice::new(self.seed.stream("random script", self.number))),
        }
    }

    fn cluster(self) -> Value {
        let mut dice = Dice::new(self.seed.stream("random spec", self.number));
        let scene = Scene::draw(&mut dice, self.families());
        let mut spec = Map::new();
        spec.insert("topo".into(), scene.topo());
        if dice.one_in(6) {
            spec.insert("hairpin".into(), false.into());
        }
        for scene in scene.in_each_family() {
            spec.insert(scene.words.sysctl.into(), scene.sysctls(&mut dice));
        }
        let nodes = || (1..=scene.nodes).map(|n| format!("n{n}"));
        let mut sets = String::new();
        for scene in scene.in_each_family() {
            let rules: Map<_, _> = nodes().map(|node| (node, rules::text(&mut dice, &scene).into())).collect();
            if rules.values().any(|text: &Value| text.as_str().is_some_and(|text| text.contains("-set "))) {
                sets += &matches::sets(scene.words);
            }
            spec.insert(scene.words.rules.into(), rules.into());
        }
        if !sets.is_empty() {
            spec.insert("ipset".into(), nodes().map(|node| (node, Value::from(sets.as_str()))).collect());
        }
        spec.insert("servers".into(), scene.servers());
        spec.insert("known_ports".into(), json!(traffic::known_ports()));
        spec.insert("known_echoes".into(), json!(traffic::known_echoes()));
        spec.insert("steps".into(), traffic::steps(&mut dice, &scene).into());
        spec.into()
    }
}

//! A node is drained, fails or leaves.

use std::fmt;
use std::sync::Arc;

use sim_k8s::api::{self, Object, ObjectRef, WorkloadKind};
use sim_k8s::apiserver::Request;

use super::{Fault, Kind};
use crate::run::Run;

pub(super) const KIND: Kind = Kind { usage: &["node NAME drain", "node NAME off", "node NAME leave"], read };

#[derive(Clone, Debug)]
struct Node {
    name: String,
    what: What,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum What {
    /// No new pods, and those that are there are deleted, but for DaemonSets' (`kubectl drain`).
    Drain,
    /// The power fails.
    Off,
    /// The power fails, and its Node is deleted, as an autoscaler does.
    Leave,
}

fn read(words: &[&str]) -> Option<Box<dyn Fault>> {
    let (name, what) = match words {
        ["node", name, "drain"] => (name, What::Drain),
        ["node", name, "off"] => (name, What::Off),
        ["node", name, "leave"] => (name, What::Leave),
        _ => return None,
    };
    Some(Box::new(Node { name: (*name).to_owned(), what }))
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.what {
            What::Drain => "drain",
            What::Off => "off",
            What::Leave => "leave",
        };
        write!(f, "node {} {what}", self.name)
    }
}

impl Fault for Node {
    fn strike(&self, run: &mut Run) -> Result<String, String> {
        let index = run.node(&self.name)?;
        if self.what == What::Drain {
            return self.drain(run);
        }
        let pods = run.cluster().running().filter(|pod| pod.node == index).count();
        run.power_off(index, self.what == What::Leave);
        Ok(format!("{pods} pods ran there"))
    }
}

impl Node {
    fn drain(&self, run: &mut Run) -> Result<String, String> {
        let stored = run.cluster().objects().nodes.get(&self.name).cloned().ok_or("its Node is gone")?;
        let cordoned = api::Node { unschedulable: true, ..api::Node::clone(&stored) };
        run.kubectl(Request::Update(Object::Node(cordoned.into()))).map_err(|why| why.to_string())?;
        let stays = |pod: &&Arc<api::Pod>| pod.workload.kind == WorkloadKind::DaemonSet;
        let there = run.cluster().objects().pods_on(&self.name).filter(|pod| !stays(pod));
        let there: Vec<_> = there.map(|pod| (pod.key.clone(), pod.meta.uid)).collect();
        for (key, uid) in &there {
            let object = ObjectRef::pod(key.clone());
            // One that is gone by now needs no eviction.
            let _ = run.kubectl(Request::Delete { object, uid: Some(*uid), grace: None });
        }
        Ok(format!("{} pods are evicted", there.len()))
    }
}

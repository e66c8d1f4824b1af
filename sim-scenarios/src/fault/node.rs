//! A node fails or leaves.

use std::fmt;

use super::{Fault, Kind};
use crate::run::Run;

pub(super) const KIND: Kind = Kind { usage: &["node NAME off", "node NAME leave"], read };

#[derive(Clone, Debug)]
struct Node {
    name: String,
    /// Its Node object is deleted too, as an autoscaler does.
    leaves: bool,
}

fn read(words: &[&str]) -> Option<Box<dyn Fault>> {
    let (name, leaves) = match words {
        ["node", name, "off"] => (name, false),
        ["node", name, "leave"] => (name, true),
        _ => return None,
    };
    Some(Box::new(Node { name: (*name).to_owned(), leaves }))
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {} {}", self.name, if self.leaves { "leave" } else { "off" })
    }
}

impl Fault for Node {
    fn strike(&self, run: &mut Run) -> Result<String, String> {
        let index = run.node(&self.name)?;
        let pods = run.cluster().running().filter(|pod| pod.node == index).count();
        run.power_off(index, self.leaves);
        Ok(format!("{pods} pods ran there"))
    }
}

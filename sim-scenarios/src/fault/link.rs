//! The wire of a node: down, up, lossy, slow.

use std::fmt;

use sim_core::engine::time::Duration;
use sim_core::link::LinkConfig;

use super::{Fault, Kind};
use crate::run::Run;

pub(super) const KIND: Kind =
    Kind { usage: &["link NODE down", "link NODE up", "link NODE loss MILLIONTHS", "link NODE delay TIME"], read };

#[derive(Clone, Debug)]
struct Link {
    node: String,
    change: Change,
}

#[derive(Clone, Copy, Debug)]
enum Change {
    Down,
    /// As it was made.
    Up,
    Loss(u32),
    Delay(Duration),
}

fn read(words: &[&str]) -> Option<Box<dyn Fault>> {
    let (node, change) = match words {
        ["link", node, "down"] => (node, Change::Down),
        ["link", node, "up"] => (node, Change::Up),
        ["link", node, "loss", millionths] => {
            (node, Change::Loss(millionths.parse().ok().filter(|n| *n <= 1_000_000)?))
        }
        ["link", node, "delay", time] => (node, Change::Delay(time.parse().ok()?)),
        _ => return None,
    };
    Some(Box::new(Link { node: (*node).to_owned(), change }))
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "link {} ", self.node)?;
        match self.change {
            Change::Down => f.write_str("down"),
            Change::Up => f.write_str("up"),
            Change::Loss(millionths) => write!(f, "loss {millionths}"),
            Change::Delay(delay) => write!(f, "delay {delay}"),
        }
    }
}

impl Fault for Link {
    fn strike(&self, run: &mut Run) -> Result<String, String> {
        let node = run.node(&self.node)?;
        let link = run.cluster().nodes[node].link;
        let now = run.world().link_config(link).unwrap_or_default();
        let config = match self.change {
            Change::Down => LinkConfig { down: true, ..now },
            Change::Up => LinkConfig::default(),
            Change::Loss(loss) => LinkConfig { loss, ..now },
            Change::Delay(delay) => LinkConfig { delay, ..now },
        };
        run.world_mut().set_link_config(link, config);
        Ok(String::new())
    }
}

//! iptables mode: upstream `pkg/proxy/iptables/proxier.go`, rule for rule and in its order.
//!
//! `chains` names them, `jumps` leads into them, `rules` writes those of one service port, `restore`
//! puts the whole `iptables-restore` input together.
use sim_core::wire::ip::Family;
pub mod chains;
mod jumps;
mod restore;
mod rules;

#[cfg(test)]
mod tests;

use super::{Config, Node, Proxier, Scope, Work};
use crate::command::Command;

/// kube-proxy's iptables mode.
#[derive(Clone, Copy, Debug)]
pub struct Iptables;

impl Proxier for Iptables {
    fn start(&self, config: &Config, node: &Node) -> Vec<Command> {
        let localhost = config.serves_localhost(node);
        localhost.then(|| Command::sysctl("net.ipv4.conf.all.route_localnet", 1)).into_iter().collect()
    }

    fn canary(&self, node: &Node) -> Vec<Command> {
        jumps::canary(Family::of(node.ip)).collect()
    }

    fn sync(&self, work: &Work<'_>) -> Vec<Command> {
        let family = Family::of(work.node.ip);
        let mut commands = if *work.scope == Scope::Full { jumps::ensured(family) } else { Vec::new() };
        commands.push(Command::Restore(family, restore::text(work)));
        commands
    }
}

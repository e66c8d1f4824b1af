//! iptables mode: upstream `pkg/proxy/iptables/proxier.go`, rule for rule and in its order.
//!
//! `chains` names them, `jumps` leads into them, `rules` writes those of one service port, `restore`
//! puts the whole `iptables-restore` input together.
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

    fn canary(&self) -> Vec<Command> {
        jumps::canary().collect()
    }

    fn sync(&self, work: &Work<'_>) -> Vec<Command> {
        let mut commands = if *work.scope == Scope::Full { jumps::ensured() } else { Vec::new() };
        commands.push(Command::Restore(restore::text(work)));
        commands
    }
}

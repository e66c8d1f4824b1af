//! Commands put to the netns of a world, through the one door.

use sim_core::engine::arena::NetnsId;
use sim_core::netns::netlink::TableName;
use sim_core::world::World;

use super::{Command, Place};

/// A command that a netns refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("in {netns}, {command}: {why}")]
pub struct CommandFailed {
    /// Name of the netns.
    pub netns: String,
    /// The first line of the command as typed into a shell.
    pub command: String,
    /// What the tool would print.
    pub why: String,
}

impl Command {
    /// Carries the command out in each of `netns`, in order. Rules are read once, and netns that had the same ones
    /// share the new ones.
    ///
    /// # Errors
    /// What the first netns that refuses says; those before it have carried it out.
    pub fn run(&self, world: &mut World, netns: &[NetnsId]) -> Result<(), CommandFailed> {
        match self {
            Self::Restore(text) => self.restore(world, netns, text),
            Self::EnsureChain { table, chain } => {
                let table = named(table);
                let lacks = |id: &NetnsId| !world.iptables_has_chain(*id, table, chain);
                let lacking: Vec<_> = netns.iter().copied().filter(lacks).collect();
                self.restore(world, &lacking, &format!("*{table}\n-N {chain}\nCOMMIT\n"))
            }
            Self::EnsureRule { table, chain, rule, place } => {
                let table = named(table);
                let mut lacking = Vec::new();
                for id in netns {
                    let has = world.iptables_check(*id, table, chain, rule);
                    if !has.map_err(|error| self.failed(world, &[*id], error))? {
                        lacking.push(*id);
                    }
                }
                let add = if *place == Place::First { "-I" } else { "-A" };
                self.restore(world, &lacking, &format!("*{table}\n{add} {chain} {rule}\nCOMMIT\n"))
            }
            Self::Ip(line) => self.each(world, netns, |world, id| world.ip(id, line)),
            Self::Bridge(line) => self.each(world, netns, |world, id| world.bridge(id, line)),
            Self::Sysctl { key, value } => self.each(world, netns, |world, id| world.sysctl(id, key, value)),
            Self::Conntrack(line) => self.each(world, netns, |world, id| world.conntrack(id, line).map(drop)),
        }
    }

    fn each<E: ToString>(
        &self,
        world: &mut World,
        netns: &[NetnsId],
        run: impl Fn(&mut World, NetnsId) -> Result<(), E>,
    ) -> Result<(), CommandFailed> {
        netns.iter().try_for_each(|id| run(world, *id).map_err(|why| self.failed(world, &[*id], why)))
    }

    fn restore(&self, world: &mut World, netns: &[NetnsId], text: &str) -> Result<(), CommandFailed> {
        let done = world.iptables_restore_each(netns, text, true);
        done.map_err(|error| self.failed(world, netns, error))
    }

    fn failed(&self, world: &World, netns: &[NetnsId], why: impl ToString) -> CommandFailed {
        let names: Vec<&str> = netns.iter().map(|id| world.netns(*id).name.as_str()).collect();
        let command = self.to_string().lines().next().unwrap_or_default().to_owned();
        CommandFailed { netns: names.join(", "), command, why: why.to_string() }
    }
}

fn named(table: &str) -> TableName {
    TableName::named(table).expect("a command names a table of iptables")
}

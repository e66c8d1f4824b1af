//! Commands put to the netns of a world, through the one door.

use sim_core::engine::arena::NetnsId;
use sim_core::netns::netlink::TableName;
use sim_core::wire::ip::Family;
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
            Self::Restore(family, text) => self.restore(world, netns, *family, text),
            Self::EnsureChain { family, table, chain } => {
                let table = named(table);
                let lacks = |id: &NetnsId| !world.iptables_has_chain((*id, *family), table, chain);
                let lacking: Vec<_> = netns.iter().copied().filter(lacks).collect();
                self.restore(world, &lacking, *family, &format!("*{table}\n-N {chain}\nCOMMIT\n"))
            }
            Self::EnsureRule { family, table, chain, rule, place } => {
                let table = named(table);
                let mut lacking = Vec::new();
                for id in netns {
                    let has = world.iptables_check((*id, *family), table, chain, rule);
                    if !has.map_err(|error| self.failed(world, &[*id], error))? {
                        lacking.push(*id);
                    }
                }
                let add = if *place == Place::First { "-I" } else { "-A" };
                self.restore(world, &lacking, *family, &format!("*{table}\n{add} {chain} {rule}\nCOMMIT\n"))
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

    fn restore(&self, world: &mut World, netns: &[NetnsId], family: Family, text: &str) -> Result<(), CommandFailed> {
        let done = world.iptables_restore_each(family, netns, text, true);
        done.map_err(|error| self.failed(world, netns, error))
    }

    fn failed(&self, world: &World, netns: &[NetnsId], why: impl ToString) -> CommandFailed {
        let names: Vec<&str> = netns.iter().map(|id| world.netns_name(*id)).collect();
        let command = self.to_string().lines().next().unwrap_or_default().to_owned();
        CommandFailed { netns: names.join(", "), command, why: why.to_string() }
    }
}

fn named(table: &str) -> TableName {
    TableName::named(table).expect("a command names a table of iptables")
}

#[cfg(test)]
mod tests {
    use sim_core::engine::rng::Seed;

    use super::*;

    fn jump() -> Command {
        let (chain, rule) = ("INPUT".into(), "-m comment --comment \"a jump\" -j OURS".into());
        Command::EnsureRule { family: Family::V4, table: "filter", chain, rule, place: Place::First }
    }

    #[test]
    fn a_chain_and_a_rule_that_are_there_are_left_alone() {
        let mut world = World::new(Seed(1));
        let nodes = ["n1", "n2"].map(|name| world.add_netns(name).expect("a new name"));
        let ours = Command::EnsureChain { family: Family::V4, table: "filter", chain: "OURS".into() };
        for command in [&ours, &jump(), &ours, &jump()] {
            command.run(&mut world, &nodes[..1]).expect("understood");
        }
        let other = Command::Restore(Family::V4, "*filter\n-A INPUT -j ACCEPT\n-I INPUT -j DROP\nCOMMIT\n".into());
        for command in [&other, &ours, &jump()] {
            command.run(&mut world, &nodes).expect("understood");
        }
        let rules = |id| {
            let saved = world.iptables_save(id, false);
            saved.lines().filter(|line| line.starts_with("-A")).map(str::to_owned).collect::<Vec<_>>()
        };
        let jump = "-A INPUT -m comment --comment \"a jump\" -j OURS";
        assert_eq!(rules(nodes[0]), ["-A INPUT -j DROP", jump, "-A INPUT -j ACCEPT"], "it stays where it is");
        assert_eq!(rules(nodes[1]), [jump, "-A INPUT -j DROP", "-A INPUT -j ACCEPT"]);
    }

    #[test]
    fn a_refused_command_says_where_and_why() {
        let mut world = World::new(Seed(1));
        let node = world.add_netns("n1").expect("a new name");
        let shown = |command: Command, world: &mut World| command.run(world, &[node]).expect_err("refused").to_string();
        let ip = shown(Command::Ip("link set eth9 up".into()), &mut world);
        assert_eq!(ip, "in n1, ip link set eth9 up: RTNETLINK answers: ENODEV");
        assert_eq!(shown(Command::sysctl("net.no.such", 1), &mut world), "in n1, sysctl -w net.no.such=1: ENOENT");
        let rule = shown(jump(), &mut world);
        assert!(rule.starts_with("in n1, iptables -t filter -C INPUT") && rule.contains("OURS"), "{rule}");
    }
}

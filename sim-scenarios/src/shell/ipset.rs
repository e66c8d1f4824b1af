//! `ipset`: sets that rules ask.

use sim_core::engine::arena::NetnsId;
use sim_core::netfilter::ipset::{SetError, Told};
use sim_core::world::World;

use super::{Answer, NotUnderstood, Output};

pub(super) const USAGE: &[&str] = &[
    "ipset create SET TYPE [OPTION]… · ipset add|del|test SET ENTRY [timeout N] [nomatch] … [-exist]",
    "ipset list|save [SET] [-t] [-n] · ipset flush|destroy [SET] · ipset rename|swap SET SET",
];

/// What the tool calls itself on standard error.
const NAME: &str = "ipset v7.17";

pub(super) fn run(world: &mut World, netns: NetnsId, words: &[&str]) -> Answer {
    if let Some(word) =
        words.iter().find(|word| matches!(**word, "restore" | "-R" | "-f" | "-file" | "-r" | "-resolve"))
    {
        return Err(NotUnderstood::word(word, USAGE[0]));
    }
    Ok(output(world.ipset(netns, words)))
}

/// What was told, as the tool prints it.
fn output(told: Result<Told, SetError>) -> Output {
    match told {
        Ok(Told { lines, remark: None }) => Output::lines(lines),
        Ok(Told { lines, remark: Some(remark) }) => Output::lines(lines).remark(remark),
        Err(SetError::NotThere(what)) => Output::refused(1, what),
        Err(SetError::Refused(why)) => Output::refused(1, format!("{NAME}: {why}")),
        Err(SetError::Usage(why)) => {
            Output::refused(2, format!("{NAME}: {why}")).remark("Try `ipset help' for more information.")
        }
    }
}

//! `ss` and `nstat`: sockets and their counters.

use sim_core::engine::arena::NetnsId;
use sim_core::netns::show::SocketForm;
use sim_core::world::World;

use super::{Answer, NotUnderstood, Output};

pub(super) const USAGE: &[&str] = &["ss [-t] [-u] [-a] [-l] [-n] [-H]"];
pub(super) const COUNTERS_USAGE: &[&str] = &["nstat [-a] [-z] [-s]"];

/// Ports are numbers with and without `-n`.
pub(super) fn run(world: &mut World, netns: NetnsId, words: &[&str]) -> Answer {
    let (mut tcp, mut udp, mut all, mut listening, mut titles) = (false, false, false, false, true);
    for word in words {
        let letters = word.strip_prefix('-').filter(|letters| !letters.is_empty() && !letters.starts_with('-'));
        for letter in letters.ok_or_else(|| NotUnderstood::word(word, "-t, -u, -a, -l, -n, -H"))?.chars() {
            match letter {
                't' => tcp = true,
                'u' => udp = true,
                'a' => all = true,
                'l' => listening = true,
                'H' => titles = false,
                'n' | '4' => {}
                other => return Err(NotUnderstood::word(&format!("-{other}"), "-t, -u, -a, -l, -n, -H")),
            }
        }
    }
    let both = tcp == udp;
    let form = SocketForm {
        tcp: tcp || both,
        udp: udp || both,
        // misc/ss.c: -l beside -a narrows it again.
        listening: all || listening,
        connected: !listening,
        passing: all && !listening,
        titles,
    };
    Ok(Output::lines(world.netns(netns).show_sockets(form)))
}

/// Values since the start, with and without `-a`; there is no history to leave alone (`-s`).
pub(super) fn counters(world: &mut World, netns: NetnsId, words: &[&str]) -> Answer {
    let mut zeros = false;
    for word in words {
        let letters = word.strip_prefix('-').filter(|letters| !letters.is_empty());
        for letter in letters.ok_or_else(|| NotUnderstood::word(word, "-a, -z, -s"))?.chars() {
            match letter {
                'z' => zeros = true,
                'a' | 's' => {}
                other => return Err(NotUnderstood::word(&format!("-{other}"), "-a, -z, -s")),
            }
        }
    }
    Ok(Output::lines(world.netns(netns).show_counters(zeros)))
}

//! `sysctl`, and `cat` of what lies under /proc/sys and /sys/class/net.

use sim_core::engine::arena::NetnsId;
use sim_core::engine::errno::Errno;
use sim_core::world::World;

use super::{Answer, NotUnderstood, Output};

pub(super) const USAGE: &[&str] = &["sysctl [-n] KEY… · sysctl [-w] KEY=VALUE…"];
pub(super) const CAT_USAGE: &[&str] = &["cat /proc/sys/KEY · cat /sys/class/net/DEV/mtu"];

pub(super) fn run(world: &mut World, netns: NetnsId, words: &[&str]) -> Answer {
    let mut named = true;
    let mut output = Output::default();
    let mut keys = 0;
    for word in words {
        match *word {
            "-n" => named = false,
            "-w" => {}
            option if option.starts_with('-') => return Err(NotUnderstood::word(option, "-n, -w")),
            word => {
                keys += 1;
                one(world, netns, word, named, &mut output);
            }
        }
    }
    if keys == 0 { Err(NotUnderstood::word("", USAGE[0])) } else { Ok(output) }
}

/// Sets or reads one key; the others follow even if it is refused.
fn one(world: &mut World, netns: NetnsId, word: &str, named: bool, output: &mut Output) {
    let (key, value) = word.split_once('=').map_or((word, None), |(key, value)| (key, Some(value)));
    let key = dotted(key);
    let done = match value {
        Some(value) => world.sysctl(netns, &key, value).map(|()| value.to_owned()),
        None => world.sysctl_get(netns, &key),
    };
    match done {
        Ok(value) if named => output.stdout += &format!("{key} = {value}\n"),
        Ok(value) => output.stdout += &format!("{value}\n"),
        Err(errno) => {
            output.status = 1;
            output.stderr += &match errno {
                Errno::ENOENT => format!("sysctl: cannot stat {}: {}\n", path(&key), errno.message()),
                errno => format!("sysctl: setting key \"{key}\": {}\n", errno.message()),
            };
        }
    }
}

/// A key by its name or its path: what is written first, a dot or a slash, separates (procps, `slashdot`).
fn dotted(key: &str) -> String {
    match key.find(['.', '/']) {
        Some(at) if key.as_bytes()[at] == b'/' => swapped(key),
        _ => key.to_owned(),
    }
}

/// The file behind a key.
fn path(key: &str) -> String {
    format!("/proc/sys/{}", swapped(key))
}

fn swapped(key: &str) -> String {
    let swap = |c| match c {
        '.' => '/',
        '/' => '.',
        c => c,
    };
    key.chars().map(swap).collect()
}

pub(super) fn cat(world: &mut World, netns: NetnsId, words: &[&str]) -> Answer {
    let [path] = words else { return Err(NotUnderstood::word(words.get(1).unwrap_or(&""), CAT_USAGE[0])) };
    let found = match (path.strip_prefix("/proc/sys/"), dev_of(path)) {
        (Some(key), _) => world.sysctl_get(netns, &swapped(key)).ok(),
        (None, Some(dev)) => world.netns(netns).devs().by_name(dev).map(|dev| dev.mtu.to_string()),
        (None, None) => return Err(NotUnderstood::word(path, CAT_USAGE[0])),
    };
    Ok(match found {
        Some(value) => Output::lines([value]),
        None => Output::refused(1, format!("cat: {path}: {}", Errno::ENOENT.message())),
    })
}

fn dev_of(path: &str) -> Option<&str> {
    path.strip_prefix("/sys/class/net/")?.strip_suffix("/mtu")
}

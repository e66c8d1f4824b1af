//! Commands of the usual tools, as far as specs use them.

use std::net::IpAddr;

use sim_core::engine::arena::NetnsId;
use sim_core::netfilter::conntrack::Filter;
use sim_core::wire::ip::{ICMP, TCP, UDP};
use sim_core::world::World;

use crate::lab::bench::{Output, Refused};

/// Carries out a command inside `netns`.
pub(super) fn exec(world: &mut World, netns: NetnsId, words: &[&str]) -> Result<Output, Refused> {
    match words {
        ["ip", "neigh", "show"] => Ok(lines(world.netns(netns).show_neighs())),
        ["bridge", "fdb", "show"] => Ok(lines(world.netns(netns).show_fdb(None, world.now()))),
        ["bridge", "fdb", "show", "br", bridge] => Ok(lines(world.netns(netns).show_fdb(Some(bridge), world.now()))),
        ["conntrack", "-L", "-o", "extended"] => Ok(lines(world.netns(netns).show_conntrack(world.now()))),
        ["conntrack", "-F"] => {
            world.conntrack_flush(netns);
            Ok(Output::default())
        }
        ["conntrack", "-D", options @ ..] => {
            // conntrack-tools: deleting nothing is a failure.
            let deleted = world.conntrack_delete(netns, &filter(options)?);
            Ok(Output { status: i32::from(deleted == 0), stdout: String::new() })
        }
        ["cat", path] => match path.strip_prefix("/sys/class/net/").and_then(|p| p.strip_suffix("/mtu")) {
            Some(dev) => Ok(mtu(world, netns, dev)),
            None => Err(not_yet(words)),
        },
        ["ip", line @ ..] => change(words, line, |line| world.ip(netns, line)),
        ["bridge", line @ ..] => change(words, line, |line| world.bridge(netns, line)),
        _ => Err(not_yet(words)),
    }
}

fn not_yet(words: &[&str]) -> Refused {
    Refused::NotYet(format!("exec {}", words.join(" ")))
}

fn lines(lines: Vec<String>) -> Output {
    Output { status: 0, stdout: lines.into_iter().map(|line| line + "\n").collect() }
}

/// A line of `ip` or `bridge` that changes something; what the kernel refuses is exit status 2.
fn change(
    words: &[&str],
    line: &[&str],
    run: impl FnOnce(&str) -> Result<(), sim_core::netns::netlink::CommandError>,
) -> Result<Output, Refused> {
    match run(&line.join(" ")).map_err(super::command_refused) {
        Ok(()) => Ok(Output::default()),
        Err(Refused::Failed(_)) => Ok(Output { status: 2, stdout: String::new() }),
        Err(Refused::NotYet(_)) => Err(not_yet(words)),
    }
}

fn mtu(world: &World, netns: NetnsId, dev: &str) -> Output {
    match world.netns(netns).devs().by_name(dev) {
        Some(dev) => lines(vec![dev.mtu.to_string()]),
        None => Output { status: 1, stdout: String::new() },
    }
}

/// The options of `conntrack -D`.
fn filter(options: &[&str]) -> Result<Filter, Refused> {
    let not_yet = || Refused::NotYet(format!("exec conntrack -D {}", options.join(" ")));
    let mut filter = Filter::default();
    let (pairs, rest) = options.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(not_yet());
    }
    for [option, value] in pairs {
        let addr = || value.parse::<IpAddr>().map(Some).map_err(|_| not_yet());
        let port = || value.parse::<u16>().map(Some).map_err(|_| not_yet());
        match *option {
            "-p" | "--proto" => filter.proto = Some(proto(value).ok_or_else(not_yet)?),
            "-s" | "--orig-src" | "--src" => filter.orig_src = addr()?,
            "-d" | "--orig-dst" | "--dst" => filter.orig_dst = addr()?,
            "-r" | "--reply-src" => filter.reply_src = addr()?,
            "-q" | "--reply-dst" => filter.reply_dst = addr()?,
            "--sport" | "--orig-port-src" => filter.orig_port_src = port()?,
            "--dport" | "--orig-port-dst" => filter.orig_port_dst = port()?,
            "--reply-port-src" => filter.reply_port_src = port()?,
            "--reply-port-dst" => filter.reply_port_dst = port()?,
            "-w" | "--zone" => filter.zone = port()?,
            "-m" | "--mark" => filter.mark = Some(value.parse().map_err(|_| not_yet())?),
            _ => return Err(not_yet()),
        }
    }
    Ok(filter)
}

fn proto(name: &str) -> Option<u8> {
    match name {
        "icmp" => Some(ICMP),
        "tcp" => Some(TCP),
        "udp" => Some(UDP),
        number => number.parse().ok(),
    }
}

//! `ip`: what it shows, and the door's words.

use std::net::IpAddr;

use sim_core::engine::arena::NetnsId;
use sim_core::engine::errno::Errno;
use sim_core::engine::time::Instant;
use sim_core::netns::Netns;
use sim_core::netns::fib::{FibKey, TABLE_DEFAULT, TABLE_LOCAL, TABLE_MAIN};
use sim_core::netns::netlink::CommandError;
use sim_core::netns::show::LinkForm;
use sim_core::wire::ip::Family;
use sim_core::world::World;

use super::{Answer, NotUnderstood, Output};

pub(super) const USAGE: &[&str] = &[
    "ip [-4|-6|-br] addr|link [show [DEV]]",
    "ip [-6] route [show [table X]] · ip route get ADDR [from ADDR [iif DEV]] · ip rule · ip neigh [show [dev DEV]]",
    "ip link add|set|del … · ip addr|route|rule|neigh add|replace|del …",
];

/// The exit status of what the kernel refuses (ip/iproute.c and its siblings return -2).
const KERNEL_REFUSED: i32 = 2;
/// The exit status of what `ip` itself refuses.
const REFUSED: i32 = 1;

pub(super) fn run(world: &mut World, netns: NetnsId, words: &[&str]) -> Answer {
    let (mut form, mut asked) = (LinkForm::Full, None);
    let all_words = words;
    let mut words = words;
    while let [option, rest @ ..] = words
        && option.starts_with('-')
    {
        match *option {
            "-4" => asked = Some(Family::V4),
            "-6" => asked = Some(Family::V6),
            "-br" | "-brief" => form = LinkForm::Brief,
            other => return Err(NotUnderstood::word(other, "-4, -6, -br")),
        }
        words = rest;
    }
    if let (Some(family), LinkForm::Full) = (asked, form) {
        form = LinkForm::Of(family);
    }
    let [object, rest @ ..] = words else { return Err(NotUnderstood::word("", OBJECTS)) };
    let family = asked.unwrap_or(Family::V4);
    let shown = matches!(rest, [] | ["show" | "list" | "ls" | "get", ..]);
    let ns = world.netns(netns);
    match *object {
        "addr" | "address" | "a" if shown => links(ns, rest, |dev| ns.show_addrs(dev, form)),
        "link" | "l" if shown => links(ns, rest, |dev| ns.show_links(dev, form)),
        "route" | "ro" | "r" if shown => route(ns, world.now(), family, rest),
        "neigh" | "neighbour" | "neighbor" | "n" if shown => neigh(ns, asked, rest),
        "rule" | "ru" if matches!(rest, [] | ["show" | "list" | "ls"]) => {
            Ok(Output::lines(ns.show_policy_rules(family)))
        }
        _ => change(world, netns, all_words),
    }
}

const OBJECTS: &str = "addr, link, route, neigh, rule";

/// `show [dev] NAME`, of addresses or devices.
fn links(ns: &Netns, words: &[&str], show: impl Fn(Option<&str>) -> Vec<String>) -> Answer {
    match words {
        [] | [_] => Ok(Output::lines(show(None))),
        [_, "dev", dev] | [_, dev] if ns.devs().by_name(dev).is_none() => {
            Ok(Output::refused(REFUSED, format!("Device \"{dev}\" does not exist.")))
        }
        [_, "dev", dev] | [_, dev] => Ok(Output::lines(show(Some(dev)))),
        [_, _, rest @ ..] => Err(NotUnderstood::word(rest[0], "show [dev] DEV")),
    }
}

fn route(ns: &Netns, now: Instant, family: Family, words: &[&str]) -> Answer {
    match words {
        ["get", words @ ..] => route_get(ns, now, words),
        [] | [_] => Ok(Output::lines(ns.show_routes(family, TABLE_MAIN))),
        [_, "table", "all"] => Ok(Output::lines(ns.show_all_routes(family))),
        [_, "table", table] => match table_number(table) {
            Some(number) if ns.has_routing_table(number) => Ok(Output::lines(ns.show_routes(family, number))),
            Some(_) => {
                let name = if family == Family::V4 { "ipv4" } else { "ipv6" };
                let message = format!("Error: {name}: FIB table does not exist.\nDump terminated");
                Ok(Output::refused(KERNEL_REFUSED, message))
            }
            None => Err(NotUnderstood::word(table, "local, main, default, all or a number")),
        },
        [_, other, ..] => Err(NotUnderstood::word(other, "table X")),
    }
}

fn table_number(word: &str) -> Option<u32> {
    match word {
        "local" => Some(TABLE_LOCAL),
        "main" => Some(TABLE_MAIN),
        "default" => Some(TABLE_DEFAULT),
        number => number.parse().ok(),
    }
}

fn route_get(ns: &Netns, now: Instant, words: &[&str]) -> Answer {
    const UNDERSTOOD: &str = "route get ADDR [from ADDR [iif DEV]] [oif DEV]";
    let address = |word: &str| word.parse::<IpAddr>().map_err(|_| NotUnderstood::word(word, UNDERSTOOD));
    let words = if let ["to", rest @ ..] = words { rest } else { words };
    let [dst, options @ ..] = words else { return Err(NotUnderstood::word("", UNDERSTOOD)) };
    let mut key = FibKey::to(address(dst)?);
    let (pairs, rest) = options.as_chunks::<2>();
    if let [word] = rest {
        return Err(NotUnderstood::word(word, UNDERSTOOD));
    }
    for [option, value] in pairs {
        let dev = || ns.devs().by_name(value).map(|dev| dev.id);
        match *option {
            "from" => key.src = Some(address(value)?),
            "iif" | "oif" | "dev" if dev().is_none() => return Ok(no_device(value)),
            "iif" => key.iif = dev(),
            "oif" | "dev" => key.oif = dev(),
            other => return Err(NotUnderstood::word(other, UNDERSTOOD)),
        }
    }
    Ok(match ns.show_route_to(&key, now) {
        Ok(lines) => Output::lines(lines),
        Err(errno) => Output::refused(KERNEL_REFUSED, answers(errno)),
    })
}

fn neigh(ns: &Netns, family: Option<Family>, words: &[&str]) -> Answer {
    match words {
        [] | [_] => Ok(Output::lines(ns.show_neighs(family))),
        [_, "dev", dev] if ns.devs().by_name(dev).is_none() => Ok(no_device(dev)),
        [_, "dev", dev] => Ok(Output::lines(lines_of_dev(ns.show_neighs(family), dev))),
        [_, other, ..] => Err(NotUnderstood::word(other, "neigh show [dev DEV]")),
    }
}

/// The lines about one device. A tool that is asked about one does not repeat its name.
pub(super) fn lines_of_dev(lines: Vec<String>, dev: &str) -> impl Iterator<Item = String> {
    let name = format!(" dev {dev} ");
    lines
        .into_iter()
        .filter(move |line| line.contains(&name))
        .map(move |line| line.replacen(&format!(" dev {dev}"), "", 1))
}

fn no_device(dev: &str) -> Output {
    Output::refused(REFUSED, format!("Cannot find device \"{dev}\""))
}

/// The kernel's errno as iproute2 tells it (lib/libnetlink.c).
pub(super) fn answers(errno: Errno) -> String {
    format!("RTNETLINK answers: {}", errno.message())
}

fn change(world: &mut World, netns: NetnsId, words: &[&str]) -> Answer {
    let route = words.iter().any(|word| matches!(*word, "route" | "ro" | "r"));
    match world.ip(netns, &words.join(" ")) {
        Ok(()) => Ok(Output::default()),
        Err(CommandError::Refused(Errno::ENODEV)) => match named_device(words) {
            // iproute2 looks for the device before it asks the kernel.
            Some(dev) => Ok(no_device(dev)),
            None => Ok(Output::refused(KERNEL_REFUSED, answers(Errno::ENODEV))),
        },
        // net/ipv4/fib_semantics.c, `fib_check_nh`, says so beside the errno, and iproute2 then prints that alone.
        Err(CommandError::Refused(Errno::ENETUNREACH)) if route && words.contains(&"via") => {
            Ok(Output::refused(KERNEL_REFUSED, "Error: Nexthop has invalid gateway."))
        }
        Err(CommandError::Refused(errno)) => Ok(Output::refused(KERNEL_REFUSED, answers(errno))),
        Err(CommandError::NoNetns(name)) => {
            Ok(Output::refused(REFUSED, format!("Cannot open network namespace \"{name}\": No such file or directory")))
        }
        Err(error @ CommandError::Syntax { .. }) => Err(not_understood("ip", words, &error)),
    }
}

/// The device a line is about: after `dev`, or the word after `set` and `del`.
fn named_device<'w>(words: &[&'w str]) -> Option<&'w str> {
    let after = |word: &str| words.iter().position(|w| *w == word).and_then(|at| words.get(at + 1)).copied();
    after("dev").or_else(|| after("set")).or_else(|| after("del")).or_else(|| after("delete"))
}

/// What the door's own reader says of a line.
pub(super) fn not_understood(tool: &str, words: &[&str], error: &CommandError) -> NotUnderstood {
    let line = format!("{tool} {}", words.join(" "));
    match error {
        CommandError::Syntax { at, expected } if at.is_empty() => NotUnderstood {
            what: format!("a word is missing at the end of: {line}"),
            understood: (*expected).to_owned(),
        },
        CommandError::Syntax { at, expected } => {
            NotUnderstood { what: format!("not understood: {at}, in: {line}"), understood: (*expected).to_owned() }
        }
        other => NotUnderstood { what: format!("{line}: {other}"), understood: "another netns".to_owned() },
    }
}

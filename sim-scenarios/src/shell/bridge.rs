//! `bridge`: what it shows, and the door's words.

use sim_core::engine::arena::NetnsId;
use sim_core::netns::netlink::CommandError;
use sim_core::world::World;

use super::ip::{answers, lines_of_dev, not_understood};
use super::{Answer, NotUnderstood, Output};

pub(super) const USAGE: &[&str] = &[
    "bridge fdb [show [br BRIDGE|dev DEV]] · bridge link [show [dev DEV]]",
    "bridge fdb add|replace|del MAC dev DEV [dst ADDR] … · bridge link set dev DEV hairpin|learning on|off",
];

/// bridge/bridge.c ends with -1 whatever the kernel refuses.
const REFUSED: i32 = 255;

pub(super) fn run(world: &mut World, netns: NetnsId, words: &[&str]) -> Answer {
    let (ns, now) = (world.netns(netns), world.now());
    let no_device = |dev: &str| Output::refused(REFUSED, format!("Cannot find device \"{dev}\""));
    match words {
        ["fdb" | "link", "show" | "list", "br" | "brport" | "dev", dev] if ns.devs().by_name(dev).is_none() => {
            Ok(no_device(dev))
        }
        ["fdb"] | ["fdb", "show" | "list"] => Ok(Output::lines(ns.show_fdb(None, now))),
        ["fdb", "show" | "list", "br", bridge] => Ok(Output::lines(ns.show_fdb(Some(bridge), now))),
        ["fdb", "show" | "list", "dev" | "brport", dev] => Ok(Output::lines(lines_of_dev(ns.show_fdb(None, now), dev))),
        ["fdb", "show" | "list", other, ..] => Err(NotUnderstood::word(other, "br BRIDGE, dev DEV")),
        ["link"] | ["link", "show" | "list"] => Ok(Output::lines(ns.show_bridge_ports(None))),
        ["link", "show" | "list", "dev", dev] => Ok(Output::lines(ns.show_bridge_ports(Some(dev)))),
        ["link", "show" | "list", other, ..] => Err(NotUnderstood::word(other, "dev DEV")),
        _ => change(world, netns, words),
    }
}

fn change(world: &mut World, netns: NetnsId, words: &[&str]) -> Answer {
    match world.bridge(netns, &words.join(" ")) {
        Ok(()) => Ok(Output::default()),
        Err(CommandError::Refused(errno)) => Ok(Output::refused(REFUSED, answers(errno))),
        Err(error) => Err(not_understood("bridge", words, &error)),
    }
}

//! One target of each kind, where it may stand.

use super::dice::Dice;
use super::rules::Place;
use super::scene::Scene;

/// Draws a target for a rule at `place`: the protocol that it needs, if any, and its words.
pub(super) fn target(dice: &mut Dice, scene: &Scene, place: Place) -> (Option<&'static str>, String) {
    if dice.below(3) > 0 {
        let own = match place.table {
            "raw" => raw(dice, scene),
            "mangle" => mangle(dice, scene, place),
            "nat" => return nat(dice, scene, place),
            "filter" => return reject(dice, scene),
            _ => "-j ACCEPT".into(),
        };
        if let Some(proto) = own.contains("TCPMSS").then_some("tcp") {
            return (Some(proto), format!("-m tcp --tcp-flags SYN,RST SYN {own}"));
        }
        return (None, own);
    }
    let text = anywhere(dice, scene);
    // Linux refuses to filter in a table that only first packets see.
    (None, if place.table == "nat" { text.replace("-j DROP", "-j ACCEPT") } else { text })
}

fn anywhere(dice: &mut Dice, scene: &Scene) -> String {
    match dice.below(11) {
        0..=2 => "-j ACCEPT".into(),
        3 => "-j DROP".into(),
        4 | 5 => "-j RETURN".into(),
        6 => format!("-j MARK --set-xmark {}", marked(dice)),
        7 => format!("-j CONNMARK --set-xmark {}", marked(dice)),
        8 => dice
            .pick(&[
                "-j CONNMARK --save-mark --nfmask 0xffffffff --ctmask 0xffffffff",
                "-j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff",
                "-j CONNMARK --restore-mark --nfmask 0xff --ctmask 0x1",
            ])
            .into(),
        9 => dice.pick(&["-j LOG", "-j NFLOG --nflog-group 5"]).into(),
        _ => format!(
            "-j SET --{}-set pods{} {}",
            dice.pick(&["add", "del"]),
            scene.words.suffix,
            dice.pick(&["src", "dst"])
        ),
    }
}

fn marked(dice: &mut Dice) -> &'static str {
    dice.pick(&["0x1/0xffffffff", "0x1/0x1", "0x4000/0x4000", "0x0/0x1", "0x3/0xff"])
}

fn raw(dice: &mut Dice, scene: &Scene) -> String {
    let zones = ["-j CT --zone 3", "-j CT --zone-orig 4", "-j CT --zone-reply 5"];
    match dice.below(6) {
        0 | 1 => "-j CT --notrack".into(),
        2 => "-j NOTRACK".into(),
        3 => dice.pick(&zones).into(),
        _ => anywhere(dice, scene),
    }
}

fn mangle(dice: &mut Dice, scene: &Scene, place: Place) -> String {
    match dice.below(7) {
        0 => {
            let [option, target] = scene.words.ttl;
            format!("-j {target} --{option}-{}", dice.pick(&["set 5", "dec 1", "inc 3", "set 1"]))
        }
        1 => format!("-j DSCP --set-dscp {}", dice.pick(&["0x0a", "0x00", "0x3f"])),
        2 if !matches!(place.hook, "PREROUTING" | "INPUT") && dice.one_in(2) => "-j TCPMSS --clamp-mss-to-pmtu".into(),
        2 | 3 => format!("-j TCPMSS --set-mss {}", dice.pick(&["1120", "1200", "1460"])),
        4 => format!(
            "-j MARK {}",
            dice.pick(&["--set-xmark 0x1/0xffffffff", "--set-xmark 0x0/0xff", "--set-xmark 0x4000/0x4000"])
        ),
        _ => anywhere(dice, scene),
    }
}

fn reject(dice: &mut Dice, scene: &Scene) -> (Option<&'static str>, String) {
    match dice.below(3) {
        0 => (None, anywhere(dice, scene)),
        1 => (Some("tcp"), "-j REJECT --reject-with tcp-reset".into()),
        _ => (None, format!("-j REJECT --reject-with {}", dice.pick(scene.words.rejects))),
    }
}

/// Translations name one address, so that nothing is drawn but ports, which are compared as classes.
fn nat(dice: &mut Dice, scene: &Scene, place: Place) -> (Option<&'static str>, String) {
    let (words, proto) = (scene.words, dice.pick(&["udp", "tcp"]));
    let ported = dice.one_in(2);
    let mut needs = false;
    let mut ports = |text: &'static str| {
        needs |= ported;
        if ported { text } else { "" }
    };
    let text = match (place.hook, dice.below(4)) {
        ("PREROUTING" | "OUTPUT", 0) => format!("-j REDIRECT{}", ports(" --to-ports 8080")),
        ("POSTROUTING", 0) => format!("-j MASQUERADE{}", ports(" --to-ports 50000-50005")),
        ("POSTROUTING", 1) => format!("-j MASQUERADE{}", dice.pick(&["", " --random", " --random-fully"])),
        (_, 3) if dice.one_in(2) => format!("-j NETMAP --to {}", words.pod_net),
        ("PREROUTING" | "OUTPUT", _) => {
            let pod = scene.pod_addr(dice);
            format!("-j DNAT --to-destination {}", words.with_ports(pod, ports(":8080")))
        }
        _ => {
            let range = dice.pick(&[":50000", ":50000-50003", ":700-703"]);
            let pod = scene.pod_addr(dice);
            let to = dice.pick(&[words.nodes[0], words.bridges[0], pod]);
            format!("-j SNAT --to-source {}", words.with_ports(to, ports(range)))
        }
    };
    (needs.then_some(proto), text)
}

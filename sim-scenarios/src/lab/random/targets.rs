//! One target of each kind, where it may stand.

use super::dice::Dice;
use super::rules::Place;
use super::scene::Scene;

/// Draws a target for a rule at `place`: the protocol that it needs, if any, and its words.
pub(super) fn target(dice: &mut Dice, scene: &Scene, place: Place) -> (Option<&'static str>, String) {
    if dice.below(3) > 0 {
        let own = match place.table {
            "raw" => raw(dice),
            "mangle" => mangle(dice, place),
            "nat" => return nat(dice, scene, place),
            "filter" => return reject(dice),
            _ => "-j ACCEPT".into(),
        };
        if let Some(proto) = own.contains("TCPMSS").then_some("tcp") {
            return (Some(proto), format!("-m tcp --tcp-flags SYN,RST SYN {own}"));
        }
        return (None, own);
    }
    let text = anywhere(dice);
    // Linux refuses to filter in a table that only first packets see.
    (None, if place.table == "nat" { text.replace("-j DROP", "-j ACCEPT") } else { text })
}

fn anywhere(dice: &mut Dice) -> String {
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
        _ => format!("-j SET --{}-set pods {}", dice.pick(&["add", "del"]), dice.pick(&["src", "dst"])),
    }
}

fn marked(dice: &mut Dice) -> &'static str {
    dice.pick(&["0x1/0xffffffff", "0x1/0x1", "0x4000/0x4000", "0x0/0x1", "0x3/0xff"])
}

fn raw(dice: &mut Dice) -> String {
    let zones = ["-j CT --zone 3", "-j CT --zone-orig 4", "-j CT --zone-reply 5"];
    match dice.below(6) {
        0 | 1 => "-j CT --notrack".into(),
        2 => "-j NOTRACK".into(),
        3 => dice.pick(&zones).into(),
        _ => anywhere(dice),
    }
}

fn mangle(dice: &mut Dice, place: Place) -> String {
    match dice.below(7) {
        0 => format!("-j TTL --ttl-{}", dice.pick(&["set 5", "dec 1", "inc 3", "set 1"])),
        1 => format!("-j DSCP --set-dscp {}", dice.pick(&["0x0a", "0x00", "0x3f"])),
        2 if !matches!(place.hook, "PREROUTING" | "INPUT") && dice.one_in(2) => "-j TCPMSS --clamp-mss-to-pmtu".into(),
        2 | 3 => format!("-j TCPMSS --set-mss {}", dice.pick(&["500", "1200", "1460"])),
        4 => format!(
            "-j MARK {}",
            dice.pick(&["--set-xmark 0x1/0xffffffff", "--set-xmark 0x0/0xff", "--set-xmark 0x4000/0x4000"])
        ),
        _ => anywhere(dice),
    }
}

fn reject(dice: &mut Dice) -> (Option<&'static str>, String) {
    const TYPES: &[&str] = &[
        "icmp-net-unreachable",
        "icmp-host-unreachable",
        "icmp-port-unreachable",
        "icmp-proto-unreachable",
        "icmp-net-prohibited",
        "icmp-host-prohibited",
        "icmp-admin-prohibited",
    ];
    match dice.below(3) {
        0 => (None, anywhere(dice)),
        1 => (Some("tcp"), "-j REJECT --reject-with tcp-reset".into()),
        _ => (None, format!("-j REJECT --reject-with {}", dice.pick(TYPES))),
    }
}

/// Translations name one address, so that nothing is drawn but ports, which are compared as classes.
fn nat(dice: &mut Dice, scene: &Scene, place: Place) -> (Option<&'static str>, String) {
    let proto = dice.pick(&["udp", "tcp"]);
    let ported = dice.one_in(2);
    let needs = ported.then_some(proto);
    let ports = |text: &str| if ported { text.to_owned() } else { String::new() };
    let text = match (place.hook, dice.below(4)) {
        ("PREROUTING" | "OUTPUT", 0) => format!("-j REDIRECT{}", ports(" --to-ports 8080")),
        ("POSTROUTING", 0) => format!("-j MASQUERADE{}", ports(" --to-ports 50000-50005")),
        ("POSTROUTING", 1) => format!("-j MASQUERADE{}", dice.pick(&["", " --random", " --random-fully"])),
        (_, 3) if dice.one_in(2) => "-j NETMAP --to 10.244.1.0/24".into(),
        ("PREROUTING" | "OUTPUT", _) => format!("-j DNAT --to-destination {}{}", scene.pod_addr(dice), ports(":8080")),
        _ => {
            let range = dice.pick(&[":50000", ":50000-50003", ":700-703"]);
            let pod = scene.pod_addr(dice);
            let to = dice.pick(&["10.240.0.11", "10.244.1.1", &pod]);
            format!("-j SNAT --to-source {to}{}", ports(range))
        }
    };
    let needs = if text.contains(':') || text.contains("ports") { needs } else { None };
    (needs, text)
}

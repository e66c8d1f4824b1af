//! The rules of a random spec: a few in each table, at every hook, in the shape of real ones.

use sim_core::wire::ip::Family;

use super::dice::Dice;
use super::scene::Scene;
use super::words::Words;
use super::{matches, targets};

/// Where a rule stands: what it may use depends on it.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// The table.
    pub table: &'static str,
    /// The built-in chain from which it is reached.
    pub hook: &'static str,
}

/// The tables and their built-in chains.
const TABLES: &[(&str, &[&str])] = &[
    ("raw", &["PREROUTING", "OUTPUT"]),
    ("mangle", &["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"]),
    ("nat", &["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"]),
    ("filter", &["INPUT", "FORWARD", "OUTPUT"]),
    ("security", &["INPUT", "FORWARD", "OUTPUT"]),
];

/// The rules of one node as iptables-save text.
pub(super) fn text(dice: &mut Dice, scene: &Scene) -> String {
    let (service, idiom) = (dice.one_in(2), dice.pick(&idioms(scene.words)));
    let mut out = String::new();
    for (table, hooks) in TABLES {
        let mut first: Vec<String> = match *table {
            "mangle" => idiom.mangle.lines().map(String::from).collect(),
            "filter" => idiom.filter.lines().map(String::from).collect(),
            _ => Vec::new(),
        };
        if service && *table == "nat" {
            first = service_rules(dice, scene);
        }
        let here = if *table == "security" { dice.one_in(6) } else { dice.below(3) < 2 };
        if here || !first.is_empty() {
            out += &one_table(dice, scene, table, hooks, first);
        }
    }
    out
}

/// Rules that mean something together: chance alone seldom writes them.
#[derive(Clone, Default)]
struct Idiom {
    mangle: &'static str,
    filter: String,
}

fn idioms(words: &Words) -> [Idiom; 6] {
    let icmp = words.icmp.proto;
    let [port, net, host] = words.answers;
    [
        Idiom::default(),
        Idiom {
            mangle: "-A PREROUTING -p udp -j MARK --set-xmark 0x3/0xffffffff\n\
                     -A FORWARD -p tcp -j MARK --set-xmark 0x5/0xff",
            filter: format!("-A FORWARD -m mark --mark 0x1/0x1 -j REJECT --reject-with {net}"),
        },
        Idiom {
            mangle: "-A FORWARD -j MARK --set-xmark 0x2/0x2",
            filter: "-A FORWARD -m mark ! --mark 0x2/0x2 -j DROP\n-A FORWARD -m conntrack --ctstate INVALID -j DROP".into(),
        },
        Idiom {
            mangle: "",
            filter: format!(
                ":I - [0:0]\n-A FORWARD -j I\n-A FORWARD -p udp -j REJECT --reject-with {port}\n\
                 -A FORWARD -p tcp -m tcp --dport 8080 -j REJECT --reject-with tcp-reset\n-A I -p udp -j RETURN\n-A I -p {icmp} -j ACCEPT"
            ),
        },
        Idiom {
            mangle: "",
            filter: format!(
                ":I - [0:0]\n:J - [0:0]\n-A FORWARD -j I\n-A FORWARD -p {icmp} -j REJECT --reject-with {host}\n\
                 -A I -p tcp -g J\n-A I -j DROP\n-A J -m tcp -p tcp --dport 80 -j REJECT --reject-with tcp-reset"
            ),
        },
        Idiom {
            mangle: "",
            filter: "-A FORWARD -m limit --limit 1/hour --limit-burst 2 -j ACCEPT\n-A FORWARD -p tcp -j REJECT --reject-with tcp-reset\n\
                     -A INPUT -p tcp -j REJECT --reject-with tcp-reset".into(),
        },
    ]
}

/// The rules of one node whose ipsets are perhaps not there.
pub(super) fn text_without_sets(dice: &mut Dice, scene: &Scene) -> String {
    let text = text(dice, scene);
    text.lines().filter(|line| !line.contains("-set ")).map(|line| format!("{line}\n")).collect()
}

fn one_table(
    dice: &mut Dice,
    scene: &Scene,
    table: &'static str,
    hooks: &[&'static str],
    mut first: Vec<String>,
) -> String {
    let (mut chains, mut rules) = (Vec::new(), Vec::new());
    chains.extend(first.extract_if(.., |line| line.starts_with(':')));
    for hook in hooks {
        let policy = if table == "filter" && dice.one_in(10) { "DROP" } else { "ACCEPT" };
        chains.push(format!(":{hook} {policy} [0:0]"));
        let place = Place { table, hook };
        if table == "nat" && !dice.one_in(20) {
            // A node that translates its own tunnel is of little interest and takes its pods' networks down.
            rules.push(format!("-A {hook} -p udp -m udp --dport 8472 -j ACCEPT"));
        }
        let user = dice.one_in(3).then(|| format!("U-{hook}"));
        for _ in 0..dice.weighed(&[(4, 0), (3, 1), (1, 2)]) {
            rules.push(rule(dice, scene, hook, place, user.as_deref()));
        }
        if let Some(user) = user {
            chains.push(format!(":{user} - [0:0]"));
            for _ in 0..dice.between(1, 2) {
                rules.push(rule(dice, scene, &user, place, None));
            }
        }
    }
    rules.extend(first);
    format!("*{table}\n{}\n{}\nCOMMIT\n", chains.join("\n"), rules.join("\n")).replace("\n\n", "\n")
}

/// A Service as kube-proxy would have it: the VIP's and a node port's traffic goes to a pod, marked to be masqueraded.
fn service_rules(dice: &mut Dice, scene: &Scene) -> Vec<String> {
    let (words, mut rules) = (scene.words, Vec::new());
    let [pods, ..] = words.nets;
    let mark = dice.one_in(2);
    for hook in ["PREROUTING", "OUTPUT"] {
        for proto in ["udp", "tcp"] {
            let to = scene.pod_addr(dice);
            let vip = format!("-A {hook} -d {}/{} -p {proto} -m {proto} --dport 80", words.vip, words.bits);
            let port = format!("-A {hook} -p {proto} -m addrtype --dst-type LOCAL -m {proto} --dport 30080");
            for select in [vip, port] {
                if mark {
                    rules.push(format!("{select} -j MARK --set-xmark 0x4000/0x4000"));
                }
                rules.push(format!("{select} -j DNAT --to-destination {}", words.with_ports(to, ":8080")));
            }
        }
    }
    if mark {
        rules.push("-A POSTROUTING -m mark --mark 0x4000/0x4000 -j MASQUERADE".into());
    } else if dice.one_in(2) {
        rules.push(format!("-A POSTROUTING -s {pods} ! -d {pods} -j MASQUERADE"));
    }
    rules
}

/// One rule of `chain`; `user` is a chain it may jump to.
fn rule(dice: &mut Dice, scene: &Scene, chain: &str, place: Place, user: Option<&str>) -> String {
    let mut words = vec![format!("-A {chain}")];
    let (proto, target) = match user {
        Some(user) if dice.one_in(2) => (None, format!("{} {user}", dice.weighed(&[(3, "-j"), (1, "-g")]))),
        _ => targets::target(dice, scene, place),
    };
    let proto = proto
        .or_else(|| dice.weighed(&[(3, None), (3, Some("udp")), (3, Some("tcp")), (2, Some(scene.words.icmp.proto))]));
    words.extend(selector(dice, scene, place, proto));
    for _ in 0..dice.weighed(&[(3, 0), (5, 1), (2, 2)]) {
        words.extend(matches::matches(dice, scene, place, proto));
    }
    words.push(target);
    words.join(" ")
}

fn selector(dice: &mut Dice, scene: &Scene, place: Place, proto: Option<&str>) -> Vec<String> {
    let mut words = Vec::new();
    if dice.one_in(4) {
        words.push(format!("{}-s {}", dice.bang(), scene.net(dice)));
    }
    if dice.one_in(3) {
        words.push(format!("{}-d {}", dice.bang(), scene.net(dice)));
    }
    if dice.one_in(5) && !matches!(place.hook, "OUTPUT" | "POSTROUTING") {
        words.push(format!("{}-i {}", dice.bang(), device(dice)));
    }
    if dice.one_in(5) && !matches!(place.hook, "PREROUTING" | "INPUT") {
        words.push(format!("{}-o {}", dice.bang(), device(dice)));
    }
    words.extend(proto.map(|proto| format!("-p {proto}")));
    // Of IPv6 a match of its own asks for fragments.
    if dice.one_in(12) && scene.words.family == Family::V4 {
        words.push(format!("{}-f", dice.bang()));
    }
    words
}

/// A node's device, or the beginning of some.
pub(super) fn device(dice: &mut Dice) -> &'static str {
    dice.pick(&["eth0", "cni0", "veth-a", "veth+", "flannel.1", "lo"])
}

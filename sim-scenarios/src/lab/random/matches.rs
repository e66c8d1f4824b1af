//! One match of each kind, with values that the traffic of random specs meets.

use sim_core::wire::ip::Family;

use super::dice::Dice;
use super::rules::{Place, device};
use super::scene::Scene;
use super::words::Words;

/// The ipsets that rules of a family ask: some pods, the pods' network, a server's port, and a list of the first two.
pub(super) fn sets(words: &Words) -> String {
    let Words { suffix, pods: [a, b, c], nets: [all, ..], bits, .. } = words;
    let family = if words.family == Family::V6 { " family inet6" } else { "" };
    format!(
        "create pods{suffix} hash:ip{family}\nadd pods{suffix} {a}\nadd pods{suffix} {c}\n\
         create nets{suffix} hash:net{family}\nadd nets{suffix} {all}\nadd nets{suffix} {b}/{bits} nomatch\n\
         create ends{suffix} hash:ip,port{family}\nadd ends{suffix} {b},udp:8080\nadd ends{suffix} {a},tcp:8080\n\
         create ports{suffix} bitmap:port range 8000-8100\nadd ports{suffix} 8080\n\
         create both{suffix} list:set\nadd both{suffix} pods{suffix}\nadd both{suffix} nets{suffix}\n"
    )
}

/// Draws a match that may stand at `place` in a rule for `proto`; nothing if the first draw may not.
pub(super) fn matches(dice: &mut Dice, scene: &Scene, place: Place, proto: Option<&str>) -> Option<String> {
    let (words, bang) = (scene.words, dice.bang());
    let ports = matches!(proto, Some("udp" | "tcp"));
    Some(match dice.below(22) {
        0 => "-m comment --comment \"a remark\"".into(),
        1 => format!("-m connmark {bang}--mark {}", mark(dice)),
        2 => {
            let (how, count) = (dice.pick(&["above", "upto"]), dice.below(3));
            format!("-m connlimit --connlimit-{how} {count} --connlimit-mask {}", words.bits)
        }
        3 | 4 => conntrack(dice, scene, bang),
        5 => format!("-m dscp {bang}--dscp {}", dice.pick(&["0x00", "0x0a", "0x30"])),
        6 => format!("-m limit --limit 1/hour --limit-burst {}", dice.between(1, 4)),
        7 => hashlimit(dice),
        8 => {
            let ([first, ..], side) = (words.pods, side(dice));
            let network = first.trim_end_matches('2');
            format!("-m iprange {bang}--{side}-range {first}-{network}{}", dice.between(2, 9))
        }
        9 => format!("-m length {bang}--length {}", dice.pick(&["0:40", "33", "60:1400", "1400:65535", "28:33"])),
        10 if !matches!(place.hook, "OUTPUT" | "POSTROUTING") => {
            format!(
                "-m mac {bang}--mac-source {}",
                dice.pick(&["0a:58:0a:f4:01:02", "0a:58:0a:f4:01:03", "42:01:0a:f0:00:0b"])
            )
        }
        11 => format!("-m mark {bang}--mark {}", mark(dice)),
        12 if ports => multiport(dice, bang),
        13 if place.hook != "OUTPUT" => physdev(dice, place, bang),
        14 => format!("-m pkttype {bang}--pkt-type {}", dice.pick(&["unicast", "broadcast", "multicast"])),
        15 => recent(dice, words, bang),
        16 => set(dice, words, bang),
        17 => format!("-m statistic --mode nth {bang}--every {} --packet 0", dice.between(2, 3)),
        18 => {
            let [option, _] = words.ttl;
            let (bang, how) = dice.pick(&[("", "eq 64"), ("! ", "eq 63"), ("", "lt 63"), ("", "gt 62"), ("", "lt 2")]);
            format!("-m {option} {bang}--{option}-{how}")
        }
        19 => addrtype(dice, words, place, bang),
        20 if words.family == Family::V6 => headers(dice, place, bang),
        _ => return l4(dice, words, proto, bang),
    })
}

/// What only rules of IPv6 ask.
fn headers(dice: &mut Dice, place: Place, bang: &str) -> String {
    match dice.below(6) {
        0 => format!(
            "-m frag {}",
            dice.pick(&["--fragfirst", "--fragmore", "--fraglast", "--fragres", "! --fragid 0:6"])
        ),
        1 => {
            let soft = dice.pick(&["", " --soft"]);
            format!(
                "-m ipv6header {bang}--header {}{soft}",
                dice.pick(&["hop", "prot", "frag,prot", "dst,route", "none"])
            )
        }
        2 if !matches!(place.hook, "OUTPUT" | "POSTROUTING") => "-m eui64".into(),
        3 => {
            let ask = ["--rt-type 0", "--rt-segsleft 0", "--rt-len 8", "--rt-segsleft 1:"];
            format!("-m rt {bang}{}", dice.pick(&ask))
        }
        4 => format!("-m hbh {}", dice.pick(&["--hbh-len 8", "! --hbh-len 8", "--hbh-opts 1", "--hbh-opts 5:2"])),
        _ => format!("-m dst {}", dice.pick(&["--dst-len 8", "! --dst-len 8", "--dst-opts 1:4", "--dst-opts 1,1"])),
    }
}

fn side(dice: &mut Dice) -> &'static str {
    dice.pick(&["src", "dst"])
}

fn mark(dice: &mut Dice) -> &'static str {
    dice.pick(&["0x0", "0x1", "0x1/0x1", "0x4000/0x4000", "0x0/0xff", "0x2/0x3"])
}

/// A port of clients or servers.
pub(super) fn port(dice: &mut Dice) -> String {
    dice.pick(&["8080", "80", "8081", "40000:40002", "30080", "0", "1024:"]).into()
}

fn l4(dice: &mut Dice, words: &Words, proto: Option<&str>, bang: &str) -> Option<String> {
    Some(match proto? {
        proto if proto == words.icmp.proto => {
            let [name, option] = words.icmp.options;
            format!("-m {name} {bang}--{option} {}", dice.pick(words.icmp.types))
        }
        "tcp" if dice.one_in(2) => {
            let flags = ["SYN,RST,ACK,FIN SYN", "ACK ACK", "RST RST", "ALL NONE", "FIN,ACK FIN,ACK", "SYN SYN"];
            format!("-m tcp {bang}--tcp-flags {}", dice.pick(&flags))
        }
        "tcp" if dice.one_in(4) => format!("-m tcp {bang}--tcp-option {}", dice.pick(&["2", "3", "8"])),
        proto => format!("-m {proto} {bang}--{}port {}", dice.pick(&["s", "d", "d"]), port(dice)),
    })
}

fn conntrack(dice: &mut Dice, scene: &Scene, bang: &str) -> String {
    let states =
        ["NEW", "ESTABLISHED", "RELATED", "INVALID", "UNTRACKED", "RELATED,ESTABLISHED", "NEW,INVALID", "SNAT", "DNAT"];
    match dice.below(8) {
        0 => format!("-m conntrack {bang}--ctstatus {}", dice.pick(&["SEEN_REPLY", "ASSURED", "CONFIRMED", "NONE"])),
        1 => format!("-m conntrack --ctdir {}", dice.pick(&["ORIGINAL", "REPLY"])),
        2 => format!("-m conntrack {bang}--ctorigdst {}", scene.net(dice)),
        3 => format!("-m conntrack {bang}--ctreplsrc {}", scene.net(dice)),
        4 => format!("-m conntrack {bang}--ctproto {}", dice.pick(&[scene.words.icmp.number, "6", "17"])),
        5 => format!("-m state {bang}--state {}", dice.pick(&states[..7])),
        _ => format!("-m conntrack {bang}--ctstate {}", dice.pick(&states)),
    }
}

fn hashlimit(dice: &mut Dice) -> String {
    let (how, burst) = (dice.pick(&["upto", "above"]), dice.between(1, 3));
    let mode = dice.pick(&["srcip", "dstip", "srcip,dstip", "dstip,dstport"]);
    // A table belongs to the first rule that names it: each spelling has a name of its own.
    let name = format!("{}{burst}{how}", mode.replace(',', ""));
    format!(
        "-m hashlimit --hashlimit-{how} 1/hour --hashlimit-burst {burst} --hashlimit-mode {mode} --hashlimit-name {name}"
    )
}

fn multiport(dice: &mut Dice, bang: &str) -> String {
    let ports = dice.pick(&["80,8080", "8080", "40000:40003,53", "1:79,8081,30080", "0,65535"]);
    format!("-m multiport {bang}--{} {ports}", dice.pick(&["sports", "dports", "ports"]))
}

fn physdev(dice: &mut Dice, place: Place, bang: &str) -> String {
    // Only a bridged packet has both ports.
    if dice.one_in(3) && matches!(place.hook, "FORWARD" | "POSTROUTING") {
        return "-m physdev --physdev-is-bridged".into();
    }
    match dice.below(2) {
        0 => format!("-m physdev {bang}--physdev-in {}", device(dice)),
        _ => format!("-m physdev {bang}--physdev-is-in"),
    }
}

fn recent(dice: &mut Dice, words: &Words, bang: &str) -> String {
    let side = dice.pick(&["--rsource", "--rdest"]);
    let verb =
        dice.pick(&["--set", "--rcheck", "--update", "--remove", "--rcheck --seconds 1000", "--update --hitcount 2"]);
    format!("-m recent {bang}{verb} --name seen{} --mask {} {side}", words.suffix, words.mask)
}

fn set(dice: &mut Dice, words: &Words, bang: &str) -> String {
    let (name, sides) = dice.pick(&[("pods", 1), ("nets", 1), ("ends", 2), ("ports", 1), ("both", 1)]);
    let sides: Vec<_> = (0..sides).map(|_| side(dice)).collect();
    format!("-m set {bang}--match-set {name}{} {}", words.suffix, sides.join(","))
}

fn addrtype(dice: &mut Dice, words: &Words, place: Place, bang: &str) -> String {
    let kind = dice.pick(words.addr_types);
    let limit = match place.hook {
        "PREROUTING" | "INPUT" if dice.one_in(4) => " --limit-iface-in",
        "OUTPUT" | "POSTROUTING" if dice.one_in(4) => " --limit-iface-out",
        _ => "",
    };
    format!("-m addrtype {bang}--{}-type {kind}{limit}", side(dice))
}

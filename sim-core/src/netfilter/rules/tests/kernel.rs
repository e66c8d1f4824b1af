//! The same datagrams through the same rules, in a netns of the real kernel and here: every rule must have counted
//! the same. Needs root, unshare, bash and iptables; without them it says so and passes.

use std::io::Write as _;
use std::process::{Command, Stdio};

use super::{At, Bench, FORWARD};
use crate::engine::time::Instant;
use crate::netfilter::conntrack::bench::udp;
use crate::netfilter::conntrack::{Conntrack, ConntrackConfig, Zone};
use crate::netfilter::hooks::Hook;
use crate::netfilter::rules::{CtFacts, CtState, TableName};
use crate::netfilter::text::save;
use crate::wire::packet::Packet;

/// Destination ports of the datagrams, one after another.
const PORTS: [u16; 40] = [
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 5, 5, 5, 6, 6, 7, 7, 7, 7, 1, 9, 9, 9, 10, 11, 12, 13, 14, 15, 16, 16, 16, 3, 3, 2,
    8, 8, 8, 20, 21,
];

/// Errors that come back must not be counted among what is compared.
const RULES: &str = "\
*filter
:OUTPUT ACCEPT [0:0]
:inner - [0:0]
:middle - [0:0]
:side - [0:0]
-A OUTPUT ! -p udp -j ACCEPT
-A OUTPUT -p udp --dport 1:3 -j middle
-A OUTPUT -p udp --dport 2 -g side
-A OUTPUT -p udp -m multiport --dports 4,6:7 -m statistic --mode nth --every 3 --packet 1 -j MARK --set-mark 0x12/0xf0
-A OUTPUT -m mark --mark 0x10/0x10 -j MARK --xor-mark 0x3
-A OUTPUT -m mark --mark 0x11
-A OUTPUT -m mark ! --mark 0x11/0xff -p udp ! --dport 5
-A OUTPUT -p udp --dport 5 -m recent --name k1 --set
-A OUTPUT -p udp --dport 6 -m recent --name k1 --rcheck --seconds 60 --hitcount 3
-A OUTPUT -p udp --dport 7 -m recent --name k1 --update --seconds 60 --hitcount 4
-A OUTPUT -p udp --dport 9 -m recent --name k1 --remove
-A OUTPUT -p udp --dport 9 -m recent ! --rcheck --name k1 --rdest
-A OUTPUT -p udp --dport 8 -m limit --limit 1/hour --limit-burst 2 -j RETURN
-A OUTPUT -p udp --dport 8
-A OUTPUT -p udp -m multiport ! --ports 1:19 -j ACCEPT
-A OUTPUT -m statistic --mode nth ! --every 4 --packet 0
-A OUTPUT -s 127.0.0.1 ! -d 127.0.0.0/8
-A OUTPUT -o lo -m addrtype --dst-type LOCAL -m comment --comment \"own\"
-A OUTPUT -o l+ ! -f
-A OUTPUT -m conntrack --ctstate NEW
-A middle -p udp --dport 3 -j inner
-A middle -p udp --dport 2 -j RETURN
-A middle
-A inner -g side
-A inner
-A side -p udp --dport 2 -j DROP
-A side
COMMIT
";

/// Marks by the hash of a flow. The kernel chooses the source port, so its bits are masked away and others set.
const HASHES: &str = "\
*mangle
:OUTPUT ACCEPT [0:0]
-A OUTPUT ! -p udp -j ACCEPT
-A OUTPUT -j HMARK --hmark-tuple src,dst,dport --hmark-sport 0x0007 --hmark-rnd 0xfeed --hmark-mod 4 --hmark-offset 16
-A OUTPUT -m mark --mark 0x10
-A OUTPUT -m mark --mark 0x11
-A OUTPUT -m mark --mark 0x12
-A OUTPUT -m mark --mark 0x13
-A OUTPUT -j HMARK --hmark-dst-prefix 31 --hmark-dport-mask 0x000e --hmark-proto-mask 0x11 --hmark-rnd 0x1 --hmark-mod 3
-A OUTPUT -m mark --mark 0x0
-A OUTPUT -m mark --mark 0x1
-A OUTPUT -m mark --mark 0x2
-A OUTPUT -m conntrack --ctstate NEW -j HMARK --hmark-tuple ct,dst,dport,proto --hmark-rnd 0x5 --hmark-mod 3
-A OUTPUT -m mark --mark 0x0
-A OUTPUT -m mark --mark 0x1
-A OUTPUT -m mark --mark 0x2
COMMIT
";

/// What iptables-save -c prints of `rules` after the datagrams; `None`, and a word about it, where that is not possible.
fn in_the_kernel(rules: &str) -> Option<String> {
    let counted = counted_by_the_kernel(rules);
    if counted.is_none() {
        eprintln!("skipped: no root, unshare, bash or iptables-nft here");
    }
    counted
}

fn counted_by_the_kernel(rules: &str) -> Option<String> {
    let ports: String = PORTS.iter().map(|p| format!(" {p}")).collect();
    // A dropped datagram makes the write fail; that is as it should be.
    let script = format!(
        "ip link set lo up && iptables-restore && for p in{ports}; do (echo -n hello > /dev/udp/127.0.0.1/$p) 2>&-; \
         done; iptables-save -c"
    );
    let mut child = Command::new("unshare")
        .args(["--net", "bash", "-c", &script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    child.stdin.take()?.write_all(rules.as_bytes()).ok()?;
    let output = String::from_utf8(child.wait_with_output().ok()?.stdout).ok()?;
    output.contains("-A OUTPUT").then_some(output)
}

fn datagram(port: u16) -> Packet {
    udp("127.0.0.1:40000", &format!("127.0.0.1:{port}"))
}

fn rules_with_counters(saved: &str) -> Vec<&str> {
    saved.lines().filter(|l| l.contains("-A ") && !l.contains("! -p udp -j ACCEPT")).collect()
}

#[test]
fn the_real_kernel_counts_as_we_do() {
    let Some(theirs) = in_the_kernel(RULES) else { return };
    let mut bench = Bench::new(RULES);
    let new = CtFacts { state: CtState::New, ..FORWARD.ct };
    let at = At { hook: Hook::Output, in_dev: "", out_dev: "lo", ct: new, ..FORWARD };
    for port in PORTS {
        bench.send(&datagram(port), &at);
    }
    let ours = save(&bench.rules, &bench.state, true);
    assert_eq!(rules_with_counters(&ours), rules_with_counters(&theirs));
}

#[test]
fn the_real_kernel_hashes_flows_as_we_do() {
    let Some(theirs) = in_the_kernel(HASHES) else { return };
    let mut bench = Bench::new(HASHES);
    for port in PORTS {
        let (mut ct, mut packet) = (Conntrack::new(ConntrackConfig::default()), datagram(port));
        let _ = ct.track_in(Instant::START, &mut packet, Hook::Output, Zone::default());
        let ct = CtFacts::of(&ct, &packet);
        bench.send(
            &packet,
            &At { table: TableName::Mangle, hook: Hook::Output, in_dev: "", out_dev: "lo", ct, ..FORWARD },
        );
    }
    let ours = save(&bench.rules, &bench.state, true);
    assert_eq!(rules_with_counters(&ours), rules_with_counters(&theirs));
}

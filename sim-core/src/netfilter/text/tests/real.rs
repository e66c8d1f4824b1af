//! The same text through the real tools and through ours, and the real clusters' rules recorded in the lab.
//!
//! These need `../shared` beside the checkout, or root and iptables; without them they say so and pass.

use std::io::Write as _;
use std::process::{Command, Stdio};

use super::{load, spellings, table};
use crate::netfilter::rules::{RuleState, Ruleset};
use crate::netfilter::text::{Restore, save};
use crate::wire::ip::Family;

/// All rules texts of the lab's recordings, with the name of their file.
#[expect(clippy::disallowed_methods, reason = "the recordings lie beside the checkout")]
fn recorded() -> Vec<(String, String)> {
    let mut texts = Vec::new();
    for folder in ["golden", "golden2"] {
        let folder = format!("{}/../../shared/kernel-lab/{folder}", env!("CARGO_MANIFEST_DIR"));
        let Ok(files) = std::fs::read_dir(&folder) else {
            eprintln!("skipped: no {folder}");
            continue;
        };
        let mut paths: Vec<_> = files.map(|f| f.unwrap().path()).collect();
        paths.sort();
        for path in paths {
            let golden: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            let start = golden["spec"]["rules"].as_object().into_iter().flatten().map(|(_, text)| text);
            let steps = golden["spec"]["steps"].as_array().into_iter().flatten();
            let later = steps.filter(|s| s["op"] == "rules").map(|s| &s["text"]);
            texts.extend(start.chain(later).filter_map(|t| Some((name.clone(), t.as_str()?.to_owned()))));
        }
    }
    texts
}

/// The ipsets that a text names.
fn sets(text: &str) -> Vec<&str> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let naming = |pair: &&[&str]| matches!(pair[0], "--set" | "--match-set" | "--add-set" | "--del-set");
    words.windows(2).filter(naming).map(|pair| pair[1]).collect()
}

/// What the real iptables-save prints after the real iptables-restore has read `text`, in a netns of its own where the
/// sets it names are; `None` where that is not possible.
fn real(text: &str) -> Option<Result<String, String>> {
    let script =
        "for set; do ipset -exist create $set hash:ip; done; iptables-restore --counters && iptables-save --counters";
    let mut child = Command::new("unshare")
        .args(["--net", "sh", "-c", script, "sh"])
        .args(sets(text))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    child.stdin.take()?.write_all(text.as_bytes()).ok()?;
    let output = child.wait_with_output().ok()?;
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if !output.status.success() {
        return Some(Err(said(&output.stderr)));
    }
    let undated = said(&output.stdout).lines().filter(|l| !l.starts_with('#')).map(|l| format!("{l}\n")).collect();
    Some(Ok(undated))
}

/// Whether the real tools can be used here.
fn have_real() -> bool {
    let have = matches!(real("*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n"), Some(Ok(text)) if text.contains(":INPUT"));
    if !have {
        eprintln!("skipped: no root, unshare or iptables-nft here");
    }
    have
}

#[test]
fn the_lab_s_rules_are_read_and_printed_unchanged() {
    for (name, text) in recorded() {
        let restore = match Restore::parse(Family::V4, &text) {
            Ok(restore) => restore,
            Err(e) => {
                assert!(e.message.contains("is not supported"), "{name}: {e}");
                continue;
            }
        };
        let rules = restore.apply(&Ruleset::default(), false).unwrap_or_else(|e| panic!("{name}: {e}"));
        let printed = save(&rules, &RuleState::default(), true);
        let again = load(&printed).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(save(&again, &RuleState::default(), true), printed, "{name}");
    }
}

#[test]
fn the_real_tools_print_the_lab_s_rules_as_we_do() {
    if !have_real() {
        return;
    }
    let mut seen = std::collections::BTreeSet::new();
    for (name, text) in recorded() {
        let Ok(rules) = load(&text) else { continue };
        if !seen.insert(text.clone()) {
            continue;
        }
        let printed = save(&rules, &RuleState::default(), true);
        assert_eq!(real(&printed).unwrap(), Ok(printed.clone()), "{name}: our text");
        assert_eq!(real(&text).unwrap(), Ok(printed), "{name}: its text");
    }
}

#[test]
fn the_real_tools_print_every_spelling_as_we_do() {
    if !have_real() {
        return;
    }
    for name in ["filter", "mangle", "raw", "nat"] {
        let of_table = spellings().into_iter().filter(|(table, ..)| *table == name);
        let rules: Vec<_> = of_table.map(|(_, written, _)| written).collect();
        let text = table(name, &rules.join("\n"));
        let ours = save(&load(&text).unwrap(), &RuleState::default(), true);
        assert_eq!(real(&text).unwrap(), Ok(ours), "{name}");
    }
}

#[test]
fn the_real_tools_save_tables_in_the_same_order() {
    if !have_real() {
        return;
    }
    let text = ["nat", "security", "raw", "mangle", "filter"].map(|t| format!("*{t}\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n"));
    let text = text.concat();
    assert_eq!(real(&text).unwrap(), Ok(save(&load(&text).unwrap(), &RuleState::default(), true)));
}

#[test]
fn the_real_tools_refuse_what_we_refuse() {
    if !have_real() {
        return;
    }
    for (name, rule) in REFUSED {
        let text = format!("*{name}\n:x - [0:0]\n:y - [0:0]\n{rule}\nCOMMIT\n");
        assert!(load(&text).is_err(), "we take {rule}");
        assert!(real(&text).unwrap().is_err(), "the real tools take {rule}");
    }
}

/// Rules that neither takes.
const REFUSED: &[(&str, &str)] = &[
    ("nat", "-A PREROUTING -j MASQUERADE"),
    ("nat", "-A PREROUTING -j x\n-A x -j MASQUERADE"),
    ("nat", "-A POSTROUTING -j DNAT --to-destination 1.2.3.4"),
    ("nat", "-A PREROUTING -j SNAT --to-source 1.2.3.4"),
    ("nat", "-A PREROUTING -j REJECT"),
    ("nat", "-A x -j DROP"),
    ("nat", "-A x -j DNAT --to-destination 1.2.3.4:80"),
    ("nat", "-A x -p tcp -j DNAT --to-destination 1.2.3.4:80-70"),
    ("nat", "-A x -j MASQUERADE --to-ports 1000"),
    ("nat", "-A POSTROUTING -i eth0 -j ACCEPT"),
    ("nat", "-A PREROUTING -o eth0 -j ACCEPT"),
    ("nat", "-A x -j NOPE"),
    ("nat", "-A NOPE -j ACCEPT"),
    ("nat", "-A x -j PREROUTING"),
    ("filter", "-A FORWARD -j DNAT --to-destination 1.2.3.4"),
    ("filter", "-A FORWARD -j CT --notrack"),
    ("filter", "-A FORWARD -j x\n-A x -j y\n-A y -j x"),
    ("filter", "-A FORWARD -j TCPMSS --clamp-mss-to-pmtu"),
    ("filter", "-A x -p tcp -m udp --dport 80"),
    ("filter", "-A x -j REJECT --reject-with tcp-reset"),
    ("filter", "-A INPUT -m addrtype --dst-type LOCAL --limit-iface-out"),
    ("filter", "-A x -m multiport --dports 80"),
    ("filter", "-A x ! -s 1.2.3.4,2.3.4.5"),
    ("filter", "-A x ! -s 0.0.0.0/0"),
    ("filter", "-A x -m recent --rcheck --reap"),
    ("filter", "-A x -m recent --rcheck --hitcount 70000"),
    ("filter", "-A x -m limit --limit 20000/sec"),
    ("filter", "-A x -m hashlimit --hashlimit-upto 1/day --hashlimit-name h"),
    ("filter", "-A x -m hashlimit --hashlimit-upto 20kb/s --hashlimit-burst 10k --hashlimit-name h"),
    ("filter", "-A x -m hashlimit --hashlimit-upto 99999mb/s --hashlimit-name h"),
    ("filter", "-A FORWARD -m rpfilter"),
    ("nat", "-A PREROUTING -m rpfilter"),
    ("mangle", "-A INPUT -m rpfilter"),
    ("raw", "-A PREROUTING -j CT --timeout t"),
    ("raw", "-A PREROUTING -j CT --helper ftp"),
    ("filter", "-C x -j ACCEPT"),
    ("filter", "-E x y"),
    ("filter", "-Z nobody"),
    ("filter", "-X y\n-A x -j y"),
    ("filter", "-A y -j ACCEPT\n-X y"),
    ("filter", "-I x 5 -j ACCEPT"),
    ("filter", "-D x -j ACCEPT"),
    ("filter", "-N x"),
    ("filter", "-N ACCEPT"),
    ("filter", ":DROP - [0:0]"),
];

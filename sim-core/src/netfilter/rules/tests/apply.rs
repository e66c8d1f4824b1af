//! How rulesets change, and what stays.

use super::{Bench, datagram};
use crate::netfilter::hooks::Hook;
use crate::netfilter::rules::{Ruleset, TableName};
use crate::netfilter::text::{Restore, parse_rule, save};
use crate::wire::ip::Family;

fn apply(text: &str, before: &Ruleset, noflush: bool) -> Result<Ruleset, String> {
    Restore::parse(Family::V4, text).unwrap().apply(before, noflush).map_err(|e| e.to_string())
}

fn fresh(text: &str) -> Result<Ruleset, String> {
    apply(text, &Ruleset::default(), false)
}

/// Users' chains and all rules, as text.
fn shown(rules: &Ruleset) -> Vec<String> {
    let text = save(rules, &Default::default(), false);
    text.lines().filter(|l| l.starts_with('-') || l.contains(" - ")).map(str::to_owned).collect()
}

const START: &str =
    "*filter\n:FORWARD DROP [0:0]\n:a - [0:0]\n:b - [0:0]\n-A FORWARD -j a\n-A a -j b\n-A b -j ACCEPT\nCOMMIT\n";

#[test]
fn without_noflush_the_table_is_made_anew() {
    let rules = apply("*filter\n-A INPUT -j ACCEPT\nCOMMIT\n", &fresh(START).unwrap(), false).unwrap();
    assert_eq!(shown(&rules), ["-A INPUT -j ACCEPT"]);
    assert!(save(&rules, &Default::default(), false).contains(":FORWARD ACCEPT"), "its policies too");
}

#[test]
fn with_noflush_declared_users_chains_are_emptied_and_the_rest_stays() {
    let start = fresh(START).unwrap();
    let text = "*filter\n:FORWARD ACCEPT [0:0]\n:b - [0:0]\n:c - [0:0]\n-A b -j c\nCOMMIT\n";
    let rules = apply(text, &start, true).unwrap();
    assert_eq!(shown(&rules), [":a - [0:0]", ":b - [0:0]", ":c - [0:0]", "-A FORWARD -j a", "-A a -j b", "-A b -j c"]);
    assert_eq!(shown(&start).len(), 5, "the old ruleset is what it was");
}

#[test]
fn commands_insert_replace_and_delete() {
    let rules = fresh(
        "*filter\n:a - [0:0]\n-A a -j ACCEPT\n-I a -s 1.1.1.1\n-I a 2 -s 2.2.2.2\n-R a 3 -s 3.3.3.3\n-A a -s 4.4.4.4\n\
         -D a -s 4.4.4.4\n-D a 1\nCOMMIT\n",
    );
    assert_eq!(shown(&rules.unwrap()), [":a - [0:0]", "-A a -s 2.2.2.2/32", "-A a -s 3.3.3.3/32"]);
    let rules =
        apply("*filter\n-F a\n-D FORWARD -j a\n-X a\n-N d\n-P FORWARD ACCEPT\nCOMMIT\n", &fresh(START).unwrap(), true);
    assert_eq!(shown(&rules.unwrap()), [":b - [0:0]", ":d - [0:0]", "-A b -j ACCEPT"]);
}

#[test]
fn a_command_line_is_one_change_and_a_rule_can_be_looked_for() {
    let jump = ["-t", "nat", "-I", "PREROUTING", "-m", "comment", "--comment", "two words", "-j", "x"];
    let start = fresh("*nat\n:x - [0:0]\n-A PREROUTING -j ACCEPT\nCOMMIT\n").unwrap();
    let rules = Restore::command(Family::V4, &jump).unwrap().apply(&start, true).unwrap();
    let expected = "-A PREROUTING -m comment --comment \"two words\" -j x";
    assert_eq!(shown(&rules), [":x - [0:0]", expected, "-A PREROUTING -j ACCEPT"]);
    let nat = rules.table(TableName::Nat).unwrap();
    let has = |text: &str| nat.has_rule("PREROUTING", &parse_rule(Family::V4, text).unwrap()[0]);
    assert!(has("-m comment --comment \"two words\" -j x") && !has("-j x") && has("-j ACCEPT"));
    let error = Restore::command(Family::V4, &["-t", "nope", "-F"]).unwrap_err();
    assert_eq!((error.line, error.column), (1, 4));
    for wrong in [&["-L"][..], &["-A"], &[], &["-t"], &["-t", "nat"]] {
        assert!(Restore::command(Family::V4, wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn a_refused_change_names_its_line_and_changes_nothing() {
    for (text, line, message) in [
        ("*filter\n-A FORWARD -j a\n-A a -j nope\nCOMMIT\n", 3, "Chain 'nope' does not exist"),
        ("*filter\n-A nope -j ACCEPT\nCOMMIT\n", 2, "No chain/target/match by that name"),
        ("*filter\n-F a\n-X a\nCOMMIT\n", 3, "cannot be removed"),
        ("*filter\n-X b\nCOMMIT\n", 2, "still has rules"),
        ("*filter\n-A b -j a\nCOMMIT\n", 2, "Too many links"),
        ("*filter\n-N a\nCOMMIT\n", 2, "Chain already exists"),
        ("*filter\n-P a DROP\nCOMMIT\n", 2, "Bad built-in chain name"),
        ("*filter\n-R a 5 -j ACCEPT\nCOMMIT\n", 2, "Index of replacement too big"),
        ("*filter\n-I a 5 -j ACCEPT\nCOMMIT\n", 2, "Index of insertion too big"),
        ("*filter\n-D a 5\nCOMMIT\n", 2, "Index of deletion too big"),
        ("*filter\n-A a -p tcp -j MASQUERADE\nCOMMIT\n", 2, "only valid in nat table, not filter"),
        ("*nat\n:x - [0:0]\n-A PREROUTING -j x\n-A x -j MASQUERADE\nCOMMIT\n", 4, "used from hook PREROUTING"),
        ("*nat\n-A PREROUTING -j DROP\nCOMMIT\n", 2, "not intended for filtering"),
        ("*filter\n-A INPUT -o eth0 -j DROP\nCOMMIT\n", 2, "Can't use -o with INPUT"),
    ] {
        let error = apply(text, &fresh(START).unwrap(), true).unwrap_err();
        assert!(error.starts_with(&format!("line {line}: ")) && error.contains(message), "{text}: {error}");
    }
}

#[test]
fn a_new_jump_is_checked_for_the_rules_it_leads_to() {
    let start = fresh("*nat\n:x - [0:0]\n-A x -j MASQUERADE\nCOMMIT\n").unwrap();
    let error = apply("*nat\n-A PREROUTING -j x\nCOMMIT\n", &start, true).unwrap_err();
    assert!(
        error.contains("MASQUERADE target: used from hook PREROUTING, but only usable from POSTROUTING"),
        "{error}"
    );
    apply("*nat\n-A POSTROUTING -j x\nCOMMIT\n", &start, true).unwrap();
}

#[test]
fn deep_and_wide_rulesets_are_checked_in_reasonable_time() {
    let chains: String = (0..2000).map(|i| format!(":c{i} - [0:0]\n")).collect();
    let mut jumps = String::new();
    for (layer, next) in (0..14).zip(1..) {
        for (a, b) in (0..20).flat_map(|a| (0..20).map(move |b| (a, b))) {
            jumps.push_str(&format!("-A c{} -j c{}\n", layer * 20 + a, next * 20 + b));
        }
    }
    fresh(&format!("*filter\n{chains}-A FORWARD -j c0\n{jumps}COMMIT\n")).unwrap();
    let long: String = (0..1999).map(|i| format!("-A c{i} -j c{}\n", i + 1)).collect();
    let error = fresh(&format!("*filter\n{chains}-A FORWARD -j c0\n{long}COMMIT\n")).unwrap_err();
    assert!(error.contains("Too many links"), "{error}");
}

#[test]
fn rules_that_stay_keep_their_counters_and_memories() {
    let mut bench = Bench::forward(
        "-A FORWARD -j x\n-A x -m statistic --mode nth --every 2 --packet 1 -j RETURN\n-A FORWARD -s 10.0.0.0/8",
    );
    bench.passes(&datagram());
    bench.restore("*filter\n:y - [0:0]\n-I FORWARD -p tcp\n-A y -j ACCEPT\nCOMMIT\n").unwrap();
    assert_eq!([0, 1, 2].map(|i| bench.counted("FORWARD", i).0), [0, 1, 1]);
    bench.passes(&datagram());
    assert_eq!(bench.counted("x", 0).0, 1, "the second packet is the second of two");
    bench
        .restore("*filter\n:x - [0:0]\n-A x -m statistic --mode nth --every 2 --packet 1 -j RETURN\nCOMMIT\n")
        .unwrap();
    assert_eq!(bench.counted("x", 0).0, 0, "an emptied chain begins anew, whatever it is filled with");
    assert_eq!(bench.counted("FORWARD", 2).0, 2);
}

#[test]
fn a_chain_in_the_place_of_a_removed_one_begins_anew() {
    let mut bench = Bench::forward("-A FORWARD -j x\n-A x");
    bench.passes(&datagram());
    bench.restore("*filter\n-F FORWARD\n-F x\n-X x\nCOMMIT\n").unwrap();
    bench.restore("*filter\n:z - [0:0]\n-A z\n-A z\n-A FORWARD -j z\nCOMMIT\n").unwrap();
    bench.passes(&datagram());
    assert_eq!([bench.counted("z", 0).0, bench.counted("z", 1).0], [1, 1]);
}

#[test]
fn recent_lists_live_while_a_rule_names_them() {
    let knock = "-A x -m recent --name l --set";
    let check = "-A y -m recent --name l --rcheck -j DROP";
    let mut bench = Bench::forward(&format!("{knock}\n{check}\n-A FORWARD -j y\n-A FORWARD -j x"));
    assert!(bench.passes(&datagram()));
    assert!(!bench.passes(&datagram()));
    bench.restore("*filter\n:x - [0:0]\nCOMMIT\n").unwrap();
    assert!(!bench.passes(&datagram()), "y still names it");
    bench.restore("*filter\n:y - [0:0]\nCOMMIT\n").unwrap();
    bench.restore(&format!("*filter\n{check}\nCOMMIT\n")).unwrap();
    assert!(bench.passes(&datagram()));
}

#[test]
fn conntrack_is_needed_by_rules_not_by_tables() {
    // Measured: an empty nat table, or one that translates nothing, switches no tracking on.
    for (text, needed) in [
        ("*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -j ACCEPT\nCOMMIT\n", false),
        ("*nat\n-A PREROUTING -p tcp -j DNAT --to-destination 1.2.3.4\nCOMMIT\n", true),
        ("*filter\n:x - [0:0]\n-A x -m conntrack --ctstate NEW\nCOMMIT\n", true),
        ("*filter\n-A INPUT -m connmark --mark 1\nCOMMIT\n", true),
        ("*raw\n-A OUTPUT -j CT --notrack\nCOMMIT\n", false),
        ("*raw\n-A OUTPUT -j CT --zone 3\nCOMMIT\n", true),
    ] {
        assert_eq!(fresh(text).unwrap().needs_conntrack(), needed, "{text}");
    }
    let rules = fresh("*raw\nCOMMIT\n").unwrap();
    assert!(rules.has_hook(TableName::Raw, Hook::Output) && !rules.has_hook(TableName::Raw, Hook::Input));
    assert!(!rules.has_hook(TableName::Nat, Hook::Output));
}

#[test]
fn a_renamed_chain_keeps_what_it_counted_and_rules_lead_to_its_new_name() {
    let mut bench = Bench::new(START);
    assert!(bench.passes(&datagram()));
    bench.restore("*filter\n-E b c\nCOMMIT\n").unwrap();
    assert_eq!(shown(&bench.rules), [":a - [0:0]", ":c - [0:0]", "-A FORWARD -j a", "-A a -j c", "-A c -j ACCEPT"]);
    assert!(bench.passes(&datagram()));
    assert_eq!(bench.counted("c", 0).0, 2);
    for (text, why) in [("-E nobody x", "No chain"), ("-E a c", "File exists"), ("-E FORWARD x", "built in")] {
        let refused = bench.restore(&format!("*filter\n{text}\nCOMMIT\n")).unwrap_err();
        assert!(refused.contains(why), "{text}: {refused}");
    }
    assert!(bench.restore("*filter\n-N new\n-E new newer\nCOMMIT\n").is_err(), "not in the COMMIT that makes it");
}

#[test]
fn counters_are_set_to_zero_for_a_rule_a_chain_or_all() {
    let mut bench =
        Bench::new("*filter\n:FORWARD DROP [7:70]\n[5:50] -A FORWARD -j a\n:a - [0:0]\n-A a -j ACCEPT\nCOMMIT\n");
    assert!(bench.passes(&datagram()));
    assert_eq!((bench.counted("FORWARD", 0).0, bench.counted("a", 0).0), (6, 1));
    bench.restore("*filter\n-Z FORWARD 1\nCOMMIT\n").unwrap();
    assert_eq!((bench.counted("FORWARD", 0), bench.counted("a", 0).0), ((0, 0), 1));
    assert!(save(&bench.rules, &bench.state, true).contains(":FORWARD DROP [7:70]"));
    bench.restore("*filter\n-Z\nCOMMIT\n").unwrap();
    assert_eq!(bench.counted("a", 0), (0, 0));
    assert!(save(&bench.rules, &bench.state, true).contains(":FORWARD DROP [0:0]"));
}

#[test]
fn a_check_changes_nothing_and_fails_without_the_rule() {
    let start = fresh(START).unwrap();
    let same = apply("*filter\n-C a -j b\nCOMMIT\n", &start, true).unwrap();
    assert_eq!(shown(&same), shown(&start));
    assert!(apply("*filter\n-C a -j ACCEPT\nCOMMIT\n", &start, true).unwrap_err().contains("Bad rule"));
}

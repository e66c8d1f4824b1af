//! What is read, what is printed, and what is refused where.

mod random;
mod real;

use crate::netfilter::rules::{RuleState, Ruleset};
use crate::netfilter::text::{Restore, TextError, save};
use crate::wire::ip::Family;

/// A table with one user's chain `x`, and `rule` in it.
fn table(table: &str, rule: &str) -> String {
    format!("*{table}\n:x - [0:0]\n:y - [0:0]\n{rule}\nCOMMIT\n")
}

fn load(text: &str) -> Result<Ruleset, String> {
    let restore = Restore::parse(Family::V4, text).map_err(|e| e.to_string())?;
    restore.apply(&Ruleset::default(), false).map_err(|e| e.to_string())
}

/// The rules that iptables-save prints after `text` was loaded.
fn saved(text: &str) -> Vec<String> {
    let rules = load(text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let is_rule = |line: &&str| line.starts_with("-A");
    save(&rules, &RuleState::default(), false).lines().filter(is_rule).map(str::to_owned).collect()
}

fn refused(text: &str) -> TextError {
    Restore::parse(Family::V4, text).expect_err(text)
}

/// Table, rule as it may be written, rule as iptables-save prints it.
fn spellings() -> Vec<(&'static str, &'static str, &'static str)> {
    let (mut table, mut written, mut all) = ("", "", Vec::new());
    for line in include_str!("spellings.txt").lines() {
        match line.split_once(' ') {
            _ if line.starts_with('*') => table = &line[1..],
            Some(("written", rule)) => written = rule,
            Some(("printed", rule)) => all.push((table, written, rule)),
            _ => {}
        }
    }
    all
}

#[test]
fn every_spelling_is_printed_as_iptables_save_prints_it() {
    for (name, written, printed) in spellings() {
        assert_eq!(saved(&table(name, written)), [printed], "written {written:?}");
        assert_eq!(saved(&table(name, printed)), [printed], "what is printed reads back as itself");
    }
}

#[test]
fn a_list_of_addresses_becomes_a_rule_for_each_pair() {
    let rules = saved(&table("filter", "-A x -i eth0 -s 1.2.3.4,5.6.7.8 -d 10.0.0.0/8,11.0.0.0/8 -j ACCEPT"));
    assert_eq!(
        rules,
        [
            "-A x -s 1.2.3.4/32 -d 10.0.0.0/8 -i eth0 -j ACCEPT",
            "-A x -s 1.2.3.4/32 -d 11.0.0.0/8 -i eth0 -j ACCEPT",
            "-A x -s 5.6.7.8/32 -d 10.0.0.0/8 -i eth0 -j ACCEPT",
            "-A x -s 5.6.7.8/32 -d 11.0.0.0/8 -i eth0 -j ACCEPT",
        ]
    );
}

#[test]
fn a_whole_table_is_printed_with_its_chains_first_users_chains_by_name() {
    let text = "*mangle\n:FORWARD DROP [3:4]\n:zz -\n:aa - [0:0]\n:Mm - [0:0]\n[5:7] -A zz -j ACCEPT\n-A FORWARD -j zz\nCOMMIT\n";
    let rules = load(text).unwrap();
    let expected = "*mangle\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [3:4]\n:OUTPUT ACCEPT [0:0]\n\
                    :POSTROUTING ACCEPT [0:0]\n:Mm - [0:0]\n:aa - [0:0]\n:zz - [0:0]\n[0:0] -A FORWARD -j zz\n\
                    [5:7] -A zz -j ACCEPT\nCOMMIT\n";
    assert_eq!(save(&rules, &RuleState::default(), true), expected);
    let zeroed = Restore::parse(Family::V4, text).unwrap().zeroed().apply(&Ruleset::default(), false).unwrap();
    assert!(!save(&zeroed, &RuleState::default(), true).contains("[5:7]"));
}

#[test]
fn what_is_not_supported_is_refused_where_it_stands() {
    let error = refused("*filter\n-A INPUT -p tcp -m hashlimits --hashlimit-upto 5/sec\nCOMMIT\n");
    assert_eq!((error.line, error.column), (2, 20));
    assert!(error.message.contains("\"hashlimits\" is not supported"), "{error}");
    assert!(error.message.contains("comment, connmark, connlimit, conntrack"), "it says what is: {error}");
    let error = refused("*mangle\n\n-A FORWARD -j CLASSIFY --set-class 1:2\nCOMMIT\n");
    assert_eq!((error.line, error.column), (3, 15));
    assert!(error.message.contains("\"CLASSIFY\" is not supported"), "{error}");
}

#[test]
fn an_error_names_its_line_and_column() {
    for (rule, column, message) in [
        ("-A x -p tcp --dport 80 --dport 90", 24, "can only be used once"),
        ("-A x -p tcp --nope 80", 13, "unknown option"),
        ("-A x --dport 80", 6, "unknown option"),
        ("-A x --sport 80 -p tcp", 6, "unknown option"),
        ("-A x ! -j ACCEPT", 8, "cannot be inverted"),
        ("-A x -j ACCEPT !", 16, "nothing follows"),
        ("-A x ! ! -p tcp", 8, "multiple consecutive !"),
        ("-A x foo", 6, "bad argument"),
        ("-A x -s 1.2.3.4/33", 9, "invalid mask"),
        ("-A x -s example.com", 9, "only numeric addresses"),
        ("-A x -s fd00::1", 9, "IPv6"),
        ("-A x -s 1.2.3.4 -s 2.3.4.5", 17, "multiple -s flags"),
        ("-A x -j ACCEPT -j DROP", 16, "multiple -j flags"),
        ("-A x -p tcp --dport 70000", 21, "invalid port"),
        ("-A x -p tcp --dport 9:5", 21, "above its last"),
        ("-A x -p tcp --dport", 20, "needs a value"),
        ("-A x -p icmp -m icmp", 14, "--icmp-type is missing"),
        ("-A x -m statistic --mode nth --every 3", 6, "--packet"),
        ("-A x -m statistic --mode random --probability 1.5", 47, "invalid probability"),
        ("-A x -m comment --comment \"open", 27, "never closed"),
        ("-A x -i device-with-a-long-name", 9, "15 characters"),
        ("-A x -j DNAT", 6, "--to-destination is missing"),
        ("-A x -j chain-with-a-name-of-many-characters", 9, "1 to 28"),
        ("-A x -m recent --set --seconds 5", 6, "take no --seconds"),
        ("-A x -m hashlimit --hashlimit-upto 5/sec", 6, "--hashlimit-name is missing"),
        ("-A x -m hashlimit --hashlimit-name h", 6, "one of --hashlimit-upto"),
        ("-A x -m hashlimit --hashlimit-upto 0kb/s", 36, "invalid rate"),
        ("-A x -m hashlimit --hashlimit-rate-interval 0", 45, "from 1"),
        ("-A x -m rpfilter --loosely", 18, "unknown option"),
        ("-A x -j CT --ctevents gone", 23, "unknown event"),
        ("-A x -j CT --zone 65536", 19, "invalid zone"),
        ("-A x -j CT --timeout t", 12, "no timeout policies"),
        ("-A x -m hashlimit --hashlimit-mode ip", 36, "bad mode"),
        ("-A x -m length --length 70000", 25, "invalid length"),
        ("-A x -m pkttype --pkt-type me", 28, "bad packet type"),
        ("-A x -j TTL --ttl-dec 0", 13, "at least 1"),
        ("-A x -j TTL --ttl-set 1 --ttl-inc 1", 25, "only one of"),
        ("-A x -j DSCP", 6, "one of --set-dscp"),
        ("-A x -j HMARK --hmark-tuple src --hmark-rnd 1", 6, "--hmark-mod is missing"),
        ("-A x -j HMARK --hmark-tuple src --hmark-mod 2", 6, "--hmark-rnd is missing"),
        ("-A x -j HMARK --hmark-rnd 1 --hmark-mod 2", 6, "--hmark-tuple is missing"),
        ("-A x -j HMARK --hmark-tuple src,x", 29, "bad part"),
        ("-A x -j HMARK --hmark-tuple src --hmark-src-prefix 8", 33, "set before"),
        ("-A x -j HMARK --hmark-mod 0", 15, "at least 1"),
        ("-A x -j HMARK --hmark-tuple spi,dport --hmark-rnd 1 --hmark-mod 2", 6, "do not go together"),
        ("-A x -m iprange", 6, "one of --src-range"),
        ("-A x -m dscp --dscp 64", 21, "invalid DSCP"),
    ] {
        let error = refused(&table("filter", rule));
        assert_eq!((error.line, error.column), (4, column), "{rule}: {error}");
        assert!(error.message.contains(message), "{rule}: {error}");
    }
}

#[test]
fn tables_and_commits_must_pair() {
    for (text, line, message) in [
        ("*filter\n-F\n", 3, "COMMIT expected"),
        ("-F\nCOMMIT\n", 1, "outside of a table"),
        ("*filter\n*nat\nCOMMIT\n", 2, "no COMMIT"),
        ("*foo\nCOMMIT\n", 1, "invalid"),
        ("*filter\n:INPUT FOO [0:0]\nCOMMIT\n", 2, "Bad policy name"),
        ("*filter\n:INPUT ACCEPT 0:0\nCOMMIT\n", 2, "invalid counters"),
        ("*filter\n-S\nCOMMIT\n", 2, "unknown command"),
    ] {
        let error = refused(text);
        assert_eq!(error.line, line, "{error}");
        assert!(error.message.contains(message), "{error}");
    }
}

#[test]
fn hostile_text_is_bounded() {
    assert!(
        refused(&table("filter", &format!("-A x -m comment --comment {}", "a".repeat(20_000))))
            .message
            .contains("longer")
    );
    assert!(refused(&table("filter", &format!("-A x {}", "-f ".repeat(300)))).message.contains("255 words"));
    let list = vec!["10.0.0.1"; 200].join(",");
    assert!(refused(&table("filter", &format!("-A x -s {list} -d {list}"))).message.contains("4096"));
    let list = vec!["10.0.0.1"; 64].join(",");
    let many = format!("-A x -s {list} -d {list}\n").repeat(250);
    assert!(refused(&table("filter", &many)).message.contains("more than 1000000"));
}

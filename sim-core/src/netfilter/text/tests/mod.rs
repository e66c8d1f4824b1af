//! What is read, what is printed, and what is refused where.

mod random;
mod real;

use crate::netfilter::rules::{RuleState, Ruleset};
use crate::netfilter::text::{Restore, TextError, save};

/// A table with one user's chain `x`, and `rule` in it.
fn table(table: &str, rule: &str) -> String {
    format!("*{table}\n:x - [0:0]\n:y - [0:0]\n{rule}\nCOMMIT\n")
}

fn load(text: &str) -> Result<Ruleset, String> {
    let restore = Restore::parse(text).map_err(|e| e.to_string())?;
    restore.apply(&Ruleset::default(), false).map_err(|e| e.to_string())
}

/// The rules that iptables-save prints after `text` was loaded.
fn saved(text: &str) -> Vec<String> {
    let rules = load(text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let is_rule = |line: &&str| line.starts_with("-A");
    save(&rules, &RuleState::default(), false).lines().filter(is_rule).map(str::to_owned).collect()
}

fn refused(text: &str) -> TextError {
    Restore::parse(text).expect_err(text)
}

/// Each line as it may be written, and as iptables-save 1.8.9 prints it (measured; `real.rs` measures again).
pub(super) const SPELLINGS: &[(&str, &str, &str)] = &[
    (
        "filter",
        "-A x -s 10.1.2.3/8 -d 1.2.3.4/255.255.255.0 ! -i eth+ -o + -p 0 -f",
        "-A x -s 10.0.0.0/8 -d 1.2.3.0/24 ! -i eth+ -f",
    ),
    ("filter", "-A x ! -f ! -p tcp -i eth0 ! -o lo", "-A x -i eth0 ! -o lo ! -p tcp ! -f"),
    ("filter", "-A x -s 0.0.0.0/0 -d 0/0", "-A x"),
    ("filter", "-A x ! -i +", "-A x ! -i +"),
    ("filter", "-A x -p 47", "-A x -p gre"),
    ("filter", "-A x -p 200", "-A x -p 200"),
    ("filter", "-A x -p TCP -j ACCEPT", "-A x -p tcp -j ACCEPT"),
    (
        "filter",
        "-A x --protocol tcp --source 1.2.3.4 --destination 1.2.3.0/24 --in-interface eth0 --jump ACCEPT",
        "-A x -s 1.2.3.4/32 -d 1.2.3.0/24 -i eth0 -p tcp -j ACCEPT",
    ),
    ("filter", "-A x -j ACCEPT -m mark --mark 1", "-A x -m mark --mark 0x1 -j ACCEPT"),
    ("filter", "-A x -m mark --mark 1 -m mark --mark 2 -g y", "-A x -m mark --mark 0x1 -m mark --mark 0x2 -g y"),
    ("filter", "-A x -p tcp --dport=80 -j y", "-A x -p tcp -m tcp --dport 80 -j y"),
    ("filter", "-A x -p tcp --syn", "-A x -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN"),
    (
        "filter",
        "-A x -p tcp -m tcp ! --tcp-flags ALL NONE",
        "-A x -p tcp -m tcp ! --tcp-flags FIN,SYN,RST,PSH,ACK,URG NONE",
    ),
    (
        "filter",
        "-A x -p tcp --tcp-option 3 --sport 1:5 ! --dport :80",
        "-A x -p tcp -m tcp --sport 1:5 ! --dport 0:80 --tcp-option 3",
    ),
    ("filter", "-A x -p tcp --dport 80:", "-A x -p tcp -m tcp --dport 80:65535"),
    ("filter", "-A x -p tcp --dport 0:65535", "-A x -p tcp -m tcp"),
    ("filter", "-A x -p tcp --destination-port 7:7", "-A x -p tcp -m tcp --dport 7"),
    ("filter", "-A x -p udp --dport http", "-A x -p udp -m udp --dport 80"),
    ("filter", "-A x -p sctp -m sctp ! --sport 5:9", "-A x -p sctp -m sctp ! --sport 5:9"),
    ("filter", "-A x -p icmp --icmp-type echo-request", "-A x -p icmp -m icmp --icmp-type 8"),
    ("filter", "-A x -p icmp ! --icmp-type host-unreachable", "-A x -p icmp -m icmp ! --icmp-type 3/1"),
    ("filter", "-A x -p icmp --icmp-type any", "-A x -p icmp -m icmp --icmp-type any"),
    ("filter", "-A x -p udp -m multiport ! --source-ports 1,2,3:5", "-A x -p udp -m multiport ! --sports 1,2,3:5"),
    ("filter", "-A x -p 17 -m multiport --ports 1", "-A x -p udp -m multiport --ports 1"),
    ("filter", "-A x -m mark --mark 0x5/0xffffffff", "-A x -m mark --mark 0x5"),
    ("filter", "-A x -m mark ! --mark 0x00004000/0x00004000", "-A x -m mark ! --mark 0x4000/0x4000"),
    ("filter", "-A x -m connmark ! --mark 0x5/0xff", "-A x -m connmark ! --mark 0x5/0xff"),
    (
        "filter",
        "-A x -m conntrack --ctstate NEW,DNAT,SNAT,INVALID,ESTABLISHED,RELATED,UNTRACKED",
        "-A x -m conntrack --ctstate INVALID,NEW,RELATED,ESTABLISHED,UNTRACKED,SNAT,DNAT",
    ),
    (
        "filter",
        "-A x -m conntrack ! --ctstate NEW --ctproto tcp --ctorigsrc 10.0.0.0/8 ! --ctorigdst 1.2.3.4 --ctreplsrc 1.1.1.1 --ctrepldst 2.2.2.0/24 --ctorigsrcport 5 --ctorigdstport 80:90 ! --ctreplsrcport 7 --ctrepldstport 8 --ctstatus ASSURED,CONFIRMED,SEEN_REPLY,EXPECTED --ctdir REPLY",
        "-A x -m conntrack ! --ctstate NEW --ctproto 6 --ctorigsrc 10.0.0.0/8 ! --ctorigdst 1.2.3.4 --ctreplsrc 1.1.1.1 --ctrepldst 2.2.2.0/24 --ctorigsrcport 5 --ctorigdstport 80:90 ! --ctreplsrcport 7 --ctrepldstport 8 --ctstatus EXPECTED,SEEN_REPLY,ASSURED,CONFIRMED --ctdir REPLY",
    ),
    (
        "filter",
        "-A x -m conntrack --ctexpire 5:10 ! --ctstatus NONE --ctdir ORIGINAL",
        "-A x -m conntrack ! --ctstatus NONE --ctexpire 5:10 --ctdir ORIGINAL",
    ),
    ("filter", "-A x -m state ! --state ESTABLISHED,NEW", "-A x -m state ! --state NEW,ESTABLISHED"),
    (
        "filter",
        "-A x -m addrtype --src-type LOCAL,UNICAST ! --dst-type BROADCAST --limit-iface-out",
        "-A x -m addrtype --src-type UNICAST,LOCAL ! --dst-type BROADCAST --limit-iface-out",
    ),
    (
        "filter",
        "-A x -m statistic --mode random --probability 0.3333333333",
        "-A x -m statistic --mode random --probability 0.33333333349",
    ),
    (
        "filter",
        "-A x -m statistic --mode random ! --probability 0.5",
        "-A x -m statistic --mode random ! --probability 0.50000000000",
    ),
    (
        "filter",
        "-A x -m statistic --mode random --probability 1",
        "-A x -m statistic --mode random --probability 1.00000000000",
    ),
    (
        "filter",
        "-A x -m statistic --mode random --probability 0.1428571429",
        "-A x -m statistic --mode random --probability 0.14285714272",
    ),
    (
        "filter",
        "-A x -m statistic --mode nth ! --every 3 --packet 2",
        "-A x -m statistic --mode nth ! --every 3 --packet 2",
    ),
    ("filter", "-A x -m recent --set", "-A x -m recent --set --name DEFAULT --mask 255.255.255.255 --rsource"),
    (
        "filter",
        "-A x -m recent --name X --rcheck --seconds 10 --reap",
        "-A x -m recent --rcheck --seconds 10 --reap --name X --mask 255.255.255.255 --rsource",
    ),
    (
        "filter",
        "-A x -m recent ! --update --hitcount 3 --name X --rdest --mask 255.255.255.0",
        "-A x -m recent ! --update --hitcount 3 --name X --mask 255.255.255.0 --rdest",
    ),
    (
        "filter",
        "-A x -m recent --rcheck --seconds 5 --hitcount 2 --rttl --name X",
        "-A x -m recent --rcheck --seconds 5 --hitcount 2 --rttl --name X --mask 255.255.255.255 --rsource",
    ),
    (
        "filter",
        "-A x -m physdev ! --physdev-is-in --physdev-out x ! --physdev-is-out",
        "-A x -m physdev ! --physdev-is-in ! --physdev-is-out --physdev-out x",
    ),
    (
        "filter",
        "-A x -m physdev ! --physdev-in veth+ --physdev-is-bridged",
        "-A x -m physdev ! --physdev-in veth+ --physdev-is-bridged",
    ),
    ("filter", "-A x -m limit", "-A x -m limit --limit 3/hour"),
    ("filter", "-A x -m limit --limit 5/sec --limit-burst 10", "-A x -m limit --limit 5/sec --limit-burst 10"),
    ("filter", "-A x -m limit --limit 60/minute --limit-burst 5", "-A x -m limit --limit 1/sec"),
    ("filter", "-A x -m limit --limit 7/m", "-A x -m limit --limit 7/min"),
    ("filter", "-A x -m limit --limit 1/day", "-A x -m limit --limit 1/day"),
    ("filter", "-A x -m comment --comment foo", "-A x -m comment --comment foo"),
    (
        "filter",
        r#"-A x -m comment --comment "foo \"bar\" \\ 'x'""#,
        r#"-A x -m comment --comment "foo \"bar\" \\ \'x\'""#,
    ),
    ("filter", "-A x -m comment --comment a:b/c", r#"-A x -m comment --comment "a:b/c""#),
    ("filter", r#"-A x -m comment --comment "!""#, r#"-A x -m comment --comment "!""#),
    ("filter", r#"-A x -m comment --comment "" -j RETURN"#, r#"-A x -m comment --comment "" -j RETURN"#),
    ("filter", "-A x -j REJECT", "-A x -j REJECT --reject-with icmp-port-unreachable"),
    ("filter", "-A x -j REJECT --reject-with host-prohib", "-A x -j REJECT --reject-with icmp-host-prohibited"),
    ("filter", "-A x -p tcp -j REJECT --reject-with tcp-rst", "-A x -p tcp -j REJECT --reject-with tcp-reset"),
    ("filter", "-A x -j LOG", "-A x -j LOG"),
    (
        "filter",
        r#"-A x -j LOG --log-prefix "a b: " --log-level debug --log-uid --log-tcp-options"#,
        r#"-A x -j LOG --log-prefix "a b: " --log-level 7 --log-tcp-options --log-uid"#,
    ),
    (
        "filter",
        r#"-A x -j NFLOG --nflog-group 5 --nflog-prefix "hello world" --nflog-size 64 --nflog-threshold 3"#,
        r#"-A x -j NFLOG --nflog-prefix "hello world" --nflog-group 5 --nflog-size 64 --nflog-threshold 3"#,
    ),
    ("mangle", "-A x -j MARK --set-mark 0x5/0xf0", "-A x -j MARK --set-xmark 0x5/0xf5"),
    ("mangle", "-A x -j MARK --or-mark 0x00004000", "-A x -j MARK --set-xmark 0x4000/0x4000"),
    ("mangle", "-A x -j MARK --and-mark 0xff", "-A x -j MARK --set-xmark 0x0/0xffffff00"),
    ("mangle", "-A x -j MARK --xor-mark 0x4000", "-A x -j MARK --set-xmark 0x4000/0x0"),
    ("mangle", "-A x -j MARK --set-xmark 7", "-A x -j MARK --set-xmark 0x7/0xffffffff"),
    ("mangle", "-A x -j CONNMARK --set-mark 0x5/0xf", "-A x -j CONNMARK --set-xmark 0x5/0xf"),
    ("mangle", "-A x -j CONNMARK --and-mark 0x5", "-A x -j CONNMARK --set-xmark 0x0/0xfffffffa"),
    ("mangle", "-A x -j CONNMARK --save-mark --mask 0xff", "-A x -j CONNMARK --save-mark --nfmask 0xff --ctmask 0xff"),
    (
        "mangle",
        "-A x -j CONNMARK --restore-mark --nfmask 0xff --ctmask 0xf",
        "-A x -j CONNMARK --restore-mark --nfmask 0xff --ctmask 0xf",
    ),
    (
        "mangle",
        "-A x -p tcp --syn -j TCPMSS --clamp-mss-to-pmtu",
        "-A x -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j TCPMSS --clamp-mss-to-pmtu",
    ),
    (
        "mangle",
        "-A x -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 1400",
        "-A x -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 1400",
    ),
    ("raw", "-A x -j CT --notrack", "-A x -j CT --notrack"),
    ("raw", "-A x -j CT --zone-orig 5", "-A x -j CT --zone-orig 5"),
    ("raw", "-A x -j NOTRACK", "-A x -j NOTRACK"),
    ("raw", "-A x -j TRACE", "-A x -j TRACE"),
    (
        "nat",
        "-A x -p tcp -j DNAT --to-destination 1.2.3.4-1.2.3.9:80-90 --random --persistent",
        "-A x -p tcp -j DNAT --to-destination 1.2.3.4-1.2.3.9:80-90 --random --persistent",
    ),
    ("nat", "-A x -p tcp -j DNAT --to-destination :80", "-A x -p tcp -j DNAT --to-destination :80"),
    (
        "nat",
        "-A x -p tcp -j DNAT --to-destination 1.2.3.4:80-90/1000",
        "-A x -p tcp -j DNAT --to-destination 1.2.3.4:80-90/1000",
    ),
    (
        "nat",
        "-A x -j DNAT --to-destination 1.2.3.4 -p tcp --dport 5",
        "-A x -p tcp -m tcp --dport 5 -j DNAT --to-destination 1.2.3.4",
    ),
    (
        "nat",
        "-A x -p tcp -j SNAT --to-source 1.2.3.4-1.2.3.5:1-2 --random --random-fully --persistent",
        "-A x -p tcp -j SNAT --to-source 1.2.3.4-1.2.3.5:1-2 --random --random-fully --persistent",
    ),
    ("nat", "-A x -j MASQUERADE --random-fully", "-A x -j MASQUERADE --random-fully"),
    (
        "nat",
        "-A x -p tcp -j MASQUERADE --to-ports 1000-2000 --random --random-fully",
        "-A x -p tcp -j MASQUERADE --to-ports 1000-2000 --random --random-fully",
    ),
    ("nat", "-A x -p udp -j REDIRECT --to-ports 7-7", "-A x -p udp -j REDIRECT --to-ports 7"),
];

#[test]
fn every_spelling_is_printed_as_iptables_save_prints_it() {
    for (name, written, printed) in SPELLINGS {
        assert_eq!(saved(&table(name, written)), [*printed], "written {written:?}");
        assert_eq!(saved(&table(name, printed)), [*printed], "what is printed reads back as itself");
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
    let zeroed = Restore::parse(text).unwrap().zeroed().apply(&Ruleset::default(), false).unwrap();
    assert!(!save(&zeroed, &RuleState::default(), true).contains("[5:7]"));
}

#[test]
fn what_is_not_supported_is_refused_where_it_stands() {
    let error = refused("*filter\n-A INPUT -p tcp -m hashlimit --hashlimit-upto 5/sec\nCOMMIT\n");
    assert_eq!((error.line, error.column), (2, 20));
    assert!(error.message.contains("\"hashlimit\" is not supported"), "{error}");
    assert!(error.message.contains("comment, connmark, conntrack"), "it says what is: {error}");
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
}

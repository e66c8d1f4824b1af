//! Matches that only IPv6 has: how they are printed and what is refused. Which packets fit, `tests/parity/v6_header_matches`
//! compares with the kernel.

use crate::netfilter::rules::{RuleState, Ruleset};
use crate::netfilter::text::{Restore, save};
use crate::wire::ip::Family;

fn text(chain: &str, rule: &str) -> String {
    format!("*filter\n-A {chain} {rule}\nCOMMIT\n")
}

/// The rule as ip6tables-save prints it.
fn printed(rule: &str) -> String {
    let rules = Restore::parse(Family::V6, &text("FORWARD", rule)).unwrap_or_else(|e| panic!("{rule}: {e}"));
    let rules = rules.apply(&Ruleset::default(), false).unwrap();
    let saved = save(&rules, &RuleState::default(), false);
    let line = saved.lines().find_map(|line| line.strip_prefix("-A FORWARD "));
    line.unwrap_or_else(|| panic!("no rule in {saved}")).to_owned()
}

#[test]
fn headers_are_printed_as_the_real_tool_prints_them() {
    for (given, expected) in [
        ("-m frag --fragid 5:", "-m frag --fragid 5:4294967295"),
        ("-m frag ! --fragid :0x10", "-m frag ! --fragid 0:16"),
        ("-m frag --fragid 0:4294967295", "-m frag"),
        (
            "-m frag --fragmore --fragfirst --fragres --fraglen 8",
            "-m frag --fraglen 8 --fragres --fragfirst --fragmore",
        ),
        ("-m ipv6header --soft --header route,hop", "-m ipv6header --header hop-by-hop,ipv6-route --soft"),
        ("-m ipv6header ! --header 60,44,prot,esp", "-m ipv6header ! --header ipv6-opts,ipv6-frag,esp,protocol"),
        ("-m eui64", "-m eui64"),
        ("-m rt ! --rt-segsleft 0:4294967295", "-m rt"),
        (
            "-m rt --rt-type 0 --rt-0-addrs fe80::1,::2 --rt-0-not-strict --rt-0-res --rt-segsleft 4: --rt-len 0x10",
            "-m rt --rt-type 0 --rt-segsleft 4:4294967295 --rt-len 16 --rt-0-res --rt-0-addrs fe80::1,::2 --rt-0-not-strict",
        ),
        ("-m hbh ! --hbh-len 8 --hbh-opts 0x5:2,3,1:255,300", "-m hbh ! --hbh-len 8 --hbh-opts 5:2,3,1,44"),
        ("-m dst --dst-opts 201:16", "-m dst --dst-opts 201:16"),
        ("-p mh --mh-type be:", "-p mobility-header -m mh --mh-type 7:255"),
        ("-p ipv6-mh -m mh ! --mh-type b", "-p mobility-header -m mh ! --mh-type 0"),
        ("-p 135 -m mh ! --mh-type 0:255", "-p mobility-header -m mh"),
    ] {
        assert_eq!(printed(given), expected);
        assert_eq!(printed(expected), expected);
    }
}

#[test]
fn what_cannot_be_is_refused() {
    for (rule, why) in [
        ("-m frag --fragmore --fraglast", "only one of"),
        ("-m frag ! --fragfirst", "!"),
        ("-m frag --fragid 4294967296", "invalid id"),
        ("-m ipv6header --soft", "--header is missing"),
        ("-m rt --rt-0-res", "required before"),
        ("-m rt ! --rt-type 0 --rt-0-addrs ::1", "required before"),
        ("-m rt --rt-type 0 --rt-0-not-strict", "required before"),
        ("-m hbh --hbh-opts 1:,2", "no length"),
        ("-m dst --dst-opts 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17", "at most 16"),
        ("-p mh --mh-type bu:coti", "min > max"),
        ("-p mh --mh-type foo", "Invalid MH type"),
        ("-m ipv6header --header 17", "unknown header"),
    ] {
        let error = Restore::parse(Family::V6, &text("FORWARD", rule)).unwrap_err().to_string();
        assert!(error.contains(why), "{rule}: {error}");
    }
    assert!(Restore::parse(Family::V4, &text("FORWARD", "-m frag")).is_err(), "IPv4 has no such header");
    let sent = Restore::parse(Family::V6, &text("OUTPUT", "-m eui64")).unwrap();
    assert!(sent.apply(&Ruleset::default(), false).is_err(), "what this host sends came with no hardware address");
}

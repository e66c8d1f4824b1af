//! Random text never panics, random rules read back as they were printed.

use proptest::prelude::*;

use super::{load, spellings};
use crate::netfilter::rules::{RuleState, Ruleset};
use crate::netfilter::text::{Restore, save};
use crate::wire::ip::Family;

/// Words of which rules are made, right and wrong ones.
fn word() -> impl Strategy<Value = String> {
    let known: Vec<String> =
        spellings().into_iter().flat_map(|(_, written, _)| written.split(' ')).map(str::to_owned).collect();
    prop_oneof![
        8 => proptest::sample::select(known),
        1 => "[ -~]{0,12}",
        1 => any::<u64>().prop_map(|n| n.to_string()),
    ]
}

/// A rule of `-A x`, made of whole pieces that fit together.
fn rule() -> impl Strategy<Value = String> {
    let selector = prop_oneof![
        Just(String::new()),
        (any::<u32>(), 1u8..=32, any::<bool>()).prop_map(|(addr, len, not)| {
            format!("{}-s {}/{len}", if not { "! " } else { "" }, std::net::Ipv4Addr::from(addr))
        }),
        "[a-z]{1,8}[+]?".prop_map(|dev| format!("-i {dev}")),
    ];
    let ports = (any::<u16>(), any::<u16>(), any::<bool>()).prop_map(|(a, b, not)| {
        format!("-p tcp {}--dport {}:{}", if not { "! " } else { "" }, a.min(b).max(1), a.max(b).max(1))
    });
    let ask = prop_oneof![
        "[ -~]{0,40}"
            .prop_map(|c| format!("-m comment --comment \"{}\"", c.replace('\\', "\\\\").replace('"', "\\\""))),
        (any::<u32>(), any::<u32>()).prop_map(|(v, m)| format!("-m mark --mark {v:#x}/{m:#x}")),
        (0u64..=10_000_000_000).prop_map(|p| {
            format!("-m statistic --mode random --probability {}.{:010}", p / 10_000_000_000, p % 10_000_000_000)
        }),
        (1u32..100, 0u32..100).prop_map(|(e, p)| format!("-m statistic --mode nth --every {e} --packet {}", p % e)),
        // Rates that divide the kernel's scale of 10000: others are printed as the nearest one, by iptables too.
        (
            proptest::sample::select(vec![1u32, 2, 4, 5, 8, 10, 20, 25, 40, 50]),
            proptest::sample::select(vec!["sec", "min", "hour", "day"]),
            1u32..100
        )
            .prop_map(|(n, unit, burst)| format!("-m limit --limit {n}/{unit} --limit-burst {burst}")),
        (1u32..1000, 1u32..255).prop_map(|(s, h)| format!("-m recent --update --seconds {s} --hitcount {h} --name l")),
    ];
    let target = prop_oneof![
        Just(String::new()),
        Just("-j ACCEPT".to_owned()),
        Just("-g y".to_owned()),
        (any::<u32>(), any::<u32>()).prop_map(|(v, m)| format!("-j MARK --set-xmark {v:#x}/{m:#x}")),
        any::<u32>().prop_map(|v| format!("-j MARK --and-mark {v}")),
    ];
    (selector, ports, proptest::collection::vec(ask, 0..4), target, any::<(u32, u32)>())
        .prop_map(|(s, p, asks, t, (a, b))| format!("[{a}:{b}] -A x {s} {p} {} {t}", asks.join(" ")))
}

proptest! {
    #[test]
    fn no_text_panics(text in "(?s).{0,200}") {
        let _ = Restore::parse(Family::V4, &text);
    }

    #[test]
    fn no_words_panic(words in proptest::collection::vec(word(), 0..14), command in "-[ADIRNFXP]|:x") {
        let text = format!("*nat\n:x - [0:0]\n{command} {}\nCOMMIT\n", words.join(" "));
        if let Ok(restore) = Restore::parse(Family::V4, &text) {
            let _ = restore.apply(&Ruleset::default(), false);
        }
    }

    #[test]
    fn rules_read_back_as_printed(rules in proptest::collection::vec(rule(), 1..6)) {
        let text = format!("*mangle\n:x - [0:0]\n:y - [0:0]\n{}\nCOMMIT\n", rules.join("\n"));
        let first = load(&text).map_err(TestCaseError::fail)?;
        let printed = save(&first, &RuleState::default(), true);
        let (once, again) = (Restore::parse(Family::V4, &printed).unwrap(), Restore::parse(Family::V4, &text).unwrap());
        prop_assert_eq!(save(&load(&printed).unwrap(), &RuleState::default(), true), printed);
        let appended = |r: &Restore| -> Vec<_> { r.tables[0].ops[r.tables[0].ops.len() - rules.len()..].iter().map(|o| o.1.clone()).collect() };
        // A probability or rate is rounded when it is read, so both readings hold the same value.
        prop_assert_eq!(appended(&once), appended(&again));
    }
}

//! iptables -S and -L (1.8.9): a table as commands, and as lines for people.

use super::rule::{print, protocol_name};
use crate::netfilter::rules::rule::{Cond, Counters, Rule, Target};
use crate::netfilter::rules::state::RuleState;
use crate::netfilter::rules::table::{Chain, ChainId, Table};
use ipnet::IpNet;

/// How `iptables` is asked to print.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RuleForm {
    /// With counters, and devices in a list (`-v`).
    pub verbose: bool,
    /// Addresses and protocols as numbers (`-n`).
    pub numeric: bool,
    /// With the place of each rule (`--line-numbers`).
    pub line_numbers: bool,
}

/// The chain called `wanted`, or all of them.
fn wanted<'t>(table: &'t Table, wanted: Option<&'t str>) -> impl Iterator<Item = (ChainId, &'t Chain)> {
    table.iter().filter(move |(_, chain)| wanted.is_none_or(|name| &*chain.name == name))
}

/// `iptables -S`: the commands that make the table; with `counters` as with `-v`.
pub fn commands(table: &Table, state: &RuleState, chain: Option<&str>, counters: bool) -> Vec<String> {
    let head = |(id, chain): (ChainId, &Chain)| match chain.base {
        Some(base) if counters => {
            format!("-P {} {}{}", chain.name, base.policy, counted(state.policy_counters(table, id)))
        }
        Some(base) => format!("-P {} {}", chain.name, base.policy),
        None => format!("-N {}", chain.name),
    };
    let mut lines: Vec<String> = wanted(table, chain).map(head).collect();
    for (id, chain) in wanted(table, chain) {
        for (place, entry) in chain.rules.iter().enumerate() {
            let line = print(&chain.name, &entry.rule);
            lines.push(if counters { with_counters(&line, state.counters(table, id, place)) } else { line });
        }
    }
    lines
}

fn counted(counters: Counters) -> String {
    format!(" -c {} {}", counters.packets, counters.bytes)
}

/// The counters stand before the target (iptables/nft-shared.c, `nft_rule_print_save`).
fn with_counters(line: &str, counters: Counters) -> String {
    let target = [" -j ", " -g "].iter().filter_map(|option| line.rfind(option)).max();
    let (matches, target) = line.split_at(target.unwrap_or(line.len()));
    format!("{matches}{}{target}", counted(counters))
}

/// `iptables -L`: each chain with a title, a line a rule.
pub fn chains(table: &Table, state: &RuleState, chain: Option<&str>, form: RuleForm) -> Vec<String> {
    let mut lines = Vec::new();
    for (id, chain) in wanted(table, chain) {
        if !lines.is_empty() {
            lines.push(String::new());
        }
        lines.push(title(table, state, id, chain, form));
        let number = if form.line_numbers { "num  " } else { "" };
        lines.push(if form.verbose {
            format!("{number} pkts bytes target     prot opt in     out     source               destination")
        } else {
            format!("{number}target     prot opt source               destination")
        });
        for (place, entry) in chain.rules.iter().enumerate() {
            let number = if form.line_numbers { format!("{:<4} ", place + 1) } else { String::new() };
            let line = number + &row(&entry.rule, state.counters(table, id, place), form);
            lines.push(line.trim_end().to_owned());
        }
    }
    lines
}

fn title(table: &Table, state: &RuleState, id: ChainId, chain: &Chain, form: RuleForm) -> String {
    let Some(base) = chain.base else {
        let rules = table.iter().flat_map(|(_, chain)| &chain.rules);
        let references = rules.filter(|entry| entry.rule.leads_to() == Some(&chain.name)).count();
        return format!("Chain {} ({references} references)", chain.name);
    };
    let counted = if form.verbose {
        let counters = state.policy_counters(table, id);
        format!(" {} packets, {} bytes", short(counters.packets).trim(), short(counters.bytes).trim())
    } else {
        String::new()
    };
    format!("Chain {} (policy {}{counted})", chain.name, base.policy)
}

/// A count in five columns (libxtables/xtables.c, `xtables_print_num`).
fn short(number: u64) -> String {
    if number <= 99_999 {
        return format!("{number:>5}");
    }
    let mut number = number;
    for unit in ["K", "M", "G", "T"] {
        number = number.saturating_add(500) / 1000;
        if number <= 9_999 || unit == "T" {
            return format!("{number:>4}{unit}");
        }
    }
    number.to_string()
}

fn row(rule: &Rule, counters: Counters, form: RuleForm) -> String {
    let s = &rule.selector;
    let counted =
        if form.verbose { format!("{} {} ", short(counters.packets), short(counters.bytes)) } else { String::new() };
    let (target, goto, told) = target(rule);
    // The column before a protocol, as that before an address, is for `!`.
    let sign = s.proto.as_ref().map_or(" ", |p| if p.invert { "!" } else { " " });
    let protocol = match &s.proto {
        Some(p) if form.numeric => p.value.to_string(),
        Some(p) => protocol_name(p.value),
        None if form.numeric => "0".to_owned(),
        None => "all".to_owned(),
    };
    let fragment = s.fragment.as_ref().map_or("--", |f| if f.invert { "!f" } else { "-f" });
    let devs = if form.verbose {
        let dev = |dev: &Option<Cond<_>>| dev.as_ref().map_or("*".to_owned(), |d| format!("{}{}", bang(d), d.value));
        format!(" {:<6} {:<6} ", dev(&s.in_dev), dev(&s.out_dev))
    } else {
        String::new()
    };
    let addrs = [&s.src, &s.dst].map(|net| address(net.as_ref(), form.numeric));
    let matches: String = rule.matches.iter().map(|m| format!(" {}", match_words(&m.to_string()))).collect();
    let goto = if goto { "[goto] " } else { "" };
    let [src, dst] = addrs;
    format!("{counted}{target:<9} {sign}{protocol:<4} {fragment} {devs}{src:<20} {dst:<20} {goto}{matches}{told}")
}

fn bang<T>(cond: &Cond<T>) -> &'static str {
    if cond.invert { "!" } else { "" }
}

/// An address with the column before it, which is for `!`.
fn address(net: Option<&Cond<IpNet>>, numeric: bool) -> String {
    let Some(net) = net else { return if numeric { " 0.0.0.0/0" } else { " anywhere" }.to_owned() };
    let sign = if net.invert { "!" } else { " " };
    let whole = net.value.prefix_len() == net.value.max_prefix_len();
    if whole { format!("{sign}{}", net.value.addr()) } else { format!("{sign}{}", net.value) }
}

/// The target's name, whether it is a goto, and what it is told.
fn target(rule: &Rule) -> (String, bool, String) {
    match &rule.target {
        None => (String::new(), false, String::new()),
        Some(Target::Accept) => ("ACCEPT".to_owned(), false, String::new()),
        Some(Target::Drop) => ("DROP".to_owned(), false, String::new()),
        Some(Target::Return) => ("RETURN".to_owned(), false, String::new()),
        Some(Target::Jump(chain)) => (chain.to_string(), false, String::new()),
        Some(Target::Goto(chain)) => (chain.to_string(), true, String::new()),
        Some(Target::Action(action)) => {
            let saved = action.to_string();
            let (name, told) = saved.split_once(' ').unwrap_or((&saved, ""));
            let told = target_words(name, told);
            (name.to_owned(), false, if told.is_empty() { told } else { format!(" {told}") })
        }
    }
}

/// What `-L` says of a match, from what iptables-save writes of it. Most extensions print the same options without
/// their dashes; those that do not are here.
fn match_words(saved: &str) -> String {
    let Some((name, told)) = saved.strip_prefix("-m ").unwrap_or(saved).split_once(' ') else {
        return saved.strip_prefix("-m ").unwrap_or(saved).to_owned();
    };
    match name {
        "comment" => format!("/* {} */", unquoted(told.strip_prefix("--comment ").unwrap_or(told))),
        "tcp" | "udp" | "sctp" => format!("{name}{}", port_words(told)),
        "mark" | "connmark" => match told.strip_prefix("! --mark ") {
            Some(mark) => format!("{name} match ! {mark}"),
            None => told.replacen("--mark", &format!("{name} match"), 1),
        },
        "conntrack" | "state" => without_dashes(told),
        "addrtype" => {
            let told = told.replace("! --dst-type ", "dst-type !").replace("! --src-type ", "src-type !");
            format!("ADDRTYPE match {}", without_dashes(&told))
        }
        "icmp" => told.replacen("--icmp-type", "icmptype", 1),
        "physdev" => format!("PHYSDEV match {told}"),
        "limit" => {
            let rate = told.replacen("--limit", "limit: avg", 1).replace("--limit-burst", "burst");
            if rate.contains(" burst ") { rate } else { format!("{rate} burst 5") }
        }
        name => format!("{name} {}", without_dashes(told)),
    }
}

fn target_words(name: &str, told: &str) -> String {
    match name {
        "DNAT" | "SNAT" => without_dashes(told).replacen("to-destination ", "to:", 1).replacen("to-source ", "to:", 1),
        "MARK" => {
            let change = told.strip_prefix("--set-xmark ").and_then(|change| change.split_once('/'));
            // extensions/libxt_MARK.c, `mark_tg_print`.
            match change {
                Some((value, mask)) if value == mask => format!("MARK or {value}"),
                Some((value, "0x0")) => format!("MARK xor {value}"),
                Some((value, "0xffffffff")) => format!("MARK set {value}"),
                Some((value, mask)) => format!("MARK xset {value}/{mask}"),
                None => format!("MARK {}", without_dashes(told)),
            }
        }
        "MASQUERADE" | "REJECT" => without_dashes(told),
        _ if told.is_empty() => String::new(),
        name => format!("{name} {}", without_dashes(told)),
    }
}

/// `--dport 80` is `dpt:80`, `! --sport 1:9` is `spts:!1:9`; other options stay.
fn port_words(told: &str) -> String {
    let mut out = String::new();
    let mut words = told.split(' ').filter(|word| !word.is_empty());
    let mut sign = "";
    while let Some(word) = words.next() {
        match word {
            "!" => sign = "!",
            "--sport" | "--dport" => {
                let ports = words.next().unwrap_or_default();
                let many = if ports.contains(':') { "s" } else { "" };
                out += &format!(" {}pt{many}:{sign}{ports}", &word[2..3]);
                sign = "";
            }
            other => {
                out += &format!(" {sign}{other}");
                sign = "";
            }
        }
    }
    out
}

fn without_dashes(told: &str) -> String {
    let words = told.split(' ').map(|word| word.strip_prefix("--").unwrap_or(word));
    words.collect::<Vec<_>>().join(" ")
}

/// A value as it was before iptables-save put quotes and backslashes around it.
fn unquoted(text: &str) -> String {
    let Some(inner) = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')) else { return text.to_owned() };
    let mut chars = inner.chars();
    std::iter::from_fn(|| chars.next().map(|c| if c == '\\' { chars.next().unwrap_or(c) } else { c })).collect()
}

//! `iptables` and `iptables-save`, and the same of IPv6.

use sim_core::netfilter::text::Restore;
use sim_core::netns::netlink::TableName;
use sim_core::netns::show::RuleForm;
use sim_core::wire::ip::Family;
use sim_core::world::{RestoreError, RulesOf, World};

use super::{Answer, NotUnderstood, Output};

pub(super) const USAGE: &[&str] = &[
    "iptables|ip6tables [-t TABLE] -S [CHAIN] [-v] · iptables [-t TABLE] -L [CHAIN] [-n] [-v] [--line-numbers]",
    "iptables [-t TABLE] -A|-I|-D|-R|-C CHAIN … · iptables [-t TABLE] -N|-X|-F|-P [CHAIN] …",
];
pub(super) const SAVE_USAGE: &[&str] = &["iptables-save|ip6tables-save [-c] [-t TABLE]"];

/// The exit status of what the kernel refuses.
const KERNEL_REFUSED: i32 = 1;
/// The exit status of words that are wrong.
const BAD_WORDS: i32 = 2;

pub(super) fn run(world: &mut World, whose: RulesOf, words: &[&str]) -> Answer {
    let mut table = TableName::Filter;
    let mut rest = Vec::new();
    let mut left = words.iter();
    while let Some(word) = left.next() {
        match *word {
            "-t" | "--table" => match table_named(whose.family, left.next())? {
                Ok(named) => table = named,
                Err(refused) => return Ok(refused),
            },
            // The lock of a real machine: nobody else holds it here.
            "-w" | "--wait" => {}
            word => rest.push(word),
        }
    }
    match asked(&rest)? {
        Some(asked) => Ok(show(world, whose, table, &asked)),
        None if matches!(rest.first(), Some(&("-C" | "--check"))) => check(world, whose, table, &rest),
        None => change(world, whose, table, &rest),
    }
}

fn table_named(family: Family, name: Option<&&str>) -> Result<Result<TableName, Output>, NotUnderstood> {
    let name = name.ok_or_else(|| NotUnderstood::word("", "the name of a table"))?;
    let unknown = || {
        let message = format!("{} v1.8.9 (nf_tables): table '{name}' does not exist", tool(family));
        Output::refused(3, message).remark("Perhaps iptables or your kernel needs to be upgraded.")
    };
    Ok(TableName::named(name).ok_or_else(unknown))
}

/// What `-S` or `-L` is to show.
struct Asked<'w> {
    commands: bool,
    chain: Option<&'w str>,
    form: RuleForm,
}

/// What is to be shown; `None` if that is not what the words are about.
fn asked<'w>(words: &[&'w str]) -> Result<Option<Asked<'w>>, NotUnderstood> {
    let mut commands = None;
    let mut chain = None;
    let mut form = RuleForm::default();
    for word in words {
        let single = word.strip_prefix('-').filter(|letters| !letters.starts_with('-') && !letters.is_empty());
        match (*word, single) {
            ("--list-rules", _) => commands = Some(true),
            ("--list", _) => commands = Some(false),
            ("--line-numbers", _) => form.line_numbers = true,
            ("--verbose", _) => form.verbose = true,
            ("--numeric", _) => form.numeric = true,
            (_, Some(letters)) if letters.chars().all(|letter| "SLnvx".contains(letter)) => {
                for letter in letters.chars() {
                    match letter {
                        'S' => commands = Some(true),
                        'L' => commands = Some(false),
                        'v' => form.verbose = true,
                        _ => form.numeric = true,
                    }
                }
            }
            (name, None) if !name.starts_with('-') && chain.is_none() && commands.is_some() => chain = Some(name),
            (other, _) if commands.is_some() => {
                return Err(NotUnderstood::word(other, "-n, -v, --line-numbers, a chain"));
            }
            _ => return Ok(None),
        }
    }
    Ok(commands.map(|commands| Asked { commands, chain, form }))
}

fn show(world: &World, whose: RulesOf, table: TableName, asked: &Asked<'_>) -> Output {
    let (ns, table) = (world.netns(whose.netns), (whose.family, table));
    let lines = if asked.commands {
        ns.show_rule_commands(table, asked.chain, asked.form)
    } else {
        ns.show_rules(table, asked.chain, asked.form)
    };
    lines.map_or_else(|| refusal(whose.family, "No chain/target/match by that name"), Output::lines)
}

/// A refusal of the kernel in iptables' words.
fn refusal(family: Family, message: &str) -> Output {
    Output::refused(KERNEL_REFUSED, format!("{}: {message}.", tool(family)))
}

fn bad_words(family: Family, message: &str) -> Output {
    let tool = tool(family);
    Output::refused(BAD_WORDS, format!("{tool} v1.8.9 (nf_tables): {message}"))
        .remark(format!("Try `{tool} -h' or '{tool} --help' for more information."))
}

/// The name of the tool for a family.
const fn tool(family: Family) -> &'static str {
    match family {
        Family::V4 => "iptables",
        Family::V6 => "ip6tables",
    }
}

fn check(world: &World, whose: RulesOf, table: TableName, words: &[&str]) -> Answer {
    let family = whose.family;
    let [_, chain, rule @ ..] = words else { return Err(NotUnderstood::word("", "-C CHAIN RULE")) };
    if !world.iptables_has_chain(whose, table, chain) {
        return Ok(refusal(family, "No chain/target/match by that name"));
    }
    Ok(match world.iptables_check(whose, table, chain, &quoted(rule)) {
        Ok(true) => Output::default(),
        Ok(false) => refusal(family, "Bad rule (does a matching rule exist in that chain?)"),
        Err(error) => bad_words(family, &error.message),
    })
}

fn change(world: &mut World, whose: RulesOf, table: TableName, words: &[&str]) -> Answer {
    let family = whose.family;
    if words.is_empty() {
        return Ok(bad_words(family, "no command specified"));
    }
    // What is wrong with the words is said without the line and column of a file.
    if let Err(error) = Restore::command(family, words) {
        return Ok(bad_words(family, &error.message));
    }
    let text = format!("*{table}\n{}\nCOMMIT\n", quoted(words));
    Ok(match world.iptables_restore(whose, &text, true) {
        Ok(()) => Output::default(),
        Err(RestoreError::Text(error)) => bad_words(family, &error.message),
        // The emulator adds the name of what is missing, iptables does not.
        Err(RestoreError::Apply(error)) => refusal(family, error.message.split(": ").next().unwrap_or_default()),
        Err(RestoreError::Netns(errno)) => refusal(family, errno.message()),
    })
}

/// Words as a line of iptables-restore: those with blanks or quotes in quotes.
fn quoted(words: &[&str]) -> String {
    let quote = |word: &&str| {
        if word.is_empty() || word.contains([' ', '\t', '"', '\\', '\'']) {
            format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))
        } else {
            (*word).to_owned()
        }
    };
    words.iter().map(quote).collect::<Vec<_>>().join(" ")
}

pub(super) fn save(world: &mut World, whose: RulesOf, words: &[&str]) -> Answer {
    let (mut counters, mut only) = (false, None);
    let mut left = words.iter();
    while let Some(word) = left.next() {
        match *word {
            "-c" | "--counters" => counters = true,
            "-t" | "--table" => match table_named(whose.family, left.next())? {
                Ok(table) => only = Some(table),
                Err(refused) => return Ok(refused),
            },
            other => return Err(NotUnderstood::word(other, "-c, -t TABLE")),
        }
    }
    let text = world.iptables_save(whose, counters);
    let Some(table) = only else { return Ok(Output { stdout: text, ..Output::default() }) };
    let begin = format!("*{table}");
    let mut lines: Vec<&str> = text.lines().skip_while(|line| *line != begin).collect();
    let end = lines.iter().position(|line| *line == "COMMIT").map_or(0, |at| at + 1);
    lines.truncate(end);
    Ok(Output::lines(lines))
}

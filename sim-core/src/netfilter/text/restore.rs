//! iptables-restore: a text of tables, each from its `*` line to its COMMIT.

use std::sync::Arc;

use super::rule::chain_name;
use super::words::Words;
use super::{TextError, number, rule};
use crate::netfilter::rules::apply::{ApplyError, Op, TableOps};
use crate::netfilter::rules::rule::{Counters, Rule};
use crate::netfilter::rules::table::{Policy, Ruleset, TableName};
use crate::wire::ip::Family;

/// Longest text, in bytes, and most operations in it: several times what kube-proxy writes for 10,000 Services with
/// ten endpoints each. A line of lists becomes many rules, so the length alone bounds no memory.
const MAX_TEXT: usize = 256 << 20;
const MAX_OPS: usize = 1_000_000;

/// What a text does, one entry for each COMMIT. Each is one atomic operation.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Restore {
    /// In the order of the text.
    pub tables: Vec<TableOps>,
}

impl Restore {
    /// Reads a text of iptables or, for [`Family::V6`], of ip6tables. Counters are kept as starting values, as
    /// `iptables-restore --counters` does.
    pub fn parse(family: Family, text: &str) -> Result<Self, TextError> {
        if text.len() > MAX_TEXT {
            return Err(TextError::new(1, 1, format!("a text of more than {MAX_TEXT} bytes")));
        }
        let mut restore = Self::default();
        let mut open: Option<(u32, TableOps)> = None;
        let mut count = 0;
        for (line, text) in (1..).zip(text.lines()) {
            count = line;
            let text = text.trim_end();
            let start = text.trim_start();
            match (start.as_bytes().first(), &mut open) {
                (None | Some(b'#'), _) => {}
                (Some(b'*'), None) => open = Some((line, table_line(family, line, text)?)),
                (Some(b'*'), Some((since, _))) => {
                    let message = format!("the table of line {since} has no COMMIT before this one");
                    return Err(TextError::new(line, 1, message));
                }
                (_, None) => {
                    let error = TextError::new(line, 1, "outside of a table");
                    return Err(error.with_help("a line such as *filter begins one"));
                }
                (_, Some(_)) if start == "COMMIT" => restore.tables.extend(open.take().map(|(_, table)| table)),
                (_, Some((_, table))) => {
                    command(&mut Words::split(family, line, text)?, line, &mut table.ops)?;
                    if table.ops.len() > MAX_OPS {
                        return Err(TextError::new(
                            line,
                            1,
                            format!("more than {MAX_OPS} rules and chains in one table"),
                        ));
                    }
                }
            }
        }
        match open {
            Some(_) => Err(TextError::new(count + 1, 1, "COMMIT expected")),
            None => Ok(restore),
        }
    }

    /// Reads the words of one `iptables` command, for example `-t nat -I PREROUTING -j x`; the table is filter if none
    /// is named. It is to be applied with `noflush`.
    pub fn command(family: Family, args: &[&str]) -> Result<Self, TextError> {
        let mut words = Words::of(family, args);
        let table = match words.take(&["-t", "--table"]) {
            None => TableName::Filter,
            Some(word) => table_name(&word.text).map_err(|why| words.fail(word.column, why))?,
        };
        if words.is_read() {
            return Err(words.fail(1, "no command specified"));
        }
        let mut ops = Vec::new();
        command(&mut words, 1, &mut ops)?;
        Ok(Self { tables: vec![TableOps { table, ops }] })
    }

    /// The same with all counters zero, as iptables-restore does without `--counters`.
    pub fn zeroed(mut self) -> Self {
        for (_, op) in self.tables.iter_mut().flat_map(|t| &mut t.ops) {
            match op {
                Op::Declare { counters, .. } => *counters = Counters::default(),
                Op::Append(_, rule) | Op::Insert(_, _, rule) | Op::Replace(_, _, rule)
                    if rule.counters != Counters::default() =>
                {
                    Arc::make_mut(rule).counters = Counters::default();
                }
                _ => {}
            }
        }
        self
    }

    /// The ruleset after all of it.
    pub fn apply(&self, rules: &Ruleset, noflush: bool) -> Result<Ruleset, ApplyError> {
        self.tables.iter().try_fold(rules.clone(), |rules, table| rules.apply(table, noflush))
    }
}

/// `*filter`.
fn table_line(family: Family, line: u32, text: &str) -> Result<TableOps, TextError> {
    let mut words = Words::split(family, line, text)?;
    let table = words.value("*", |word| table_name(word.strip_prefix('*').unwrap_or(word)))?;
    end(&mut words)?;
    Ok(TableOps { table, ops: Vec::new() })
}

fn table_name(name: &str) -> Result<TableName, String> {
    TableName::named(name).ok_or_else(|| {
        let known: Vec<_> = TableName::ALL.iter().map(|t| t.as_str()).collect();
        format!("table name {name:?} invalid: {} are known", known.join(", "))
    })
}

/// Refuses what follows the last word that has a meaning.
fn end(words: &mut Words) -> Result<(), TextError> {
    match words.next().map(|word| (word.column, word.text.clone())) {
        Some((column, text)) => Err(words.fail(column, format!("bad argument {text:?}: nothing is expected here"))),
        None => Ok(()),
    }
}

/// `[packets:bytes]`.
fn counters(text: &str) -> Result<Counters, String> {
    let inner = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    let (packets, bytes) = inner.and_then(|t| t.split_once(':')).unwrap_or_default();
    match (number(packets, u64::MAX), number(bytes, u64::MAX)) {
        (Some(packets), Some(bytes)) => Ok(Counters { packets, bytes }),
        _ => Err(format!("invalid counters {text:?}: [PACKETS:BYTES] is expected")),
    }
}

fn policy(text: &str) -> Result<Policy, String> {
    match text {
        "ACCEPT" => Ok(Policy::Accept),
        "DROP" => Ok(Policy::Drop),
        _ => Err(format!("Bad policy name {text:?}: ACCEPT or DROP is expected")),
    }
}

/// A line of a table: a chain or a command.
fn command(words: &mut Words, line: u32, ops: &mut Vec<(u32, Op)>) -> Result<(), TextError> {
    let Some((mut word, mut column)) = words.next().map(|w| (w.text.clone(), w.column)) else { return Ok(()) };
    if let Some(name) = word.strip_prefix(':') {
        let name = chain_name(name).map_err(|why| words.fail(column, why))?;
        ops.push((line, declare(name, words)?));
        return Ok(());
    }
    let mut start = Counters::default();
    if word.starts_with('[') {
        start = counters(&word).map_err(|why| words.fail(column, why))?;
        (word, column) = match words.next() {
            Some(next) => (next.text.clone(), next.column),
            None => return Err(words.fail(column, "counters without a command")),
        };
    }
    let chain = |words: &mut Words| chain_of(&word, words);
    match word.as_str() {
        "-A" | "--append" => {
            let chain = chain(words)?;
            ops.extend(rules(words, start)?.map(|rule| (line, Op::Append(chain.clone(), rule))));
        }
        "-I" | "--insert" => {
            let chain = chain(words)?;
            let at = place(words)?.unwrap_or(1);
            ops.extend(rules(words, start)?.map(|rule| (line, Op::Insert(chain.clone(), at, rule))));
        }
        "-R" | "--replace" => {
            let chain = chain(words)?;
            let at = place(words)?.ok_or_else(|| words.fail(column, "-R requires a rule number"))?;
            let mut rules = rules(words, start)?;
            match (rules.next(), rules.next()) {
                (Some(rule), None) => ops.push((line, Op::Replace(chain, at, rule))),
                _ => return Err(words.fail(column, "Replacement rule does not specify a unique address")),
            }
        }
        "-D" | "--delete" => {
            let chain = chain(words)?;
            match place(words)? {
                Some(at) => {
                    end(words)?;
                    ops.push((line, Op::DeleteAt(chain, at)));
                }
                None => ops.extend(rules(words, start)?.map(|rule| (line, Op::Delete(chain.clone(), rule)))),
            }
        }
        "-C" | "--check" => {
            let chain = chain(words)?;
            ops.extend(rules(words, start)?.map(|rule| (line, Op::Check(chain.clone(), rule))));
        }
        _ => match on_chain(&word, words)? {
            Some(op) => ops.push((line, op)),
            None => {
                let error = words.fail(column, format!("unknown command {word:?}"));
                return Err(error.with_help(":CHAIN, -A, -I, -R, -D, -C, -N, -E, -F, -X, -Z, -P and COMMIT are known"));
            }
        },
    }
    end(words)
}

/// What `word` does, if it is a command on whole chains.
fn on_chain(word: &str, words: &mut Words) -> Result<Option<Op>, TextError> {
    let chain = |words: &mut Words| chain_of(word, words);
    let all_or_one = |words: &mut Words| if words.is_read() { Ok(None) } else { chain(words).map(Some) };
    Ok(Some(match word {
        "-N" | "--new-chain" | "--new" => Op::New(chain(words)?),
        "-E" | "--rename-chain" => Op::Rename(chain(words)?, chain(words)?),
        "-F" | "--flush" => Op::Flush(all_or_one(words)?),
        "-X" | "--delete-chain" => Op::Remove(all_or_one(words)?),
        "-Z" | "--zero" => match (all_or_one(words)?, place(words)?) {
            (Some(chain), Some(at)) => Op::ZeroAt(chain, at),
            (chain, _) => Op::Zero(chain),
        },
        "-P" | "--policy" => Op::SetPolicy(chain(words)?, words.value("-P", policy)?),
        _ => return Ok(None),
    }))
}

/// The chain a command is about.
fn chain_of(command: &str, words: &mut Words) -> Result<Arc<str>, TextError> {
    words.value(command, |name| chain_name(name).map(Arc::<str>::from))
}

/// `:CHAIN POLICY [packets:bytes]`, the name already read.
fn declare(name: &str, words: &mut Words) -> Result<Op, TextError> {
    let read = |text: &str| if text == "-" { Ok(None) } else { policy(text).map(Some) };
    let policy = words.value("a chain", read)?;
    let counters = if words.is_read() { Counters::default() } else { words.value("a chain", counters)? };
    end(words)?;
    Ok(Op::Declare { chain: name.into(), policy, counters })
}

/// The number after a chain's name, if there is one.
fn place(words: &mut Words) -> Result<Option<usize>, TextError> {
    if !words.next_is(|text| text.bytes().all(|b| b.is_ascii_digit())) {
        return Ok(None);
    }
    let wrong = |text: &str| format!("invalid rule number {text:?}");
    words
        .value("a place", |text| match text.parse::<u32>() {
            Ok(n @ 1..) => Ok(n as usize),
            _ => Err(wrong(text)),
        })
        .map(Some)
}

fn rules(words: &mut Words, start: Counters) -> Result<impl Iterator<Item = Arc<Rule>> + use<>, TextError> {
    Ok(rule::parse(words, start)?.into_iter().map(Arc::new))
}

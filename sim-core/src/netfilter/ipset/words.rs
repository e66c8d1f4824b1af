//! Command lines of `ipset`, and whole texts as `ipset restore` takes them.

use std::sync::Arc;

use super::element::MAX_TIMEOUT;
use super::header::{Family, Header, Type};
use super::{MAX_NAME, SetError, refused};

/// How sets are listed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// `list`
    Plain,
    /// `list -t`: without members.
    Terse,
    /// `list -n`: names only.
    Names,
    /// `save`
    Save,
}

/// One command. The words of an element are read when the set's type is known.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the commands and their arguments are those of ipset(8); `exist` is -exist")]
pub enum Command {
    Create { name: Arc<str>, header: Header, exist: bool },
    Add { set: String, words: Vec<String>, exist: bool },
    Del { set: String, words: Vec<String>, exist: bool },
    Test { set: String, words: Vec<String> },
    Destroy(Option<String>),
    Flush(Option<String>),
    Rename(String, Arc<str>),
    Swap(String, String),
    List(Option<String>, Form),
}

impl Command {
    /// Reads the words after `ipset`.
    ///
    /// # Errors
    /// In `ipset`'s words.
    pub fn read(words: &[&str]) -> Result<Self, SetError> {
        let (mut exist, mut form, mut names) = (false, None, Vec::new());
        let mut rest = words.iter();
        while let Some(word) = rest.next() {
            match *word {
                "-exist" | "-!" | "--exist" => exist = true,
                "-sorted" | "-s" | "--sorted" | "-quiet" | "-q" | "--quiet" => {}
                "-terse" | "-t" | "--terse" => form = Some(Form::Terse),
                "-name" | "-n" | "--name" => form = Some(Form::Names),
                "-output" | "-o" | "--output" => {
                    form = Some(match rest.next().copied() {
                        Some("plain") => Form::Plain,
                        Some("save") => Form::Save,
                        other => return refused(format!("not supported: output mode {}", other.unwrap_or_default())),
                    });
                }
                word => names.push(word),
            }
        }
        let Some((command, args)) = names.split_first() else {
            return Err(SetError::Usage("No command specified.".into()));
        };
        Self::of(command, args, exist, form)
    }

    fn of(command: &str, args: &[&str], exist: bool, form: Option<Form>) -> Result<Self, SetError> {
        let one = || args.first().map(|name| (*name).to_owned());
        let name = || one().ok_or_else(|| missing("mandatory", command));
        let second = || args.get(1).copied().ok_or_else(|| missing("second mandatory", command));
        let words = || args[2..].iter().map(|word| (*word).to_owned());
        let element = || Ok::<_, SetError>(std::iter::once(second()?.to_owned()).chain(words()).collect::<Vec<_>>());
        let (command, most) = match command {
            "create" | "-N" | "n" => {
                let name = checked(&name()?)?;
                return Ok(Self::Create { name, header: header(second()?, &args[2..])?, exist });
            }
            "add" | "-A" => return Ok(Self::Add { set: name()?, words: element()?, exist }),
            "del" | "-D" => return Ok(Self::Del { set: name()?, words: element()?, exist }),
            "test" | "-T" => return Ok(Self::Test { set: name()?, words: element()? }),
            "destroy" | "-X" | "x" => (Self::Destroy(one()), 1),
            "flush" | "-F" => (Self::Flush(one()), 1),
            "list" | "-L" => (Self::List(one(), form.unwrap_or(Form::Plain)), 1),
            "save" | "-S" => (Self::List(one(), form.unwrap_or(Form::Save)), 1),
            "rename" | "-E" | "e" => (Self::Rename(name()?, checked(second()?)?), 2),
            "swap" | "-W" | "w" => (Self::Swap(name()?, second()?.to_owned()), 2),
            other => return Err(SetError::Usage(format!("No command specified: unknown argument {other}"))),
        };
        match args.get(most) {
            Some(extra) => Err(unknown_argument(extra)),
            None => Ok(command),
        }
    }

    /// Reads one line of a text for `ipset restore`; `None` for an empty line, a remark and the commands that only an
    /// open session knows.
    ///
    /// # Errors
    /// In `ipset`'s words.
    pub fn read_line(line: &str, exist: bool) -> Result<Option<Self>, SetError> {
        let words = split(line)?;
        let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.first() {
            None => return Ok(None),
            Some(word) if word.starts_with('#') || matches!(*word, "COMMIT" | "quit" | "version") => return Ok(None),
            Some(_) => {}
        }
        if exist {
            words.push("-exist");
        }
        Self::read(&words).map(Some)
    }

    /// Whether it changes nothing.
    pub fn only_looks(&self) -> bool {
        matches!(self, Self::Test { .. } | Self::List(..))
    }
}

fn missing(which: &str, command: &str) -> SetError {
    SetError::Usage(format!("Missing {which} argument to command {command}"))
}

pub(super) fn unknown_argument(word: &str) -> SetError {
    SetError::Usage(format!("Unknown argument: `{word}'"))
}

fn checked(name: &str) -> Result<Arc<str>, SetError> {
    match name.len() {
        0..=MAX_NAME => Ok(name.into()),
        _ => refused(format!("Syntax error: setname '{name}' is longer than {MAX_NAME} characters")),
    }
}

/// The words of a line; quotes keep blanks together.
fn split(line: &str) -> Result<Vec<String>, SetError> {
    let mut words = Vec::new();
    let (mut word, mut inside, mut quoted) = (String::new(), false, false);
    for c in line.chars() {
        match c {
            '"' => (inside, quoted) = (!inside, true),
            c if c.is_whitespace() && !inside => {
                if quoted || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                quoted = false;
            }
            c => word.push(c),
        }
    }
    if inside {
        return refused("Syntax error: missing close quote");
    }
    if quoted || !word.is_empty() {
        words.push(word);
    }
    Ok(words)
}

/// A decimal or hexadecimal number within bounds.
pub(super) fn number_in(text: &str, least: u64, most: u64) -> Result<u64, SetError> {
    let number = crate::netfilter::text::number(text, u64::MAX);
    match number {
        None => refused(format!("Syntax error: '{text}' is invalid as number")),
        Some(n) if !(least..=most).contains(&n) => {
            refused(format!("Syntax error: '{text}' is out of range {least}-{most}"))
        }
        Some(n) => Ok(n),
    }
}

/// A counter's value.
pub(super) fn count_in(text: &str) -> Result<u64, SetError> {
    number_in(text, 0, u64::MAX)
}

/// Type and options of a new set.
fn header(kind: &str, options: &[&str]) -> Result<Header, SetError> {
    let kind = match kind {
        "hash:ip" | "iphash" => Type::HashIp { netmask: 32 },
        "hash:net" | "nethash" => Type::HashNet,
        "hash:ip,port" | "ipporthash" => Type::HashIpPort,
        "bitmap:port" | "portmap" => Type::BitmapPort { first: 0, last: 0 },
        "list:set" | "setlist" => Type::ListSet { size: 8 },
        other => return refused(format!("Syntax error: typename '{other}' is unknown")),
    };
    let mut h = Header {
        kind,
        family: kind.is_hash().then_some(Family::Inet),
        hashsize: 1024,
        maxelem: 65_536,
        timeout: None,
        counters: false,
        comment: false,
        forceadd: false,
        bucketsize: 12,
        initval: 0,
    };
    let (mut netmask, mut range) = (None, None);
    let mut options = options.iter();
    while let Some(option) = options.next() {
        let mut value = || {
            options.next().ok_or_else(|| SetError::Usage(format!("Missing mandatory argument of option `{option}'")))
        };
        match (*option, kind.is_hash()) {
            ("family", true) => h.family = Some(family(value()?)?),
            ("-4", true) => h.family = Some(Family::Inet),
            ("-6", true) => h.family = Some(Family::Inet6),
            ("hashsize", true) => {
                h.hashsize = number_in(value()?, 1, 1 << 31)?.next_power_of_two().max(64) as u32;
            }
            ("maxelem", true) => h.maxelem = number_in(value()?, 0, u64::from(u32::MAX))? as u32,
            ("bucketsize", true) => h.bucketsize = number_in(value()?, 2, 14)?.next_multiple_of(2) as u8,
            ("initval", true) => h.initval = number_in(value()?, 0, u64::from(u32::MAX))? as u32,
            ("probes" | "resize", true) => drop(value()?),
            ("forceadd", true) => h.forceadd = true,
            ("netmask", true) if matches!(kind, Type::HashIp { .. }) => netmask = Some(*value()?),
            ("range", false) if matches!(kind, Type::BitmapPort { .. }) => range = Some(*value()?),
            ("size", false) if kind.is_list() => {
                h.kind = Type::ListSet { size: number_in(value()?, 0, u64::from(u32::MAX))?.max(4) as u32 };
            }
            ("timeout", _) => h.timeout = Some(number_in(value()?, 0, MAX_TIMEOUT)? as u32),
            ("counters", _) => h.counters = true,
            ("comment", _) => h.comment = true,
            ("skbinfo", _) => return refused("not supported: skbinfo"),
            (other, _) => return Err(unknown_argument(other)),
        }
    }
    shape(&mut h, netmask, range)?;
    Ok(h)
}

/// What depends on more than one option.
fn shape(h: &mut Header, netmask: Option<&str>, range: Option<&str>) -> Result<(), SetError> {
    match &mut h.kind {
        Type::HashIp { netmask: bits } => {
            *bits = h.family.map_or(32, Family::bits);
            if let Some(text) = netmask {
                *bits = number_in(text, 1, u64::from(*bits))? as u8;
            }
        }
        Type::BitmapPort { first, last } => {
            let Some(range) = range else {
                return Err(SetError::Usage("Mandatory option `range' is missing".into()));
            };
            let Some((from, to)) = range.split_once('-') else {
                return refused(format!("Syntax error: Range of ports is expected: {range}"));
            };
            let (a, b) = (number_in(from, 0, 65_535)? as u16, number_in(to, 0, 65_535)? as u16);
            (*first, *last) = (a.min(b), a.max(b));
        }
        _ => {}
    }
    Ok(())
}

fn family(text: &str) -> Result<Family, SetError> {
    match text {
        "inet" | "ipv4" | "-4" => Ok(Family::Inet),
        "inet6" | "ipv6" | "-6" => Ok(Family::Inet6),
        other => refused(format!("Syntax error: unknown inet family {other}")),
    }
}

//! How a ruleset changes: the operations of one COMMIT, all of them or none.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::rule::{Counters, Rule, Target};
use super::table::{Base, Chain, ChainId, Entry, Policy, Ruleset, Table, TableName};

mod check;

/// One operation on a table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Op {
    /// `:CHAIN POLICY [p:b]`: sets a built-in chain's policy; makes or empties a user's chain.
    Declare {
        /// The chain.
        chain: Arc<str>,
        /// `None` is `-`: a user's chain, or the policy stays.
        policy: Option<Policy>,
        /// What the policy's counters start from.
        counters: Counters,
    },
    /// `-N`.
    New(Arc<str>),
    /// `-F`; `None` is all chains.
    Flush(Option<Arc<str>>),
    /// `-X`; `None` is all users' chains that are empty.
    Remove(Option<Arc<str>>),
    /// `-P`.
    SetPolicy(Arc<str>, Policy),
    /// `-E`: the old name and the new one.
    Rename(Arc<str>, Arc<str>),
    /// `-Z`; `None` is all chains. What the matches of these rules remember begins anew, too.
    Zero(Option<Arc<str>>),
    /// `-Z` with the place, counted from 1.
    ZeroAt(Arc<str>, usize),
    /// `-A`.
    Append(Arc<str>, Arc<Rule>),
    /// `-I`, the place counted from 1.
    Insert(Arc<str>, usize, Arc<Rule>),
    /// `-R`, the place counted from 1.
    Replace(Arc<str>, usize, Arc<Rule>),
    /// `-D` with the rule as it was written.
    Delete(Arc<str>, Arc<Rule>),
    /// `-D` with the place, counted from 1.
    DeleteAt(Arc<str>, usize),
    /// `-C`: changes nothing, but fails if there is no such rule.
    Check(Arc<str>, Arc<Rule>),
}

/// What one COMMIT does to one table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TableOps {
    /// Which table.
    pub table: TableName,
    /// In this order, each with the line it stands in (0 if it was not text).
    pub ops: Vec<(u32, Op)>,
}

/// Why a ruleset stays as it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApplyError {
    /// The line of the operation that cannot be done; 0 if it was not text.
    pub line: u32,
    /// What is wrong, in iptables' words where it has some.
    pub message: String,
}

impl fmt::Display for ApplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}: ", self.line)?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for ApplyError {}

const NO_CHAIN: &str = "No chain/target/match by that name";

impl Ruleset {
    /// The ruleset after one COMMIT. With `noflush` the table is changed, without it is made anew from `ops`
    /// (iptables-restore with and without `--noflush`).
    pub fn apply(&self, ops: &TableOps, noflush: bool) -> Result<Self, ApplyError> {
        let old = self.tables[ops.table.index()].as_deref();
        let table = match old {
            Some(old) if noflush => old.clone(),
            // Serials go on, so that no new rule inherits the state of an old one.
            Some(old) => Table::new(ops.table, old.next_serial),
            None => Table::new(ops.table, 0),
        };
        let mut draft = Draft::new(table);
        for (line, op) in &ops.ops {
            draft.line = *line;
            draft.operate(op).map_err(|message| ApplyError { line: *line, message })?;
        }
        let mut next = self.clone();
        next.tables[ops.table.index()] = Some(Arc::new(draft.seal(old)?));
        Ok(next)
    }
}

/// A table being changed.
struct Draft {
    table: Table,
    /// The line of the operation at hand.
    line: u32,
    /// The first serial given out here, and the line for each from there on.
    first_serial: u64,
    lines: Vec<u32>,
    /// Chains whose rules changed.
    touched: BTreeSet<ChainId>,
    /// Chains that were removed, with the line. Their ids are not used again before the next COMMIT.
    removed: BTreeMap<ChainId, u32>,
}

impl Draft {
    fn new(table: Table) -> Self {
        let first_serial = table.next_serial;
        Self { table, line: 0, first_serial, lines: Vec::new(), touched: BTreeSet::new(), removed: BTreeMap::new() }
    }

    fn operate(&mut self, op: &Op) -> Result<(), String> {
        match op {
            Op::Declare { chain, policy, counters } => self.declare(chain, *policy, *counters),
            Op::New(chain) if self.table.find(chain).is_some() => Err("Chain already exists".into()),
            Op::New(chain) => self.create(chain),
            Op::Flush(chain) => {
                self.chains(chain.as_ref())?.into_iter().for_each(|id| self.edit(id).rules.clear());
                Ok(())
            }
            Op::Remove(chain) => self.remove(chain.as_ref()),
            Op::Rename(from, to) => self.rename(from, to),
            Op::Zero(chain) => {
                self.chains(chain.as_ref())?.into_iter().for_each(|id| self.zero(id));
                Ok(())
            }
            Op::Append(chain, rule) => {
                let id = self.find(chain)?;
                let entry = self.entry(rule);
                self.edit(id).rules.push(entry);
                Ok(())
            }
            Op::Insert(chain, place, rule) => {
                let id = self.find(chain)?;
                let entry = self.entry(rule);
                let rules = &mut self.edit(id).rules;
                if *place == 0 || *place > rules.len() + 1 {
                    return Err("Index of insertion too big".into());
                }
                rules.insert(*place - 1, entry);
                Ok(())
            }
            Op::Replace(chain, place, rule) => {
                let entry = self.entry(rule);
                *self.place(chain, *place).ok_or("Index of replacement too big")? = entry;
                Ok(())
            }
            Op::Delete(chain, rule) => {
                let (id, place) = self.same(chain, rule)?;
                self.edit(id).rules.remove(place);
                Ok(())
            }
            Op::Check(chain, rule) => self.same(chain, rule).map(|_| ()),
            Op::DeleteAt(chain, place) => {
                let id = self.find(chain)?;
                self.place(chain, *place).ok_or("Index of deletion too big")?;
                self.edit(id).rules.remove(*place - 1);
                Ok(())
            }
            Op::ZeroAt(chain, place) => {
                let rule = self.place(chain, *place).ok_or("Index of zeroing too big")?.rule.clone();
                let entry = self.entry(&zeroed(&rule));
                *self.place(chain, *place).expect("a rule that was there") = entry;
                Ok(())
            }
            Op::SetPolicy(chain, policy) => {
                let id = self.find(chain)?;
                self.set_policy(id, *policy, Counters::default())
            }
        }
    }

    /// One chain, or all of them.
    fn chains(&self, chain: Option<&Arc<str>>) -> Result<Vec<ChainId>, String> {
        match chain {
            Some(chain) => Ok(vec![self.find(chain)?]),
            None => Ok(self.table.iter().map(|(id, _)| id).collect()),
        }
    }

    /// The chain, and the place of a rule that says the same.
    fn same(&self, chain: &str, rule: &Rule) -> Result<(ChainId, usize), String> {
        let id = self.find(chain)?;
        let place = self.table.chain(id).and_then(|c| c.rules.iter().position(|e| e.rule.same(rule)));
        place.map(|place| (id, place)).ok_or_else(|| "Bad rule (does a matching rule exist in that chain?)".into())
    }

    /// Sets the counters of a chain and its rules to zero. nft does so by replacing each (iptables/nft.c,
    /// `nft_rule_zero_counters`).
    fn zero(&mut self, id: ChainId) {
        let chain = self.table.chain(id).expect("the id of a chain that is there");
        let rules: Vec<_> = chain.rules.iter().map(|entry| zeroed(&entry.rule)).collect();
        let entries: Vec<_> = rules.iter().map(|rule| self.entry(rule)).collect();
        let serial = self.serial();
        let chain = self.edit(id);
        chain.rules = entries;
        if let Some(base) = &mut chain.base {
            base.counters = Counters::default();
            chain.serial = serial;
        }
    }

    fn rename(&mut self, from: &Arc<str>, to: &Arc<str>) -> Result<(), String> {
        may_be_named(to)?;
        if self.table.find(to).is_some() {
            return Err("File exists".into());
        }
        let id = self.find(from)?;
        if self.is_base(id) {
            return Err(format!("chain {from} is built in and cannot be renamed"));
        }
        if self.table.chain(id).is_some_and(|chain| chain.serial >= self.first_serial) {
            return Err(format!("chain {from} is made by the same COMMIT (No such file or directory)"));
        }
        self.table.users.remove(from);
        self.table.users.insert(to.clone(), id);
        self.edit(id).name = to.clone();
        self.lead_to(from, to);
        Ok(())
    }

    /// Rules know by name where they lead: those to `from` now lead to `to`.
    fn lead_to(&mut self, from: &str, to: &Arc<str>) {
        let leads = |entry: &Entry| entry.rule.leads_to().is_some_and(|name| &**name == from);
        let leading = self.table.iter().filter(|(_, chain)| chain.rules.iter().any(leads));
        let leading: Vec<_> = leading.map(|(id, _)| id).collect();
        for id in leading {
            for entry in self.edit(id).rules.iter_mut().filter(|entry| leads(entry)) {
                if let Some(Target::Jump(name) | Target::Goto(name)) = &mut Arc::make_mut(&mut entry.rule).target {
                    *name = to.clone();
                }
            }
        }
    }

    fn find(&self, chain: &str) -> Result<ChainId, String> {
        self.table.find(chain).ok_or_else(|| format!("{NO_CHAIN}: {chain}"))
    }

    /// A chain, to be changed.
    fn edit(&mut self, id: ChainId) -> &mut Chain {
        self.touched.insert(id);
        Arc::make_mut(self.table.chains[id.index()].as_mut().expect("the id of a chain that is there"))
    }

    fn place(&mut self, chain: &str, place: usize) -> Option<&mut Entry> {
        let id = self.table.find(chain)?;
        self.edit(id).rules.get_mut(place.checked_sub(1)?)
    }

    fn serial(&mut self) -> u64 {
        self.lines.push(self.line);
        self.table.next_serial += 1;
        self.table.next_serial - 1
    }

    fn entry(&mut self, rule: &Arc<Rule>) -> Entry {
        Entry { rule: rule.clone(), jump: None, serial: self.serial() }
    }

    fn declare(&mut self, chain: &Arc<str>, policy: Option<Policy>, counters: Counters) -> Result<(), String> {
        match (self.table.find(chain), policy) {
            (Some(id), Some(policy)) if self.is_base(id) => self.set_policy(id, policy, counters),
            (Some(id), None) if self.is_base(id) => Ok(()),
            // A user's chain has no policy; iptables ignores one that is written.
            (Some(id), _) => {
                self.edit(id).rules.clear();
                Ok(())
            }
            (None, _) => self.create(chain),
        }
    }

    fn is_base(&self, id: ChainId) -> bool {
        self.table.chain(id).is_some_and(|c| c.base.is_some())
    }

    fn set_policy(&mut self, id: ChainId, policy: Policy, counters: Counters) -> Result<(), String> {
        let serial = self.serial();
        let chain = self.edit(id);
        let base = chain.base.as_mut().ok_or("Bad built-in chain name")?;
        *base = Base { policy, counters, ..*base };
        chain.serial = serial;
        Ok(())
    }

    fn create(&mut self, name: &Arc<str>) -> Result<(), String> {
        may_be_named(name)?;
        let serial = self.serial();
        let chain =
            Arc::new(Chain { name: name.clone(), base: None, rules: Vec::new(), serial, uses: Default::default() });
        let id = match self.table.free.pop() {
            Some(id) => {
                self.table.chains[id.index()] = Some(chain);
                id
            }
            None => {
                self.table.chains.push(Some(chain));
                ChainId(self.table.chains.len() as u32 - 1)
            }
        };
        self.table.users.insert(name.clone(), id);
        self.touched.insert(id);
        Ok(())
    }

    fn remove(&mut self, chain: Option<&Arc<str>>) -> Result<(), String> {
        let names: Vec<_> = match chain {
            Some(chain) => {
                let id = self.find(chain)?;
                if self.is_base(id) {
                    return Err(format!("chain {chain} is built in and cannot be removed"));
                }
                if self.table.chain(id).is_some_and(|c| !c.rules.is_empty()) {
                    return Err(format!("chain {chain} still has rules (Device or resource busy)"));
                }
                vec![chain.clone()]
            }
            None => {
                let empty = |id: &ChainId| self.table.chain(*id).is_some_and(|c| c.rules.is_empty());
                self.table.users.iter().filter(|(_, id)| empty(id)).map(|(name, _)| name.clone()).collect()
            }
        };
        for name in names {
            let id = self.table.users.remove(&name).expect("a chain that was found");
            self.table.chains[id.index()] = None;
            self.touched.remove(&id);
            self.removed.insert(id, self.line);
        }
        Ok(())
    }
}

/// Whether a user's chain may have this name.
fn may_be_named(name: &str) -> Result<(), String> {
    match name {
        "ACCEPT" | "DROP" | "QUEUE" | "RETURN" => Err(format!("chain name may not clash with target name {name}")),
        _ => Ok(()),
    }
}

/// A rule whose counters start from zero.
fn zeroed(rule: &Arc<Rule>) -> Arc<Rule> {
    let mut rule = rule.clone();
    if rule.counters != Counters::default() {
        Arc::make_mut(&mut rule).counters = Counters::default();
    }
    rule
}

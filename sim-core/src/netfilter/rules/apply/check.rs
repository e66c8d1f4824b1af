//! Before a changed table is taken: where its jumps lead, which hooks come where, and whether each rule may stand
//! there (net/netfilter/nf_tables_api.c `nft_table_validate`, net/netfilter/x_tables.c `xt_check_match`).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{ApplyError, Draft};
use crate::netfilter::hooks::Hook;
use crate::netfilter::rules::evaluate::MAX_DEPTH;
use crate::netfilter::rules::matches::Match;
use crate::netfilter::rules::rule::{Rule, Target};
use crate::netfilter::rules::table::{Chain, ChainId, Table, TableName, Uses};
use crate::netfilter::rules::targets::{Action, RuleFacts};

impl Draft {
    /// The table, if it may be so. `old` is the one it was made of.
    pub(super) fn seal(mut self, old: Option<&Table>) -> Result<Table, ApplyError> {
        for id in self.touched.clone() {
            self.link(id)?;
        }
        self.check_removed()?;
        self.table.reach = self.reach()?;
        self.check_rules(old)?;
        let mut recent = BTreeMap::new();
        for (name, &stamps) in self.table.chains.iter().flatten().flat_map(|c| &c.uses.recent) {
            let most = recent.entry(name.clone()).or_insert(stamps);
            *most = stamps.max(*most);
        }
        self.table.recent = recent;
        self.table.free.extend(self.removed.keys());
        Ok(self.table)
    }

    /// An error about the rule with this serial.
    fn fail(&self, serial: u64, message: String) -> ApplyError {
        let line = serial.checked_sub(self.first_serial).and_then(|i| self.lines.get(i as usize));
        ApplyError { line: line.copied().unwrap_or(self.line), message }
    }

    fn chain(&self, id: ChainId) -> &Chain {
        self.table.chain(id).expect("the id of a chain that is there")
    }

    /// Finds where the jumps of a changed chain lead, and gathers what it uses.
    fn link(&mut self, id: ChainId) -> Result<(), ApplyError> {
        let mut uses = Uses::default();
        let mut jumps = Vec::new();
        for entry in &self.chain(id).rules {
            let jump = match entry.rule.leads_to() {
                None => None,
                Some(name) => match self.table.find(name) {
                    None => return Err(self.fail(entry.serial, format!("Chain '{name}' does not exist"))),
                    Some(to) if self.is_base(to) => {
                        let message =
                            format!("no rule can lead to the built-in chain {name} (Operation not supported)");
                        return Err(self.fail(entry.serial, message));
                    }
                    Some(to) => Some(to),
                },
            };
            uses.chains.extend(jump);
            uses.conntrack |= entry.rule.needs_conntrack();
            for recent in
                entry.rule.matches.iter().filter_map(|m| if let Match::Recent(r) = m { Some(r) } else { None })
            {
                let most = uses.recent.entry(recent.name.clone()).or_default();
                *most = recent.stamps().max(*most);
            }
            jumps.push(jump);
        }
        let chain = self.edit(id);
        for (entry, jump) in chain.rules.iter_mut().zip(jumps) {
            entry.jump = jump;
        }
        chain.uses = uses;
        Ok(())
    }

    /// Refuses the removal of a chain that a rule still leads to.
    fn check_removed(&self) -> Result<(), ApplyError> {
        let used = |id: &ChainId| self.table.chains.iter().flatten().find(|c| c.uses.chains.contains(id));
        for (id, &line) in &self.removed {
            if let Some(user) = used(id) {
                let message =
                    format!("a chain that {} leads to cannot be removed (Device or resource busy)", user.name);
                return Err(ApplyError { line, message });
            }
        }
        Ok(())
    }

    /// For each chain the hooks whose packets may come there.
    fn reach(&self) -> Result<Vec<u8>, ApplyError> {
        let mut reach = vec![0; self.table.chains.len()];
        let mut heights = vec![None; self.table.chains.len()];
        for (i, &hook) in self.table.name.hooks().iter().enumerate() {
            let base = ChainId(i as u32);
            self.height(base, base, 0, &mut heights)?;
            let mut next = vec![base];
            while let Some(id) = next.pop() {
                if reach[id.index()] & bit(hook) == 0 {
                    reach[id.index()] |= bit(hook);
                    next.extend(&self.chain(id).uses.chains);
                }
            }
        }
        Ok(reach)
    }

    /// How many chains deep jumps can nest from `id` on, which `from` leads to and `depth` jumps come before.
    fn height(
        &self,
        from: ChainId,
        id: ChainId,
        depth: usize,
        heights: &mut [Option<usize>],
    ) -> Result<usize, ApplyError> {
        let known = heights[id.index()];
        if depth + known.unwrap_or(0) >= MAX_DEPTH {
            let jump = self.chain(from).rules.iter().find(|e| e.jump == Some(id));
            let message = format!("jumps nest {MAX_DEPTH} deep or in a circle at chain {}", self.chain(id).name);
            return Err(self.fail(jump.map_or(0, |e| e.serial), format!("Too many links: {message}")));
        }
        if let Some(known) = known {
            return Ok(known);
        }
        let mut height = 0;
        for &to in &self.chain(id).uses.chains {
            height = height.max(1 + self.height(id, to, depth + 1, heights)?);
        }
        heights[id.index()] = Some(height);
        Ok(height)
    }

    /// Asks each rule that is new, or that packets of other hooks than before come to, whether it may stand there.
    fn check_rules(&self, old: Option<&Table>) -> Result<(), ApplyError> {
        for (i, chain) in self.table.chains.iter().enumerate() {
            let Some(chain) = chain else { continue };
            let same = |old: &Table| {
                let before = old.chains.get(i).and_then(Option::as_ref);
                before.is_some_and(|c| Arc::ptr_eq(c, chain)) && old.reach.get(i) == Some(&self.table.reach[i])
            };
            if old.is_some_and(same) {
                continue;
            }
            let here = |hook: &Hook| self.table.reach[i] & bit(*hook) != 0;
            let hooks: Vec<_> = Hook::ALL.into_iter().filter(here).collect();
            for entry in &chain.rules {
                check_rule(self.table.name, chain, &hooks, &entry.rule)
                    .map_err(|message| self.fail(entry.serial, message))?;
            }
        }
        Ok(())
    }
}

/// The bit of a hook in [`Table::reach`].
const fn bit(hook: Hook) -> u8 {
    1 << hook as u8
}

/// Whether a rule may stand in a chain that packets of `hooks` come to.
fn check_rule(table: TableName, chain: &Chain, hooks: &[Hook], rule: &Rule) -> Result<(), String> {
    if let Some(base) = chain.base {
        let early = matches!(base.hook, Hook::Prerouting | Hook::Input);
        let late = matches!(base.hook, Hook::Output | Hook::Postrouting);
        for (used, option) in
            [(late && rule.selector.in_dev.is_some(), "-i"), (early && rule.selector.out_dev.is_some(), "-o")]
        {
            if used {
                return Err(format!("Can't use {option} with {}", chain.name));
            }
        }
    }
    for m in &rule.matches {
        check_table(table, m.tables()).map_err(|why| format!("{} match: {why}", m.name()))?;
        m.check(&rule.selector, hooks).map_err(|why| format!("{} match: {why}", m.name()))?;
    }
    match &rule.target {
        Some(Target::Drop) if table == TableName::Nat => {
            Err("The \"nat\" table is not intended for filtering, the use \
                                                             of DROP is therefore inhibited"
                .into())
        }
        Some(Target::Action(action)) => check_action(table, hooks, rule, action),
        _ => Ok(()),
    }
}

/// Whether `table` is one of those something can be used in; empty is all of them.
fn check_table(table: TableName, tables: &[TableName]) -> Result<(), String> {
    if tables.is_empty() || tables.contains(&table) {
        return Ok(());
    }
    let wanted: Vec<_> = tables.iter().map(|t| t.as_str()).collect();
    Err(format!("only valid in {} table, not {table}", wanted.join(" or ")))
}

fn check_action(table: TableName, hooks: &[Hook], rule: &Rule, action: &Action) -> Result<(), String> {
    let name = action.name();
    check_table(table, action.tables()).map_err(|why| format!("{name} target: {why}"))?;
    if let Some(wrong) = hooks.iter().find(|h| !action.hooks().contains(h)) {
        let wanted: Vec<_> = action.hooks().iter().map(|h| h.chain()).collect();
        return Err(format!(
            "{name} target: used from hook {}, but only usable from {}",
            wrong.chain(),
            wanted.join("/")
        ));
    }
    action
        .check(&RuleFacts { selector: &rule.selector, matches: &rule.matches, hooks })
        .map_err(|why| format!("{name} target: {why}"))
}

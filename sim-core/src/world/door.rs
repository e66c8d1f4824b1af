//! The one door, by netns: every operation is one event of the stream.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::World;
use crate::dev::DevKind;
use crate::dev::eth::Eth;
use crate::engine::arena::{DevId, LinkId, NetnsId};
use crate::engine::errno::Errno;
use crate::link::{Link, LinkConfig};
use crate::netfilter::conntrack::{Creation, Filter};
use crate::netfilter::ipset::words::Command;
use crate::netfilter::ipset::{SetError, Told};
use crate::netfilter::rules::{ApplyError, Op as RuleOp, Rule, Ruleset, TableName};
use crate::netfilter::text::{self, Restore, TextError};
use crate::netns::netlink::{CommandError, NewKind, NewLink, Op, words};
use crate::netns::rules::Rules;
use crate::walk;
use crate::wire::eth::MacAddr;
use crate::wire::ip::Family;

/// Why rules were not loaded.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The text is not understood.
    #[error(transparent)]
    Text(#[from] TextError),
    /// The tables refuse what it asks.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// There is no such netns (any more).
    #[error(transparent)]
    Netns(#[from] Errno),
}

/// Whose rules: those of a netns for one family. A netns alone stands for its iptables, with [`Family::V6`] it is its
/// ip6tables.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RulesOf {
    /// The netns.
    pub netns: NetnsId,
    /// The family.
    pub family: Family,
}

impl From<NetnsId> for RulesOf {
    fn from(netns: NetnsId) -> Self {
        Self { netns, family: Family::V4 }
    }
}

impl From<(NetnsId, Family)> for RulesOf {
    fn from((netns, family): (NetnsId, Family)) -> Self {
        Self { netns, family }
    }
}

/// Recorded as the kind of a door's event.
const DOOR: u8 = 6;

impl World {
    /// Carries out one line of `ip -batch` (without `ip`).
    ///
    /// # Errors
    /// What is not understood, or what the kernel refuses; nothing is changed then.
    pub fn ip(&mut self, netns: NetnsId, line: &str) -> Result<(), CommandError> {
        let op = words::ip(line)?;
        self.record(DOOR, &[u64::from(netns.0)], line.as_bytes());
        self.apply(netns, &op)
    }

    /// Carries out one line of `bridge -batch` (without `bridge`).
    ///
    /// # Errors
    /// As [`Self::ip`].
    pub fn bridge(&mut self, netns: NetnsId, line: &str) -> Result<(), CommandError> {
        let op = words::bridge(line)?;
        self.record(DOOR, &[u64::from(netns.0)], line.as_bytes());
        self.apply(netns, &op)
    }

    fn apply(&mut self, netns: NetnsId, op: &Op) -> Result<(), CommandError> {
        match op {
            Op::LinkAdd(new, NewKind::Veth { peer, netns: other }) => {
                let other = match other {
                    Some(name) => self.netns_id(name).ok_or_else(|| CommandError::NoNetns(name.clone()))?,
                    None => netns,
                };
                Ok(self.add_veth((netns, new), (other, peer))?)
            }
            Op::LinkDel(name) => {
                let dev = self.netns_mut(netns)?.deletable(name)?;
                self.remove_dev(netns, dev);
                Ok(())
            }
            op => Ok(self.walk(netns, |ns, ctx| walk::apply(ns, ctx, op))??),
        }
    }

    /// Makes a veth pair, or nothing.
    fn add_veth(&mut self, a: (NetnsId, &NewLink), b: (NetnsId, &NewLink)) -> Result<(), Errno> {
        let kind = || DevKind::Veth(crate::dev::veth::Veth { peer: None });
        let first = self.netns_mut(a.0)?.add_dev(a.1, kind())?;
        let second = match self.netns_mut(b.0).and_then(|netns| netns.add_dev(b.1, kind())) {
            Ok(dev) => dev,
            Err(errno) => {
                self.netns_mut(a.0)?.remove_dev(first);
                return Err(errno);
            }
        };
        self.netns_mut(a.0)?.connect_veth(first, (b.0, second));
        self.netns_mut(b.0)?.connect_veth(second, (a.0, first));
        Ok(())
    }

    /// Joins two new network cards by an underlay wire.
    ///
    /// # Errors
    /// `EEXIST`, `EINVAL` as for any new device; then neither is made.
    pub fn add_link(
        &mut self,
        config: LinkConfig,
        a: (NetnsId, &str, Option<MacAddr>),
        b: (NetnsId, &str, Option<MacAddr>),
    ) -> Result<LinkId, Errno> {
        let id = LinkId(self.links.len() as u32);
        let mut make = |end: u8, (netns, name, mac): (NetnsId, &str, Option<MacAddr>)| {
            let new = NewLink { name: name.to_owned(), mac, mtu: None };
            self.netns_mut(netns)?.add_dev(&new, DevKind::Eth(Eth { link: id, end }))
        };
        let first = make(0, a)?;
        let second = match make(1, b) {
            Ok(dev) => dev,
            Err(errno) => {
                self.netns_mut(a.0)?.remove_dev(first);
                return Err(errno);
            }
        };
        self.record(DOOR, &[u64::from(a.0.0), u64::from(b.0.0), u64::from(id.0)], a.1.as_bytes());
        self.links.push(Link::new(id, config, [(a.0, first), (b.0, second)], self.seed));
        Ok(id)
    }

    /// A wire's behaviour, to look at.
    pub fn link_config(&self, link: LinkId) -> Option<LinkConfig> {
        self.links.get(link.index()).map(|l| l.config)
    }

    /// Changes a wire's behaviour, for frames sent from now on.
    pub fn set_link_config(&mut self, link: LinkId, config: LinkConfig) {
        self.record(DOOR, &[u64::from(link.0)], format!("{config:?}").as_bytes());
        if let Some(l) = self.links.get_mut(link.index()) {
            l.config = config;
        }
    }

    /// Loads iptables-restore text; each table's COMMIT is one event. With `noflush` tables keep what the text
    /// does not name.
    ///
    /// # Errors
    /// Text that is refused changes nothing; of text that is refused by a later table's COMMIT the earlier
    /// tables stay, as with the real tool.
    pub fn iptables_restore(
        &mut self,
        whose: impl Into<RulesOf>,
        text: &str,
        noflush: bool,
    ) -> Result<(), RestoreError> {
        let RulesOf { netns, family } = whose.into();
        self.iptables_restore_each(family, &[netns], text, noflush)
    }

    /// [`Self::iptables_restore`] in each of `netns`. The text is read once, and netns that had the same rules share
    /// the new ones.
    ///
    /// # Errors
    /// As there; netns before the one that refuses keep what they were given.
    pub fn iptables_restore_each(
        &mut self,
        family: Family,
        netns: &[NetnsId],
        text: &str,
        noflush: bool,
    ) -> Result<(), RestoreError> {
        let restore = self.texts.read(family, text)?;
        for table in &restore.tables {
            let mut last: Option<(Arc<Ruleset>, Arc<Ruleset>)> = None;
            for id in netns {
                self.record(DOOR, &[u64::from(id.0), u64::from(noflush)], text.as_bytes());
                let ns = self.netns_mut(*id)?;
                ns.check_sets(family, table)?;
                let rules = &mut ns.rules[family];
                let before = rules.set.clone();
                match &last {
                    Some((same, after)) if same.is(&before) => rules.adopt(after.clone()),
                    _ => rules.apply(table, noflush)?,
                }
                last = Some((before, rules.set.clone()));
            }
        }
        Ok(())
    }

    /// The rules of a netns that is there.
    fn rules(&self, RulesOf { netns, family }: RulesOf) -> Option<&Rules> {
        self.find_netns(netns).map(|ns| &ns.rules[family])
    }

    /// Whether the netns has this chain (`iptables -t table -L chain`).
    pub fn iptables_has_chain(&self, whose: impl Into<RulesOf>, table: TableName, chain: &str) -> bool {
        let table = self.rules(whose.into()).and_then(|rules| rules.set.table(table));
        table.is_some_and(|table| table.find(chain).is_some())
    }

    /// The names of a table's chains, the built-in ones included (`iptables-save -t table | grep ^:`).
    pub fn iptables_chains(&self, whose: impl Into<RulesOf>, table: TableName) -> BTreeSet<String> {
        let table = self.rules(whose.into()).and_then(|rules| rules.set.table(table));
        table.into_iter().flat_map(|table| table.iter()).map(|(_, chain)| chain.name.to_string()).collect()
    }

    /// Whether a chain has this rule (`iptables -t table -C chain rule`); not if there is no such chain.
    ///
    /// # Errors
    /// A rule that is not understood.
    pub fn iptables_check(
        &self,
        whose: impl Into<RulesOf>,
        table: TableName,
        chain: &str,
        rule: &str,
    ) -> Result<bool, TextError> {
        let whose = whose.into();
        let wanted = Restore::parse(whose.family, &format!("*{table}\n-D {chain} {rule}\nCOMMIT\n"))?;
        let wanted = wanted.tables.iter().flat_map(|table| &table.ops);
        let table = self.rules(whose).and_then(|rules| rules.set.table(table));
        let chain = table.and_then(|table| table.chain(table.find(chain)?));
        let has = |rule: &Rule| chain.is_some_and(|chain| chain.rules.iter().any(|entry| entry.rule.same(rule)));
        Ok(wanted.into_iter().all(|(_, op)| matches!(op, RuleOp::Delete(_, rule) if has(rule))))
    }

    /// The rules as `iptables-save` prints them; with counters as `iptables-save -c`.
    pub fn iptables_save(&self, whose: impl Into<RulesOf>, counters: bool) -> String {
        self.rules(whose.into()).map_or_else(String::new, |rules| text::save(&rules.set, &rules.state, counters))
    }

    /// Carries out a command of `ipset`: its words, without `ipset`.
    ///
    /// # Errors
    /// In `ipset`'s words; of a range of elements those before the one refused are added then, else nothing is changed.
    pub fn ipset(&mut self, netns: NetnsId, words: &[&str]) -> Result<Told, SetError> {
        self.ipset_command(netns, &Command::read(words)?)
    }

    /// Carries out the lines of a text as for `ipset restore`; with `exist`, of `ipset -exist restore`.
    ///
    /// # Errors
    /// The first line that is refused; those before it stay, as with the real tool.
    pub fn ipset_restore(&mut self, netns: NetnsId, text: &str, exist: bool) -> Result<Told, SetError> {
        let mut told = Told::default();
        for (number, line) in text.lines().enumerate() {
            let in_line = |error: SetError| match error {
                SetError::Refused(why) => SetError::Refused(format!("Error in line {}: {why}", number + 1)),
                error => error,
            };
            if let Some(command) = Command::read_line(line, exist).map_err(in_line)? {
                told.lines.extend(self.ipset_command(netns, &command).map_err(in_line)?.lines);
            }
        }
        Ok(told)
    }

    fn ipset_command(&mut self, netns: NetnsId, command: &Command) -> Result<Told, SetError> {
        if !command.only_looks() {
            self.record(DOOR, &[u64::from(netns.0)], format!("{command:?}").as_bytes());
        }
        let now = self.now();
        let gone = |errno: Errno| SetError::Refused(format!("Cannot open session to kernel: {}", errno.message()));
        self.netns_mut(netns).map_err(gone)?.ipset(command, now)
    }

    /// Sets a sysctl by its dotted name.
    ///
    /// # Errors
    /// `ENOENT` for an unknown name, `EINVAL` for a value it does not take.
    pub fn sysctl(&mut self, netns: NetnsId, key: &str, value: &str) -> Result<(), Errno> {
        self.record(DOOR, &[u64::from(netns.0)], format!("{key}={value}").as_bytes());
        self.walk(netns, |ns, _| ns.set_sysctl(key, value))?
    }

    /// Reads a sysctl as `sysctl -n` prints it.
    ///
    /// # Errors
    /// `ENOENT` for an unknown name.
    pub fn sysctl_get(&self, netns: NetnsId, key: &str) -> Result<String, Errno> {
        self.find_netns(netns).ok_or(Errno::ENOENT)?.get_sysctl(key)
    }

    /// Carries out a line as for `conntrack`, `-D` with conditions or `-F`; how many entries are gone.
    ///
    /// # Errors
    /// The first word that is not understood.
    pub fn conntrack(&mut self, netns: NetnsId, line: &str) -> Result<usize, CommandError> {
        Ok(self.conntrack_delete(netns, &words::conntrack(line)?))
    }

    /// `conntrack -D`: deletes the entries that fit; how many.
    pub fn conntrack_delete(&mut self, netns: NetnsId, filter: &Filter) -> usize {
        let now = self.now();
        self.record(DOOR, &[u64::from(netns.0)], filter.to_string().as_bytes());
        self.netns_mut(netns).map_or(0, |ns| ns.conntrack.delete(now, filter))
    }

    /// `conntrack -I`: makes an entry.
    ///
    /// # Errors
    /// EEXIST, ENOMEM or EINVAL, see [`Conntrack::create`](crate::netfilter::conntrack::Conntrack::create).
    pub fn conntrack_create(&mut self, netns: NetnsId, made: &Creation) -> Result<(), Errno> {
        let now = self.now();
        self.record(DOOR, &[u64::from(netns.0)], format!("{made:?}").as_bytes());
        self.netns_mut(netns)?.conntrack.create(now, made)
    }

    /// `conntrack -F`: deletes all entries; how many.
    pub fn conntrack_flush(&mut self, netns: NetnsId) -> usize {
        self.record(DOOR, &[u64::from(netns.0)], b"flush");
        self.netns_mut(netns).map_or(0, |ns| ns.conntrack.flush())
    }

    /// The device called `name` in a netns.
    pub fn dev_id(&self, netns: NetnsId, name: &str) -> Option<DevId> {
        self.find_netns(netns)?.devs.by_name(name).map(|d| d.id)
    }
}

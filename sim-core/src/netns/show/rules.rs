//! Rules as `iptables -S` and `iptables -L` print them, or `ip6tables`.

use super::Netns;
use crate::netfilter::rules::{Table, TableName};
use crate::netfilter::text::list::{self, RuleForm};
use crate::wire::ip::Family;

impl Netns {
    /// Lines of `iptables -t TABLE -S [CHAIN]`; `None` if there is no such chain.
    pub fn show_rule_commands(
        &self,
        (family, table): (Family, TableName),
        chain: Option<&str>,
        form: RuleForm,
    ) -> Option<Vec<String>> {
        let state = &self.rules[family].state;
        self.listed((family, table), chain, |table| list::commands(table, state, chain, form.verbose))
    }

    /// Lines of `iptables -t TABLE -L [CHAIN]`; `None` if there is no such chain.
    pub fn show_rules(
        &self,
        (family, table): (Family, TableName),
        chain: Option<&str>,
        form: RuleForm,
    ) -> Option<Vec<String>> {
        let state = &self.rules[family].state;
        self.listed((family, table), chain, |table| list::chains(table, state, chain, form))
    }

    /// A table that nobody has used yet is shown with its built-in chains: iptables makes it by looking at it.
    fn listed<T>(
        &self,
        (family, table): (Family, TableName),
        chain: Option<&str>,
        list: impl FnOnce(&Table) -> T,
    ) -> Option<T> {
        let unused = Table::new(table, 0);
        let table = self.rules[family].set.table(table).unwrap_or(&unused);
        chain.is_none_or(|chain| table.find(chain).is_some()).then(|| list(table))
    }
}

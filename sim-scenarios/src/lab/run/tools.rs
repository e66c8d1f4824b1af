//! Steps that use the usual tools.

use indexmap::IndexMap;
use serde_json::{Map, Value, json};

use sim_core::wire::ip::Family;

use super::{Runner, outcome};
use crate::lab::bench::Refused;
use crate::lab::cluster::HASHED_PORTS;
use crate::lab::topology::sysctl_key;
use crate::shell::Output;

impl Runner<'_> {
    pub(super) fn sysctl(
        &mut self,
        netns: &str,
        set: &IndexMap<String, String>,
        get: Option<&[String]>,
    ) -> Result<Value, Refused> {
        for (key, value) in set {
            self.bench.set_sysctl(netns, &sysctl_key(key), value)?;
        }
        let mut out = outcome("sysctl");
        if let Some(keys) = get {
            let values = keys.iter().map(|key| {
                let value = match self.bench.sysctl(netns, &sysctl_key(key)) {
                    Ok(value) => value.split_whitespace().collect::<Vec<_>>().join(" "),
                    Err(errno) => format!("error:{errno}"),
                };
                (key.clone(), value.into())
            });
            out["values"] = Value::Object(values.collect::<Map<_, _>>());
        }
        Ok(out)
    }

    pub(super) fn exec(&mut self, netns: &str, words: &[String], show: bool) -> Result<Value, Refused> {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        // A look at routes (their cache, too) that nobody sees changes nothing and never fails.
        let unseen = !show && matches!(words[..], ["ip", "route", "show", ..]);
        let output = if unseen { Output::default() } else { self.bench.exec(netns, &words)? };
        let mut out = outcome(&format!("exit {}", output.status));
        if show {
            out["out"] = self.named_lines(output.stdout.lines().map(str::trim_end)).into();
        }
        Ok(out)
    }

    /// Its first complaint is told without the tool's name; of its output what does not depend on the machine.
    pub(super) fn ipset(&mut self, netns: &str, words: &[String], show: bool) -> Result<Value, Refused> {
        let words: Vec<&str> = std::iter::once("ipset").chain(words.iter().map(String::as_str)).collect();
        let output = self.bench.exec(netns, &words)?;
        let mut out = outcome(&format!("exit {}", output.status));
        if let Some(complaint) = output.stderr.lines().next().filter(|_| output.status != 0) {
            let message =
                complaint.strip_prefix("ipset v").and_then(|rest| rest.split_once(": ")).map(|(_, rest)| rest);
            out["err"] = message.unwrap_or(complaint).into();
        }
        if show {
            let machine =
                |line: &&str| ["Size in", "References", "Number of", "Revision"].iter().any(|w| line.starts_with(w));
            let lines = output.stdout.lines().filter(|line| !machine(line));
            out["out"] = lines.map(without_chance).collect::<Vec<_>>().into();
        }
        Ok(out)
    }

    /// Entries of flows that no packet belongs to, until there are `n`.
    pub(super) fn fill_conntrack(&mut self, netns: &str, n: u32, assured: bool) -> Result<Value, Refused> {
        let missing = n.saturating_sub(self.conntrack_count(netns)?);
        self.bench.create_flows(netns, missing, assured)?;
        Ok(json!({ "outcome": "filled", "count": self.conntrack_count(netns)? }))
    }

    fn conntrack_count(&mut self, netns: &str) -> Result<u32, Refused> {
        Ok(self.bench.exec(netns, &["conntrack", "-C"])?.stdout.trim().parse().unwrap_or(0))
    }

    /// How many entries a search for room evicts depends on the kernel's hash: told is whether there were any.
    pub(super) fn conntrack_stat(&mut self, netns: &str) -> Result<Value, Refused> {
        let count = self.conntrack_count(netns)?;
        let stats = self.bench.exec(netns, &["conntrack", "-S"])?.stdout;
        let counter = |name: &str| {
            let counts = stats.split_whitespace().filter_map(|word| word.strip_prefix(name)?.strip_prefix('='));
            counts.filter_map(|n| n.parse::<u64>().ok()).sum::<u64>()
        };
        Ok(json!({ "outcome": "stat", "count_to_64": count.div_ceil(64) * 64,
                   "early_drop": counter("early_drop") > 0, "drop": counter("drop") }))
    }

    pub(super) fn fdb(&mut self, netns: &str, bridge: Option<&str>, permanent: bool) -> Result<Value, Refused> {
        let mut words = vec!["bridge", "fdb", "show"];
        words.extend(bridge.map(|name| ["br", name]).into_iter().flatten());
        let stdout = self.bench.exec(netns, &words)?.stdout;
        // Group addresses are there from the start; permanent entries are not learned.
        let learned = |line: &&str| {
            !line.contains("33:33:") && !line.contains("01:00:5e") && (permanent || !line.contains("permanent"))
        };
        let lines = self.named_lines(stdout.lines().filter(learned).map(str::trim));
        Ok(json!({ "outcome": "fdb", "fdb": lines }))
    }

    pub(super) fn neigh(&mut self, netns: &str, family: Family) -> Result<Value, Refused> {
        let option = if family == Family::V4 { "-4" } else { "-6" };
        let stdout = self.bench.exec(netns, &["ip", option, "neigh", "show"])?.stdout;
        let lines: Vec<String> = stdout.lines().map(without_counters).collect();
        let lines = self.named_lines(lines.iter().map(String::as_str));
        Ok(json!({ "outcome": "neigh", "neigh": lines }))
    }

    /// A netns without conntrack has nothing to flush: that is no error, as in the lab.
    pub(super) fn flush_conntrack(&mut self) -> Result<Value, Refused> {
        let gateway = self.spec.topo.world.then_some("gw");
        let nodes = self.spec.cluster.nodes.iter().map(|node| node.name.as_str());
        for netns in nodes.chain(gateway) {
            if let Err(Refused::NotYet(what)) = self.bench.exec(netns, &["conntrack", "-F"]) {
                return Err(Refused::NotYet(what));
            }
        }
        Ok(outcome("flushed"))
    }

    pub(super) fn delete_conntrack(&mut self, netns: &str, options: &[String]) -> Result<Value, Refused> {
        let words: Vec<&str> = ["conntrack", "-D"].into_iter().chain(options.iter().map(String::as_str)).collect();
        let said = self.bench.exec(netns, &words)?.stderr;
        let words: Vec<&str> = said.split_whitespace().collect();
        let number = words.windows(3).find(|w| w[1..] == ["flow", "entries"]).and_then(|w| w[0].parse::<u64>().ok());
        Ok(json!({ "outcome": "deleted", "n": number.unwrap_or(0) }))
    }

    pub(super) fn vxports(&mut self, at_least: Option<u64>) -> Value {
        let ports = std::mem::take(&mut self.decoder.vxlan_ports);
        let all_hashed = ports.iter().all(|port| HASHED_PORTS.contains(port));
        let mut out = json!({ "outcome": "vxports", "all_in_32768_60999": all_hashed });
        match at_least {
            Some(n) => out[format!("at_least_{n}")] = (ports.len() as u64 >= n).into(),
            None => out["different"] = ports.len().into(),
        }
        out
    }

    /// Lines with hardware addresses named, in order.
    fn named_lines<'l>(&self, lines: impl Iterator<Item = &'l str>) -> Vec<String> {
        let mut named: Vec<_> = lines.map(|line| self.spec.cluster.name_macs_in(line)).collect();
        named.sort();
        named
    }
}

/// A line of `ip neigh show` without what counts uses and probes.
fn without_counters(line: &str) -> String {
    let mut out = Vec::new();
    let mut words = line.split_whitespace();
    while let Some(word) = words.next() {
        if matches!(word, "used" | "ref" | "probes") {
            words.next();
        } else {
            out.push(word);
        }
    }
    out.join(" ")
}

/// A line of `ipset list` without what the hash began with and how long elements stay.
fn without_chance(line: &str) -> String {
    let mut words: Vec<&str> = line.split(' ').collect();
    for at in 1..words.len() {
        let number = words[at].bytes().next().is_some_and(|b| b.is_ascii_digit());
        if number && matches!(words[at - 1], "initval" | "timeout") {
            words[at] = "*";
        }
    }
    words.join(" ")
}

//! Truth tables of packet flows: what kube-proxy's rules do with a first packet, tried and compared.
//!
//! | room | what it does |
//! | --- | --- |
//! | `table` | a file: cases with objects and flows, selections, names of chains |
//! | `node` | the node of a case and its kube-proxy's configuration |
//! | `objects` | Services and slices as an apiserver has them |
//! | `bench` | a world with that node; a packet walks through it |
//! | `packet` | the first packet, sent by a process or as a frame |
//! | `cases` | the flows of a case, step by step, draw by draw |
//! | `selection`, `cleanup`, `chains` | the other kinds of rows |
//!
//! Nothing is computed from the objects: kube-proxy writes its rules through the one door, a packet walks, and what
//! conntrack and the drop counters say afterwards is the result.

mod bench;
mod cases;
mod chains;
mod cleanup;
mod node;
mod objects;
mod packet;
mod selection;
mod table;

use serde_json::{Value, json};

pub use table::{Table, TableError};

/// One row that was run.
#[derive(Clone, PartialEq, Debug)]
pub struct Row {
    /// Id of its case, or of the selection; the name of what a chain is for.
    pub case: String,
    /// 0 for the first flows, then 1, 2 …; `None` for rows that have no steps.
    pub step: Option<usize>,
    /// Index within the step, or of a row of `conntrack_cleanup`; `None` for rows of other kinds.
    pub flow: Option<usize>,
    /// Its name, if it has one.
    pub name: String,
    /// The backend that was tried; `None` where it makes no difference.
    pub backend: Option<String>,
    /// What the table says; `None` if it says nothing.
    pub expected: Option<Value>,
    /// What happened, in the same words.
    pub got: Value,
    /// The row in the neutral form, if that has one for it.
    pub emitted: Option<Value>,
}

impl Row {
    /// Whether it is as the table says; a row of which the table says nothing is.
    pub fn ok(&self) -> bool {
        self.expected.as_ref().is_none_or(|expected| *expected == self.got)
    }

    /// The row as a failure is told.
    pub fn told(&self) -> Value {
        json!({
            "case": self.case,
            "step": self.step,
            "flow": self.flow,
            "name": self.name,
            "backend": self.backend,
            "expected": self.expected,
            "got": self.got,
        })
    }
}

/// Rows that were not run, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NotRun {
    /// As [`Row::case`].
    pub case: String,
    /// As [`Row::step`].
    pub step: Option<usize>,
    /// As [`Row::flow`].
    pub flow: Option<usize>,
    /// As [`Row::backend`].
    pub backend: Option<String>,
    /// Why.
    pub reason: String,
}

impl NotRun {
    /// The row as it is told.
    pub fn told(&self) -> Value {
        let Self { case, step, flow, backend, reason } = self;
        json!({ "case": case, "step": step, "flow": flow, "backend": backend, "reason": reason })
    }
}

/// What came of a table.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Outcome {
    /// The rows that were run, in the order of the table.
    pub rows: Vec<Row>,
    /// Those that were not.
    pub not_run: Vec<NotRun>,
}

/// Someone pressed Ctrl-C.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Interrupted;

/// The backends there are; rows of others are not run.
pub const BACKENDS: [&str; 1] = ["iptables"];

/// Runs every row of a table, or those of one backend.
///
/// # Errors
/// `interrupted` said so between two rows.
pub fn run(table: &Table, backend: Option<&str>, interrupted: &dyn Fn() -> bool) -> Result<Outcome, Interrupted> {
    let mut outcome = Outcome::default();
    for case in &table.cases {
        cases::run(&table.defaults, case, backend, &mut outcome, interrupted)?;
    }
    for row in &table.endpoint_selection {
        selection::run(row, &mut outcome);
    }
    for (index, row) in table.conntrack_cleanup.iter().enumerate() {
        cleanup::run(index, row, &mut outcome);
    }
    for row in &table.service_ports {
        chains::service_port(row, &mut outcome);
    }
    for row in &table.endpoints {
        chains::endpoint(row, &mut outcome);
    }
    for row in &table.nftables {
        let text = row.get("text").and_then(Value::as_str).unwrap_or_default();
        outcome.not_run(text.to_owned(), None, None, Some("nftables"), NFTABLES);
    }
    Ok(outcome)
}

/// Why rows of the other backend are not run.
const NFTABLES: &str = "backend nftables is not built yet";

impl Outcome {
    fn not_run(
        &mut self,
        case: String,
        step: Option<usize>,
        flow: Option<usize>,
        backend: Option<&str>,
        reason: impl Into<String>,
    ) {
        self.not_run.push(NotRun { case, step, flow, backend: backend.map(str::to_owned), reason: reason.into() });
    }
}

#[cfg(test)]
mod tests;

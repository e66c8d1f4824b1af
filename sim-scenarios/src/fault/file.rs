//! The faults file.

use serde::Deserialize;
use sim_core::engine::time::Duration;
use sim_k8s::manifest::{Finding, ListFile, SourceFile, shown};

use super::{Planned, read};

/// Nothing is planned for later than this: a run lasts until its last fault.
const LATEST: Duration = Duration::from_secs(24 * 3600);

/// One entry of the file.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Entry {
    at: String,
    #[serde(rename = "do")]
    what: String,
}

/// Reads a faults file: a YAML list of what is done when.
///
/// ```yaml
/// - at: 5s                                     # after the cluster has settled
///   do: delete pod shop/web-0                  # or: delete a pod of deployment shop/web
/// - at: 8s
///   do: scale deployment shop/web 5
/// - {at: 10s, do: node n2 off}                 # the power fails; `node n2 leave` also deletes its Node
/// - {at: 12s, do: link n1 loss 10000}          # in millionths; also `down`, `up`, `delay 5ms`
/// - {at: 15s, do: watches kube-proxy n1 cut}   # the agent hears of no change, until `… heal`
/// ```
///
/// The error holds everything that is wrong with the file.
pub fn read_faults(file: &SourceFile) -> Result<Vec<Planned>, Vec<Finding>> {
    let mut entries = ListFile::<Entry>::read(file, &["at", "do"])?;
    let list = std::mem::take(&mut entries.items);
    let mut planned = Vec::new();
    for (index, entry) in list.iter().enumerate() {
        let at = entry.at.parse::<Duration>().map_err(|error| {
            entries.fault(index, "at", format!("\"{}\" is no time", shown(&entry.at)), &error.to_string());
        });
        let at = at.and_then(|at| {
            let late = || entries.fault(index, "at", format!("{at} is too late"), "write a time of the first 24 hours");
            (at <= LATEST).then_some(at).ok_or_else(late)
        });
        let fault = read(&entry.what).map_err(|usage| {
            let message = format!("\"{}\" is not understood", shown(&entry.what));
            entries.fault(index, "do", message, &format!("write one of: {usage}"));
        });
        if let (Ok(at), Ok(fault)) = (at, fault) {
            planned.push(Planned { at, fault });
        }
    }
    entries.finish().map(|()| planned)
}

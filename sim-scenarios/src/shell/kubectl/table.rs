//! How kubectl lays out what it says.

use sim_core::engine::time::Duration;
use sim_k8s::api::Labels;
use sim_k8s::manifest::shown;

/// Values with commas between them; `<none>` if there are none.
pub(super) fn list(values: impl Iterator<Item = String>) -> String {
    let values: Vec<String> = values.collect();
    if values.is_empty() { "<none>".to_owned() } else { values.join(",") }
}

pub(super) fn labels(labels: &Labels) -> String {
    list(labels.iter().map(|(key, value)| format!("{key}={value}")))
}

/// k8s.io/apimachinery/pkg/util/duration, `HumanDuration`, as far as a run lasts.
pub(super) fn age(age: Duration) -> String {
    let seconds = age.as_secs();
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    match (seconds, seconds % 60, minutes % 60) {
        (0..120, ..) => format!("{seconds}s"),
        (120..600, 1.., _) => format!("{minutes}m{}s", seconds % 60),
        (120..10_800, ..) => format!("{minutes}m"),
        (10_800..28_800, _, 1..) => format!("{hours}h{}m", minutes % 60),
        _ => format!("{hours}h"),
    }
}

/// Three blanks after the widest cell of each column (k8s.io/cli-runtime/pkg/printers, `GetNewTabWriter`).
pub(super) fn columns(rows: Vec<Vec<String>>) -> Vec<String> {
    let rows: Vec<Vec<String>> =
        rows.into_iter().map(|row| row.iter().map(|cell| shown(cell).to_string()).collect()).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..rows.first().map_or(0, Vec::len)).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}   "));
        cells.collect::<String>().trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

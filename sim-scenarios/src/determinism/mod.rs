//! Is it the same run twice? Two runs made alike are led side by side, and the first event in which they differ is found.

use crate::run::Run;

/// Steps between two looks at the fingerprints.
const STRIDE: u64 = 4096;
/// Events of one step that are looked at one by one: a step is one event, and the socket calls it leads to.
const EVENTS_OF_A_STEP: u64 = 256;

/// The first event in which two runs differ.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// Its number, counted from 0.
    pub event: u64,
    /// What it was, in each of the two; `nothing` if that run had come to its end.
    pub was: [String; 2],
}

/// Leads two runs to their end, or to where they differ. After each stretch `go_on` is asked, with the first run, whether to
/// go on.
///
/// What differs before the first step (while the clusters were built) is told as event 0.
pub fn compare(mut runs: [Run; 2], mut go_on: impl FnMut(&Run) -> bool) -> Option<Difference> {
    if !agree(&runs) {
        let was = runs.map(|run| format!("the cluster as built: {:?}", run.world().fingerprint()));
        return Some(Difference { event: 0, was });
    }
    loop {
        let before = runs.clone();
        let more = runs.each_mut().map(|run| advance(run, STRIDE));
        if !agree(&runs) {
            return Some(find(&before));
        }
        if more == [false; 2] || !go_on(&runs[0]) {
            return None;
        }
    }
}

fn advance(run: &mut Run, steps: u64) -> bool {
    let more = run.advance(steps);
    run.take_seen();
    more
}

fn agree(runs: &[Run; 2]) -> bool {
    let [a, b] = runs.each_ref().map(|run| (run.world().fingerprint().value(), run.world().fingerprint().events()));
    a == b
}

/// The first difference of two runs that agree now and do not after [`STRIDE`] steps. A fingerprint that differs stays
/// different, so the step is found by halving.
fn find(before: &[Run; 2]) -> Difference {
    let after = |steps: u64| {
        let mut runs = before.clone();
        for run in &mut runs {
            advance(run, steps);
        }
        runs
    };
    let (mut same, mut different) = (0, STRIDE);
    while different - same > 1 {
        let middle = same + (different - same) / 2;
        if agree(&after(middle)) { same = middle } else { different = middle }
    }
    let runs = after(same);
    let first = runs[0].world().fingerprint().events();
    let watched = |event: u64| {
        let watch = |run: &Run| {
            let mut run = run.clone();
            run.world_mut().watch_event(event);
            run.advance(1);
            run.world().watched_event().unwrap_or("nothing").to_owned()
        };
        Difference { event, was: runs.each_ref().map(watch) }
    };
    let differing = (first..first + EVENTS_OF_A_STEP).map(watched).find(|d| d.was[0] != d.was[1]);
    // Descriptions show only the beginning of long events.
    differing.unwrap_or_else(|| watched(first))
}

#[cfg(test)]
mod tests;

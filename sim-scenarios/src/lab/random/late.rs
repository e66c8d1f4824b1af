//! How late the kernel's timers were: nobody knows, but a timer that is late while a step goes on is one on time while the
//! step is shorter.

use serde_json::Value;
use sim_core::engine::time::Duration;

use crate::lab::compare::{At, Difference};

/// How often a pace is changed before the difference counts as one.
pub(super) const CHANGES: usize = 16;
/// A timer of the kernel runs at a tick, or the one after it.
const TWO_TICKS: Duration = Duration::from_millis(8);
/// Times of events are rounded to milliseconds: a step that ends so much before one is over when it comes.
const ROUNDING: Duration = Duration::from_micros(600);

/// Changes `pace` so that a timer whose segment one side has in the step of the difference and the other one later falls
/// into the same step; whether there is such a timer, late by no more than two ticks and an eighth of all that time.
pub(super) fn follow(pace: &mut [Duration], at: &Difference, kernel: &Value, everyhop: &Value) -> bool {
    let [At::Index(step), At::Key(_), ..] = at.path[..] else { return false };
    let (theirs, ours) = (sent(&kernel[step]), sent(&everyhop[step]));
    let Some(lasted) = pace.get(step).copied() else { return false };
    let allowed = TWO_TICKS + Duration::from_nanos(total(&pace[..=step]).as_nanos() / 8);
    if ours.len() > theirs.len() {
        let Some(&early) = ours.last() else { return false };
        // What was sent at once may be by a timer that was moved here before: then a longer step gives the time.
        let (from, by) = match early {
            Duration::ZERO => (pace[..step].iter().rposition(|other| *other > lasted + lasted), lasted + ROUNDING),
            early => (Some(step), lasted + ROUNDING - early.min(lasted)),
        };
        let Some(from) = from.filter(|_| by <= allowed) else { return false };
        pace[from] = pace[from] - by.min(pace[from]);
        true
    } else if ours.len() < theirs.len() {
        let later = (step + 1..pace.len()).find_map(|next| {
            let first = sent(&everyhop[next]).into_iter().find(|sent| *sent > Duration::ZERO)?;
            Some(total(&pace[step + 1..next]) + first)
        });
        let Some(by) = later.filter(|by| *by <= TWO_TICKS) else { return false };
        pace[step] = lasted + by + ROUNDING;
        true
    } else {
        false
    }
}

fn total(pace: &[Duration]) -> Duration {
    pace.iter().fold(Duration::ZERO, |sum, step| sum + *step)
}

/// When the pod sent something in a step.
fn sent(step: &Value) -> Vec<Duration> {
    let events = step["ev"].as_array().into_iter().flatten();
    events.filter(|e| e["d"] == "tx").filter_map(|e| e["t"].as_u64()).map(Duration::from_millis).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::compare::first_diff;
    use serde_json::json;

    fn result(steps: &[&[u64]]) -> Value {
        let step =
            |times: &&[u64]| json!({ "ev": times.iter().map(|t| json!({ "d": "tx", "t": t })).collect::<Vec<_>>() });
        steps.iter().map(step).collect()
    }

    /// The pace in microseconds after it followed the kernel, if it did.
    fn followed(pace: &[u64], kernel: &[&[u64]], everyhop: &[&[u64]]) -> Option<Vec<u64>> {
        let mut pace: Vec<_> = pace.iter().map(|ms| Duration::from_millis(*ms)).collect();
        let (kernel, everyhop) = (result(kernel), result(everyhop));
        let at = first_diff(&kernel, &everyhop)?;
        follow(&mut pace, &at, &kernel, &everyhop).then(|| pace.iter().map(|step| step.as_micros()).collect())
    }

    #[test]
    fn a_step_becomes_shorter_if_the_kernels_timer_runs_only_in_the_next() {
        assert_eq!(followed(&[300, 70], &[&[0], &[13]], &[&[0, 290], &[]]), Some(vec![289_400, 70_000]));
        assert_eq!(followed(&[300, 70], &[&[0], &[13]], &[&[0, 200], &[]]), None, "nothing is as late as that");
    }

    #[test]
    fn the_time_of_a_step_without_any_comes_from_a_longer_one() {
        assert_eq!(followed(&[300, 2, 9], &[&[], &[], &[0]], &[&[], &[0], &[]]), Some(vec![297_400, 2_000, 9_000]));
    }

    #[test]
    fn a_step_becomes_longer_if_a_tick_came_early() {
        assert_eq!(followed(&[1, 70], &[&[0], &[]], &[&[], &[2]]), Some(vec![3_600, 70_000]));
    }
}

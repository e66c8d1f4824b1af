//! When a CronJob is due: a line of crontab (robfig/cron v3 `ParseStandard`, which upstream uses).

use std::fmt;
use std::str::FromStr;

use sim_core::engine::time::{Duration, Instant};

/// Minutes of a day.
const DAY: u64 = 24 * 60;
/// How far ahead a schedule is looked for: one that is never due (`30 2 31 2 *`) is given up (`SpecSchedule.Next`).
const YEARS: u64 = 5;
/// Nanoseconds of a minute.
const MINUTE: u64 = 60_000_000_000;

/// A crontab schedule. The world begins at 1970-01-01 00:00 UTC, a Thursday.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Schedule {
    /// Bit n: minute n of the hour.
    minutes: u64,
    hours: u64,
    /// Bits 1 to 31.
    days: u64,
    /// Bits 1 to 12.
    months: u64,
    /// Bits 0 (Sunday) to 6.
    weekdays: u64,
    /// Both day fields are given, so that either is enough (crontab(5)).
    either_day: bool,
}

/// A text that is no schedule.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct NotASchedule(String);

impl Schedule {
    /// The first moment after `now` at which it is due; `None` if there is none in five years.
    pub fn next_after(&self, now: Instant) -> Option<Instant> {
        let mut minute = now.as_nanos() / MINUTE + 1;
        let last_day = minute / DAY + YEARS * 366;
        while minute / DAY <= last_day {
            let (month, day) = date(minute / DAY);
            let weekday = (minute / DAY + 4) % 7;
            if !self.is_due_on(month, day, weekday) {
                minute = (minute / DAY + 1) * DAY;
            } else if !has(self.hours, minute / 60 % 24) {
                minute = (minute / 60 + 1) * 60;
            } else if !has(self.minutes, minute % 60) {
                minute += 1;
            } else {
                return Some(Instant::START + Duration::from_secs(60).saturating_mul(minute));
            }
        }
        None
    }

    fn is_due_on(&self, month: u64, day: u64, weekday: u64) -> bool {
        let (by_day, by_weekday) = (has(self.days, day), has(self.weekdays, weekday));
        has(self.months, month) && if self.either_day { by_day || by_weekday } else { by_day && by_weekday }
    }
}

fn has(set: u64, bit: u64) -> bool {
    set >> bit & 1 == 1
}

/// Month and day of the month of a day since 1970-01-01 (Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn date(day: u64) -> (u64, u64) {
    let shifted = day + 719_468;
    let of_era = shifted % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (month, of_year - (153 * from_march + 2) / 5 + 1)
}

impl FromStr for Schedule {
    type Err = NotASchedule;

    /// Five fields, or one of `@yearly`, `@annually`, `@monthly`, `@weekly`, `@daily`, `@midnight`, `@hourly`.
    fn from_str(text: &str) -> Result<Self, NotASchedule> {
        let text = match text.trim() {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            other => other,
        };
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = fields[..] else {
            return Err(NotASchedule(format!("a schedule has five fields, not {}", fields.len())));
        };
        let is_any = |field: &str| field.starts_with('*') || field == "?";
        Ok(Self {
            minutes: field(minutes, 0, 59, &[])?,
            hours: field(hours, 0, 23, &[])?,
            days: field(days, 1, 31, &[])?,
            months: field(months, 1, 12, &MONTHS)?,
            weekdays: field(weekdays, 0, 6, &WEEKDAYS)?,
            either_day: !is_any(days) && !is_any(weekdays),
        })
    }
}

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// The numbers from `least` to `most` that `text` names: `*`, `5`, `1-5`, `*/15`, `1-30/2`, and lists of these.
fn field(text: &str, least: u64, most: u64, names: &[&str]) -> Result<u64, NotASchedule> {
    let wrong = || NotASchedule(format!("\"{text}\" is no field of a schedule: {least} to {most} are allowed"));
    let number = |word: &str| {
        let named = names.iter().position(|name| name.eq_ignore_ascii_case(word)).map(|index| index as u64 + least);
        let digits = word.bytes().all(|b| b.is_ascii_digit());
        let number = named.or_else(|| word.parse().ok().filter(|_| digits));
        number.filter(|number| (least..=most).contains(number)).ok_or_else(wrong)
    };
    let mut set = 0;
    for part in text.split(',') {
        let (range, step) = part.split_once('/').map_or((part, None), |(range, step)| (range, Some(step)));
        let (first, last) = match range.split_once('-') {
            _ if range == "*" || range == "?" => (least, most),
            Some((first, last)) => (number(first)?, number(last)?),
            // `5/15` means from 5 on.
            None if step.is_some() => (number(range)?, most),
            None => (number(range)?, number(range)?),
        };
        let step = step.map_or(Ok(1), |step| step.parse().ok().filter(|step| *step > 0).ok_or_else(wrong))?;
        if first > last {
            return Err(wrong());
        }
        (first..=last).step_by(step).for_each(|bit| set |= 1 << bit);
    }
    Ok(set)
}

impl fmt::Display for Schedule {
    /// As a list of what it holds; for messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |set: u64| (0..64).filter(|bit| has(set, *bit)).map(|bit| bit.to_string()).collect::<Vec<_>>();
        let fields = [self.minutes, self.hours, self.days, self.months, self.weekdays];
        f.write_str(&fields.map(|set| list(set).join(",")).join(" "))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sim_core::engine::time::{Duration, Instant};

    use super::Schedule;

    fn due(schedule: &str, after_minutes: u64) -> Option<u64> {
        let after = Instant::START + Duration::from_secs(60).saturating_mul(after_minutes);
        let schedule: Schedule = schedule.parse().expect("a schedule");
        schedule.next_after(after).map(|at| at.since(Instant::START).as_secs() / 60)
    }

    #[test]
    fn a_job_is_due_at_the_next_minute_that_fits() {
        assert_eq!(due("* * * * *", 0), Some(1));
        assert_eq!(due("*/15 * * * *", 0), Some(15));
        assert_eq!(due("*/15 * * * *", 15), Some(30));
        assert_eq!(due("0 3 * * *", 0), Some(180));
        assert_eq!(due("@daily", 5), Some(24 * 60));
        assert_eq!(due("5/20 1-2 * * *", 0), Some(65));
    }

    #[test]
    fn days_are_counted_from_thursday_the_first_of_january_1970() {
        let days = |n: u64| Some(n * 24 * 60);
        assert_eq!(due("0 0 * * sun", 0), days(3));
        assert_eq!(due("0 0 1 mar *", 0), days(31 + 28));
        assert_eq!(due("0 0 29 2 *", 0), days(365 * 2 + 31 + 28), "1972 is a leap year");
        assert_eq!(due("0 0 13 * FRI", 0), days(1), "either day is enough");
    }

    #[test]
    fn what_is_never_due_is_given_up() {
        assert_eq!(due("0 0 31 2 *", 0), None);
    }

    #[test]
    fn what_is_no_schedule_is_refused() {
        for bad in ["", "* * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "5-1 * * * *", "*/0 * * * *", "+5 * * * *"]
        {
            assert!(bad.parse::<Schedule>().is_err(), "{bad}");
        }
        let error = "61 * * * *".parse::<Schedule>().expect_err("no such minute");
        assert_eq!(error.to_string(), "\"61\" is no field of a schedule: 0 to 59 are allowed");
    }

    proptest! {
        #[test]
        fn any_text_is_a_schedule_or_an_error(text in "[-0-9a-zA-Z*/,? @]{0,30}") {
            if let Ok(schedule) = text.parse::<Schedule>() {
                prop_assert_eq!(schedule.to_string().parse::<Schedule>().map(|s| s.minutes), Ok(schedule.minutes));
            }
        }
    }
}

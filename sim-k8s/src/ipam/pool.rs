//! Numbers and who has them: what every allocator here is made of.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// The numbers that are taken.
#[derive(Clone, Debug, Default)]
pub(super) struct Pool {
    owners: BTreeMap<u128, String>,
}

impl Pool {
    /// The lowest number of `range` that nobody has.
    pub(super) fn lowest_free(&self, range: RangeInclusive<u128>) -> Option<u128> {
        let (mut candidate, last) = range.into_inner();
        if candidate > last {
            return None;
        }
        for taken in self.owners.range(candidate..=last).map(|(number, _)| *number) {
            if taken != candidate {
                break;
            }
            candidate = candidate.checked_add(1)?;
        }
        (candidate <= last).then_some(candidate)
    }

    /// Gives `number` to `owner`. Asking again for what one has is fine; the error says who else has it.
    pub(super) fn take(&mut self, number: u128, owner: &str) -> Result<(), String> {
        let holder = self.owners.entry(number).or_insert_with(|| owner.to_owned());
        if holder == owner { Ok(()) } else { Err(holder.clone()) }
    }

    pub(super) fn release(&mut self, number: u128) {
        self.owners.remove(&number);
    }

    pub(super) fn release_all_of(&mut self, owner: &str) {
        self.owners.retain(|_, holder| holder != owner);
    }

    pub(super) fn owner(&self, number: u128) -> Option<&str> {
        self.owners.get(&number).map(String::as_str)
    }

    /// The lowest number that `owner` has.
    pub(super) fn number_of(&self, owner: &str) -> Option<u128> {
        self.owners.iter().find(|(_, holder)| *holder == owner).map(|(number, _)| *number)
    }
}

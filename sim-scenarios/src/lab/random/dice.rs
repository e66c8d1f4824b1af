//! Draws of a random spec.

use sim_core::engine::rng::Stream;

/// A stream of random numbers with the draws that specs are made of.
pub(super) struct Dice(Stream);

impl Dice {
    /// Draws from `stream`.
    pub(super) const fn new(stream: Stream) -> Self {
        Self(stream)
    }

    /// A number below `n`.
    pub(super) fn below(&mut self, n: u32) -> u32 {
        self.0.below(n)
    }

    /// A number from `low` to `high`, both included.
    pub(super) fn between(&mut self, low: u32, high: u32) -> u32 {
        low + self.below(high - low + 1)
    }

    /// True once in `n` times.
    pub(super) fn one_in(&mut self, n: u32) -> bool {
        self.below(n) == 0
    }

    /// One of `items`, of which there must be one.
    pub(super) fn pick<T: Clone>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u32) as usize].clone()
    }

    /// One of `items`, each as likely as its weight says.
    pub(super) fn weighed<T: Clone>(&mut self, items: &[(u32, T)]) -> T {
        let mut at = self.below(items.iter().map(|(weight, _)| weight).sum());
        for (weight, item) in items {
            match at.checked_sub(*weight) {
                Some(rest) => at = rest,
                None => return item.clone(),
            }
        }
        items[0].1.clone()
    }

    /// `! ` once in four times: the inversion of what follows it in a rule.
    pub(super) fn bang(&mut self) -> &'static str {
        if self.one_in(4) { "! " } else { "" }
    }
}

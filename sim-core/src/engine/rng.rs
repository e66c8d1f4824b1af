//! One seed, many streams: each purpose and entity draws from a stream of its own, so that one
//! more draw in one never shifts another.
//!
//! The algorithm is ChaCha8; the bounded draw is our own (Lemire, "Fast random integer generation
//! in an interval", 2019), because the distributions of libraries change between versions.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use xxhash_rust::xxh3::xxh3_128_with_seed;

/// The seed of a run, from which every stream is derived.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seed(pub u64);

impl Seed {
    /// The stream called `name` of entity number `entity`.
    ///
    /// Streams with different names or entities are independent; the same three values always
    /// give the same stream.
    pub fn stream(self, name: &str, entity: u64) -> Stream {
        let mut key = [0u8; 32];
        let low = xxh3_128_with_seed(name.as_bytes(), self.0);
        let high = xxh3_128_with_seed(&entity.to_le_bytes(), low as u64 ^ (low >> 64) as u64);
        key[..16].copy_from_slice(&low.to_le_bytes());
        key[16..].copy_from_slice(&high.to_le_bytes());
        Stream(ChaCha8Rng::from_seed(key))
    }
}

/// One stream of random numbers. Integers only.
#[derive(Clone, Debug)]
pub struct Stream(ChaCha8Rng);

impl Stream {
    /// The next 32 bits.
    pub fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `n`, each equally likely; 0 if `n` is 0.
    pub fn below(&mut self, n: u32) -> u32 {
        if n == 0 {
            return 0;
        }
        let threshold = n.wrapping_neg() % n;
        loop {
            let wide = u64::from(self.next_u32()) * u64::from(n);
            if wide as u32 >= threshold {
                return (wide >> 32) as u32;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_more_draw_in_one_stream_does_not_shift_another() {
        let seed = Seed(7);
        let mut other = seed.stream("nat-port", 1);
        other.next_u64();
        let mut a = seed.stream("tcp-isn", 1);
        let mut b = seed.stream("tcp-isn", 1);
        assert_eq!(a.next_u64(), b.next_u64());
    }

    #[test]
    fn names_entities_and_seeds_each_make_another_stream() {
        let first = |s: Seed, name, entity| s.stream(name, entity).next_u64();
        let base = first(Seed(1), "a", 0);
        assert_ne!(base, first(Seed(2), "a", 0));
        assert_ne!(base, first(Seed(1), "b", 0));
        assert_ne!(base, first(Seed(1), "a", 1));
    }

    #[test]
    fn bounded_draws_stay_inside_and_reach_every_value() {
        let mut s = Seed(3).stream("below", 0);
        let mut seen = [false; 7];
        for _ in 0..500 {
            seen[s.below(7) as usize] = true;
        }
        assert_eq!(seen, [true; 7]);
        assert_eq!(s.below(0), 0);
        assert_eq!(s.below(1), 0);
    }

    /// The stored draw: a change of algorithm would change every stored fingerprint.
    #[test]
    fn the_algorithm_is_fixed() {
        let mut s = Seed(42).stream("fixed", 9);
        assert_eq!([s.next_u64(), s.next_u64()], [2_205_321_376_802_384_316, 7_153_986_432_627_286_669]);
    }
}

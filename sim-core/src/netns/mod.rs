//! Nouns: the state of one network namespace.
pub mod socket;

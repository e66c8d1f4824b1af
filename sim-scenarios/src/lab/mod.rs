//! The reference lab: its specs, its cluster, its canonical form.
//!
//! The lab (a Python program around real network namespaces) is the oracle: it records what the Linux
//! kernel does with a spec. This room reads the same specs, builds the same cluster out of whatever
//! implements [`bench::Bench`], runs the same steps with the same clients and servers, and writes what
//! happened in the same canonical JSON, so that the two can be compared field by field.
//!
//! Reading order: [`spec`] (what is asked for), [`cluster`] (names and addresses), [`bench`] (what it runs
//! on), [`conntrack`] and [`canon`] (what was seen, and its text).

pub mod bench;
pub mod canon;
pub mod cluster;
pub mod conntrack;
pub mod spec;

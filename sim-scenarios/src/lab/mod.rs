//! The reference lab: its specs, its cluster, its canonical form.
//!
//! The lab (a Python program around real network namespaces) is the oracle: it records what the Linux
//! kernel does with a spec. This room reads the same specs, builds the same cluster out of whatever
//! implements [`bench::Bench`], runs the same steps with the same clients and servers, and writes what
//! happened in the same canonical JSON, so that the two can be compared field by field.
//!
//! There are two kinds of specs: steps in a cluster ([`run`]), and a script for one pod's TCP ([`script`]).
//!
//! Reading order: [`spec`] (what is asked for), [`cluster`] and [`topology`] (what is built), [`mod@bench`]
//! (what it is built on), [`kernel`] (who does it), [`run`] (what is done), [`hops`], [`decode`], [`conntrack`], [`trace`] (what was
//! seen), [`canon`] (its text), [`compare`] and [`side_by_side`] (where it differs).

pub mod bench;
pub mod canon;
pub mod cluster;
pub mod compare;
mod compared;
pub mod conntrack;
pub mod decode;
pub mod forge;
pub mod hops;
pub mod kernel;
pub mod random;
pub mod run;
pub mod script;
pub mod side_by_side;
pub mod spec;
pub mod topology;
pub mod trace;
pub mod world;

#[cfg(test)]
mod goldens;
#[cfg(test)]
mod lab_py_tests;

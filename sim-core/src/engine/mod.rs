//! Makes time pass. No network word in here.
//!
//! [`time`] is simulated time, [`queue`] the total order of events, [`rng`] the named random
//! streams of one seed, [`arena`] typed ids, [`fingerprint`] the rolling hash of the event stream,
//! [`errno`] what an agent may see when an operation is refused, [`mutant`] what may be wrong on purpose.

pub mod arena;
pub mod errno;
pub mod fingerprint;
pub mod mutant;
pub mod queue;
pub mod rng;
pub mod time;
pub mod trail;

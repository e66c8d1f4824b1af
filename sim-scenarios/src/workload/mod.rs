//! Applications: servers that answer, clients that call.
//!
//! [`Servers`] and [`Clients`] are plain data, driven by what [`sim_core::world::World::step`] says has happened.
//! What they say to each other is in [`protocol`].

mod client;
pub mod protocol;
mod server;

pub use client::{Answer, Attempt, Clients, Ended, Failure, PATIENCE, Reason, Request};
pub use server::{Server, Servers};

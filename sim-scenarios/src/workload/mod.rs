//! Applications: servers that answer, clients that call.
//!
//! [`Applications`] (made of [`Servers`]) and [`Clients`] are plain data, driven by what [`sim_core::world::World::step`] says has happened.
//! What they say to each other is in [`protocol`].

mod application;
mod client;
pub(crate) mod connection;
mod habits;
pub mod protocol;
mod server;

pub use application::{Applications, Refused};
pub use client::{Answer, Attempt, Clients, Destination, Ended, Failure, PATIENCE, Reason, Request};
pub use habits::{Habits, OnStop};
pub use server::{Server, ServerId, Servers};

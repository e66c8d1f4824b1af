//! Sockets of a netns.
pub mod tcp;

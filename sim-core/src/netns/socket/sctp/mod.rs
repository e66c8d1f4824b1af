//! An SCTP endpoint (RFC 9260): sans-IO, plain data, with Linux's timers and rules where the RFC leaves a choice.
//!
//! Start at [`SctpTable`]: packets go in with [`SctpTable::on_packet`], come out of [`SctpTable::poll_output`], and
//! [`SctpTable::next_timer`] says when to call [`SctpTable::on_timer`]. Sockets are one-to-one (RFC 6458 section 4): a
//! listener accepts associations, and each association is a socket. Below it are `association` (one association: what
//! `struct sctp_association` holds), `init` (what both ends tell each other first) and `cookie` (an association that is not
//! one yet, kept by the peer).
//!
//! Functions name the one of net/sctp they follow. One path per association; what else is missing is in
//! docs/differences.md.

mod association;
mod config;
mod context;
mod cookie;
mod init;
mod table;

pub use association::{IcmpError, Message, State};
pub use context::OutPacket;
pub use table::{Readiness, Row, SctpTable};

#[cfg(test)]
mod tests;

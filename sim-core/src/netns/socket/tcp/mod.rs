//! A TCP endpoint: sans-IO, plain data, as Linux does it.
//!
//! Start at [`TcpTable`]: segments go in with [`TcpTable::on_segment`], come out of [`TcpTable::poll_output`], and
//! [`TcpTable::next_timer`] says when to call [`TcpTable::on_timer`]. It knows no routes: the caller says what the
//! [`Path`] to a peer is like. Below it are `connection` (one connection: everything `struct tcp_sock` holds),
//! `request` (half-open ones), `listener`, `time_wait` (closed ones) and `congestion`.
//!
//! The kernel decides: functions name the one of net/ipv4 they follow.

mod config;
mod congestion;
mod connection;
mod context;
mod cookie;
mod listener;
mod options;
mod path;
mod ports;
mod request;
mod segment;
mod seq;
mod sockopt;
mod table;
mod time_wait;

#[cfg(test)]
mod tests;

pub use config::{Micros, Millis, Nanos, Seconds, TcpConfig};
pub use congestion::Algorithm;
pub use connection::{CaState, IcmpError, Info, State};
pub use context::Wake;
pub use options::{Options, SackBlock, SackBlocks, Timestamps};
pub use path::Path;
pub use segment::{ECN, OutSegment, Segment};
pub use sockopt::SocketOptions;
pub use table::{Readiness, Row, TcpTable};

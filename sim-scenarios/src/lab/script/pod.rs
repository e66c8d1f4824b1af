//! What a script asks of a kernel beside the words of a bench: a pod's TCP sockets with all their options, and what can be
//! asked about them.

use std::net::{Shutdown, SocketAddr};

use sim_core::engine::errno::Errno;
use sim_core::netns::socket::tcp::{Info, Readiness, Row};

use crate::lab::bench::{Bench, Sock};
use crate::lab::spec::SetOption;

/// TCP sockets of a netns. None of the calls waits.
pub trait Pod: Bench {
    /// A connection from the first of `ends` to the second, under way: bind(), then connect(). At port 0 the stack chooses
    /// one. With `reuse` the port may be that of another socket that does not listen (`SO_REUSEADDR`).
    fn connect(
        &mut self,
        netns: &str,
        ends: (SocketAddr, SocketAddr),
        options: &[SetOption],
        reuse: bool,
    ) -> Result<Sock, Errno>;
    /// A listener at `local`.
    fn listen(&mut self, netns: &str, local: SocketAddr, backlog: u32, options: &[SetOption]) -> Result<Sock, Errno>;
    /// `setsockopt()`, one by one.
    fn set_options(&mut self, sock: &Sock, options: &[SetOption]) -> Result<(), Errno>;
    /// Reads up to `max` bytes; how many there were, none at the end of the stream.
    fn receive(&mut self, sock: &Sock, max: usize) -> Result<usize, Errno>;
    /// Closes one side or both (`shutdown()`).
    fn shutdown(&mut self, sock: &Sock, how: Shutdown) -> Result<(), Errno>;
    /// `poll()`.
    fn readiness(&mut self, sock: &Sock) -> Readiness;
    /// `SO_ERROR`: reading clears it.
    fn take_error(&mut self, sock: &Sock) -> Option<Errno>;
    /// `TCP_INFO`; `None` of what is no connection.
    fn info(&mut self, sock: &Sock) -> Option<Info>;
    /// The socket's own address.
    fn local(&mut self, sock: &Sock) -> Option<SocketAddr>;
    /// All TCP sockets of a netns.
    fn rows(&mut self, netns: &str) -> Vec<Row>;
    /// A counter of a netns by the name that nstat(8) gives it, without its group; `None` if there is none.
    fn counter(&mut self, netns: &str, name: &str) -> Option<u64>;
}

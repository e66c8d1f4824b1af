//! What the lab's runner needs of a network: the words of the usual tools, sockets, time, and taps.
//!
//! The one implementation that matters binds these calls to a `World`; a test may bind them to anything.

use std::net::SocketAddr;

use bytes::Bytes;
use sim_core::capture::Hop;
use sim_core::engine::arena::{DevId, NetnsId, SocketId};
use sim_core::engine::errno::Errno;
use sim_core::engine::time::Instant;

use super::conntrack::Entry;
use super::spec::Pmtu;

/// Why the network would not do what it was told.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refused {
    /// Linux would do it, the emulator cannot yet.
    #[error("not supported yet: {0}")]
    NotYet(String),
    /// Linux would refuse it too.
    #[error("{0}")]
    Failed(String),
}

/// What a command printed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Output {
    /// Its exit status.
    pub status: i32,
    /// Its standard output.
    pub stdout: String,
}

/// A socket of a netns.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sock {
    /// The netns.
    pub netns: String,
    /// The socket.
    pub id: SocketId,
}

/// Options of a client's or server's socket; `IP_RECVERR` is always on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SockOptions {
    /// TTL, if not the default.
    pub ttl: Option<u8>,
    /// Type of service, if not 0.
    pub tos: Option<u8>,
    /// What the socket does about the path MTU, if not the default.
    pub pmtu: Option<Pmtu>,
}

/// One entry of a socket's error queue (ip(7), `IP_RECVERR`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QueuedError {
    /// The error.
    pub errno: Errno,
    /// Type, code and sender of the ICMP message behind it; `None`: found locally.
    pub icmp: Option<(u8, u8, std::net::IpAddr)>,
    /// The path MTU behind `EMSGSIZE`, in bytes; 0 if there is none.
    pub mtu: u32,
}

/// One line of a rule trace.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TraceLine {
    /// The packet as it entered a base chain.
    Packet {
        /// From the IP header on.
        l3: Bytes,
        /// The device it came in by, or empty.
        iif: String,
        /// The device it leaves by, or empty.
        oif: String,
        /// Its mark.
        mark: u32,
    },
    /// What a rule, a chain's end or a policy said, as `xtables-monitor --trace` shows it in the goldens.
    Step(String),
}

/// Sockets, with the results of the socket calls of the same names. A call never waits:
/// `EAGAIN` says that there is nothing yet.
pub trait Sockets {
    /// A UDP socket.
    fn udp(&mut self, netns: &str, options: SockOptions) -> Result<Sock, Errno>;
    /// A raw ICMP socket; what it receives begins with the IP header.
    fn raw_icmp(&mut self, netns: &str, options: SockOptions) -> Result<Sock, Errno>;
    /// A TCP socket with `TCP_NODELAY` and `TCP_QUICKACK`.
    fn tcp(&mut self, netns: &str, options: SockOptions) -> Result<Sock, Errno>;
    /// `bind`, with `SO_REUSEADDR`.
    fn bind(&mut self, sock: &Sock, local: SocketAddr) -> Result<(), Errno>;
    /// `connect`; a TCP handshake that is under way is no error.
    fn connect(&mut self, sock: &Sock, peer: SocketAddr) -> Result<(), Errno>;
    /// How a TCP handshake ended (`SO_ERROR`); `None` while it is under way.
    fn connected(&mut self, sock: &Sock) -> Option<Result<(), Errno>>;
    /// `listen`.
    fn listen(&mut self, sock: &Sock, backlog: u32) -> Result<(), Errno>;
    /// `accept`.
    fn accept(&mut self, sock: &Sock) -> Result<(Sock, SocketAddr), Errno>;
    /// `send` on a connected socket.
    fn send(&mut self, sock: &Sock, data: &[u8]) -> Result<usize, Errno>;
    /// `sendto`; the port means nothing to a raw socket.
    fn send_to(&mut self, sock: &Sock, data: &[u8], peer: SocketAddr) -> Result<usize, Errno>;
    /// `recv`; of a TCP socket an empty answer is the end of the stream.
    fn recv(&mut self, sock: &Sock) -> Result<Bytes, Errno>;
    /// `recvfrom`.
    fn recv_from(&mut self, sock: &Sock) -> Result<(Bytes, SocketAddr), Errno>;
    /// Takes the oldest entry of the error queue.
    fn queued_error(&mut self, sock: &Sock) -> Option<QueuedError>;
    /// Local and remote address of a connection.
    fn ends(&mut self, sock: &Sock) -> Option<(SocketAddr, SocketAddr)>;
    /// `shutdown(SHUT_WR)`.
    fn shutdown_write(&mut self, sock: &Sock) -> Result<(), Errno>;
    /// `close`.
    fn close(&mut self, sock: &Sock);
    /// `close` with `SO_LINGER` 0: a RST.
    fn abort(&mut self, sock: &Sock);
}

/// A network of netns on which a spec runs.
pub trait Bench: Sockets {
    /// Makes a netns that holds `lo`, down.
    fn add_netns(&mut self, name: &str) -> Result<(), Refused>;
    /// One line as for `ip -batch`. `netns NAME` in it names another netns of the bench.
    fn ip(&mut self, netns: &str, line: &str) -> Result<(), Refused>;
    /// One line as for `bridge -batch`.
    fn bridge(&mut self, netns: &str, line: &str) -> Result<(), Refused>;
    /// `iptables-restore` of a whole text, tables that it names being flushed first.
    fn iptables_restore(&mut self, netns: &str, text: &str) -> Result<(), Refused>;
    /// Sets a sysctl, named as sysctl(8) does: a dot inside a device's name is written `/`.
    fn set_sysctl(&mut self, netns: &str, key: &str, value: &str) -> Result<(), Refused>;
    /// A sysctl's value as its file under /proc/sys shows it; the errno of opening it if there is none.
    fn sysctl(&mut self, netns: &str, key: &str) -> Result<String, Errno>;
    /// A command of the usual tools: its first word is the tool.
    fn exec(&mut self, netns: &str, words: &[&str]) -> Result<Output, Refused>;
    /// Traces every packet of `netns` through its rules from now on.
    fn start_trace(&mut self, netns: &str) -> Result<(), Refused>;

    /// Simulated time.
    fn now(&self) -> Instant;
    /// When the next event is due, if there is any.
    fn next_event(&self) -> Option<Instant>;
    /// Runs everything that is due up to and including `until`, which then is the time.
    fn run_until(&mut self, until: Instant);

    /// What the taps saw since the last call, in the order of the taps.
    fn drain_hops(&mut self) -> Vec<Hop>;
    /// The name of a netns.
    fn netns_name(&self, netns: NetnsId) -> String;
    /// The name of a device.
    fn dev_name(&self, netns: NetnsId, dev: DevId) -> String;
    /// The conntrack table of `netns`.
    fn conntrack(&mut self, netns: &str) -> Vec<Entry>;
    /// What traced packets met in `netns` since the last call.
    fn drain_trace(&mut self, netns: &str) -> Vec<TraceLine>;
    /// Sends a frame out of a device as a packet socket does.
    fn inject(&mut self, netns: &str, dev: &str, frame: Bytes) -> Result<(), Refused>;
}

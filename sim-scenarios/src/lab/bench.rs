//! What the lab's runner needs of a network: the words of the usual tools, sockets, time, and taps.
//!
//! The one implementation that matters binds these calls to a `World`; a test may bind them to anything.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};

use bytes::Bytes;
use sim_core::capture::Hop;
use sim_core::engine::arena::{DevId, NetnsId};
use sim_core::engine::errno::Errno;
use sim_core::engine::time::{Duration, Instant};
use sim_core::netns::socket::{PmtuDiscovery, Socket, SocketError};
use sim_core::wire::ip::{Family, IpHeader};

use crate::shell::Output;

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

/// A socket of a netns.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sock {
    /// The netns.
    pub netns: String,
    /// The socket.
    pub socket: Socket,
}

/// Options of a client's or server's socket; `IP_RECVERR` is always on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SockOptions {
    /// TTL, if not the default.
    pub ttl: Option<u8>,
    /// Type of service, if not 0.
    pub tos: Option<u8>,
    /// What the socket does about the path MTU, if not the default.
    pub pmtu: Option<PmtuDiscovery>,
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

/// Both ends of the UDP flow that is made as the `i`-th without a packet.
pub fn made_flow(i: u32) -> [SocketAddrV4; 2] {
    let first = u32::from(Ipv4Addr::new(10, 128, 0, 0));
    let client = SocketAddrV4::new(first.wrapping_add(i).into(), 5000);
    [client, SocketAddrV4::new(Ipv4Addr::new(11, 255, 0, 1), 5001)]
}

/// How long such a flow lives.
pub const MADE_LIFETIME: Duration = Duration::from_secs(600);

/// The system calls of clients and servers. None of them waits: `EAGAIN` says that there is nothing yet.
pub trait Sockets {
    /// A UDP socket bound to `local`, with `SO_REUSEADDR`.
    fn udp(&mut self, netns: &str, local: SocketAddr, options: SockOptions) -> Result<Sock, Errno>;
    /// Connects a UDP socket.
    fn udp_connect(&mut self, sock: &Sock, peer: SocketAddr) -> Result<(), Errno>;
    /// Sends a datagram to `to`, or to the connected peer.
    fn udp_send(&mut self, sock: &Sock, to: Option<SocketAddr>, data: &[u8]) -> Result<(), SocketError>;
    /// Takes the oldest datagram and its sender; a pending error comes first.
    fn udp_recv(&mut self, sock: &Sock) -> Result<(Bytes, SocketAddr), Errno>;

    /// A raw socket for ICMP of the family of `local`, bound to it unless it is unspecified.
    fn raw_icmp(&mut self, netns: &str, local: IpAddr, options: SockOptions) -> Result<Sock, Errno>;
    /// Sends an echo request with this identifier and sequence number.
    fn ping(&mut self, sock: &Sock, to: IpAddr, id_seq: (u16, u16), data: &[u8]) -> Result<(), SocketError>;
    /// Takes the oldest ICMP message and the header it came with.
    fn raw_recv(&mut self, sock: &Sock) -> Option<(IpHeader, Bytes)>;

    /// Begins a connection from `local`, with `TCP_NODELAY` and `TCP_QUICKACK`.
    fn tcp_connect(
        &mut self,
        netns: &str,
        local: SocketAddr,
        peer: SocketAddr,
        options: SockOptions,
    ) -> Result<Sock, Errno>;
    /// How the handshake ended (`SO_ERROR`); `None` while it is under way.
    fn tcp_connected(&mut self, sock: &Sock) -> Option<Result<(), Errno>>;
    /// A listener at `local`.
    fn tcp_listen(&mut self, netns: &str, local: SocketAddr, backlog: u32) -> Result<Sock, Errno>;
    /// Takes the oldest connection of a listener.
    fn tcp_accept(&mut self, sock: &Sock) -> Option<(Sock, SocketAddr)>;
    /// Sends.
    fn tcp_send(&mut self, sock: &Sock, data: &[u8]) -> Result<usize, Errno>;
    /// Reads what there is; nothing is the end of the stream.
    fn tcp_recv(&mut self, sock: &Sock) -> Result<Bytes, Errno>;
    /// Local and remote address of a connection.
    fn tcp_ends(&mut self, sock: &Sock) -> Option<(SocketAddr, SocketAddr)>;
    /// `shutdown(SHUT_WR)`.
    fn tcp_shutdown(&mut self, sock: &Sock) -> Result<(), Errno>;
    /// `close` with `SO_LINGER` 0: a RST.
    fn tcp_abort(&mut self, sock: &Sock);

    /// Takes the oldest entry of a socket's error queue.
    fn queued_error(&mut self, sock: &Sock) -> Option<SocketError>;
    /// `close`.
    fn close(&mut self, sock: &Sock);
}

/// A network of netns on which a spec runs.
pub trait Bench: Sockets {
    /// Makes a netns that holds `lo`, down; IPv6 is off until a sysctl says otherwise.
    fn add_netns(&mut self, name: &str) -> Result<(), Refused>;
    /// Lines as for `ip -batch`, up to the first that is refused. `netns NAME` in one names another netns of the bench.
    fn ip(&mut self, netns: &str, lines: &[&str]) -> Result<(), Refused>;
    /// Lines as for `bridge -batch`, up to the first that is refused.
    fn bridge(&mut self, netns: &str, lines: &[&str]) -> Result<(), Refused>;
    /// Lets no device of `netns` hand on packets larger or less finished than a wire has them: no segmentation or receive
    /// offload, no checksums left to a device.
    fn no_offloads(&mut self, netns: &str) -> Result<(), Refused>;
    /// `iptables-restore` or `ip6tables-restore` of a whole text, tables that it names being flushed first.
    fn iptables_restore(&mut self, netns: &str, family: Family, text: &str) -> Result<(), Refused>;
    /// `ipset restore` of a whole text.
    fn ipset_restore(&mut self, netns: &str, text: &str) -> Result<(), Refused>;
    /// Sets a sysctl, named as sysctl(8) does: a dot inside a device's name is written `/`. One that does not
    /// exist is [`Refused::NotYet`].
    fn set_sysctl(&mut self, netns: &str, key: &str, value: &str) -> Result<(), Refused>;
    /// A sysctl's value as its file under /proc/sys shows it; the errno of opening it if there is none.
    fn sysctl(&mut self, netns: &str, key: &str) -> Result<String, Errno>;
    /// A command of the usual tools: its first word is the tool.
    fn exec(&mut self, netns: &str, words: &[&str]) -> Result<Output, Refused>;
    /// Makes conntrack entries as `conntrack -I` does, of `n` flows as [`made_flow`] has them, until the table is full.
    fn create_flows(&mut self, netns: &str, n: u32, assured: bool) -> Result<(), Refused>;
    /// Traces every packet of `netns` through its rules from now on.
    fn start_trace(&mut self, netns: &str) -> Result<(), Refused>;

    /// The bench's time.
    fn now(&self) -> Instant;
    /// Lets time pass until something happens and says whether a socket may have been touched, or until `until` and says
    /// `None`.
    fn advance(&mut self, until: Instant) -> Option<bool>;

    /// What the taps saw since the last call, in the order of the taps.
    fn drain_hops(&mut self) -> Vec<Hop>;
    /// The name of a netns.
    fn netns_name(&self, netns: NetnsId) -> String;
    /// The name of a device.
    fn dev_name(&self, netns: NetnsId, dev: DevId) -> String;
    /// What traced packets met in `netns` since the last call.
    fn drain_trace(&mut self, netns: &str) -> Vec<TraceLine>;
    /// Sends a frame out of a device as a packet socket does.
    fn inject(&mut self, netns: &str, dev: &str, frame: Bytes) -> Result<(), Refused>;
}

//! The second door: the system calls of applications. Each call that sends is one event.

use std::net::{IpAddr, Shutdown, SocketAddr};

use bytes::Bytes;

use super::World;
use crate::engine::arena::{DevId, NetnsId, SocketId};
use crate::engine::errno::Errno;
use crate::netns::mib::Udp;
use crate::netns::socket::raw::RawSocket;
use crate::netns::socket::sctp::{self, Message, SctpTable};
use crate::netns::socket::tcp::{Info, Readiness, SocketOptions};
use crate::netns::socket::udp::{Datagram, UdpSocket};
use crate::netns::socket::{Socket, SocketError};
use crate::walk;
use crate::wire::ip::{Family, IpHeader};

/// Recorded as the kind of a socket call's event.
const CALL: u8 = 7;

impl World {
    fn call(&mut self, netns: NetnsId, socket: Option<SocketId>, data: &[u8]) {
        // The call before is over, whatever it was waiting for.
        self.out.in_syscall = false;
        if let Some((netns, stages)) = self.waiting.take() {
            self.go_on(None, netns, stages);
        }
        self.out.in_syscall = true;
        self.record(CALL, &[u64::from(netns.0), socket.map_or(0, |s| u64::from(s.0))], data);
    }

    /// Opens a UDP socket bound to `local` (port 0: an ephemeral one); `reuse` is `SO_REUSEADDR`.
    ///
    /// # Errors
    /// `EADDRNOTAVAIL`, `EADDRINUSE`.
    pub fn udp_bind(&mut self, netns: NetnsId, local: SocketAddr, reuse: bool) -> Result<SocketId, Errno> {
        self.call(netns, None, local.to_string().as_bytes());
        walk::udp_bind(self.netns_mut(netns)?, local, reuse)
    }

    /// Connects a UDP socket: the source address is chosen, only the peer's datagrams and errors are received.
    ///
    /// # Errors
    /// What the route says (`ENETUNREACH`, `EHOSTUNREACH`, `EACCES`, `EINVAL`).
    pub fn udp_connect(&mut self, netns: NetnsId, socket: SocketId, peer: SocketAddr) -> Result<(), Errno> {
        self.call(netns, Some(socket), peer.to_string().as_bytes());
        walk::udp_connect(self.netns_mut(netns)?, socket, peer)
    }

    /// Sends a datagram to `to`, or to the connected peer.
    ///
    /// # Errors
    /// What the route says, `EMSGSIZE` with the MTU, `EPERM` if a rule of OUTPUT dropped it.
    pub fn udp_send(
        &mut self,
        netns: NetnsId,
        socket: SocketId,
        to: Option<SocketAddr>,
        data: &[u8],
    ) -> Result<(), SocketError> {
        self.call(netns, Some(socket), data);
        self.walk(netns, |ns, ctx| walk::send_udp(ns, ctx, socket, to, data)).map_err(|e| SocketError::local(e, 0))?
    }

    /// Takes the oldest datagram.
    ///
    /// # Errors
    /// A pending ICMP error once, else `EAGAIN`.
    pub fn udp_recv(&mut self, netns: NetnsId, socket: SocketId) -> Result<Datagram, Errno> {
        let ns = self.netns_mut(netns).map_err(|_| Errno::ENOENT)?;
        let socket = ns.sockets.udp_mut(socket).ok_or(Errno::ENOENT)?;
        let family = Family::of(socket.local.ip());
        let datagram = socket.recv()?;
        ns.mibs.udp(family, Udp::InDatagrams);
        Ok(datagram)
    }

    /// A UDP socket, to set its options and read its error queue.
    pub fn udp(&mut self, netns: NetnsId, socket: SocketId) -> Option<&mut UdpSocket> {
        self.netns_mut(netns).ok()?.sockets.udp_mut(socket)
    }

    /// Opens a raw socket for ICMP of the family of `local`, bound to it unless it is unspecified.
    pub fn raw_open(&mut self, netns: NetnsId, local: IpAddr) -> SocketId {
        self.call(netns, None, b"raw");
        // No socket is numbered 0.
        self.netns_mut(netns).map_or(SocketId(0), |ns| ns.sockets.raw_open(local))
    }

    /// A raw socket, to set its options and read its error queue.
    pub fn raw(&mut self, netns: NetnsId, socket: SocketId) -> Option<&mut RawSocket> {
        self.netns_mut(netns).ok()?.sockets.raw_mut(socket)
    }

    /// Takes the oldest packet of a raw socket: IP header and ICMP message.
    pub fn raw_recv(&mut self, netns: NetnsId, socket: SocketId) -> Option<(IpHeader, Bytes)> {
        self.raw(netns, socket)?.recv()
    }

    /// Sends an ICMP echo request with identifier `id` and sequence number `seq`.
    ///
    /// # Errors
    /// As [`Self::udp_send`].
    pub fn ping(
        &mut self,
        netns: NetnsId,
        socket: SocketId,
        to: IpAddr,
        id_seq: (u16, u16),
        data: &[u8],
    ) -> Result<(), SocketError> {
        self.call(netns, Some(socket), data);
        let sent = self.walk(netns, |ns, ctx| walk::send_icmp_echo(ns, ctx, socket, to, id_seq, data));
        sent.map_err(|errno| SocketError::local(errno, 0))?
    }

    /// Closes a UDP or raw socket.
    pub fn close(&mut self, netns: NetnsId, socket: SocketId) {
        self.call(netns, Some(socket), b"close");
        if let Ok(ns) = self.netns_mut(netns) {
            ns.sockets.close(socket);
        }
    }

    /// Closes a socket of any kind.
    pub fn close_socket(&mut self, netns: NetnsId, socket: Socket) {
        match socket {
            Socket::Udp(id) | Socket::Raw(id) => self.close(netns, id),
            Socket::Tcp(id) => self.tcp_close(netns, id),
            Socket::Sctp(id) => self.sctp_close(netns, id),
        }
    }

    /// Begins a TCP connection from `local` (unspecified address: by the route; port 0: an ephemeral one).
    /// How it ends is told by a wake-up: then [`Self::tcp_readiness`] says writable, or [`Self::tcp_take_error`] why not.
    ///
    /// # Errors
    /// What the route says, `EADDRNOTAVAIL`; `EINVAL`: the options are not such as the kernel takes.
    pub fn tcp_connect(
        &mut self,
        netns: NetnsId,
        local: SocketAddr,
        peer: SocketAddr,
        options: SocketOptions,
    ) -> Result<SocketId, Errno> {
        self.call(netns, None, format!("{local}>{peer}").as_bytes());
        let now = self.now();
        self.walk(netns, |ns, _| walk::tcp_connect(ns, now, local, peer, options))?
    }

    /// Listens on `local`; `backlog` connections wait to be accepted.
    ///
    /// # Errors
    /// `EADDRINUSE`.
    pub fn tcp_listen(&mut self, netns: NetnsId, local: SocketAddr, backlog: u32) -> Result<SocketId, Errno> {
        self.call(netns, None, local.to_string().as_bytes());
        let ns = self.netns_mut(netns)?;
        let v6only = ns.sysctl.bindv6only != 0;
        ns.tcp.listen(local, backlog, SocketOptions { v6only, ..SocketOptions::default() })
    }

    /// Takes the oldest complete connection of a listener, and its peer.
    pub fn tcp_accept(&mut self, netns: NetnsId, listener: SocketId) -> Option<(SocketId, SocketAddr)> {
        self.netns_mut(netns).ok()?.tcp.accept(listener)
    }

    /// Writes `data`; how many bytes were taken.
    ///
    /// # Errors
    /// `EAGAIN`, `EPIPE`, `ENOTCONN`, or why the connection failed, once.
    pub fn tcp_send(&mut self, netns: NetnsId, socket: SocketId, data: &[u8]) -> Result<usize, Errno> {
        self.call(netns, Some(socket), data);
        let now = self.now();
        let taken = self.walk(netns, |ns, _| ns.tcp.send(now, socket, data))?;
        self.out.sending = (!self.queue.is_settled()).then_some((netns, socket));
        taken
    }

    /// Reads at most `max` bytes; none is the end of the stream.
    ///
    /// # Errors
    /// `EAGAIN`, `ENOTCONN`, or why the connection failed, once, after the data that came before.
    pub fn tcp_recv(&mut self, netns: NetnsId, socket: SocketId, max: usize) -> Result<Bytes, Errno> {
        let now = self.now();
        self.walk(netns, |ns, _| ns.tcp.recv(now, socket, max))?
    }

    /// `shutdown()`: of writing, the FIN follows the data; of reading, it ends with what has come.
    ///
    /// # Errors
    /// `ENOTCONN`.
    pub fn tcp_shutdown(&mut self, netns: NetnsId, socket: SocketId, how: Shutdown) -> Result<(), Errno> {
        let called: &[u8] = match how {
            Shutdown::Write => b"shutdown",
            Shutdown::Read => b"shutdown read",
            Shutdown::Both => b"shutdown both",
        };
        self.call(netns, Some(socket), called);
        let now = self.now();
        self.walk(netns, |ns, _| ns.tcp.shutdown(now, socket, how))?
    }

    /// `close()`
    pub fn tcp_close(&mut self, netns: NetnsId, socket: SocketId) {
        self.call(netns, Some(socket), b"close");
        let now = self.now();
        let _ = self.walk(netns, |ns, _| ns.tcp.close(now, socket));
    }

    /// `close()` with `SO_LINGER` 0: a RST.
    pub fn tcp_abort(&mut self, netns: NetnsId, socket: SocketId) {
        self.call(netns, Some(socket), b"abort");
        let now = self.now();
        let _ = self.walk(netns, |ns, _| ns.tcp.abort(now, socket));
    }

    /// What `poll()` says of a TCP socket.
    pub fn tcp_readiness(&self, netns: NetnsId, socket: SocketId) -> Readiness {
        self.find_netns(netns).map_or(Readiness::default(), |ns| ns.tcp.readiness(socket))
    }

    /// `SO_ERROR`: why the connection failed; reading clears it.
    pub fn tcp_take_error(&mut self, netns: NetnsId, socket: SocketId) -> Option<Errno> {
        self.netns_mut(netns).ok()?.tcp.take_error(socket)
    }

    /// The oldest entry of a connection's error queue (`IP_RECVERR`). To a socket of IPv6 who speaks IPv4 has a mapped address
    /// (net/ipv6/datagram.c, `ipv6_recv_error`).
    pub fn tcp_queued_error(&mut self, netns: NetnsId, socket: SocketId) -> Option<SocketError> {
        let ns = self.netns_mut(netns).ok()?;
        let ends = ns.tcp.endpoints(socket)?;
        let family = ns.tcp.names(socket).map_or(Family::of(ends.0.ip()), |(local, _)| Family::of(local.ip()));
        ns.sockets.tcp_error(ends).map(|error| error.seen_from(family))
    }

    /// `getsockname()`: our end of a connection, or where a listener listens.
    pub fn tcp_local(&self, netns: NetnsId, socket: SocketId) -> Option<SocketAddr> {
        let tcp = &self.find_netns(netns)?.tcp;
        tcp.names(socket).map(|(local, _)| local).or_else(|| tcp.local(socket))
    }

    /// Both ends of a connection: ours, the peer's (`getsockname()`, `getpeername()`).
    pub fn tcp_endpoints(&self, netns: NetnsId, socket: SocketId) -> Option<(SocketAddr, SocketAddr)> {
        self.find_netns(netns)?.tcp.names(socket)
    }

    /// The options of a TCP socket.
    pub fn tcp_options(&self, netns: NetnsId, socket: SocketId) -> Option<&SocketOptions> {
        self.find_netns(netns)?.tcp.options(socket)
    }

    /// `setsockopt()`: what the old options held back is sent.
    ///
    /// # Errors
    /// `EINVAL`: the kernel takes no such value.
    pub fn tcp_set_options(&mut self, netns: NetnsId, socket: SocketId, options: SocketOptions) -> Result<(), Errno> {
        self.call(netns, Some(socket), format!("{options:?}").as_bytes());
        let now = self.now();
        self.walk(netns, |ns, _| ns.tcp.set_options(now, socket, options))?
    }

    /// `TCP_INFO`; `None` for what is no connection.
    pub fn tcp_info(&self, netns: NetnsId, socket: SocketId) -> Option<Info> {
        self.find_netns(netns)?.tcp.info(socket)
    }

    /// `TCP_QUICKACK`
    pub fn tcp_set_quickack(&mut self, netns: NetnsId, socket: SocketId, on: bool) {
        let now = self.now();
        let _ = self.walk(netns, |ns, _| ns.tcp.set_quickack(now, socket, on));
    }

    /// Begins an SCTP association from `local` (unspecified address: by the route; port 0: an ephemeral one).
    /// How it ends is told by a wake-up: then [`Self::sctp_readiness`] says writable, or [`Self::sctp_take_error`] why not.
    ///
    /// # Errors
    /// What the route says, `EADDRNOTAVAIL`, `EADDRINUSE`.
    pub fn sctp_connect(&mut self, netns: NetnsId, local: SocketAddr, peer: SocketAddr) -> Result<SocketId, Errno> {
        self.call(netns, None, format!("{local}>{peer}").as_bytes());
        self.load_sctp(netns);
        let now = self.now();
        self.walk(netns, |ns, _| walk::sctp_connect(ns, now, local, peer))?
    }

    /// Listens for SCTP on `local`; `backlog` associations wait to be accepted.
    ///
    /// # Errors
    /// `EADDRNOTAVAIL`, `EADDRINUSE`.
    pub fn sctp_listen(&mut self, netns: NetnsId, local: SocketAddr, backlog: u32) -> Result<SocketId, Errno> {
        self.call(netns, None, local.to_string().as_bytes());
        self.load_sctp(netns);
        walk::sctp_listen(self.netns_mut(netns)?, local, backlog)
    }

    /// Takes the oldest association of a listener, and its peer.
    pub fn sctp_accept(&mut self, netns: NetnsId, listener: SocketId) -> Option<(SocketId, SocketAddr)> {
        self.netns_mut(netns).ok()?.sctp.accept(listener)
    }

    /// Sends a message on a stream, whole or not at all.
    ///
    /// # Errors
    /// As [`SctpTable::send`].
    pub fn sctp_send(&mut self, netns: NetnsId, socket: SocketId, stream: u16, data: &[u8]) -> Result<(), Errno> {
        self.call(netns, Some(socket), data);
        let now = self.now();
        self.walk(netns, |ns, _| ns.sctp.send(now, socket, stream, data))?
    }

    /// Takes the oldest message; `None` is the end.
    ///
    /// # Errors
    /// `EAGAIN`, `ENOTCONN`, or why the association failed, once, after what had come before.
    pub fn sctp_recv(&mut self, netns: NetnsId, socket: SocketId) -> Result<Option<Message>, Errno> {
        let now = self.now();
        self.walk(netns, |ns, _| ns.sctp.recv(now, socket))?
    }

    /// `shutdown(SHUT_WR)`: the association ends once both sides have what was sent.
    ///
    /// # Errors
    /// `ENOTCONN`.
    pub fn sctp_shutdown(&mut self, netns: NetnsId, socket: SocketId) -> Result<(), Errno> {
        self.call(netns, Some(socket), b"shutdown");
        let now = self.now();
        self.walk(netns, |ns, _| ns.sctp.shutdown(now, socket))?
    }

    /// `close()`
    pub fn sctp_close(&mut self, netns: NetnsId, socket: SocketId) {
        self.call(netns, Some(socket), b"close");
        let now = self.now();
        let _ = self.walk(netns, |ns, _| ns.sctp.close(now, socket));
    }

    /// `close()` with `SO_LINGER` 0: an ABORT.
    pub fn sctp_abort(&mut self, netns: NetnsId, socket: SocketId) {
        self.call(netns, Some(socket), b"abort");
        let now = self.now();
        let _ = self.walk(netns, |ns, _| ns.sctp.abort(now, socket));
    }

    /// What `poll()` says of an SCTP socket.
    pub fn sctp_readiness(&self, netns: NetnsId, socket: SocketId) -> sctp::Readiness {
        self.find_netns(netns).map_or(sctp::Readiness::default(), |ns| ns.sctp.readiness(socket))
    }

    /// `SO_ERROR`: why the association failed; reading clears it.
    pub fn sctp_take_error(&mut self, netns: NetnsId, socket: SocketId) -> Option<Errno> {
        self.netns_mut(netns).ok()?.sctp.take_error(socket)
    }

    /// The SCTP sockets of a netns and its counters.
    pub fn sctp(&self, netns: NetnsId) -> Option<&SctpTable> {
        Some(&self.find_netns(netns)?.sctp)
    }

    /// Sends a frame of any bytes straight out of a device (an AF_PACKET socket).
    pub fn send_frame(&mut self, netns: NetnsId, dev: DevId, frame: &[u8]) {
        self.call(netns, None, frame);
        let _ = self.walk(netns, |ns, ctx| walk::send_frame(ns, ctx, dev, frame));
    }

    /// Tells the application again that something waits (it read only part of what there is).
    pub fn wake(&mut self, netns: NetnsId, socket: Socket) {
        let _ = self.walk(netns, |ns, _| ns.sockets.wake(socket));
    }
}

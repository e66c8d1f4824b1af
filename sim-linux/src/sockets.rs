//! The system calls of clients and servers, on real sockets of real netns.

use std::io::{IoSliceMut, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use bytes::Bytes;
use nix::errno::Errno as Number;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, Backlog, ControlMessageOwned, MsgFlags, SetSockOpt, SockFlag, SockProtocol, SockType,
    SockaddrStorage, bind, connect, getsockopt, listen, recvfrom, recvmsg, sendto, setsockopt, socket, sockopt,
};
use sim_core::engine::arena::SocketId;
use sim_core::engine::errno::Errno;
use sim_core::netns::socket::{ErrorOrigin, PmtuDiscovery, Socket, SocketError};
use sim_core::wire::checksum::Sum;
use sim_core::wire::icmp::echo;
use sim_core::wire::ip::{Family, ICMPV6, IpHeader};
use sim_scenarios::lab::bench::{Sock, SockOptions, Sockets};

use crate::bench::LinuxBench;
use crate::options::{IpMtuDiscover, Ipv6MtuDiscover, TcpQuickAck};

/// What one read takes at most, in bytes.
const LARGEST_READ: usize = 65_536;
/// `SO_EE_ORIGIN_LOCAL` (include/uapi/linux/errqueue.h).
const ORIGIN_LOCAL: u8 = 1;

impl Sockets for LinuxBench<'_> {
    fn udp(&mut self, netns: &str, local: SocketAddr, options: SockOptions) -> Result<Sock, Errno> {
        let fd = self.socket(netns, local.ip(), SockType::Datagram, None)?;
        bound(&fd, local, options)?;
        Ok(self.keep(netns, fd, Socket::Udp))
    }

    fn udp_connect(&mut self, sock: &Sock, peer: SocketAddr) -> Result<(), Errno> {
        let fd = self.fd(sock)?;
        hear_errors(fd, peer.ip())?;
        connect(fd.as_raw_fd(), &SockaddrStorage::from(peer)).map_err(named)
    }

    fn udp_send(&mut self, sock: &Sock, to: Option<SocketAddr>, data: &[u8]) -> Result<(), SocketError> {
        let socket = self.udp_socket(sock).map_err(|errno| SocketError::local(errno, 0))?;
        let sent = match to {
            Some(to) => socket.send_to(data, to),
            None => socket.send(data),
        };
        sent.map(drop).map_err(|error| self.why(sock, error))
    }

    fn udp_recv(&mut self, sock: &Sock) -> Result<(Bytes, SocketAddr), Errno> {
        let mut data = vec![0; LARGEST_READ];
        let (n, from) = self.udp_socket(sock)?.recv_from(&mut data).map_err(of_io)?;
        data.truncate(n);
        Ok((data.into(), from))
    }

    fn raw_icmp(&mut self, netns: &str, local: IpAddr, options: SockOptions) -> Result<Sock, Errno> {
        let protocol = if local.is_ipv4() { SockProtocol::Icmp } else { SockProtocol::IcmpV6 };
        let fd = self.socket(netns, local, SockType::Raw, Some(protocol))?;
        set_options(&fd, local, options)?;
        hear_errors(&fd, local)?;
        if !local.is_unspecified() {
            bind(fd.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(local, 0))).map_err(named)?;
        }
        Ok(self.keep(netns, fd, Socket::Raw))
    }

    fn ping(&mut self, sock: &Sock, to: IpAddr, (id, seq): (u16, u16), data: &[u8]) -> Result<(), SocketError> {
        let mut message = vec![echo(Family::of(to)), 0, 0, 0];
        message.extend_from_slice(&id.to_be_bytes());
        message.extend_from_slice(&seq.to_be_bytes());
        message.extend_from_slice(data);
        if to.is_ipv4() {
            // That of ICMPv6 is the kernel's work (net/ipv6/raw.c, rawv6_push_pending_frames).
            let sum = Sum::default().bytes(&message).finish();
            message[2..4].copy_from_slice(&sum.to_be_bytes());
        }
        let fd = self.fd(sock).map_err(|errno| SocketError::local(errno, 0))?;
        let to = SockaddrStorage::from(SocketAddr::new(to, 0));
        sendto(fd.as_raw_fd(), &message, &to, MsgFlags::empty()).map(drop).map_err(|error| self.why(sock, error.into()))
    }

    fn raw_recv(&mut self, sock: &Sock) -> Option<(IpHeader, Bytes)> {
        let mut packet = vec![0; LARGEST_READ];
        let (n, from) = recvfrom::<SockaddrStorage>(self.fd(sock).ok()?.as_raw_fd(), &mut packet).ok()?;
        packet.truncate(n);
        if let Some(from) = from.as_ref().and_then(SockaddrStorage::as_sockaddr_in6) {
            // A raw socket of IPv6 keeps the header to itself.
            let header = IpHeader::new(from.ip().into(), Family::V6.unspecified(), ICMPV6, n);
            return Some((header, packet.into()));
        }
        let header = IpHeader::read(&packet)?;
        let message = Bytes::from(packet).split_off(usize::from(header.header_len).min(n));
        Some((header, message))
    }

    fn tcp_connect(
        &mut self,
        netns: &str,
        local: SocketAddr,
        peer: SocketAddr,
        options: SockOptions,
    ) -> Result<Sock, Errno> {
        let fd = self.socket(netns, local.ip(), SockType::Stream, None)?;
        set(&fd, sockopt::TcpNoDelay, &true)?;
        set(&fd, TcpQuickAck, &true)?;
        hear_errors(&fd, peer.ip())?;
        bound(&fd, local, options)?;
        match connect(fd.as_raw_fd(), &SockaddrStorage::from(peer)) {
            Ok(()) | Err(Number::EINPROGRESS) => Ok(self.keep(netns, fd, Socket::Tcp)),
            Err(error) => Err(named(error)),
        }
    }

    fn tcp_connected(&mut self, sock: &Sock) -> Option<Result<(), Errno>> {
        let fd = match self.fd(sock) {
            Ok(fd) => fd,
            Err(errno) => return Some(Err(errno)),
        };
        let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLOUT)];
        if poll(&mut fds, PollTimeout::ZERO).ok()? == 0 {
            return None;
        }
        Some(match getsockopt(fd, sockopt::SocketError) {
            Ok(0) => Ok(()),
            Ok(error) => Err(named(Number::from_raw(error))),
            Err(error) => Err(named(error)),
        })
    }

    fn tcp_listen(&mut self, netns: &str, local: SocketAddr, backlog: u32) -> Result<Sock, Errno> {
        let fd = self.socket(netns, local.ip(), SockType::Stream, None)?;
        bound(&fd, local, SockOptions::default())?;
        let backlog = Backlog::new(backlog.cast_signed()).map_err(named)?;
        listen(&fd, backlog).map_err(named)?;
        Ok(self.keep(netns, fd, Socket::Tcp))
    }

    fn tcp_accept(&mut self, sock: &Sock) -> Option<(Sock, SocketAddr)> {
        let listener = TcpListener::from(self.fd(sock).ok()?.try_clone().ok()?);
        let (connection, peer) = listener.accept().ok()?;
        connection.set_nonblocking(true).ok()?;
        Some((self.keep(&sock.netns, connection.into(), Socket::Tcp), peer))
    }

    fn tcp_send(&mut self, sock: &Sock, data: &[u8]) -> Result<usize, Errno> {
        self.stream(sock)?.write(data).map_err(of_io)
    }

    fn tcp_recv(&mut self, sock: &Sock) -> Result<Bytes, Errno> {
        let mut data = vec![0; LARGEST_READ];
        let n = self.stream(sock)?.read(&mut data).map_err(of_io)?;
        data.truncate(n);
        Ok(data.into())
    }

    fn tcp_ends(&mut self, sock: &Sock) -> Option<(SocketAddr, SocketAddr)> {
        let stream = self.stream(sock).ok()?;
        Some((stream.local_addr().ok()?, stream.peer_addr().ok()?))
    }

    fn tcp_shutdown(&mut self, sock: &Sock) -> Result<(), Errno> {
        self.stream(sock)?.shutdown(std::net::Shutdown::Write).map_err(of_io)
    }

    fn tcp_abort(&mut self, sock: &Sock) {
        if let Ok(fd) = self.fd(sock) {
            let reset = libc::linger { l_onoff: 1, l_linger: 0 };
            // It can only fail for a socket that is not one.
            let _ = setsockopt(fd, sockopt::Linger, &reset);
        }
        self.close(sock);
    }

    fn queued_error(&mut self, sock: &Sock) -> Option<SocketError> {
        queued_error(self.fd(sock).ok()?)
    }

    fn close(&mut self, sock: &Sock) {
        self.forget(sock);
    }
}

impl LinuxBench<'_> {
    pub(crate) fn socket(
        &mut self,
        netns: &str,
        local: IpAddr,
        kind: SockType,
        protocol: Option<SockProtocol>,
    ) -> Result<OwnedFd, Errno> {
        self.enter(netns).map_err(of_io)?;
        let family = if local.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        socket(family, kind, SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC, protocol).map_err(named)
    }

    fn udp_socket(&self, sock: &Sock) -> Result<UdpSocket, Errno> {
        Ok(UdpSocket::from(self.fd(sock)?.try_clone().map_err(of_io)?))
    }

    pub(crate) fn stream(&self, sock: &Sock) -> Result<TcpStream, Errno> {
        Ok(TcpStream::from(self.fd(sock)?.try_clone().map_err(of_io)?))
    }

    /// Why a datagram was not sent: what the error queue says, or the errno.
    fn why(&mut self, sock: &Sock, error: std::io::Error) -> SocketError {
        self.queued_error(sock).unwrap_or_else(|| SocketError::local(of_io(error), 0))
    }
}

/// Binds a socket that others may share the address of.
fn bound(fd: &OwnedFd, local: SocketAddr, options: SockOptions) -> Result<(), Errno> {
    set(fd, sockopt::ReuseAddr, &true)?;
    set_options(fd, local.ip(), options)?;
    bind(fd.as_raw_fd(), &SockaddrStorage::from(local)).map_err(named)
}

fn set_options(fd: &OwnedFd, of: IpAddr, options: SockOptions) -> Result<(), Errno> {
    let pmtu = options.pmtu.map(|pmtu| match pmtu {
        PmtuDiscovery::Dont => libc::IP_PMTUDISC_DONT,
        PmtuDiscovery::Want => libc::IP_PMTUDISC_WANT,
        PmtuDiscovery::Do => libc::IP_PMTUDISC_DO,
        PmtuDiscovery::Probe => libc::IP_PMTUDISC_PROBE,
    });
    let (ttl, tos) = (options.ttl.map(i32::from), options.tos.map(i32::from));
    match of {
        IpAddr::V4(_) => {
            set_some(fd, sockopt::Ipv4Ttl, ttl)?;
            set_some(fd, sockopt::Ipv4Tos, tos)?;
            set_some(fd, IpMtuDiscover, pmtu)
        }
        IpAddr::V6(_) => {
            set_some(fd, sockopt::Ipv6Ttl, ttl)?;
            set_some(fd, sockopt::Ipv6TClass, tos)?;
            set_some(fd, Ipv6MtuDiscover, pmtu)
        }
    }
}

/// Lets ICMP errors be told, each with its message (`IP_RECVERR`). The lab's clients ask for it, its servers do not.
fn hear_errors(fd: &OwnedFd, of: IpAddr) -> Result<(), Errno> {
    match of {
        IpAddr::V4(_) => set(fd, sockopt::Ipv4RecvErr, &true),
        IpAddr::V6(_) => set(fd, sockopt::Ipv6RecvErr, &true),
    }
}

pub(crate) fn set<O: SetSockOpt>(fd: &OwnedFd, option: O, value: &O::Val) -> Result<(), Errno> {
    setsockopt(fd, option, value).map_err(named)
}

fn set_some<O: SetSockOpt>(fd: &OwnedFd, option: O, value: Option<O::Val>) -> Result<(), Errno>
where
    O::Val: Sized,
{
    value.map_or(Ok(()), |value| set(fd, option, &value))
}

/// The oldest entry of the error queue (ip(7), `IP_RECVERR`).
fn queued_error(fd: &OwnedFd) -> Option<SocketError> {
    let mut control = nix::cmsg_space!([u8; 256]);
    let mut data = [0; 2048];
    let mut pieces = [IoSliceMut::new(&mut data)];
    let flags = MsgFlags::MSG_ERRQUEUE;
    let message = recvmsg::<SockaddrStorage>(fd.as_raw_fd(), &mut pieces, Some(&mut control), flags).ok()?;
    message.cmsgs().ok()?.find_map(|entry| {
        let (error, from) = match entry {
            ControlMessageOwned::Ipv4RecvErr(error, from) => {
                (error, from.map(|from| IpAddr::from(u32::from_be(from.sin_addr.s_addr).to_be_bytes())))
            }
            ControlMessageOwned::Ipv6RecvErr(error, from) => {
                (error, from.map(|from| IpAddr::from(from.sin6_addr.s6_addr)))
            }
            _ => return None,
        };
        let origin = match from {
            Some(from) if error.ee_origin != ORIGIN_LOCAL => {
                ErrorOrigin::Icmp { kind: error.ee_type, code: error.ee_code, from }
            }
            _ => ErrorOrigin::Local,
        };
        let errno = Errno::from_number(error.ee_errno.cast_signed());
        Some(SocketError { errno, origin, mtu: error.ee_info })
    })
}

/// The emulator's name of an errno. One that it has no name for is shown as EIO.
pub(crate) fn named(error: Number) -> Errno {
    Errno::from_number(error as i32).unwrap_or(Errno::EIO)
}

pub(crate) fn of_io(error: std::io::Error) -> Errno {
    named(error.raw_os_error().map_or(Number::EIO, Number::from_raw))
}

/// What a socket of `kind` is called in the lab.
pub(crate) type Kind = fn(SocketId) -> Socket;

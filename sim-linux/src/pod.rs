//! A pod's TCP sockets for scripts: every option, and what can be asked about them.

use std::ffi::OsString;
use std::io::Read;
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::errno::Errno as Number;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    Backlog, SockType, SockaddrStorage, bind, connect, getsockname, getsockopt, listen, setsockopt, sockopt,
};
use sim_core::engine::errno::Errno;
use sim_core::engine::time::Duration;
use sim_core::netns::socket::Socket;
use sim_core::netns::socket::tcp::{CaState, Info, Readiness, Row, State};
use sim_core::wire::ip::Family;
use sim_scenarios::lab::bench::Sock;
use sim_scenarios::lab::script::Pod;
use sim_scenarios::lab::spec::SetOption;

use crate::bench::LinuxBench;
use crate::options as tcp;
use crate::sockets::{named, of_io, set};

impl Pod for LinuxBench<'_> {
    fn connect(
        &mut self,
        netns: &str,
        (local, peer): (SocketAddr, SocketAddr),
        options: &[SetOption],
        reuse: bool,
    ) -> Result<Sock, Errno> {
        let fd = self.pod_socket(netns, local, options, reuse)?;
        match connect(fd.as_raw_fd(), &SockaddrStorage::from(peer)) {
            Ok(()) | Err(Number::EINPROGRESS) => Ok(self.keep(netns, fd, Socket::Tcp)),
            Err(error) => Err(named(error)),
        }
    }

    fn listen(&mut self, netns: &str, local: SocketAddr, backlog: u32, options: &[SetOption]) -> Result<Sock, Errno> {
        let fd = self.pod_socket(netns, local, options, true)?;
        // A listener at a port that the stack chooses only shows which it was: it is bound here.
        if local.port() == 0 {
            bind(fd.as_raw_fd(), &SockaddrStorage::from(local)).map_err(named)?;
        }
        listen(&fd, Backlog::new(backlog.cast_signed()).map_err(named)?).map_err(named)?;
        Ok(self.keep(netns, fd, Socket::Tcp))
    }

    fn set_options(&mut self, sock: &Sock, options: &[SetOption]) -> Result<(), Errno> {
        let fd = self.fd(sock)?;
        options.iter().try_for_each(|option| set_option(fd, option))
    }

    fn receive(&mut self, sock: &Sock, max: usize) -> Result<usize, Errno> {
        self.stream(sock)?.read(&mut vec![0; max]).map_err(of_io)
    }

    fn shutdown(&mut self, sock: &Sock, how: Shutdown) -> Result<(), Errno> {
        self.stream(sock)?.shutdown(how).map_err(of_io)
    }

    fn readiness(&mut self, sock: &Sock) -> Readiness {
        let Ok(fd) = self.fd(sock) else { return Readiness::default() };
        let look = |asked| {
            let mut fds = [PollFd::new(fd.as_fd(), asked)];
            poll(&mut fds, PollTimeout::ZERO).map_or(Some(PollFlags::empty()), |_| fds[0].revents())
        };
        let ready = look(PollFlags::POLLIN | PollFlags::POLLOUT).unwrap_or(PollFlags::empty());
        Readiness {
            readable: ready.contains(PollFlags::POLLIN),
            writable: ready.contains(PollFlags::POLLOUT),
            // nix has no name for it, and shows no answer that holds it.
            read_closed: look(PollFlags::from_bits_retain(libc::POLLRDHUP)).is_none(),
            hangup: ready.contains(PollFlags::POLLHUP),
            error: ready.contains(PollFlags::POLLERR),
        }
    }

    fn take_error(&mut self, sock: &Sock) -> Option<Errno> {
        let error = getsockopt(self.fd(sock).ok()?, sockopt::SocketError).ok()?;
        (error != 0).then(|| named(Number::from_raw(error)))
    }

    fn info(&mut self, sock: &Sock) -> Option<Info> {
        let info = getsockopt(self.fd(sock).ok()?, tcp::TcpInfo).ok()?;
        let millis = |micros: u32| Duration::from_millis((u64::from(micros) + 500) / 1000);
        Some(Info {
            state: state(info.tcpi_state)?,
            ca_state: match info.tcpi_ca_state {
                0 => CaState::Open,
                1 => CaState::Disorder,
                2 => CaState::Cwr,
                3 => CaState::Recovery,
                _ => CaState::Loss,
            },
            retransmits: info.tcpi_retransmits.into(),
            probes: info.tcpi_probes.into(),
            backoff: info.tcpi_backoff.into(),
            rto: millis(info.tcpi_rto),
            ato: millis(info.tcpi_ato),
            snd_mss: info.tcpi_snd_mss,
            rcv_mss: info.tcpi_rcv_mss,
            unacked: info.tcpi_unacked,
            sacked: info.tcpi_sacked,
            lost: info.tcpi_lost,
            retrans: info.tcpi_retrans,
            cwnd: info.tcpi_snd_cwnd,
            ssthresh: info.tcpi_snd_ssthresh,
            pmtu: info.tcpi_pmtu,
            // Not part of TCP_INFO; the rows tell them.
            receive_queue: 0,
            send_queue: 0,
        })
    }

    fn local(&mut self, sock: &Sock) -> Option<SocketAddr> {
        let addr: SockaddrStorage = getsockname(self.fd(sock).ok()?.as_raw_fd()).ok()?;
        Some(SocketAddr::V4((*addr.as_sockaddr_in()?).into()))
    }

    fn rows(&mut self, netns: &str) -> Vec<Row> {
        let table = self.enter(netns).and_then(|_| std::fs::read("/proc/thread-self/net/tcp")).unwrap_or_default();
        String::from_utf8_lossy(&table).lines().skip(1).filter_map(row).collect()
    }

    fn counter(&mut self, netns: &str, name: &str) -> Option<u64> {
        self.enter(netns).ok()?;
        // Where groups share a name the last one wins, as in the reference lab.
        let files = ["/proc/thread-self/net/snmp", "/proc/thread-self/net/netstat"];
        files.iter().find_map(|file| counter(&String::from_utf8_lossy(&std::fs::read(file).ok()?), name))
    }
}

impl LinuxBench<'_> {
    /// A TCP socket with its options, bound if `local` names a port.
    fn pod_socket(
        &mut self,
        netns: &str,
        local: SocketAddr,
        options: &[SetOption],
        reuse: bool,
    ) -> Result<OwnedFd, Errno> {
        let fd = self.socket(netns, local.ip(), SockType::Stream, None)?;
        if let Some(congestion) = &self.congestion {
            setsockopt(&fd, sockopt::TcpCongestion, &OsString::from(congestion)).map_err(named)?;
        }
        options.iter().try_for_each(|option| set_option(&fd, option))?;
        if local.port() != 0 {
            set(&fd, sockopt::ReuseAddr, &reuse)?;
            bind(fd.as_raw_fd(), &SockaddrStorage::from(local)).map_err(named)?;
        }
        Ok(fd)
    }
}

/// Sets an option by the lab's name.
fn set_option(fd: &OwnedFd, option: &SetOption) -> Result<(), Errno> {
    let (on, n) = (option.value != 0, option.value);
    match option.name.as_str() {
        "nodelay" => set(fd, sockopt::TcpNoDelay, &on),
        "cork" => set(fd, tcp::TcpCork, &on),
        "keepalive" => set(fd, sockopt::KeepAlive, &on),
        "keepidle" => set(fd, sockopt::TcpKeepIdle, &n),
        "keepintvl" => set(fd, sockopt::TcpKeepInterval, &n),
        "keepcnt" => set(fd, sockopt::TcpKeepCount, &n),
        "defer_accept" => set(fd, tcp::TcpDeferAccept, &n.cast_signed()),
        "linger2" => set(fd, tcp::TcpLinger2, &n.cast_signed()),
        "user_timeout" => set(fd, sockopt::TcpUserTimeout, &n),
        "syncnt" => set(fd, tcp::TcpSynCount, &n.cast_signed()),
        "maxseg" => set(fd, tcp::TcpMaxSegment, &n.cast_signed()),
        "rcvbuf" => set(fd, sockopt::RcvBuf, &(n as usize)),
        "sndbuf" => set(fd, sockopt::SndBuf, &(n as usize)),
        "recverr" => set(fd, sockopt::Ipv4RecvErr, &on),
        "notsent_lowat" => set(fd, tcp::TcpNotSentLowat, &n.cast_signed()),
        "mtu_discover" => set(fd, tcp::IpMtuDiscover, &n.cast_signed()),
        "ttl" => set(fd, sockopt::Ipv4Ttl, &n.cast_signed()),
        "tos" => set(fd, sockopt::Ipv4Tos, &n.cast_signed()),
        "reuseaddr" => set(fd, sockopt::ReuseAddr, &on),
        "quickack" => set(fd, tcp::TcpQuickAck, &on),
        _ => Err(Errno::ENOPROTOOPT),
    }
}

/// A state by its number (include/net/tcp_states.h).
fn state(number: u8) -> Option<State> {
    Some(match number {
        1 => State::Established,
        2 => State::SynSent,
        3 | 12 => State::SynReceived,
        4 => State::FinWait1,
        5 => State::FinWait2,
        6 => State::TimeWait,
        7 => State::Closed,
        8 => State::CloseWait,
        9 => State::LastAck,
        10 => State::Listen,
        11 => State::Closing,
        _ => return None,
    })
}

/// One line of /proc/net/tcp: its number, both ends, the state, what waits to be sent and read, all in hexadecimal.
fn row(line: &str) -> Option<Row> {
    let mut words = line.split_whitespace().skip(1);
    let mut end = || {
        let (addr, port) = words.next()?.split_once(':')?;
        let addr = Ipv4Addr::from(u32::from_str_radix(addr, 16).ok()?.to_ne_bytes());
        Some(SocketAddr::from((addr, u16::from_str_radix(port, 16).ok()?)))
    };
    let (local, remote) = (end()?, end()?);
    let state = state(u8::from_str_radix(words.next()?, 16).ok()?)?;
    let (sent, received) = words.next()?.split_once(':')?;
    Some(Row {
        local,
        remote: (state != State::Listen).then_some(remote),
        state,
        receive_queue: u32::from_str_radix(received, 16).ok()?,
        send_queue: u32::from_str_radix(sent, 16).ok()?,
        family: Family::V4,
        v6only: false,
    })
}

/// A counter of /proc/net/netstat or snmp: a line of names, then one of values.
fn counter(text: &str, name: &str) -> Option<u64> {
    let lines: Vec<&str> = text.lines().collect();
    lines.chunks_exact(2).rev().find_map(|pair| {
        let at = pair[0].split_whitespace().position(|word| word == name)?;
        pair[1].split_whitespace().nth(at)?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_tables_are_read() {
        let line = "   0: 0201F40A:0050 0202F40A:9C40 01 0000000A:00000005 01:00000014 00000000     0        0 1 1 0 20 4 30 10 -1";
        let row = row(line).unwrap();
        assert_eq!((row.local, row.remote), ("10.244.1.2:80".parse().unwrap(), "10.244.2.2:40000".parse().ok()));
        assert_eq!((row.state, row.send_queue, row.receive_queue), (State::Established, 10, 5));
        let table = "TcpExt: SyncookiesSent TCPTimeouts\nTcpExt: 0 7\nIpExt: InNoRoutes\nIpExt: 3\n";
        assert_eq!(
            [counter(table, "TCPTimeouts"), counter(table, "InNoRoutes"), counter(table, "X")],
            [Some(7), Some(3), None]
        );
    }
}

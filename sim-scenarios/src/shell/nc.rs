//! `nc -zv` of netcat-openbsd, and `--sctp` of Nmap's: whether somebody is there. It takes time, so that the world goes on meanwhile.

use std::net::{IpAddr, SocketAddr};

use sim_core::engine::arena::{NetnsId, SocketId};
use sim_core::engine::errno::Errno;
use sim_core::engine::time::{Duration, Instant};
use sim_core::netns::socket::Socket;
use sim_core::netns::socket::tcp::SocketOptions;
use sim_core::wire::ip::Family;
use sim_k8s::dns::{Failure, Resolution, Resolved};
use sim_k8s::manifest::shown;

use super::session::Network;
use super::{Answer, NotUnderstood, Output};
use crate::workload::connection;

pub(super) const NC_USAGE: &[&str] = &["nc -zv [-u | --sctp] [-w SECONDS] HOST PORT"];

/// How long it waits for somebody to refuse a datagram, in seconds (Debian's netcat.c, `UDP_SCAN_TIMEOUT`).
const UDP_PATIENCE: u64 = 3;

/// What `nc` is told.
#[derive(Default)]
struct Nc<'w> {
    scan: bool,
    udp: bool,
    sctp: bool,
    /// In seconds.
    patience: Option<u64>,
    rest: Vec<&'w str>,
}

impl<'w> Nc<'w> {
    fn read(words: &[&'w str]) -> Result<Self, NotUnderstood> {
        let bad = |word: &str| NotUnderstood::word(word, NC_USAGE[0]);
        let mut nc = Self::default();
        let mut left = words.iter();
        while let Some(word) = left.next() {
            match word.strip_prefix('-') {
                Some("-sctp") => nc.sctp = true,
                Some("w") => {
                    let seconds = left.next().ok_or_else(|| bad(""))?;
                    nc.patience = Some(seconds.parse::<u32>().map_err(|_| bad(seconds))?.into());
                }
                Some(letters) if !letters.is_empty() && letters.chars().all(|letter| "zvu".contains(letter)) => {
                    nc.scan |= letters.contains('z');
                    nc.udp |= letters.contains('u');
                }
                Some(_) => return Err(bad(word)),
                None => nc.rest.push(word),
            }
        }
        Ok(nc)
    }

    /// Whether somebody is there.
    fn connect(&self, net: &mut Network<'_>, netns: NetnsId, to: SocketAddr) -> Result<(), Errno> {
        if self.udp { self.send(net, netns, to) } else { self.establish(net, netns, to) }
    }

    fn establish(&self, net: &mut Network<'_>, netns: NetnsId, to: SocketAddr) -> Result<(), Errno> {
        let socket = if self.sctp {
            Socket::Sctp(net.world_mut().sctp_connect(netns, local(to), to)?)
        } else {
            Socket::Tcp(net.world_mut().tcp_connect(netns, local(to), to, SocketOptions::default())?)
        };
        let wait = |seconds| net.world().now() + Duration::from_secs(seconds);
        let deadline = self.patience.map_or(Instant::NEVER, wait);
        let connected = established(net, netns, socket, deadline);
        net.world_mut().close_socket(netns, socket);
        connected
    }

    /// Nobody has to answer a datagram: all is well unless somebody refuses it (netcat.c, `udptest`).
    fn send(&self, net: &mut Network<'_>, netns: NetnsId, to: SocketAddr) -> Result<(), Errno> {
        let socket = net.world_mut().udp_bind(netns, local(to), false)?;
        let sent = self.send_from(net, netns, socket, to);
        net.world_mut().close(netns, socket);
        sent
    }

    fn send_from(&self, net: &mut Network<'_>, netns: NetnsId, socket: SocketId, to: SocketAddr) -> Result<(), Errno> {
        net.world_mut().udp_connect(netns, socket, to)?;
        write(net, netns, socket)?;
        write(net, netns, socket)?;
        for _ in 0..self.patience.unwrap_or(UDP_PATIENCE) {
            let second = net.world().now() + Duration::from_secs(1);
            while net.step(second) {}
            if net.is_stopped() {
                break;
            }
            if write(net, netns, socket) == Err(Errno::ECONNREFUSED) {
                return Err(Errno::ECONNREFUSED);
            }
        }
        Ok(())
    }
}

/// One datagram. An error that has come meanwhile is told first (net/core/sock.c, `sock_alloc_send_pskb`).
fn write(net: &mut Network<'_>, netns: NetnsId, socket: SocketId) -> Result<(), Errno> {
    if let Err(errno) = net.world_mut().udp_recv(netns, socket)
        && errno != Errno::EAGAIN
    {
        return Err(errno);
    }
    net.world_mut().udp_send(netns, socket, None, b"X").map_err(|error| error.errno.unwrap_or(Errno::EAGAIN))
}

fn local(to: SocketAddr) -> SocketAddr {
    (Family::of(to.ip()).unspecified(), 0).into()
}

pub(super) fn nc(net: &mut Network<'_>, netns: NetnsId, words: &[&str]) -> Answer {
    let bad = |word: &str| NotUnderstood::word(word, NC_USAGE[0]);
    let nc = Nc::read(words)?;
    let ([host, port], true) = (nc.rest.as_slice(), nc.scan) else { return Err(bad(nc.rest.first().unwrap_or(&""))) };
    let port: u16 = port.parse().map_err(|_| bad(port))?;
    let ips = match resolve(net, netns, host) {
        Ok(ips) => ips,
        Err(failure) => {
            let why = message(failure);
            let message = format!("nc: getaddrinfo for host \"{}\" port {port}: {why}", shown(host));
            return Ok(Output::refused(1, message));
        }
    };
    let mut output = Output { status: 1, ..Output::default() };
    for ip in ips {
        let peer = if host.parse::<IpAddr>().is_ok() { ip.to_string() } else { format!("{} ({ip})", shown(host)) };
        let (connected, to) = (nc.connect(net, netns, SocketAddr::new(ip, port)), format!("{peer} {port} port"));
        let proto = match (nc.udp, nc.sctp) {
            (true, _) => "udp",
            (false, true) => "sctp",
            (false, false) => "tcp",
        };
        let refused = |why: &str| format!("nc: connect to {peer} port {port} ({proto}) {why}");
        output = match connected {
            Ok(()) => {
                output.status = 0;
                return Ok(output.remark(format!("Connection to {to} [{proto}/*] succeeded!")));
            }
            // Of a datagram that was refused it says nothing.
            Err(Errno::ECONNREFUSED) if nc.udp => output,
            Err(Errno::EINPROGRESS) => output.remark(refused("timed out: Operation now in progress")),
            Err(errno) => output.remark(refused(&format!("failed: {}", errno.message()))),
        };
    }
    Ok(output)
}

/// The addresses of a host, by the resolver of the place, which the programs of a pod share.
fn resolve(net: &mut Network<'_>, netns: NetnsId, host: &str) -> Resolved {
    let pod = net.cluster().running().find(|pod| pod.netns == netns && !pod.template.host_network);
    let resolver = net.cluster().resolver(pod);
    let draws = net.world().seed().stream("shell-resolver", net.next_probe().into());
    match Resolution::begin(net.world_mut(), netns, &resolver, host, draws) {
        Err(resolved) => resolved,
        Ok(mut resolution) => {
            let resolved = answer(net, &mut resolution);
            resolution.close(net.world_mut());
            resolved
        }
    }
}

/// Lets time pass until a lookup has its answer.
fn answer(net: &mut Network<'_>, resolution: &mut Resolution) -> Resolved {
    loop {
        for socket in resolution.sockets().collect::<Vec<_>>() {
            if let Some(resolved) = resolution.woken(net.world_mut(), socket) {
                return resolved;
            }
        }
        if net.step(resolution.until()) {
            continue;
        }
        if net.is_stopped() {
            return Err(Failure::TimedOut);
        }
        if let Some(resolved) = resolution.timed_out(net.world_mut()) {
            return resolved;
        }
    }
}

/// glibc, `gai_strerror`.
fn message(failure: Failure) -> &'static str {
    match failure {
        Failure::NameError => "Name or service not known",
        Failure::NoData => "No address associated with hostname",
        Failure::ServerFailure | Failure::TimedOut | Failure::Unreachable => "Temporary failure in name resolution",
        Failure::Unrecoverable => "Non-recoverable failure in name resolution",
    }
}

/// Waits for a connection to be there, or not.
fn established(net: &mut Network<'_>, netns: NetnsId, socket: Socket, deadline: Instant) -> Result<(), Errno> {
    loop {
        if connection::is_open(net.world_mut(), netns, socket)? {
            return Ok(());
        }
        if !net.step(deadline) {
            return Err(Errno::EINPROGRESS);
        }
    }
}

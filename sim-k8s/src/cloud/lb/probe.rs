//! One health check: a connection to a node, and over HTTP one request.

use std::net::{IpAddr, SocketAddr};

use sim_core::engine::arena::{NetnsId, SocketId};
use sim_core::engine::errno::Errno;
use sim_core::netns::socket::tcp::SocketOptions;
use sim_core::world::World;

/// Bytes of an answer that are read; the status line is among the first of them.
const READ: usize = 4096;

/// A port of every node and what is said there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum CheckTarget {
    /// `GET /healthz`: healthy if the status is 200.
    Http(u16),
    /// Healthy if it can be connected to.
    Tcp(u16),
}

impl CheckTarget {
    fn port(self) -> u16 {
        match self {
            Self::Http(port) | Self::Tcp(port) => port,
        }
    }
}

/// A check that is under way.
#[derive(Clone, Debug)]
pub(super) struct Probe {
    pub(super) socket: SocketId,
    netns: NetnsId,
    request: Option<String>,
    answer: Vec<u8>,
}

impl Probe {
    /// Begins a check of the node at `ip`, from an address of a netns.
    pub(super) fn begin(
        world: &mut World,
        (netns, from): (NetnsId, IpAddr),
        ip: IpAddr,
        target: CheckTarget,
    ) -> Result<Self, Errno> {
        let to = SocketAddr::new(ip, target.port());
        let from = SocketAddr::new(from, 0);
        let socket = world.tcp_connect(netns, from, to, SocketOptions::default())?;
        let request = format!("GET /healthz HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n\r\n");
        let request = matches!(target, CheckTarget::Http(_)).then_some(request);
        Ok(Self { socket, netns, request, answer: Vec::new() })
    }

    /// Something happened to the socket; whether the check passed, if that can be said.
    pub(super) fn go_on(&mut self, world: &mut World) -> Option<bool> {
        let (netns, socket) = (self.netns, self.socket);
        if world.tcp_take_error(netns, socket).is_some() {
            return Some(false);
        }
        if !world.tcp_readiness(netns, socket).writable && self.answer.is_empty() {
            return None;
        }
        let Some(request) = &mut self.request else { return Some(true) };
        if !request.is_empty() {
            let request = std::mem::take(request);
            if world.tcp_send(netns, socket, request.as_bytes()).is_err() {
                return Some(false);
            }
        }
        match world.tcp_recv(netns, socket, READ) {
            Err(Errno::EAGAIN) => None,
            Err(_) => Some(false),
            Ok(data) => {
                let ended = data.is_empty() || self.answer.len() > READ;
                self.answer.extend(&data);
                status(&self.answer).map(|status| status == 200).or(ended.then_some(false))
            }
        }
    }

    /// Closes the connection, whatever has come of it.
    pub(super) fn end(self, world: &mut World) {
        world.tcp_close(self.netns, self.socket);
    }
}

/// The status of an HTTP/1 answer (RFC 9112 4), once its line is whole.
fn status(answer: &[u8]) -> Option<u16> {
    let line = answer.split(|byte| *byte == b'\n').next().filter(|line| line.len() < answer.len())?;
    let line = std::str::from_utf8(line).ok().filter(|line| line.starts_with("HTTP/1."));
    Some(line.and_then(|line| line.split(' ').nth(1)?.trim_end().parse().ok()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_status_line_counts() {
        for (answer, wanted) in [
            ("HTTP/1.1 200 OK\r\n", Some(200)),
            ("HTTP/1.0 503 Service Unavailable\r\nContent-Le", Some(503)),
            ("HTTP/1.1 200", None),
            ("HTTP/1.1 200\n", Some(200)),
            ("SSH-2.0-x\r\n", Some(0)),
            ("HTTP/1.1 twenty\n", Some(0)),
            ("", None),
        ] {
            assert_eq!(status(answer.as_bytes()), wanted, "{answer}");
        }
    }
}

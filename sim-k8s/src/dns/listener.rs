//! The sockets of a name server: datagrams and streams on port 53.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use sim_core::engine::arena::{NetnsId, SocketId};
use sim_core::engine::errno::Errno;
use sim_core::engine::time::{Duration, Instant};
use sim_core::netns::socket::Socket;

use super::message::{Transport, framed, take_framed};
use super::resolver::PORT;
use super::server::Client;
use crate::agent::Context;

/// `net.core.somaxconn`, which Go asks for.
const BACKLOG: u32 = 4096;
/// Bytes read at once.
const READ: usize = 64 << 10;
/// How long a new stream may be silent (`ReadTimeout`, core/dnsserver/server.go).
const FIRST_SILENCE: Duration = Duration::from_secs(3);
/// How long it may be silent later (`IdleTimeout`).
const LATER_SILENCE: Duration = Duration::from_secs(10);

/// Both sockets, and the streams that were accepted.
#[derive(Clone, Debug)]
pub(super) struct Listener {
    netns: NetnsId,
    datagrams: SocketId,
    streams: SocketId,
    open: BTreeMap<SocketAddr, Stream>,
    peers: BTreeMap<SocketId, SocketAddr>,
}

#[derive(Clone, Debug)]
struct Stream {
    socket: SocketId,
    received: Vec<u8>,
    unsent: Vec<u8>,
    /// It is closed if nothing comes until then.
    until: Instant,
}

impl Listener {
    /// Listens on `ip`.
    ///
    /// # Errors
    /// `EADDRINUSE` or `EADDRNOTAVAIL`; nothing is open then.
    pub(super) fn open(cx: &mut Context<'_>, netns: NetnsId, ip: IpAddr) -> Result<Self, Errno> {
        let local = SocketAddr::new(ip, PORT);
        let datagrams = cx.world().udp_bind(netns, local, false)?;
        let streams =
            cx.world().tcp_listen(netns, local, BACKLOG).inspect_err(|_| cx.world().close(netns, datagrams))?;
        cx.own(netns, Socket::Udp(datagrams));
        cx.own(netns, Socket::Tcp(streams));
        Ok(Self { netns, datagrams, streams, open: BTreeMap::new(), peers: BTreeMap::new() })
    }

    /// Something happened to a socket; the messages that came in, if it is one of these.
    pub(super) fn woken(&mut self, cx: &mut Context<'_>, socket: Socket) -> Option<Vec<(Client, Vec<u8>)>> {
        match socket {
            Socket::Udp(socket) if socket == self.datagrams => Some(self.datagrams(cx)),
            Socket::Tcp(socket) if socket == self.streams => {
                let mut messages = Vec::new();
                while let Some((socket, peer)) = cx.world().tcp_accept(self.netns, self.streams) {
                    cx.own(self.netns, Socket::Tcp(socket));
                    let until = cx.now() + FIRST_SILENCE;
                    self.open.insert(peer, Stream { socket, received: Vec::new(), unsent: Vec::new(), until });
                    self.peers.insert(socket, peer);
                    messages.extend(self.stream(cx, peer));
                }
                Some(messages)
            }
            Socket::Tcp(socket) => self.peers.get(&socket).copied().map(|peer| self.stream(cx, peer)),
            _ => None,
        }
    }

    fn datagrams(&self, cx: &mut Context<'_>) -> Vec<(Client, Vec<u8>)> {
        let mut messages = Vec::new();
        loop {
            match cx.world().udp_recv(self.netns, self.datagrams) {
                Ok(datagram) => {
                    messages.push((Client { transport: Transport::Udp, peer: datagram.from }, datagram.data.to_vec()));
                }
                Err(Errno::EAGAIN) => return messages,
                // An error about an earlier answer.
                Err(_) => {}
            }
        }
    }

    /// Reads a stream, and sends what it had no room for.
    fn stream(&mut self, cx: &mut Context<'_>, peer: SocketAddr) -> Vec<(Client, Vec<u8>)> {
        let mut messages = Vec::new();
        let now = cx.now();
        let Some(stream) = self.open.get_mut(&peer) else { return messages };
        let ended = loop {
            match cx.world().tcp_recv(self.netns, stream.socket, READ) {
                Ok(bytes) if !bytes.is_empty() => stream.received.extend(&bytes),
                Err(Errno::EAGAIN) => break false,
                Ok(_) | Err(_) => break true,
            }
        };
        while let Some(message) = take_framed(&mut stream.received) {
            stream.until = now + LATER_SILENCE;
            messages.push((Client { transport: Transport::Tcp, peer }, message));
        }
        if ended || !flush(cx, self.netns, stream) {
            self.close(cx, peer);
        }
        messages
    }

    /// Answers a client. One that has gone is not told.
    pub(super) fn send(&mut self, cx: &mut Context<'_>, client: Client, message: &[u8]) {
        match client.transport {
            // As with a real server, an answer that cannot be sent is the client's trouble: it will time out.
            Transport::Udp => {
                let _ = cx.world().udp_send(self.netns, self.datagrams, Some(client.peer), message);
            }
            Transport::Tcp => {
                let Some(stream) = self.open.get_mut(&client.peer) else { return };
                stream.unsent.extend(framed(message));
                if !flush(cx, self.netns, stream) {
                    self.close(cx, client.peer);
                }
            }
        }
    }

    /// When the next stream has been silent for too long.
    pub(super) fn until(&self) -> Option<Instant> {
        self.open.values().map(|stream| stream.until).min()
    }

    /// Closes the streams that have been silent for too long.
    pub(super) fn expire(&mut self, cx: &mut Context<'_>) {
        let now = cx.now();
        let silent: Vec<_> = self.open.iter().filter(|(_, s)| s.until <= now).map(|(peer, _)| *peer).collect();
        silent.into_iter().for_each(|peer| self.close(cx, peer));
    }

    /// Closes all sockets.
    pub(super) fn close_all(&mut self, cx: &mut Context<'_>) {
        self.open.keys().copied().collect::<Vec<_>>().into_iter().for_each(|peer| self.close(cx, peer));
        cx.world().close(self.netns, self.datagrams);
        cx.world().tcp_close(self.netns, self.streams);
        cx.disown(self.netns, Socket::Udp(self.datagrams));
        cx.disown(self.netns, Socket::Tcp(self.streams));
    }

    fn close(&mut self, cx: &mut Context<'_>, peer: SocketAddr) {
        let Some(Stream { socket, .. }) = self.open.remove(&peer) else { return };
        self.peers.remove(&socket);
        cx.world().tcp_close(self.netns, socket);
        cx.disown(self.netns, Socket::Tcp(socket));
    }
}

/// Sends what there is room for; whether the stream still stands.
fn flush(cx: &mut Context<'_>, netns: NetnsId, stream: &mut Stream) -> bool {
    while !stream.unsent.is_empty() {
        match cx.world().tcp_send(netns, stream.socket, &stream.unsent) {
            Ok(sent) => drop(stream.unsent.drain(..sent)),
            Err(Errno::EAGAIN) => return true,
            Err(_) => return false,
        }
    }
    true
}

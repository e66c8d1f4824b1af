//! The sockets with which CoreDNS asks the resolver outside (plugin/pkg/proxy): each serves one question at a time, and is
//! kept for a while when it is answered.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use sim_core::engine::arena::NetnsId;
use sim_core::engine::errno::Errno;
use sim_core::engine::time::{Duration, Instant};
use sim_core::netns::socket::Socket;
use sim_core::netns::socket::tcp::SocketOptions;

use super::super::message::{Transport, framed, take_framed};
use crate::agent::Context;

/// How long an idle socket is kept (`defaultExpire`, plugin/pkg/proxy/persistent.go).
const EXPIRE: Duration = Duration::from_secs(10);
/// Bytes read at once.
const READ: usize = 64 << 10;

/// The sockets to one resolver.
#[derive(Clone, Debug)]
pub(super) struct Upstream {
    netns: NetnsId,
    server: SocketAddr,
    lines: BTreeMap<Socket, Line>,
    by_exchange: BTreeMap<u64, Socket>,
}

/// One socket.
#[derive(Clone, Debug)]
struct Line {
    /// Whose question is on its way; `None`: idle.
    exchange: Option<u64>,
    /// When it became idle.
    idle: Instant,
    unsent: Vec<u8>,
    received: Vec<u8>,
}

/// What a socket brought.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Heard {
    /// A message for an exchange.
    Message(u64, Vec<u8>),
    /// The exchange is in vain.
    Failed(u64),
}

impl Upstream {
    pub(super) fn new(netns: NetnsId, server: SocketAddr) -> Self {
        Self { netns, server, lines: BTreeMap::new(), by_exchange: BTreeMap::new() }
    }

    /// Sends a question.
    ///
    /// # Errors
    /// The network refused it at once.
    pub(super) fn ask(
        &mut self,
        cx: &mut Context<'_>,
        exchange: u64,
        transport: Transport,
        message: &[u8],
    ) -> Result<(), Errno> {
        let socket = match self.oldest_idle(cx, transport) {
            Some(socket) => socket,
            None => self.open(cx, transport)?,
        };
        let line = self.lines.get_mut(&socket).expect("every socket has a line");
        line.exchange = Some(exchange);
        self.by_exchange.insert(exchange, socket);
        match socket {
            Socket::Tcp(_) => line.unsent = framed(message),
            _ => line.unsent = message.to_vec(),
        }
        self.send(cx, socket).inspect_err(|_| self.over(cx, exchange, false))
    }

    /// The idle socket that was used least recently. Those that are too old are closed.
    fn oldest_idle(&mut self, cx: &mut Context<'_>, transport: Transport) -> Option<Socket> {
        self.expire(cx);
        let fits = |socket: &Socket| matches!(socket, Socket::Tcp(_)) == (transport == Transport::Tcp);
        let idle = self.lines.iter().filter(|(socket, line)| line.exchange.is_none() && fits(socket));
        idle.min_by_key(|(_, line)| line.idle).map(|(socket, _)| *socket)
    }

    fn open(&mut self, cx: &mut Context<'_>, transport: Transport) -> Result<Socket, Errno> {
        let any = if self.server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let local = SocketAddr::new(any, 0);
        let (netns, server) = (self.netns, self.server);
        let socket = match transport {
            Transport::Tcp => Socket::Tcp(cx.world().tcp_connect(netns, local, server, SocketOptions::default())?),
            Transport::Udp => {
                let socket = cx.world().udp_bind(netns, local, false)?;
                cx.world().udp_connect(netns, socket, server).inspect_err(|_| cx.world().close(netns, socket))?;
                Socket::Udp(socket)
            }
        };
        cx.own(netns, socket);
        let line = Line { exchange: None, idle: cx.now(), unsent: Vec::new(), received: Vec::new() };
        self.lines.insert(socket, line);
        Ok(socket)
    }

    /// Sends what is to be sent, as far as there is room.
    fn send(&mut self, cx: &mut Context<'_>, socket: Socket) -> Result<(), Errno> {
        let Some(line) = self.lines.get_mut(&socket) else { return Ok(()) };
        if line.unsent.is_empty() {
            return Ok(());
        }
        match socket {
            Socket::Tcp(id) => match cx.world().tcp_send(self.netns, id, &line.unsent) {
                Ok(sent) => drop(line.unsent.drain(..sent)),
                Err(Errno::EAGAIN | Errno::ENOTCONN) => {}
                Err(errno) => return Err(errno),
            },
            Socket::Udp(id) | Socket::Raw(id) | Socket::Sctp(id) => {
                let message = std::mem::take(&mut line.unsent);
                let sent = cx.world().udp_send(self.netns, id, None, &message);
                sent.map_err(|error| error.errno.unwrap_or(Errno::EPERM))?;
            }
        }
        Ok(())
    }

    /// Something happened to a socket; what it brought, if it is one of these.
    pub(super) fn woken(&mut self, cx: &mut Context<'_>, socket: Socket) -> Option<Vec<Heard>> {
        if !self.lines.contains_key(&socket) {
            return None;
        }
        let refused = match socket {
            Socket::Tcp(id) => cx.world().tcp_take_error(self.netns, id).is_some(),
            _ => false,
        };
        let mut messages = Vec::new();
        let ended = refused || self.send(cx, socket).is_err() || self.receive(cx, socket, &mut messages);
        let exchange = self.lines.get(&socket).and_then(|line| line.exchange);
        let mut heard: Vec<Heard> =
            messages.into_iter().filter_map(|message| Some(Heard::Message(exchange?, message))).collect();
        if ended {
            match exchange {
                Some(exchange) => heard.push(Heard::Failed(exchange)),
                None => self.close(cx, socket),
            }
        }
        Some(heard)
    }

    /// Takes what has arrived; whether nothing more will.
    fn receive(&mut self, cx: &mut Context<'_>, socket: Socket, messages: &mut Vec<Vec<u8>>) -> bool {
        let line = self.lines.get_mut(&socket).expect("every socket has a line");
        loop {
            let received = match socket {
                Socket::Tcp(id) => cx.world().tcp_recv(self.netns, id, READ),
                Socket::Udp(id) | Socket::Raw(id) | Socket::Sctp(id) => {
                    cx.world().udp_recv(self.netns, id).map(|datagram| datagram.data)
                }
            };
            match (received, socket) {
                (Ok(bytes), Socket::Tcp(_)) if bytes.is_empty() => return true,
                (Ok(bytes), Socket::Tcp(_)) => {
                    line.received.extend(&bytes);
                    messages.extend(std::iter::from_fn(|| take_framed(&mut line.received)));
                }
                (Ok(bytes), _) => messages.push(bytes.to_vec()),
                (Err(Errno::EAGAIN | Errno::ENOTCONN), _) => return false,
                (Err(_), _) => return true,
            }
        }
    }

    /// An exchange is over.
    pub(super) fn over(&mut self, cx: &mut Context<'_>, exchange: u64, reusable: bool) {
        let Some(socket) = self.by_exchange.remove(&exchange) else { return };
        let now = cx.now();
        match self.lines.get_mut(&socket) {
            Some(line) if reusable => (line.exchange, line.idle) = (None, now),
            _ => self.close(cx, socket),
        }
    }

    /// When the next idle socket is too old.
    pub(super) fn until(&self) -> Option<Instant> {
        self.lines.values().filter(|line| line.exchange.is_none()).map(|line| line.idle + EXPIRE).min()
    }

    /// Closes the idle sockets that are too old.
    pub(super) fn expire(&mut self, cx: &mut Context<'_>) {
        let now = cx.now();
        let old = |line: &Line| line.exchange.is_none() && line.idle + EXPIRE <= now;
        let old: Vec<_> = self.lines.iter().filter(|(_, line)| old(line)).map(|(socket, _)| *socket).collect();
        old.into_iter().for_each(|socket| self.close(cx, socket));
    }

    /// Closes all sockets.
    pub(super) fn close_all(&mut self, cx: &mut Context<'_>) {
        self.by_exchange.clear();
        self.lines.keys().copied().collect::<Vec<_>>().into_iter().for_each(|socket| self.close(cx, socket));
    }

    fn close(&mut self, cx: &mut Context<'_>, socket: Socket) {
        self.lines.remove(&socket);
        cx.world().close_socket(self.netns, socket);
        cx.disown(self.netns, socket);
    }
}

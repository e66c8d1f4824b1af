//! Whether CoreDNS lives and is ready, told over HTTP (plugins `health` and `ready`).

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use sim_core::engine::arena::{NetnsId, SocketId};
use sim_core::engine::errno::Errno;
use sim_core::netns::socket::Socket;

use crate::agent::Context;
use crate::http::{Conversation, Response};

/// `net.core.somaxconn`, which Go asks for.
const BACKLOG: u32 = 4096;
/// Bytes read at once.
const READ: usize = 4096;

/// What a port tells.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum About {
    /// `/health` on 8080: it lives.
    Health,
    /// `/ready` on 8181: it knows the cluster.
    Ready,
    /// `/metrics` on 9153: nothing is counted here.
    Metrics,
}

impl About {
    const fn port_and_path(self) -> (u16, &'static str) {
        match self {
            Self::Health => (8080, "/health"),
            Self::Ready => (8181, "/ready"),
            Self::Metrics => (9153, "/metrics"),
        }
    }
}

/// The HTTP servers.
#[derive(Clone, Debug)]
pub(super) struct Health {
    netns: NetnsId,
    listeners: BTreeMap<SocketId, About>,
    connections: BTreeMap<SocketId, (About, Conversation)>,
}

impl Health {
    /// Listens on `ip`; a port that cannot be had tells nothing.
    pub(super) fn open(cx: &mut Context<'_>, netns: NetnsId, ip: IpAddr) -> Self {
        let mut listeners = BTreeMap::new();
        for about in [About::Health, About::Ready, About::Metrics] {
            let local = SocketAddr::new(ip, about.port_and_path().0);
            if let Ok(socket) = cx.world().tcp_listen(netns, local, BACKLOG) {
                cx.own(netns, Socket::Tcp(socket));
                listeners.insert(socket, about);
            }
        }
        Self { netns, listeners, connections: BTreeMap::new() }
    }

    /// Something happened to a socket; whether it is one of these.
    pub(super) fn woken(&mut self, cx: &mut Context<'_>, socket: Socket, is_ready: bool) -> bool {
        let Socket::Tcp(socket) = socket else { return false };
        if let Some(about) = self.listeners.get(&socket).copied() {
            while let Some((connection, _)) = cx.world().tcp_accept(self.netns, socket) {
                cx.own(self.netns, Socket::Tcp(connection));
                self.connections.insert(connection, (about, Conversation::default()));
                self.hear(cx, connection, is_ready);
            }
            return true;
        }
        let known = self.connections.contains_key(&socket);
        self.hear(cx, socket, is_ready);
        known
    }

    fn hear(&mut self, cx: &mut Context<'_>, socket: SocketId, is_ready: bool) {
        while let Some((about, conversation)) = self.connections.get_mut(&socket) {
            let bytes = match cx.world().tcp_recv(self.netns, socket, READ) {
                Err(Errno::EAGAIN) => return,
                Ok(bytes) if !bytes.is_empty() => bytes,
                Ok(_) | Err(_) => return self.hang_up(cx, socket),
            };
            let answered = conversation.hear(&bytes, |path| answer(*about, path, is_ready));
            // An answer that cannot be sent is the client's trouble.
            let _ = cx.world().tcp_send(self.netns, socket, &answered.bytes);
            if answered.close {
                return self.hang_up(cx, socket);
            }
        }
    }

    fn hang_up(&mut self, cx: &mut Context<'_>, socket: SocketId) {
        self.connections.remove(&socket);
        self.listeners.remove(&socket);
        cx.world().tcp_close(self.netns, socket);
        cx.disown(self.netns, Socket::Tcp(socket));
    }

    /// Closes what tells this, its connections too.
    pub(super) fn close(&mut self, cx: &mut Context<'_>, about: About) {
        let listeners = self.listeners.iter().filter(|(_, told)| **told == about).map(|(socket, _)| *socket);
        let connections = self.connections.iter().filter(|(_, (told, _))| *told == about).map(|(socket, _)| *socket);
        let sockets: Vec<_> = listeners.chain(connections).collect();
        sockets.into_iter().for_each(|socket| self.hang_up(cx, socket));
    }

    /// Closes all sockets.
    pub(super) fn close_all(&mut self, cx: &mut Context<'_>) {
        [About::Health, About::Ready, About::Metrics].into_iter().for_each(|about| self.close(cx, about));
    }
}

fn answer(about: About, path: &str, is_ready: bool) -> Response {
    match about {
        _ if path != about.port_and_path().1 => Response::not_found(),
        About::Health => Response::text(200, "OK"),
        About::Ready if is_ready => Response::text(200, "OK"),
        About::Ready => Response::text(503, "kubernetes"),
        About::Metrics => Response::text(200, ""),
    }
}

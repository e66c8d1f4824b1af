//! The sockets on which health is asked for.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use sim_core::engine::arena::{NetnsId, SocketId};
use sim_core::netns::socket::Socket;

use super::{ProxyHealth, ServiceHealth};
use crate::agent::Context;
use crate::api::ObjectKey;
use crate::http::{Conversation, Response};

/// `healthzBindAddress` of the configuration: 0.0.0.0:10256, or [::]:10256.
const PROXY_PORT: u16 = 10256;
/// `net.core.somaxconn`, which Go asks for.
const BACKLOG: u32 = 4096;
/// Bytes read at once.
const READ: usize = 4096;

/// What a listener answers for.
#[derive(Clone, PartialEq, Eq, Debug)]
enum About {
    Proxy,
    Service(ObjectKey),
}

#[derive(Clone, Debug)]
struct Connection {
    listener: SocketId,
    conversation: Conversation,
}

/// All health servers of one kube-proxy.
#[derive(Clone, Debug, Default)]
pub struct Servers {
    services: ServiceHealth,
    listeners: BTreeMap<SocketId, About>,
    connections: BTreeMap<SocketId, Connection>,
}

impl Servers {
    /// Listens on `ip` for questions about kube-proxy itself; whether the port could be had.
    pub fn serve_proxy(&mut self, cx: &mut Context<'_>, netns: NetnsId, ip: IpAddr) -> bool {
        self.listen(cx, netns, &[ip], PROXY_PORT, &About::Proxy)
    }

    /// Listens on `ips` for questions about these Services and no longer for others. A port that cannot be had is tried
    /// again with the next sync (`SyncServices`, `SyncEndpoints`): so for a Service of both families the proxier that comes
    /// first answers for both (kubernetes/kubernetes#114702, until 1.36).
    pub fn serve_services(&mut self, cx: &mut Context<'_>, netns: NetnsId, ips: &[IpAddr], services: ServiceHealth) {
        let wanted: BTreeMap<ObjectKey, u16> = services.ports().map(|(key, port)| (key.clone(), port)).collect();
        let before = std::mem::replace(&mut self.services, services);
        for (service, port) in before.ports() {
            if wanted.get(service) != Some(&port) {
                self.close(cx, netns, &About::Service(service.clone()));
            }
        }
        for (service, port) in wanted {
            let about = About::Service(service);
            if !self.listeners.values().any(|open| *open == about) {
                self.listen(cx, netns, ips, port, &about);
            }
        }
    }

    /// On all of `ips`, or on none; which of the two.
    fn listen(&mut self, cx: &mut Context<'_>, netns: NetnsId, ips: &[IpAddr], port: u16, about: &About) -> bool {
        for ip in ips {
            match cx.world().tcp_listen(netns, SocketAddr::new(*ip, port), BACKLOG) {
                Ok(socket) => {
                    cx.own(netns, Socket::Tcp(socket));
                    self.listeners.insert(socket, about.clone());
                }
                Err(_) => {
                    self.close(cx, netns, about);
                    return false;
                }
            }
        }
        true
    }

    /// Closes the listeners and, as Go's `Server.Close`, their connections.
    fn close(&mut self, cx: &mut Context<'_>, netns: NetnsId, about: &About) {
        let listeners: Vec<_> =
            self.listeners.iter().filter(|(_, open)| *open == about).map(|(socket, _)| *socket).collect();
        self.listeners.retain(|socket, _| !listeners.contains(socket));
        let open = self.connections.iter().filter(|(_, open)| listeners.contains(&open.listener));
        for socket in open.map(|(socket, _)| *socket).chain(listeners.iter().copied()).collect::<Vec<_>>() {
            self.hang_up(cx, netns, socket);
        }
    }

    fn hang_up(&mut self, cx: &mut Context<'_>, netns: NetnsId, socket: SocketId) {
        self.connections.remove(&socket);
        cx.world().tcp_close(netns, socket);
        cx.disown(netns, Socket::Tcp(socket));
    }

    /// Whether a socket is one of these.
    pub fn has(&self, socket: Socket) -> bool {
        let Socket::Tcp(socket) = socket else { return false };
        self.listeners.contains_key(&socket) || self.connections.contains_key(&socket)
    }

    /// Something happened to one of the sockets.
    pub fn woken(&mut self, cx: &mut Context<'_>, netns: NetnsId, socket: Socket, health: &ProxyHealth) {
        let Socket::Tcp(socket) = socket else { return };
        if self.listeners.contains_key(&socket) {
            while let Some((connection, _)) = cx.world().tcp_accept(netns, socket) {
                cx.own(netns, Socket::Tcp(connection));
                let new = Connection { listener: socket, conversation: Conversation::default() };
                self.connections.insert(connection, new);
                self.hear(cx, netns, connection, health);
            }
        } else {
            self.hear(cx, netns, socket, health);
        }
    }

    /// Reads what has come, and answers.
    fn hear(&mut self, cx: &mut Context<'_>, netns: NetnsId, socket: SocketId, health: &ProxyHealth) {
        let now = cx.now();
        while let Some(open) = self.connections.get_mut(&socket) {
            let bytes = match cx.world().tcp_recv(netns, socket, READ) {
                Err(sim_core::engine::errno::Errno::EAGAIN) => return,
                Ok(bytes) if !bytes.is_empty() => bytes,
                Ok(_) | Err(_) => return self.hang_up(cx, netns, socket),
            };
            let about = self.listeners.get(&open.listener);
            let answer = |path: &str| match about {
                Some(About::Service(service)) => self.services.answer(service, health.is_healthy(now)),
                Some(About::Proxy) => health.answer(path, now),
                None => Response::not_found(),
            };
            let answered = open.conversation.hear(&bytes, answer);
            // An answer that cannot be sent is the client's trouble.
            let _ = cx.world().tcp_send(netns, socket, &answered.bytes);
            if answered.close {
                return self.hang_up(cx, netns, socket);
            }
        }
    }
}

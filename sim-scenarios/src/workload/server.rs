//! Servers: whatever they are asked, they answer once, in the protocol of their port, and say who they are.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use sim_core::engine::arena::{NetnsId, SocketId};
use sim_core::engine::errno::Errno;
use sim_core::netns::socket::Socket;
use sim_core::world::World;
use sim_k8s::api::Protocol as Transport;

use super::connection;
use super::protocol::{self, Protocol};

/// Connections that wait to be accepted (`net.core.somaxconn`, which most servers ask for).
const BACKLOG: u32 = 4096;

/// What one server does.
#[derive(Clone, Debug)]
pub struct Server {
    /// The netns it runs in.
    pub netns: NetnsId,
    /// The address it listens on.
    pub local: SocketAddr,
    /// Its transport.
    pub transport: Transport,
    /// What it speaks; to a health check in HTTP, gRPC or TLS it answers in kind.
    pub protocol: &'static Protocol,
    /// What tells its answers from those of others.
    pub signature: String,
}

/// One of the servers that were started.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ServerId(u64);

/// All servers of a world.
#[derive(Clone, Debug, Default)]
pub struct Servers {
    servers: BTreeMap<ServerId, Running>,
    started: u64,
    /// Sockets that wait for clients.
    listening: BTreeMap<(NetnsId, Socket), ServerId>,
    /// Connections that have been accepted.
    connections: BTreeMap<(NetnsId, Socket), Connection>,
}

#[derive(Clone, Debug)]
struct Running {
    server: Server,
    listener: Socket,
    /// It takes no new connections, and closes those that it has answered.
    draining: bool,
}

#[derive(Clone, Copy, Debug)]
struct Connection {
    server: ServerId,
    answered: bool,
}

impl Servers {
    /// Starts one.
    ///
    /// # Errors
    /// `EADDRINUSE` if another listens there, `EADDRNOTAVAIL` if the address is not its netns', `ENOENT` if its
    /// netns is gone.
    pub fn start(&mut self, world: &mut World, server: Server) -> Result<ServerId, Errno> {
        let Server { netns, local, .. } = server;
        let listener = match server.transport {
            Transport::Tcp => Socket::Tcp(world.tcp_listen(netns, local, BACKLOG)?),
            Transport::Udp => Socket::Udp(world.udp_bind(netns, local, false)?),
            Transport::Sctp => Socket::Sctp(world.sctp_listen(netns, local, BACKLOG)?),
        };
        self.started += 1;
        let id = ServerId(self.started);
        self.listening.insert((netns, listener), id);
        self.servers.insert(id, Running { server, listener, draining: false });
        Ok(id)
    }

    /// Something happened to a socket: serves it if it is a server's.
    pub fn wake(&mut self, world: &mut World, netns: NetnsId, socket: Socket) {
        match (self.listening.get(&(netns, socket)).copied(), socket) {
            (Some(server), Socket::Udp(socket)) => answer_datagrams(world, &self.servers[&server].server, socket),
            (Some(server), listener) => {
                while let Some(connection) = connection::accept(world, netns, listener) {
                    self.connections.insert((netns, connection), Connection { server, answered: false });
                    self.serve(world, netns, connection);
                }
            }
            (None, connection) => self.serve(world, netns, connection),
        }
    }

    /// Takes no new connections (those that wait to be accepted are reset), closes those that are idle, and answers what
    /// was begun: as Go's `http.Server.Shutdown`.
    pub fn shut_down(&mut self, world: &mut World, id: ServerId) {
        let Some(running) = self.servers.get_mut(&id).filter(|running| !running.draining) else { return };
        running.draining = true;
        let (netns, listener) = (running.server.netns, running.listener);
        self.listening.remove(&(netns, listener));
        world.close_socket(netns, listener);
        self.close_connections(world, id, |connection| connection.answered);
    }

    /// Whether a server that was shut down has nothing more to do.
    pub fn is_done(&self, id: ServerId) -> bool {
        let draining = self.servers.get(&id).is_none_or(|running| running.draining);
        draining && !self.connections.values().any(|connection| connection.server == id)
    }

    /// Its process ends: all its sockets are closed, whatever they were about. It is no more.
    pub fn close(&mut self, world: &mut World, id: ServerId) {
        let Some(Running { server, listener, draining }) = self.servers.get(&id).cloned() else { return };
        if !draining {
            self.listening.remove(&(server.netns, listener));
            world.close_socket(server.netns, listener);
        }
        self.close_connections(world, id, |_| true);
        self.servers.remove(&id);
    }

    fn close_connections(&mut self, world: &mut World, id: ServerId, which: impl Fn(&Connection) -> bool) {
        let chosen = self.connections.iter().filter(|(_, connection)| connection.server == id && which(connection));
        let chosen: Vec<_> = chosen.map(|(at, _)| *at).collect();
        for (netns, socket) in chosen {
            self.connections.remove(&(netns, socket));
            world.close_socket(netns, socket);
        }
    }

    /// Answers what one connection says; closes it when the client has.
    fn serve(&mut self, world: &mut World, netns: NetnsId, socket: Socket) {
        let Some(this) = self.connections.get_mut(&(netns, socket)) else { return };
        let Running { server, draining, .. } = &self.servers[&this.server];
        if server.protocol.greets && !this.answered {
            this.answered = true;
            // An answer that cannot be sent shows in what is received below.
            let _ = connection::send(world, netns, socket, &(server.protocol.answer)(&server.signature, &[]));
        }
        let open = loop {
            match connection::recv(world, netns, socket) {
                Err(Errno::EAGAIN) => break true,
                Ok(request) if !request.is_empty() => {
                    if !std::mem::replace(&mut this.answered, true) {
                        let protocol = protocol::shown(&request).unwrap_or(server.protocol);
                        let _ = connection::send(world, netns, socket, &(protocol.answer)(&server.signature, &request));
                    }
                }
                Ok(_) | Err(_) => break false,
            }
        };
        if !open || (*draining && this.answered) {
            self.connections.remove(&(netns, socket));
            world.close_socket(netns, socket);
        }
    }
}

fn answer_datagrams(world: &mut World, server: &Server, socket: SocketId) {
    loop {
        match world.udp_recv(server.netns, socket) {
            Ok(datagram) => {
                let answer = (server.protocol.answer)(&server.signature, &datagram.data);
                // As with a real server, an answer that cannot be sent is the client's trouble: it will time out.
                let _ = world.udp_send(server.netns, socket, Some(datagram.from), &answer);
            }
            Err(Errno::EAGAIN | Errno::ENOENT) => return,
            // An error about an earlier answer.
            Err(_) => {}
        }
    }
}

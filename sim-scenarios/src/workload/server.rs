//! Servers: whatever they are asked, they answer once, in the protocol of their port, and say who they are.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use sim_core::engine::arena::{NetnsId, SocketId};
use sim_core::engine::errno::Errno;
use sim_core::netns::socket::Socket;
use sim_core::world::World;
use sim_k8s::api::Protocol as Transport;

use super::protocol::Protocol;

/// Connections that wait to be accepted (`net.core.somaxconn`, which most servers ask for).
const BACKLOG: u32 = 4096;
/// Bytes read at once.
const READ: usize = 64 << 10;

/// What one server does.
#[derive(Clone, Debug)]
pub struct Server {
    /// The netns it runs in.
    pub netns: NetnsId,
    /// The address it listens on.
    pub local: SocketAddr,
    /// Its transport.
    pub transport: Transport,
    /// What it speaks.
    pub protocol: &'static Protocol,
    /// What tells its answers from those of others.
    pub signature: String,
}

/// All servers of a world.
#[derive(Clone, Debug, Default)]
pub struct Servers {
    servers: Vec<Server>,
    /// Sockets that wait for clients, with the index of their server.
    listening: BTreeMap<(NetnsId, Socket), usize>,
    /// Connections that have been accepted.
    connections: BTreeMap<(NetnsId, SocketId), Connection>,
}

#[derive(Clone, Copy, Debug)]
struct Connection {
    server: usize,
    answered: bool,
}

impl Servers {
    /// Starts one.
    ///
    /// # Errors
    /// `EADDRINUSE` if another listens there, `EADDRNOTAVAIL` if the address is not its netns', `ENOTSUP` for SCTP.
    pub fn start(&mut self, world: &mut World, server: Server) -> Result<(), Errno> {
        let Server { netns, local, .. } = server;
        let socket = match server.transport {
            Transport::Tcp => Socket::Tcp(world.tcp_listen(netns, local, BACKLOG)?),
            Transport::Udp => Socket::Udp(world.udp_bind(netns, local, false)?),
            Transport::Sctp => return Err(Errno::ENOTSUP),
        };
        self.listening.insert((netns, socket), self.servers.len());
        self.servers.push(server);
        Ok(())
    }

    /// Something happened to a socket: serves it if it is a server's.
    pub fn wake(&mut self, world: &mut World, netns: NetnsId, socket: Socket) {
        match (self.listening.get(&(netns, socket)), socket) {
            (Some(&server), Socket::Tcp(listener)) => {
                while let Some((connection, _)) = world.tcp_accept(netns, listener) {
                    self.connections.insert((netns, connection), Connection { server, answered: false });
                    self.serve(world, netns, connection);
                }
            }
            (Some(&server), Socket::Udp(socket)) => answer_datagrams(world, &self.servers[server], socket),
            (None, Socket::Tcp(connection)) => self.serve(world, netns, connection),
            _ => {}
        }
    }

    /// Answers what one connection says; closes it when the client has.
    fn serve(&mut self, world: &mut World, netns: NetnsId, socket: SocketId) {
        let Some(connection) = self.connections.get_mut(&(netns, socket)) else { return };
        let server = &self.servers[connection.server];
        if server.protocol.greets && !connection.answered {
            connection.answered = true;
            // An answer that cannot be sent shows in what is received below.
            let _ = world.tcp_send(netns, socket, &(server.protocol.answer)(&server.signature, &[]));
        }
        let open = loop {
            match world.tcp_recv(netns, socket, READ) {
                Err(Errno::EAGAIN) => break true,
                Ok(request) if !request.is_empty() => {
                    if !std::mem::replace(&mut connection.answered, true) {
                        let answer = (server.protocol.answer)(&server.signature, &request);
                        let _ = world.tcp_send(netns, socket, &answer);
                    }
                }
                Ok(_) | Err(_) => break false,
            }
        };
        if !open {
            self.connections.remove(&(netns, socket));
            world.tcp_close(netns, socket);
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
            Err(Errno::EAGAIN) => return,
            // An error about an earlier answer.
            Err(_) => {}
        }
    }
}

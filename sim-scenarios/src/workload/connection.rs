//! Connections: to who asks once and is answered once, one of TCP and an association of SCTP are alike. Bytes of one are the
//! messages of the other, put one behind the other.

use std::net::Shutdown;

use bytes::Bytes;
use sim_core::engine::arena::NetnsId;
use sim_core::engine::errno::Errno;
use sim_core::netns::socket::Socket;
use sim_core::world::World;

/// Bytes read at once.
pub(super) const READ: usize = 64 << 10;
/// The stream of an association that is spoken on.
const STREAM: u16 = 0;

/// Takes the oldest connection of a listener.
pub(super) fn accept(world: &mut World, netns: NetnsId, listener: Socket) -> Option<Socket> {
    match listener {
        Socket::Tcp(id) => world.tcp_accept(netns, id).map(|(id, _)| Socket::Tcp(id)),
        Socket::Sctp(id) => world.sctp_accept(netns, id).map(|(id, _)| Socket::Sctp(id)),
        Socket::Udp(_) | Socket::Raw(_) => None,
    }
}

/// Whether a connection that was begun is there.
///
/// # Errors
/// Why it will not be.
pub(crate) fn is_open(world: &mut World, netns: NetnsId, socket: Socket) -> Result<bool, Errno> {
    let (error, writable) = match socket {
        Socket::Tcp(id) => (world.tcp_take_error(netns, id), world.tcp_readiness(netns, id).writable),
        Socket::Sctp(id) => (world.sctp_take_error(netns, id), world.sctp_readiness(netns, id).writable),
        Socket::Udp(_) | Socket::Raw(_) => (None, true),
    };
    error.map_or(Ok(writable), Err)
}

/// Says something.
///
/// # Errors
/// As the socket says.
pub(super) fn send(world: &mut World, netns: NetnsId, socket: Socket, bytes: &[u8]) -> Result<(), Errno> {
    match socket {
        Socket::Sctp(id) if !bytes.is_empty() => world.sctp_send(netns, id, STREAM, bytes),
        // There are no empty messages.
        Socket::Sctp(_) => Ok(()),
        Socket::Tcp(id) | Socket::Udp(id) | Socket::Raw(id) => world.tcp_send(netns, id, bytes).map(drop),
    }
}

/// Takes what has come; nothing is the end.
///
/// # Errors
/// As the socket says; `EAGAIN` if nothing has come.
pub(super) fn recv(world: &mut World, netns: NetnsId, socket: Socket) -> Result<Bytes, Errno> {
    match socket {
        Socket::Tcp(id) => world.tcp_recv(netns, id, READ),
        Socket::Sctp(id) => world.sctp_recv(netns, id).map(|message| message.map_or(Bytes::new(), |m| m.data)),
        Socket::Udp(id) | Socket::Raw(id) => world.udp_recv(netns, id).map(|datagram| datagram.data),
    }
}

/// Says that nothing more will be said.
///
/// # Errors
/// `ENOTCONN`.
pub(super) fn shutdown(world: &mut World, netns: NetnsId, socket: Socket) -> Result<(), Errno> {
    match socket {
        Socket::Tcp(id) => world.tcp_shutdown(netns, id, Shutdown::Write),
        Socket::Sctp(id) => world.sctp_shutdown(netns, id),
        Socket::Udp(_) | Socket::Raw(_) => Ok(()),
    }
}

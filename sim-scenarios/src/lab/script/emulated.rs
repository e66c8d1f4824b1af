//! A pod's sockets in a world.

use std::net::{Shutdown, SocketAddr};

use sim_core::engine::arena::{NetnsId, SocketId};
use sim_core::engine::errno::Errno;
use sim_core::netns::socket::Socket;
use sim_core::netns::socket::tcp::{Info, Readiness, Row, SocketOptions, State};

use super::pod::Pod;
use crate::lab::bench::Sock;
use crate::lab::spec::SetOption;
use crate::lab::world::LabWorld;

impl Pod for LabWorld {
    fn connect(
        &mut self,
        netns: &str,
        (local, peer): (SocketAddr, SocketAddr),
        options: &[SetOption],
        reuse: bool,
    ) -> Result<Sock, Errno> {
        let rows = self.rows(netns);
        if rows.iter().any(|row| row.local.port() == local.port() && (!reuse || row.state == State::Listen)) {
            return Err(Errno::EADDRINUSE);
        }
        let id = self.id(netns);
        let socket = self.world.tcp_connect(id, local, peer, all(options))?;
        self.keep(netns, socket, options)
    }

    fn listen(&mut self, netns: &str, local: SocketAddr, backlog: u32, options: &[SetOption]) -> Result<Sock, Errno> {
        all(options).check()?;
        let id = self.id(netns);
        let socket = self.world.tcp_listen(id, local, backlog)?;
        self.keep(netns, socket, options)
    }

    fn set_options(&mut self, sock: &Sock, options: &[SetOption]) -> Result<(), Errno> {
        let (netns, id) = self.tcp(sock);
        let mut wanted = self.world.tcp_options(netns, id).cloned().unwrap_or_default();
        if options.iter().filter(|option| option.apply(&mut wanted)).count() > 0 {
            self.world.tcp_set_options(netns, id, wanted)?;
        }
        for quickack in options.iter().filter(|option| option.name == "quickack") {
            self.world.tcp_set_quickack(netns, id, quickack.value != 0);
        }
        Ok(())
    }

    fn receive(&mut self, sock: &Sock, max: usize) -> Result<usize, Errno> {
        let (netns, id) = self.tcp(sock);
        self.world.tcp_recv(netns, id, max).map(|data| data.len())
    }

    fn shutdown(&mut self, sock: &Sock, how: Shutdown) -> Result<(), Errno> {
        let (netns, id) = self.tcp(sock);
        self.world.tcp_shutdown(netns, id, how)
    }

    fn readiness(&mut self, sock: &Sock) -> Readiness {
        let (netns, id) = self.tcp(sock);
        self.world.tcp_readiness(netns, id)
    }

    fn take_error(&mut self, sock: &Sock) -> Option<Errno> {
        let (netns, id) = self.tcp(sock);
        self.world.tcp_take_error(netns, id)
    }

    fn info(&mut self, sock: &Sock) -> Option<Info> {
        let (netns, id) = self.tcp(sock);
        self.world.tcp_info(netns, id)
    }

    fn local(&mut self, sock: &Sock) -> Option<SocketAddr> {
        let (netns, id) = self.tcp(sock);
        self.world.tcp_local(netns, id)
    }

    fn rows(&mut self, netns: &str) -> Vec<Row> {
        self.world.netns(self.id(netns)).tcp_rows()
    }

    fn counter(&mut self, netns: &str, name: &str) -> Option<u64> {
        // Several groups have these; the last one that is read is UDP-Lite's, which nobody speaks.
        if matches!(name, "InCsumErrors" | "InErrors") {
            return Some(0);
        }
        Some(self.world.netns(self.id(netns)).tcp_counter(name))
    }
}

impl LabWorld {
    fn keep(&mut self, netns: &str, socket: SocketId, options: &[SetOption]) -> Result<Sock, Errno> {
        let sock = Sock { netns: netns.into(), socket: Socket::Tcp(socket) };
        self.set_options(&sock, options)?;
        Ok(sock)
    }

    fn tcp(&self, sock: &Sock) -> (NetnsId, SocketId) {
        (self.id(&sock.netns), sock.socket.id())
    }
}

fn all(options: &[SetOption]) -> SocketOptions {
    let mut all = SocketOptions::default();
    for option in options {
        option.apply(&mut all);
    }
    all
}

//! The servers of a spec: they answer whatever they are asked.

use std::net::SocketAddr;

use serde_json::Value;
use sim_core::engine::errno::Errno;

use super::{Runner, must, outcome};
use crate::lab::bench::{Bench, Refused, Sock, SockOptions};
use crate::lab::decode::Decoder;
use crate::lab::spec::{Mode, Proto, Server};

/// Length of the queue of connections not yet accepted.
const BACKLOG: u32 = 8;

/// A server that runs.
pub(super) struct Running {
    server: Server,
    sock: Sock,
    connections: Vec<Sock>,
    /// Whom it heard from in this step, as `address:port`.
    pub(super) seen: Vec<String>,
}

/// The server's line of `server_saw`, if it heard from anyone.
pub(super) fn seen((key, running): (&String, &Running)) -> Option<(String, Value)> {
    (!running.seen.is_empty()).then(|| (key.clone(), running.seen.clone().into()))
}

impl Runner<'_> {
    pub(super) fn start_server(&mut self, server: &Server) -> Result<(), Refused> {
        let local = SocketAddr::new(server.addr, server.port);
        let options = SockOptions { pmtu: server.pmtu, ..SockOptions::default() };
        let sock = match server.proto {
            Proto::Udp => self.bench.udp(&server.netns, local, options),
            Proto::Tcp => self.bench.tcp_listen(&server.netns, local, BACKLOG),
        };
        let sock = sock.map_err(|e| must("bind", e))?;
        let running = Running { server: server.clone(), sock, connections: Vec::new(), seen: Vec::new() };
        self.servers.insert(server.key(), running);
        Ok(())
    }

    pub(super) fn stop_server(&mut self, key: &str) -> Result<Value, Refused> {
        let running = self.servers.shift_remove(key);
        let running = running.ok_or_else(|| Refused::Failed(format!("no server is called {key:?}")))?;
        self.bench.close(&running.sock);
        running.connections.iter().for_each(|connection| self.bench.close(connection));
        Ok(outcome("stopped"))
    }

    /// Lets every server answer what has come in.
    pub(super) fn serve(&mut self) {
        for running in self.servers.values_mut() {
            match running.server.proto {
                Proto::Udp => running.serve_datagrams(self.bench, &self.decoder),
                Proto::Tcp => running.serve_connections(self.bench, &self.decoder),
            }
        }
    }
}

impl Running {
    fn serve_datagrams(&mut self, bench: &mut dyn Bench, decoder: &Decoder<'_>) {
        while let Some((data, peer)) = next_datagram(bench, &self.sock) {
            self.note(peer, decoder);
            let answer = match self.server.mode {
                Mode::Sink => continue,
                Mode::Short => b"short".to_vec(),
                Mode::Echo => self.echo(&data),
            };
            // As in the lab: an answer that cannot be sent is nobody's concern.
            let _ = bench.udp_send(&self.sock, Some(peer), &answer);
        }
    }

    fn serve_connections(&mut self, bench: &mut dyn Bench, decoder: &Decoder<'_>) {
        while let Some((connection, peer)) = bench.tcp_accept(&self.sock) {
            self.connections.push(connection);
            self.note(peer, decoder);
        }
        for connection in std::mem::take(&mut self.connections) {
            if self.serve_connection(bench, &connection) {
                self.connections.push(connection);
            } else {
                bench.close(&connection);
            }
        }
    }

    /// Answers what one connection says; whether it stays open.
    fn serve_connection(&self, bench: &mut dyn Bench, connection: &Sock) -> bool {
        loop {
            match bench.tcp_recv(connection) {
                Err(Errno::EAGAIN) => return true,
                Ok(data) if !data.is_empty() => {
                    let sink = self.server.mode == Mode::Sink;
                    if !sink && bench.tcp_send(connection, &self.echo(&data)).is_err() {
                        return false;
                    }
                }
                Ok(_) | Err(_) => return false,
            }
        }
    }

    fn echo(&self, data: &[u8]) -> Vec<u8> {
        [self.server.netns.as_bytes(), b":", data].concat()
    }

    fn note(&mut self, peer: SocketAddr, decoder: &Decoder<'_>) {
        let port = match decoder.port(peer.port()) {
            Value::String(class) => class,
            number => number.to_string(),
        };
        self.seen.push(format!("{}:{port}", peer.ip()));
    }
}

/// The next datagram, errors about earlier answers passed over.
fn next_datagram(bench: &mut dyn Bench, sock: &Sock) -> Option<(bytes::Bytes, SocketAddr)> {
    loop {
        match bench.udp_recv(sock) {
            Ok(datagram) => return Some(datagram),
            Err(Errno::ECONNREFUSED) => {}
            Err(_) => return None,
        }
    }
}

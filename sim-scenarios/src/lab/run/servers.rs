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
        let options = SockOptions { pmtu: server.pmtu, ..SockOptions::default() };
        let sock = match server.proto {
            Proto::Udp => self.bench.udp(&server.netns, options),
            Proto::Tcp => self.bench.tcp(&server.netns, options),
        };
        let sock = sock.map_err(|e| must("socket", e))?;
        self.bench.bind(&sock, SocketAddr::new(server.addr, server.port)).map_err(|e| must("bind", e))?;
        if server.proto == Proto::Tcp {
            self.bench.listen(&sock, BACKLOG).map_err(|e| must("listen", e))?;
        }
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

    /// Lets every server answer what has come in; whether anything had.
    pub(super) fn serve(&mut self) -> bool {
        let mut busy = false;
        for running in self.servers.values_mut() {
            busy |= match running.server.proto {
                Proto::Udp => running.serve_datagrams(self.bench, &self.decoder),
                Proto::Tcp => running.serve_connections(self.bench, &self.decoder),
            };
        }
        busy
    }
}

impl Running {
    fn serve_datagrams(&mut self, bench: &mut dyn Bench, decoder: &Decoder<'_>) -> bool {
        let mut busy = false;
        while let Some((data, peer)) = next_datagram(bench, &self.sock) {
            busy = true;
            self.note(peer, decoder);
            let answer = match self.server.mode {
                Mode::Sink => continue,
                Mode::Short => b"short".to_vec(),
                Mode::Echo => self.echo(&data),
            };
            // As in the lab: an answer that cannot be sent is nobody's concern.
            let _ = bench.send_to(&self.sock, &answer, peer);
        }
        busy
    }

    fn serve_connections(&mut self, bench: &mut dyn Bench, decoder: &Decoder<'_>) -> bool {
        let mut busy = false;
        while let Ok((connection, peer)) = bench.accept(&self.sock) {
            busy = true;
            self.connections.push(connection);
            self.note(peer, decoder);
        }
        for connection in std::mem::take(&mut self.connections) {
            let (open, heard) = self.serve_connection(bench, &connection);
            busy |= heard;
            if open {
                self.connections.push(connection);
            } else {
                bench.close(&connection);
            }
        }
        busy
    }

    /// Answers what one connection says; whether it stays open, and whether it said anything.
    fn serve_connection(&self, bench: &mut dyn Bench, connection: &Sock) -> (bool, bool) {
        let mut heard = false;
        loop {
            match bench.recv(connection) {
                Err(Errno::EAGAIN) => return (true, heard),
                Ok(data) if !data.is_empty() => {
                    heard = true;
                    let answered = self.server.mode == Mode::Sink || bench.send(connection, &self.echo(&data)).is_ok();
                    if !answered {
                        return (false, true);
                    }
                }
                Ok(_) | Err(_) => return (false, true),
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
        match bench.recv_from(sock) {
            Ok(datagram) => return Some(datagram),
            Err(Errno::ECONNREFUSED) => {}
            Err(_) => return None,
        }
    }
}

//! Clients over TCP: open, say something, close, in one step or in several.

use std::net::SocketAddr;

use serde_json::{Value, json};
use sim_core::engine::errno::Errno;
use sim_core::engine::time::Duration;

use super::clients::{local, options, peer, reply};
use super::{QUIET, Runner, TIMEOUT, failed, outcome, queued};
use crate::lab::bench::{Refused, Sock};
use crate::lab::spec::{Client, Payload};

/// The connection of a `tcp` step, which has no name of its own.
const UNNAMED: &str = "_";

/// A connection of a client's.
pub(super) struct Connection {
    /// Its socket.
    pub(super) sock: Sock,
    /// Its own address and the peer's, as they were when it was made: a kernel's socket forgets them with a RST.
    pub(super) ends: Option<(SocketAddr, SocketAddr)>,
}

impl Runner<'_> {
    pub(super) fn tcp(&mut self, client: &Client, payload: &Payload, timeout: Duration) -> Value {
        let opened = self.tcp_open(UNNAMED, client, timeout);
        if opened["outcome"] != "connected" {
            return opened;
        }
        let mut result = self.tcp_io(UNNAMED, payload, timeout);
        let closed = self.tcp_close(UNNAMED, TIMEOUT);
        if closed["outcome"] != "closed" {
            result["close"] = closed;
        }
        result
    }

    pub(super) fn tcp_open(&mut self, name: &str, client: &Client, timeout: Duration) -> Value {
        let sock = match self.bench.tcp_connect(&client.netns, local(client), peer(client), options(client)) {
            Ok(sock) => sock,
            Err(errno) => return failed(errno),
        };
        let answer = self.pump(timeout, &mut |bench| match bench.tcp_connected(&sock)? {
            Ok(()) => Some(outcome("connected")),
            Err(errno) => {
                let plain = json!({ "outcome": "error", "errno": errno.name(), "origin": "tcp" });
                Some(queued(bench, &sock, plain))
            }
        });
        let result = answer.unwrap_or_else(|| outcome("timeout"));
        if result["outcome"] == "connected" {
            self.settle(QUIET);
            // What goes over the wire knows no mapped addresses.
            let canonical = |end: SocketAddr| SocketAddr::new(end.ip().to_canonical(), end.port());
            let ends = self.bench.tcp_ends(&sock).map(|(local, peer)| (canonical(local), canonical(peer)));
            self.connections.insert(name.into(), Connection { sock, ends });
        } else {
            self.bench.close(&sock);
        }
        result
    }

    pub(super) fn tcp_io(&mut self, name: &str, payload: &Payload, timeout: Duration) -> Value {
        let Some(sock) = self.connections.get(name).map(|c| c.sock.clone()) else {
            return outcome("no such connection");
        };
        if let Err(errno) = self.bench.tcp_send(&sock, &payload.0) {
            return failed(errno);
        }
        let answer = self.pump(timeout, &mut |bench| match bench.tcp_recv(&sock) {
            Ok(data) if data.is_empty() => Some(outcome("eof")),
            Ok(data) => Some(reply(&data)),
            Err(Errno::EAGAIN) => None,
            Err(errno) => Some(failed(errno)),
        });
        self.settle(Duration::from_millis(60));
        answer.unwrap_or_else(|| outcome("timeout"))
    }

    /// Says that nothing more will be sent, and waits for the peer to say so too.
    pub(super) fn tcp_close(&mut self, name: &str, timeout: Duration) -> Value {
        let Some(Connection { sock, .. }) = self.connections.shift_remove(name) else {
            return outcome("no such connection");
        };
        let answer = match self.bench.tcp_shutdown(&sock) {
            Err(errno) => Some(failed(errno)),
            Ok(()) => self.pump(timeout, &mut |bench| loop {
                match bench.tcp_recv(&sock) {
                    Ok(data) if data.is_empty() => return Some(outcome("closed")),
                    Ok(_) => {}
                    Err(Errno::EAGAIN) => return None,
                    Err(errno) => return Some(failed(errno)),
                }
            }),
        };
        self.bench.close(&sock);
        answer.unwrap_or_else(|| outcome("timeout"))
    }

    pub(super) fn tcp_abort(&mut self, name: &str) -> Result<Value, Refused> {
        let connection = self.connections.shift_remove(name);
        let Connection { sock, .. } =
            connection.ok_or_else(|| Refused::Failed(format!("no connection is called {name:?}")))?;
        self.bench.tcp_abort(&sock);
        Ok(outcome("aborted"))
    }
}

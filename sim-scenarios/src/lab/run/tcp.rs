//! Clients over TCP: open, say something, close, in one step or in several.

use std::net::SocketAddr;

use serde_json::{Value, json};
use sim_core::engine::errno::Errno;
use sim_core::engine::time::Duration;

use super::clients::{ANY, options, reply};
use super::{QUIET, Runner, TIMEOUT, failed, must, outcome, queued};
use crate::lab::bench::Refused;
use crate::lab::spec::{Client, Payload};

/// The connection of a `tcp` step, which has no name of its own.
const UNNAMED: &str = "_";

impl Runner<'_> {
    pub(super) fn tcp(&mut self, client: &Client, payload: &Payload, timeout: Duration) -> Result<Value, Refused> {
        let opened = self.tcp_open(UNNAMED, client, timeout)?;
        if opened["outcome"] != "connected" {
            return Ok(opened);
        }
        let mut result = self.tcp_io(UNNAMED, payload, timeout);
        let closed = self.tcp_close(UNNAMED, TIMEOUT);
        if closed["outcome"] != "closed" {
            result["close"] = closed;
        }
        Ok(result)
    }

    pub(super) fn tcp_open(&mut self, name: &str, client: &Client, timeout: Duration) -> Result<Value, Refused> {
        let sock = self.bench.tcp(&client.netns, options(client)).map_err(|e| must("socket", e))?;
        let local = SocketAddr::new(client.src.unwrap_or(ANY), client.sport);
        self.bench.bind(&sock, local).map_err(|e| must("bind", e))?;
        let result = match self.bench.connect(&sock, SocketAddr::new(client.dst, client.dport)) {
            Err(errno) if errno != Errno::EINPROGRESS => failed(errno),
            _ => {
                let answer = self.pump(timeout, &mut |bench| match bench.connected(&sock)? {
                    Ok(()) => Some(outcome("connected")),
                    Err(errno) => {
                        let plain = json!({ "outcome": "error", "errno": errno.name(), "origin": "tcp" });
                        Some(queued(bench, &sock, plain))
                    }
                });
                answer.unwrap_or_else(|| outcome("timeout"))
            }
        };
        if result["outcome"] == "connected" {
            self.settle(QUIET);
            self.connections.insert(name.into(), sock);
        } else {
            self.bench.close(&sock);
        }
        Ok(result)
    }

    pub(super) fn tcp_io(&mut self, name: &str, payload: &Payload, timeout: Duration) -> Value {
        let Some(sock) = self.connections.get(name).cloned() else { return outcome("no such connection") };
        if let Err(errno) = self.bench.send(&sock, &payload.0) {
            return failed(errno);
        }
        let answer = self.pump(timeout, &mut |bench| match bench.recv(&sock) {
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
        let Some(sock) = self.connections.shift_remove(name) else { return outcome("no such connection") };
        let answer = match self.bench.shutdown_write(&sock) {
            Err(errno) => Some(failed(errno)),
            Ok(()) => self.pump(timeout, &mut |bench| loop {
                match bench.recv(&sock) {
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
        let sock = self.connections.shift_remove(name);
        let sock = sock.ok_or_else(|| Refused::Failed(format!("no connection is called {name:?}")))?;
        self.bench.abort(&sock);
        Ok(outcome("aborted"))
    }
}

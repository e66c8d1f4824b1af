//! Clients over UDP and ICMP.

use std::net::SocketAddr;

use serde_json::{Value, json};
use sim_core::engine::errno::Errno;
use sim_core::engine::time::Duration;
use sim_core::wire::icmp::{IcmpHeader, REDIRECT, SOURCE_QUENCH, echo_reply, is_error};
use sim_core::wire::ip::{Family, IpHeader};

use super::{QUIET, Runner, failed, local_error, must, outcome, queued, told};
use crate::lab::bench::{Refused, Sock, SockOptions};
use crate::lab::decode::shown_data;
use crate::lab::hops::half_seconds;
use crate::lab::spec::{Client, ManyUdp, Payload, Ping};

pub(super) fn options(client: &Client) -> SockOptions {
    SockOptions { ttl: client.ttl, tos: client.tos, pmtu: client.pmtu }
}

pub(super) fn local(client: &Client) -> SocketAddr {
    SocketAddr::new(client.src.unwrap_or(Family::of(client.dst).unspecified()), client.sport)
}

pub(super) fn peer(client: &Client) -> SocketAddr {
    SocketAddr::new(client.dst, client.dport)
}

/// An answer's data as it is shown.
pub(super) fn reply(data: &[u8]) -> Value {
    json!({ "outcome": "reply", "data": shown_data(data) })
}

impl Runner<'_> {
    pub(super) fn udp(
        &mut self,
        client: &Client,
        payload: &Payload,
        keep: bool,
        timeout: Duration,
    ) -> Result<Value, Refused> {
        let sock = self.bench.udp(&client.netns, local(client), options(client)).map_err(|e| must("bind", e))?;
        let connected = self.bench.udp_connect(&sock, peer(client)).map_err(local_error);
        let sent = connected.and_then(|()| self.bench.udp_send(&sock, None, &payload.0).map_err(told));
        let result = match sent {
            Err(result) => {
                self.finish_call();
                queued(self.bench, &sock, result)
            }
            Ok(()) => {
                let answer = self.pump(timeout, &mut |bench| match bench.udp_recv(&sock) {
                    Ok((data, _)) => Some(reply(&data)),
                    Err(Errno::EAGAIN) => None,
                    Err(errno) => Some(queued(bench, &sock, failed(errno))),
                });
                answer.unwrap_or_else(|| outcome("timeout"))
            }
        };
        if keep {
            self.settle(QUIET);
        }
        self.bench.close(&sock);
        Ok(result)
    }

    pub(super) fn many_udp(&mut self, many: &ManyUdp) -> Result<Value, Refused> {
        let mut open: Option<Sock> = None;
        for i in 0..many.n {
            let sock = match open.take() {
                Some(sock) => sock,
                None => self.many_udp_socket(many, i)?,
            };
            self.bench.udp_send(&sock, None, &many.payload.0).map_err(|e| Refused::Failed(told(e).to_string()))?;
            self.settle(Duration::from_millis(10));
            if many.one_socket {
                open = Some(sock);
            } else {
                self.bench.close(&sock);
            }
        }
        if let Some(sock) = open {
            self.bench.close(&sock);
        }
        Ok(outcome("sent"))
    }

    fn many_udp_socket(&mut self, many: &ManyUdp, i: u16) -> Result<Sock, Refused> {
        let port = many.sport.saturating_add(if many.same { 0 } else { i });
        let local = SocketAddr::new(Family::of(many.dst).unspecified(), port);
        let sock = self.bench.udp(&many.netns, local, SockOptions::default()).map_err(|e| must("bind", e))?;
        let peer = SocketAddr::new(many.dst, many.dport);
        self.bench.udp_connect(&sock, peer).map_err(|e| must("connect", e))?;
        Ok(sock)
    }

    pub(super) fn ping(&mut self, ping: &Ping, timeout: Duration, times: bool) -> Result<Value, Refused> {
        let options = SockOptions { ttl: ping.ttl, tos: ping.tos, pmtu: ping.pmtu };
        let sock = self
            .bench
            .raw_icmp(&ping.netns, ping.src.unwrap_or(Family::of(ping.dst).unspecified()), options)
            .map_err(|e| must("bind", e))?;
        let mut results = Vec::new();
        for seq in 1..=ping.count {
            results.push(self.ping_once(ping, &sock, seq, timeout, times));
        }
        self.bench.close(&sock);
        match <[Value; 1]>::try_from(results) {
            Ok([result]) => Ok(result),
            Err(results) => Ok(json!({ "outcome": "many", "replies": results })),
        }
    }

    /// What a call sets off on its machine has happened when it returns.
    fn finish_call(&mut self) {
        let now = self.bench.now();
        while self.bench.advance(now).is_some() {}
    }

    fn ping_once(&mut self, ping: &Ping, sock: &Sock, seq: u16, timeout: Duration, times: bool) -> Value {
        let id_seq = (ping.id, seq);
        if let Err(error) = self.bench.ping(sock, ping.dst, id_seq, &vec![b'x'; usize::from(ping.size)]) {
            self.finish_call();
            return queued(self.bench, sock, told(error));
        }
        let start = self.bench.now();
        self.finish_call();
        let answer = self.pump(timeout, &mut |bench| {
            if let Some(error) = bench.queued_error(sock) {
                return Some(told(error));
            }
            while let Some((ip, message)) = bench.raw_recv(sock) {
                if let Some(answer) = echo_answer(&ip, &message, id_seq) {
                    return Some(answer);
                }
            }
            None
        });
        let mut result = answer.unwrap_or_else(|| outcome("timeout"));
        // The lab's second part does not say it.
        if times && ping.dst.is_ipv4() {
            result["after"] = half_seconds(self.bench.now(), start);
        }
        if let Some(gap) = ping.gap {
            self.wait(gap);
        }
        result
    }
}

/// What a message says about the echo request `(id, seq)`: its reply, or an error about something.
fn echo_answer(ip: &IpHeader, message: &[u8], (id, seq): (u16, u16)) -> Option<Value> {
    let header = IcmpHeader::read(message)?;
    let (family, from) = (ip.family(), ip.src.to_string());
    if header.kind == echo_reply(family) {
        let mut out = json!({ "outcome": "reply", "from": from });
        if family == Family::V4 {
            out["ttl"] = ip.ttl.into();
        }
        return Some(out).filter(|_| (header.id(), header.seq()) == (id, seq));
    }
    if !is_error(ip.proto, header.kind) || (family == Family::V4 && matches!(header.kind, SOURCE_QUENCH | REDIRECT)) {
        return None;
    }
    let name = if family == Family::V4 { "icmp" } else { "icmp6" };
    let mut out = json!({ "outcome": "error", name: [header.kind, header.code], "from": from });
    if let Some(mtu) = header.too_big(family) {
        out["mtu"] = mtu.into();
    }
    Some(out)
}

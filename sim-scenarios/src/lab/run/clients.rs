//! Clients over UDP and ICMP.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde_json::{Value, json};
use sim_core::engine::errno::Errno;
use sim_core::engine::time::Duration;
use sim_core::wire::icmp::{DEST_UNREACH, ECHO, ECHO_REPLY, FRAG_NEEDED, IcmpHeader, PARAMETER_PROBLEM, TIME_EXCEEDED};
use sim_core::wire::ip::IpHeader;

use super::{QUIET, Runner, failed, must, outcome, queued};
use crate::lab::bench::{Refused, Sock, SockOptions};
use crate::lab::decode::shown_data;
use crate::lab::hops::half_seconds;
use crate::lab::spec::{Client, ManyUdp, Payload, Ping};

/// Any local address.
pub(super) const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

pub(super) fn options(client: &Client) -> SockOptions {
    SockOptions { ttl: client.ttl, tos: client.tos, pmtu: client.pmtu }
}

/// An answer's data as it is shown.
pub(super) fn reply(data: &[u8]) -> Value {
    json!({ "outcome": "reply", "data": shown_data(data) })
}

fn local_error(errno: Errno) -> Value {
    json!({ "outcome": "error", "errno": errno.name(), "origin": "local" })
}

impl Runner<'_> {
    pub(super) fn udp(
        &mut self,
        client: &Client,
        payload: &Payload,
        keep: bool,
        timeout: Duration,
    ) -> Result<Value, Refused> {
        let sock = self.bench.udp(&client.netns, options(client)).map_err(|e| must("socket", e))?;
        let local = SocketAddr::new(client.src.unwrap_or(ANY), client.sport);
        self.bench.bind(&sock, local).map_err(|e| must("bind", e))?;
        let peer = SocketAddr::new(client.dst, client.dport);
        let sent = self.bench.connect(&sock, peer).and_then(|()| self.bench.send(&sock, &payload.0));
        let result = match sent {
            Err(errno) => queued(self.bench, &sock, local_error(errno)),
            Ok(_) => {
                let answer = self.pump(timeout, &mut |bench| match bench.recv(&sock) {
                    Ok(data) => Some(reply(&data)),
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
            self.bench.send(&sock, &many.payload.0).map_err(|e| must("send", e))?;
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
        let sock = self.bench.udp(&many.netns, SockOptions::default()).map_err(|e| must("socket", e))?;
        let port = many.sport.saturating_add(if many.same { 0 } else { i });
        self.bench.bind(&sock, SocketAddr::new(ANY, port)).map_err(|e| must("bind", e))?;
        self.bench.connect(&sock, SocketAddr::new(many.dst, many.dport)).map_err(|e| must("connect", e))?;
        Ok(sock)
    }

    pub(super) fn ping(&mut self, ping: &Ping, timeout: Duration, times: bool) -> Result<Value, Refused> {
        let options = SockOptions { ttl: ping.ttl, tos: ping.tos, pmtu: ping.pmtu };
        let sock = self.bench.raw_icmp(&ping.netns, options).map_err(|e| must("socket", e))?;
        if let Some(src) = ping.src {
            self.bench.bind(&sock, SocketAddr::new(src, 0)).map_err(|e| must("bind", e))?;
        }
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

    fn ping_once(&mut self, ping: &Ping, sock: &Sock, seq: u16, timeout: Duration, times: bool) -> Value {
        let [a, b] = ping.id.to_be_bytes();
        let [c, d] = seq.to_be_bytes();
        let request = IcmpHeader { kind: ECHO, code: 0, rest: [a, b, c, d] };
        let bytes = request.to_bytes(&vec![b'x'; usize::from(ping.size)]);
        if let Err(errno) = self.bench.send_to(sock, &bytes, SocketAddr::new(ping.dst, 0)) {
            return queued(self.bench, sock, local_error(errno));
        }
        let start = self.bench.now();
        let answer = self.pump(timeout, &mut |bench| loop {
            match bench.recv_from(sock) {
                Ok((packet, from)) => {
                    if let Some(answer) = echo_answer(&packet, from.ip(), (ping.id, seq)) {
                        return Some(answer);
                    }
                }
                Err(Errno::EAGAIN) => return None,
                Err(errno) => return Some(queued(bench, sock, failed(errno))),
            }
        });
        let mut result = answer.unwrap_or_else(|| outcome("timeout"));
        if times {
            result["after"] = half_seconds(self.bench.now(), start);
        }
        if let Some(gap) = ping.gap {
            self.wait(gap);
        }
        result
    }
}

/// What a packet says about the echo request `(id, seq)`: its reply, or an error about something.
fn echo_answer(packet: &[u8], from: IpAddr, (id, seq): (u16, u16)) -> Option<Value> {
    let ip = IpHeader::read(packet)?;
    let message = IcmpHeader::read(packet.get(usize::from(ip.header_len)..)?)?;
    match message.kind {
        ECHO_REPLY if (message.id(), message.seq()) == (id, seq) => {
            Some(json!({ "outcome": "reply", "from": from.to_string(), "ttl": ip.ttl }))
        }
        DEST_UNREACH | TIME_EXCEEDED | PARAMETER_PROBLEM => {
            let icmp = [message.kind, message.code];
            let mut out = json!({ "outcome": "error", "icmp": icmp, "from": from.to_string() });
            if icmp == [DEST_UNREACH, FRAG_NEEDED] {
                out["mtu"] = message.mtu().into();
            }
            Some(out)
        }
        _ => None,
    }
}

//! What an application in the pod does, and what it is told.

use std::net::{Ipv4Addr, SocketAddr};

use serde_json::{Map, Value, json};
use sim_core::engine::errno::Errno;
use sim_core::netns::socket::tcp::{Info, Row, State};

use super::{NETNS, Runner};
use crate::lab::bench::{Refused, Sock};
use crate::lab::spec::{Call, PEER, SetOption};

/// Where `ephemeral` connects to: nobody answers.
const DISCARD: u16 = 9;
/// What "no slow start threshold" reads in TCP_INFO (`TCP_INFINITE_SSTHRESH`).
const INFINITE: u32 = 0x7fff_ffff;

impl Runner<'_> {
    /// Makes a call; `None` where the lab's call returns nothing. A name that no socket has is a descriptor that is not open.
    pub(super) fn call(&mut self, call: &Call) -> Result<Option<Value>, Refused> {
        match call.uses() {
            Some(name) if !self.sockets.contains_key(name) => Ok(Some(json!("EBADF"))),
            _ => self.make(call),
        }
    }

    fn make(&mut self, call: &Call) -> Result<Option<Value>, Refused> {
        let [pod, _] = NETNS;
        match call {
            Call::Listen { socket, port, backlog, options } => Ok(self.listen(socket, *port, *backlog, options)),
            Call::Connect { socket, flow, options, reuse } => Ok(Some(self.connect(socket, flow, options, *reuse))),
            Call::Accept { socket, listener } => self.accept(socket, listener).map(Some),
            Call::Send { socket, len } => {
                let socket = self.socket(socket)?;
                Ok(Some(count(self.bench.tcp_send(&socket, &vec![b's'; *len]))))
            }
            Call::Recv { socket, max } => {
                let socket = self.socket(socket)?;
                Ok(Some(match self.bench.receive(&socket, *max) {
                    Ok(0) => json!("eof"),
                    other => count(other),
                }))
            }
            Call::Shutdown { socket, how } => {
                let socket = self.socket(socket)?;
                Ok(self.bench.shutdown(&socket, *how).err().map(named))
            }
            Call::Close(name) => {
                let socket = self.socket(name)?;
                self.bench.close(&socket);
                self.sockets.remove(name);
                Ok(None)
            }
            Call::Abort(name) => {
                let socket = self.socket(name)?;
                self.bench.tcp_abort(&socket);
                self.sockets.remove(name);
                Ok(None)
            }
            Call::SetOption(socket, option) => {
                let socket = self.socket(socket)?;
                Ok(self.bench.set_options(&socket, std::slice::from_ref(option)).err().map(named))
            }
            Call::Poll(socket) => self.poll(socket).map(Some),
            Call::TakeError(socket) => {
                let socket = self.socket(socket)?;
                Ok(Some(self.bench.take_error(&socket).map_or(json!("none"), named)))
            }
            Call::Info { socket, keys } => {
                let socket = self.socket(socket)?;
                let info = self.bench.info(&socket);
                let info = info.ok_or_else(|| Refused::NotYet("TCP_INFO of a socket that is no connection".into()))?;
                Ok(Some(show_info(&info, keys)))
            }
            Call::Segments(segments) => self.send_segments(segments).map(|()| None),
            Call::Icmp(error) => self.send_error(error),
            Call::ShowSockets => Ok(Some(self.show_sockets())),
            Call::Counters(names) => {
                let counters = names.iter().map(|name| (name.clone(), json!(self.bench.counter(pod, name))));
                Ok(Some(Value::Object(counters.collect())))
            }
            Call::ChoosePorts { n, bind } => self.choose_ports(*n, *bind).map(Some),
            Call::Wait => Ok(None),
            Call::Sysctl(set) => {
                set.iter().try_for_each(|(key, value)| self.bench.set_sysctl(pod, key, value)).map(|()| None)
            }
            Call::Ip(lines) => {
                let lines: Vec<_> = lines.iter().map(String::as_str).collect();
                self.bench.ip(pod, &lines).map(|()| None)
            }
        }
    }

    /// The socket that the script calls `name`.
    fn socket(&self, name: &str) -> Result<Sock, Refused> {
        self.sockets.get(name).cloned().ok_or_else(|| Refused::Failed(format!("no socket {name:?}")))
    }

    fn listen(&mut self, name: &str, port: u16, backlog: u32, options: &[SetOption]) -> Option<Value> {
        let [pod, _] = NETNS;
        match self.bench.listen(pod, (Ipv4Addr::UNSPECIFIED, port).into(), backlog, options) {
            Ok(socket) => {
                self.sockets.insert(name.to_owned(), socket);
                None
            }
            Err(errno) => Some(named(errno)),
        }
    }

    /// As the lab does it: bind(), to a port of anybody's only with SO_REUSEADDR, then connect().
    fn connect(&mut self, name: &str, flow: &str, options: &[SetOption], reuse: bool) -> Value {
        let (pod, peer) = self.flows[flow].ends;
        let local = (Ipv4Addr::UNSPECIFIED, pod.port()).into();
        match self.bench.connect(NETNS[0], (local, peer), options, reuse) {
            Ok(socket) => {
                self.sockets.insert(name.to_owned(), socket);
                json!("EINPROGRESS")
            }
            Err(errno) => named(errno),
        }
    }

    fn accept(&mut self, name: &str, listener: &str) -> Result<Value, Refused> {
        let listener = self.socket(listener)?;
        let Some((socket, peer)) = self.bench.tcp_accept(&listener) else { return Ok(named(Errno::EAGAIN)) };
        let local = self.bench.local(&socket);
        self.sockets.insert(name.to_owned(), socket);
        let known = self.flows.iter().find(|(_, flow)| Some(flow.ends.0) == local && flow.ends.1 == peer);
        Ok(json!(format!("from {}", known.map_or(peer.port().to_string(), |(name, _)| name.clone()))))
    }

    fn poll(&mut self, name: &str) -> Result<Value, Refused> {
        let socket = self.socket(name)?;
        let ready = self.bench.readiness(&socket);
        let words = [
            (ready.readable, "IN"),
            (ready.writable, "OUT"),
            (ready.error, "ERR"),
            (ready.hangup, "HUP"),
            (ready.read_closed, "RDHUP"),
        ];
        let words: Vec<_> = words.into_iter().filter_map(|(set, word)| set.then_some(word)).collect();
        Ok(json!(if words.is_empty() { "none".to_owned() } else { words.join(" ") }))
    }

    fn show_sockets(&mut self) -> Value {
        let [pod, _] = NETNS;
        let mut lines: Vec<_> = self.bench.rows(pod).iter().map(show_row).collect();
        lines.sort();
        json!(lines)
    }

    /// Lets the stack choose `n` ports, for connections to nobody or for sockets that wait; tells their properties.
    fn choose_ports(&mut self, n: u16, bind: bool) -> Result<Value, Refused> {
        let [pod, _] = NETNS;
        let any: SocketAddr = (Ipv4Addr::UNSPECIFIED, 0).into();
        let (mut sockets, mut ports) = (Vec::new(), Vec::new());
        for _ in 0..n {
            let socket = match bind {
                true => self.bench.listen(pod, any, 0, &[]),
                false => self.bench.connect(pod, (any, (PEER, DISCARD).into()), &[], true),
            };
            sockets.push(socket.map_err(|e| Refused::Failed(e.to_string()))?);
        }
        for socket in sockets {
            ports.extend(self.bench.local(&socket).map(|local| local.port()));
            self.bench.close(&socket);
        }
        let mut distinct = ports.clone();
        distinct.sort_unstable();
        let ascending = distinct == ports;
        distinct.dedup();
        Ok(json!({
            "all_in_range": ports.iter().all(|port| (32_768..=60_999).contains(port)),
            "all_even": ports.iter().all(|port| port % 2 == 0),
            "all_odd": ports.iter().all(|port| port % 2 == 1),
            "distinct": distinct.len() == ports.len(),
            "ascending": ascending,
        }))
    }
}

fn named(errno: Errno) -> Value {
    json!(errno.name())
}

fn count(result: Result<usize, Errno>) -> Value {
    result.map_or_else(named, |n| json!(n))
}

fn show_info(info: &Info, keys: &[String]) -> Value {
    let mut out = Map::new();
    out.insert("state".into(), json!(info.state.to_string()));
    out.insert("ca".into(), json!(info.ca_state.name()));
    let threshold = if info.ssthresh == INFINITE { json!("inf") } else { json!(info.ssthresh) };
    let known = [
        ("rto", json!(info.rto.as_millis())),
        ("ato", json!(info.ato.as_millis())),
        ("snd_mss", json!(info.snd_mss)),
        ("rcv_mss", json!(info.rcv_mss)),
        ("unacked", json!(info.unacked)),
        ("sacked", json!(info.sacked)),
        ("lost", json!(info.lost)),
        ("retrans", json!(info.retrans)),
        ("cwnd", json!(info.cwnd)),
        ("ssthresh", threshold),
        ("pmtu", json!(info.pmtu)),
    ];
    let asked = known.into_iter().filter(|(key, _)| keys.iter().any(|wanted| wanted == key));
    out.extend(asked.map(|(key, value)| (key.to_owned(), value)));
    for (key, n) in [("retransmits", info.retransmits), ("probes", info.probes), ("backoff", info.backoff)] {
        if n > 0 {
            out.insert(key.into(), json!(n));
        }
    }
    Value::Object(out)
}

fn show_row(row: &Row) -> String {
    let line = format!("{} {} {}", row.local.port(), row.remote.map_or(0, |r| r.port()), row.state);
    match row.state {
        State::Listen => format!("{line} queue={}", row.receive_queue),
        _ if row.receive_queue + row.send_queue > 0 => format!("{line} tx={} rx={}", row.send_queue, row.receive_queue),
        _ => line,
    }
}

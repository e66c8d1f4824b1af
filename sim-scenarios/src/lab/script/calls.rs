//! What an application in the pod does, and what it is told.

use std::net::{Ipv4Addr, SocketAddr};

use serde_json::{Map, Value, json};
use sim_core::engine::arena::SocketId;
use sim_core::engine::errno::Errno;
use sim_core::netns::socket::tcp::{Info, Row, SocketOptions, State};

use super::Runner;
use crate::lab::bench::Refused;
use crate::lab::spec::{Call, PEER, SetOption};

/// Where `ephemeral` connects to: nobody answers.
const DISCARD: u16 = 9;
/// What "no slow start threshold" reads in TCP_INFO (`TCP_INFINITE_SSTHRESH`).
const INFINITE: u32 = 0x7fff_ffff;

impl Runner<'_> {
    /// Makes a call; `None` where the lab's call returns nothing.
    pub(super) fn call(&mut self, call: &Call) -> Result<Option<Value>, Refused> {
        let socket = match call.socket() {
            Some(name) => *self.sockets.get(name).ok_or_else(|| Refused::Failed(format!("no socket {name:?}")))?,
            None => SocketId(0),
        };
        let pod = self.pod;
        match call {
            Call::Listen { socket, port, backlog, options } => Ok(self.listen(socket, *port, *backlog, options)),
            Call::Connect { socket, flow, options, reuse } => Ok(Some(self.connect(socket, flow, options, *reuse))),
            Call::Accept { socket: name, .. } => Ok(Some(self.accept(name, socket))),
            Call::Send { len, .. } => Ok(Some(count(self.world.tcp_send(pod, socket, &vec![b's'; *len])))),
            Call::Recv { max, .. } => Ok(Some(match self.world.tcp_recv(pod, socket, *max) {
                Ok(data) if data.is_empty() => json!("eof"),
                other => count(other.map(|data| data.len())),
            })),
            Call::Shutdown { read, write, .. } => Ok(self.shutdown(socket, *read, *write).err().map(named)),
            Call::Close(name) => {
                self.world.tcp_close(pod, socket);
                self.sockets.remove(name);
                Ok(None)
            }
            Call::Abort(name) => {
                self.world.tcp_abort(pod, socket);
                self.sockets.remove(name);
                Ok(None)
            }
            Call::SetOption(_, option) => {
                self.set_options(socket, std::slice::from_ref(option));
                Ok(None)
            }
            Call::Poll(_) => Ok(Some(self.poll(socket))),
            Call::TakeError(_) => Ok(Some(self.world.tcp_take_error(pod, socket).map_or(json!("none"), named))),
            Call::Info { keys, .. } => {
                let info = self.world.tcp_info(pod, socket);
                let info = info.ok_or_else(|| Refused::NotYet("TCP_INFO of a socket that is no connection".into()))?;
                Ok(Some(show_info(&info, keys)))
            }
            Call::Segments(segments) => {
                self.send_segments(segments);
                Ok(None)
            }
            Call::Icmp(error) => self.send_error(error).map(|()| None),
            Call::ShowSockets => Ok(Some(self.show_sockets())),
            Call::Counters(names) => {
                let netns = self.world.netns(pod);
                let counters = names.iter().map(|name| (name.clone(), json!(netns.tcp_counter(name))));
                Ok(Some(Value::Object(counters.collect())))
            }
            Call::ChoosePorts { n, bind } => self.choose_ports(*n, *bind).map(Some),
            Call::Wait => Ok(None),
            Call::Sysctl(set) => {
                for (key, value) in set {
                    let refused = |e: Errno| Refused::Failed(format!("sysctl {key}={value}: {e}"));
                    self.world.sysctl(pod, key, value).map_err(refused)?;
                }
                Ok(None)
            }
            Call::Ip(lines) => {
                let mut lines = lines.iter();
                lines.try_for_each(|line| self.world.ip(pod, line)).map_err(|e| Refused::Failed(e.to_string()))?;
                Ok(None)
            }
        }
    }

    /// Closes one side or both (`shutdown()`).
    fn shutdown(&mut self, socket: SocketId, read: bool, write: bool) -> Result<(), Errno> {
        let reading = if read { self.world.tcp_shutdown_read(self.pod, socket) } else { Ok(()) };
        let writing = if write { self.world.tcp_shutdown(self.pod, socket) } else { Ok(()) };
        reading.and(writing)
    }

    fn listen(&mut self, name: &str, port: u16, backlog: u32, options: &[SetOption]) -> Option<Value> {
        match self.world.tcp_listen(self.pod, (Ipv4Addr::UNSPECIFIED, port).into(), backlog) {
            Ok(socket) => {
                self.set_options(socket, options);
                self.sockets.insert(name.to_owned(), socket);
                None
            }
            Err(errno) => Some(named(errno)),
        }
    }

    /// As the lab does it: bind(), to a port of anybody's only with SO_REUSEADDR, then connect().
    fn connect(&mut self, name: &str, flow: &str, options: &[SetOption], reuse: bool) -> Value {
        let (pod, peer) = self.flows[flow].ends;
        let rows = self.world.netns(self.pod).tcp_rows();
        if rows.iter().any(|row| row.local.port() == pod.port() && (!reuse || row.state == State::Listen)) {
            return named(Errno::EADDRINUSE);
        }
        let mut wanted = SocketOptions::default();
        options.iter().for_each(|option| {
            option.apply(&mut wanted);
        });
        let local = (Ipv4Addr::UNSPECIFIED, pod.port()).into();
        match self.world.tcp_connect(self.pod, local, peer, wanted) {
            Ok(socket) => {
                self.sockets.insert(name.to_owned(), socket);
                self.set_options(socket, options);
                json!("EINPROGRESS")
            }
            Err(errno) => named(errno),
        }
    }

    fn accept(&mut self, name: &str, listener: SocketId) -> Value {
        let Some((socket, peer)) = self.world.tcp_accept(self.pod, listener) else { return named(Errno::EAGAIN) };
        self.sockets.insert(name.to_owned(), socket);
        let local = self.world.tcp_endpoints(self.pod, socket).map(|(local, _)| local);
        let known = self.flows.iter().find(|(_, flow)| Some(flow.ends.0) == local && flow.ends.1 == peer);
        json!(format!("from {}", known.map_or(peer.port().to_string(), |(name, _)| name.clone())))
    }

    fn set_options(&mut self, socket: SocketId, options: &[SetOption]) {
        let mut wanted = self.world.tcp_options(self.pod, socket).cloned().unwrap_or_default();
        if options.iter().filter(|option| option.apply(&mut wanted)).count() > 0 {
            self.world.tcp_set_options(self.pod, socket, wanted);
        }
        for quickack in options.iter().filter(|option| option.name == "quickack") {
            self.world.tcp_set_quickack(self.pod, socket, quickack.value != 0);
        }
    }

    fn poll(&self, socket: SocketId) -> Value {
        let ready = self.world.tcp_readiness(self.pod, socket);
        let words = [
            (ready.readable, "IN"),
            (ready.writable, "OUT"),
            (ready.error, "ERR"),
            (ready.hangup, "HUP"),
            (ready.read_closed, "RDHUP"),
        ];
        let words: Vec<_> = words.into_iter().filter_map(|(set, word)| set.then_some(word)).collect();
        json!(if words.is_empty() { "none".to_owned() } else { words.join(" ") })
    }

    fn show_sockets(&self) -> Value {
        let mut lines: Vec<_> = self.world.netns(self.pod).tcp_rows().iter().map(show_row).collect();
        lines.sort();
        json!(lines)
    }

    /// Lets the stack choose `n` ports, for connections to nobody or for sockets that wait; tells their properties.
    fn choose_ports(&mut self, n: u16, bind: bool) -> Result<Value, Refused> {
        let any: SocketAddr = (Ipv4Addr::UNSPECIFIED, 0).into();
        let (mut sockets, mut ports) = (Vec::new(), Vec::new());
        for _ in 0..n {
            let socket = match bind {
                true => self.world.tcp_listen(self.pod, any, 0),
                false => self.world.tcp_connect(self.pod, any, (PEER, DISCARD).into(), SocketOptions::default()),
            };
            sockets.push(socket.map_err(|e| Refused::Failed(e.to_string()))?);
        }
        for socket in sockets {
            ports.extend(self.world.tcp_local(self.pod, socket).map(|local| local.port()));
            self.world.tcp_close(self.pod, socket);
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

//! The bench: a pod's TCP, and a peer that sends what the script says.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use ipnet::IpNet;
use serde_json::{Map, Value, json};

use crate::engine::arena::SocketId;
use crate::engine::errno::Errno;
use crate::engine::rng::Seed;
use crate::engine::time::{Duration, Instant};
use crate::netns::socket::tcp::*;

const FLAGS: [(u8, char); 8] = [(1, 'F'), (2, 'S'), (4, 'R'), (8, 'P'), (16, 'A'), (32, 'U'), (64, 'E'), (128, 'C')];

/// One connection of the script, with what both sides have sent so far.
struct Conn {
    pod: SocketAddr,
    peer: SocketAddr,
    pod_isn: u32,
    peer_isn: u32,
    /// Sequence number of the pod's last segment.
    last_seq: u32,
    /// The pod's last timestamp value, and all of the peer's.
    last_ts: u32,
    sent_ts: Vec<u32>,
}

pub(super) struct Bench {
    now: Instant,
    step_start: Instant,
    table: TcpTable,
    sockets: BTreeMap<String, SocketId>,
    conns: BTreeMap<String, Conn>,
    routes: Vec<(IpNet, Path)>,
    learned: BTreeMap<IpAddr, Path>,
    events: Vec<Value>,
}

impl Bench {
    pub(super) fn new(spec: &Value) -> Self {
        let mut config = TcpConfig { timestamps: false, ..TcpConfig::default() };
        for (key, value) in spec["sysctl"].as_object().into_iter().flatten() {
            set_sysctl(&mut config, key, value);
        }
        if let Some(algorithm) = spec["cc"].as_str() {
            config.set("net.ipv4.tcp_congestion_control", algorithm).expect("known congestion control");
        }
        let conns = spec["conns"].as_object().into_iter().flatten().map(|(name, c)| {
            let ip: IpAddr = c["ip"].as_str().unwrap_or("10.244.2.2").parse().expect("an address");
            let pod = SocketAddr::new("10.244.1.2".parse().expect("an address"), c["pod"].as_u64().unwrap_or(0) as u16);
            let peer = SocketAddr::new(ip, c["peer"].as_u64().unwrap_or(0) as u16);
            let (last_seq, last_ts, sent_ts) = (0, 0, Vec::new());
            (name.clone(), Conn { pod, peer, pod_isn: 0, peer_isn: 1_000_000, last_seq, last_ts, sent_ts })
        });
        let now = Instant::START + Duration::from_secs(1000);
        Self {
            now,
            step_start: now,
            table: TcpTable::new(config, SocketId(1), Seed(7).stream("tcp", 0)),
            sockets: BTreeMap::new(),
            conns: conns.collect(),
            routes: Vec::new(),
            learned: BTreeMap::new(),
            events: Vec::new(),
        }
    }

    /// Runs one step and the time after it.
    pub(super) fn step(&mut self, step: &Value) -> Value {
        self.step_start = self.now;
        self.events.clear();
        let mut result = Map::new();
        let saw = self.perform(step);
        if !saw.is_null() {
            result.insert("saw".into(), saw);
        }
        self.collect();
        let seconds = step["for"].as_f64().unwrap_or(0.03);
        self.pass(Duration::from_micros((seconds * 1e6) as u64), step["until"].as_u64());
        if step["after"].is_object() {
            result.insert("after".into(), self.perform(&step["after"]));
            self.collect();
        }
        result.insert("ev".into(), Value::Array(std::mem::take(&mut self.events)));
        Value::Object(result)
    }

    /// Lets time pass; until `enough` segments were sent, if that is less, but half a millisecond at least.
    fn pass(&mut self, duration: Duration, enough: Option<u64>) {
        let end = self.now + duration;
        loop {
            let done = enough.is_some_and(|n| self.events.iter().filter(|e| e["d"] == "tx").count() as u64 >= n);
            let end = if done { self.now + Duration::from_micros(500) } else { end };
            let at = self.table.next_timer();
            if at > end {
                self.now = end;
                return;
            }
            self.now = self.now.max(at);
            self.table.on_timer(self.now);
            self.collect();
        }
    }

    fn perform(&mut self, step: &Value) -> Value {
        let socket = step["s"].as_str().and_then(|name| self.sockets.get(name)).copied().unwrap_or(SocketId(0));
        let now = self.now;
        match step["do"].as_str().unwrap_or_default() {
            "listen" => self.listen(step),
            "connect" => self.connect(step),
            "accept" => self.accept(step),
            "send" => said(self.table.send(now, socket, &vec![b's'; step["n"].as_u64().unwrap_or(0) as usize])),
            "recv" => match self.table.recv(now, socket, step["n"].as_u64().unwrap_or(1 << 20) as usize) {
                Ok(data) if data.is_empty() => json!("eof"),
                other => said(other.map(|data| data.len())),
            },
            "shutdown" => self.table.shutdown_write(now, socket).map_or_else(|e| json!(e.name()), |()| Value::Null),
            "close" => {
                self.table.close(now, socket);
                Value::Null
            }
            "abort" => {
                self.table.abort(now, socket);
                Value::Null
            }
            "opt" => self.set_option(socket, step),
            "seg" => {
                match step["list"].as_array() {
                    Some(list) => list.iter().for_each(|one| self.segment(one)),
                    None => self.segment(step),
                }
                Value::Null
            }
            "icmp" => self.icmp(step),
            "poll" => self.poll(socket),
            "error" => json!(self.table.take_error(socket).map_or("none", Errno::name)),
            "info" => self.info(socket, step),
            "ss" => self.show(),
            "stat" => {
                let keys = step["keys"].as_array().into_iter().flatten().filter_map(Value::as_str);
                Value::Object(keys.map(|key| (key.to_owned(), json!(self.table.counter(key)))).collect())
            }
            "sysctl" => {
                for (key, value) in step["set"].as_object().into_iter().flatten() {
                    set_sysctl(self.table.config_mut(), key, value);
                }
                Value::Null
            }
            "ip" => {
                step["lines"].as_array().into_iter().flatten().filter_map(Value::as_str).for_each(|line| self.ip(line));
                Value::Null
            }
            _ => Value::Null,
        }
    }

    fn listen(&mut self, step: &Value) -> Value {
        let at = SocketAddr::new([0, 0, 0, 0].into(), step["port"].as_u64().unwrap_or(0) as u16);
        let backlog = step["backlog"].as_u64().unwrap_or(8) as u32;
        match self.table.listen(at, backlog, options(&step["opt"])) {
            Ok(id) => {
                self.sockets.insert(name(step, "s"), id);
                Value::Null
            }
            Err(e) => json!(e.name()),
        }
    }

    fn connect(&mut self, step: &Value) -> Value {
        let conn = &self.conns[step["c"].as_str().unwrap_or_default()];
        let (local, remote) = (conn.pod, conn.peer);
        let path = self.path(remote.ip());
        match self.table.connect(self.now, local, remote, path, options(&step["opt"])) {
            Ok(id) => {
                self.sockets.insert(name(step, "s"), id);
                json!("EINPROGRESS")
            }
            Err(e) => json!(e.name()),
        }
    }

    fn accept(&mut self, step: &Value) -> Value {
        let listener = self.sockets[step["of"].as_str().unwrap_or_default()];
        let Some((id, peer)) = self.table.accept(listener) else { return json!("EAGAIN") };
        self.sockets.insert(name(step, "s"), id);
        let conn = self.conns.iter().find(|(_, c)| c.peer == peer).map_or("?", |(name, _)| name);
        json!(format!("from {conn}"))
    }

    fn set_option(&mut self, socket: SocketId, step: &Value) -> Value {
        let (option, value) = (name(step, "name"), step["value"].as_u64().unwrap_or(0));
        if option == "quickack" {
            self.table.set_quickack(self.now, socket, value != 0);
            return Value::Null;
        }
        let mut options = self.table.options(socket).cloned().unwrap_or_default();
        apply(&mut options, &option, value);
        self.table.set_options(self.now, socket, options);
        Value::Null
    }

    /// The peer sends a segment.
    fn segment(&mut self, s: &Value) {
        let conn = self.conns.get_mut(s["c"].as_str().unwrap_or_default()).expect("a connection of the script");
        if let Some(isn) = s["isn"].as_u64() {
            conn.peer_isn = isn as u32;
        }
        let number = |key: &str| s[key].as_i64().unwrap_or(0) as u32;
        let flags = s["fl"].as_str().unwrap_or_default();
        let flags = FLAGS.iter().filter(|(_, c)| flags.contains(*c)).map(|(bit, _)| bit).sum();
        let opt = &s["opt"];
        let mut options = Options {
            mss: opt["mss"].as_u64().map(|n| n as u16),
            window_scale: opt["ws"].as_u64().map(|n| (n as u8).min(14)),
            sack_permitted: !opt["sackok"].is_null(),
            ..Options::default()
        };
        if let Some(ts) = opt["ts"].as_u64() {
            let clock = 1_000_000 + (self.now.as_nanos() / 1_000_000) as u32;
            let value = if ts == 1 { clock } else { ts as u32 };
            conn.sent_ts.push(value);
            let echo = opt["ecr"].as_u64().map_or(conn.last_ts, |n| n as u32);
            options.timestamps = Some(Timestamps { value, echo });
        }
        for block in opt["sack"].as_array().into_iter().flatten() {
            let at = |i: usize| conn.pod_isn.wrapping_add(block[i].as_i64().unwrap_or(0) as u32);
            options.sack.push(SackBlock { start: at(0), end: at(1) });
        }
        let segment = Segment {
            src: conn.peer,
            dst: conn.pod,
            seq: conn.peer_isn.wrapping_add(number("seq")),
            ack: if s["ack"].is_null() { 0 } else { conn.pod_isn.wrapping_add(number("ack")) },
            flags,
            window: s["win"].as_u64().unwrap_or(65_535) as u16,
            options,
            payload: Bytes::from(vec![b'd'; number("len") as usize]),
        };
        // The lab's host drops what has a bad checksum before TCP sees it.
        if s["ck"] != "bad" {
            let path = self.path(segment.src.ip());
            self.table.on_segment(self.now, &segment, path);
        }
        self.collect();
    }

    fn icmp(&mut self, step: &Value) -> Value {
        let conn = &self.conns[step["c"].as_str().unwrap_or_default()];
        let seq = step["seq"].as_i64().map_or(conn.last_seq, |n| conn.pod_isn.wrapping_add(n as u32));
        let number = |key: &str| step[key].as_u64().unwrap_or(0);
        let (local, remote) = (conn.pod, conn.peer);
        if let Some(error) = IcmpError::v4(number("type") as u8, number("code") as u8, number("mtu") as u32)
            && let Some(path) = self.table.on_icmp_error(self.now, local, remote, seq, error)
        {
            self.learned.insert(remote.ip(), path);
        }
        Value::Null
    }

    fn poll(&self, socket: SocketId) -> Value {
        let r = self.table.readiness(socket);
        let words =
            [(r.readable, "IN"), (r.writable, "OUT"), (r.error, "ERR"), (r.hangup, "HUP"), (r.read_closed, "RDHUP")];
        let words: Vec<_> = words.into_iter().filter_map(|(set, word)| set.then_some(word)).collect();
        json!(if words.is_empty() { "none".to_owned() } else { words.join(" ") })
    }

    fn info(&self, socket: SocketId, step: &Value) -> Value {
        let Some(i) = self.table.info(socket) else { return json!("no such socket") };
        let default = json!(["rto", "snd_mss", "unacked", "cwnd", "ssthresh"]);
        let keys = if step["keys"].is_array() { &step["keys"] } else { &default };
        let mut out = Map::new();
        out.insert("state".into(), json!(i.state.to_string()));
        out.insert("ca".into(), json!(i.ca_state.name()));
        for key in keys.as_array().into_iter().flatten().filter_map(Value::as_str) {
            let value = match key {
                "rto" => json!(i.rto.as_millis()),
                "ato" => json!(i.ato.as_millis()),
                "snd_mss" => json!(i.snd_mss),
                "rcv_mss" => json!(i.rcv_mss),
                "unacked" => json!(i.unacked),
                "sacked" => json!(i.sacked),
                "lost" => json!(i.lost),
                "retrans" => json!(i.retrans),
                "cwnd" => json!(i.cwnd),
                "ssthresh" if i.ssthresh == 0x7fff_ffff => json!("inf"),
                "ssthresh" => json!(i.ssthresh),
                "pmtu" => json!(i.pmtu),
                _ => Value::Null,
            };
            out.insert(key.into(), value);
        }
        for (key, n) in [("retransmits", i.retransmits), ("probes", i.probes), ("backoff", i.backoff)] {
            if n > 0 {
                out.insert(key.into(), json!(n));
            }
        }
        Value::Object(out)
    }

    fn show(&self) -> Value {
        let mut lines: Vec<_> = self.table.rows().iter().map(show_row).collect();
        lines.sort();
        json!(lines)
    }

    /// `route add PREFIX via … [mtu N] [advmss N]`.
    fn ip(&mut self, line: &str) {
        let words: Vec<_> = line.split_whitespace().collect();
        let after = |word: &str| words.iter().position(|w| *w == word).and_then(|i| words.get(i + 1));
        if let ["route", "add", prefix, ..] = words[..] {
            let mtu = after("mtu").and_then(|n| n.parse().ok()).unwrap_or(1450);
            let advmss = after("advmss").and_then(|n| n.parse().ok());
            self.routes.push((prefix.parse().expect("a prefix"), Path { advmss, ..Path::new(mtu) }));
        }
    }

    fn path(&self, to: IpAddr) -> Path {
        let route = self.routes.iter().find(|(prefix, _)| prefix.contains(&to)).map(|(_, path)| *path);
        self.learned.get(&to).copied().or(route).unwrap_or(Path::new(1450))
    }

    /// Fetches what the pod has sent.
    fn collect(&mut self) {
        while let Some(out) = self.table.poll_output() {
            let t = (self.now.since(self.step_start).as_micros() + 500) / 1000;
            let event = self.describe(&out, t);
            self.events.push(event);
        }
        while self.table.poll_wake().is_some() {}
    }

    fn describe(&mut self, out: &OutSegment, t: u64) -> Value {
        let s = &out.segment;
        let Some((name, conn)) = self.conns.iter_mut().find(|(_, c)| c.pod == s.src && c.peer == s.dst) else {
            return json!({"d": "tx", "c": "?", "t": t});
        };
        if s.has(crate::wire::l4::SYN) {
            conn.pod_isn = s.seq;
        }
        conn.last_seq = s.seq;
        let relative = |seq: u32, base: u32| seq.wrapping_sub(base) as i32;
        let mut e = Map::new();
        e.insert("t".into(), json!(t));
        e.insert("d".into(), json!("tx"));
        e.insert("c".into(), json!(name));
        let flags: String = FLAGS.iter().filter(|(bit, _)| s.has(*bit)).map(|(_, c)| *c).collect();
        e.insert("fl".into(), json!(flags));
        e.insert("seq".into(), json!(relative(s.seq, conn.pod_isn)));
        if s.has(crate::wire::l4::ACK) {
            e.insert("ack".into(), json!(relative(s.ack, conn.peer_isn)));
        }
        e.insert("win".into(), json!(s.window));
        if !s.payload.is_empty() {
            e.insert("len".into(), json!(s.payload.len()));
        }
        let options = show_options(&s.options, &s.options.to_bytes(), conn);
        if !options.is_empty() {
            e.insert("opt".into(), json!(options));
        }
        for (key, shown, value) in [("df", !out.df, 0), ("id", out.id_zero, 0), ("tos", out.tos != 0, out.tos)] {
            if shown {
                e.insert(key.into(), json!(value));
            }
        }
        if let Some(ttl) = out.ttl.filter(|ttl| *ttl != 64) {
            e.insert("ttl".into(), json!(ttl));
        }
        Value::Object(e)
    }
}

/// The option bytes in words, as the lab's capture shows them.
fn show_options(options: &Options, mut bytes: &[u8], conn: &mut Conn) -> Vec<String> {
    let mut out = Vec::new();
    while let [kind, rest @ ..] = bytes {
        let len = if *kind < 2 { 1 } else { usize::from(rest[0]) };
        match kind {
            1 => out.push("nop".to_owned()),
            2 => out.push(format!("mss={}", options.mss.unwrap_or(0))),
            3 => out.push(format!("ws={}", rest[1])),
            4 => out.push("sackok".into()),
            5 => {
                let at = |n: u32| n.wrapping_sub(conn.peer_isn) as i32;
                let blocks = options.sack.as_slice().iter().take((len - 2) / 8);
                out.extend(blocks.map(|b| format!("sack {}-{}", at(b.start), at(b.end))));
            }
            _ => {
                let ts = options.timestamps.unwrap_or_default();
                conn.last_ts = ts.value;
                let back = conn.sent_ts.iter().position(|v| *v == ts.echo).map(|i| conn.sent_ts.len() - 1 - i);
                out.push(match (ts.echo, back) {
                    (0, _) => "ts ecr=0".into(),
                    (_, Some(0)) => "ts ecr=last".into(),
                    (_, Some(n)) => format!("ts ecr=last-{n}"),
                    _ => "ts ecr=?".into(),
                });
            }
        }
        bytes = &bytes[len..];
    }
    out
}

fn show_row(row: &Row) -> String {
    let line = format!("{} {} {}", row.local.port(), row.remote.map_or(0, |r| r.port()), row.state);
    match row.state {
        State::Listen => format!("{line} queue={}", row.receive_queue),
        _ if row.receive_queue + row.send_queue > 0 => format!("{line} tx={} rx={}", row.send_queue, row.receive_queue),
        _ => line,
    }
}

fn said(result: Result<usize, Errno>) -> Value {
    result.map_or_else(|e| json!(e.name()), |n| json!(n))
}

fn name(step: &Value, key: &str) -> String {
    step[key].as_str().unwrap_or_default().to_owned()
}

fn set_sysctl(config: &mut TcpConfig, key: &str, value: &Value) {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    config.set(key, &text).unwrap_or_else(|e| panic!("{key}: {e}"));
}

fn options(given: &Value) -> SocketOptions {
    let mut options = SocketOptions::default();
    for (name, value) in given.as_object().into_iter().flatten() {
        apply(&mut options, name, value.as_u64().unwrap_or(0));
    }
    options
}

fn apply(options: &mut SocketOptions, name: &str, value: u64) {
    let seconds = Some(Duration::from_secs(value));
    match name {
        "nodelay" => options.nodelay = value != 0,
        "cork" => options.cork = value != 0,
        "keepalive" => options.keepalive = value != 0,
        "keepidle" => options.keepidle = seconds,
        "keepintvl" => options.keepintvl = seconds,
        "defer_accept" => options.defer_accept = seconds,
        "linger2" => options.linger2 = seconds,
        "keepcnt" => options.keepcnt = Some(value as u32),
        "user_timeout" => options.user_timeout = Some(Duration::from_millis(value)),
        "syncnt" => options.syncnt = Some(value as u32),
        "maxseg" => options.maxseg = Some(value as u16),
        "rcvbuf" => options.rcvbuf = Some(value as u32),
        "sndbuf" => options.sndbuf = Some(value as u32),
        "recverr" => options.recverr = value != 0,
        "ttl" => options.ttl = Some(value as u8),
        "tos" => options.tos = value as u8,
        "reuseaddr" => {}
        other => panic!("unknown option {other}"),
    }
}

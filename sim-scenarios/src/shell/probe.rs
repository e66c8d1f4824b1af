//! `ping`, which takes time, so that the world goes on meanwhile.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use sim_core::engine::arena::{NetnsId, SocketId};
use sim_core::engine::errno::Errno;
use sim_core::engine::time::{Duration, Instant};
use sim_core::netns::socket::{ErrorOrigin, SocketError};
use sim_core::wire::icmp::echo_reply;
use sim_core::wire::ip::Family;

use super::session::Network;
use super::{Answer, NotUnderstood, Output};

pub(super) const PING_USAGE: &[&str] = &["ping [-c N] [-s BYTES] [-t TTL] [-i SECONDS] [-W SECONDS] ADDR"];

/// Echo requests sent if nothing is said: a shell without Ctrl-C has to end by itself.
const COUNT: u16 = 4;
/// How long `ping` waits for the last reply (iputils, `MAXWAIT`).
const PATIENCE: u64 = 10;
/// Bytes of data in an echo request, unless told otherwise.
const DATA: usize = 56;
/// Largest data of an echo request: 65,535 less both headers.
const MAX_DATA: usize = 65_507;

/// What `ping` is told.
struct Ping {
    to: IpAddr,
    count: u16,
    data: usize,
    ttl: Option<u8>,
    interval: Duration,
    patience: Duration,
}

impl Ping {
    fn read(words: &[&str]) -> Result<Self, NotUnderstood> {
        let bad = |word: &str| NotUnderstood::word(word, PING_USAGE[0]);
        let second = Duration::from_secs(1);
        let mut ping = Self {
            to: Ipv4Addr::UNSPECIFIED.into(),
            count: COUNT,
            data: DATA,
            ttl: None,
            interval: second,
            patience: second.saturating_mul(PATIENCE),
        };
        let (to, options) = words.split_last().ok_or_else(|| bad(""))?;
        ping.to = to.parse().ok().filter(IpAddr::is_ipv4).ok_or_else(|| bad(to))?;
        let (pairs, rest) = options.as_chunks::<2>();
        if let [word] = rest {
            return Err(bad(word));
        }
        for [option, value] in pairs {
            let seconds = || value.parse().map(|n| second.saturating_mul(n)).map_err(|_| bad(value));
            match *option {
                "-c" => ping.count = value.parse().ok().filter(|n| *n > 0).ok_or_else(|| bad(value))?,
                "-s" => ping.data = value.parse().ok().filter(|n| *n <= MAX_DATA).ok_or_else(|| bad(value))?,
                "-t" => ping.ttl = Some(value.parse().ok().filter(|n| *n > 0).ok_or_else(|| bad(value))?),
                "-i" => ping.interval = seconds()?,
                "-W" => ping.patience = seconds()?,
                other => return Err(bad(other)),
            }
        }
        Ok(ping)
    }
}

/// A `ping` under way.
struct Pinging<'n, 's> {
    net: &'n mut Network<'s>,
    netns: NetnsId,
    socket: SocketId,
    id: u16,
    sent: Vec<Instant>,
    /// Round trips in nanoseconds.
    trips: Vec<u64>,
    errors: usize,
    out: String,
}

pub(super) fn ping(net: &mut Network<'_>, netns: NetnsId, words: &[&str]) -> Answer {
    let ping = Ping::read(words)?;
    let world = net.world_mut();
    // ping asks for the route first, by connecting a UDP socket it does not use further.
    let family = Family::of(ping.to);
    let probe = world.udp_bind(netns, (family.unspecified(), 0).into(), false);
    let connected = probe.and_then(|probe| {
        let connected = world.udp_connect(netns, probe, SocketAddr::new(ping.to, 1025));
        world.close(netns, probe);
        connected
    });
    if let Err(errno) = connected {
        return Ok(Output::refused(2, format!("ping: connect: {}", errno.message())));
    }
    let socket = world.raw_open(netns, family.unspecified());
    if let Some(socket) = world.raw(netns, socket) {
        socket.ttl = ping.ttl;
    }
    let id = net.next_probe();
    let begun = net.world().now();
    let out = match family {
        Family::V4 => format!("PING {0} ({0}) {1}({2}) bytes of data.\n", ping.to, ping.data, ping.data + 28),
        Family::V6 => format!("PING {0}({0}) {1} data bytes\n", ping.to, ping.data),
    };
    let mut pinging = Pinging { net, netns, socket, id, sent: Vec::new(), trips: Vec::new(), errors: 0, out };
    pinging.all(&ping);
    let took = pinging.net.world().now().since(begun);
    Ok(pinging.summary(&ping, took))
}

impl Pinging<'_, '_> {
    fn all(&mut self, ping: &Ping) {
        let data: Vec<u8> = (0..ping.data).map(|at| at as u8).collect();
        for seq in 1..=ping.count {
            let now = self.net.world().now();
            self.sent.push(now);
            let sent = self.net.world_mut().ping(self.netns, self.socket, ping.to, (self.id, seq), &data);
            if let Err(SocketError { errno: Some(errno), .. }) = sent {
                self.errors += 1;
                self.out += &format!("ping: sendmsg: {}\n", errno.message());
            }
            let last = seq == ping.count;
            self.listen(now + if last { ping.patience } else { ping.interval }, last);
            if self.net.is_stopped() {
                break;
            }
        }
        let (netns, socket) = (self.netns, self.socket);
        self.net.world_mut().close(netns, socket);
    }

    /// Takes what comes until then, or until nothing is missing if it is the last wait.
    fn listen(&mut self, until: Instant, last: bool) {
        loop {
            self.take();
            let complete = self.trips.len() + self.errors >= self.sent.len();
            if last && complete || !self.net.step(until) {
                return;
            }
        }
    }

    fn take(&mut self) {
        let (netns, socket) = (self.netns, self.socket);
        while let Some((ip, message)) = self.net.world_mut().raw_recv(netns, socket) {
            let word = |at: usize| message.get(at..at + 2).map(|b| u16::from_be_bytes([b[0], b[1]]));
            let (Some(id), Some(seq)) = (word(4), word(6)) else { continue };
            let Some(sent) = self.sent.get(usize::from(seq).wrapping_sub(1)) else { continue };
            if message[0] != echo_reply(ip.family()) || id != self.id {
                continue;
            }
            let trip = self.net.world().now().since(*sent).as_nanos();
            self.trips.push(trip);
            let (bytes, from, ttl) = (message.len(), ip.src, ip.ttl);
            self.out += &format!("{bytes} bytes from {from}: icmp_seq={seq} ttl={ttl} time={} ms\n", trip_time(trip));
        }
        while let Some(error) = self.net.world_mut().raw(netns, socket).and_then(|socket| socket.errors.pop()) {
            self.errors += 1;
            let seq = self.sent.len();
            self.out += &match error.origin {
                ErrorOrigin::Icmp { from, kind, code } => {
                    let told =
                        if from.is_ipv4() { told(kind, code, error.mtu) } else { told_v6(kind, code, error.mtu) };
                    format!("From {from} icmp_seq={seq} {told}\n")
                }
                ErrorOrigin::Local => {
                    format!("ping: local error: {}, mtu={}\n", error.errno.map_or("", Errno::message), error.mtu)
                }
            };
        }
    }

    fn summary(mut self, ping: &Ping, took: Duration) -> Output {
        let (sent, received) = (self.sent.len(), self.trips.len());
        let errors = if self.errors > 0 { format!(" +{} errors,", self.errors) } else { String::new() };
        let lost = sent.saturating_sub(received) * 100 / sent.max(1);
        let to = ping.to;
        self.out += &format!(
            "\n--- {to} ping statistics ---\n{sent} packets transmitted, {received} received,{errors} {lost}% packet loss, time {}ms\n",
            took.as_millis()
        );
        self.out += &round_trips(&self.trips);
        Output { status: i32::from(received == 0), stdout: self.out, stderr: String::new() }
    }
}

/// iputils, `pr_icmph`.
fn told(kind: u8, code: u8, mtu: u32) -> String {
    match (kind, code) {
        (3, 0) => "Destination Net Unreachable".to_owned(),
        (3, 1) => "Destination Host Unreachable".to_owned(),
        (3, 2) => "Destination Protocol Unreachable".to_owned(),
        (3, 3) => "Destination Port Unreachable".to_owned(),
        (3, 4) => format!("Frag needed and DF set (mtu = {mtu})"),
        (3, 9 | 10 | 13) => "Packet filtered".to_owned(),
        (3, code) => format!("Dest Unreachable, Bad Code: {code}"),
        (11, 0) => "Time to live exceeded".to_owned(),
        (11, _) => "Frag reassembly time exceeded".to_owned(),
        (kind, _) => format!("Bad ICMP type: {kind}"),
    }
}

/// iputils, `print_icmp` of ping6.
fn told_v6(kind: u8, code: u8, mtu: u32) -> String {
    match (kind, code) {
        (1, 0) => "Destination unreachable: No route".to_owned(),
        (1, 1) => "Destination unreachable: Administratively prohibited".to_owned(),
        (1, 2) => "Destination unreachable: Beyond scope of source address".to_owned(),
        (1, 3) => "Destination unreachable: Address unreachable".to_owned(),
        (1, 4) => "Destination unreachable: Port unreachable".to_owned(),
        (1, code) => format!("Destination unreachable: Unknown code {code}"),
        (2, _) => format!("Packet too big: mtu={mtu}"),
        (3, 0) => "Time exceeded: Hop limit".to_owned(),
        (3, _) => "Time exceeded: Defragmentation failure".to_owned(),
        (4, 0) => "Parameter problem: Wrong header field".to_owned(),
        (4, 1) => "Parameter problem: Unknown header".to_owned(),
        (4, _) => "Parameter problem: Unknown option".to_owned(),
        (kind, _) => format!("unknown icmp type: {kind}"),
    }
}

/// Milliseconds with three digits of them (iputils, `gather_statistics`).
fn trip_time(nanos: u64) -> String {
    let micros = nanos / 1000;
    let (whole, rest) = (micros / 1000, micros % 1000);
    match micros {
        100_000.. => whole.to_string(),
        10_000.. => format!("{whole}.{:01}", rest / 100),
        1_000.. => format!("{whole}.{:02}", rest / 10),
        _ => format!("{whole}.{rest:03}"),
    }
}

fn round_trips(trips: &[u64]) -> String {
    let micros: Vec<u64> = trips.iter().map(|nanos| nanos / 1000).collect();
    let (Some(min), Some(max)) = (micros.iter().min(), micros.iter().max()) else { return "\n".to_owned() };
    let n = micros.len() as u64;
    let average = micros.iter().sum::<u64>() / n;
    let squares = micros.iter().map(|us| u128::from(*us) * u128::from(*us)).sum::<u128>() / u128::from(n);
    let deviation = squares.saturating_sub(u128::from(average) * u128::from(average)).isqrt() as u64;
    let shown = [*min, average, *max, deviation].map(|us| format!("{}.{:03}", us / 1000, us % 1000));
    format!("rtt min/avg/max/mdev = {} ms\n", shown.join("/"))
}

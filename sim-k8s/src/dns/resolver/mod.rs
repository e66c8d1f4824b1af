//! The resolver in a pod: what `getaddrinfo` of a C library does to find the addresses of a name.
//!
//! | room | what it is |
//! | --- | --- |
//! | `conf` | `resolv.conf`, and what the kubelet writes into a pod's |
//! | `glibc` | one server after the other, A and AAAA from one socket |
//! | `musl` | all servers at once, and the first definite answer counts |
//! | `sort` | in which order addresses are tried |
//!
//! A [`Lookup`] has no sockets and no clock. Whoever drives it hands it what arrived and says what time it is, and does the
//! [`Action`]s it asks for.

mod conf;
mod glibc;
mod musl;
mod sort;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use hickory_proto::op::{Message, MessageType, Query};
use hickory_proto::rr::{Name, RData, RecordType};
use hickory_proto::serialize::binary::NameEncoding;
use sim_core::engine::rng::Stream;
use sim_core::engine::time::Instant;

use super::{message, name};

pub use conf::{ClusterDns, ResolvConf};
pub use sort::{Source, sort};

/// Most servers that are asked (`MAXNS`).
const MAX_SERVERS: usize = 3;
/// The port that servers listen on.
pub const PORT: u16 = 53;

/// A C library's resolver.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Libc {
    /// The GNU C library: most distributions.
    #[default]
    Glibc,
    /// musl, as Alpine has it.
    Musl,
}

/// How the programs of a pod resolve names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Resolver {
    /// Their C library.
    pub libc: Libc,
    /// What it is told.
    pub conf: ResolvConf,
    /// Names it knows without asking (`/etc/hosts`), in lower case.
    pub hosts: BTreeMap<String, Vec<IpAddr>>,
    /// glibc has learned to ask one question at a time.
    pub(super) one_by_one: glibc::OneByOne,
}

/// What a lookup wants done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Close the datagram socket, if there is one.
    Close,
    /// Open a datagram socket, connected to a server if one is named. There is none yet.
    Open(Option<SocketAddr>),
    /// Send a datagram to a server.
    Send(SocketAddr, Vec<u8>),
    /// Open a stream to a server and write these bytes. What comes back is for [`Lookup::received`], message by message.
    Stream(SocketAddr, Vec<u8>),
    /// Call [`Lookup::timed_out`] at this time; an earlier wish is forgotten.
    Wait(Instant),
    /// The lookup is over; its sockets can be closed.
    Done(Result<Vec<IpAddr>, Failure>),
}

/// What a datagram or stream socket may report.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SocketFailure {
    /// `ECONNREFUSED`: nobody listens there.
    Refused,
    /// Anything else: no route, no permission, a connection cut.
    Other,
}

/// Why a name has no addresses.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Failure {
    /// There is no such name (`EAI_NONAME`).
    NameError,
    /// The name has no addresses (`EAI_NODATA`).
    NoData,
    /// The servers failed (`EAI_AGAIN`).
    ServerFailure,
    /// No server answered in time (`EAI_AGAIN`).
    TimedOut,
    /// No server is there (`EAI_AGAIN`).
    Unreachable,
    /// The name cannot be asked for, or the answer makes no sense (`EAI_FAIL`).
    Unrecoverable,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NameError => "NXDOMAIN",
            Self::NoData => "NODATA",
            Self::ServerFailure => "SERVFAIL",
            Self::TimedOut => "DNS timed out",
            Self::Unreachable => "DNS server unreachable",
            Self::Unrecoverable => "DNS failed",
        })
    }
}

/// One lookup on its way.
#[derive(Clone, Debug)]
pub struct Lookup(Machine);

#[derive(Clone, Debug)]
enum Machine {
    Glibc(Box<glibc::Lookup>),
    Musl(Box<musl::Lookup>),
}

impl Resolver {
    /// One of this C library.
    pub fn new(libc: Libc, conf: ResolvConf) -> Self {
        Self { libc, conf, hosts: BTreeMap::new(), one_by_one: glibc::OneByOne::default() }
    }

    /// Begins to look for the addresses of `name`. `draws` are its own.
    pub fn begin(&self, host: &str, now: Instant, draws: &mut Stream) -> (Option<Lookup>, Vec<Action>) {
        let at_once = |result| (None, vec![Action::Done(result)]);
        if let Ok(ip) = host.parse::<IpAddr>() {
            return at_once(Ok(vec![ip]));
        }
        let known = self.hosts.get(&host.trim_end_matches('.').to_ascii_lowercase());
        if let Some(ips) = known {
            return at_once(Ok(ips.clone()));
        }
        let (machine, actions) = match self.libc {
            Libc::Glibc => {
                let (lookup, actions) = glibc::Lookup::begin(self, host, now, draws);
                (Machine::Glibc(Box::new(lookup)), actions)
            }
            Libc::Musl => {
                let (lookup, actions) = musl::Lookup::begin(self, host, now, draws);
                (Machine::Musl(Box::new(lookup)), actions)
            }
        };
        (Some(Lookup(machine)), actions)
    }

    /// Takes over what a lookup has learned about the servers.
    pub fn learn(&mut self, lookup: &Lookup) {
        if let Machine::Glibc(lookup) = &lookup.0 {
            self.one_by_one = lookup.one_by_one();
        }
    }

    /// The servers it asks; where none is named the one of its own host.
    fn servers(&self) -> Vec<SocketAddr> {
        let own = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let named = &self.conf.nameservers;
        let ips = if named.is_empty() { std::slice::from_ref(&own) } else { &named[..named.len().min(MAX_SERVERS)] };
        ips.iter().map(|ip| SocketAddr::new(*ip, PORT)).collect()
    }
}

impl Lookup {
    /// A message came from a server, in a datagram or in a stream.
    pub fn received(&mut self, from: SocketAddr, bytes: &[u8], now: Instant, draws: &mut Stream) -> Vec<Action> {
        match &mut self.0 {
            Machine::Glibc(lookup) => lookup.received(bytes, now, draws),
            Machine::Musl(lookup) => lookup.received(from, bytes, now, draws),
        }
    }

    /// The datagram socket reports a failure.
    pub fn failed(&mut self, failure: SocketFailure, now: Instant, draws: &mut Stream) -> Vec<Action> {
        match &mut self.0 {
            Machine::Glibc(lookup) => lookup.failed(failure, now, draws),
            // It ignores what its socket says, and sends again when it is time.
            Machine::Musl(_) => Vec::new(),
        }
    }

    /// A stream could not be opened, or ended before all answers were there.
    pub fn stream_failed(&mut self, failure: SocketFailure, now: Instant, draws: &mut Stream) -> Vec<Action> {
        match &mut self.0 {
            Machine::Glibc(lookup) => lookup.failed(failure, now, draws),
            Machine::Musl(lookup) => lookup.stream_failed(),
        }
    }

    /// The time has come that was last asked for.
    pub fn timed_out(&mut self, now: Instant, draws: &mut Stream) -> Vec<Action> {
        match &mut self.0 {
            Machine::Glibc(lookup) => lookup.timed_out(now, draws),
            Machine::Musl(lookup) => lookup.timed_out(now, draws),
        }
    }
}

/// How many dots a name has, and whether it ends in one.
fn dots(host: &str) -> (u64, bool) {
    (host.matches('.').count() as u64, host.ends_with('.'))
}

/// `host` completed with `domain`; `None` if that is no name.
fn completed(host: &str, domain: &str) -> Option<Name> {
    let domain = domain.strip_prefix('.').unwrap_or(domain);
    name::absolute(&if domain.is_empty() { format!("{host}.") } else { format!("{host}.{domain}") })
}

/// The question of one type, and its bytes.
#[derive(Clone, Debug)]
struct Asked {
    id: u16,
    query: Query,
    bytes: Vec<u8>,
}

/// Asks for addresses of both families (A first), each under an id of its own.
fn questions(name: &Name, types: &[RecordType], draws: &mut Stream) -> Vec<Asked> {
    let mut ids: Vec<u16> = Vec::new();
    let asked = types.iter().map(|record_type| {
        let mut id = draws.below(1 << 16) as u16;
        while ids.contains(&id) {
            id = id.wrapping_add(1);
        }
        ids.push(id);
        let message = message::query(id, name.clone(), *record_type);
        let bytes = message::encode(&message, NameEncoding::Uncompressed).expect("a question can be written");
        Asked { id, query: message.queries[0].clone(), bytes }
    });
    asked.collect()
}

impl Asked {
    /// The message in `bytes`, if it is an answer to this question.
    fn answered(&self, bytes: &[u8]) -> Option<Message> {
        let message = Message::from_vec(bytes).ok()?;
        let is_answer = message.message_type == MessageType::Response && message.id == self.id;
        (is_answer && message.queries.as_slice() == std::slice::from_ref(&self.query)).then_some(message)
    }
}

/// The addresses in a message, in its order.
fn addresses(message: &Message) -> impl Iterator<Item = IpAddr> {
    message.answers.iter().filter_map(|record| match &record.data {
        RData::A(a) => Some(IpAddr::V4(a.0)),
        RData::AAAA(aaaa) => Some(IpAddr::V6(aaaa.0)),
        _ => None,
    })
}

#[cfg(test)]
mod tests;

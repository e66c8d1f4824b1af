//! CoreDNS with kubeadm's Corefile: bytes in, bytes out, or a question for the resolver outside.
//!
//! ```text
//! .:53 { errors; health { lameduck 5s }; ready; kubernetes …; forward . /etc/resolv.conf { max_concurrent 1000 }
//!        cache 30 { disable success cluster.local; disable denial cluster.local }; loop; reload; loadbalance }
//! ```
//!
//! A query passes the plugins in the order of plugin.cfg: `loadbalance`, `cache`, `kubernetes` ([`Records`]), `forward`; the
//! answer comes back the same way, and is cut to what the client can take. [`Server`] has no sockets and no clock: it is told
//! what arrived and when, and says what to send.

mod balance;
mod cache;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use hickory_proto::op::{Message, MessageType, Query, ResponseCode};
use hickory_proto::rr::{Name, Record};
use hickory_proto::serialize::binary::NameEncoding;
use sim_core::engine::rng::Stream;
use sim_core::engine::time::{Duration, Instant};

use super::message::{self, Received, Transport};
use super::records::{Answer, Records};
use cache::Cache;

/// How long one attempt at the resolver outside may take (`defaultReadTimeout`, plugin/forward/forward.go).
pub const READ_TIMEOUT: Duration = Duration::from_secs(2);
/// How long attempts are begun (`defaultTimeout`).
pub const FORWARD_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a question is sent on (`defaultConnectAttemptsPerUpstream`; there is one upstream).
pub const FORWARD_ATTEMPTS: u32 = 2;
/// Most questions sent on at a time (`max_concurrent` of kubeadm's Corefile).
pub const MAX_CONCURRENT: usize = 1000;

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Client {
    /// How the question came, and how the answer goes.
    pub transport: Transport,
    /// From where.
    pub peer: SocketAddr,
}

/// What a server wants done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// A message for a client.
    Answer {
        /// The client.
        client: Client,
        /// The message, without its length.
        message: Vec<u8>,
    },
    /// A question for the resolver outside. What comes of it is told by [`Server::answered`] or, if nothing came by `until`,
    /// [`Server::failed`].
    Ask {
        /// Tells it from others.
        exchange: u64,
        /// How to send it: as the client did.
        transport: Transport,
        /// The message, without its length.
        message: Vec<u8>,
        /// When to give up.
        until: Instant,
    },
    /// An exchange is over.
    Over {
        /// Which.
        exchange: u64,
        /// Its socket may serve another one.
        reusable: bool,
    },
}

/// CoreDNS.
#[derive(Clone, Debug)]
pub struct Server {
    records: Records,
    cache: Cache,
    forwards: BTreeMap<u64, Forward>,
    last_exchange: u64,
    draws: Stream,
}

/// A question that was sent on.
#[derive(Clone, Debug)]
struct Forward {
    client: Client,
    /// What the client asked.
    query: Message,
    /// What is asked outside.
    asked: Message,
    /// The id it was last sent under.
    id: u16,
    /// The aliases that lead to what was sent on.
    aliases: Vec<Record>,
    /// When the first attempt began.
    begun: Instant,
    attempts: u32,
}

/// What the plugins have for a query.
enum Served {
    Answer(Message),
    Forward { asked: Message, aliases: Vec<Record> },
}

impl Server {
    /// A server of `records`, for a cluster with this domain. `draws` are its own.
    ///
    /// # Panics
    /// If `domain` is no domain name.
    pub fn new(domain: &str, records: Records, draws: Stream) -> Self {
        let except = super::name::absolute(domain).expect("a domain name");
        Self { records, cache: Cache::new(except), forwards: BTreeMap::new(), last_exchange: 0, draws }
    }

    /// What it knows of the cluster.
    pub fn records(&self) -> &Records {
        &self.records
    }

    /// What it knows of the cluster, to tell it more.
    pub fn records_mut(&mut self) -> &mut Records {
        &mut self.records
    }

    /// A message came from a client.
    pub fn query(&mut self, now: Instant, client: Client, bytes: &[u8]) -> Vec<Output> {
        let query = match message::receive(bytes) {
            Received::Dropped => return Vec::new(),
            Received::Refused(message) => return vec![Output::Answer { client, message }],
            Received::Query(query) => *query,
        };
        if query.edns.as_ref().is_some_and(|edns| edns.version() != 0) {
            return vec![bad_version(client, &query)];
        }
        match self.serve(now, &query, client.transport) {
            Served::Answer(answer) => vec![self.answer(client, &query, answer)],
            Served::Forward { .. } if self.forwards.len() >= MAX_CONCURRENT => {
                vec![reply(client, &query, message::failure(&query, ResponseCode::Refused))]
            }
            Served::Forward { asked, aliases } => {
                vec![self.ask(now, Forward { client, query, asked, id: 0, aliases, begun: now, attempts: 0 })]
            }
        }
    }

    /// The resolver outside sent a message in this exchange.
    pub fn answered(&mut self, now: Instant, exchange: u64, bytes: &[u8]) -> Vec<Output> {
        let Some(forward) = self.forwards.get(&exchange) else { return Vec::new() };
        let is_ours = bytes.len() >= message::HEADER_LEN && bytes[..2] == forward.id.to_be_bytes();
        if !is_ours {
            return Vec::new();
        }
        let Ok(mut answer) = Message::from_vec(bytes) else { return self.failed(now, exchange) };
        let forward = self.forwards.remove(&exchange).expect("it is there");
        answer.metadata.id = forward.asked.id;
        let matches = answer.message_type == MessageType::Response && answer.queries == forward.asked.queries;
        if !matches {
            answer = message::failure(&forward.asked, ResponseCode::FormErr);
        }
        self.cache.pass(now, &forward.asked, &mut answer);
        vec![Output::Over { exchange, reusable: true }, self.finish(now, forward, answer)]
    }

    /// Nothing came of an exchange: time is over, or the network said so.
    pub fn failed(&mut self, now: Instant, exchange: u64) -> Vec<Output> {
        let Some(forward) = self.forwards.remove(&exchange) else { return Vec::new() };
        let again = forward.attempts < FORWARD_ATTEMPTS && now < forward.begun + FORWARD_TIMEOUT;
        let next = if again {
            self.ask(now, forward)
        } else if forward.aliases.is_empty() {
            // Neither cached nor shuffled: the plugins return a code, and the server writes the answer (`errorFunc`).
            reply(forward.client, &forward.query, message::failure(&forward.query, ResponseCode::ServFail))
        } else {
            let failure = message::failure(&forward.asked, ResponseCode::ServFail);
            self.finish(now, forward, failure)
        };
        vec![Output::Over { exchange, reusable: false }, next]
    }

    /// Whether nobody waits for an answer.
    pub fn is_idle(&self) -> bool {
        self.forwards.is_empty()
    }

    /// The plugins from `cache` on.
    fn serve(&mut self, now: Instant, query: &Message, transport: Transport) -> Served {
        if let Some(answer) = self.cache.get(now, query) {
            return Served::Answer(answer);
        }
        let mut answer = message::reply(query);
        answer.metadata.authoritative = true;
        match self.records.answer(&query.queries[0]) {
            Answer::Elsewhere => return Served::Forward { asked: query.clone(), aliases: Vec::new() },
            Answer::Refused => return Served::Answer(message::failure(query, ResponseCode::Refused)),
            Answer::Found { answers, additionals } => {
                answer.answers = answers;
                answer.additionals = additionals;
            }
            Answer::NoData(soa) => answer.authorities.push(soa),
            Answer::NameError(soa) => {
                // Before it knows all there is, it cannot say what does not exist.
                let synced = self.records.is_synced();
                answer.metadata.response_code = if synced { ResponseCode::NXDomain } else { ResponseCode::ServFail };
                answer.authorities.push(soa);
            }
            Answer::Alias { answers, target } => {
                let asked = about(query, target);
                return match self.serve(now, &asked, transport) {
                    Served::Answer(inner) => Served::Answer(self.join(now, query, answers, inner, transport)),
                    Served::Forward { asked, .. } => Served::Forward { asked, aliases: answers },
                };
            }
        }
        self.cache.pass(now, query, &mut answer);
        Served::Answer(answer)
    }

    /// Sends a question on, for the first time or again: under a new id, from another socket.
    fn ask(&mut self, now: Instant, mut forward: Forward) -> Output {
        self.last_exchange += 1;
        let exchange = self.last_exchange;
        forward.attempts += 1;
        forward.id = self.draws.below(1 << 16) as u16;
        let mut sent = forward.asked.clone();
        sent.metadata.id = forward.id;
        // The cache asks for authenticated data whatever the client wants (`authenticatedRefreshState`).
        sent.metadata.authentic_data = true;
        let transport = forward.client.transport;
        let message = message::encode(&sent, NameEncoding::Uncompressed);
        let message = message.expect("a query that was read can be written");
        self.forwards.insert(exchange, forward);
        Output::Ask { exchange, transport, message, until: now + READ_TIMEOUT }
    }

    /// What came of a question that was sent on goes to the client.
    fn finish(&mut self, now: Instant, forward: Forward, answer: Message) -> Output {
        let Forward { client, query, aliases, .. } = forward;
        let answer =
            if aliases.is_empty() { answer } else { self.join(now, &query, aliases, answer, client.transport) };
        self.answer(client, &query, answer)
    }

    /// Aliases and what they stand for in one answer. What the resolver outside said went the whole way back to the
    /// `kubernetes` plugin (`Lookup`, plugin/pkg/upstream/upstream.go), which heeds its records alone: if there are none, the
    /// alias still is.
    fn join(
        &mut self,
        now: Instant,
        query: &Message,
        aliases: Vec<Record>,
        mut inner: Message,
        transport: Transport,
    ) -> Message {
        balance::shuffle(&mut inner, &mut self.draws);
        message::truncate(&mut inner, message::payload(query, transport));
        let mut answer = message::reply(query);
        answer.metadata.authoritative = true;
        answer.metadata.truncation = inner.truncation;
        answer.answers = aliases;
        answer.answers.append(&mut inner.answers);
        self.cache.pass(now, query, &mut answer);
        answer
    }

    /// Through `loadbalance` to the client.
    fn answer(&mut self, client: Client, query: &Message, mut answer: Message) -> Output {
        balance::shuffle(&mut answer, &mut self.draws);
        reply(client, query, answer)
    }
}

/// The same query about another name.
fn about(query: &Message, name: Name) -> Message {
    let mut about = query.clone();
    about.queries = vec![Query::query(name, query.queries[0].query_type())];
    about
}

fn reply(client: Client, query: &Message, answer: Message) -> Output {
    let ipv6 = client.peer.ip().to_canonical().is_ipv6();
    Output::Answer { client, message: message::finish(query, answer, client.transport, ipv6) }
}

/// An EDNS version nobody knows (`Version`, plugin/pkg/edns/edns.go).
fn bad_version(client: Client, query: &Message) -> Output {
    let mut answer = message::failure(query, ResponseCode::BADVERS);
    let mut edns = hickory_proto::op::Edns::new();
    edns.set_max_payload(0);
    answer.edns = Some(edns);
    let message = message::encode(&answer, NameEncoding::Uncompressed);
    Output::Answer { client, message: message.expect("an answer without records can be written") }
}

#[cfg(test)]
mod tests;

//! glibc: `__res_context_search` (resolv/res_query.c) over `__res_context_send` (resolv/res_send.c), as `getaddrinfo` calls
//! them for both families.
//!
//! The search list gives names; each is asked of the servers, one after the other, as often as `attempts` says; A and AAAA
//! leave together from one socket and are answered in any order. Where one of the two answers does not come, both are asked
//! again, one at a time, later from two sockets (`single-request`, `single-request-reopen`), and that is remembered.

use std::net::{IpAddr, SocketAddr};

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use sim_core::engine::rng::Stream;
use sim_core::engine::time::{Duration, Instant};

use super::{Action, Asked, Failure, Resolver, SocketFailure, addresses, completed, dots, questions};
use crate::dns::{message, name};

/// Whether the two questions are asked one at a time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(in crate::dns) enum OneByOne {
    /// Together.
    #[default]
    No,
    /// The second when the first is answered (`single-request`).
    Yes,
    /// And from another socket (`single-request-reopen`).
    Reopen,
}

/// What is set in `resolv.conf`, with glibc's defaults and bounds (resolv/res_init.c).
#[derive(Clone, Debug)]
struct Settings {
    servers: Vec<SocketAddr>,
    timeout: u64,
    attempts: u64,
    types: Vec<RecordType>,
}

/// A name of the search list.
#[derive(Clone, Debug)]
struct Candidate {
    /// `None`: too long to be asked for.
    name: Option<Name>,
    /// The name as it was given.
    as_is: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Lookup {
    settings: Settings,
    one_by_one: OneByOne,
    candidates: Vec<Candidate>,
    at: usize,
    /// Why the name as given, tried first, was not found.
    first: Option<Failure>,
    saw_no_data: bool,
    saw_server_failure: bool,
    exchange: Exchange,
}

/// Asking for one name.
#[derive(Clone, Debug, Default)]
struct Exchange {
    asked: Vec<Asked>,
    replies: Vec<Reply>,
    attempt: u64,
    server: usize,
    /// A datagram socket is open.
    open: bool,
    /// By a stream, since an answer was cut.
    stream: bool,
    /// Something was heard, or waited for in vain: somebody may be there.
    heard: bool,
    until: Instant,
    last_code: Option<ResponseCode>,
}

#[derive(Clone, Debug)]
enum Reply {
    Awaited,
    /// The server would not answer.
    Rejected,
    Received(Box<Message>),
}

impl Lookup {
    pub(super) fn begin(resolver: &Resolver, host: &str, now: Instant, draws: &mut Stream) -> (Self, Vec<Action>) {
        let conf = &resolver.conf;
        let wanted = if conf.has("single-request-reopen") {
            OneByOne::Reopen
        } else if conf.has("single-request") {
            OneByOne::Yes
        } else {
            OneByOne::No
        };
        let types = if conf.has("no-aaaa") { vec![RecordType::A] } else { vec![RecordType::A, RecordType::AAAA] };
        let mut lookup = Self {
            settings: Settings {
                servers: resolver.servers(),
                timeout: conf.number("timeout", 5, 30),
                attempts: conf.number("attempts", 2, 5),
                types,
            },
            one_by_one: wanted.max(resolver.one_by_one),
            candidates: candidates(resolver, host),
            at: 0,
            first: None,
            saw_no_data: false,
            saw_server_failure: false,
            exchange: Exchange { stream: conf.has("use-vc"), ..Exchange::default() },
        };
        let actions = lookup.ask(now, draws);
        (lookup, actions)
    }

    pub(super) fn one_by_one(&self) -> OneByOne {
        self.one_by_one
    }

    /// Asks for the next name.
    fn ask(&mut self, now: Instant, draws: &mut Stream) -> Vec<Action> {
        let Some(name) = self.candidates[self.at].name.clone() else {
            return self.not_found(Failure::Unrecoverable, now, draws);
        };
        let stream = self.exchange.stream;
        self.exchange =
            Exchange { asked: questions(&name, &self.settings.types, draws), stream, ..Exchange::default() };
        self.send(now)
    }

    /// Begins an attempt at a server (`send_dg` at `retry`, `send_vc`).
    fn send(&mut self, now: Instant) -> Vec<Action> {
        let exchange = &mut self.exchange;
        let server = self.settings.servers[exchange.server];
        exchange.replies = vec![Reply::Awaited; exchange.asked.len()];
        if exchange.stream {
            let messages = exchange.asked.iter().flat_map(|asked| message::framed(&asked.bytes)).collect();
            let closed = std::mem::take(&mut exchange.open).then_some(Action::Close);
            // A stream has no timeout but TCP's own.
            return closed
                .into_iter()
                .chain([Action::Wait(Instant::NEVER), Action::Stream(server, messages)])
                .collect();
        }
        let share = if exchange.server == 0 { 1 } else { self.settings.servers.len() as u64 };
        let seconds = (self.settings.timeout << exchange.server) / share;
        exchange.until = now + Duration::from_secs(seconds.max(1));
        let opened = (!exchange.open).then_some(Action::Open(Some(server)));
        exchange.open = true;
        let together = if self.one_by_one == OneByOne::No { exchange.asked.len() } else { 1 };
        let sent = exchange.asked[..together].iter().map(|asked| Action::Send(server, asked.bytes.clone()));
        opened.into_iter().chain(sent).chain([Action::Wait(exchange.until)]).collect()
    }

    pub(super) fn received(&mut self, bytes: &[u8], now: Instant, draws: &mut Stream) -> Vec<Action> {
        let exchange = &mut self.exchange;
        let awaited = |index: &usize| matches!(exchange.replies[*index], Reply::Awaited);
        let answered = |index: usize| Some((index, exchange.asked[index].answered(bytes)?));
        let Some((index, message)) = (0..exchange.replies.len()).filter(awaited).find_map(answered) else {
            return Vec::new();
        };
        exchange.heard = true;
        exchange.last_code = Some(message.response_code);
        if !exchange.stream {
            if is_rejection(&message) {
                exchange.replies[index] = Reply::Rejected;
                let all_told = exchange.replies.iter().all(|reply| !matches!(reply, Reply::Awaited));
                return if all_told { self.attempt_over(now, draws) } else { Vec::new() };
            }
            if is_referral(&message) {
                return self.next_server(now, draws, true);
            }
            if message.truncation {
                exchange.stream = true;
                return self.send(now);
            }
        }
        exchange.replies[index] = Reply::Received(Box::new(message));
        let next = exchange.replies.iter().position(|reply| matches!(reply, Reply::Awaited));
        match next {
            None => self.attempt_over(now, draws),
            Some(next) if !exchange.stream && self.one_by_one > OneByOne::No => {
                let server = self.settings.servers[exchange.server];
                let reopened = [Action::Close, Action::Open(Some(server))];
                let reopened = reopened.into_iter().filter(|_| self.one_by_one == OneByOne::Reopen);
                reopened.chain([Action::Send(server, exchange.asked[next].bytes.clone())]).collect()
            }
            Some(_) => Vec::new(),
        }
    }

    pub(super) fn timed_out(&mut self, now: Instant, draws: &mut Stream) -> Vec<Action> {
        if self.exchange.stream || now < self.exchange.until {
            return Vec::new();
        }
        // One answer of two: perhaps the server, or something on the way, cannot do two at a time.
        if self.exchange.replies.iter().any(|reply| matches!(reply, Reply::Received(_))) {
            match self.one_by_one {
                OneByOne::No => {
                    self.one_by_one = OneByOne::Yes;
                    return self.send(now);
                }
                OneByOne::Yes => {
                    self.one_by_one = OneByOne::Reopen;
                    self.exchange.open = false;
                    return [vec![Action::Close], self.send(now)].concat();
                }
                OneByOne::Reopen => return self.attempt_over(now, draws),
            }
        }
        self.exchange.heard = true;
        self.next_server(now, draws, false)
    }

    /// The socket of the attempt says that it is in vain.
    pub(super) fn failed(&mut self, failure: SocketFailure, now: Instant, draws: &mut Stream) -> Vec<Action> {
        self.exchange.heard |= self.exchange.stream && failure == SocketFailure::Other;
        self.next_server(now, draws, true)
    }

    /// All replies of the attempt are there, or no more are waited for.
    fn attempt_over(&mut self, now: Instant, draws: &mut Stream) -> Vec<Action> {
        let received = |reply: &Reply| match reply {
            Reply::Received(message) => Some(Message::clone(message)),
            _ => None,
        };
        let received: Vec<_> = self.exchange.replies.iter().filter_map(received).collect();
        if received.is_empty() {
            return self.next_server(now, draws, false);
        }
        match judge(&received) {
            Ok(ips) => vec![Action::Done(Ok(ips))],
            Err(failure) => self.not_found(failure, now, draws),
        }
    }

    /// On to the next server, or to the first one again (`next_ns`).
    fn next_server(&mut self, now: Instant, draws: &mut Stream, close: bool) -> Vec<Action> {
        let exchange = &mut self.exchange;
        let only_one = self.settings.servers.len() == 1;
        let closed = exchange.open && (close || !only_one);
        exchange.open &= !closed;
        let closed: Vec<_> = closed.then_some(Action::Close).into_iter().collect();
        exchange.server += 1;
        if exchange.server == self.settings.servers.len() {
            exchange.server = 0;
            // A stream is tried once with each server.
            exchange.attempt += if exchange.stream { self.settings.attempts } else { 1 };
        }
        let next = if exchange.attempt < self.settings.attempts {
            self.send(now)
        } else {
            let failure = match exchange.last_code {
                Some(ResponseCode::ServFail) => Failure::ServerFailure,
                _ if exchange.heard => Failure::TimedOut,
                _ => Failure::Unreachable,
            };
            self.not_found(failure, now, draws)
        };
        [closed, next].concat()
    }

    /// The candidate has no addresses: goes on to the next one, unless the failure forbids it.
    fn not_found(&mut self, failure: Failure, now: Instant, draws: &mut Stream) -> Vec<Action> {
        let closed: Vec<_> = std::mem::take(&mut self.exchange.open).then_some(Action::Close).into_iter().collect();
        let as_is = self.candidates[self.at].as_is;
        if as_is && self.at == 0 {
            self.first = Some(failure);
        }
        self.saw_no_data |= !as_is && failure == Failure::NoData;
        self.saw_server_failure |= !as_is && failure == Failure::ServerFailure;
        let end = self.candidates.len();
        let next = match failure {
            // Nobody listens: the whole lookup ends.
            Failure::Unreachable if !as_is => end,
            // No more completing, but the name itself may still be good.
            Failure::TimedOut | Failure::Unrecoverable if !as_is => {
                (self.at + 1..end).find(|next| self.candidates[*next].as_is).unwrap_or(end)
            }
            _ => self.at + 1,
        };
        if next < end {
            self.at = next;
            return [closed, self.ask(now, draws)].concat();
        }
        let failure = match self.first {
            _ if failure == Failure::Unreachable && !as_is => failure,
            Some(first) => first,
            None if self.saw_no_data => Failure::NoData,
            None if self.saw_server_failure => Failure::ServerFailure,
            None => failure,
        };
        [closed, vec![Action::Done(Err(failure))]].concat()
    }
}

/// The names to ask for, in order.
fn candidates(resolver: &Resolver, host: &str) -> Vec<Candidate> {
    let (dots, rooted) = dots(host);
    let as_is = || Candidate { name: name::absolute(host).filter(|_| !host.is_empty()), as_is: true };
    if rooted {
        return vec![as_is()];
    }
    let enough = dots >= resolver.conf.number("ndots", 1, 15);
    let search = &resolver.conf.search;
    let completed = search.iter().map(|domain| Candidate { name: completed(host, domain), as_is: false });
    let root_searched = search.iter().any(|domain| domain.is_empty() || domain == ".");
    let last = (!enough && !root_searched).then(as_is);
    enough.then(as_is).into_iter().chain(completed).chain(last).collect()
}

/// What two answers say together (`__res_context_query`): the addresses if one of them has any records.
fn judge(messages: &[Message]) -> Result<Vec<IpAddr>, Failure> {
    let (good, bad): (Vec<_>, Vec<_>) = messages.iter().partition(|m| m.response_code == ResponseCode::NoError);
    if good.iter().any(|message| !message.answers.is_empty()) {
        let ips: Vec<IpAddr> = good.into_iter().flat_map(addresses).collect();
        return if ips.is_empty() { Err(Failure::NoData) } else { Ok(ips) };
    }
    Err(match bad.first().map(|message| message.response_code) {
        None => Failure::NoData,
        Some(ResponseCode::NXDomain) => Failure::NameError,
        Some(ResponseCode::ServFail) => Failure::ServerFailure,
        Some(_) => Failure::Unrecoverable,
    })
}

fn is_rejection(message: &Message) -> bool {
    matches!(message.response_code, ResponseCode::ServFail | ResponseCode::NotImp | ResponseCode::Refused)
}

/// The server knows nothing and will not find out.
fn is_referral(message: &Message) -> bool {
    message.response_code == ResponseCode::NoError
        && message.answers.is_empty()
        && message.additionals.is_empty()
        && message.edns.is_none()
        && !message.authoritative
        && !message.recursion_available
}

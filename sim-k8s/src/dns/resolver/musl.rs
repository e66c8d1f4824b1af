//! musl: `__lookup_name` (src/network/lookup_name.c) over `__res_msend_rc` (src/network/res_msend.c), version 1.2.4 and later.
//!
//! All servers are asked at once, for A and AAAA together; what is not answered is sent again after `timeout / attempts`. The
//! search list goes on only where a name does not exist: a name without addresses ends it.

use std::net::{IpAddr, SocketAddr};

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use sim_core::engine::rng::Stream;
use sim_core::engine::time::{Duration, Instant};

use super::{Action, Asked, Failure, Resolver, addresses, completed, dots, questions};
use crate::dns::{message, name};

/// A search list longer than this is not read (`char search[256]`).
const MAX_SEARCH: usize = 255;

#[derive(Clone, Debug)]
pub(super) struct Lookup {
    servers: Vec<SocketAddr>,
    timeout: Duration,
    interval: Duration,
    /// Names still to be asked for, the next one first.
    candidates: Vec<Option<Name>>,
    exchange: Exchange,
}

/// Asking for one name.
#[derive(Clone, Debug)]
struct Exchange {
    asked: Vec<Asked>,
    answers: Vec<Option<Message>>,
    /// Questions that go by streams since an answer was cut.
    streams: Vec<bool>,
    begun: Instant,
    sent: Instant,
    /// How often a server's failure is still answered by asking it at once again.
    retries: usize,
}

impl Lookup {
    pub(super) fn begin(resolver: &Resolver, host: &str, now: Instant, draws: &mut Stream) -> (Self, Vec<Action>) {
        let conf = &resolver.conf;
        let timeout = Duration::from_secs(conf.number("timeout", 5, 60));
        let attempts = conf.number("attempts", 2, 10).max(1);
        let (dots, rooted) = dots(host);
        let read = conf.search.join(" ").len() <= MAX_SEARCH;
        let searched = read && !rooted && dots < conf.number("ndots", 1, 15);
        let search =
            conf.search.iter().filter(|_| searched).map(|domain| completed(host, domain)).filter(Option::is_some);
        let as_is = name::absolute(host).filter(|_| !host.is_empty() && !host.ends_with(".."));
        let mut lookup = Self {
            servers: resolver.servers(),
            timeout,
            interval: Duration::from_nanos(timeout.as_nanos() / attempts),
            candidates: search.chain([as_is]).collect(),
            exchange: Exchange {
                asked: Vec::new(),
                answers: Vec::new(),
                streams: Vec::new(),
                begun: now,
                sent: now,
                retries: 0,
            },
        };
        let actions = lookup.ask(now, draws);
        (lookup, actions)
    }

    /// Asks for the next name.
    fn ask(&mut self, now: Instant, draws: &mut Stream) -> Vec<Action> {
        let Some(name) = self.candidates.remove(0) else { return done(Err(Failure::NameError)) };
        let asked = questions(&name, &[RecordType::A, RecordType::AAAA], draws);
        let count = asked.len();
        self.exchange = Exchange {
            asked,
            answers: vec![None; count],
            streams: vec![false; count],
            begun: now,
            sent: now,
            retries: 0,
        };
        [vec![Action::Open(None)], self.send(now)].concat()
    }

    /// Sends what is not answered to every server.
    fn send(&mut self, now: Instant) -> Vec<Action> {
        let exchange = &mut self.exchange;
        exchange.sent = now;
        exchange.retries = 2 * exchange.asked.len();
        let open =
            (0..exchange.asked.len()).filter(|index| exchange.answers[*index].is_none() && !exchange.streams[*index]);
        let to_all = |index: usize| {
            let bytes = &exchange.asked[index].bytes;
            self.servers.iter().map(move |server| Action::Send(*server, bytes.clone()))
        };
        let sent: Vec<_> = open.flat_map(to_all).collect();
        let next = (now + self.interval).min(exchange.begun + self.timeout);
        [sent, vec![Action::Wait(next)]].concat()
    }

    pub(super) fn received(&mut self, from: SocketAddr, bytes: &[u8], now: Instant, draws: &mut Stream) -> Vec<Action> {
        let exchange = &mut self.exchange;
        let awaited = |index: &usize| exchange.answers[*index].is_none();
        let answered = |index: usize| Some((index, exchange.asked[index].answered(bytes)?));
        let found = (0..exchange.asked.len()).filter(awaited).find_map(answered);
        let Some((index, message)) = found.filter(|_| self.servers.contains(&from)) else { return Vec::new() };
        let by_stream = exchange.streams[index];
        match message.response_code {
            ResponseCode::NoError | ResponseCode::NXDomain => {}
            _ if by_stream => {}
            ResponseCode::ServFail if exchange.retries > 0 => {
                exchange.retries -= 1;
                return vec![Action::Send(from, exchange.asked[index].bytes.clone())];
            }
            _ => return Vec::new(),
        }
        if message.truncation && !by_stream {
            exchange.streams[index] = true;
            return vec![Action::Stream(from, message::framed(&exchange.asked[index].bytes))];
        }
        exchange.answers[index] = Some(message);
        if exchange.answers.iter().any(Option::is_none) {
            return Vec::new();
        }
        self.judge(now, draws)
    }

    pub(super) fn timed_out(&mut self, now: Instant, draws: &mut Stream) -> Vec<Action> {
        if now >= self.exchange.begun + self.timeout {
            return self.judge(now, draws);
        }
        if now < self.exchange.sent + self.interval { Vec::new() } else { self.send(now) }
    }

    /// A stream that fails fails the lookup.
    pub(super) fn stream_failed(&mut self) -> Vec<Action> {
        done(Err(Failure::TimedOut))
    }

    /// Looks at what there is (`name_from_dns`): each question must have been answered.
    fn judge(&mut self, now: Instant, draws: &mut Stream) -> Vec<Action> {
        let mut ips: Vec<IpAddr> = Vec::new();
        for answer in &self.exchange.answers {
            match answer.as_ref().map(|message| message.response_code) {
                None => return done(Err(Failure::TimedOut)),
                Some(ResponseCode::ServFail) => return done(Err(Failure::ServerFailure)),
                Some(ResponseCode::NXDomain) if self.candidates.is_empty() => return done(Err(Failure::NameError)),
                Some(ResponseCode::NXDomain) => return [vec![Action::Close], self.ask(now, draws)].concat(),
                Some(ResponseCode::NoError) => ips.extend(answer.iter().flat_map(addresses)),
                Some(_) => return done(Err(Failure::Unrecoverable)),
            }
        }
        done(if ips.is_empty() { Err(Failure::NoData) } else { Ok(ips) })
    }
}

fn done(result: Result<Vec<IpAddr>, Failure>) -> Vec<Action> {
    vec![Action::Done(result)]
}

//! The cache plugin as kubeadm sets it: `cache 30`, which the cluster's own names are kept out of.

use std::collections::BTreeMap;

use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::rdata::CNAME;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use sim_core::engine::time::Instant;

use super::super::message;

/// Seconds that nothing is kept longer than (the directive's number).
const MAX_TTL: u32 = 30;
/// Seconds that everything is kept (`MinimalDefaultTTL`, plugin/pkg/dnsutil/ttl.go).
const MIN_TTL: u32 = 5;
/// Most answers kept, and as many denials (`defaultCap`).
const CAPACITY: usize = 10_000;

/// Answers and denials that may be given again.
#[derive(Clone, Debug)]
pub(super) struct Cache {
    /// The zone whose names are not kept.
    except: Name,
    answers: BTreeMap<Key, Item>,
    denials: BTreeMap<Key, Item>,
}

/// Name in any case, type and class, DNSSEC OK and checking disabled.
type Key = (Name, u16, u16, bool, bool);

#[derive(Clone, Debug)]
struct Item {
    message: Message,
    /// Seconds.
    ttl: u32,
    stored: Instant,
}

impl Item {
    /// Seconds that are left; whole seconds pass.
    fn left(&self, now: Instant) -> u32 {
        let passed = now.since(self.stored).as_nanos() / 1_000_000_000;
        self.ttl.saturating_sub(u32::try_from(passed).unwrap_or(u32::MAX))
    }
}

/// What kind of answer a message is (`Typify`, plugin/pkg/response/typify.go).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Class {
    /// It has what was asked for, or says who does.
    Answer,
    /// It says that there is nothing, and how long that may be believed.
    Denial,
    /// A server's failure.
    Failure,
    /// Nothing to be kept.
    Other,
}

impl Cache {
    pub(super) fn new(except: Name) -> Self {
        Self { except, answers: BTreeMap::new(), denials: BTreeMap::new() }
    }

    /// The answer to `query`, if one is kept. Denials come first.
    pub(super) fn get(&self, now: Instant, query: &Message) -> Option<Message> {
        let key = key(query)?;
        let fresh = |item: &&Item| item.left(now) > 0;
        let item = self.denials.get(&key).filter(fresh).or_else(|| self.answers.get(&key).filter(fresh))?;
        let mut answer = message::reply(query);
        let kept = &item.message;
        // Some resolvers will have nothing that is not authoritative (`toMsg`, plugin/cache/item.go).
        answer.metadata.authoritative = true;
        answer.metadata.recursion_available = kept.recursion_available;
        answer.metadata.response_code = kept.response_code;
        answer.metadata.authentic_data = kept.authentic_data && wants_authentic_data(query);
        answer.answers = kept.answers.clone();
        answer.authorities = kept.authorities.clone();
        answer.additionals = kept.additionals.clone();
        set_ttl(&mut answer, item.left(now));
        Some(answer)
    }

    /// The answer to `query` passes on its way back: its records get one time to live, and it is kept if it may be (`WriteMsg`,
    /// plugin/cache/cache.go).
    pub(super) fn pass(&mut self, now: Instant, query: &Message, answer: &mut Message) {
        let class = classify(answer);
        let ttl = match class {
            Class::Answer | Class::Denial => least_ttl(answer).clamp(MIN_TTL, MAX_TTL),
            Class::Failure | Class::Other => MIN_TTL,
        };
        set_ttl(answer, ttl);
        answer.edns = None;
        self.keep(now, query, answer, class, ttl);
        answer.metadata.authentic_data &= wants_authentic_data(query);
    }

    fn keep(&mut self, now: Instant, query: &Message, answer: &Message, class: Class, ttl: u32) {
        let (Some(key), [question]) = (key(query), answer.queries.as_slice()) else { return };
        let about_it = query.queries.first() == Some(question);
        if answer.truncation || !about_it || self.except.zone_of(question.name()) {
            return;
        }
        let (kept, needs_soa) = match class {
            Class::Answer => (&mut self.answers, !answer.answers.is_empty() && !answers_question(answer)),
            Class::Denial => (&mut self.denials, true),
            Class::Failure => (&mut self.denials, false),
            Class::Other => return,
        };
        if needs_soa && !has_soa(answer) {
            return;
        }
        if kept.len() >= CAPACITY && !kept.contains_key(&key) {
            let next = kept.iter().min_by_key(|(_, item)| item.left(now)).map(|(key, _)| key.clone());
            next.and_then(|key| kept.remove(&key));
        }
        kept.insert(key, Item { message: answer.clone(), ttl, stored: now });
    }
}

fn key(query: &Message) -> Option<Key> {
    let question = query.queries.first()?;
    let dnssec_ok = query.edns.as_ref().is_some_and(|edns| edns.flags().dnssec_ok);
    let (record_type, class) = (question.query_type().into(), question.query_class().into());
    Some((question.name().clone(), record_type, class, dnssec_ok, query.checking_disabled))
}

/// Whether whoever asks cares for the AD bit (RFC 6840, section 5.7).
fn wants_authentic_data(query: &Message) -> bool {
    query.authentic_data || query.edns.as_ref().is_some_and(|edns| edns.flags().dnssec_ok)
}

fn set_ttl(message: &mut Message, ttl: u32) {
    let sections = [&mut message.answers, &mut message.authorities, &mut message.additionals];
    sections.into_iter().flatten().for_each(|record| record.ttl = ttl);
}

/// `MinimalTTLWithMaximum`, plugin/pkg/dnsutil/ttl.go.
fn least_ttl(message: &Message) -> u32 {
    let sections = [&message.answers, &message.authorities, &message.additionals];
    sections.into_iter().flatten().map(|record| record.ttl).min().unwrap_or(MIN_TTL)
}

fn classify(message: &Message) -> Class {
    let transfer = |record_type| matches!(record_type, RecordType::AXFR | RecordType::IXFR);
    if matches!(message.op_code, OpCode::Update | OpCode::Notify)
        || message.queries.first().is_some_and(|question| transfer(question.query_type()))
    {
        return Class::Other;
    }
    match message.response_code {
        ResponseCode::NoError if !message.answers.is_empty() => {
            if has_soa(message) && !answers_question(message) {
                Class::Denial
            } else {
                Class::Answer
            }
        }
        ResponseCode::NoError if has_soa(message) => Class::Denial,
        ResponseCode::NoError => Class::Answer,
        ResponseCode::NXDomain if message.answers.is_empty() => Class::Denial,
        ResponseCode::ServFail | ResponseCode::NotImp => Class::Failure,
        _ => Class::Other,
    }
}

fn has_soa(message: &Message) -> bool {
    message.authorities.iter().any(|record| record.record_type() == RecordType::SOA)
}

/// Whether the aliases that begin with the question's name end in a record of its type (`answersQuestion`).
fn answers_question(message: &Message) -> bool {
    let Some(question) = message.queries.first() else { return false };
    let alias = |name: &Name| message.answers.iter().find_map(|record| alias_of(record, name));
    let mut name = question.name();
    // A circle is longer than all records together.
    for _ in 0..=message.answers.len() {
        let is_it = |record: &Record| record.record_type() == question.query_type() && record.name == *name;
        let any = question.query_type() == RecordType::ANY;
        if message.answers.iter().any(|record| is_it(record) || any && record.name == *name) {
            return true;
        }
        match alias(name) {
            Some(target) => name = target,
            None => return false,
        }
    }
    false
}

fn alias_of<'a>(record: &'a Record, name: &Name) -> Option<&'a Name> {
    match &record.data {
        RData::CNAME(CNAME(target)) if record.name == *name => Some(target),
        _ => None,
    }
}

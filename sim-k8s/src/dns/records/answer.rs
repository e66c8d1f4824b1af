//! From entries to records (plugin/backend_lookup.go; `Services` and `ServeDNS` of plugin/kubernetes).

use std::collections::BTreeSet;
use std::net::IpAddr;

use hickory_proto::op::Query;
use hickory_proto::rr::rdata::{A, AAAA, CNAME, NS, PTR, SOA, SRV, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::super::name;
use super::parse::{Asked, parse};
use super::{Entry, Host, NoSuchName, Records, TTL};

/// The version of the specification (kubernetes/dns docs/specification.md, section 2.2).
const SCHEMA_VERSION: &str = "1.1.0";
/// Seconds that the version may be kept (`Services`, plugin/kubernetes/kubernetes.go).
const SCHEMA_TTL: u32 = 28_800;
/// The most aliases followed one after the other (`maxCnameChainLength`).
const MAX_ALIASES: usize = 10;

/// What the records of a cluster say to a question.
#[derive(Clone, PartialEq, Debug)]
pub enum Answer {
    /// Nothing: the name is none of the cluster's, or an address it does not know. Someone else may.
    Elsewhere,
    /// These records, and addresses of the names in them.
    Found {
        /// The records asked for.
        answers: Vec<Record>,
        /// What the client will ask for next.
        additionals: Vec<Record>,
    },
    /// Aliases, the last of which leads out of the cluster; the same type of `target` belongs to the answer.
    Alias {
        /// The aliases.
        answers: Vec<Record>,
        /// Where they lead.
        target: Name,
    },
    /// The name exists, but has no such records.
    NoData(Record),
    /// There is no such name. The record is the zone's SOA, as with [`Self::NoData`].
    NameError(Record),
    /// A transfer of the zone, which is not for everyone.
    Refused,
}

/// What was found, before it is known to be anything.
#[derive(Default)]
struct Found {
    answers: Vec<Record>,
    additionals: Vec<Record>,
    target: Option<Name>,
}

impl From<Vec<Record>> for Found {
    fn from(answers: Vec<Record>) -> Self {
        Self { answers, ..Self::default() }
    }
}

/// A question about one of our zones.
struct Question<'a> {
    name: &'a Name,
    /// The zone, in the question's case.
    zone: Name,
    /// The labels before it, in lower case.
    labels: Vec<String>,
    /// Whether it is one of the reverse zones.
    reverse: bool,
}

impl Records {
    /// What there is to say to `query`. Names keep the case they were asked in.
    pub fn answer(&self, query: &Query) -> Answer {
        let name = query.name();
        let Some(index) = self.zones.iter().position(|zone| zone.zone_of(name)) else { return Answer::Elsewhere };
        let zone = name.trim_to(usize::from(self.zones[index].num_labels()));
        let mut labels = name::labels(name);
        labels.truncate(labels.len() - usize::from(zone.num_labels()));
        let question = Question { name, zone, labels, reverse: index > 0 };
        let found = match query.query_type() {
            RecordType::AXFR | RecordType::IXFR => return Answer::Refused,
            RecordType::A | RecordType::AAAA => self.addresses(&question, query.query_type()),
            RecordType::TXT => self.texts(&question),
            RecordType::CNAME => self.alias(&question),
            RecordType::PTR => self.pointers(&question),
            RecordType::SRV => self.services(&question),
            // Of the SOA it is not asked whether the name exists.
            RecordType::SOA if question.labels.is_empty() => Ok(vec![self.soa(&question.zone)].into()),
            RecordType::SOA => Ok(Found::default()),
            RecordType::NS if question.labels.is_empty() => Ok(self.delegation(&question)),
            _ => self.entries(&question).map(|_| Found::default()),
        };
        match found {
            Err(NoSuchName) if question.reverse => Answer::Elsewhere,
            Err(NoSuchName) => Answer::NameError(self.soa(&question.zone)),
            Ok(Found { answers, target: Some(target), .. }) => Answer::Alias { answers, target },
            Ok(Found { answers, .. }) if answers.is_empty() => Answer::NoData(self.soa(&question.zone)),
            Ok(Found { answers, additionals, .. }) => Answer::Found { answers, additionals },
        }
    }

    /// What the question's name stands for (`Services`): the server itself has a name that always exists.
    fn entries(&self, question: &Question<'_>) -> Result<Vec<Entry>, NoSuchName> {
        if question.labels == ["ns", "dns"] {
            let server = |(owner, ip)| Entry { host: Host::Address(ip), port: None, owner };
            return Ok(self.name_servers().into_iter().map(server).collect());
        }
        self.objects(question)
    }

    /// Which objects the question's name stands for (`Records`): in a reverse zone none.
    fn objects(&self, question: &Question<'_>) -> Result<Vec<Entry>, NoSuchName> {
        let asked = parse(&question.labels).ok_or(NoSuchName)?;
        if question.reverse && asked != Asked::Apex { Err(NoSuchName) } else { self.find(&asked) }
    }

    fn addresses(&self, question: &Question<'_>, record_type: RecordType) -> Result<Found, NoSuchName> {
        let mut found = Found::default();
        self.add_addresses(question, record_type, &mut found)?;
        Ok(found)
    }

    /// `A` and `AAAA`: addresses, or an alias and what it stands for.
    fn add_addresses(&self, question: &Question<'_>, wanted: RecordType, found: &mut Found) -> Result<(), NoSuchName> {
        let mut seen = BTreeSet::new();
        for entry in self.entries(question)? {
            match entry.host {
                Host::Address(ip) if address_type(ip) == wanted && seen.insert(ip) => {
                    found.answers.push(address(question.name.clone(), ip));
                }
                Host::Address(_) => {}
                Host::Alias(target) => self.follow(question, wanted, target, found),
            }
        }
        Ok(())
    }

    /// Adds an alias and what is behind it. One that leads nowhere inside the cluster, or in a circle, is left out.
    fn follow(&self, question: &Question<'_>, wanted: RecordType, target: Name, found: &mut Found) {
        let aliases = found.answers.len();
        let circles = |record: &Record| matches!(&record.data, RData::CNAME(CNAME(known)) if known.eq_case(&target));
        if question.name.zone_of(&target) || aliases > MAX_ALIASES || found.answers.iter().any(circles) {
            return;
        }
        found.answers.push(record(question.name.clone(), TTL, RData::CNAME(CNAME(target.clone()))));
        if !question.zone.zone_of(&target) {
            found.target = Some(target);
            return;
        }
        let mut labels = name::labels(&target);
        labels.truncate(labels.len() - usize::from(question.zone.num_labels()));
        let next = Question { name: &target, zone: question.zone.clone(), labels, reverse: false };
        let followed = self.add_addresses(&next, wanted, found).is_ok();
        if !followed || found.answers.len() == aliases + 1 && found.target.is_none() {
            found.answers.truncate(aliases);
        }
    }

    /// `TXT`: the version of the schema. Of other names only those exist that stand for something.
    fn texts(&self, question: &Question<'_>) -> Result<Found, NoSuchName> {
        if question.labels == ["dns-version"] {
            let version = TXT::new(vec![SCHEMA_VERSION.to_owned()]);
            return Ok(vec![record(question.name.clone(), SCHEMA_TTL, RData::TXT(version))].into());
        }
        match self.objects(question) {
            Ok(entries) if !entries.is_empty() => Ok(Found::default()),
            _ => Err(NoSuchName),
        }
    }

    /// `CNAME`
    fn alias(&self, question: &Question<'_>) -> Result<Found, NoSuchName> {
        let first = self.entries(question)?.into_iter().next();
        Ok(match first.map(|entry| entry.host) {
            Some(Host::Alias(target)) => vec![record(question.name.clone(), TTL, RData::CNAME(CNAME(target)))].into(),
            _ => Found::default(),
        })
    }

    /// `PTR`
    fn pointers(&self, question: &Question<'_>) -> Result<Found, NoSuchName> {
        let Some(ip) = name::reversed(&name::labels(question.name)) else {
            return self.objects(question).map(|_| Found::default());
        };
        let mut names: Vec<Name> = Vec::new();
        for labels in self.names_of(ip) {
            names.extend(name::below(labels.iter().map(String::as_str), &self.zones[0]).filter(|n| !names.contains(n)));
        }
        if names.is_empty() {
            return Err(NoSuchName);
        }
        let pointer = |target| record(question.name.clone(), TTL, RData::PTR(PTR(target)));
        Ok(names.into_iter().map(pointer).collect::<Vec<_>>().into())
    }

    /// `SRV`: every port of every entry at its own name, all with the same weight, and their addresses.
    fn services(&self, question: &Question<'_>) -> Result<Found, NoSuchName> {
        let mut entries = self.entries(question)?;
        entries.retain(|entry| matches!(entry.host, Host::Address(_)));
        let weight = (100 / entries.len().max(1)).max(1) as u16;
        let (mut ports, mut ips) = (BTreeSet::new(), BTreeSet::new());
        let mut found = Found::default();
        for Entry { host, port, owner } in entries {
            let owner = name::below(owner.iter().map(String::as_str), &question.zone);
            let (Some(port), Some(target), Host::Address(ip)) = (port, owner, host) else { continue };
            if ports.insert((target.clone(), port)) {
                let srv = SRV::new(0, weight, port, target.clone());
                found.answers.push(record(question.name.clone(), TTL, RData::SRV(srv)));
            }
            if ips.insert((target.clone(), ip)) {
                found.additionals.push(address(target, ip));
            }
        }
        Ok(found)
    }

    /// `NS`: the names of the server's own Services.
    fn delegation(&self, question: &Question<'_>) -> Found {
        let mut found = Found::default();
        let mut seen = BTreeSet::new();
        for (labels, ip) in self.name_servers() {
            let Some(server) = name::below(labels.iter().map(String::as_str), &question.zone) else { continue };
            found.additionals.push(address(server.clone(), ip));
            if seen.insert(labels) {
                found.answers.push(record(question.name.clone(), TTL, RData::NS(NS(server))));
            }
        }
        found
    }

    /// The start of authority of `zone` (`SOA`).
    fn soa(&self, zone: &Name) -> Record {
        let below = |labels: &[&str]| name::below(labels.iter().copied(), zone).unwrap_or_else(Name::root);
        let (server, mailbox) = (below(&["ns", "dns"]), below(&["hostmaster"]));
        let soa = SOA::new(server, mailbox, self.modified, 7200, 1800, 86_400, TTL);
        record(zone.clone(), TTL, RData::SOA(soa))
    }
}

fn address_type(ip: IpAddr) -> RecordType {
    if ip.is_ipv4() { RecordType::A } else { RecordType::AAAA }
}

fn address(name: Name, ip: IpAddr) -> Record {
    let data = match ip {
        IpAddr::V4(ip) => RData::A(A(ip)),
        IpAddr::V6(ip) => RData::AAAA(AAAA(ip)),
    };
    record(name, TTL, data)
}

fn record(name: Name, ttl: u32, data: RData) -> Record {
    Record::from_rdata(name, ttl, data)
}

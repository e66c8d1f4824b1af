//! The name server of the world outside: 8.8.8.8.
//!
//! It resolves what could be a name of the internet: two labels at least, the last one a country's (two letters) or one of a
//! few others. Each has one IPv4 address, made from the name, in a range for documentation (RFC 5737); whoever lives outside
//! answers at all of them. Names that never exist there (RFC 2606 `invalid`, `local`, `svc`, single labels) do not here either.

use std::net::{IpAddr, Ipv4Addr};

use hickory_proto::op::{Edns, Message, ResponseCode};
use hickory_proto::rr::rdata::{A, NS, SOA};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::NameEncoding;
use ipnet::Ipv4Net;
use sha2::{Digest, Sha256};
use sim_core::engine::arena::NetnsId;

use super::listener::Listener;
use super::message::{self, Received, Transport};
use super::name;
use crate::agent::{Agent, Context, Event};

/// Seconds that an answer may be kept.
const TTL: u32 = 300;
/// Seconds that a denial may be kept: those of most top-level domains.
const NEGATIVE_TTL: u32 = 900;
/// The longest datagram it takes (8.8.8.8 says so in every answer).
const PAYLOAD: u16 = 512;
/// Top-level domains beside those of countries.
const TOP_LEVEL: [&str; 11] = ["app", "biz", "cloud", "com", "dev", "edu", "gov", "info", "int", "net", "org"];
/// The addresses of all names: 198.51.100.64 to .127 (in TEST-NET-2). Whoever lives outside has all of them.
pub const OUTSIDE_NETWORK: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(198, 51, 100, 64), 26);

/// The address of a name of the world outside; `None` if there is no such name.
pub fn outside_address(host: &str) -> Option<IpAddr> {
    address(&name::labels(&name::absolute(host)?))
}

fn address(labels: &[String]) -> Option<IpAddr> {
    let [.., _, top] = labels else { return None };
    let is_country = top.len() == 2 && top.bytes().all(|b| b.is_ascii_lowercase());
    let exists = is_country || TOP_LEVEL.contains(&top.as_str());
    let number = u32::from_be_bytes(Sha256::digest(labels.join("."))[..4].try_into().expect("a digest has 32 bytes"));
    let host = number & OUTSIDE_NETWORK.hostmask().to_bits();
    exists.then(|| Ipv4Addr::from_bits(OUTSIDE_NETWORK.network().to_bits() | host).into())
}

/// The answer to a message; `None` if there is none.
pub fn answer_outside(bytes: &[u8], transport: Transport) -> Option<Vec<u8>> {
    let query = match message::receive(bytes) {
        Received::Dropped => return None,
        Received::Refused(refusal) => return Some(refusal),
        Received::Query(query) => query,
    };
    let mut answer = message::reply(&query);
    answer.metadata.recursion_available = true;
    let question = &query.queries[0];
    let labels = name::labels(question.name());
    let record = |data| Record::from_rdata(question.name().clone(), TTL, data);
    match (address(&labels), question.query_type()) {
        (Some(IpAddr::V4(ip)), RecordType::A) => drop(answer.add_answer(record(RData::A(A(ip))))),
        (None, RecordType::NS) if labels.is_empty() => {
            let root = name::absolute("a.root-servers.net").expect("a name");
            answer.add_answer(record(RData::NS(NS(root))));
        }
        (exists, _) => {
            if exists.is_none() && !labels.is_empty() {
                answer.metadata.response_code = ResponseCode::NXDomain;
            }
            answer.add_authority(soa(&labels));
        }
    }
    truncate(&query, &mut answer, transport);
    message::encode(&answer, NameEncoding::Compressed)
}

/// The start of authority that a denial names: the top-level domain's, or the root's if there is none.
fn soa(labels: &[String]) -> Record {
    let exists = address(labels).is_some();
    let zone = labels.last().filter(|_| exists).and_then(|top| name::absolute(top)).unwrap_or_else(Name::root);
    let server = name::absolute("a.root-servers.net").expect("a name");
    let mailbox = name::absolute("nstld.verisign-grs.com").expect("a name");
    Record::from_rdata(zone, NEGATIVE_TTL, RData::SOA(SOA::new(server, mailbox, 1, 1800, 900, 604_800, NEGATIVE_TTL)))
}

fn truncate(query: &Message, answer: &mut Message, transport: Transport) {
    if query.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(PAYLOAD);
        answer.edns = Some(edns);
    }
    message::truncate(answer, message::payload(query, transport));
}

/// The name server as an agent: it listens on an address of the world outside.
#[derive(Clone, Debug)]
pub struct OutsideResolver {
    netns: NetnsId,
    ip: IpAddr,
    listener: Option<Listener>,
}

impl OutsideResolver {
    /// One that will listen on `ip`, an address of `netns`.
    pub fn new(netns: NetnsId, ip: IpAddr) -> Self {
        Self { netns, ip, listener: None }
    }
}

impl Agent for OutsideResolver {
    fn on(&mut self, event: Event, cx: &mut Context<'_>) {
        match event {
            Event::Start => self.listener = Listener::open(cx, self.netns, self.ip).ok(),
            Event::Timer(_) => self.listener.iter_mut().for_each(|listener| listener.expire(cx)),
            Event::Woken(_, socket) => {
                let Some(listener) = &mut self.listener else { return };
                for (client, message) in listener.woken(cx, socket).unwrap_or_default() {
                    if let Some(answer) = answer_outside(&message, client.transport) {
                        listener.send(cx, client, &answer);
                    }
                }
                if let Some(until) = listener.until() {
                    cx.timer(until, 0);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::bench::{bytes, query, with_edns};
    use super::super::show;
    use super::*;

    fn dig(name: &str, record_type: RecordType) -> String {
        show::dig(&answer_outside(&bytes(&query(name, record_type)), Transport::Udp).unwrap()).unwrap()
    }

    #[test]
    fn a_name_has_always_the_same_address() {
        let ip = outside_address("api.example.com").unwrap();
        assert!(dig("API.example.com", RecordType::A).contains(&format!("API.example.com.\t300\tIN\tA\t{ip}")));
        assert!(ip.to_string().starts_with("198.51.100."), "{ip}");
        assert_ne!(outside_address("example.de"), outside_address("example.fr"));
    }

    #[test]
    fn what_is_no_name_of_the_internet_does_not_exist() {
        for none in ["web", "x.invalid", "printer.local", "web.default.svc", "1.0.96.10.in-addr.arpa", "x.internal"] {
            assert!(dig(none, RecordType::A).contains("NXDOMAIN"), "{none}");
        }
    }

    #[test]
    fn there_are_no_other_records() {
        let answer = dig("example.com", RecordType::AAAA);
        assert!(answer.contains("NOERROR") && answer.contains("com.\t900\tIN\tSOA"), "{answer}");
        assert!(dig(".", RecordType::NS).contains("a.root-servers.net."));
    }

    #[test]
    fn edns_is_answered_with_its_own_size() {
        let query = with_edns(query("example.com", RecordType::A), 4096);
        let answer = show::dig(&answer_outside(&bytes(&query), Transport::Udp).unwrap()).unwrap();
        assert!(answer.contains("udp: 512"), "{answer}");
    }

    proptest! {
        #[test]
        fn no_bytes_bring_it_down(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            answer_outside(&bytes, Transport::Tcp);
        }
    }
}

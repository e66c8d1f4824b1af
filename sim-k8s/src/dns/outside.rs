//! The name server of the world outside: 8.8.8.8.
//!
//! It resolves what could be a name of the internet: two labels at least, the last one a country's (two letters) or one of a
//! few others. Each has one address of every family that is spoken outside, made from the name, in a range for documentation (RFC
//! 5737, RFC 3849); whoever lives outside answers at all of them. Names that never exist there (RFC 2606 `invalid`, `local`, `svc`, single labels) do not here either.

use sim_core::wire::ip::Family;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hickory_proto::op::{Edns, Message, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, NS, SOA};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::NameEncoding;
use ipnet::IpNet;
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

/// The address of a name of the world outside, out of those of `names`; `None` if there is no such name.
pub fn outside_address(host: &str, names: IpNet) -> Option<IpAddr> {
    address(&name::labels(&name::absolute(host)?), names)
}

fn exists(labels: &[String]) -> bool {
    let [.., _, top] = labels else { return false };
    let is_country = top.len() == 2 && top.bytes().all(|b| b.is_ascii_lowercase());
    is_country || TOP_LEVEL.contains(&top.as_str())
}

fn address(labels: &[String], names: IpNet) -> Option<IpAddr> {
    let number = u32::from_be_bytes(Sha256::digest(labels.join("."))[..4].try_into().expect("a digest has 32 bytes"));
    let ip: IpAddr = match names {
        IpNet::V4(names) => {
            Ipv4Addr::from_bits(names.network().to_bits() | (number & names.hostmask().to_bits())).into()
        }
        IpNet::V6(names) => Ipv6Addr::from_bits(names.network().to_bits() | u128::from(number)).into(),
    };
    exists(labels).then_some(ip)
}

/// The answer to a message where names have addresses out of `names`, one network a family; `None` if there is none.
pub fn answer_outside(bytes: &[u8], transport: Transport, names: &[IpNet]) -> Option<Vec<u8>> {
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
    let asked = match question.query_type() {
        RecordType::A => Some(Family::V4),
        RecordType::AAAA => Some(Family::V6),
        _ => None,
    };
    let names = asked.and_then(|family| names.iter().find(|net| family.has_net(net)));
    let asked = names.and_then(|names| address(&labels, *names));
    match (asked, question.query_type()) {
        (Some(IpAddr::V4(ip)), _) => drop(answer.add_answer(record(RData::A(A(ip))))),
        (Some(IpAddr::V6(ip)), _) => drop(answer.add_answer(record(RData::AAAA(AAAA(ip))))),
        (None, RecordType::NS) if labels.is_empty() => {
            let root = name::absolute("a.root-servers.net").expect("a name");
            answer.add_answer(record(RData::NS(NS(root))));
        }
        (None, _) => {
            if !exists(&labels) && !labels.is_empty() {
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
    let exists = exists(labels);
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
    names: Vec<IpNet>,
    listener: Option<Listener>,
}

impl OutsideResolver {
    /// One that will listen on `ip`, an address of `netns`, where names have addresses out of `names`, one
    /// network a family.
    pub fn new(netns: NetnsId, ip: IpAddr, names: Vec<IpNet>) -> Self {
        Self { netns, ip, names, listener: None }
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
                    if let Some(answer) = answer_outside(&message, client.transport, &self.names) {
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

    const NAMES: IpNet = IpNet::new_assert(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 64)), 26);

    fn dig(name: &str, record_type: RecordType) -> String {
        show::dig(&answer_outside(&bytes(&query(name, record_type)), Transport::Udp, &[NAMES]).unwrap()).unwrap()
    }

    #[test]
    fn a_name_has_always_the_same_address() {
        let ip = outside_address("api.example.com", NAMES).unwrap();
        assert!(dig("API.example.com", RecordType::A).contains(&format!("API.example.com.\t300\tIN\tA\t{ip}")));
        assert!(ip.to_string().starts_with("198.51.100."), "{ip}");
        assert_ne!(outside_address("example.de", NAMES), outside_address("example.fr", NAMES));
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
        let answer = show::dig(&answer_outside(&bytes(&query), Transport::Udp, &[NAMES]).unwrap()).unwrap();
        assert!(answer.contains("udp: 512"), "{answer}");
    }

    proptest! {
        #[test]
        fn no_bytes_bring_it_down(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            answer_outside(&bytes, Transport::Tcp, &[NAMES]);
        }
    }
}

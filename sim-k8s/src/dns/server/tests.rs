//! Queries in, answers out, as `dig` shows them.

use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, SOA};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::NameEncoding;
use proptest::prelude::*;
use sim_core::engine::rng::Seed;

use super::super::bench::{CLUSTER, UDP, answer, at, bytes, crowd, query, records, server, with_edns};
use super::super::{message, show};
use super::*;

fn dig(server: &mut Server, query: &Message) -> String {
    show::dig(&answer(&server.query(at(100), UDP, &bytes(query)))).unwrap()
}

fn parsed(bytes: &[u8]) -> Message {
    Message::from_vec(bytes).unwrap()
}

#[test]
fn what_dig_shows_of_the_cluster() {
    let mut server = server();
    let asked = [
        ("web.default.svc.cluster.local", RecordType::A),
        ("_http._tcp.web.default.svc.cluster.local", RecordType::SRV),
        ("db.shop.svc.cluster.local", RecordType::AAAA),
        ("nobody.default.svc.cluster.local", RecordType::A),
        ("web.default.svc.cluster.local", RecordType::MX),
        ("dns-version.cluster.local", RecordType::TXT),
        ("20.0.96.10.in-addr.arpa", RecordType::PTR),
    ];
    let mut shown: Vec<String> = asked.into_iter().map(|(name, kind)| dig(&mut server, &query(name, kind))).collect();
    shown.push(dig(&mut server, &with_edns(query("web.default.svc.cluster.local", RecordType::A), 1232)));
    insta::assert_snapshot!(shown.join("\n"));
}

#[test]
fn addresses_come_in_another_order_each_time() {
    let mut server = server();
    let name = "db.shop.svc.cluster.local";
    let mut orders = std::collections::BTreeSet::new();
    for _ in 0..50 {
        let answer = parsed(&answer(&server.query(at(100), UDP, &bytes(&query(name, RecordType::A)))));
        orders.insert(answer.answers.iter().map(|record| record.data.to_string()).collect::<Vec<_>>());
    }
    assert_eq!(orders.len(), 6, "all orders of three");
}

fn crowded(count: u32) -> Server {
    Server::new("cluster.local", records(&crowd(count)), Seed(1).stream("coredns", 0))
}

#[test]
fn an_answer_is_cut_to_what_the_client_takes_and_says_so() {
    let crowd = query("crowd.default.svc.cluster.local", RecordType::A);
    let mut server = crowded(100);
    let mut asked = |query: &Message, client| answer(&server.query(at(100), client, &bytes(query)));
    // 12 of header, 37 of question, 16 for each address: its name compressed.
    let short = asked(&crowd, UDP);
    assert_eq!((short.len(), parsed(&short).answers.len(), parsed(&short).truncation), (49 + 28 * 16, 28, true));
    // 11 for the OPT record.
    let longer = asked(&with_edns(crowd.clone(), 1232), UDP);
    assert_eq!((longer.len(), parsed(&longer).answers.len(), parsed(&longer).truncation), (60 + 73 * 16, 73, true));
    // It fits, but would be fragmented: compressed.
    let whole = asked(&with_edns(crowd.clone(), 8000), UDP);
    assert_eq!((whole.len(), parsed(&whole).truncation), (60 + 100 * 16, false));
    // In a stream nothing needs to be cut, nor compressed.
    let stream = asked(&crowd, Client { transport: Transport::Tcp, ..UDP });
    assert_eq!((stream.len(), parsed(&stream).truncation), (49 + 100 * 47, false));
}

#[test]
fn what_fits_is_not_compressed() {
    let crowd = query("crowd.default.svc.cluster.local", RecordType::A);
    let nine = answer(&crowded(9).query(at(100), UDP, &bytes(&crowd)));
    assert_eq!(nine.len(), 49 + 9 * 47);
    let ten = answer(&crowded(10).query(at(100), UDP, &bytes(&crowd)));
    assert_eq!((ten.len(), parsed(&ten).truncation), (49 + 10 * 16, false));
}

#[test]
fn malformed_messages_are_refused_or_dropped() {
    let mut server = server();
    let good = bytes(&query("web.default.svc.cluster.local", RecordType::A));
    let mut tell = |bytes: &[u8]| match server.query(at(100), UDP, bytes).as_slice() {
        [] => "dropped".to_owned(),
        [Output::Answer { message, .. }] => format!("{} {} bytes", parsed(message).response_code, message.len()),
        other => format!("{other:?}"),
    };
    let changed = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    assert_eq!(tell(&good[..11]), "dropped", "no header");
    assert_eq!(tell(&changed(2, 0x81)), "dropped", "an answer");
    assert_eq!(tell(&changed(2, 5 << 3)), "Not Implemented 12 bytes", "an update");
    assert_eq!(tell(&changed(5, 0)), "Form Error 12 bytes", "no question");
    assert_eq!(tell(&changed(5, 2)), "Form Error 12 bytes", "two questions");
    assert_eq!(tell(&changed(11, 3)), "Form Error 12 bytes", "three additional records");
    assert_eq!(
        tell(&changed(11, 1)),
        format!("Form Error {} bytes", good.len()),
        "an additional record that is not there"
    );
    assert_eq!(tell(&good[..20]), "Form Error 12 bytes", "the question is cut");
}

#[test]
fn an_unknown_edns_version_is_refused() {
    let mut query = with_edns(query("web.default.svc.cluster.local", RecordType::A), 1232);
    query.edns.as_mut().unwrap().set_version(1);
    let answer = parsed(&answer(&server().query(at(100), UDP, &bytes(&query))));
    assert_eq!((u16::from(answer.response_code), answer.edns.unwrap().version()), (16, 0), "BADVERS");
}

/// What the server sends to the resolver outside: exchange and message.
fn asked(outputs: &[Output]) -> (u64, Message) {
    let asked = outputs.iter().find_map(|output| match output {
        Output::Ask { exchange, message, .. } => Some((*exchange, parsed(message))),
        _ => None,
    });
    asked.unwrap_or_else(|| panic!("nothing asked: {outputs:?}"))
}

/// The answer of a resolver: `addresses` for `ttl` seconds.
fn resolved(query: &Message, ttl: u32, addresses: &[[u8; 4]]) -> Vec<u8> {
    let mut answer = message::reply(query);
    answer.metadata.recursion_available = true;
    for address in addresses {
        answer.add_answer(Record::from_rdata(query.queries[0].name().clone(), ttl, RData::A(A((*address).into()))));
    }
    message::encode(&answer, NameEncoding::Compressed).unwrap()
}

#[test]
fn other_names_are_asked_outside_under_another_id() {
    let mut server = server();
    let (exchange, sent) = asked(&server.query(at(100), UDP, &bytes(&query("example.com", RecordType::A))));
    assert_eq!((sent.id == 7, sent.authentic_data, sent.recursion_desired), (false, true, true));
    let outputs = server.answered(at(100), exchange, &resolved(&sent, 300, &[[192, 0, 2, 1]]));
    assert_eq!(outputs[0], Output::Over { exchange, reusable: true });
    insta::assert_snapshot!(show::dig(&answer(&outputs)).unwrap());
    assert!(server.is_idle());
}

#[test]
fn an_answer_from_outside_is_kept_as_long_as_it_lives_but_no_longer_than_30_seconds() {
    let mut server = server();
    let query = bytes(&query("example.com", RecordType::A));
    let (exchange, sent) = asked(&server.query(at(100), UDP, &query));
    server.answered(at(100), exchange, &resolved(&sent, 300, &[[192, 0, 2, 1]]));
    let later = parsed(&answer(&server.query(at(129), UDP, &query)));
    assert_eq!((later.answers[0].ttl, later.authoritative, later.recursion_available), (1, true, true));
    asked(&server.query(at(130), UDP, &query));
}

#[test]
fn a_denial_from_outside_is_kept_as_its_soa_says() {
    let mut server = server();
    let query = bytes(&query("nobody.example.com", RecordType::A));
    let (exchange, sent) = asked(&server.query(at(100), UDP, &query));
    let mut denial = message::failure(&sent, ResponseCode::NXDomain);
    let soa = SOA::new(Name::root(), Name::root(), 1, 2, 3, 4, 5);
    denial.add_authority(Record::from_rdata(name("example.com"), 10, RData::SOA(soa)));
    server.answered(at(100), exchange, &bytes(&denial));
    let kept = parsed(&answer(&server.query(at(109), UDP, &query)));
    assert_eq!((kept.response_code, kept.authorities[0].ttl), (ResponseCode::NXDomain, 1));
    asked(&server.query(at(110), UDP, &query));
}

fn name(text: &str) -> Name {
    super::super::name::absolute(text).unwrap()
}

#[test]
fn a_denial_without_soa_and_a_cut_answer_are_not_kept() {
    for cut in [false, true] {
        let mut server = server();
        let query = bytes(&query("example.com", RecordType::A));
        let (exchange, sent) = asked(&server.query(at(100), UDP, &query));
        let mut reply = if cut { message::reply(&sent) } else { message::failure(&sent, ResponseCode::NXDomain) };
        reply.metadata.truncation = cut;
        server.answered(at(100), exchange, &bytes(&reply));
        asked(&server.query(at(100), UDP, &query));
    }
}

#[test]
fn names_of_the_cluster_are_never_kept() {
    let mut server = server();
    let query = query("nobody.default.svc.cluster.local", RecordType::A);
    assert!(dig(&mut server, &query).contains("NXDOMAIN"));
    let service = records(
        &CLUSTER
            .replace("name: empty", "name: nobody")
            .replace("clusterIP: None, ports: [{port: 1}]", "clusterIP: 10.96.0.33, ports: [{port: 1}]"),
    );
    *server.records_mut() = service;
    assert!(dig(&mut server, &query).contains("10.96.0.33"));
}

#[test]
fn a_dead_resolver_is_tried_twice_and_is_a_servfail_after_4_seconds() {
    let mut server = server();
    let client = bytes(&query("example.com", RecordType::A));
    let first = server.query(at(100), UDP, &client);
    let (exchange, one) = asked(&first);
    assert!(matches!(first[0], Output::Ask { until, .. } if until == at(102)));
    let second = server.failed(at(102), exchange);
    assert_eq!(second[0], Output::Over { exchange, reusable: false });
    let (exchange, two) = asked(&second);
    assert_ne!(one.id, two.id);
    let end = server.failed(at(104), exchange);
    assert_eq!(parsed(&answer(&end)).response_code, ResponseCode::ServFail);
    assert!(server.is_idle());
    asked(&server.query(at(104), UDP, &client));
}

#[test]
fn late_and_foreign_messages_from_outside_are_ignored() {
    let mut server = server();
    let (exchange, sent) = asked(&server.query(at(100), UDP, &bytes(&query("example.com", RecordType::A))));
    let mut foreign = resolved(&sent, 300, &[]);
    foreign[0] ^= 1;
    assert_eq!(server.answered(at(100), exchange, &foreign), []);
    assert_eq!(server.answered(at(100), exchange, b"x"), []);
    assert_eq!(server.answered(at(100), 99, &resolved(&sent, 300, &[])), []);
    assert!(!server.is_idle());
}

#[test]
fn an_answer_to_another_question_is_a_format_error() {
    let mut server = server();
    let (exchange, sent) = asked(&server.query(at(100), UDP, &bytes(&query("example.com", RecordType::A))));
    let mut other = query("example.org", RecordType::A);
    other.metadata.id = sent.id;
    let outputs = server.answered(at(100), exchange, &resolved(&other, 300, &[]));
    let answer = parsed(&answer(&outputs));
    assert_eq!(
        (answer.response_code, answer.id, answer.queries[0].name().to_ascii()),
        (ResponseCode::FormErr, 7, "example.com.".into())
    );
}

#[test]
fn an_alias_is_answered_with_what_is_behind_it_outside() {
    let mut server = server();
    let query = query("outside.default.svc.cluster.local", RecordType::A);
    let (exchange, sent) = asked(&server.query(at(100), UDP, &bytes(&query)));
    assert_eq!(sent.queries[0].name().to_ascii(), "api.example.com.");
    let outputs = server.answered(at(100), exchange, &resolved(&sent, 12, &[[192, 0, 2, 1]]));
    insta::assert_snapshot!(show::dig(&answer(&outputs)).unwrap());
    assert!(dig(&mut server, &query).contains("192.0.2.1"), "what is behind it is kept");
}

#[test]
fn an_alias_to_nothing_is_an_alias_all_the_same() {
    let mut server = server();
    let (exchange, _) =
        asked(&server.query(at(100), UDP, &bytes(&query("outside.default.svc.cluster.local", RecordType::A))));
    let (exchange, _) = asked(&server.failed(at(102), exchange));
    let answer = parsed(&answer(&server.failed(at(104), exchange)));
    assert_eq!((answer.response_code, answer.answers.len()), (ResponseCode::NoError, 1));
}

#[test]
fn more_than_1000_questions_at_a_time_are_refused() {
    let mut server = server();
    for n in 0..MAX_CONCURRENT {
        asked(&server.query(at(100), UDP, &bytes(&query(&format!("n{n}.example.com"), RecordType::A))));
    }
    let refused = answer(&server.query(at(100), UDP, &bytes(&query("example.com", RecordType::A))));
    assert_eq!(parsed(&refused).response_code, ResponseCode::Refused);
}

#[test]
fn a_stream_is_taken_apart_message_by_message() {
    let mut stream = [message::framed(b"one"), message::framed(b""), message::framed(b"three")[..4].to_vec()].concat();
    assert_eq!(message::take_framed(&mut stream).as_deref(), Some(&b"one"[..]));
    assert_eq!(message::take_framed(&mut stream).as_deref(), Some(&b""[..]));
    assert_eq!(message::take_framed(&mut stream), None);
    assert_eq!(stream, [0, 5, b't', b'h']);
}

#[test]
fn a_notification_is_answered_like_a_query() {
    let mut query = query("web.default.svc.cluster.local", RecordType::SOA);
    query.metadata.op_code = OpCode::Notify;
    assert!(dig(&mut server(), &query).contains("opcode: NOTIFY, status: NOERROR"));
}

proptest! {
    #[test]
    fn no_bytes_bring_the_server_down(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        server().query(at(100), UDP, &bytes);
    }

    /// Bytes that look more like a query: each change of a good one.
    #[test]
    fn no_change_of_a_query_brings_the_server_down(changes in prop::collection::vec((0usize..60, any::<u8>()), 1..6)) {
        let mut query = bytes(&with_edns(query("db.shop.svc.cluster.local", RecordType::SRV), 600));
        for (at, byte) in changes {
            let length = query.len();
            query[at % length] = byte;
        }
        let mut server = server();
        for output in server.query(at(100), UDP, &query) {
            match output {
                Output::Answer { message, .. } => prop_assert!(message.len() >= message::HEADER_LEN && parsed_or_odd(&message)),
                Output::Ask { exchange, message, .. } => {
                    let mut reply = message.clone();
                    reply[2] |= 0x80;
                    server.answered(at(100), exchange, &reply);
                }
                Output::Over { .. } => {}
            }
        }
    }

    #[test]
    fn no_bytes_from_outside_bring_the_server_down(tail in prop::collection::vec(any::<u8>(), 0..100)) {
        let mut server = server();
        let (exchange, sent) = asked(&server.query(at(100), UDP, &bytes(&query("example.com", RecordType::A))));
        server.answered(at(100), exchange, &[&sent.id.to_be_bytes()[..], &tail].concat());
    }
}

/// What is sent can be read again, unless the question itself was odd.
fn parsed_or_odd(message: &[u8]) -> bool {
    Message::from_vec(message).is_ok()
}

//! Lookups against servers that answer as a story needs it. Each line of a log is what one lookup did, when.

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::Record;
use hickory_proto::rr::rdata::A;
use proptest::prelude::*;
use sim_core::engine::rng::Seed;

use super::*;
use crate::dns::bench::at;

const POD: &str =
    "search shop.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.96.0.10\noptions ndots:5\n";

/// What a server does with the `n`th message it gets.
enum Does {
    /// Nothing.
    Silent,
    /// The host answers that nobody listens.
    Refuses,
    /// It answers with this code, and an address if told so and asked for A.
    Answers(ResponseCode, bool),
    /// It answers that the answer is too long.
    Cuts,
}

use Does::{Answers, Cuts, Refuses, Silent};

const FOUND: Does = Answers(ResponseCode::NoError, true);
const NO_DATA: Does = Answers(ResponseCode::NoError, false);
const NO_NAME: Does = Answers(ResponseCode::NXDomain, false);
const FAILS: Does = Answers(ResponseCode::ServFail, false);

struct Told {
    /// `seconds name type` of each datagram; `|` before what a new socket sends, `stream` before what goes by one.
    log: Vec<String>,
    result: Result<Vec<IpAddr>, Failure>,
    seconds: f64,
}

/// Looks `host` up; the server is told name, type and how many messages came before. Nothing takes time but waiting.
fn look_up(resolver: &mut Resolver, host: &str, mut server: impl FnMut(&str, RecordType, usize) -> Does) -> Told {
    let mut draws = Seed(1).stream("test", 0);
    let (mut now, mut until) = (at(0), Instant::NEVER);
    let (lookup, actions) = resolver.begin(host, now, &mut draws);
    let mut lookup = lookup.expect("a name that has to be asked for");
    let mut actions: std::collections::VecDeque<_> = actions.into();
    let (mut log, mut fresh, mut count) = (Vec::new(), String::new(), 0);
    loop {
        let Some(action) = actions.pop_front() else {
            assert!(until < Instant::NEVER, "waits for nothing: {log:?}");
            now = until;
            actions.extend(lookup.timed_out(now, &mut draws));
            continue;
        };
        let seconds = now.as_nanos() as f64 / 1e9;
        let (peer, messages, stream) = match action {
            Action::Close => continue,
            Action::Open(_) => {
                fresh = "| ".into();
                continue;
            }
            Action::Wait(at) => {
                until = at;
                continue;
            }
            Action::Done(result) => {
                resolver.learn(&lookup);
                return Told { log, result, seconds };
            }
            Action::Send(peer, bytes) => (peer, vec![bytes], false),
            Action::Stream(peer, mut bytes) => {
                (peer, std::iter::from_fn(|| message::take_framed(&mut bytes)).collect(), true)
            }
        };
        for bytes in messages {
            let query = Message::from_vec(&bytes).unwrap();
            let (name, kind) = (query.queries[0].name().to_ascii(), query.queries[0].query_type());
            let mark = if stream { "stream ".to_owned() } else { std::mem::take(&mut fresh) };
            log.push(format!("{mark}{seconds} {name} {kind}"));
            let mut answer = message::reply(&query);
            answer.metadata.authoritative = true;
            match server(&name, kind, count) {
                Silent => {}
                Refuses => actions.extend(lookup.failed(SocketFailure::Refused, now, &mut draws)),
                Cuts if !stream => {
                    answer.metadata.truncation = true;
                    actions.extend(reply(&mut lookup, peer, &answer, now, &mut draws));
                }
                does => {
                    if let Answers(code, _) = does {
                        answer.metadata.response_code = code;
                    }
                    if matches!(does, Answers(_, true) | Cuts) && kind == RecordType::A {
                        let address = RData::A(A([10, 96, 0, 20].into()));
                        answer.add_answer(Record::from_rdata(query.queries[0].name().clone(), 30, address));
                    }
                    actions.extend(reply(&mut lookup, peer, &answer, now, &mut draws));
                }
            }
            count += 1;
        }
    }
}

fn reply(lookup: &mut Lookup, peer: SocketAddr, answer: &Message, now: Instant, draws: &mut Stream) -> Vec<Action> {
    lookup.received(peer, &message::encode(answer, NameEncoding::Compressed).unwrap(), now, draws)
}

fn resolver(libc: Libc, conf: &str) -> Resolver {
    Resolver::new(libc, ResolvConf::parse(conf))
}

fn glibc(options: &str) -> Resolver {
    resolver(Libc::Glibc, &format!("{POD}options {options}\n"))
}

fn musl() -> Resolver {
    resolver(Libc::Musl, POD)
}

fn only(wanted: &'static str) -> impl FnMut(&str, RecordType, usize) -> Does {
    move |name, _, _| if name == wanted { FOUND } else { NO_NAME }
}

#[test]
fn an_outside_name_costs_eight_questions_with_ndots_5() {
    for mut resolver in [glibc(""), musl()] {
        let told = look_up(&mut resolver, "api.example.com", only("api.example.com."));
        assert_eq!(
            told.log,
            [
                "| 0 api.example.com.shop.svc.cluster.local. A",
                "0 api.example.com.shop.svc.cluster.local. AAAA",
                "| 0 api.example.com.svc.cluster.local. A",
                "0 api.example.com.svc.cluster.local. AAAA",
                "| 0 api.example.com.cluster.local. A",
                "0 api.example.com.cluster.local. AAAA",
                "| 0 api.example.com. A",
                "0 api.example.com. AAAA",
            ]
        );
        assert_eq!(told.result, Ok(vec!["10.96.0.20".parse().unwrap()]));
    }
}

#[test]
fn a_dot_at_the_end_or_enough_dots_save_six_of_them() {
    for mut resolver in [glibc(""), musl()] {
        let told = look_up(&mut resolver, "api.example.com.", only("api.example.com."));
        assert_eq!((told.log.len(), told.result.is_ok()), (2, true));
        let told = look_up(&mut resolver, "a.b.c.d.example.com", only("a.b.c.d.example.com."));
        assert_eq!((told.log.len(), told.result.is_ok()), (2, true));
    }
}

#[test]
fn glibc_completes_a_name_with_enough_dots_where_musl_does_not() {
    let wanted = "a.b.c.d.e.f.cluster.local.";
    assert_eq!(look_up(&mut glibc(""), "a.b.c.d.e.f", only(wanted)).log.len(), 8);
    let told = look_up(&mut musl(), "a.b.c.d.e.f", only(wanted));
    assert_eq!((told.log.len(), told.result), (2, Err(Failure::NameError)));
}

#[test]
fn a_name_without_addresses_ends_musls_search_but_not_glibcs() {
    let server = |name: &str, _: RecordType, _: usize| match name {
        "web.shop.svc.cluster.local." => NO_DATA,
        "web.cluster.local." => FOUND,
        _ => NO_NAME,
    };
    assert!(look_up(&mut glibc(""), "web", server).result.is_ok());
    let told = look_up(&mut musl(), "web", server);
    assert_eq!((told.log.len(), told.result), (2, Err(Failure::NoData)));
}

#[test]
fn what_is_remembered_of_a_search_in_vain_is_that_a_name_existed() {
    let mut server = |name: &str, _: RecordType, _: usize| if name.starts_with("web.svc.") { NO_DATA } else { NO_NAME };
    assert_eq!(look_up(&mut glibc(""), "web", &mut server).result, Err(Failure::NoData));
    assert_eq!(look_up(&mut glibc(""), "nobody", only("x.")).result, Err(Failure::NameError));
}

/// The story of the lost AAAA (two datagrams of one flow race in conntrack): 5 seconds, and one question at a time from then on.
#[test]
fn an_answer_of_two_that_is_lost_costs_5_seconds_and_is_a_lesson() {
    let mut resolver = glibc("");
    let told =
        look_up(&mut resolver, "web.", |_, kind, n| if kind == RecordType::AAAA && n < 2 { Silent } else { FOUND });
    assert_eq!(told.log, ["| 0 web. A", "0 web. AAAA", "5 web. A", "5 web. AAAA"], "from the same socket");
    assert!(told.result.is_ok());
    assert_eq!(resolver.one_by_one, glibc::OneByOne::Yes);
}

#[test]
fn an_answer_that_never_comes_costs_15_seconds_and_the_other_is_taken() {
    let told = look_up(&mut glibc(""), "web.", |_, kind, _| if kind == RecordType::AAAA { Silent } else { FOUND });
    assert_eq!(told.log, ["| 0 web. A", "0 web. AAAA", "5 web. A", "5 web. AAAA", "| 10 web. A", "| 10 web. AAAA"]);
    assert_eq!((told.seconds, told.result.is_ok()), (15.0, true));
}

#[test]
fn single_request_asks_when_answered_and_reopen_from_another_socket() {
    let found = |_: &str, _: RecordType, _: usize| FOUND;
    assert_eq!(look_up(&mut glibc("single-request"), "web.", found).log, ["| 0 web. A", "0 web. AAAA"]);
    assert_eq!(look_up(&mut glibc("single-request-reopen"), "web.", found).log, ["| 0 web. A", "| 0 web. AAAA"]);
    assert_eq!(look_up(&mut glibc("no-aaaa"), "web.", found).log, ["| 0 web. A"]);
    assert_eq!(look_up(&mut glibc("use-vc"), "web.", found).log, ["stream 0 web. A", "stream 0 web. AAAA"]);
}

#[test]
fn a_silent_server_costs_glibc_10_seconds_a_name_and_musl_5() {
    let silent = |_: &str, _: RecordType, _: usize| Silent;
    let told = look_up(&mut glibc(""), "web", silent);
    assert_eq!((told.seconds, told.log.len(), told.result), (20.0, 8, Err(Failure::TimedOut)));
    assert_eq!(
        told.log[2..5],
        ["5 web.shop.svc.cluster.local. A", "5 web.shop.svc.cluster.local. AAAA", "| 10 web. A"]
    );
    assert_eq!(look_up(&mut glibc("timeout:1 attempts:3"), "web.", silent).seconds, 3.0);
    let told = look_up(&mut musl(), "web", silent);
    assert_eq!((told.seconds, told.log.len(), told.result), (5.0, 4, Err(Failure::TimedOut)));
    assert_eq!(told.log[2], "2.5 web.shop.svc.cluster.local. A");
}

#[test]
fn where_nobody_listens_glibc_knows_at_once_and_musl_waits() {
    let told = look_up(&mut glibc(""), "web", |_, kind, _| if kind == RecordType::A { Refuses } else { Silent });
    assert_eq!((told.seconds, told.result), (0.0, Err(Failure::Unreachable)));
    let told = look_up(&mut musl(), "web", |_, _, _| Refuses);
    assert_eq!((told.seconds, told.result), (5.0, Err(Failure::TimedOut)));
}

#[test]
fn a_failing_server_is_asked_again_at_once() {
    let told = look_up(&mut glibc(""), "web.", |_, _, _| FAILS);
    assert_eq!((told.seconds, told.log.len(), told.result), (0.0, 4, Err(Failure::ServerFailure)));
    let told = look_up(&mut musl(), "web.", |_, _, n| if n < 3 { FAILS } else { FOUND });
    assert_eq!((told.seconds, told.log.len(), told.result.is_ok()), (0.0, 5, true));
}

#[test]
fn one_good_answer_of_two_is_enough_for_glibc() {
    let told = look_up(&mut glibc(""), "web.", |_, kind, _| if kind == RecordType::AAAA { FAILS } else { FOUND });
    assert_eq!((told.log.len(), told.result.is_ok()), (2, true));
}

#[test]
fn servers_are_asked_in_turn_by_glibc_and_all_at_once_by_musl() {
    let conf = "nameserver 10.0.0.1\nnameserver 10.0.0.2\n";
    let told = look_up(&mut resolver(Libc::Glibc, conf), "web.", |_, _, n| if n < 2 { Silent } else { FOUND });
    assert_eq!(told.log, ["| 0 web. A", "0 web. AAAA", "| 5 web. A", "5 web. AAAA"]);
    let told = look_up(&mut resolver(Libc::Glibc, conf), "web.", |_, _, _| Silent);
    assert_eq!(told.seconds, 20.0, "5 for each of them, twice: the second may take 10 shared by two");
    let told = look_up(&mut resolver(Libc::Musl, conf), "web.", |_, _, n| if n % 2 == 0 { Silent } else { FOUND });
    assert_eq!((told.seconds, told.log.len(), told.result.is_ok()), (0.0, 4, true));
}

#[test]
fn a_cut_answer_is_asked_for_by_a_stream() {
    let cuts = |_: &str, _: RecordType, _: usize| Cuts;
    let told = look_up(&mut glibc(""), "web.", cuts);
    assert_eq!(told.log[..3], ["| 0 web. A", "0 web. AAAA", "stream 0 web. A"], "both again");
    assert!(told.result.is_ok());
    let told = look_up(&mut musl(), "web.", |_, kind, _| if kind == RecordType::A { Cuts } else { NO_DATA });
    assert_eq!(told.log, ["| 0 web. A", "0 web. AAAA", "stream 0 web. A"], "only the one");
    assert!(told.result.is_ok());
}

#[test]
fn addresses_and_known_names_are_not_asked_for() {
    let mut resolver = glibc("");
    resolver.hosts.insert("db".into(), vec!["10.0.0.7".parse().unwrap()]);
    let mut draws = Seed(1).stream("test", 0);
    for (host, ip) in [("10.1.2.3", "10.1.2.3"), ("DB", "10.0.0.7")] {
        let (lookup, actions) = resolver.begin(host, at(0), &mut draws);
        assert!(lookup.is_none());
        assert_eq!(actions, [Action::Done(Ok(vec![ip.parse().unwrap()]))]);
    }
}

#[test]
fn what_is_no_name_is_not_asked_for() {
    for resolver in [glibc(""), musl()] {
        let (_, actions) = resolver.begin(&"x".repeat(64), at(0), &mut Seed(1).stream("test", 0));
        assert!(matches!(actions.as_slice(), [Action::Done(Err(_))]), "{actions:?}");
    }
}

#[test]
fn without_a_server_the_own_host_is_asked() {
    let told = look_up(&mut resolver(Libc::Glibc, ""), "web", |_, _, _| Refuses);
    assert_eq!(told.result, Err(Failure::Unreachable));
}

proptest! {
    #[test]
    fn no_bytes_bring_a_lookup_down(host in "\\PC{0,80}", bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        for resolver in [glibc(""), musl()] {
            let mut draws = Seed(1).stream("test", 0);
            let (lookup, actions) = resolver.begin(&host, at(0), &mut draws);
            let Some(mut lookup) = lookup else { continue };
            let peer = SocketAddr::new([10, 96, 0, 10].into(), PORT);
            lookup.received(peer, &bytes, at(0), &mut draws);
            for action in actions {
                if let Action::Send(peer, mut message) = action {
                    message[2] |= 0x80;
                    message.truncate(12);
                    message.extend(&bytes);
                    lookup.received(peer, &message, at(0), &mut draws);
                }
            }
            lookup.timed_out(at(60), &mut draws);
            lookup.stream_failed(SocketFailure::Other, at(60), &mut draws);
        }
    }
}

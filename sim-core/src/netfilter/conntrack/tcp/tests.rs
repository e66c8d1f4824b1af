//! Stories of connections. The client's numbers begin at 1000, the server's at 5000.

use super::TcpState;
use crate::netfilter::conntrack::bench::{Node, at, tcp, tcp_with, to};
use crate::netfilter::conntrack::{Proto, Status};
use crate::wire::l4::{ACK, FIN, PSH, RST, SYN, TcpHeader, URG};
use crate::wire::packet::{CtInfo, CtRef, Packet};

const C: &str = "10.244.1.2:41000";
const S: &str = "10.244.2.2:80";
const MSS: &[u8] = &[2, 4, 5, 130, 1, 1, 4, 2, 1, 3, 3, 7];

fn state(node: &Node) -> TcpState {
    match &node.only().proto {
        Proto::Tcp(tcp) => tcp.state(),
        other => panic!("not TCP: {other:?}"),
    }
}

fn is_valid(packet: Option<Packet>) -> bool {
    packet.is_some_and(|p| matches!(p.ct, CtRef::Entry(..)))
}

fn syn(from: &str, to: &str, flags: u8, seq: u32, ack: u32) -> Packet {
    tcp_with(from, to, TcpHeader { flags, seq, ack, window: 64_240, ..Default::default() }, MSS, b"")
}

fn established() -> Node {
    let mut node = Node::new();
    assert!(is_valid(node.forward(syn(C, S, SYN, 1000, 0))));
    assert_eq!((state(&node), node.left()), (TcpState::SynSent, 120));
    assert!(is_valid(node.forward(syn(S, C, SYN | ACK, 5000, 1001))));
    assert_eq!((state(&node), node.left()), (TcpState::SynRecv, 60));
    assert!(is_valid(node.forward(tcp(C, S, ACK, 1001, 5001, b""))));
    node
}

fn closed() -> Node {
    let mut node = established();
    assert!(is_valid(node.forward(tcp(C, S, FIN | ACK, 1001, 5001, b""))));
    assert_eq!((state(&node), node.left()), (TcpState::FinWait, 120));
    assert!(is_valid(node.forward(tcp(S, C, ACK, 5001, 1002, b""))));
    assert_eq!((state(&node), node.left()), (TcpState::CloseWait, 60));
    assert!(is_valid(node.forward(tcp(S, C, FIN | ACK, 5001, 1002, b""))));
    assert_eq!((state(&node), node.left()), (TcpState::LastAck, 30));
    assert!(is_valid(node.forward(tcp(C, S, ACK, 1002, 5002, b""))));
    node
}

/// Facts 35 and 37; golden tcp_states.
#[test]
fn a_connection_goes_through_its_states_with_their_timeouts() {
    let node = established();
    assert_eq!((state(&node), node.left()), (TcpState::Established, 432_000));
    assert!(node.only().status.has(Status::ASSURED));
    let node = closed();
    assert_eq!((state(&node), node.left()), (TcpState::TimeWait, 120));
    assert!(node.lines()[0].contains("tcp      6 120 TIME_WAIT src=10.244.1.2"), "{}", node.lines()[0]);
}

#[test]
fn unacknowledged_data_shortens_the_life_of_a_connection_until_it_is_acknowledged() {
    let mut node = established();
    node.forward(tcp(C, S, PSH | ACK, 1001, 5001, b"hello"));
    assert_eq!(node.left(), 300);
    node.forward(tcp(S, C, ACK, 5001, 1006, b""));
    assert_eq!(node.left(), 432_000);
}

/// Fact 37.
#[test]
fn a_rst_as_first_reply_deletes_the_entry() {
    let mut node = Node::new();
    node.dnat = Some(to(S));
    node.forward(syn(C, "10.96.0.10:80", SYN, 1000, 0));
    let rst = node.forward(tcp(S, C, RST | ACK, 0, 1001, b"")).unwrap();
    assert_eq!(rst.ip().unwrap().src, at("10.96.0.10:80").ip(), "it is still translated itself");
    assert!(node.ct.is_empty());
}

#[test]
fn a_repeated_syn_neither_keeps_the_entry_alive_nor_is_it_counted() {
    let mut node = Node::new();
    node.forward(syn(C, S, SYN, 1000, 0));
    node.wait(1);
    assert!(is_valid(node.forward(syn(C, S, SYN, 1000, 0))));
    assert_eq!((node.left(), node.only().counters.unwrap()[0].packets), (119, 1));
}

/// Fact 37: the new connection is translated by the rules of now.
#[test]
fn a_syn_on_time_wait_makes_a_new_entry() {
    let mut node = closed();
    node.snat = Some(to("10.240.0.11"));
    let sent = node.forward(syn(C, S, SYN, 200_000, 0)).unwrap();
    assert_eq!(sent.ip().unwrap().src, at("10.240.0.11:0").ip());
    assert!(matches!(sent.ct, CtRef::Entry(_, CtInfo::New)));
    assert_eq!((state(&node), node.only().counters.unwrap()[0].packets), (TcpState::SynSent, 1));
}

#[test]
fn after_time_wait_the_server_may_become_the_client() {
    let mut node = closed();
    let sent = node.forward(syn(S, C, SYN, 900_000, 0)).unwrap();
    assert!(matches!(sent.ct, CtRef::Entry(_, CtInfo::New)));
    assert_eq!(node.only().orig.src, at(S).ip());
}

/// Fact 39.
#[test]
fn a_segment_outside_the_window_is_invalid_and_not_counted() {
    let mut node = established();
    let stray = node.forward(tcp(S, C, PSH | ACK, 405_001, 1001, b"stray")).unwrap();
    assert_eq!(stray.ct, CtRef::None);
    let ahead = node.forward(tcp(S, C, ACK, 5001, 900_000, b"")).unwrap();
    assert_eq!(ahead.ct, CtRef::None, "it acknowledges what was never sent");
    assert_eq!(node.only().counters.unwrap()[1].packets, 1);
    assert_eq!(node.ct.stats().invalid, 2);
    node.ct.config.tcp_be_liberal = true;
    assert!(is_valid(node.forward(tcp(S, C, PSH | ACK, 405_001, 1001, b"stray"))));
}

#[test]
fn an_old_duplicate_passes_and_changes_nothing() {
    let mut node = established();
    let far = |n: u32| 1001 + n;
    for n in 0..20 {
        let data = vec![b'x'; 60_000];
        assert!(is_valid(node.forward(tcp(C, S, ACK, far(n * 60_000), 5001, &data))));
        assert!(is_valid(node.forward(tcp(S, C, ACK, 5001, far((n + 1) * 60_000), b""))));
    }
    let before = node.only().clone();
    assert!(is_valid(node.forward(tcp(S, C, ACK, 5001, 1001, b""))), "1.2 MB ago");
    assert_eq!(node.only(), &before);
}

/// What is ahead of the window but no further than the largest one seen passes without being tracked.
#[test]
fn windows_are_scaled_only_if_both_ends_offer_it() {
    let ahead = || tcp(S, C, ACK, 5001 + 50_000, 1001, b"x");
    let mut node = Node::new();
    node.forward(syn(C, S, SYN, 1000, 0));
    node.forward(tcp(S, C, SYN | ACK, 5000, 1001, b""));
    node.forward(tcp(C, S, ACK, 1001, 5001, b""));
    assert!(is_valid(node.forward(ahead())));
    assert_eq!(node.only().counters.unwrap()[1].packets, 1, "the window is 502");
    let mut node = established();
    assert!(is_valid(node.forward(ahead())));
    assert_eq!(node.only().counters.unwrap()[1].packets, 2, "the window is 502 << 7 = 64256");
}

/// Fact 38.
#[test]
fn a_rst_inside_the_window_but_not_exact_waits_for_the_challenge_ack() {
    let mut node = established();
    assert!(is_valid(node.forward(tcp(C, S, RST, 1050, 0, b""))));
    assert_eq!(state(&node), TcpState::Established);
    assert!(is_valid(node.forward(tcp(S, C, ACK, 5001, 1001, b""))));
    assert_eq!((state(&node), node.left()), (TcpState::Established, 300));
    assert!(is_valid(node.forward(tcp(C, S, RST, 1001, 0, b""))));
    assert_eq!((state(&node), node.left()), (TcpState::Close, 10));
}

#[test]
fn a_rst_below_the_highest_ack_is_invalid_unless_the_sysctl_says_otherwise() {
    let mut node = established();
    node.forward(tcp(C, S, ACK, 1001, 5001, b"hello"));
    node.forward(tcp(S, C, ACK, 5001, 1006, b""));
    assert!(!is_valid(node.forward(tcp(C, S, RST, 1001, 0, b""))));
    node.ct.config.tcp_ignore_invalid_rst = true;
    assert!(is_valid(node.forward(tcp(C, S, RST, 1001, 0, b""))));
}

/// Fact 39.
#[test]
fn nothing_but_a_syn_or_an_ack_begins_a_connection() {
    let node = &mut Node::new();
    for flags in [SYN | ACK, RST, RST | ACK, FIN | ACK, FIN, 0, FIN | PSH | URG, SYN | FIN, SYN | RST] {
        assert!(!is_valid(node.forward(tcp(C, S, flags, 1000, 1, b""))), "{flags:#04x}");
    }
    assert!(node.ct.is_empty());
}

/// Fact 40.
#[test]
fn a_connection_is_picked_up_in_its_middle_if_loose() {
    let mut node = Node::new();
    node.dnat = Some(to("10.244.2.2:8080"));
    let sent = node.forward(tcp(C, S, ACK, 70_000, 90_000, b"hello")).unwrap();
    assert_eq!(sent.ip().unwrap().dst, at("10.244.2.2:8080").ip());
    assert_eq!((state(&node), node.left()), (TcpState::Established, 300));
    assert!(is_valid(node.forward(tcp("10.244.2.2:8080", C, ACK, 90_000, 70_005, b""))));
    assert!(is_valid(node.forward(tcp(C, S, ACK, 70_005, 90_000, b""))));
    assert!(node.only().status.has(Status::ASSURED));
    let mut node = Node::new();
    node.ct.config.tcp_loose = false;
    assert!(!is_valid(node.forward(tcp(C, S, ACK, 70_000, 90_000, b"hello"))));
}

#[test]
fn both_ends_may_open_at_the_same_time() {
    let mut node = Node::new();
    node.forward(syn(C, S, SYN, 1000, 0));
    assert!(is_valid(node.forward(syn(S, C, SYN, 5000, 0))));
    assert_eq!(state(&node), TcpState::SynSent2);
    assert!(is_valid(node.forward(syn(C, S, SYN | ACK, 1000, 5001))));
    assert_eq!(state(&node), TcpState::SynRecv);
    assert!(is_valid(node.forward(tcp(S, C, ACK, 5001, 1001, b""))));
    assert_eq!(state(&node), TcpState::Established);
}

#[test]
fn an_ignored_syn_becomes_the_truth_when_the_server_answers_it() {
    let mut node = established();
    assert!(is_valid(node.forward(syn(C, S, SYN, 700_000, 0))), "the client forgot the connection");
    assert_eq!(state(&node), TcpState::Established);
    assert!(is_valid(node.forward(syn(S, C, SYN | ACK, 800_000, 700_001))));
    assert_eq!(state(&node), TcpState::SynRecv);
    assert!(is_valid(node.forward(tcp(C, S, ACK, 700_001, 800_001, b""))));
    assert_eq!(state(&node), TcpState::Established);
}

#[test]
fn a_connection_the_server_no_longer_knows_dies_by_its_rst_to_the_challenge_ack() {
    let mut node = established();
    node.forward(syn(C, S, SYN, 700_000, 0));
    assert!(is_valid(node.forward(tcp(S, C, ACK, 5001, 1001, b""))), "a challenge ACK");
    assert!(is_valid(node.forward(tcp(C, S, RST, 1001, 0, b""))));
    assert_eq!(state(&node), TcpState::Close);
}

#[test]
fn repeated_acks_without_progress_shorten_the_life_of_a_connection() {
    let mut node = established();
    for _ in 0..3 {
        node.forward(tcp(C, S, ACK, 1001, 5001, b""));
    }
    assert_eq!(node.left(), 300);
    node.forward(tcp(C, S, ACK, 1001, 5001, b"on"));
    node.forward(tcp(S, C, ACK, 5001, 1003, b""));
    assert_eq!(node.left(), 432_000);
}

#[test]
fn closing_segments_out_of_window_from_both_ends_shorten_the_life_of_a_connection() {
    let mut node = established();
    assert!(!is_valid(node.forward(tcp(C, S, FIN | ACK, 90_000_000, 5001, b""))));
    assert_eq!(node.left(), 432_000);
    assert!(!is_valid(node.forward(tcp(S, C, FIN | ACK, 90_000_000, 1001, b""))));
    assert_eq!(node.left(), 300);
}

/// Fact 39; golden tcp_invalid_nodrop: without the INVALID DROP rule one stray segment ends the connection.
#[test]
fn a_stray_segment_is_not_translated_and_its_rst_ends_the_connection() {
    const V: &str = "10.96.0.10:80";
    let mut node = Node::new();
    node.dnat = Some(to(S));
    node.forward(syn(C, V, SYN, 1000, 0));
    node.forward(syn(S, C, SYN | ACK, 5000, 1001));
    node.forward(tcp(C, V, ACK, 1001, 5001, b""));
    let stray = node.forward(tcp(S, C, PSH | ACK, 405_001, 1001, b"stray")).unwrap();
    assert_eq!(stray.ip().unwrap().src, at(S).ip(), "the client sees the pod");
    let answer = node.forward(tcp(C, S, RST, 1001, 0, b"")).unwrap();
    assert_eq!(
        (answer.ct, state(&node)),
        (CtRef::None, TcpState::Established),
        "its RST is about no connection we know"
    );
    node.forward(tcp(C, V, PSH | ACK, 1001, 5001, b"hello"));
    let rst = node.forward(tcp(S, C, RST, 5001, 0, b"")).unwrap();
    assert_eq!(rst.ip().unwrap().src, at(V).ip());
    assert_eq!((state(&node), node.left()), (TcpState::Close, 10));
    assert!(node.only().status.has(Status::ASSURED));
}

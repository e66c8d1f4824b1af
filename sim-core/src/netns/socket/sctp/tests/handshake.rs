//! How associations begin and end.

use super::*;
use wire::{
    ABORT, COOKIE_ACK, COOKIE_ECHO, DATA, FLAG_T, HEARTBEAT, HEARTBEAT_ACK, INIT, INIT_ACK, SACK, SHUTDOWN,
    SHUTDOWN_ACK, SHUTDOWN_COMPLETE,
};

#[test]
fn four_packets_begin_an_association_and_three_end_it() {
    let mut w = Wire::new(1);
    let (client, server) = w.connected();
    let begun = [(0, vec![INIT]), (1, vec![INIT_ACK]), (0, vec![COOKIE_ECHO]), (1, vec![COOKIE_ACK])];
    assert_eq!(w.story(0), begun);
    assert_eq!(
        (w.ends[0].state(client), w.ends[1].state(server)),
        (Some(State::Established), Some(State::Established))
    );
    w.ends[0].close(w.now, client);
    w.run(Duration::from_millis(10));
    assert_eq!(w.ends[0].state(client), None, "it is forgotten");
    assert_eq!(read_all(&mut w, 1, server), (vec![], Some(Ok(()))));
    let ended = [(0, vec![SHUTDOWN]), (1, vec![SHUTDOWN_ACK]), (0, vec![SHUTDOWN_COMPLETE])];
    assert_eq!(w.story(4), ended);
    w.ends[1].close(w.now, server);
    assert_eq!((w.ends[0].next_timer(), w.ends[1].next_timer()), (Instant::NEVER, Instant::NEVER));
}

#[test]
fn an_init_tells_what_linux_tells() {
    let mut w = Wire::new(1);
    w.connect();
    w.collect();
    let (_, init) = &w.sent[0];
    assert_eq!(SctpHeader::read(&init.l4).unwrap().tag, 0);
    let value = value(&init.l4);
    assert_eq!(value[4..12], [0, 1, 0xa0, 0, 0, 10, 0xff, 0xff], "a window of 106496, ten streams out, all in");
    assert_eq!(value[16..], [0, 12, 0, 6, 0, 5], "IPv4 alone, and its padding is the chunk's");
}

#[test]
fn nothing_is_kept_before_the_cookie_comes_back() {
    let mut w = Wire::new(1);
    w.swallow = (COOKIE_ECHO, u32::MAX);
    w.connect();
    w.run(Duration::from_secs(1));
    assert_eq!(w.ends[1].rows().len(), 1, "the listener");
    assert_eq!(w.ends[1].next_timer(), Instant::NEVER);
}

/// RTO.Initial 3 s, doubled up to 60 s; Max.Init.Retransmits 8.
#[test]
fn an_init_is_sent_nine_times() {
    let mut w = Wire::new(1);
    w.swallow = (INIT, u32::MAX);
    let (client, _) = w.connect();
    let mut at = Vec::new();
    while w.ends[0].take_error(client).is_none_or(|errno| errno != Errno::ETIMEDOUT) {
        let before = w.sent.len();
        w.collect();
        at.extend((before..w.sent.len()).map(|_| w.now.as_nanos() / 1_000_000_000));
        assert!(w.step(Instant::START + Duration::from_secs(1000)));
    }
    assert_eq!(at, [0, 3, 9, 21, 45, 93, 153, 213, 273]);
    assert_eq!(w.now, Instant::START + Duration::from_secs(333));
}

#[test]
fn a_closed_port_answers_with_abort_and_the_tag_of_the_init() {
    let mut w = Wire::new(1);
    let (local, remote) = ("10.0.0.1:0".parse().unwrap(), "10.0.0.2:81".parse().unwrap());
    let client = w.ends[0].connect(w.now, local, remote, MTU, PORTS).unwrap();
    w.run(Duration::from_millis(10));
    assert_eq!(w.story(0), [(0, vec![INIT]), (1, vec![ABORT])]);
    let (init, abort) = (&w.sent[0].1.l4, &w.sent[1].1.l4);
    assert_eq!(SctpHeader::read(abort).unwrap().tag, wire::be32(&value(init)));
    assert_eq!(abort[HEADER + 1] & FLAG_T, 0);
    assert_eq!(w.ends[0].take_error(client), Some(Errno::ECONNREFUSED));
    assert_eq!(w.ends[1].counter("OutOfBlues"), 1);
}

#[test]
fn whatever_packet_of_the_beginning_is_lost_comes_again() {
    for kind in [INIT, INIT_ACK, COOKIE_ECHO, COOKIE_ACK] {
        let mut w = Wire::new(1);
        w.swallow = (kind, 2);
        let (client, listener) = w.connect();
        w.run(Duration::from_secs(20));
        assert_eq!(w.ends[0].state(client), Some(State::Established), "{kind}");
        assert!(w.ends[1].accept(listener).is_some() && w.ends[1].accept(listener).is_none(), "{kind}");
    }
}

#[test]
fn a_full_queue_aborts_who_comes_last() {
    let mut w = Wire::new(1);
    let listener = w.ends[1].listen("10.0.0.2:80".parse().unwrap(), 1, false, PORTS).unwrap();
    let local = "10.0.0.1:0".parse().unwrap();
    let clients: Vec<_> =
        (0..3).map(|_| w.ends[0].connect(w.now, local, "10.0.0.2:80".parse().unwrap(), MTU, PORTS).unwrap()).collect();
    w.run(Duration::from_millis(10));
    assert_eq!(
        clients.iter().map(|c| w.ends[0].take_error(*c)).collect::<Vec<_>>(),
        [None, None, Some(Errno::ECONNREFUSED)]
    );
    w.ends[1].close(w.now, listener);
    w.run(Duration::from_millis(10));
    assert_eq!(w.ends[0].take_error(clients[0]), Some(Errno::ECONNRESET), "nobody has accepted them");
}

#[test]
fn both_may_begin_at_once() {
    let mut w = Wire::new(1);
    let (a, b): (SocketAddr, SocketAddr) = ("10.0.0.1:7".parse().unwrap(), "10.0.0.2:7".parse().unwrap());
    let first = w.ends[0].connect(w.now, a, b, MTU, PORTS).unwrap();
    let second = w.ends[1].connect(w.now, b, a, MTU, PORTS).unwrap();
    w.run(Duration::from_secs(1));
    assert_eq!((w.ends[0].state(first), w.ends[1].state(second)), (Some(State::Established), Some(State::Established)));
    w.ends[0].send(w.now, first, 0, b"one").unwrap();
    w.ends[1].send(w.now, second, 0, b"two").unwrap();
    w.run(Duration::from_secs(1));
    assert_eq!(read_all(&mut w, 1, second).0, [b"one"]);
    assert_eq!(read_all(&mut w, 0, first).0, [b"two"]);
}

#[test]
fn a_peer_that_has_lost_its_memory_begins_anew_with_the_same_association() {
    let mut w = Wire::new(1);
    let listener = w.ends[1].listen("10.0.0.2:80".parse().unwrap(), 8, false, PORTS).unwrap();
    let ends: (SocketAddr, SocketAddr) = ("10.0.0.1:7".parse().unwrap(), "10.0.0.2:80".parse().unwrap());
    w.ends[0].connect(w.now, ends.0, ends.1, MTU, PORTS).unwrap();
    w.run(Duration::from_millis(10));
    let server = w.ends[1].accept(listener).unwrap().0;
    w.ends[0] = SctpTable::new(SocketId(1), Seed(99).stream("sctp", 0));
    let client = w.ends[0].connect(w.now, ends.0, ends.1, MTU, PORTS).unwrap();
    w.run(Duration::from_millis(10));
    w.ends[0].send(w.now, client, 0, b"again").unwrap();
    w.run(Duration::from_millis(10));
    assert_eq!(read_all(&mut w, 1, server), (vec![b"again".to_vec()], None));
    assert_eq!(w.ends[1].accept(listener), None);
}

#[test]
fn closing_with_something_unread_aborts() {
    let mut w = Wire::new(1);
    let (client, server) = w.connected();
    w.ends[0].send(w.now, client, 0, b"unread").unwrap();
    w.run(Duration::from_millis(10));
    w.ends[1].close(w.now, server);
    w.run(Duration::from_millis(10));
    assert_eq!(w.story(4), [(0, vec![DATA]), (1, vec![SACK]), (1, vec![ABORT])]);
    assert_eq!(read_all(&mut w, 0, client), (vec![], Some(Err(Errno::ECONNRESET))));
    assert_eq!(read_all(&mut w, 0, client), (vec![], Some(Ok(()))), "told once");
}

#[test]
fn what_was_written_before_close_still_arrives() {
    let mut w = Wire::new(1);
    let (client, server) = w.connected();
    w.swallow = (DATA, 3);
    w.ends[0].send(w.now, client, 0, &[7; 5000]).unwrap();
    w.ends[0].close(w.now, client);
    assert_eq!(w.ends[0].send(w.now, client, 0, b"late"), Err(Errno::EPIPE));
    w.run(Duration::from_secs(30));
    assert_eq!(read_all(&mut w, 1, server), (vec![vec![7; 5000]], Some(Ok(()))));
    assert_eq!(w.ends[1].send(w.now, server, 0, b"late"), Err(Errno::EPIPE));
    assert!(w.ends.iter().all(|end| end.next_timer() == Instant::NEVER));
}

#[test]
fn a_shutdown_survives_the_loss_of_each_of_its_packets() {
    for kind in [SHUTDOWN, SHUTDOWN_ACK, SHUTDOWN_COMPLETE] {
        let mut w = Wire::new(1);
        let (client, server) = w.connected();
        w.swallow = (kind, 2);
        w.ends[0].close(w.now, client);
        w.run(Duration::from_secs(30));
        assert_eq!(w.ends[1].state(server), Some(State::Closed), "{kind}");
        assert_eq!(w.ends[1].take_error(server), None, "{kind}");
    }
}

#[test]
fn an_idle_peer_is_asked_and_one_that_is_gone_is_given_up() {
    let mut w = Wire::new(1);
    let (client, server) = w.connected();
    let before = w.sent.len();
    w.run(Duration::from_secs(34));
    assert!(w.story(before).contains(&(0, vec![HEARTBEAT])) && w.story(before).contains(&(1, vec![HEARTBEAT_ACK])));
    w.loss = 1000;
    w.run(Duration::from_secs(1200));
    assert_eq!(w.ends[0].take_error(client), Some(Errno::ETIMEDOUT));
    assert_eq!(w.ends[1].take_error(server), Some(Errno::ETIMEDOUT));
    assert!(w.ends.iter().all(|end| end.next_timer() == Instant::NEVER));
}

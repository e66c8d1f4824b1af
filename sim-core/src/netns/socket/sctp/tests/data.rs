//! Messages: in order, whole, whatever the wire does to them.

use super::*;
use proptest::prelude::*;
use wire::{DATA, SACK};

fn message(n: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| (n * 31 + at) as u8).collect()
}

#[test]
fn a_message_is_cut_for_the_path_and_comes_whole() {
    let mut w = Wire::new(1);
    let (client, server) = w.connected();
    let sent = message(1, 100_000);
    w.ends[0].send(w.now, client, 0, &sent).unwrap();
    w.run(Duration::from_secs(1));
    assert_eq!(read_all(&mut w, 1, server).0, [sent]);
    assert!(w.sent.iter().all(|(_, out)| out.df && out.l4.len() + 20 <= MTU as usize));
}

#[test]
fn the_first_packet_is_answered_at_once_then_every_second_or_after_a_while() {
    let mut w = Wire::new(1);
    let (client, _) = w.connected();
    let mut answers = Vec::new();
    for n in 0..4 {
        let (before, begun) = (w.sent.len(), w.now);
        w.ends[0].send(w.now, client, 0, &message(n, 10)).unwrap();
        while !w.story(before).contains(&(1, vec![SACK])) {
            assert!(w.step(begun + Duration::from_secs(1)));
            w.collect();
        }
        answers.push(w.now.since(begun).as_millis());
        w.run(Duration::from_millis(1));
    }
    assert_eq!(answers, [0, 200, 200, 200], "each alone: nothing more came to be answered with it");
}

#[test]
fn a_stream_does_not_wait_for_another() {
    let mut w = Wire::new(1);
    let (client, server) = w.connected();
    w.swallow = (DATA, 1);
    w.ends[0].send(w.now, client, 1, b"lost at first").unwrap();
    w.collect();
    w.ends[0].send(w.now, client, 2, &message(2, 1400)).unwrap();
    w.ends[0].send(w.now, client, 1, &message(3, 1400)).unwrap();
    w.run(Duration::from_millis(100));
    assert_eq!(read_all(&mut w, 1, server).0, [message(2, 1400)], "stream 1 waits, stream 2 does not");
    w.run(Duration::from_secs(5));
    assert_eq!(read_all(&mut w, 1, server).0, [b"lost at first".to_vec(), message(3, 1400)]);
}

#[test]
fn three_reports_of_a_gap_send_again_before_the_timer_does() {
    let mut w = Wire::new(1);
    let (client, server) = w.connected();
    for n in 0..4 {
        w.ends[0].send(w.now, client, 0, &message(n, 1400)).unwrap();
        w.run(Duration::from_millis(300));
    }
    w.swallow = (DATA, 1);
    for n in 4..12 {
        w.ends[0].send(w.now, client, 0, &message(n, 1400)).unwrap();
    }
    w.run(Duration::from_millis(500));
    assert_eq!((w.ends[0].counter("FastRetransmits"), w.ends[0].counter("T3RtxExpireds")), (1, 0));
    assert_eq!(read_all(&mut w, 1, server).0.len(), 12);
}

#[test]
fn a_reader_that_sleeps_stops_the_sender_and_loses_nothing() {
    let mut w = Wire::new(1);
    let (client, server) = w.connected();
    let mut written = 0;
    for _ in 0..600 {
        while w.ends[0].send(w.now, client, 0, &message(written, 1000)).is_ok() {
            written += 1;
        }
        w.run(Duration::from_secs(1));
    }
    assert!(written * 1000 < 600_000, "{written} messages were taken");
    let mut read = Vec::new();
    for _ in 0..200 {
        read.extend(read_all(&mut w, 1, server).0);
        w.run(Duration::from_secs(1));
    }
    assert_eq!(read, (0..written).map(|n| message(n, 1000)).collect::<Vec<_>>());
}

#[test]
fn a_message_longer_than_the_receive_window_is_handed_over_in_parts() {
    let mut w = Wire::new(1);
    let (client, server) = w.connected();
    let (long, next) = (message(1, 200_000), message(2, 10));
    w.ends[0].send(w.now, client, 0, &long).unwrap();
    let (mut read, mut sent) = (Vec::new(), false);
    for _ in 0..400 {
        sent = sent || w.ends[0].send(w.now, client, 0, &next).is_ok();
        w.run(Duration::from_millis(500));
        read.extend(read_all(&mut w, 1, server).0.concat());
    }
    assert!(sent && read == [long, next].concat());
}

#[test]
fn a_path_that_becomes_narrower_gets_fragments_then_smaller_chunks() {
    let mut w = Wire::new(1);
    let (client, server) = w.connected();
    w.swallow = (DATA, 1);
    w.ends[0].send(w.now, client, 0, &message(1, 1300)).unwrap();
    w.collect();
    let quoted = w.sent.last().unwrap().1.clone();
    let ends = (quoted.src, quoted.dst);
    let mut forged = quoted.l4.clone();
    forged[7] ^= 1;
    assert!(!w.ends[0].on_icmp_error(w.now, ends, &forged[..8], Some(IcmpError::TooBig(600))));
    assert!(w.ends[0].on_icmp_error(w.now, ends, &quoted.l4[..8], Some(IcmpError::TooBig(600))));
    let before = w.sent.len();
    w.ends[0].send(w.now, client, 0, &message(2, 1300)).unwrap();
    w.run(Duration::from_secs(1));
    let data: Vec<_> =
        w.sent[before..].iter().filter(|(end, _)| *end == 0).map(|(_, out)| (out.df, out.l4.len() > 580)).collect();
    assert_eq!(data[0], (false, true), "what has its TSN stays as it is");
    assert!(data[1..].iter().all(|d| *d == (true, false)));
    assert_eq!(read_all(&mut w, 1, server).0, [message(1, 1300), message(2, 1300)]);
}

#[test]
fn a_host_that_does_not_speak_sctp_says_so() {
    let mut w = Wire::new(1);
    let (client, _) = w.connect();
    w.collect();
    let init = w.sent[0].1.clone();
    let told = |w: &mut Wire, quoted: &[u8]| {
        w.ends[0].on_icmp_error(w.now, (init.src, init.dst), quoted, Some(IcmpError::ProtocolUnreachable))
    };
    assert!(!told(&mut w, &init.l4[..8]), "an INIT has no tag outside");
    assert!(told(&mut w, &init.l4));
    assert_eq!(w.ends[0].take_error(client), Some(Errno::ENOPROTOOPT));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Both ends get all messages in their order, or an error; and then there is silence.
    #[test]
    fn whatever_the_wire_does(
        seed: u64,
        loss in 0u32..250,
        duplication in 0u32..200,
        damage in 0u32..100,
        jitter in 0u64..20_000,
        sizes in proptest::collection::vec(1usize..6000, 1..25),
    ) {
        let mut w = Wire::new(seed);
        (w.loss, w.duplication, w.damage, w.jitter) = (loss, duplication, damage, Duration::from_micros(jitter));
        let (client, listener) = w.connect();
        let (mut server, mut written, mut closed) = (None, [0; 2], false);
        let mut read: [Vec<Vec<u8>>; 2] = Default::default();
        let mut ended: [Option<Result<(), Errno>>; 2] = [None, None];
        for _ in 0..4000 {
            server = server.or_else(|| Some(w.ends[1].accept(listener)?.0));
            for (end, socket) in [(0, Some(client)), (1, server)] {
                let Some(socket) = socket else { continue };
                while w.ends[end].readiness(socket).writable && written[end] < sizes.len() {
                    let len = sizes[written[end]];
                    prop_assert_eq!(w.ends[end].send(w.now, socket, 0, &message(written[end], len)), Ok(()));
                    written[end] += 1;
                }
                if ended[end].is_none() && w.ends[end].readiness(socket).readable {
                    let (messages, end_of_it) = read_all(&mut w, end, socket);
                    read[end].extend(messages);
                    ended[end] = end_of_it;
                }
            }
            let done = |end: usize| read[end].len() == sizes.len();
            if !closed && done(0) && done(1) {
                closed = true;
                let _ = w.ends[0].shutdown(w.now, client);
            }
            if ended.iter().all(Option::is_some) || (ended[0].is_some() && server.is_none()) {
                break;
            }
            w.run(Duration::from_millis(500));
        }
        prop_assert!(ended[0].is_some(), "it hangs: {:?}", w.ends[0].rows());
        if ended[0] == Some(Ok(())) {
            let all: Vec<_> = sizes.iter().enumerate().map(|(n, len)| message(n, *len)).collect();
            prop_assert_eq!(&read[0], &all);
            prop_assert_eq!(&read[1], &all);
        }
    }
}

//! Packets nobody should send.

use super::*;
use proptest::prelude::*;
use wire::{ABORT, COOKIE_ECHO, DATA, INIT, SACK, SHUTDOWN, SHUTDOWN_ACK, SHUTDOWN_COMPLETE};

/// A packet from the client's address, port 7, to the server's port 80.
fn packet(tag: u32, chunks: &[Chunk<'_>]) -> Vec<u8> {
    let body: Vec<u8> = chunks.iter().flat_map(Chunk::to_bytes).collect();
    SctpHeader { src: 7, dst: 80, tag }.packet(&body)
}

fn chunk(kind: u8, value: &[u8]) -> Chunk<'_> {
    Chunk { kind, flags: 0, value }
}

/// A server with an association from port 7, and the tag that it wants to see.
fn served() -> (Wire, SocketId, u32) {
    let mut w = Wire::new(1);
    let listener = w.ends[1].listen("0.0.0.0:80".parse().unwrap(), 8, false, PORTS).unwrap();
    w.ends[0].connect(w.now, "10.0.0.1:7".parse().unwrap(), "10.0.0.2:80".parse().unwrap(), MTU, PORTS).unwrap();
    w.run(Duration::from_millis(10));
    let server = w.ends[1].accept(listener).unwrap().0;
    let tag = wire::be32(&value(&w.sent[1].1.l4));
    (w, server, tag)
}

/// What the server answers.
fn answers(w: &mut Wire, l4: &[u8]) -> Vec<Vec<u8>> {
    w.deliver(1, "10.0.0.1:7".parse().unwrap(), "10.0.0.2:80".parse().unwrap(), l4);
    std::iter::from_fn(|| w.ends[1].poll_output()).map(|out| out.l4).collect()
}

/// RFC 9260 8.4.
#[test]
fn what_comes_out_of_the_blue_is_answered_as_the_rfc_says() {
    let mut w = Wire::new(1);
    w.ends[1].listen("0.0.0.0:80".parse().unwrap(), 8, false, PORTS).unwrap();
    for silent in [ABORT, SHUTDOWN_COMPLETE, wire::COOKIE_ACK] {
        assert!(answers(&mut w, &packet(5, &[chunk(silent, b"")])).is_empty(), "{silent}");
    }
    assert!(answers(&mut w, &packet(5, &[chunk(wire::ERROR, &[0, 3, 0, 8, 0, 0, 0, 0])])).is_empty());
    for (kind, answer) in [(DATA, ABORT), (SACK, ABORT), (99, ABORT), (SHUTDOWN_ACK, SHUTDOWN_COMPLETE)] {
        let told = answers(&mut w, &packet(5, &[chunk(kind, &[0; 16])]));
        assert_eq!(told.len(), 1);
        assert_eq!(
            (kinds(&told[0]), told[0][HEADER + 1], SctpHeader::read(&told[0]).unwrap().tag),
            (vec![answer], 1, 5)
        );
    }
    assert!(answers(&mut w, &packet(5, &[chunk(COOKIE_ECHO, &[9; 100])])).is_empty(), "a forged cookie");
}

#[test]
fn a_wrong_tag_ends_nothing() {
    let (mut w, server, tag) = served();
    for kind in [ABORT, SHUTDOWN, SHUTDOWN_COMPLETE, DATA, SHUTDOWN_ACK] {
        assert!(answers(&mut w, &packet(tag ^ 1, &[chunk(kind, &[0; 16])])).is_empty());
        let reflected = Chunk { kind, flags: wire::FLAG_T, value: &[0; 16] };
        assert!(answers(&mut w, &packet(0, &[reflected])).is_empty());
    }
    assert_eq!(w.ends[1].state(server), Some(State::Established));
    assert_eq!(w.ends[1].counter("InPktDiscards"), 10);
}

#[test]
fn what_must_not_be_ends_the_association_with_abort() {
    let ahead = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 9, 0, 0, 0, 0];
    for (kind, odd) in [(DATA, &[0; 12][..]), (DATA, &[0; 5]), (SACK, &[0; 4])] {
        let (mut w, server, tag) = served();
        let told = answers(&mut w, &packet(tag, &[chunk(kind, odd)]));
        assert_eq!(told.iter().map(|l4| kinds(l4)).collect::<Vec<_>>(), [[ABORT]]);
        assert_eq!(w.ends[1].take_error(server), Some(Errno::ECONNABORTED));
    }
    let (mut w, server, tag) = served();
    let acked: u32 = w.ends[1].state(server).map_or(0, |_| wire::be32(&value(&w.sent[1].1.l4)[12..]));
    let mut sack = ahead;
    sack[..4].copy_from_slice(&acked.to_be_bytes());
    assert_eq!(kinds(&answers(&mut w, &packet(tag, &[chunk(SACK, &sack)]))[0]), [ABORT], "it was never sent");
}

#[test]
fn an_unknown_chunk_says_by_its_number_what_to_do_with_it() {
    let (mut w, _, tag) = served();
    let beat = chunk(wire::HEARTBEAT, b"beat");
    for (kind, told) in [
        (0x3f, vec![]),
        (0x7f, vec![wire::ERROR]),
        (0xbf, vec![wire::HEARTBEAT_ACK]),
        (0xff, vec![wire::ERROR, wire::HEARTBEAT_ACK]),
    ] {
        let answered: Vec<u8> =
            answers(&mut w, &packet(tag, &[chunk(kind, b"?"), beat])).iter().flat_map(|l4| kinds(l4)).collect();
        assert_eq!(answered, told, "{kind:x}");
    }
}

/// The most that is kept of what cannot be read: the buffer.
#[test]
fn fragments_without_an_end_fill_the_buffer_and_no_more() {
    let (mut w, server, tag) = served();
    let first = wire::be32(&value(&w.sent[0].1.l4)[12..]);
    for n in 0..20_000u32 {
        let mut data = first.wrapping_add(n).to_be_bytes().to_vec();
        data.extend([0, 1, 0, 1, 0, 0, 0, 0, 7]);
        answers(&mut w, &packet(tag, &[chunk(DATA, &data)]));
    }
    assert!(w.ends[1].counter("InDataChunkDiscards") > 19_000);
    assert_eq!(w.ends[1].state(server), Some(State::Established));
}

fn any_chunk() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop_oneof![0u8..15, any::<u8>()];
    (kind, any::<u8>(), proptest::collection::vec(prop_oneof![0u8..4, any::<u8>()], 0..64), any::<bool>()).prop_map(
        |(kind, flags, value, cut)| {
            let mut bytes = Chunk { kind, flags, value: &value }.to_bytes();
            if cut {
                bytes[3] ^= 7;
            }
            bytes
        },
    )
}

proptest! {
    /// Never a panic, and the association is there or has ended.
    #[test]
    fn any_packets_can_come(
        packets in proptest::collection::vec((0u8..4, proptest::collection::vec(any_chunk(), 0..4)), 1..20),
        tsn in -3i32..3,
    ) {
        let (mut w, server, tag) = served();
        let first = wire::be32(&value(&w.sent[0].1.l4)[12..]);
        for (n, (whose, chunks)) in packets.into_iter().enumerate() {
            let tag = if whose == 0 { 0 } else { tag };
            let mut body = chunks.concat();
            if let (true, Some(at)) = (whose > 1, body.get_mut(4..8)) {
                at.copy_from_slice(&first.wrapping_add_signed(tsn + n as i32).to_be_bytes());
            }
            let l4 = SctpHeader { src: 7, dst: if whose == 3 { 81 } else { 80 }, tag }.packet(&body);
            w.deliver(1, "10.0.0.1:7".parse().unwrap(), "10.0.0.2:80".parse().unwrap(), &l4);
            w.run(Duration::from_millis(50));
            let _ = w.ends[1].recv(w.now, server);
        }
        w.run(Duration::from_secs(600));
        prop_assert!(w.ends[1].state(server).is_some());
    }

    #[test]
    fn an_init_of_any_parameters_is_answered_or_dropped(value in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut w = Wire::new(1);
        w.ends[1].listen("0.0.0.0:80".parse().unwrap(), 8, false, PORTS).unwrap();
        prop_assert!(answers(&mut w, &packet(0, &[chunk(INIT, &value)])).len() <= 1);
        prop_assert_eq!(w.ends[1].rows().len(), 1);
    }
}

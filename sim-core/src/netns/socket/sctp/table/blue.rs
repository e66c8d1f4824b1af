//! Packets "out of the blue", of no association (RFC 9260 8.4): the beginnings among them, and the answers to the rest.

use std::net::SocketAddr;

use super::SctpTable;
use crate::netns::socket::sctp::association::Association;
use crate::netns::socket::sctp::cookie::{Cookie, Unusable};
use crate::netns::socket::sctp::init::{Beginning, Init, parameter};
use crate::wire::sctp::{
    ABORT, CHUNK_HEADER, COOKIE_ACK, COOKIE_ECHO, Chunk, Chunks, ERROR, FLAG_T, INIT, INIT_ACK, SHUTDOWN_ACK,
    SHUTDOWN_COMPLETE, be32,
};

/// Error causes (RFC 9260 3.3.10).
const STALE_COOKIE: u16 = 3;
const INVALID_PARAMETER: u16 = 7;

impl SctpTable {
    /// A packet that belongs to no association. `ends`: ours, the peer's.
    pub(super) fn out_of_the_blue(&mut self, ends: (SocketAddr, SocketAddr), tag: u32, body: &[u8], path_mtu: u32) {
        let chunks: Vec<Chunk<'_>> = Chunks::new(body).map_while(Result::ok).collect();
        let Some(&first) = chunks.first() else { return self.cx.count("InPktDiscards") };
        if is_silenced(&chunks) {
            return self.cx.count("OutOfBlues");
        }
        let listens = self.listener_of(ends.0).is_some();
        match first.kind {
            INIT if listens && tag == 0 && chunks.len() == 1 => self.answer_init(ends, first.value, path_mtu),
            COOKIE_ECHO if listens => self.answer_cookie(ends, tag, body, first.value, path_mtu),
            // `sctp_sf_shut_8_4_5`
            _ if chunks.iter().any(|chunk| chunk.kind == SHUTDOWN_ACK) => {
                self.answer(ends, tag, SHUTDOWN_COMPLETE, FLAG_T, &[]);
            }
            _ => self.refuse(ends, tag, first),
        }
    }

    /// An ABORT, with the tag of the other direction if an INIT tells it, else with the packet's own
    /// (`sctp_sf_tabort_8_4_8`).
    fn refuse(&mut self, ends: (SocketAddr, SocketAddr), tag: u32, first: Chunk<'_>) {
        self.cx.count("OutOfBlues");
        match first.kind {
            INIT => self.answer(ends, be32(first.value), ABORT, 0, &[]),
            _ => self.answer(ends, tag, ABORT, FLAG_T, &[]),
        }
    }

    fn answer(&mut self, (own, peer): (SocketAddr, SocketAddr), tag: u32, kind: u8, flags: u8, value: &[u8]) {
        self.cx.count("OutCtrlChunks");
        self.cx.send(None, (own, peer), tag, &Chunk { kind, flags, value }.to_bytes(), true);
    }

    /// Somebody wants to begin: it gets a cookie, and we keep nothing (`sctp_sf_do_5_1B_init`).
    fn answer_init(&mut self, ends: (SocketAddr, SocketAddr), value: &[u8], path_mtu: u32) {
        let Some(init) = Init::read(value) else { return self.cx.count("InPktDiscards") };
        if !init.peer.is_possible() {
            let mut cause = Vec::new();
            parameter(&mut cause, INVALID_PARAMETER, &[]);
            return self.answer(ends, init.peer.tag, ABORT, 0, &cause);
        }
        let own = Beginning::own(self.cx.draw_tag(), self.cx.rng.next_u32());
        let (made, (local, remote)) = (self.cx.now, ends);
        let cookie = Cookie { made, local, remote, own, peer: init.peer, tie_tags: [0; 2] };
        let packed = self.cx.secret.pack(&cookie);
        debug_assert!(packed.len() < path_mtu as usize);
        self.answer(ends, init.peer.tag, INIT_ACK, 0, &own.init_ack(&packed, &init.unrecognized));
    }

    /// A cookie comes back: if it is ours, and somebody accepts, there is an association (`sctp_sf_do_5_1D_ce`).
    fn answer_cookie(&mut self, ends: (SocketAddr, SocketAddr), tag: u32, body: &[u8], packed: &[u8], path_mtu: u32) {
        let cookie = match self.cx.secret.unpack(self.cx.now, packed) {
            Ok(cookie) if cookie.own.tag == tag && (cookie.local, cookie.remote) == ends => cookie,
            Err(Unusable::Stale { late, peer_tag }) => {
                let mut cause = Vec::new();
                parameter(&mut cause, STALE_COOKIE, &(late.as_micros() as u32).to_be_bytes());
                return self.answer(ends, peer_tag, ERROR, 0, &cause);
            }
            _ => return self.cx.count("InPktDiscards"),
        };
        let Some(listener) = self.listener_of(ends.0) else { return };
        if self.listeners.get(&listener).is_none_or(super::Listener::is_full) {
            self.cx.count("OutOfBlues");
            return self.answer(ends, tag, ABORT, FLAG_T, &[]);
        }
        let id = self.new_id();
        let association = Association::new(&self.cx, (id, ends.0, ends.1), cookie.own, path_mtu);
        let mut association = association.of_cookie(&mut self.cx, &cookie);
        association.listener = Some(listener);
        self.cx.count("PassiveEstabs");
        self.associations.insert(id, association);
        self.flows.insert(ends, id);
        if let Some(listener) = self.listeners.get_mut(&listener) {
            listener.ready.push_back(id);
        }
        // Data may have come with the cookie.
        let rest = body.get((CHUNK_HEADER + packed.len()).next_multiple_of(4)..).unwrap_or_default();
        let now = self.cx.now;
        self.with(now, id, |a, cx| a.input(cx, tag, rest));
        // Nobody holds the association yet: only the listener has something to tell.
        self.cx.woken.retain(|woken| *woken != id);
        self.cx.wake(listener);
    }
}

/// What is not answered: an answer would be answered, and so on (`sctp_rcv_ootb`, `sctp_sf_ootb`).
fn is_silenced(chunks: &[Chunk<'_>]) -> bool {
    chunks.iter().enumerate().any(|(n, chunk)| match chunk.kind {
        ABORT | SHUTDOWN_COMPLETE | COOKIE_ACK => true,
        INIT => n > 0,
        ERROR => chunk.value.starts_with(&STALE_COOKIE.to_be_bytes()),
        _ => false,
    })
}

//! A packet of the association arrives (net/sctp/sm_statefuns.c).

use super::data::{DataChunk, IMMEDIATE};
use super::handshake::STALE_COOKIE;
use super::inbound::Taken;
use super::outbound::Sack;
use super::{Association, State, Timer};
use crate::engine::errno::Errno;
use crate::netns::socket::sctp::context::Context;
use crate::netns::socket::sctp::init::parameter;
use crate::wire::sctp::{
    ABORT, CHUNK_HEADER, COOKIE_ACK, COOKIE_ECHO, Chunk, Chunks, DATA, ERROR, FLAG_T, HEARTBEAT, HEARTBEAT_ACK, INIT,
    INIT_ACK, SACK, SHUTDOWN, SHUTDOWN_ACK, SHUTDOWN_COMPLETE, be32,
};

/// Error causes (RFC 9260 3.3.10).
const INVALID_STREAM: u16 = 1;
const UNRECOGNIZED_CHUNK: u16 = 6;
const NO_USER_DATA: u16 = 9;
const PROTOCOL_VIOLATION: u16 = 13;

/// What the data of a packet asks for when the packet is over.
#[derive(Clone, Copy, Default)]
struct Answer {
    /// A SACK, now or later.
    sack: bool,
    /// Now.
    forced: bool,
}

impl Association {
    /// Takes the chunks of a packet with this verification tag.
    pub(in super::super) fn input(&mut self, cx: &mut Context, tag: u32, body: &[u8]) {
        let mut answer = Answer::default();
        let alone = Chunks::new(body).count() == 1;
        for chunk in Chunks::new(body) {
            if self.state == State::Closed {
                break;
            }
            let Ok(chunk) = chunk else {
                if tag == self.own.tag {
                    self.violated(cx, PROTOCOL_VIOLATION, &[]);
                }
                break;
            };
            // What bears another tag is no packet of this association (RFC 9260 8.5).
            if !self.tag_fits(tag, &chunk, alone) {
                cx.count("InPktDiscards");
                break;
            }
            if !self.take(cx, tag, &chunk, &mut answer) {
                break;
            }
        }
        if answer.sack && self.state != State::Closed {
            self.answer_data(cx, answer.forced);
        }
        self.go_on(cx);
    }

    /// RFC 9260 8.5.1; `sctp_vtag_verify`, `sctp_vtag_verify_either`. A cookie vouches for itself.
    fn tag_fits(&self, tag: u32, chunk: &Chunk<'_>, alone: bool) -> bool {
        match chunk.kind {
            INIT => tag == 0 && alone,
            COOKIE_ECHO => true,
            ABORT | SHUTDOWN_COMPLETE if chunk.flags & FLAG_T != 0 => tag == self.peer.tag && tag != 0,
            _ => tag == self.own.tag,
        }
    }

    /// Takes one chunk; whether to look at the next one.
    fn take(&mut self, cx: &mut Context, tag: u32, chunk: &Chunk<'_>, answer: &mut Answer) -> bool {
        use State::{CookieEchoed, CookieWait, Established, ShutdownAckSent, ShutdownPending, ShutdownReceived};
        cx.count(if chunk.kind == DATA { "InOrderChunks" } else { "InCtrlChunks" });
        match (chunk.kind, self.state) {
            (DATA, Established | ShutdownPending | State::ShutdownSent) => self.on_data(cx, chunk, answer),
            (SACK, Established | ShutdownPending | ShutdownReceived) => self.on_sack(cx, chunk.value),
            (INIT, _) => self.on_init(cx, chunk.value),
            (INIT_ACK, _) => self.on_init_ack(cx, chunk.value),
            (COOKIE_ECHO, _) => self.on_cookie_echo(cx, tag, chunk.value),
            (COOKIE_ACK, _) => self.on_cookie_ack(cx),
            (HEARTBEAT, CookieWait | ShutdownAckSent) => {}
            (HEARTBEAT, _) => self.queue(HEARTBEAT_ACK, 0, chunk.value),
            (HEARTBEAT_ACK, _) => self.heartbeat_answered(cx, chunk.value),
            (ABORT, _) => {
                let opening = matches!(self.state, CookieWait | CookieEchoed);
                self.end(cx, Some(if opening { Errno::ECONNREFUSED } else { Errno::ECONNRESET }));
            }
            (SHUTDOWN, _) => self.on_shutdown(cx, chunk.value),
            (SHUTDOWN_ACK, _) => self.on_shutdown_ack(cx, tag),
            (SHUTDOWN_COMPLETE, ShutdownAckSent) => self.end(cx, None),
            (ERROR, CookieEchoed) if is_stale_cookie(chunk.value) => self.on_stale_cookie(cx),
            (ERROR | DATA | SACK | SHUTDOWN_COMPLETE, _) => {}
            (unknown, _) => {
                // The first two bits say what to do with a chunk nobody knows (RFC 9260 3.2).
                if unknown & 0x40 != 0 {
                    let mut cause = Vec::new();
                    parameter(&mut cause, UNRECOGNIZED_CHUNK, &chunk.to_bytes());
                    self.queue(ERROR, 0, &cause);
                }
                return unknown & 0x80 != 0;
            }
        }
        true
    }

    /// `sctp_sf_eat_data_6_2`, `sctp_eat_data`
    fn on_data(&mut self, cx: &mut Context, chunk: &Chunk<'_>, answer: &mut Answer) {
        let Some((tsn, data)) = DataChunk::read(chunk) else {
            return self.violated(cx, PROTOCOL_VIOLATION, &[]);
        };
        if data.data.is_empty() {
            return self.violated(cx, NO_USER_DATA, &tsn.to_be_bytes());
        }
        answer.sack = true;
        answer.forced |= data.is(IMMEDIATE) || self.state == State::ShutdownSent;
        if data.stream >= self.peer.out_streams {
            if self.inbound.take_useless(tsn) {
                let mut cause = Vec::new();
                let [high, low] = data.stream.to_be_bytes();
                parameter(&mut cause, INVALID_STREAM, &[high, low, 0, 0]);
                self.queue(ERROR, 0, &cause);
            }
            return;
        }
        match self.inbound.take(tsn, data) {
            Taken::New => {}
            Taken::Duplicate => answer.forced = true,
            Taken::Refused => {
                cx.count("InDataChunkDiscards");
                answer.forced = true;
            }
        }
        if self.orphan {
            while self.inbound.read(self.path_mtu).is_some() {}
        } else if self.inbound.is_readable() {
            cx.wake(self.id);
        }
    }

    /// A packet with data is over. Who shuts down says so again with each answer (`sctp_sf_eat_data_fast_4_4`).
    fn answer_data(&mut self, cx: &mut Context, forced: bool) {
        if !self.inbound.answers_now(forced) {
            return self.answer_later(cx);
        }
        self.timers.stop(Timer::Sack);
        let sack = self.inbound.sack();
        self.control.push(sack);
        if self.state == State::ShutdownSent {
            self.send_shutdown(cx);
        }
    }

    /// `sctp_sf_eat_sack_6_2`
    fn on_sack(&mut self, cx: &mut Context, value: &[u8]) {
        let Some(sack) = read_sack(value) else { return self.violated(cx, PROTOCOL_VIOLATION, &[]) };
        self.acknowledged(cx, &sack);
    }

    /// `sctp_outq_sack`
    pub(super) fn acknowledged(&mut self, cx: &mut Context, sack: &Sack) {
        let Some(acked) = self.outbound.acknowledge(sack, self.path_mtu) else {
            return self.violated(cx, PROTOCOL_VIOLATION, &[]);
        };
        if let Some(sent) = acked.timed {
            self.rto.measure(cx.now.since(sent));
        }
        if acked.any || acked.probes_window {
            self.timeouts = 0;
        }
        if acked.lost {
            cx.count("FastRetransmits");
            (self.one_packet, self.lost) = (true, true);
        }
        // RFC 9260 6.3.2 R2, R3
        if acked.advanced || !self.outbound.is_in_flight() {
            self.timers.stop(Timer::Retransmit);
        }
        if acked.any {
            cx.wake(self.id);
        }
    }

    /// The peer does what it must not: the association ends (`sctp_sf_violation_chunklen`, `sctp_sf_abort_violation`).
    pub(super) fn violated(&mut self, cx: &mut Context, cause: u16, info: &[u8]) {
        let mut value = Vec::new();
        parameter(&mut value, cause, info);
        self.send_alone(cx, ABORT, 0, self.peer.tag, &value);
        let opening = matches!(self.state, State::CookieWait | State::CookieEchoed);
        self.end(cx, Some(if opening { Errno::ECONNREFUSED } else { Errno::ECONNABORTED }));
    }
}

/// Whether an ERROR says that a cookie came too late.
fn is_stale_cookie(causes: &[u8]) -> bool {
    causes.len() >= CHUNK_HEADER && u16::from_be_bytes([causes[0], causes[1]]) == STALE_COOKIE
}

/// Reads the value of a SACK; `None` if it is cut.
fn read_sack(value: &[u8]) -> Option<Sack> {
    let fixed: &[u8; 12] = value.first_chunk()?;
    let short = |b: &[u8]| u16::from_be_bytes([b[0], b[1]]);
    let gaps = value.get(12..12 + 4 * usize::from(short(&fixed[8..])))?;
    let mut gaps: Vec<_> = gaps.chunks_exact(4).map(|run| short(run)..=short(&run[2..])).collect();
    gaps.sort_by_key(|run| *run.start());
    Some(Sack { cumulative: be32(fixed), rwnd: be32(&fixed[4..]), gaps })
}

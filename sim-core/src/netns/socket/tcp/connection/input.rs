//! A segment arrives (RFC 9293 3.10.7 as `tcp_rcv_state_process` and `tcp_validate_incoming` do it).

use super::{Connection, State};
use crate::engine::errno::Errno;
use crate::engine::mutant::Mutant;
use crate::engine::time::Duration;
use crate::netns::socket::tcp::context::{Context, Wake, oow_limited, rate_limited};
use crate::netns::socket::tcp::segment::Segment;
use crate::netns::socket::tcp::seq::{after, before};
use crate::netns::socket::tcp::time_wait::TIME_WAIT_LENGTH;
use crate::wire::l4::{ACK, FIN, RST, SYN};

/// What the table has to do after a segment was processed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in super::super) enum Verdict {
    Done,
    /// Answer the segment with a RST in nobody's name.
    Reset,
}

/// Where a segment lies that is not in the window.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Outside {
    Old,
    Beyond,
}

/// How far back a timestamp may be in a pure ACK, and that a clock without use for 24 days says nothing (RFC 7323 5.5).
const PAWS_WINDOW: i32 = 1;
const PAWS_LIFETIME: Duration = Duration::from_secs(24 * 24 * 3600);

impl Connection {
    /// Processes a segment of this connection.
    pub(in super::super) fn input(&mut self, cx: &mut Context, segment: &Segment) -> Verdict {
        match self.state {
            State::SynSent => return self.input_syn_sent(cx, segment),
            State::Closed | State::Listen | State::TimeWait => return Verdict::Done,
            _ => {}
        }
        if segment.flags & (ACK | RST | SYN) == 0 || !self.validate(cx, segment) {
            return Verdict::Done;
        }
        if self.state == State::SynReceived {
            if segment.ack != self.snd.nxt || !self.acknowledge(cx, segment, false) {
                return Verdict::Reset;
            }
            self.established(cx, segment);
        } else if !self.acknowledge(cx, segment, true) {
            return Verdict::Done;
        }
        if let Some(verdict) = self.advance_close(cx, segment) {
            return verdict;
        }
        if let Some(verdict) = self.take_text(cx, segment) {
            return verdict;
        }
        if self.state != State::Closed {
            self.push_pending(cx);
            self.check_space(cx);
            self.check_ack(cx);
        }
        Verdict::Done
    }

    /// Whether a segment may be processed; answers those that may not (`tcp_validate_incoming`).
    fn validate(&mut self, cx: &mut Context, segment: &Segment) -> bool {
        if self.is_old_by_timestamp(cx, segment) && !segment.has(RST) {
            if segment.has(SYN) {
                self.challenge_syn(cx);
                return false;
            }
            if segment.has(ACK) && segment.seq == segment.end() && before(segment.seq, self.rcv.nxt) {
                // Old ACKs are common (`PAWS_OLD_ACK`, since Linux 6.14).
                cx.count("PAWSOldAck");
                return false;
            }
            cx.count("PAWSEstab");
            if oow_limited(cx, segment, &mut self.last_oow_ack) {
                cx.count("TCPACKSkippedPAWS");
            } else {
                self.send_duplicate_ack(cx, segment);
            }
            return false;
        }
        if let Err(place) = self.in_receive_window(segment) {
            if segment.has(RST) {
                if self.is_reset_before_fin(segment) {
                    self.reset_by_peer(cx);
                }
            } else if segment.has(SYN) {
                self.challenge_syn(cx);
            } else {
                if place == Outside::Beyond {
                    cx.count("BeyondWindow");
                }
                if oow_limited(cx, segment, &mut self.last_oow_ack) {
                    cx.count("TCPACKSkippedSeq");
                } else {
                    self.send_duplicate_ack(cx, segment);
                }
            }
            return false;
        }
        if segment.has(RST) {
            // RFC 5961 3.2: exactly the next number, or the right edge of what a SACK told, else a challenge.
            let exact = segment.seq == self.rcv.nxt || self.rcv.ofo.right_edge() == Some(segment.seq);
            if exact || self.is_reset_before_fin(segment) || cx.planted.is(Mutant::TcpResetAnywhere) {
                self.reset_by_peer(cx);
            } else {
                self.challenge(cx);
            }
            return false;
        }
        if segment.has(SYN) && !self.completes_simultaneous_open(segment) {
            self.challenge_syn(cx);
            return false;
        }
        true
    }

    fn completes_simultaneous_open(&self, segment: &Segment) -> bool {
        self.state == State::SynReceived
            && segment.has(ACK)
            && segment.seq.wrapping_add(1) == segment.end()
            && segment.end() == self.rcv.nxt
            && segment.ack == self.snd.nxt
    }

    /// `tcp_sequence`: data beyond the window is only taken while nothing waits to be read; a FIN may lie there.
    fn in_receive_window(&self, segment: &Segment) -> Result<(), Outside> {
        let limit = self.rcv.nxt.wrapping_add(self.rcv.window());
        if before(segment.end(), self.rcv.wup) {
            return Err(Outside::Old);
        }
        let data_end = segment.end().wrapping_sub(u32::from(segment.has(FIN)));
        let nothing_waits = self.orphan || self.rcv.all_read();
        if after(data_end, limit) && (after(segment.seq, limit) || !nothing_waits) {
            return Err(Outside::Beyond);
        }
        Ok(())
    }

    /// A RST that stands where the peer's FIN stood (`tcp_reset_check`).
    fn is_reset_before_fin(&self, segment: &Segment) -> bool {
        segment.seq == self.rcv.nxt.wrapping_sub(1)
            && matches!(self.state, State::CloseWait | State::LastAck | State::Closing)
    }

    /// PAWS (RFC 7323 5; `tcp_disordered_ack_check`).
    fn is_old_by_timestamp(&self, cx: &Context, segment: &Segment) -> bool {
        let (Some(clock), Some(ts)) = (self.negotiated.timestamps, segment.options.timestamps) else { return false };
        let age = clock.recent.wrapping_sub(ts.value) as i32;
        if age <= PAWS_WINDOW || clock.recent == 0 || cx.now.since(clock.stored) >= PAWS_LIFETIME {
            return false;
        }
        let window = u32::from(segment.window) << self.negotiated.snd_wscale;
        let harmless = segment.has(ACK)
            && segment.seq == segment.end()
            && segment.seq == self.rcv.nxt
            && segment.ack == self.snd.una
            && !self.updates_window(segment, window)
            && age as u64 <= self.rtt.rto.as_millis() * 1200 / 1000;
        !harmless
    }

    /// A SYN where none belongs (RFC 5961 4.2).
    fn challenge_syn(&mut self, cx: &mut Context) {
        if self.state == State::Established {
            cx.count("InErrs");
        }
        cx.count("TCPSYNChallenge");
        self.challenge(cx);
    }

    /// A challenge ACK (RFC 5961; `tcp_send_challenge_ack`).
    pub(super) fn challenge(&mut self, cx: &mut Context) {
        if rate_limited(cx, &mut self.last_oow_ack) && !cx.planted.is(Mutant::TcpChallengeUnlimited) {
            cx.count("TCPACKSkippedChallenge");
            return;
        }
        cx.count("TCPChallengeACK");
        self.send_ack(cx);
    }

    /// `tcp_send_dupack`: old data is reported as a duplicate.
    fn send_duplicate_ack(&mut self, cx: &mut Context, segment: &Segment) {
        if segment.end() != segment.seq && before(segment.seq, self.rcv.nxt) {
            cx.count("DelayedACKLost");
            self.enter_quickack();
            let end = if after(segment.end(), self.rcv.nxt) { self.rcv.nxt } else { segment.end() };
            self.report_duplicate(cx, segment.seq, end);
        }
        self.send_ack(cx);
    }

    /// Our FIN may have been acknowledged (step 5 for the closing states).
    fn advance_close(&mut self, cx: &mut Context, segment: &Segment) -> Option<Verdict> {
        if self.snd.una != self.snd.write_seq {
            return None;
        }
        match self.state {
            State::FinWait1 => self.enter_fin_wait2(cx, segment),
            State::Closing => {
                self.enter_time_wait(cx);
                Some(Verdict::Done)
            }
            State::LastAck => {
                self.close_down(cx);
                Some(Verdict::Done)
            }
            _ => None,
        }
    }

    fn enter_fin_wait2(&mut self, cx: &mut Context, segment: &Segment) -> Option<Verdict> {
        self.state = State::FinWait2;
        self.send_shutdown = true;
        if !self.orphan {
            return None;
        }
        if self.has_new_data(segment) {
            // Data after close(): nobody will read it.
            cx.count("TCPAbortOnData");
            self.close_down(cx);
            return Some(Verdict::Reset);
        }
        let timeout = self.fin_timeout(cx);
        if timeout > TIME_WAIT_LENGTH {
            self.timers.keepalive = Some(cx.now + (timeout - TIME_WAIT_LENGTH));
        } else if segment.has(FIN) {
            self.timers.keepalive = Some(cx.now + timeout);
        } else {
            self.wait_for_fin(cx, timeout);
            return Some(Verdict::Done);
        }
        None
    }

    fn has_new_data(&self, segment: &Segment) -> bool {
        let end = segment.end().wrapping_sub(u32::from(segment.has(FIN)));
        segment.end() != segment.seq && after(end, self.rcv.nxt)
    }

    /// Step 7: the data, if the state takes any.
    fn take_text(&mut self, cx: &mut Context, segment: &Segment) -> Option<Verdict> {
        match self.state {
            State::CloseWait | State::Closing | State::LastAck if !before(segment.seq, self.rcv.nxt) => return None,
            State::Closed => return None,
            _ => {}
        }
        // RFC 1122 4.2.2.13: data that nobody will read is answered with a RST.
        let nobody_reads = self.orphan || self.receive_shutdown;
        if self.state != State::Established && nobody_reads && self.has_new_data(segment) {
            cx.count("TCPAbortOnData");
            self.reset_by_peer(cx);
            return Some(Verdict::Reset);
        }
        self.take_data(cx, segment);
        None
    }

    /// The peer has reset the connection (`tcp_reset`).
    pub(super) fn reset_by_peer(&mut self, cx: &mut Context) {
        self.fail(
            cx,
            match self.state {
                State::SynSent => Errno::ECONNREFUSED,
                State::CloseWait => Errno::EPIPE,
                _ => Errno::ECONNRESET,
            },
        );
    }

    /// The connection has come to a bad end.
    pub(super) fn fail(&mut self, cx: &mut Context, errno: Errno) {
        let connecting = self.state == State::SynSent;
        if connecting || self.state == State::SynReceived {
            cx.count("AttemptFails");
        }
        self.error = Some(errno);
        self.close_down(cx);
        if !self.orphan {
            if connecting {
                cx.wake(self.id, Wake::Connected);
            }
            cx.wake(self.id, Wake::Error);
        }
    }

    /// Nothing more will happen on the wire (`tcp_done`).
    pub(super) fn close_down(&mut self, cx: &mut Context) {
        if matches!(self.state, State::Established | State::CloseWait) {
            cx.count("EstabResets");
        }
        self.state = State::Closed;
        self.snd.rtx.purge();
        self.rtt.backoff = 0;
        self.snd.unsent = Default::default();
        self.snd.nxt = self.snd.write_seq;
        self.timers = Default::default();
        (self.receive_shutdown, self.send_shutdown) = (true, true);
        if !self.orphan {
            cx.wake(self.id, Wake::Readable);
        }
    }
}

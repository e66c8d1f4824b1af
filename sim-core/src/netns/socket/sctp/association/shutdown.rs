//! The three packets of the end (RFC 9260 9.2).

use super::outbound::Sack;
use super::{Association, State, Timer};
use crate::netns::socket::sctp::config::SHUTDOWN_GUARD;
use crate::netns::socket::sctp::context::Context;
use crate::wire::sctp::{FLAG_T, SHUTDOWN, SHUTDOWN_ACK, SHUTDOWN_COMPLETE, be32};

impl Association {
    /// Something has happened: a shutdown goes on once all is acknowledged, and what can be sent is sent.
    pub(super) fn go_on(&mut self, cx: &mut Context) {
        let next = match self.state {
            State::Closed => return,
            State::ShutdownPending => State::ShutdownSent,
            State::ShutdownReceived => State::ShutdownAckSent,
            other => other,
        };
        if next != self.state && self.outbound.is_empty() {
            self.state = next;
            self.timers.start(Timer::Guard, cx.now + SHUTDOWN_GUARD);
            self.send_shutdown(cx);
        }
        self.flush(cx);
    }

    /// Sends, or sends again, the SHUTDOWN or SHUTDOWN ACK of this state (`sctp_sf_do_9_2_start_shutdown`,
    /// `sctp_sf_do_9_2_shutdown_ack`).
    pub(super) fn send_shutdown(&mut self, cx: &Context) {
        match self.state {
            State::ShutdownSent => self.queue(SHUTDOWN, 0, &self.inbound.cumulative().to_be_bytes()),
            _ => self.queue(SHUTDOWN_ACK, 0, &[]),
        }
        self.timers.stop(Timer::Sack);
        self.timers.start(Timer::Shutdown, cx.now + self.rto.timeout);
    }

    /// The peer sends no more, and wants to hear that all it was sent has come (`sctp_sf_do_9_2_shutdown`).
    pub(super) fn on_shutdown(&mut self, cx: &mut Context, value: &[u8]) {
        match self.state {
            State::Established | State::ShutdownPending | State::ShutdownReceived => {
                let sack = Sack { cumulative: be32(value), rwnd: self.outbound.peer_window(), gaps: Vec::new() };
                self.acknowledged(cx, &sack);
                if self.state == State::Closed {
                    return;
                }
                self.state = State::ShutdownReceived;
                self.read_closed = true;
                cx.wake(self.id);
            }
            // Both at once (`sctp_sf_do_9_2_shutdown_ack`).
            State::ShutdownSent => {
                self.state = State::ShutdownAckSent;
                self.send_shutdown(cx);
            }
            _ => {}
        }
    }

    /// `sctp_sf_do_9_2_final`; of an association that has not begun RFC 9260 8.5.1 E, `sctp_sf_shut_8_4_5`.
    pub(super) fn on_shutdown_ack(&mut self, cx: &mut Context, tag: u32) {
        match self.state {
            State::ShutdownSent | State::ShutdownAckSent => {
                self.send_alone(cx, SHUTDOWN_COMPLETE, 0, self.peer.tag, &[]);
                self.end(cx, None);
            }
            State::CookieWait | State::CookieEchoed => self.send_alone(cx, SHUTDOWN_COMPLETE, FLAG_T, tag, &[]),
            _ => {}
        }
    }
}

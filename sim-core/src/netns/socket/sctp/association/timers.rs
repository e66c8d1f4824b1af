//! What happens when nothing happens (net/sctp/sm_statefuns.c, the functions of timeouts).

use super::{Association, Heartbeat, State};
use crate::engine::errno::Errno;
use crate::engine::time::{Duration, Instant};
use crate::netns::socket::sctp::config::{HEARTBEAT_INTERVAL, MAX_INIT_RETRANSMITS, MAX_RETRANS, RTO_MAX, SACK_DELAY};
use crate::netns::socket::sctp::context::Context;
use crate::netns::socket::sctp::init::parameter;
use crate::wire::sctp::{ABORT, HEARTBEAT};

/// Parameter type "heartbeat info".
const HEARTBEAT_INFO: u16 = 1;

/// The timers by the RFC's names: T1-init and T1-cookie, T3-rtx, T2-shutdown, T5-shutdown-guard, and those without.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Timer {
    /// INIT or COOKIE ECHO is not answered.
    Handshake,
    /// Data is not acknowledged.
    Retransmit,
    /// SHUTDOWN or SHUTDOWN ACK is not answered.
    Shutdown,
    /// The shutdown takes too long altogether.
    Guard,
    /// A SACK has waited long enough.
    Sack,
    /// Nothing was sent for a while.
    Heartbeat,
}

impl Timer {
    const ALL: [Self; 6] =
        [Self::Handshake, Self::Retransmit, Self::Shutdown, Self::Guard, Self::Sack, Self::Heartbeat];
}

/// When each of them is due.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timers([Instant; Timer::ALL.len()]);

impl Default for Timers {
    fn default() -> Self {
        Self([Instant::NEVER; Timer::ALL.len()])
    }
}

impl Timers {
    pub(super) fn start(&mut self, timer: Timer, at: Instant) {
        self.0[timer as usize] = at;
    }

    pub(super) fn stop(&mut self, timer: Timer) {
        self.0[timer as usize] = Instant::NEVER;
    }

    pub(super) fn is_running(&self, timer: Timer) -> bool {
        self.0[timer as usize] != Instant::NEVER
    }

    pub(super) fn next(&self) -> Instant {
        self.0.iter().copied().min().unwrap_or(Instant::NEVER)
    }
}

impl Association {
    /// Does everything that is due.
    pub(in super::super) fn on_timer(&mut self, cx: &mut Context) {
        for timer in Timer::ALL {
            if self.timers.0[timer as usize] > cx.now {
                continue;
            }
            self.timers.stop(timer);
            match timer {
                Timer::Handshake => self.handshake_timer(cx),
                Timer::Retransmit => self.retransmit_timer(cx),
                Timer::Shutdown => self.shutdown_timer(cx),
                Timer::Guard => {
                    cx.count("T5ShutdownGuardExpireds");
                    self.send_alone(cx, ABORT, 0, self.peer.tag, &[]);
                    self.end(cx, Some(Errno::ETIMEDOUT));
                }
                Timer::Sack => {
                    cx.count("DelaySackExpireds");
                    let sack = self.inbound.sack();
                    self.control.push(sack);
                }
                Timer::Heartbeat => self.heartbeat_timer(cx),
            }
        }
        self.go_on(cx);
    }

    /// `sctp_sf_t1_init_timer_expire`, `sctp_sf_t1_cookie_timer_expire`
    fn handshake_timer(&mut self, cx: &mut Context) {
        let waits = self.state == State::CookieWait;
        cx.count(if waits { "T1InitExpireds" } else { "T1CookieExpireds" });
        self.attempts += 1;
        if self.attempts > MAX_INIT_RETRANSMITS {
            return self.end(cx, Some(Errno::ETIMEDOUT));
        }
        self.patience = self.patience.saturating_mul(2).min(RTO_MAX);
        if waits { self.send_init(cx) } else { self.echo_cookie(cx) }
    }

    /// `sctp_sf_do_6_3_3_rtx`
    fn retransmit_timer(&mut self, cx: &mut Context) {
        if !self.outbound.is_in_flight() {
            return;
        }
        cx.count("T3RtxExpireds");
        if self.strike(cx) {
            cx.count("T3Retransmits");
            self.outbound.time_out(self.path_mtu);
            self.one_packet = true;
        }
    }

    /// `sctp_sf_t2_timer_expire`
    fn shutdown_timer(&mut self, cx: &mut Context) {
        cx.count("T2ShutdownExpireds");
        if self.strike(cx) {
            self.send_shutdown(cx);
        }
    }

    /// Something was not answered in time. Whether the association lives on: if not, the peer is told
    /// (`sctp_do_8_2_transport_strike`, `sctp_cmd_assoc_failed`).
    fn strike(&mut self, cx: &mut Context) -> bool {
        if self.timeouts >= MAX_RETRANS {
            self.send_alone(cx, ABORT, 0, self.peer.tag, &[]);
            self.end(cx, Some(Errno::ETIMEDOUT));
            return false;
        }
        self.timeouts += 1;
        self.rto.back_off();
        true
    }

    /// Asks an idle peer whether it is there (`sctp_sf_sendbeat_8_3`). One that has not answered the last time costs a
    /// timeout.
    fn heartbeat_timer(&mut self, cx: &mut Context) {
        let idle = self.last_sent + HEARTBEAT_INTERVAL;
        if idle > cx.now {
            return self.timers.start(Timer::Heartbeat, idle + self.rto.timeout);
        }
        if self.heartbeat.is_some() && !self.strike(cx) {
            return;
        }
        let beat = Heartbeat { nonce: cx.rng.next_u64(), sent: cx.now };
        self.heartbeat = Some(beat);
        self.outbound.idle(self.path_mtu);
        let mut value = Vec::new();
        parameter(&mut value, HEARTBEAT_INFO, &beat.nonce.to_be_bytes());
        self.queue(HEARTBEAT, 0, &value);
        self.expect_idleness(cx);
    }

    /// The next heartbeat is due after the interval and a timeout, give or take half of that (`sctp_transport_timeout`).
    pub(super) fn expect_idleness(&mut self, cx: &mut Context) {
        let rto = self.rto.timeout.as_millis();
        let jitter = rto / 2 + u64::from(cx.rng.below(rto as u32));
        self.timers.start(Timer::Heartbeat, cx.now + HEARTBEAT_INTERVAL + Duration::from_millis(jitter));
    }

    /// The peer has answered a heartbeat of ours (`sctp_sf_backbeat_8_3`).
    pub(super) fn heartbeat_answered(&mut self, cx: &Context, value: &[u8]) {
        let Some(beat) = self.heartbeat else { return };
        if value.get(4..) == Some(&beat.nonce.to_be_bytes()[..]) {
            self.heartbeat = None;
            self.timeouts = 0;
            self.rto.measure(cx.now.since(beat.sent));
        }
    }

    /// A SACK is due in a while, if none is yet.
    pub(super) fn answer_later(&mut self, cx: &Context) {
        self.timers.start(Timer::Sack, cx.now + SACK_DELAY);
    }
}

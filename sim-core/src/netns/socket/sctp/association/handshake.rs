//! The four packets of the beginning, and the same again while there is an association (RFC 9260 5.1, 5.2).

use super::inbound::Inbound;
use super::outbound::Outbound;
use super::{Association, State, Timer};
use crate::engine::errno::Errno;
use crate::netns::socket::sctp::context::Context;
use crate::netns::socket::sctp::cookie::{Cookie, Unusable};
use crate::netns::socket::sctp::init::{Beginning, Init, parameter};
use crate::wire::sctp::{ABORT, COOKIE_ACK, COOKIE_ECHO, ERROR, INIT, INIT_ACK, be32};

/// Error causes (RFC 9260 3.3.10).
pub(in super::super) const STALE_COOKIE: u16 = 3;
const UNRECOGNIZED_PARAMETERS: u16 = 8;

impl Association {
    /// The INIT leaves.
    pub(in super::super) fn connect(&mut self, cx: &mut Context) {
        self.state = State::CookieWait;
        self.send_init(cx);
    }

    pub(super) fn send_init(&mut self, cx: &mut Context) {
        self.send_alone(cx, INIT, 0, 0, &self.own.init(self.local.ip()));
        self.timers.start(Timer::Handshake, cx.now + self.patience);
    }

    /// INIT ACK: we know the peer, it does not know us before it sees its cookie again (`sctp_sf_do_5_1C_ack`).
    pub(super) fn on_init_ack(&mut self, cx: &mut Context, value: &[u8]) {
        if self.state != State::CookieWait {
            return;
        }
        let read = Init::read(value).filter(|init| init.peer.is_possible());
        let Some((init, cookie)) = read.and_then(|init| Some((init.clone(), init.cookie?))) else {
            self.send_alone(cx, ABORT, 0, be32(value), &[]);
            return self.end(cx, Some(Errno::ECONNREFUSED));
        };
        self.meet(init.peer);
        self.cookie = cookie.to_vec();
        self.attempts = 0;
        self.state = State::CookieEchoed;
        self.echo_cookie(cx);
        if !init.unrecognized.is_empty() {
            let mut cause = Vec::new();
            parameter(&mut cause, UNRECOGNIZED_PARAMETERS, &init.unrecognized.concat());
            self.queue(ERROR, 0, &cause);
        }
    }

    /// COOKIE ECHO goes before all else.
    pub(super) fn echo_cookie(&mut self, cx: &mut Context) {
        let cookie = std::mem::take(&mut self.cookie);
        self.queue(COOKIE_ECHO, 0, &cookie);
        self.cookie = cookie;
        self.timers.start(Timer::Handshake, cx.now + self.patience);
    }

    /// What the peer is like.
    fn meet(&mut self, peer: Beginning) {
        self.peer = peer;
        self.inbound = Inbound::new(peer.tsn);
        self.outbound.open_window(peer.rwnd);
    }

    /// COOKIE ACK: the peer knows us (`sctp_sf_do_5_1E_ca`).
    pub(super) fn on_cookie_ack(&mut self, cx: &mut Context) {
        if self.state == State::CookieEchoed {
            cx.count("ActiveEstabs");
            self.establish(cx);
        }
    }

    fn establish(&mut self, cx: &mut Context) {
        self.state = State::Established;
        (self.attempts, self.timeouts) = (0, 0);
        self.cookie = Vec::new();
        self.timers.stop(Timer::Handshake);
        self.expect_idleness(cx);
        cx.wake(self.id);
        if self.write_closed {
            self.state = State::ShutdownPending;
        }
    }

    /// The association that a cookie of ours stands for (`sctp_sf_do_5_1D_ce`).
    pub(in super::super) fn of_cookie(mut self, cx: &mut Context, cookie: &Cookie) -> Self {
        self.meet(cookie.peer);
        self.queue(COOKIE_ACK, 0, &[]);
        self.establish(cx);
        self
    }

    /// An INIT although there is an association: the peer has begun anew, or both have begun at once. It gets a cookie that
    /// says which association there was; which of the two it is shows when it comes back (`sctp_sf_do_unexpected_init`).
    pub(super) fn on_init(&mut self, cx: &mut Context, value: &[u8]) {
        if self.state == State::ShutdownAckSent {
            // RFC 9260 9.2
            return self.send_shutdown(cx);
        }
        let Some(init) = Init::read(value).filter(|init| init.peer.is_possible()) else { return };
        let collides = matches!(self.state, State::CookieWait | State::CookieEchoed);
        let own = if collides { self.own } else { Beginning::own(cx.draw_tag(), cx.rng.next_u32()) };
        let cookie = Cookie {
            made: cx.now,
            local: self.local,
            remote: self.remote,
            own,
            peer: init.peer,
            tie_tags: if collides { [0; 2] } else { [self.own.tag, self.peer.tag] },
        };
        let answer = own.init_ack(&cx.secret.pack(&cookie), &init.unrecognized);
        self.send_alone(cx, INIT_ACK, 0, init.peer.tag, &answer);
    }

    /// A cookie although there is an association (RFC 9260 5.2.4, table 12; `sctp_sf_do_5_2_4_dupcook`).
    pub(super) fn on_cookie_echo(&mut self, cx: &mut Context, tag: u32, value: &[u8]) {
        let cookie = match cx.secret.unpack(cx.now, value) {
            Ok(cookie) if cookie.own.tag == tag && (cookie.local, cookie.remote) == (self.local, self.remote) => cookie,
            // A stale one of this association proves as much as a fresh one.
            Err(Unusable::Stale { .. }) if tag == self.own.tag => return self.queue(COOKIE_ACK, 0, &[]),
            _ => return cx.count("InPktDiscards"),
        };
        match (cookie.own.tag == self.own.tag, cookie.peer.tag == self.peer.tag) {
            (true, true) => {
                if self.state == State::CookieEchoed {
                    self.establish(cx);
                }
            }
            (true, false) => {
                self.meet(cookie.peer);
                self.establish(cx);
            }
            (false, false) if cookie.tie_tags == [self.own.tag, self.peer.tag] => self.restart(cx, &cookie),
            _ => return cx.count("InPktDiscards"),
        }
        self.queue(COOKIE_ACK, 0, &[]);
    }

    /// The peer has begun anew: what was on its way is lost (`sctp_sf_do_dupcook_a`, `sctp_assoc_update`).
    fn restart(&mut self, cx: &mut Context, cookie: &Cookie) {
        self.own = cookie.own;
        self.outbound = Outbound::new(cookie.own.tsn, cookie.peer.rwnd, self.path_mtu);
        self.timers = super::Timers::default();
        (self.heartbeat, self.rto) = (None, super::Rto::new());
        self.meet(cookie.peer);
        self.establish(cx);
    }

    /// The peer does not take its cookie any more: from the beginning (`sctp_sf_do_5_2_6_stale`).
    pub(super) fn on_stale_cookie(&mut self, cx: &mut Context) {
        self.attempts += 1;
        self.state = State::CookieWait;
        self.send_init(cx);
    }
}

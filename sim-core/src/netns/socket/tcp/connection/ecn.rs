//! Explicit congestion notification (RFC 3168; net/ipv4/tcp_input.c, `tcp_ecn_*`; fact 102): routers mark instead of
//! dropping, the receiver echoes the mark until the sender says that it has slowed down.

use super::{CaState, Connection};
use crate::netns::socket::tcp::context::Context;
use crate::netns::socket::tcp::segment::{ECN, Segment};
use crate::netns::socket::tcp::seq::before;
use crate::wire::l4::{CWR, ECE};

/// Not capable, capable, and congested on the way, in the IP header.
const NOT_ECT: u8 = 0;
const ECT_0: u8 = 2;
const CE: u8 = 3;

/// What a connection knows of marks (`ecn_flags`).
#[derive(Clone, Copy, Debug, Default)]
pub(in super::super) struct Ecn {
    /// Both ends have agreed.
    pub(in super::super) on: bool,
    /// The peer has sent a segment that may be marked.
    seen: bool,
    /// A mark has come: every segment says so until the peer has slowed down.
    echo: bool,
    /// The window was reduced: the next data says so.
    pub(super) reduced: bool,
}

impl Connection {
    /// What our SYN asks for, or the SYN-ACK of a simultaneous open agrees to; one that is sent again no longer asks, as
    /// a middlebox may have dropped it for that (RFC 3168 6.1.1.1).
    pub(super) fn ecn_of_syn(&self, cx: &Context, again: bool) -> u8 {
        match self.state {
            _ if !self.ecn.on => 0,
            super::State::SynSent if again && cx.config.ecn_fallback => 0,
            super::State::SynSent => ECE | CWR,
            _ => ECE,
        }
    }

    /// Marks a segment that leaves: the flags to add and the bits for the IP header (`tcp_ecn_send`). Only new data may be
    /// marked by routers.
    pub(super) fn ecn_of_segment(&mut self, seq: u32, len: usize) -> (u8, u8) {
        if !self.ecn.on {
            return (0, NOT_ECT);
        }
        let echo = if self.ecn.echo { ECE } else { 0 };
        if len == 0 || before(seq, self.snd.nxt) {
            return (echo, NOT_ECT);
        }
        let told = if std::mem::take(&mut self.ecn.reduced) { CWR } else { 0 };
        (echo | told, ECT_0)
    }

    /// The peer says that it has slowed down; its window may be so small that it needs the ACK (`tcp_ecn_accept_cwr`).
    pub(super) fn ecn_accept(&mut self, segment: &Segment) {
        if segment.has(CWR) {
            self.ecn.echo = false;
            self.delack.now = true;
        }
    }

    /// Data came, marked or not (`tcp_data_ecn_check`).
    pub(super) fn ecn_check(&mut self, segment: &Segment) {
        if !self.ecn.on {
            return;
        }
        match segment.tos & ECN {
            // Probably a retransmission.
            NOT_ECT if self.ecn.seen => self.enter_quickack(),
            NOT_ECT => {}
            CE if !self.ecn.echo => {
                self.enter_quickack();
                (self.ecn.echo, self.ecn.seen) = (true, true);
            }
            _ => self.ecn.seen = true,
        }
    }

    /// The peer echoes a mark: one reduction for each window (`tcp_enter_cwr`).
    pub(super) fn enter_cwr(&mut self) {
        self.recovery.prior_ssthresh = None;
        if self.recovery.state < CaState::Cwr {
            self.recovery.undo_marker = None;
            self.start_reduction();
            self.recovery.state = CaState::Cwr;
        }
    }
}

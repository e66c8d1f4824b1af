//! Is a segment inside the window? After Guido van Rooij, "Real Stateful TCP Packet Filtering in IP Filter",
//! as the kernel has it (net/netfilter/nf_conntrack_proto_tcp.c, `tcp_in_window`).
//!
//! Four bounds, `sack` being the highest edge acknowledged: the segment begins at or below the sender's
//! `max_end`; it ends at or above the sender's `end` less the receiver's `max_win`; `sack` is at most the
//! receiver's `end`, and at least that less the largest window.

use super::options::{SynOptions, highest_sack};
use super::states::{Kind, TcpState};
use super::{Tcp, TcpSegment, after, before};
use crate::netfilter::conntrack::Dir;
use crate::wire::l4::{ACK, RST, SYN, TcpHeader};

/// An ACK may be this far behind even if no window was that large (`MAXACKWINCONST`).
const MAX_ACK_WINDOW: u32 = 66_000;

/// What is known of one end (`struct ip_ct_tcp_state`); sequence numbers are absolute.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Side {
    /// Highest sequence number it sent, plus one (`td_end`).
    pub(super) end: u32,
    /// What it may send up to: highest `sack` plus window of the other side (`td_maxend`).
    pub(super) max_end: u32,
    /// Largest window it offered; 0 is none seen (`td_maxwin`).
    pub(super) max_win: u32,
    /// Highest ACK it sent (`td_maxack`, `IP_CT_TCP_FLAG_MAXACK_SET`).
    pub(super) max_ack: Option<u32>,
    /// Shift of its window fields (`td_scale`).
    pub(super) scale: u8,
    /// It offered window scaling (`IP_CT_TCP_FLAG_WINDOW_SCALE`).
    pub(super) offers_scale: bool,
    /// It understands SACK (`IP_CT_TCP_FLAG_SACK_PERM`).
    pub(super) sack_permitted: bool,
    /// It closes first (`IP_CT_TCP_FLAG_CLOSE_INIT`).
    pub(super) closes_first: bool,
    /// Its window is not judged (`IP_CT_TCP_FLAG_BE_LIBERAL`): the connection was picked up in its middle.
    pub(super) liberal: bool,
    /// What it sent is not all acknowledged (`IP_CT_TCP_FLAG_DATA_UNACKNOWLEDGED`).
    pub(super) unacknowledged: bool,
}

impl Side {
    /// Takes the options of its SYN; a SYN without any changes nothing.
    pub(super) fn take_options(&mut self, options: &[u8]) {
        if options.is_empty() {
            return;
        }
        let read = SynOptions::read(options);
        *self = Self {
            scale: read.scale.unwrap_or(0),
            offers_scale: read.scale.is_some(),
            sack_permitted: read.sack_permitted,
            end: self.end,
            max_end: self.max_end,
            max_win: self.max_win,
            liberal: self.liberal,
            ..Self::default()
        };
    }

    /// Forgets all but liberality (`nf_ct_tcp_state_reset`).
    pub(super) fn reset(&mut self) {
        *self = Self { liberal: self.liberal, ..Self::default() };
    }
}

/// Whether a segment counts (`enum nf_ct_tcp_action`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fit {
    /// It is inside.
    Inside,
    /// It is outside, but an end may legitimately send it: it passes and changes nothing.
    Ignore,
    /// It is outside.
    Outside,
}

/// The numbers of a segment, as far as they are adapted before they are compared.
struct Numbers {
    seq: u32,
    end: u32,
    ack: u32,
    sack: u32,
    win: u32,
}

/// Compares a segment with what is known of both ends, and learns from it.
pub(super) fn check(tcp: &mut Tcp, segment: &TcpSegment, be_liberal: bool) -> Fit {
    let dir = segment.dir;
    let mut sender = *tcp.side(dir);
    let mut receiver = *tcp.side(dir.opposite());
    let fit = judge(tcp, &mut sender, &mut receiver, segment, be_liberal);
    *tcp.side_mut(dir) = sender;
    *tcp.side_mut(dir.opposite()) = receiver;
    fit
}

fn judge(tcp: &mut Tcp, sender: &mut Side, receiver: &mut Side, segment: &TcpSegment, be_liberal: bool) -> Fit {
    let header = &segment.header;
    let ack = header.ack;
    let sack = if receiver.sack_permitted { highest_sack(segment.options, ack) } else { ack };
    let mut n = Numbers { seq: header.seq, end: segment.end, ack, sack, win: u32::from(header.window) };
    if begins_side(tcp.state, sender, receiver, segment, &n) {
        return Fit::Inside;
    }
    // Without an ACK, or with the zero one that some stacks put into a RST, that test is void.
    if !header.has(ACK) || (header.has(ACK | RST) && n.ack == 0) {
        n.ack = receiver.end;
        n.sack = receiver.end;
    }
    // A RST that answers a SYN has sequence number 0 (RFC 9293 3.10.7.1).
    if header.has(RST) && n.seq == 0 && tcp.state == TcpState::SynSent {
        n.seq = sender.end;
        n.end = sender.end;
    }
    let fit = bounds(sender, receiver, &n);
    if fit != Fit::Inside {
        return if sender.liberal || be_liberal { Fit::Inside } else { fit };
    }
    learn(sender, receiver, header, &mut n);
    if segment.kind == Kind::Ack {
        tcp.count_retransmission(segment, n.seq, n.ack, n.end);
    }
    Fit::Inside
}

/// Starts the sender's side at its first segment, or anew at another SYN during the handshake. Whether that
/// settles it: a SYN against the direction of the first one is a simultaneous open.
fn begins_side(state: TcpState, sender: &mut Side, receiver: &mut Side, segment: &TcpSegment, n: &Numbers) -> bool {
    let header = &segment.header;
    let syn = header.has(SYN);
    let is_first = sender.max_win == 0;
    let in_handshake = matches!(state, TcpState::SynSent | TcpState::SynRecv);
    if syn && (is_first || (after(n.end, sender.end) && in_handshake)) {
        sender.end = n.end;
        sender.max_end = n.end;
        sender.max_win = n.win.max(1);
        sender.take_options(segment.options);
        // Both must offer scaling (RFC 7323 section 2.2).
        if segment.dir == Dir::Reply && !(sender.offers_scale && receiver.offers_scale) {
            sender.scale = 0;
            receiver.scale = 0;
        }
        return !header.has(ACK) && (is_first || segment.dir == Dir::Reply);
    }
    if is_first {
        // The middle of a connection: believe the segment.
        sender.end = n.end;
        sender.max_win = (n.win << sender.scale).max(1);
        sender.max_end = n.end.wrapping_add(sender.max_win);
        if receiver.max_win == 0 {
            receiver.end = n.sack;
            receiver.max_end = n.sack;
        } else if n.sack == receiver.end.wrapping_add(1) {
            // Likely the answer to a keepalive.
            receiver.end = n.sack;
        }
    }
    false
}

/// The four bounds.
fn bounds(sender: &mut Side, receiver: &Side, n: &Numbers) -> Fit {
    let ack_floor = receiver.end.wrapping_sub(sender.max_win.max(MAX_ACK_WINDOW)).wrapping_sub(1);
    let seq_floor = sender.end.wrapping_sub(receiver.max_win).wrapping_sub(1);
    let ack_too_high = !before(n.sack, receiver.end.wrapping_add(1));
    let ack_too_low = !after(n.sack, ack_floor);
    if !before(n.seq, sender.max_end.wrapping_add(1)) {
        let overshot = n.end.wrapping_sub(sender.max_end).wrapping_add(1);
        let overlaps = receiver.max_win != 0 && after(n.end, seq_floor);
        if overlaps && !ack_too_low && !ack_too_high && overshot <= receiver.max_win {
            // More than the window allows, but its receiver may take it: expect the ACK.
            sender.end = n.end;
            sender.unacknowledged = true;
            return Fit::Ignore;
        }
        return Fit::Outside;
    }
    if ack_too_high {
        return Fit::Outside;
    }
    let seq_too_low = receiver.max_win != 0 && !after(n.end, seq_floor);
    if seq_too_low || ack_too_low { Fit::Ignore } else { Fit::Inside }
}

/// What both sides learn from a segment inside the window.
fn learn(sender: &mut Side, receiver: &mut Side, header: &TcpHeader, n: &mut Numbers) {
    if !header.has(SYN) {
        n.win <<= sender.scale;
    }
    sender.max_win = sender.max_win.max(n.win.wrapping_add(n.sack.wrapping_sub(n.ack)));
    if after(n.end, sender.end) {
        sender.end = n.end;
        sender.unacknowledged = true;
    }
    if header.has(ACK) && sender.max_ack.is_none_or(|highest| after(n.ack, highest)) {
        sender.max_ack = Some(n.ack);
    }
    if receiver.max_win != 0 && after(n.end, sender.max_end) {
        receiver.max_win = receiver.max_win.wrapping_add(n.end.wrapping_sub(sender.max_end));
    }
    let allowed = n.sack.wrapping_add(n.win);
    if after(allowed, receiver.max_end.wrapping_sub(1)) {
        receiver.max_end = allowed.wrapping_add(u32::from(n.win == 0));
    }
    if n.ack == receiver.end {
        receiver.unacknowledged = false;
    }
}

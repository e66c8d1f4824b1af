//! TCP (net/netfilter/nf_conntrack_proto_tcp.c): the state of a connection as a host in the middle can know it.

mod options;
mod states;
mod window;

#[cfg(test)]
mod tests;

pub use states::TcpState;

use super::track::{Segment, Tracked};
use super::{ConntrackConfig, Dir, Entry, Proto, Status};
use crate::engine::time::Duration;
use crate::netfilter::hooks::Hook;
use crate::wire::ip::TCP;
use crate::wire::l4::{ACK, FIN, RST, SYN, TcpHeader, URG, checksum_ok};
use options::SynOptions;
use states::{Kind, Next, next};
use window::{Fit, Side};

/// `a` is before `b` in sequence space (include/net/tcp.h, `before`).
fn before(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

/// `a` is after `b` in sequence space.
fn after(a: u32, b: u32) -> bool {
    before(b, a)
}

/// What is kept of a connection (`struct ip_ct_tcp`).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tcp {
    state: TcpState,
    orig: Side,
    reply: Side,
    last: Last,
    /// The SYN of a [`Next::Ignore`]d attempt, which its SYN-ACK would make the truth.
    ignored_syn: SynOptions,
    /// Such a SYN may be answered by a challenge ACK (RFC 5961), which acknowledges no FIN.
    expects_challenge_ack: bool,
    /// SYNs were seen in both directions.
    simultaneous_open: bool,
    /// How often the last ACK was repeated.
    retransmissions: u8,
}

/// The segment seen last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Last {
    dir: Dir,
    kind: Kind,
    seq: u32,
    ack: u32,
    end: u32,
    win: u16,
}

impl Default for Last {
    fn default() -> Self {
        Self { dir: Dir::Orig, kind: Kind::None, seq: 0, ack: 0, end: 0, win: 0 }
    }
}

/// A segment, read.
struct TcpSegment<'a> {
    header: TcpHeader,
    options: &'a [u8],
    kind: Kind,
    dir: Dir,
    /// Sequence number after the segment; SYN and FIN count one each.
    end: u32,
}

impl<'a> TcpSegment<'a> {
    /// Reads a segment; `None` if it is broken (`tcp_error`).
    fn read(segment: &Segment<'a>, checksum: bool) -> Option<Self> {
        let header = TcpHeader::read(segment.l4)?;
        let check = checksum && segment.hook == Hook::Prerouting;
        if check && !checksum_ok(segment.ip.src, segment.ip.dst, TCP, segment.l4) {
            return None;
        }
        if !has_valid_flags(header.flags) {
            return None;
        }
        let header_len = usize::from(header.header_len);
        let data = (segment.l4.len() - header_len) as u32;
        let counted = u32::from(header.has(SYN)) + u32::from(header.has(FIN));
        Some(Self {
            header,
            options: &segment.l4[20..header_len],
            kind: Kind::of(&header),
            dir: segment.dir(),
            end: header.seq.wrapping_add(data).wrapping_add(counted),
        })
    }
}

/// The combinations of flags that may occur; PSH, ECE and CWR go with any (`tcp_valid_flags`).
const fn has_valid_flags(flags: u8) -> bool {
    const SYN_URG: u8 = SYN | URG;
    const SYN_ACK: u8 = SYN | ACK;
    const RST_ACK: u8 = RST | ACK;
    const FIN_ACK: u8 = FIN | ACK;
    const FIN_ACK_URG: u8 = FIN | ACK | URG;
    const ACK_URG: u8 = ACK | URG;
    matches!(
        flags & (FIN | SYN | RST | ACK | URG),
        SYN | SYN_URG | SYN_ACK | RST | RST_ACK | FIN_ACK | FIN_ACK_URG | ACK | ACK_URG
    )
}

/// What to do with a segment after a look at the state table.
enum Step {
    /// See whether it is in the window; then the connection is in this state.
    Check(TcpState),
    /// The connection is in this state, whatever the window.
    Enter(TcpState),
    /// Let it pass, and stay.
    Pass,
    /// It is not part of this connection.
    Invalid,
    /// It opens another connection.
    Reopen,
}

/// Judges a segment and updates its connection (`nf_conntrack_tcp_packet`).
pub(super) fn track(entry: &mut Entry, packet: &Segment, config: &ConntrackConfig) -> Tracked {
    let Some(segment) = TcpSegment::read(packet, config.checksum) else { return Tracked::Invalid };
    if !entry.is_confirmed() {
        match Tcp::begin(&segment, config.tcp_loose) {
            Some(tcp) => entry.proto = Proto::Tcp(Box::new(tcp)),
            None => return Tracked::Invalid,
        }
    }
    let status = entry.status;
    let Proto::Tcp(tcp) = &mut entry.proto else { return Tracked::Invalid };
    let old = tcp.state;
    let new = match tcp.step(&segment, status, config) {
        Step::Enter(new) => new,
        Step::Check(new) => match window::check(tcp, &segment, config.tcp_be_liberal) {
            Fit::Inside => new,
            Fit::Ignore => return Tracked::Valid,
            Fit::Outside => {
                shorten_if_out_of_sync(entry, packet, &segment, config);
                return Tracked::Invalid;
            }
        },
        Step::Pass => return Tracked::Valid,
        Step::Invalid => return Tracked::Invalid,
        Step::Reopen => return Tracked::Reopen,
    };
    tcp.enter(new, &segment);
    let lifetime = tcp.lifetime(segment.kind, config);
    settle(entry, packet, &segment, (old, new), lifetime, config)
}

/// Status, lifetime and counters after a segment that belongs to the connection.
fn settle(
    entry: &mut Entry,
    packet: &Segment,
    segment: &TcpSegment,
    (old, new): (TcpState, TcpState),
    mut lifetime: Duration,
    config: &ConntrackConfig,
) -> Tracked {
    if !entry.status.has(Status::SEEN_REPLY) {
        if segment.header.has(RST) {
            return Tracked::Last;
        }
        if segment.kind == Kind::Syn && old == TcpState::SynSent {
            // A repeated SYN does not keep the entry alive, or a reused port would for ever.
            return Tracked::Valid;
        }
        if new == TcpState::Established {
            lifetime = lifetime.min(config.tcp_timeout_unacknowledged);
        }
    } else if matches!(old, TcpState::SynRecv | TcpState::Established) && new == TcpState::Established {
        entry.status |= Status::ASSURED;
    }
    entry.refresh(packet.now, lifetime);
    entry.count(segment.dir, packet.len);
    Tracked::Valid
}

/// A FIN or RST outside the window, answered by another, shows that we are out of sync: such a connection
/// shall not stay for days (`nf_tcp_handle_invalid`).
fn shorten_if_out_of_sync(entry: &mut Entry, packet: &Segment, segment: &TcpSegment, config: &ConntrackConfig) {
    const LONG: Duration = Duration::from_secs(120);
    let closes = |kind| matches!(kind, Kind::Fin | Kind::Rst);
    let expires_in = entry.expires_in(packet.now);
    let Proto::Tcp(tcp) = &mut entry.proto else { return };
    let fixed = entry.status.has(Status::FIXED_TIMEOUT);
    if !entry.status.has(Status::ASSURED) || fixed || !closes(segment.kind) {
        return;
    }
    if tcp.last.dir == segment.dir || !closes(tcp.last.kind) {
        tcp.last.kind = segment.kind;
        tcp.last.dir = segment.dir;
    } else if expires_in >= LONG && expires_in > config.tcp_timeout_unacknowledged {
        entry.refresh(packet.now, config.tcp_timeout_unacknowledged);
    }
}

impl Tcp {
    /// The state, as `conntrack -L` names it.
    pub fn state(&self) -> TcpState {
        self.state
    }

    /// Whether a later connection may take this one's translated port: it is over, and `newer` has gone on to
    /// higher sequence numbers (net/netfilter/nf_nat_core.c, `nf_nat_may_kill`, `nf_seq_has_advanced`).
    pub(in crate::netfilter) fn gives_way_to(&self, newer: &Self) -> bool {
        self.state >= TcpState::TimeWait && after(newer.orig.end, self.orig.end)
    }

    /// Ends the connection; false if it had ended.
    pub(super) fn close(&mut self) -> bool {
        std::mem::replace(&mut self.state, TcpState::Close) != TcpState::Close
    }

    fn side(&self, dir: Dir) -> &Side {
        match dir {
            Dir::Orig => &self.orig,
            Dir::Reply => &self.reply,
        }
    }

    fn side_mut(&mut self, dir: Dir) -> &mut Side {
        match dir {
            Dir::Orig => &mut self.orig,
            Dir::Reply => &mut self.reply,
        }
    }

    /// A connection as its first segment shows it (`tcp_new`): a SYN, or with `loose` any segment of its middle.
    fn begin(segment: &TcpSegment, loose: bool) -> Option<Self> {
        let mut tcp = Self::default();
        tcp.orig.end = segment.end;
        tcp.orig.max_win = u32::from(segment.header.window).max(1);
        tcp.orig.max_end = segment.end;
        match next(Dir::Orig, segment.kind, TcpState::None) {
            Next::To(TcpState::SynSent) => tcp.orig.take_options(segment.options),
            Next::To(_) if loose => {
                tcp.orig.max_end = segment.end.wrapping_add(tcp.orig.max_win);
                // The options were not seen: assume SACK, and that windows are scaled.
                for side in [&mut tcp.orig, &mut tcp.reply] {
                    side.sack_permitted = true;
                    side.liberal = true;
                }
            }
            _ => return None,
        }
        Some(tcp)
    }

    /// Looks into the state table, and at what it cannot know.
    fn step(&mut self, segment: &TcpSegment, status: Status, config: &ConntrackConfig) -> Step {
        let (old, dir, kind) = (self.state, segment.dir, segment.kind);
        match next(dir, kind, old) {
            Next::Invalid => Step::Invalid,
            Next::Ignore => self.ignore(segment),
            Next::To(TcpState::SynSent) if old >= TcpState::TimeWait => {
                let closed = self.orig.closes_first || self.reply.closes_first;
                let aborted = self.last.dir == dir && self.last.kind == Kind::Rst;
                if closed || aborted { Step::Reopen } else { self.ignore(segment) }
            }
            Next::To(TcpState::TimeWait) if old == TcpState::LastAck && self.is_challenge_ack(segment) => {
                self.expects_challenge_ack = false;
                Step::Pass
            }
            Next::To(TcpState::SynSent2) => {
                self.simultaneous_open = true;
                Step::Check(TcpState::SynSent2)
            }
            Next::To(TcpState::SynRecv) if dir == Dir::Reply && kind == Kind::Ack && self.simultaneous_open => {
                Step::Check(TcpState::Established)
            }
            Next::To(TcpState::Close) if kind == Kind::Rst => self.reset(segment, status, config),
            Next::To(new) => Step::Check(new),
        }
    }

    fn is_challenge_ack(&self, segment: &TcpSegment) -> bool {
        segment.kind == Kind::Ack
            && self.last.dir != segment.dir
            && self.last.kind == Kind::Syn
            && self.expects_challenge_ack
    }

    /// A segment that may show that the ends know better than we do (`TCP_CONNTRACK_IGNORE`): it is noted.
    fn ignore(&mut self, segment: &TcpSegment) -> Step {
        let Last { dir: last_dir, kind: last_kind, end: last_end, .. } = self.last;
        let answers_ignored_syn = segment.kind == Kind::SynAck
            && last_kind == Kind::Syn
            && last_dir != segment.dir
            && segment.header.ack == last_end;
        if answers_ignored_syn {
            // The SYN let through before was right: its numbers become ours.
            let max_win = u32::from(self.last.win).max(1);
            let SynOptions { scale, sack_permitted } = self.ignored_syn;
            *self.side_mut(last_dir) = Side {
                end: last_end,
                max_end: last_end,
                max_win,
                scale: scale.unwrap_or(0),
                offers_scale: scale.is_some(),
                sack_permitted,
                ..Side::default()
            };
            self.expects_challenge_ack = false;
            self.side_mut(segment.dir).reset();
            return Step::Check(TcpState::SynRecv);
        }
        self.last.kind = segment.kind;
        self.last.dir = segment.dir;
        self.last.seq = segment.header.seq;
        self.last.end = segment.end;
        self.last.win = segment.header.window;
        if segment.kind == Kind::Syn && segment.dir == Dir::Orig {
            self.ignored_syn = SynOptions::read(segment.options);
            self.simultaneous_open = false;
            self.expects_challenge_ack = self.state == TcpState::LastAck;
        }
        if self.state == TcpState::SynSent && segment.kind == Kind::Ack && segment.dir == Dir::Reply {
            // Perhaps a challenge ACK to the SYN.
            self.last.ack = segment.header.ack;
        }
        Step::Pass
    }

    /// A RST. Only one that its receiver must believe closes the connection (RFC 5961 section 3).
    fn reset(&self, segment: &TcpSegment, status: Status, config: &ConntrackConfig) -> Step {
        let (seq, last) = (segment.header.seq, &self.last);
        if self.state.is_closing() {
            // The tuple may be in use anew, so what we remember does not count.
            return Step::Enter(TcpState::Close);
        }
        let mut new = TcpState::Close;
        // After a SYN that was let through the highest ACK may be outdated.
        if let Some(max_ack) = self.side(segment.dir.opposite()).max_ack.filter(|_| last.kind != Kind::Syn) {
            let established = self.state == TcpState::Established && status.has(Status::ASSURED);
            let answers_syn = seq == 0 && !established;
            if !answers_syn && before(seq, max_ack) && !config.tcp_ignore_invalid_rst {
                return Step::Invalid;
            }
            let follows_last = last.kind == Kind::Ack && last.dir == segment.dir && seq == last.end;
            if answers_syn || !established || seq == max_ack || follows_last {
                return Step::Check(TcpState::Close);
            }
            // Not exact: its receiver will answer with a challenge ACK.
            new = self.state;
        }
        let answers_ignored = (status.has(Status::SEEN_REPLY) && last.kind == Kind::Syn)
            || (!status.has(Status::ASSURED) && last.kind == Kind::Ack);
        if answers_ignored && segment.header.ack == last.end {
            return Step::Enter(new);
        }
        let answers_challenge_ack =
            self.state == TcpState::SynSent && last.kind == Kind::Ack && last.dir == Dir::Reply && seq == last.ack;
        if answers_challenge_ack { Step::Enter(new) } else { Step::Check(new) }
    }

    /// Counts an ACK that repeats the last one.
    fn count_retransmission(&mut self, segment: &TcpSegment, seq: u32, ack: u32, end: u32) {
        let kind = self.last.kind;
        let this = Last { dir: segment.dir, kind, seq, ack, end, win: segment.header.window };
        if this == self.last {
            self.retransmissions = self.retransmissions.wrapping_add(1);
        } else {
            self.last = this;
            self.retransmissions = 0;
        }
    }

    fn enter(&mut self, new: TcpState, segment: &TcpSegment) {
        self.last.kind = segment.kind;
        self.last.dir = segment.dir;
        if self.state != new && new == TcpState::FinWait {
            self.side_mut(segment.dir).closes_first = true;
        }
        self.state = new;
    }

    /// How long the connection lives without another segment.
    fn lifetime(&self, kind: Kind, config: &ConntrackConfig) -> Duration {
        let usual = match self.state {
            TcpState::None | TcpState::SynSent | TcpState::SynSent2 => config.tcp_timeout_syn_sent,
            TcpState::SynRecv => config.tcp_timeout_syn_recv,
            TcpState::Established => config.tcp_timeout_established,
            TcpState::FinWait => config.tcp_timeout_fin_wait,
            TcpState::CloseWait => config.tcp_timeout_close_wait,
            TcpState::LastAck => config.tcp_timeout_last_ack,
            TcpState::TimeWait => config.tcp_timeout_time_wait,
            TcpState::Close => config.tcp_timeout_close,
        };
        let unacknowledged = self.orig.unacknowledged || self.reply.unacknowledged;
        if self.retransmissions >= config.tcp_max_retrans && usual > config.tcp_timeout_max_retrans {
            config.tcp_timeout_max_retrans
        } else if kind == Kind::Rst {
            config.tcp_timeout_close
        } else if unacknowledged && usual > config.tcp_timeout_unacknowledged {
            config.tcp_timeout_unacknowledged
        } else if self.last.win == 0 && usual > config.tcp_timeout_max_retrans {
            config.tcp_timeout_max_retrans
        } else {
            usual
        }
    }
}

//! SCTP (net/netfilter/nf_conntrack_proto_sctp.c): the state of an association as a host in the middle can know it.

use super::track::{Segment, Tracked};
use super::{ConntrackConfig, Dir, Entry, Proto, Status};
use crate::engine::time::Duration;
use crate::netfilter::hooks::Hook;
use crate::wire::checksum::sctp_checksum_ok;
use crate::wire::sctp::{
    ABORT, CHUNK_HEADER, COOKIE_ACK, COOKIE_ECHO, Chunk, DATA, ERROR, FLAG_T, HEADER, HEARTBEAT, HEARTBEAT_ACK, INIT,
    INIT_ACK, SHUTDOWN, SHUTDOWN_ACK, SHUTDOWN_COMPLETE, be32,
};

/// The states of an association (`enum sctp_conntrack`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[expect(missing_docs, reason = "the names are the kernel's")]
pub enum SctpState {
    #[default]
    None,
    Closed,
    CookieWait,
    CookieEchoed,
    Established,
    ShutdownSent,
    ShutdownRecd,
    ShutdownAckSent,
    HeartbeatSent,
}

use SctpState::{
    Closed, CookieEchoed, CookieWait, Established, HeartbeatSent, ShutdownAckSent, ShutdownRecd, ShutdownSent,
};

impl SctpState {
    /// The name `conntrack -L` prints.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Closed => "CLOSED",
            Self::CookieWait => "COOKIE_WAIT",
            Self::CookieEchoed => "COOKIE_ECHOED",
            Self::Established => "ESTABLISHED",
            Self::ShutdownSent => "SHUTDOWN_SENT",
            Self::ShutdownRecd => "SHUTDOWN_RECD",
            Self::ShutdownAckSent => "SHUTDOWN_ACK_SENT",
            Self::HeartbeatSent => "HEARTBEAT_SENT",
        }
    }

    const fn lifetime(self, config: &ConntrackConfig) -> Duration {
        match self {
            Self::None | Self::Closed => config.sctp_timeout_closed,
            Self::CookieWait => config.sctp_timeout_cookie_wait,
            Self::CookieEchoed => config.sctp_timeout_cookie_echoed,
            Self::Established => config.sctp_timeout_established,
            Self::ShutdownSent => config.sctp_timeout_shutdown_sent,
            Self::ShutdownRecd => config.sctp_timeout_shutdown_recd,
            Self::ShutdownAckSent => config.sctp_timeout_shutdown_ack_sent,
            Self::HeartbeatSent => config.sctp_timeout_heartbeat_sent,
        }
    }
}

/// What is kept of an association (`struct ip_ct_sctp`).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Sctp {
    /// The state.
    pub state: SctpState,
    /// The verification tags that packets of each direction bear; 0 is not known yet.
    tags: [u32; 2],
    /// In which directions an INIT was seen last.
    inits: [bool; 2],
    /// The direction of a heartbeat whose tag was another one, until it is acknowledged.
    odd_heartbeat: Option<Dir>,
}

/// The state after a chunk; `None` if the chunk cannot be.
fn next(dir: Dir, chunk: u8, state: SctpState) -> Option<SctpState> {
    if dir == Dir::Reply && matches!(state, SctpState::None | HeartbeatSent) {
        return match (chunk, state) {
            (HEARTBEAT, HeartbeatSent) => Some(HeartbeatSent),
            (HEARTBEAT_ACK, HeartbeatSent) => Some(Established),
            (INIT..=INIT_ACK | ABORT..=COOKIE_ACK | SHUTDOWN_COMPLETE | HEARTBEAT | HEARTBEAT_ACK, _) => None,
            _ => Some(state),
        };
    }
    Some(match (chunk, state) {
        (ABORT, _) => Closed,
        (HEARTBEAT, SctpState::None) => HeartbeatSent,
        (SHUTDOWN_ACK, SctpState::None | ShutdownSent | ShutdownRecd | HeartbeatSent) => ShutdownAckSent,
        (INIT, HeartbeatSent) => CookieWait,
        (INIT, ShutdownSent | ShutdownRecd) if dir == Dir::Orig => Closed,
        (INIT_ACK, Closed) if dir == Dir::Reply => CookieWait,
        (SHUTDOWN, Established) if dir == Dir::Orig => ShutdownSent,
        (SHUTDOWN, Established) => ShutdownRecd,
        (ERROR, CookieEchoed) if dir == Dir::Reply => Closed,
        (COOKIE_ECHO, CookieWait) => CookieEchoed,
        (COOKIE_ACK, CookieEchoed) => Established,
        (SHUTDOWN_COMPLETE, ShutdownAckSent) => Closed,
        // Nothing else fits the beginning, or a path that is only probed.
        (INIT | INIT_ACK | SHUTDOWN | ERROR | COOKIE_ECHO | COOKIE_ACK | SHUTDOWN_COMPLETE, SctpState::None) => Closed,
        (HEARTBEAT_ACK, SctpState::None) => Closed,
        (INIT_ACK | SHUTDOWN | ERROR | COOKIE_ECHO | COOKIE_ACK | SHUTDOWN_COMPLETE, HeartbeatSent) => Closed,
        (_, state) => state,
    })
}

/// A packet: its tag and its chunks.
struct SctpPacket<'a> {
    tag: u32,
    chunks: Vec<Chunk<'a>>,
}

impl<'a> SctpPacket<'a> {
    /// Reads a packet; `None` if it is broken (`sctp_error`, `do_basic_checks`).
    fn read(segment: &Segment<'a>, checksum: bool) -> Option<Self> {
        let l4 = segment.l4;
        let tag = be32(l4.get(4..HEADER)?);
        if checksum && segment.hook == Hook::Prerouting && !sctp_checksum_ok(l4) {
            return None;
        }
        let (mut chunks, mut at, mut alone) = (Vec::new(), HEADER, false);
        while let Some(head) = l4.get(at..at + CHUNK_HEADER) {
            let len = usize::from(u16::from_be_bytes([head[2], head[3]]));
            let kind = head[0];
            alone |= matches!(kind, INIT | INIT_ACK | SHUTDOWN_COMPLETE);
            // Cookies come first, what opens or ends an association comes alone.
            let first_only = alone || matches!(kind, COOKIE_ACK | COOKIE_ECHO);
            if len == 0 || (first_only && !chunks.is_empty()) {
                return None;
            }
            let end = (at + len).min(l4.len());
            let value = l4.get(at + CHUNK_HEADER..end).unwrap_or_default();
            chunks.push(Chunk { kind, flags: head[1], value });
            at += len.next_multiple_of(4);
        }
        (!chunks.is_empty()).then_some(Self { tag, chunks })
    }

    fn has(&self, kind: u8) -> bool {
        self.chunks.iter().any(|chunk| chunk.kind == kind)
    }
}

/// Judges a packet and updates its association (`nf_conntrack_sctp_packet`).
pub(super) fn track(entry: &mut Entry, segment: &Segment, config: &ConntrackConfig) -> Tracked {
    let Some(packet) = SctpPacket::read(segment, config.checksum) else { return Tracked::Invalid };
    let dir = segment.dir();
    let is_new = !entry.is_confirmed();
    if is_new {
        let Some(begun) = Sctp::begin(&packet) else { return Tracked::Invalid };
        entry.proto = Proto::Sctp(Box::new(begun));
    }
    let Proto::Sctp(sctp) = &mut entry.proto else { return Tracked::Invalid };
    let Some(refreshed) = sctp.follow(&packet, dir, is_new) else { return Tracked::Invalid };
    let state = sctp.state;
    if state == Established {
        entry.status |= Status::ASSURED;
    }
    if refreshed {
        entry.refresh(segment.now, state.lifetime(config));
        entry.count(dir, segment.len);
    }
    Tracked::Valid
}

impl Sctp {
    /// An association that a packet begins (`sctp_new`); `None` if such a packet begins none (RFC 9260 8.4).
    fn begin(packet: &SctpPacket<'_>) -> Option<Self> {
        if packet.has(ABORT) || packet.has(SHUTDOWN_COMPLETE) || packet.has(COOKIE_ACK) {
            return None;
        }
        let mut sctp = Self::default();
        for chunk in &packet.chunks {
            if next(Dir::Orig, chunk.kind, SctpState::None) == Some(SctpState::None) {
                return None;
            }
            match chunk.kind {
                INIT if packet.tag != 0 => return None,
                INIT => sctp.tags[Dir::Reply as usize] = be32(chunk.value),
                HEARTBEAT => sctp.tags[Dir::Orig as usize] = packet.tag,
                // Its answer bears the same tag.
                _ => sctp.tags[Dir::Reply as usize] = packet.tag,
            }
        }
        Some(sctp)
    }

    /// Follows the chunks of a packet; whether the entry lives on by it, `None` if it cannot be.
    fn follow(&mut self, packet: &SctpPacket<'_>, dir: Dir, is_new: bool) -> Option<bool> {
        let own_rules = [INIT, SHUTDOWN_COMPLETE, COOKIE_ECHO, ABORT, SHUTDOWN_ACK, HEARTBEAT, HEARTBEAT_ACK];
        if !own_rules.iter().any(|kind| packet.has(*kind)) && packet.tag != self.tags[dir as usize] {
            return None;
        }
        let mut refreshes = true;
        for chunk in &packet.chunks {
            if !self.tag_fits(packet, chunk, dir, &mut refreshes)? {
                continue;
            }
            let state = next(dir, chunk.kind, self.state)?;
            self.note_tag(chunk, dir)?;
            // An INIT sent again must not keep an entry, and with it a translation, alive.
            if chunk.kind == INIT && (state, self.state) == (Closed, Closed) && !is_new {
                refreshes = false;
            }
            self.state = state;
        }
        Some(refreshes)
    }

    /// RFC 9260 8.5.1: which tag a chunk must come with. `None` if it is another one; false for a heartbeat with another
    /// one, which changes nothing by itself.
    fn tag_fits(&mut self, packet: &SctpPacket<'_>, chunk: &Chunk<'_>, dir: Dir, refreshes: &mut bool) -> Option<bool> {
        let (own, peers) = (self.tags[dir as usize], self.tags[dir.opposite() as usize]);
        let fits = match chunk.kind {
            INIT => packet.tag == 0,
            ABORT | SHUTDOWN_COMPLETE => packet.tag == if chunk.flags & FLAG_T == 0 { own } else { peers },
            COOKIE_ECHO => packet.tag == own,
            HEARTBEAT | HEARTBEAT_ACK => return self.heartbeat(packet, chunk.kind, dir, refreshes),
            _ => true,
        };
        fits.then_some(true)
    }

    /// A heartbeat on another path may bear a tag that is not known yet.
    fn heartbeat(&mut self, packet: &SctpPacket<'_>, kind: u8, dir: Dir, refreshes: &mut bool) -> Option<bool> {
        let own = &mut self.tags[dir as usize];
        if *own == 0 {
            *own = packet.tag;
            return Some(true);
        }
        if *own == packet.tag {
            self.odd_heartbeat = None;
            return Some(true);
        }
        if packet.has(DATA) || !*refreshes {
            return None;
        }
        if kind == HEARTBEAT {
            self.odd_heartbeat = Some(dir);
            *refreshes = false;
            return Some(false);
        }
        if self.odd_heartbeat != Some(dir.opposite()) {
            return None;
        }
        self.odd_heartbeat = None;
        *own = packet.tag;
        self.tags[dir.opposite() as usize] = 0;
        Some(true)
    }

    /// INIT and INIT ACK say which tag the other side shall use; `None` if it contradicts an earlier one.
    fn note_tag(&mut self, chunk: &Chunk<'_>, dir: Dir) -> Option<()> {
        let (own, other) = (dir as usize, dir.opposite() as usize);
        let tag = be32(chunk.value);
        match chunk.kind {
            INIT => {
                if self.inits == [true; 2] {
                    self.inits[other] = false;
                }
                self.inits[own] = true;
                self.tags[other] = tag;
            }
            INIT_ACK => {
                let known = self.tags[other];
                let answers_nothing = !self.inits[other] && known != 0;
                if (answers_nothing || self.inits == [true; 2]) && known != tag {
                    return None;
                }
                self.tags[other] = tag;
            }
            _ => {}
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::time::Instant;
    use crate::netfilter::conntrack::{Tuple, Zone};
    use crate::wire::ip::{IpHeader, SCTP};
    use crate::wire::packet::CtInfo;
    use proptest::prelude::*;

    proptest! {
        /// What the states are is recorded: tests/parity/sctp_*.json.
        #[test]
        fn any_bytes_can_be_judged(packets in proptest::collection::vec(
            (proptest::collection::vec(prop_oneof![0u8..16, any::<u8>()], 0..60), any::<bool>()), 1..6)) {
            let [src, dst] = ["10.0.0.1", "10.0.0.2"].map(|addr| addr.parse().unwrap());
            let ip = IpHeader::new(src, dst, SCTP, 0);
            let tuple = Tuple { src, dst, proto: SCTP, l4: crate::netfilter::conntrack::L4::Generic };
            let mut entry = Entry::new(tuple, tuple, Zone::default(), true);
            let config = ConntrackConfig { checksum: false, ..ConntrackConfig::default() };
            for (l4, replied) in packets {
                let info = if replied { CtInfo::EstablishedReply } else { CtInfo::Established };
                let segment = Segment { now: Instant::START, hook: Hook::Forward, ip, l4: &l4, info, len: l4.len() };
                if track(&mut entry, &segment, &config) == Tracked::Valid {
                    entry.status |= Status::CONFIRMED;
                }
            }
        }
    }
}

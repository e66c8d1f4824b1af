//! Network address translation: which tuple a flow's answers come back with, and the edits that follow from it.
//!
//! A flow is translated once, by its first packet: at a nat hook the walk asks [`wants_rules`], evaluates the
//! nat table, and hands what it found to [`setup`] — or nothing, which makes a *null binding*: the flow keeps
//! its address, but not necessarily its source port. From then on [`translate`] edits every packet of the
//! flow, both ways, and the ICMP errors about it.

mod manip;
mod range_addr;
mod unique;

#[cfg(test)]
mod tests;

use std::net::IpAddr;

use super::conntrack::{Conntrack, Dir, Entry, Status, Verdict};
use super::hooks::Hook;
use crate::engine::arena::{CtId, DevId};
use crate::engine::rng::Stream;
use crate::engine::time::Instant;
use crate::wire::ip::is_icmp;
use crate::wire::packet::{CtInfo, Packet};

/// Which end of the packet is changed (`enum nf_nat_manip_type`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Manip {
    /// The source: SNAT, MASQUERADE.
    Src,
    /// The destination: DNAT, REDIRECT.
    Dst,
}

impl Manip {
    /// What the nat chains of a hook change (`HOOK2MANIP`); FORWARD has none.
    pub const fn of(hook: Hook) -> Option<Self> {
        match hook {
            Hook::Prerouting | Hook::Output => Some(Self::Dst),
            Hook::Input | Hook::Postrouting => Some(Self::Src),
            Hook::Forward => None,
        }
    }

    const fn other(self) -> Self {
        match self {
            Self::Src => Self::Dst,
            Self::Dst => Self::Src,
        }
    }

    /// The bit that says that this end of a flow's first packet is changed.
    const fn status(self) -> Status {
        match self {
            Self::Src => Status::SRC_NAT,
            Self::Dst => Status::DST_NAT,
        }
    }

    const fn done(self) -> Status {
        match self {
            Self::Src => Status::SRC_NAT_DONE,
            Self::Dst => Status::DST_NAT_DONE,
        }
    }
}

/// What a translation may choose from (`struct nf_nat_range2`); both ends of a range belong to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct NatRange {
    /// Addresses; `None` keeps the address.
    pub addrs: Option<(IpAddr, IpAddr)>,
    /// Ports or ICMP identifiers; `None` keeps the port if that is possible (a destination port always).
    pub ports: Option<(u16, u16)>,
    /// With `ports`: shift the port by its distance from this one (`--to-ports 5000-5999/4000`).
    pub base_port: Option<u16>,
    /// Choose the port at random (`--random`, `--random-fully`, the same in kernels since 5.0).
    pub random: bool,
    /// Choose the address by the source alone (`--persistent`).
    pub persistent: bool,
    /// For MASQUERADE: the device whose address this is.
    pub masq_dev: Option<DevId>,
}

/// Whether that end of the flow is decided (`nf_nat_initialized`).
pub fn is_done(entry: &Entry, manip: Manip) -> bool {
    entry.status.has(manip.done())
}

/// Whether the nat table is to be evaluated for this packet at this hook (`nf_nat_inet_fn`): it has an entry
/// whose end is not decided, and is not an ICMP error.
pub fn wants_rules(ct: &Conntrack, packet: &Packet, hook: Hook) -> bool {
    let (Some(manip), Some((_, info, entry))) = (Manip::of(hook), ct.of(packet)) else { return false };
    let is_error = is_related(info) && packet.ip().is_some_and(|ip| is_icmp(ip.proto));
    let may_begin = is_related(info) || info == CtInfo::New;
    may_begin && !is_error && !is_done(entry, manip)
}

/// Decides one end of a tentative flow (`nf_nat_setup_info`): changes its reply tuple so that answers to the
/// translated packet are known. `None` is the null binding (`nf_nat_alloc_null_binding`).
///
/// If nothing free is found, the tuple clashes, and [`Conntrack::confirm`] drops the packet. A confirmed flow
/// stays as it is.
pub fn setup(ct: &mut Conntrack, now: Instant, id: CtId, manip: Manip, range: Option<&NatRange>, rng: &mut Stream) {
    let Some(entry) = ct.get(id) else { return };
    if entry.is_confirmed() || is_done(entry, manip) {
        return;
    }
    let current = entry.reply.inverse();
    let keep = if manip == Manip::Src { current.src } else { current.dst };
    let null_binding = NatRange { addrs: Some((keep, keep)), ..NatRange::default() };
    let range = range.unwrap_or(&null_binding);
    let new = unique::tuple(ct, now, id, &current, manip, range, rng);
    let Some(entry) = ct.get_mut(id) else { return };
    if new != current {
        entry.reply = new.inverse();
        entry.status |= manip.status();
    }
    entry.status |= manip.done();
    if range.masq_dev.is_some() {
        entry.masq_dev = range.masq_dev;
    }
    if manip == Manip::Src {
        ct.index_source(id);
    }
}

/// Edits a packet at a nat hook as its flow demands (`nf_nat_packet`, `nf_nat_icmp_reply_translation`).
///
/// `out` is the device it leaves by, known at POSTROUTING. Dropped are packets that cannot be edited, redirects
/// about translated flows, and packets of a masqueraded flow that leave by another device than the first one,
/// which ends the flow.
pub fn translate(ct: &mut Conntrack, packet: &mut Packet, hook: Hook, out: Option<DevId>) -> Verdict {
    let (Some(manip), Some((id, info, entry))) = (Manip::of(hook), ct.of(packet)) else { return Verdict::Accept };
    if is_related(info) && packet.ip().is_some_and(|ip| is_icmp(ip.proto)) {
        return manip::error(packet, entry, Dir::of(info), manip);
    }
    // `nf_nat_oif_changed`
    if hook == Hook::Postrouting && !info.is_reply() && entry.masq_dev.is_some() && out != entry.masq_dev {
        ct.kill(id);
        return Verdict::Drop;
    }
    if !is_changed(entry, Dir::of(info), manip) {
        return Verdict::Accept;
    }
    // The packet shall look like the answer to an answer.
    let target = entry.tuple(Dir::of(info).opposite()).inverse();
    if manip::apply(packet.l3_mut(), &target, manip) { Verdict::Accept } else { Verdict::Drop }
}

/// Whether this end of packets in this direction is translated: what was done to the destination of the first
/// packet is undone at the source of the answers.
fn is_changed(entry: &Entry, dir: Dir, manip: Manip) -> bool {
    let of_first_packet = if dir == Dir::Orig { manip } else { manip.other() };
    entry.status.has(of_first_packet.status())
}

fn is_related(info: CtInfo) -> bool {
    matches!(info, CtInfo::Related | CtInfo::RelatedReply)
}

//! A frame leaves by a device (net/core/dev.c, `dev_queue_xmit`).

use super::{Ctx, Next, Stage, Target};
use crate::capture::Direction;
use crate::dev::{DevKind, Devices};
use crate::engine::arena::DevId;
use crate::engine::trail::DropReason;
use crate::netns::Netns;
use crate::wire::eth::ETH_LEN;
use crate::wire::packet::{Packet, PacketType};

/// Inside so many devices a packet is taken to go in circles (`XMIT_RECURSION_LIMIT`).
const DEEPEST: u8 = 8;

/// The frame is tapped and handed to what the device is.
pub(super) fn transmit(ns: &mut Netns, ctx: &mut Ctx<'_>, dev: DevId, mut packet: Packet) -> Next {
    let Some(device) = ns.devs.get(dev).filter(|d| d.up) else { return Next::Drop(DropReason::DevDown, packet) };
    // A bridge asks at its ports, when what was put together for conntrack is in fragments again (`is_skb_forwardable`).
    if device.bridge().is_none() && packet.len() > device.mtu as usize + ETH_LEN {
        return Next::Drop(DropReason::PktTooBig, packet);
    }
    if packet.nested > DEEPEST {
        return Next::Drop(DropReason::TunnelDepth, packet);
    }
    packet.nested += 1;
    packet.set_l2();
    // Only `lo` takes a checksum that is not computed yet (`validate_xmit_skb`).
    packet.csum_partial &= dev == Devices::LO;
    let target = match &device.kind {
        DevKind::Bridge(_) => {
            // Without scatter-gather a device gets what was put together as one, to be cut anew (`skb_needs_linearize`).
            packet.pieces.clear();
            ctx.tap(ns, dev, Direction::Out, &packet);
            return Next::Go(Stage::BridgeXmit(dev, packet));
        }
        DevKind::Vxlan(_) => {
            ctx.tap(ns, dev, Direction::Out, &packet);
            return Next::Go(Stage::Encapsulate(dev, packet));
        }
        DevKind::Loopback => Target::Dev(ns.id, Devices::LO),
        DevKind::Veth(v) => match v.peer {
            Some((netns, peer)) => Target::Dev(netns, peer),
            None => return Next::Drop(DropReason::DevDown, packet),
        },
        DevKind::Eth(e) => Target::Link(e.link, e.end),
    };
    ctx.tap(ns, dev, Direction::Out, &packet);
    if matches!(device.kind, DevKind::Loopback) {
        loop_back(&mut packet);
    } else {
        packet.scrub(true);
    }
    packet.stamp = ctx.out.stamp();
    ctx.out.frames.push((target, packet));
    Next::Transmitted
}

/// What goes round by `lo` keeps its route, mark and conntrack entry (drivers/net/loopback.c).
fn loop_back(packet: &mut Packet) {
    packet.looped = true;
    packet.nested = 0;
    packet.said_by = None;
    packet.iif = None;
    packet.pkt_type = PacketType::Host;
}

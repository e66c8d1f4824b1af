//! What holds for all packets.

use std::net::Ipv4Addr;

use proptest::prelude::*;

use crate::netfilter::conntrack::bench::Node;
use crate::netfilter::conntrack::{Dir, L4, Tuple, Zone, ZoneDir};
use crate::netfilter::nat::NatRange;
use crate::wire::build;
use crate::wire::ip::{ICMP, IpHeader, TCP, UDP};
use crate::wire::packet::{Packet, PacketId};

fn tuples() -> impl Strategy<Value = Tuple> {
    let l4 = prop_oneof![
        (any::<u16>(), any::<u16>(), prop_oneof![Just(TCP), Just(UDP)])
            .prop_map(|(src, dst, proto)| (L4::Ports { src, dst }, proto)),
        (prop_oneof![Just(0u8), Just(8), 13u8..19], any::<u8>(), any::<u16>())
            .prop_map(|(kind, code, id)| (L4::Icmp { kind, code, id }, ICMP)),
        Just((L4::Generic, 47)),
    ];
    (any::<u32>(), any::<u32>(), l4).prop_map(|(src, dst, (l4, proto))| Tuple {
        src: Ipv4Addr::from(src).into(),
        dst: Ipv4Addr::from(dst).into(),
        proto,
        l4,
    })
}

/// IP packets that are right outside and anything inside.
fn packets() -> impl Strategy<Value = Packet> {
    let proto = prop_oneof![Just(ICMP), Just(TCP), Just(UDP), Just(47u8)];
    (0u32..3, 0u32..3, proto, proptest::collection::vec(any::<u8>(), 0..64)).prop_map(|(src, dst, proto, mut body)| {
        for byte in body.iter_mut().take(4) {
            *byte %= 4; // few ports and types, so that flows meet
        }
        let header = IpHeader::new(Ipv4Addr::from(src).into(), Ipv4Addr::from(dst).into(), proto, 0);
        build::ip(PacketId(0), header, &body)
    })
}

proptest! {
    #[test]
    fn inverting_twice_gives_the_tuple_back(tuple in tuples()) {
        prop_assert_eq!(tuple.invert().and_then(|t| t.invert()), Some(tuple));
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        Tuple::of(&bytes);
        let mut node = Node::new();
        node.ct.config.checksum = false;
        let mut packet = Packet::new(PacketId(0), &bytes);
        packet.pull(0);
        node.forward(packet);
    }

    /// Whatever is sent: no panic, every listed entry is found by both its tuples, and nothing is left behind.
    #[test]
    fn every_entry_is_found_by_both_tuples(
        sent in proptest::collection::vec((packets(), any::<bool>(), 0u64..40), 1..60), zone in 0u16..2,
    ) {
        let mut node = Node::new();
        node.ct.config.checksum = false;
        node.zone = Zone { id: zone, dir: ZoneDir::Both };
        let masquerade = NatRange { addrs: Some((Ipv4Addr::from(7).into(), Ipv4Addr::from(9).into())), ..NatRange::default() };
        for (packet, masqueraded, wait) in sent {
            node.snat = masqueraded.then_some(masquerade);
            node.forward(packet);
            node.wait(wait);
        }
        let (now, zone) = (node.now, node.zone);
        let listed: Vec<_> = node.ct.iter(now).map(|(id, e)| (id, e.orig, e.reply)).collect();
        for (id, orig, reply) in listed {
            let of_orig = if orig == reply { Dir::Reply } else { Dir::Orig };
            prop_assert_eq!(node.ct.lookup(now, zone, &orig), Some((id, of_orig)));
            prop_assert_eq!(node.ct.lookup(now, zone, &reply), Some((id, Dir::Reply)));
        }
        node.wait(1_000_000);
        node.ct.expire(node.now);
        prop_assert!(node.ct.is_empty());
    }
}

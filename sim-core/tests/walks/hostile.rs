//! Frames nobody should send: whatever the bytes are, they are delivered, forwarded or counted as dropped.

use proptest::prelude::*;

use crate::lab::Lab;

/// A node with a bridge and a tunnel between two hosts, rules that track, translate, mark and refuse.
fn node() -> Lab {
    let mut lab = Lab::new(1);
    lab.netns(&["a", "n", "w"]);
    lab.ip("n", "link add br0 address 0a:00:00:00:00:01 type bridge");
    lab.ip("n", "link set br0 up");
    lab.ip("n", "addr add 10.0.0.1/24 brd + dev br0");
    lab.ip("n", "link add pa type veth peer name eth0 address 0a:00:00:00:00:02 netns a");
    lab.ip("n", "link set pa master br0 up");
    lab.bridge("n", "link set dev pa hairpin on");
    lab.ip("a", "link set eth0 up");
    lab.ip("a", "addr add 10.0.0.2/24 brd + dev eth0");
    lab.ip("a", "route add default via 10.0.0.1");
    lab.ip("n", "link add eth0 type veth peer name eth0 address 0a:00:00:00:00:09 netns w");
    for (ns, n) in [("n", 1), ("w", 2)] {
        lab.ip(ns, "link set eth0 up");
        lab.ip(ns, &format!("addr add 10.9.0.{n}/24 brd + dev eth0"));
    }
    lab.ip("n", "link add vx type vxlan id 1 local 10.9.0.1 dev eth0 dstport 8472 nolearning");
    lab.ip("n", "link set vx up");
    lab.ip("n", "addr add 10.8.0.1/24 dev vx");
    lab.sysctl("n", "net.ipv4.ip_forward", "1");
    lab.restore(
        "n",
        "*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -j TRACE\nCOMMIT\n\
         *nat\n:PREROUTING ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n\
         -A PREROUTING -d 10.96.0.0/16 -p tcp -j DNAT --to-destination 10.0.0.2:80\n\
         -A PREROUTING -d 10.96.0.0/16 -j DNAT --to-destination 10.9.0.2\n-A POSTROUTING -o eth0 -j MASQUERADE\nCOMMIT\n\
         *mangle\n:FORWARD ACCEPT [0:0]\n-A FORWARD -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu\nCOMMIT\n\
         *filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD -m conntrack --ctstate INVALID -j DROP\n\
         -A FORWARD -p udp --dport 9 -j REJECT\n-A FORWARD -p tcp --dport 9 -j REJECT --reject-with tcp-reset\nCOMMIT\n",
    );
    lab.echo_server("a", 80);
    lab
}

/// Frames that begin like ones the node would take, and then are anything.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let mac = prop_oneof![
        Just([0x0a, 0, 0, 0, 0, 1]),
        Just([0x0a, 0, 0, 0, 0, 2]),
        Just([0xff; 6]),
        Just([0x01, 0x80, 0xc2, 0, 0, 0]),
        any::<[u8; 6]>(),
    ];
    let ethertype = prop_oneof![6 => Just([8u8, 0]), 2 => Just([8, 6]), 1 => any::<[u8; 2]>()];
    (mac.clone(), mac, ethertype, ip_like(), any::<bool>()).prop_map(|(dst, src, kind, mut rest, right)| {
        if right && rest.len() >= 20 {
            fix_header(&mut rest);
        }
        [&dst[..], &src, &kind, &rest].concat()
    })
}

fn ip_like() -> impl Strategy<Value = Vec<u8>> {
    let addr = prop_oneof![
        Just([10u8, 0, 0, 1]),
        Just([10, 0, 0, 2]),
        Just([10, 9, 0, 1]),
        Just([10, 9, 0, 2]),
        Just([10, 96, 0, 1]),
        any::<[u8; 4]>(),
    ];
    let proto = prop_oneof![Just(1u8), Just(6), Just(17), any::<u8>()];
    let flags = prop_oneof![4 => Just([0u8, 0]), 2 => Just([0x40, 0]), 1 => any::<[u8; 2]>()];
    let first = prop_oneof![6 => Just(0x45u8), 1 => Just(0x46), 1 => any::<u8>()];
    let body = proptest::collection::vec(any::<u8>(), 0..120);
    (first, flags, any::<u8>(), proto, addr.clone(), addr, body).prop_map(
        |(first, flags, ttl, proto, src, dst, body)| {
            let len = (20 + body.len() as u16).to_be_bytes();
            let head = [&[first, 0][..], &len, &[7, 7], &flags, &[ttl, proto, 0, 0], &src, &dst].concat();
            [head, body].concat()
        },
    )
}

/// Makes the header checksum right, so that the packet gets further.
fn fix_header(ip: &mut [u8]) {
    use sim_core::wire::checksum::Sum;
    let len = (usize::from(ip[0] & 15) * 4).clamp(20, ip.len());
    ip[10..12].fill(0);
    let check = Sum::default().bytes(&ip[..len]).finish();
    ip[10..12].copy_from_slice(&check.to_be_bytes());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_frame_comes_to_an_end(frames in proptest::collection::vec((frame(), any::<bool>()), 1..40)) {
        let mut lab = node();
        for (bytes, outside) in &frames {
            lab.send_frame(if *outside { "w" } else { "a" }, "eth0", bytes);
        }
        lab.run_for_ms(60_000);
        prop_assert!(lab.hop_count() > 0);
        prop_assert_eq!(lab.ping("a", "10.0.0.1").len() >= 4, true, "the node still answers");
    }
}

/// IPv6 of every extension header, at a bridge port with br_netfilter and from outside.
#[test]
fn ipv6_packets_that_end_anywhere_are_dropped_or_answered() {
    let mut lab = node();
    for ns in ["a", "n", "w"] {
        lab.sysctl(ns, "net.ipv6.conf.all.disable_ipv6", "0");
    }
    lab.run_for_ms(3_000);
    let mut whole = vec![0x60, 0, 0, 0, 0, 88, 0, 64];
    whole.extend([[0xfd; 16], [0xfe; 16]].concat());
    // Hop-by-hop, destination, routing, fragment, again fragment, nothing: each of eight bytes, the rest anything.
    for next in [60, 43, 44, 44, 59] {
        whole.extend([next, 0, 1, 4, 0, 0, 0, 0]);
    }
    whole.extend([0x11; 48]);
    for len in 0..whole.len() {
        for first in [0, 60, 43, 44, 51, 59, 6, 58] {
            let mut packet = whole[..len].to_vec();
            if let Some(number) = packet.get_mut(6) {
                *number = first;
            }
            let frame = [&[0x0a, 0, 0, 0, 0, 1, 0x0a, 0, 0, 0, 0, 2, 0x86, 0xdd][..], &packet].concat();
            lab.send_frame("a", "eth0", &frame);
            lab.send_frame("w", "eth0", &frame);
        }
    }
    lab.run_for_ms(60_000);
    assert!(lab.ping("a", "10.0.0.1").len() >= 4, "the node still answers");
}

//! Two nodes as the reference lab builds them, and the rules as a kernel takes them.

use super::*;
use crate::command::kernel;

fn net(text: &str) -> IpNet {
    text.parse().expect("a network")
}

fn uplink() -> Uplink {
    Uplink { dev: "eth0".into(), mtu: 1500 }
}

fn lease(n: u8) -> Lease {
    Lease::new([10, 240, 0, 10 + n].into(), net(&format!("10.244.{n}.0/24")))
}

fn lines(commands: &[Command]) -> Vec<String> {
    commands.iter().map(Command::to_string).collect()
}

#[test]
fn a_node_makes_its_vtep_and_knows_its_peer() {
    let vxlan = backend("vxlan").expect("a backend");
    assert_eq!(
        lines(&vxlan.start(&lease(1), &uplink())),
        [
            "ip link add flannel.1 address 0e:fa:0a:f4:01:00 mtu 1450 type vxlan id 1 local 10.240.0.11 dev eth0 dstport 8472 nolearning",
            "ip addr add 10.244.1.0/32 dev flannel.1",
            "ip link set flannel.1 up",
        ]
    );
    assert_eq!(
        lines(&vxlan.add_peer(&lease(2), &uplink())),
        [
            "ip neigh replace 10.244.2.0 lladdr 0e:fa:0a:f4:02:00 dev flannel.1 nud permanent",
            "bridge fdb replace 0e:fa:0a:f4:02:00 dev flannel.1 dst 10.240.0.12 self permanent",
            "ip route replace 10.244.2.0/24 via 10.244.2.0 dev flannel.1 onlink",
        ]
    );
}

#[test]
fn a_kernel_takes_a_peer_and_lets_it_go() {
    let vxlan = backend("vxlan").expect("a backend");
    let eth0 = ["link add eth0 type bridge", "addr add 10.240.0.11/24 dev eth0", "link set eth0 up"];
    let mut commands: Vec<_> = eth0.map(|line| Command::Ip(line.into())).to_vec();
    commands.extend(vxlan.start(&lease(1), &uplink()));
    commands.extend(vxlan.add_peer(&lease(2), &uplink()));
    let show = "ip route show dev flannel.1; ip neigh show dev flannel.1; bridge fdb show dev flannel.1; ip link show flannel.1";
    let Some(shown) = kernel::run("nft", &commands, show) else { return };
    assert!(shown.contains("mtu 1450"), "{shown}");
    assert!(shown.contains("10.244.2.0/24 via 10.244.2.0 onlink"), "{shown}");
    assert!(shown.contains("10.244.2.0 lladdr 0e:fa:0a:f4:02:00 PERMANENT"), "{shown}");
    assert!(shown.contains("0e:fa:0a:f4:02:00 dst 10.240.0.12 self permanent"), "{shown}");

    commands.extend(vxlan.remove_peer(&lease(2), &uplink()));
    let shown = kernel::run("nft", &commands, show).expect("it ran before");
    assert!(!shown.contains("10.244.2.0") && !shown.contains("0e:fa:0a:f4:02:00"), "{shown}");
}

#[test]
fn the_rules_are_flannels() {
    let (network, subnet) = (net("10.244.0.0/16"), net("10.244.1.0/24"));
    let rules = lines(&[masquerade_rules(network, subnet, true, Jump::Missing), forward_rules(network, Jump::Missing)]);
    insta::assert_snapshot!(rules.join("\n"));
}

#[test]
fn a_kernel_takes_the_rules_and_setting_them_again_leaves_one_jump() {
    let (network, subnet) = (net("10.244.0.0/16"), net("10.244.1.0/24"));
    let set = |jump| [masquerade_rules(network, subnet, true, jump), forward_rules(network, jump)];
    let commands = [set(Jump::Missing), set(Jump::Present)].concat();
    for flavour in kernel::FLAVOURS {
        let Some(saved) = kernel::run(flavour, &commands, "iptables-save -t nat; iptables-save -t filter") else {
            continue;
        };
        assert_eq!(saved.matches("-j FLANNEL-").count(), 2, "{flavour}: {saved}");
        assert_eq!(saved.matches("-A FLANNEL-POSTRTG").count(), 6, "{flavour}: {saved}");
    }
}

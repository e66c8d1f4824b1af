//! Two nodes as the reference lab builds them, and the rules as a kernel takes them.

use super::*;
use crate::command::kernel;

fn net(text: &str) -> IpNet {
    text.parse().expect("a network")
}

fn uplink() -> Uplink {
    Uplink { dev: "eth0".into(), ips: vec![[10, 240, 0, 11].into()], mtu: 1500 }
}

fn lease(n: u8) -> Lease {
    Lease::new([10, 240, 0, 10 + n].into(), net(&format!("10.244.{n}.0/24")))
}

fn commands(steps: Vec<Step>) -> Vec<Command> {
    steps.into_iter().map(|step| step.command).collect()
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
        lines(&commands(vxlan.add_peer(&lease(2), &uplink()))),
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
    let mut all: Vec<_> = eth0.map(|line| Command::Ip(line.into())).to_vec();
    all.extend(vxlan.start(&lease(1), &uplink()));
    all.extend(commands(vxlan.add_peer(&lease(2), &uplink())));
    let show = "ip route show dev flannel.1; ip neigh show dev flannel.1; bridge fdb show dev flannel.1; ip link show flannel.1";
    let Some(shown) = kernel::run("nft", &all, show) else { return };
    assert!(shown.contains("mtu 1450"), "{shown}");
    assert!(shown.contains("10.244.2.0/24 via 10.244.2.0 onlink"), "{shown}");
    assert!(shown.contains("10.244.2.0 lladdr 0e:fa:0a:f4:02:00 PERMANENT"), "{shown}");
    assert!(shown.contains("0e:fa:0a:f4:02:00 dst 10.240.0.12 self permanent"), "{shown}");

    all.extend(vxlan.remove_peer(&lease(2), &uplink()));
    let shown = kernel::run("nft", &all, show).expect("it ran before");
    assert!(!shown.contains("10.244.2.0") && !shown.contains("0e:fa:0a:f4:02:00"), "{shown}");
}

#[test]
fn the_rules_are_flannels() {
    let rules = Config::new(vec![net("10.244.0.0/16")]).rules(net("10.244.1.0/24"));
    let rules = lines(&rules.iter().map(|set| set.restore(false)).collect::<Vec<_>>());
    insta::assert_snapshot!(rules.join("\n"));
}

#[test]
fn a_kernel_takes_the_rules_and_setting_them_again_leaves_one_jump() {
    let rules = Config::new(vec![net("10.244.0.0/16")]).rules(net("10.244.1.0/24"));
    let commands: Vec<_> = [false, true].iter().flat_map(|there| rules.iter().map(|set| set.restore(*there))).collect();
    for flavour in kernel::FLAVOURS {
        let Some(saved) = kernel::run(flavour, &commands, "iptables-save -t nat; iptables-save -t filter") else {
            continue;
        };
        assert_eq!(saved.matches("-j FLANNEL-").count(), 2, "{flavour}: {saved}");
        assert_eq!(saved.matches("-A FLANNEL-POSTRTG").count(), 6, "{flavour}: {saved}");
    }
}

#[test]
fn pods_that_are_known_outside_are_not_masqueraded() {
    let config = Config { ip_masq: false, ..Config::new(vec![net("10.244.0.0/16")]) };
    let chains: Vec<_> = config.rules(net("10.244.1.0/24")).iter().map(|set| set.chain).collect();
    assert_eq!(chains, ["FLANNEL-FWD"]);
}

#[test]
fn without_a_tunnel_the_way_to_a_peer_is_the_peer() {
    let host_gw = backend("host-gw").expect("a backend");
    assert!(host_gw.check(&lease(1), &uplink()) && !host_gw.check(&lease(2), &uplink()));
    let route = "10.244.2.0/24 via 10.240.0.12 dev eth0";
    assert_eq!(lines(&commands(host_gw.add_peer(&lease(2), &uplink()))), [format!("ip route replace {route}")]);
    assert_eq!(lines(&host_gw.remove_peer(&lease(2), &uplink())), [format!("ip route del {route}")]);
    assert_eq!((host_gw.start(&lease(1), &uplink()), host_gw.pod_mtu(&uplink())), (Vec::new(), 1500));
}

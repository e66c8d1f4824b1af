//! A pod's wiring, and its host ports as a kernel takes them.

use super::*;
use crate::api::Protocol;
use crate::command::{Command, kernel};

fn bridge() -> Bridge {
    Bridge {
        gateways: vec!["10.244.1.1/24".parse().expect("a network")],
        networks: vec!["10.244.0.0/16".parse().expect("a network")],
        mtu: 1450,
        hairpin: true,
    }
}

fn pod_port() -> PodPort {
    PodPort { ips: vec![[10, 244, 1, 2].into()], netns: "pod-a".into() }
}

fn lines(commands: &[Command]) -> String {
    commands.iter().map(|command| format!("{command}\n")).collect()
}

fn mapping(host_port: u16, protocol: Protocol, host_ip: Option<&str>) -> PortMapping {
    let host_ip = host_ip.map(|ip| ip.parse().expect("an address"));
    PortMapping { host_port, container_port: 80, protocol, host_ip }
}

fn portmap(mappings: Vec<PortMapping>) -> Portmap {
    let pod = "10.244.1.2/24".parse().expect("a network");
    Portmap { sandbox: SandboxId::new("default", "a", 0), pod, mappings }
}

#[test]
fn a_pod_is_wired_to_the_bridge() {
    let Wiring { node, pod } = bridge().add(&pod_port());
    let all = [("once a node", bridge().setup()), ("node", node), ("pod", pod)];
    let text: String = all.iter().map(|(whose, commands)| format!("# {whose}\n{}", lines(commands))).collect();
    insta::assert_snapshot!(text);
}

#[test]
fn a_kernel_takes_bridge_and_pod() {
    let Wiring { node, pod } = bridge().add(&pod_port());
    let mut script = format!("ip netns add pod-a\n{}{}", lines(&bridge().setup()), lines(&node));
    for command in pod {
        script += &format!("ip netns exec pod-a {command}\n");
    }
    script += "bridge -d link show dev veth0af40102; ip -n pod-a route; ip -n pod-a link show eth0";
    let Some(shown) = kernel::run("nft", &[], &script) else { return };
    assert!(shown.contains("hairpin on"), "{shown}");
    assert!(shown.contains("default via 10.244.1.1 dev eth0"), "{shown}");
    assert!(shown.contains("10.244.0.0/16 via 10.244.1.1 dev eth0"), "{shown}");
    assert!(shown.contains("0a:58:0a:f4:01:02") && shown.contains("mtu 1450"), "{shown}");
}

#[test]
fn host_ports_are_portmaps() {
    let mappings = vec![
        mapping(8080, Protocol::Tcp, None),
        mapping(53, Protocol::Udp, Some("192.168.0.2")),
        mapping(8081, Protocol::Tcp, Some("0.0.0.0")),
        mapping(8082, Protocol::Tcp, Some("fd00::1")),
    ];
    let portmap = portmap(mappings);
    insta::assert_snapshot!(lines(&portmap.add()) + &lines(&[portmap.remove()]));
}

#[test]
fn sixteen_ports_need_two_multiport_matches() {
    let mappings = (1..=16).map(|i| mapping(8000 + i, Protocol::Tcp, None)).collect();
    let text = lines(&portmap(mappings).add());
    assert_eq!(text.matches("--destination-ports").count(), 2 * 2, "two rules, each checked and then added: {text}");
    assert!(text.contains("--destination-ports 8016 "), "{text}");
}

#[test]
fn a_kernel_takes_host_ports_and_gives_them_back() {
    let portmap = portmap(vec![mapping(8080, Protocol::Tcp, None), mapping(53, Protocol::Udp, Some("192.168.0.2"))]);
    for flavour in kernel::FLAVOURS {
        let mut commands = bridge().setup();
        let save = "iptables-save -t nat";
        commands.extend(portmap.add());
        let Some(saved) = kernel::run(flavour, &commands, save) else { continue };
        assert_eq!(saved.matches("-A CNI-DN-").count(), 6, "{flavour}: {saved}");
        assert_eq!(saved.matches("-A CNI-HOSTPORT-DNAT").count(), 2, "{flavour}: {saved}");
        assert!(saved.contains(r#"--comment "dnat name: \"cbr0\" id: \""#), "{flavour}: {saved}");
        commands.push(portmap.remove());
        let saved = kernel::run(flavour, &commands, save).expect("it ran before");
        assert!(!saved.contains("CNI-DN-") && saved.contains("-A PREROUTING"), "{flavour}: {saved}");
    }
}

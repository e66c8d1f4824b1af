use sim_core::engine::rng::Seed;
use sim_core::world::World;

use super::*;

/// A world with one netns, in which these commands have been carried out.
fn netns(commands: &[&str]) -> (World, NetnsId) {
    let mut world = World::new(Seed(1));
    let netns = world.add_netns("n1").expect("a new name");
    for command in commands {
        let output = run(&mut world, netns, command);
        assert_eq!((output.status, output.stderr.as_str()), (0, ""), "{command}");
    }
    (world, netns)
}

fn run(world: &mut World, netns: NetnsId, command: &str) -> Output {
    let parsed = line::commands(command).expect("a line");
    let words: Vec<&str> = parsed[0].words.iter().map(String::as_str).collect();
    exec(world, netns, &words).unwrap_or_else(|error| panic!("{command}: {error}"))
}

const HOST: [&str; 5] = [
    "ip link add cni0 address 0a:58:0a:f4:01:01 mtu 1450 type bridge",
    "ip link set cni0 up",
    "ip addr add 10.244.1.1/24 brd + dev cni0",
    "ip route add 10.9.0.0/16 via 10.244.1.7 metric 5 mtu 1400",
    "ip route add unreachable 10.12.0.0/16",
];

#[test]
fn what_the_kernel_refuses_is_said_as_the_tool_says_it_with_its_status() {
    let (mut world, netns) = netns(&HOST);
    let mut refused = |command: &str| {
        let output = run(&mut world, netns, command);
        (output.status, output.stderr.lines().next().unwrap_or_default().to_owned())
    };
    let mut check = |command: &str, status: i32, message: &str| {
        assert_eq!(refused(command), (status, message.to_owned()), "{command}");
    };
    check("ip link set nosuch up", 1, "Cannot find device \"nosuch\"");
    check("ip addr show nosuch", 1, "Device \"nosuch\" does not exist.");
    check("ip link add cni0 type bridge", 2, "RTNETLINK answers: File exists");
    check("ip route add 10.8.0.0/16 via 1.2.3.4", 2, "Error: Nexthop has invalid gateway.");
    check("ip route del 10.77.0.0/16", 2, "RTNETLINK answers: No such process");
    check("ip route get 10.12.0.1", 2, "RTNETLINK answers: No route to host");
    check("ip route show table 77", 2, "Error: ipv4: FIB table does not exist.");
    check("iptables -D INPUT -j DROP", 1, "iptables: Bad rule (does a matching rule exist in that chain?).");
    check("iptables -A NOPE -j ACCEPT", 1, "iptables: No chain/target/match by that name.");
    check("iptables -S NOPE", 1, "iptables: No chain/target/match by that name.");
    check("iptables -t nope -S", 3, "iptables v1.8.9 (nf_tables): table 'nope' does not exist");
    check("conntrack -D -p tcp", 1, "conntrack v1.4.7 (conntrack-tools): 0 flow entries have been deleted.");
    check("sysctl -w net.ipv4.ip_forward=abc", 1, "sysctl: setting key \"net.ipv4.ip_forward\": Invalid argument");
    check("cat /proc/sys/net/nosuch", 1, "cat: /proc/sys/net/nosuch: No such file or directory");
}

#[test]
fn words_that_are_not_understood_say_what_would_be() {
    let (mut world, netns) = netns(&[]);
    for command in
        ["", "tcpdump -i eth0", "ip tunnel", "ip route get x", "bridge vlan", "ss -Z", "ip link set lo colour red"]
    {
        let words: Vec<&str> = command.split_whitespace().collect();
        let error = exec(&mut world, netns, &words).expect_err(command);
        assert!(!error.understood.is_empty(), "{command}: {error}");
    }
}

#[test]
fn a_rule_comes_and_goes_and_is_listed_in_three_ways() {
    let rule = "FORWARD -s 10.0.0.0/8 -p tcp -m tcp --dport 80 -m comment --comment \"not mine\" -j DROP";
    let (mut world, netns) = netns(&[&format!("iptables -A {rule}")]);
    let wanted = format!("-P FORWARD ACCEPT\n-A {rule}\n");
    assert_eq!(run(&mut world, netns, "iptables -S FORWARD").stdout, wanted);
    assert!(run(&mut world, netns, "iptables-save").stdout.contains(&format!("-A {rule}\n")));
    let listed = run(&mut world, netns, "iptables -nL FORWARD --line-numbers").stdout;
    let row = "1    DROP       6    --  10.0.0.0/8           0.0.0.0/0            tcp dpt:80 /* not mine */";
    assert_eq!(listed.lines().nth(2), Some(row));
    assert_eq!(run(&mut world, netns, &format!("iptables -C {rule}")).status, 0);
    assert_eq!(run(&mut world, netns, &format!("iptables -D {rule}")).status, 0);
    assert_eq!(run(&mut world, netns, &format!("iptables -C {rule}")).status, 1);
}

#[test]
fn a_sysctl_is_read_by_its_name_and_by_its_path() {
    let (mut world, netns) = netns(&["ip link add v.1 type bridge"]);
    assert_eq!(run(&mut world, netns, "sysctl -w net.ipv4.ip_forward=1").stdout, "net.ipv4.ip_forward = 1\n");
    assert_eq!(run(&mut world, netns, "sysctl -n net/ipv4/ip_forward").stdout, "1\n");
    assert_eq!(run(&mut world, netns, "cat /proc/sys/net/ipv4/ip_forward").stdout, "1\n");
    assert_eq!(run(&mut world, netns, "cat /proc/sys/net/ipv4/conf/v.1/forwarding").stdout, "1\n");
}

/// Runs a script of the real tools in a netns of its own; `None` where that is not possible.
fn real(script: &str) -> Option<String> {
    let run = std::process::Command::new("unshare").args(["-n", "sh", "-ec", script]).output();
    match run {
        Ok(output) if output.status.success() => Some(String::from_utf8_lossy(&output.stdout).into_owned()),
        Ok(output) => {
            eprintln!("skipped: unshare -n: {}", String::from_utf8_lossy(&output.stderr).trim());
            None
        }
        Err(why) => {
            eprintln!("skipped: unshare: {why}");
            None
        }
    }
}

/// What the commands print here and on this machine after the same `before`, line by line without blanks at the end.
fn same_as_the_real_tools(before: &[&str], shows: &[&str]) {
    let script = [&["ip link set lo up"], before, shows].concat().join("\n").replace("iptables", "iptables-nft");
    let Some(real) = real(&script) else { return };
    let (mut world, netns) = netns(before);
    let ours: String = shows.iter().map(|show| run(&mut world, netns, show).stdout).collect();
    let trimmed = |text: &str| text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
    assert_eq!(trimmed(&ours), trimmed(&real));
}

#[test]
fn routes_and_policy_rules_look_as_with_the_real_ip() {
    let policy = [
        "ip rule add fwmark 0x1/0x1 lookup 77 priority 100",
        "ip rule add from 10.0.0.0/8 iif cni0 lookup 78 priority 101",
    ];
    let shows = [
        "ip route",
        "ip route show table local",
        "ip rule",
        "ip route get 10.244.1.7",
        "ip route get 10.9.3.4",
        "ip route get 10.244.1.1",
    ];
    // Made by different commands: a real bridge without ports has no carrier.
    let port = [
        "ip link add p0 type veth peer name p1",
        "ip link set p1 up",
        "ip link set p0 master cni0",
        "ip link set p0 up",
    ];
    same_as_the_real_tools(&[&port_of_bridge(&port)[..], &policy].concat(), &shows);
}

/// The host, its bridge with a port.
fn port_of_bridge<'c>(port: &[&'c str]) -> Vec<&'c str> {
    [&HOST[..1], port, &HOST[1..]].concat()
}

#[test]
fn rules_look_as_with_the_real_iptables() {
    let rules = [
        "iptables -N X",
        "iptables -A X -m mark ! --mark 0x4000/0x4000 -j RETURN",
        "iptables -A X -j MARK --set-xmark 0x4000/0x0",
        "iptables -A X -j MARK --set-xmark 0x4000/0x4000",
        "iptables -A X -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP",
        "iptables -A X -p tcp -m tcp ! --dport 80 -j DROP",
        "iptables -A X ! -s 10.0.0.0/8 -d 10.0.0.1/32 -i eth0 -p tcp -m tcp --sport 1:9 --dport 80 -j DROP",
        "iptables -A X ! -p tcp -j ACCEPT",
        "iptables -A X -m limit --limit 1/sec -j ACCEPT",
        "iptables -A X -p tcp -m multiport --dports 80,443 -j ACCEPT",
        "iptables -A X -m addrtype ! --dst-type LOCAL -j ACCEPT",
        "iptables -A X -p icmp -m icmp --icmp-type 8 -j ACCEPT",
        "iptables -A X -m statistic --mode random --probability 0.5 -m comment --comment \"two words\" -j REJECT",
        "iptables -A FORWARD -j X",
    ];
    let shows =
        ["iptables -S", "iptables -S X -v", "iptables -L -n", "iptables -nvL X --line-numbers", "iptables -L FORWARD"];
    same_as_the_real_tools(&rules, &shows);
}

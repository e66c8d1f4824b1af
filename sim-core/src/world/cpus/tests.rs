//! A node between two pods and a server. Nothing here says when a race happens: seeds are tried.

use std::net::{Ipv4Addr, SocketAddr};

use super::*;
use crate::engine::rng::Seed;
use crate::engine::time::{Duration, Instant};
use crate::link::LinkConfig;
use crate::netfilter::conntrack::Stats;
use crate::netns::socket::tcp::SocketOptions;

const SEEDS: u64 = 100;
const SERVER: [u8; 4] = [192, 0, 2, 2];
const MASQUERADE: &str = "*nat\n-A POSTROUTING -o eth0 -j MASQUERADE\nCOMMIT\n";
/// As kube-proxy writes it for two endpoints.
const SERVICE: &str = "*nat\n:SVC -\n-A PREROUTING -d 10.96.0.10 -p udp --dport 53 -j SVC\n\
    -A SVC -p udp -m statistic --mode random --probability 0.5 -j DNAT --to-destination 192.0.2.2:53\n\
    -A SVC -p udp -j DNAT --to-destination 192.0.2.3:53\nCOMMIT\n";

struct Bench {
    world: World,
    node: NetnsId,
    pods: [NetnsId; 2],
    server: NetnsId,
}

impl Bench {
    /// Node `n` on a machine with `cpus` CPUs, its pods `a` (10.0.1.2) and `b` (10.0.2.2), a server behind a wire.
    fn new(seed: u64, cpus: u16, kernel: Kernel, rules: &str) -> Self {
        let mut world = World::new(Seed(seed));
        let machine = world.add_machine(cpus, kernel);
        let node = world.add_netns_on(machine, "n").unwrap();
        let server = world.add_netns("server").unwrap();
        world.add_link(LinkConfig::default(), (node, "eth0", None), (server, "eth0", None)).unwrap();
        let mut ip = |netns, line: &str| world.ip(netns, line).unwrap();
        for line in ["addr add 192.0.2.1/24 dev eth0", "link set eth0 up"] {
            ip(node, line);
        }
        for line in ["addr add 192.0.2.2/24 dev eth0", "addr add 192.0.2.3/24 dev eth0", "link set eth0 up"] {
            ip(server, line);
        }
        ip(server, "route add default via 192.0.2.1");
        world.sysctl(node, "net.ipv4.ip_forward", "1").unwrap();
        world.iptables_restore(node, rules, false).unwrap();
        let pods = [("a", 1), ("b", 2)].map(|(name, n)| {
            let pod = world.add_netns_beside(node, name).unwrap();
            let mut ip = |netns, line: &str| world.ip(netns, line).unwrap();
            ip(node, &format!("link add v{name} type veth peer name eth0 netns {name}"));
            ip(node, &format!("addr add 10.0.{n}.1/24 dev v{name}"));
            ip(node, &format!("link set v{name} up"));
            ip(pod, &format!("addr add 10.0.{n}.2/24 dev eth0"));
            ip(pod, "link set eth0 up");
            ip(pod, &format!("route add default via 10.0.{n}.1"));
            pod
        });
        let mut bench = Self { world, node, pods, server };
        bench.get_acquainted();
        bench
    }

    /// A datagram from each pod: then all neighbours are known.
    fn get_acquainted(&mut self) {
        for pod in self.pods {
            let socket = self.world.udp_bind(pod, any(0), false).unwrap();
            self.world.udp_send(pod, socket, Some((SERVER, 9).into()), b"").unwrap();
        }
        self.run_for(Duration::from_secs(1));
    }

    fn run_for(&mut self, time: Duration) {
        let until = self.world.now() + time;
        while self.world.step(until).is_some() {}
    }

    fn stats(&self) -> Stats {
        *self.world.netns(self.node).conntrack().stats()
    }

    /// Both pods connect from one source port at one moment; how long each takes.
    fn connect(&mut self) -> [Duration; 2] {
        self.world.tcp_listen(self.server, any(80), 16).unwrap();
        let begun = self.world.now();
        let sockets = self.pods.map(|pod| {
            let options = SocketOptions::default();
            (pod, self.world.tcp_connect(pod, any(4000), (SERVER, 80).into(), options).unwrap())
        });
        let mut connected = [None; 2];
        while self.world.now() < begun + Duration::from_secs(9) {
            self.world.step(begun + Duration::from_secs(10));
            for (n, (pod, socket)) in sockets.into_iter().enumerate() {
                let writable = self.world.tcp_readiness(pod, socket).writable;
                connected[n] = connected[n].or_else(|| writable.then(|| self.world.now().since(begun)));
            }
        }
        connected.map(|after| after.expect("it is connected in the end"))
    }

    /// One socket sends two datagrams to the Service at one moment, as glibc does; how many arrive.
    fn ask_twice(&mut self) -> usize {
        let server = self.world.udp_bind(self.server, any(53), false).unwrap();
        let client = self.world.udp_bind(self.pods[0], any(0), false).unwrap();
        for query in [b"A", b"B"] {
            self.world.udp_send(self.pods[0], client, Some(([10, 96, 0, 10], 53).into()), query).unwrap();
        }
        self.run_for(Duration::from_secs(1));
        std::iter::from_fn(|| self.world.udp_recv(self.server, server).ok()).count()
    }
}

fn any(port: u16) -> SocketAddr {
    (Ipv4Addr::UNSPECIFIED, port).into()
}

#[test]
fn two_masqueraded_connections_of_one_source_port_race_on_two_cpus_and_one_loses_its_syn() {
    // The window between the choice of a port and its confirmation is one stage boundary.
    let seeds = 10 * SEEDS;
    let mut raced = 0;
    for seed in 0..seeds {
        let mut bench = Bench::new(seed, 2, Kernel::default(), MASQUERADE);
        let mut took = bench.connect();
        took.sort();
        let lost = bench.stats().insert_failed;
        assert!(took[0] < Duration::from_millis(10), "seed {seed}: {took:?}");
        assert_eq!(took[1] > Duration::from_secs(1), lost > 0, "seed {seed}: {took:?}");
        assert_eq!((lost, bench.stats().drop), if lost > 0 { (1, 1) } else { (0, 0) }, "seed {seed}");
        raced += lost;
    }
    assert!((5..seeds / 10).contains(&raced), "{raced} of {seeds}");
}

#[test]
fn with_random_ports_no_connection_loses_its_syn() {
    let rules = MASQUERADE.replace("MASQUERADE", "MASQUERADE --random-fully");
    let lost = |seed| {
        let mut bench = Bench::new(seed, 2, Kernel::default(), &rules);
        bench.connect();
        bench.stats().insert_failed
    };
    assert_eq!((0..SEEDS).map(lost).sum::<u64>(), 0);
}

/// Over all seeds: datagrams that arrived, clashes resolved, entries refused.
fn queries(cpus: u16, kernel: Kernel) -> (usize, u64, u64) {
    (0..SEEDS).fold((0, 0, 0), |(arrived, resolved, failed), seed| {
        let mut bench = Bench::new(seed, cpus, kernel, SERVICE);
        let arrives = bench.ask_twice();
        let Stats { clash_resolve, insert_failed, .. } = bench.stats();
        (arrived + arrives, resolved + clash_resolve, failed + insert_failed)
    })
}

#[test]
fn two_queries_of_one_socket_race_on_two_cpus_and_old_kernels_lose_one() {
    let all = 2 * SEEDS as usize;
    for kernel in [Kernel::V6_18, Kernel::V5_15] {
        let (arrived, resolved, failed) = queries(2, kernel);
        assert_eq!((arrived, failed), (all, 0), "{}", kernel.version);
        assert!(resolved > 0, "{}", kernel.version);
    }
    let lost = [Kernel::V5_4, Kernel::V4_19].map(|kernel| {
        let (arrived, _, failed) = queries(2, kernel);
        assert_eq!(all - arrived, failed as usize, "{}", kernel.version);
        failed
    });
    assert!(0 < lost[0] && lost[0] < lost[1], "4.19 loses also those to one endpoint: {lost:?}");
}

#[test]
fn on_one_cpu_nothing_races_whatever_the_kernel() {
    for seed in 0..SEEDS {
        let mut bench = Bench::new(seed, 1, Kernel::V4_19, MASQUERADE);
        assert!(bench.connect().iter().all(|took| *took < Duration::from_millis(10)), "seed {seed}");
        assert_eq!(bench.stats().insert_failed, 0, "seed {seed}");
    }
    assert_eq!(queries(1, Kernel::V4_19), (2 * SEEDS as usize, 0, 0));
}

#[test]
fn one_cpu_is_as_no_machine_at_all() {
    let fingerprint = |mut bench: Bench| {
        bench.connect();
        bench.ask_twice();
        bench.world.fingerprint().value()
    };
    let alone = |mut bench: Bench| {
        for netns in [bench.node, bench.pods[0], bench.pods[1]] {
            bench.world.netns_mut(netns).unwrap().machine = None;
        }
        bench
    };
    for seed in 0..5 {
        let bench = || Bench::new(seed, 1, Kernel::default(), SERVICE);
        assert_eq!(fingerprint(bench()), fingerprint(alone(bench())));
    }
}

#[test]
fn packets_of_one_flow_that_come_by_a_wire_never_overtake_each_other() {
    for seed in 0..SEEDS {
        let mut bench = Bench::new(seed, 4, Kernel::default(), "*nat\nCOMMIT\n");
        let receiver = bench.world.udp_bind(bench.pods[0], any(7), false).unwrap();
        let sender = bench.world.udp_bind(bench.server, any(0), false).unwrap();
        for n in 0..20u8 {
            bench.world.udp_send(bench.server, sender, Some(([10, 0, 1, 2], 7).into()), &[n]).unwrap();
        }
        bench.run_for(Duration::from_secs(1));
        let received: Vec<u8> =
            std::iter::from_fn(|| bench.world.udp_recv(bench.pods[0], receiver).ok()).map(|d| d.data[0]).collect();
        assert!(received.is_sorted() && received.len() == 20, "seed {seed}: {received:?}");
    }
}

#[test]
fn a_fork_of_a_world_with_suspended_walks_goes_the_same_way() {
    let suspended = |world: &World| world.machines.cpus.iter().any(Cpu::is_busy);
    let forked = (0..SEEDS).filter(|seed| {
        let mut bench = Bench::new(*seed, 2, Kernel::default(), MASQUERADE);
        let socket = bench.world.udp_bind(bench.pods[0], any(0), false).unwrap();
        bench.world.udp_send(bench.pods[0], socket, Some((SERVER, 9).into()), b"x").unwrap();
        while !suspended(&bench.world) {
            if bench.world.step(Instant::NEVER).is_none() {
                return false;
            }
        }
        let mut fork = bench.world.clone();
        bench.run_for(Duration::from_secs(1));
        while fork.step(bench.world.now()).is_some() {}
        assert_eq!(fork.fingerprint().value(), bench.world.fingerprint().value(), "seed {seed}");
        true
    });
    assert!(forked.count() > 0);
}

#[test]
fn what_is_suspended_in_a_netns_that_goes_is_lost_and_counted() {
    let mut lost = 0;
    for seed in 0..SEEDS {
        let mut bench = Bench::new(seed, 2, Kernel::default(), MASQUERADE);
        let socket = bench.world.udp_bind(bench.pods[0], any(0), false).unwrap();
        bench.world.udp_send(bench.pods[0], socket, Some((SERVER, 9).into()), b"x").unwrap();
        bench.world.step(Instant::NEVER);
        bench.world.remove_netns(bench.node).unwrap();
        bench.run_for(Duration::from_secs(1));
        assert!(bench.world.machines.cpus.iter().all(|cpu| !cpu.is_busy()));
        lost += bench.world.drops().total(DropReason::DevDown);
    }
    assert!(lost > 0);
}

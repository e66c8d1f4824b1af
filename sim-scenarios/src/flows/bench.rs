//! The world in which flows are tried: the node under test with its kube-proxy, pods on its bridge, and all the
//! rest of the world behind eth0.
//!
//! ```text
//! pod/IP eth0 ──veth── cni0 │ node │ eth0 ──veth── eth0 outside
//! ```
//!
//! Pods and the outside take packets and answer none, so that an entry of the node's conntrack stays as the first packet
//! made it. The node has exactly the addresses of the table, so its bridge has none.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use sim_core::engine::arena::NetnsId;
use sim_core::engine::errno::Errno;
use sim_core::engine::rng::Seed;
use sim_core::engine::time::Duration;
use sim_core::engine::trail::DropReason;
use sim_core::netfilter::conntrack::{Entry, L4};
use sim_core::netns::netlink::TableName;
use sim_core::wire::ip::Family;
use sim_core::world::World;
use sim_k8s::api::Protocol;
use sim_k8s::command::Command;
use sim_k8s::kubeproxy::{Proxy, ServiceMap, proxier};

use super::node::Node;
use super::objects::Stored;
use super::packet::{First, SRC_PORT};

/// The gateway, which no table has as an address of anybody (RFC 3927, RFC 4291).
fn gateway(family: Family) -> &'static str {
    if family == Family::V4 { "169.254.1.1" } else { "fe80::1" }
}

/// Long enough for a packet to get anywhere, too short for a SYN to be sent again.
const SETTLED: Duration = Duration::from_millis(200);

/// What became of a first packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Seen {
    /// Its destination was translated.
    Endpoint {
        /// To this.
        to: SocketAddr,
        /// And its source, too.
        masquerade: bool,
    },
    /// A rule dropped it.
    Dropped,
    /// A rule rejected it.
    Rejected,
    /// A rule of the filter table accepted it.
    Accepted,
    /// No rule decided.
    NoMatch,
}

/// A node under test.
#[derive(Clone, Debug)]
pub(super) struct Bench {
    world: World,
    node: NetnsId,
    family: Family,
    outside: NetnsId,
    proxy: Proxy,
    /// What kube-proxy has been told of.
    told: Stored,
}

impl Bench {
    /// A node whose kube-proxy has just started, and these pods on it.
    pub(super) fn new(node: &Node, pods: &BTreeSet<IpAddr>, seed: u64) -> Result<Self, String> {
        let mut world = World::new(Seed(seed));
        let mut netns = |name: &str| world.add_netns(name).map_err(|e| e.to_string());
        let (id, outside) = (netns("node")?, netns("outside")?);
        let iptables = proxier("iptables").expect("a mode of kube-proxy");
        let proxy = Proxy::new(iptables, node.config.clone(), node.proxied.clone());
        let family = node.family();
        let mut this = Self { world, node: id, family, outside, proxy, told: Stored::default() };
        this.wire(node)?;
        for ip in pods {
            this.add_pod(*ip)?;
        }
        for command in this.proxy.settings().into_iter().chain(this.proxy.start()) {
            this.run(&command)?;
        }
        Ok(this)
    }

    fn wire(&mut self, node: &Node) -> Result<(), String> {
        let mut lines = vec![
            "link set lo up".to_owned(),
            "link add eth0 type veth peer name eth0 netns outside".to_owned(),
            "link add cni0 type bridge".to_owned(),
            "link set eth0 up".to_owned(),
            "link set cni0 up".to_owned(),
        ];
        let own = node.proxied.addresses.iter().filter(|ip| !ip.is_loopback());
        let (family, gateway) = (self.family, gateway(self.family));
        lines.extend(own.map(|ip| address(*ip)));
        lines.push(format!("{}route add default via {gateway} dev eth0 onlink", flag(family)));
        self.speak(self.node)?;
        self.speak(self.outside)?;
        self.ip(self.node, &lines)?;
        let gateway = address(gateway.parse().expect("an address"));
        let outside = ["link set eth0 up", &gateway, &format!("{}route add default dev eth0", flag(family))];
        self.ip(self.outside, &outside.map(str::to_owned))?;
        let switches = match family {
            Family::V4 => ["net.ipv4.ip_forward", "net.bridge.bridge-nf-call-iptables"],
            Family::V6 => ["net.ipv6.conf.all.forwarding", "net.bridge.bridge-nf-call-ip6tables"],
        };
        switches.into_iter().try_for_each(|key| self.run(&Command::sysctl(key, 1)))
    }

    /// A netns that is to have IPv6 has it switched on.
    fn speak(&mut self, netns: NetnsId) -> Result<(), String> {
        let on = Command::sysctl("net.ipv6.conf.all.disable_ipv6", 0);
        if self.family == Family::V4 { Ok(()) } else { on.run(&mut self.world, &[netns]).map_err(|e| e.to_string()) }
    }

    fn add_pod(&mut self, ip: IpAddr) -> Result<(), String> {
        let name = pod(ip);
        let netns = self.world.add_netns(&name).map_err(|e| e.to_string())?;
        self.speak(netns)?;
        let veth = format!("veth{}", self.world.all_netns().count());
        let lines = [
            format!("link add {veth} type veth peer name eth0 netns {name}"),
            format!("link set {veth} master cni0"),
            format!("link set {veth} up"),
            format!("route add {} dev cni0", IpNet::from(ip)),
        ];
        self.ip(self.node, &lines)?;
        self.run(&Command::Bridge(format!("link set dev {veth} hairpin on")))?;
        let lines =
            ["link set eth0 up".to_owned(), address(ip), format!("{}route add default dev eth0", flag(self.family))];
        self.ip(netns, &lines)?;
        let silent = "*filter\n:INPUT DROP [0:0]\nCOMMIT\n";
        self.world.iptables_restore((netns, self.family), silent, false).map_err(|e| e.to_string())
    }

    fn ip(&mut self, netns: NetnsId, lines: &[String]) -> Result<(), String> {
        let mut each = lines.iter();
        each.try_for_each(|line| self.world.ip(netns, line).map_err(|e| format!("ip {line}: {e}")))
    }

    fn run(&mut self, command: &Command) -> Result<(), String> {
        command.run(&mut self.world, &[self.node]).map_err(|e| e.to_string())
    }

    /// The objects are these now, and kube-proxy syncs and cleans up.
    pub(super) fn sync(&mut self, node: &Node, objects: &Stored) -> Result<(), String> {
        let gone = std::mem::replace(&mut self.told, objects.clone());
        for key in gone.services.keys().chain(objects.services.keys()) {
            self.proxy.service(key, objects.services.get(key).cloned());
        }
        for key in gone.slices.keys().chain(objects.slices.keys()) {
            self.proxy.slice(key, objects.slices.get(key).cloned());
        }
        let (world, rules) = (&self.world, (self.node, self.family));
        let commands = self.proxy.begin(world.now(), || world.iptables_chains(rules, TableName::Nat));
        for command in commands {
            self.run(&command)?;
        }
        self.proxy.end(self.world.now(), true);
        if self.proxy.cleans_conntrack() {
            let flows: Vec<_> = self.world.netns(self.node).flows(self.world.now()).collect();
            for command in self.proxy.stale_flows(&flows) {
                self.run(&command)?;
            }
        }
        self.serve_on_node(node)
    }

    /// The service ports that kube-proxy knows.
    pub(super) fn services(&self) -> &ServiceMap {
        self.proxy.services()
    }

    /// The node's rules with their counters.
    pub(super) fn rules(&self) -> String {
        self.world.iptables_save((self.node, self.family), true)
    }

    /// An endpoint with an address of the node is a process there: nobody listening would refuse the packet and end its
    /// connection. One that is served already stays so.
    fn serve_on_node(&mut self, node: &Node) -> Result<(), String> {
        let all = self
            .proxy
            .services()
            .iter()
            .flat_map(|(name, port)| port.endpoints.iter().map(|e| (name.protocol(), e.addr)));
        let own: BTreeSet<_> = all.filter(|(_, addr)| node.has(addr.ip())).collect();
        for (protocol, addr) in own {
            let served = match protocol {
                Protocol::Tcp => self.world.tcp_listen(self.node, addr, 16),
                Protocol::Udp => self.world.udp_bind(self.node, addr, true),
                Protocol::Sctp => self.world.sctp_listen(self.node, addr, 16),
            };
            match served {
                Ok(_) | Err(Errno::EADDRINUSE) => {}
                Err(errno) => return Err(format!("cannot serve {addr} on the node: {errno}")),
            }
        }
        Ok(())
    }

    /// Sends one first packet and sees what becomes of it. The bench has then had its packet.
    pub(super) fn send(mut self, node: &Node, first: &First) -> Result<Seen, String> {
        let accepted = self.accepted();
        let before = [DropReason::NetfilterDrop, DropReason::NetfilterReject].map(|reason| self.drops(reason));
        if node.has(first.src) {
            first.send_from_process(&mut self.world, self.node)?;
        } else if node.is_pod(first.src) {
            let sender = self.world.netns_id(&pod(first.src)).ok_or("the pod is not there")?;
            first.send_from_netns(&mut self.world, sender, (self.node, "cni0"))?;
        } else {
            first.send_from_netns(&mut self.world, self.outside, (self.node, "eth0"))?;
        }
        self.settle();
        let after = [DropReason::NetfilterDrop, DropReason::NetfilterReject].map(|reason| self.drops(reason));
        Ok(match self.translated(first) {
            Some(seen) => seen,
            None if after[1] > before[1] => Seen::Rejected,
            None if after[0] > before[0] => Seen::Dropped,
            None if self.accepted() > accepted => Seen::Accepted,
            None => Seen::NoMatch,
        })
    }

    /// Makes an entry of conntrack: a packet comes in from outside while one more rule sends it to `answers`.
    pub(super) fn track(&mut self, first: &First, answers: SocketAddr) -> Result<(), String> {
        let (protocol, dst) = (first.protocol.in_rules(), first.dst);
        let target = match first.protocol {
            // It stays where it was sent, and no other rule is asked.
            _ if answers == dst => "ACCEPT".to_owned(),
            _ => format!("DNAT --to-destination {answers}"),
        };
        let rule = format!("PREROUTING -p {protocol} -d {} --dport {} -j {target}", dst.ip(), dst.port());
        self.run(&Command::Restore(self.family, format!("*nat\n-I {rule}\nCOMMIT\n")))?;
        first.send_from_netns(&mut self.world, self.outside, (self.node, "eth0"))?;
        self.settle();
        self.run(&Command::Restore(self.family, format!("*nat\n-D {rule}\nCOMMIT\n")))
    }

    /// Whether conntrack has an entry of the packet that sends it to `answers`.
    pub(super) fn tracks(&self, first: &First, answers: SocketAddr) -> bool {
        self.entry(first).is_some_and(|entry| match entry.reply.l4 {
            L4::Ports { src, .. } => SocketAddr::new(entry.reply.src, src) == answers,
            _ => entry.reply.src == answers.ip(),
        })
    }

    fn settle(&mut self) {
        let until = self.world.now() + SETTLED;
        while self.world.step(until).is_some() {}
    }

    /// How often the node dropped something for `reason`.
    fn drops(&self, reason: DropReason) -> u64 {
        let here = self.world.drops().iter().filter(|(place, _)| place.netns == self.node && place.reason == reason);
        here.map(|(_, count)| count).sum()
    }

    /// Packets that rules of the filter table have accepted.
    fn accepted(&self) -> u64 {
        let saved = self.rules();
        let filter = saved.split("*filter\n").nth(1).unwrap_or_default().lines().take_while(|line| *line != "COMMIT");
        let rules = filter.filter(|line| line.ends_with(" -j ACCEPT")).filter_map(|line| line.strip_prefix('['));
        rules.filter_map(|line| line.split(':').next()?.parse::<u64>().ok()).sum()
    }

    /// Conntrack's entry of the packet.
    fn entry(&self, first: &First) -> Option<&Entry> {
        let entries = self.world.netns(self.node).conntrack().iter(self.world.now()).map(|(_, entry)| entry);
        let ours = |port: &L4| match port {
            L4::Ports { src, dst } => (*src, *dst) == (SRC_PORT, first.dst.port()),
            _ => true,
        };
        let mut entries = entries.filter(|e| (e.orig.src, e.orig.dst) == (first.src, first.dst.ip()));
        entries.find(|e| e.orig.proto == first.proto() && ours(&e.orig.l4))
    }

    /// Where conntrack sends the packet, if elsewhere than it was sent.
    fn translated(&self, first: &First) -> Option<Seen> {
        let entry = self.entry(first)?;
        let (to, back) = match entry.reply.l4 {
            L4::Ports { src, dst } => (SocketAddr::new(entry.reply.src, src), dst),
            // A port that conntrack does not know it cannot have changed.
            _ => (SocketAddr::new(entry.reply.src, first.dst.port()), SRC_PORT),
        };
        // --random-fully gives a masqueraded connection another port even where its address is already the right one.
        let masquerade = (entry.reply.dst, back) != (first.src, SRC_PORT);
        (to != first.dst).then_some(Seen::Endpoint { to, masquerade })
    }
}

/// The command that gives `eth0` an address of its own.
fn address(ip: IpAddr) -> String {
    let known = if ip.is_ipv6() { " nodad" } else { "" };
    format!("addr add {} dev eth0{known}", IpNet::from(ip))
}

/// What `ip` is told where no address says the family.
fn flag(family: Family) -> &'static str {
    if family == Family::V6 { "-6 " } else { "" }
}

/// The netns of a pod.
fn pod(ip: IpAddr) -> String {
    format!("pod/{ip}")
}

//! Nouns: the state of one network namespace. Tables with `lookup / insert / remove`; none of them ever
//! sees a packet's path. What happens to packets is in `walk`, what agents may change in [`netlink`].

pub mod addr;
pub mod fib;
pub mod frag;
pub mod icmp_limit;
pub mod ip_id;
pub mod neigh;
pub mod netlink;
pub mod pmtu;
pub mod rules;
pub mod show;
pub mod socket;
pub mod sysctl;

use crate::dev::Devices;
use crate::engine::arena::{DevId, NetnsId};
use crate::engine::rng::{Seed, Stream};
use crate::engine::time::Instant;
use crate::netfilter::conntrack::Conntrack;
use crate::netfilter::ipset::IpSets;
use crate::wire::packet::Packet;

use socket::tcp::{TcpConfig, TcpTable};

/// One network namespace.
#[derive(Clone, Debug)]
pub struct Netns {
    /// Its id in the world.
    pub id: NetnsId,
    /// Its name, for people.
    pub name: String,
    pub(crate) devs: Devices,
    pub(crate) addrs: addr::Addrs,
    pub(crate) fib: fib::Fib,
    pub(crate) neighs: neigh::Neighs,
    pub(crate) sysctl: sysctl::Sysctl,
    pub(crate) sockets: socket::Sockets,
    pub(crate) tcp: TcpTable,
    /// When the TCP table's timer is due for which an event is scheduled.
    pub(crate) tcp_timer: Instant,
    pub(crate) frags: frag::Frags,
    pub(crate) pmtu: pmtu::Pmtu,
    pub(crate) icmp_limits: icmp_limit::IcmpLimits,
    pub(crate) ip_ids: ip_id::IpIds,
    pub(crate) rules: rules::Rules,
    pub(crate) sets: IpSets,
    pub(crate) conntrack: Conntrack,
    pub(crate) streams: Streams,
    /// Packets that a device took with it, to be counted.
    pub(crate) purged: Vec<(DevId, Packet)>,
}

/// The random streams of a netns, one per purpose.
#[derive(Clone, Debug)]
pub(crate) struct Streams {
    /// `statistic --mode random`.
    pub rules: Stream,
    /// Source ports NAT chooses.
    pub nat: Stream,
    /// Ephemeral ports of sockets.
    pub ports: Stream,
    /// Reachable times of neighbours.
    pub neigh: Stream,
}

impl Netns {
    /// A netns with `lo` and its routes only.
    pub(crate) fn new(id: NetnsId, name: &str, seed: Seed) -> Self {
        let stream = |purpose| seed.stream(purpose, u64::from(id.0));
        let mut ns = Self {
            id,
            name: name.to_owned(),
            devs: Devices::default(),
            addrs: addr::Addrs::default(),
            fib: fib::Fib::default(),
            neighs: neigh::Neighs::default(),
            sysctl: sysctl::Sysctl::default(),
            sockets: socket::Sockets::default(),
            tcp: TcpTable::new(TcpConfig::default(), socket::FIRST_TCP, stream("tcp")),
            tcp_timer: Instant::NEVER,
            frags: frag::Frags::default(),
            pmtu: pmtu::Pmtu::default(),
            icmp_limits: icmp_limit::IcmpLimits::default(),
            ip_ids: ip_id::IpIds::new(id, &mut stream("ip-id")),
            rules: rules::Rules::default(),
            sets: IpSets::default(),
            conntrack: Conntrack::default(),
            streams: Streams {
                rules: stream("rules"),
                nat: stream("nat"),
                ports: stream("ports"),
                neigh: stream("neigh"),
            },
            purged: Vec::new(),
        };
        ns.sysctl.add_dev(Devices::LO, 1000);
        ns.add_loopback_address();
        ns
    }

    /// TTL of packets of this host.
    pub(crate) fn default_ttl(&self) -> u8 {
        self.sysctl.default_ttl.clamp(1, 255) as u8
    }
}

//! Nouns: the state of one network namespace. Tables with `lookup / insert / remove`; none of them ever
//! sees a packet's path. What happens to packets is in `walk`, what agents may change in [`netlink`].

pub mod addr;
pub mod exception;
pub mod fib;
pub mod frag;
pub mod icmp_limit;
pub mod ip_id;
pub(crate) mod mib;
pub mod neigh;
pub mod netlink;
pub mod rules;
pub mod show;
pub mod socket;
pub mod sysctl;

use std::net::Ipv6Addr;

use crate::dev::Devices;
use crate::engine::arena::{DevId, MachineId, NetnsId};
use crate::engine::mutant::Planted;
use crate::engine::rng::{Seed, Stream};
use crate::engine::time::Instant;
use crate::kernel::Kernel;
use crate::netfilter::conntrack::Conntrack;
use crate::netfilter::ipset::IpSets;
use crate::wire::ip::Family;
use crate::wire::packet::Packet;

use socket::sctp::SctpTable;
use socket::tcp::{TcpConfig, TcpTable};

/// One network namespace.
#[derive(Clone, Debug)]
pub struct Netns {
    /// Its id in the world.
    pub id: NetnsId,
    /// Its name, for people.
    pub name: String,
    /// The machine it is on; `None`: one of its own, with one CPU.
    pub(crate) machine: Option<MachineId>,
    pub(crate) devs: Devices,
    pub(crate) addrs: addr::Addrs,
    pub(crate) fib: fib::Fib,
    pub(crate) neighs: neigh::Neighs,
    pub(crate) sysctl: sysctl::Sysctl,
    pub(crate) sockets: socket::Sockets,
    pub(crate) tcp: TcpTable,
    /// When the TCP table's timer is due for which an event is scheduled.
    pub(crate) tcp_timer: Instant,
    pub(crate) sctp: SctpTable,
    /// The same of the SCTP table.
    pub(crate) sctp_timer: Instant,
    pub(crate) frags: frag::Frags,
    pub(crate) exceptions: exception::Exceptions,
    pub(crate) icmp_limits: icmp_limit::IcmpLimits,
    pub(crate) ip_ids: ip_id::IpIds,
    pub(crate) mibs: mib::Mibs,
    pub(crate) rules: rules::AllRules,
    pub(crate) sets: IpSets,
    pub(crate) conntrack: Conntrack,
    pub(crate) streams: Streams,
    /// Addresses whose search for duplicates is to begin.
    pub(crate) tentative: Vec<(DevId, Ipv6Addr)>,
    /// Devices that have come into groups of IPv6 and will tell so.
    pub(crate) listening: Vec<DevId>,
    /// Packets that a device took with it, to be counted.
    pub(crate) purged: Vec<(DevId, Packet)>,
    /// The mistake it makes, to test tests.
    pub(crate) planted: Planted,
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
    /// Delays and nonces of neighbour discovery.
    pub nd: Stream,
    /// Delays of listener reports.
    pub mld: Stream,
    /// Identifications of IPv6 fragments.
    pub fragments: Stream,
}

impl Netns {
    /// A netns with `lo` and its routes only.
    pub(crate) fn new(id: NetnsId, name: &str, seed: Seed) -> Self {
        let stream = |purpose| seed.stream(purpose, u64::from(id.0));
        let mut ns = Self {
            id,
            name: name.to_owned(),
            machine: None,
            devs: Devices::default(),
            addrs: addr::Addrs::default(),
            fib: fib::Fib::default(),
            neighs: neigh::Neighs::default(),
            sysctl: sysctl::Sysctl::default(),
            sockets: socket::Sockets::default(),
            tcp: TcpTable::new(TcpConfig::default(), socket::FIRST_TCP, stream("tcp")),
            tcp_timer: Instant::NEVER,
            sctp: SctpTable::new(socket::FIRST_SCTP, stream("sctp")),
            sctp_timer: Instant::NEVER,
            frags: frag::Frags::default(),
            exceptions: exception::Exceptions::default(),
            icmp_limits: icmp_limit::IcmpLimits::default(),
            ip_ids: ip_id::IpIds::new(id, &mut stream("ip-id")),
            mibs: mib::Mibs::default(),
            rules: rules::AllRules::default(),
            sets: IpSets::default(),
            conntrack: Conntrack::default(),
            streams: Streams {
                rules: stream("rules"),
                nat: stream("nat"),
                ports: stream("ports"),
                neigh: stream("neigh"),
                nd: stream("nd"),
                mld: stream("mld"),
                fragments: stream("fragments"),
            },
            tentative: Vec::new(),
            listening: Vec::new(),
            purged: Vec::new(),
            planted: Planted::default(),
        };
        ns.sysctl.add_dev(Devices::LO, 1000);
        ns.add_loopback_address();
        ns
    }

    /// Behaves as `kernel` does. To be called before anything happens in it.
    pub(crate) fn set_kernel(&mut self, kernel: Kernel) {
        self.conntrack.kernel = kernel;
        self.tcp.config_mut().syn_linear_timeouts = kernel.syn_linear_timeouts;
    }

    /// TTL or hop limit of packets of this host that leave by `dev`.
    pub(crate) fn default_ttl(&self, family: Family, dev: DevId) -> u8 {
        let ttl = match family {
            Family::V4 => self.sysctl.default_ttl,
            Family::V6 => self.sysctl.ipv6(dev).hop_limit,
        };
        ttl.clamp(1, 255) as u8
    }

    /// The identification of a packet of this host; IPv6 has one only in fragments.
    pub(crate) fn draw_ip_id(&mut self, family: Family) -> u32 {
        match family {
            Family::V4 => u32::from(self.ip_ids.draw()),
            Family::V6 => 0,
        }
    }
}

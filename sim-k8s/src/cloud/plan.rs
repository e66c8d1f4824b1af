//! The address plan: who has which addresses around a cluster, in each family.
//!
//! What has names of its own in the reference lab has its addresses, so that a capture of one reads like one of the other.
//! IPv6 follows IPv4 as far as clouds do. There a node has a global address of its own, and nobody translates it at the
//! gateway; networks for documentation (RFC 3849) stand for global ones. Pods and Services have unique local addresses
//! (RFC 4193), those of kind (`pkg/apis/config/v1alpha4/default.go`), so that pods leave by their node's address as in IPv4.

use sim_core::wire::ip::Family;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// The addresses of one family.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plan {
    /// All pods' addresses, unless a cluster says otherwise.
    pub pods: IpNet,
    /// All ClusterIPs, unless a cluster says otherwise.
    pub services: IpNet,
    /// The machines of the cloud.
    pub machines: IpNet,
    /// The gateway's address among them: every node's default route.
    pub gateway: IpAddr,
    /// The load balancer's own address among them: health checks come from it.
    pub balancer: IpAddr,
    /// The addresses of load balancers.
    pub balanced: IpNet,
    /// The wire from the gateway to the world; its ends have the first two addresses.
    pub wire: IpNet,
    /// The name server outside.
    pub resolver: IpAddr,
    /// Clients outside.
    pub clients: [IpAddr; 2],
    /// Where the names of the world outside have their addresses.
    pub names: IpNet,
}

const fn quad(a: u8, b: u8, c: u8, d: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}

const fn hextets(a: u16, b: u16, c: u16, d: u16, host: u16) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, host))
}

const V4: Plan = Plan {
    pods: IpNet::new_assert(quad(10, 244, 0, 0), 16),
    services: IpNet::new_assert(quad(10, 96, 0, 0), 12),
    machines: IpNet::new_assert(quad(10, 240, 0, 0), 24),
    gateway: quad(10, 240, 0, 1),
    balancer: quad(10, 240, 0, 2),
    balanced: IpNet::new_assert(quad(198, 18, 0, 0), 16),
    wire: IpNet::new_assert(quad(192, 0, 2, 0), 24),
    resolver: quad(8, 8, 8, 8),
    clients: [quad(198, 51, 100, 7), quad(198, 51, 100, 8)],
    names: IpNet::new_assert(quad(198, 51, 100, 64), 26),
};

const V6: Plan = Plan {
    pods: IpNet::new_assert(hextets(0xfd00, 0x10, 0x244, 0, 0), 56),
    services: IpNet::new_assert(hextets(0xfd00, 0x10, 0x96, 0, 0), 112),
    machines: IpNet::new_assert(hextets(0x2001, 0xdb8, 0x240, 0, 0), 64),
    gateway: hextets(0x2001, 0xdb8, 0x240, 0, 1),
    balancer: hextets(0x2001, 0xdb8, 0x240, 0, 2),
    balanced: IpNet::new_assert(hextets(0x2001, 0xdb8, 0x198, 0x18, 0), 112),
    wire: IpNet::new_assert(hextets(0x2001, 0xdb8, 0x192, 0, 0), 64),
    resolver: hextets(0x2001, 0x4860, 0x4860, 0, 0x8888),
    clients: [hextets(0x2001, 0xdb8, 0x198, 0x51, 7), hextets(0x2001, 0xdb8, 0x198, 0x51, 8)],
    names: IpNet::new_assert(hextets(0x2001, 0xdb8, 0x198, 0x64, 0), 64),
};

impl Plan {
    /// The plan of a family.
    pub const fn of(family: Family) -> &'static Self {
        match family {
            Family::V4 => &V4,
            Family::V6 => &V6,
        }
    }

    /// The address of node `number`, from 1 on: 10.240.0.11 is `n1`'s, and so is 2001:db8:240::11.
    pub fn node(&self, number: u8) -> IpAddr {
        host(self.machines, number)
    }

    /// The address at which the world outside reaches that node: its own, or one that the gateway translates.
    pub fn public(&self, number: u8) -> IpAddr {
        match self.machines {
            IpNet::V4(_) => host(IpNet::new_assert(quad(203, 0, 113, 0), 24), number),
            IpNet::V6(_) => self.node(number),
        }
    }

    /// Networks that the world outside has already: no load balancer may have an address of theirs.
    pub fn outside(&self) -> Vec<IpNet> {
        let hosts = [self.resolver, self.clients[0], self.clients[1]].map(IpNet::from);
        let public = IpNet::new_assert(self.public(1), self.machines.prefix_len()).trunc();
        hosts.into_iter().chain([self.wire, public]).collect()
    }

    /// The two ends of the wire to the world: the gateway's, the world's.
    pub fn ends(&self) -> [IpAddr; 2] {
        let mut hosts = self.wire.hosts().filter(|ip| *ip != self.wire.network());
        [(); 2].map(|()| hosts.next().expect("a wire has room for two"))
    }
}

/// The address of a network that reads as 10 + `number`, in decimal also where addresses are hexadecimal.
fn host(network: IpNet, number: u8) -> IpAddr {
    let shown = 10 + u32::from(number);
    match network.network() {
        IpAddr::V4(ip) => Ipv4Addr::from_bits(ip.to_bits() + shown).into(),
        IpAddr::V6(ip) => {
            let digits = u128::from_str_radix(&shown.to_string(), 16).expect("decimal digits are hexadecimal ones");
            Ipv6Addr::from_bits(ip.to_bits() + digits).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_whose_it_is_in_either_family() {
        let shown =
            |family, number| (Plan::of(family).node(number).to_string(), Plan::of(family).public(number).to_string());
        assert_eq!(shown(Family::V4, 1), ("10.240.0.11".into(), "203.0.113.11".into()));
        assert_eq!(shown(Family::V6, 244), ("2001:db8:240::254".into(), "2001:db8:240::254".into()));
        let ends = Family::ALL.map(|family| Plan::of(family).ends().map(|ip| ip.to_string()));
        assert_eq!(ends, [["192.0.2.1", "192.0.2.2"], ["2001:db8:192::1", "2001:db8:192::2"]]);
    }
}

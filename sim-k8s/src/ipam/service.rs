//! ClusterIPs and node ports.
//!
//! The lower part of either range is kept for those who ask by number: others get one from there
//! only when the rest is full (KEP-3070 and KEP-3668).

use std::net::IpAddr;

use ipnet::IpNet;

use super::pool::Pool;
use super::{IpamError, last_offset, nth, offset_in};

/// A range of numbers, of which the first ones are kept.
#[derive(Clone, Debug)]
struct Band {
    first: u128,
    /// First one for those who do not care which.
    dynamic: u128,
    last: u128,
    taken: Pool,
}

impl Band {
    fn allocate(&mut self, owner: &str) -> Option<u128> {
        let upper = self.taken.lowest_free(self.dynamic..=self.last);
        let number = upper.or_else(|| self.taken.lowest_free(self.first..=self.last))?;
        self.taken.take(number, owner).expect("it is free");
        Some(number)
    }

    fn release(&mut self, number: u128, owner: &str) {
        if self.taken.owner(number) == Some(owner) {
            self.taken.release(number);
        }
    }

    fn request(&mut self, number: Option<u128>, what: String, range: String, owner: &str) -> Result<(), IpamError> {
        match number.filter(|number| (self.first..=self.last).contains(number)) {
            None => Err(IpamError::OutOfRange { what, range }),
            Some(number) => self.taken.take(number, owner).map_err(|owner| IpamError::Taken { what, owner }),
        }
    }
}

/// The ClusterIPs of a service network.
#[derive(Clone, Debug)]
pub struct ClusterIps {
    net: IpNet,
    offsets: Band,
}

impl ClusterIps {
    /// All of `net` (usually 10.96.0.0/12) but its first and IPv4's broadcast address.
    pub fn new(net: IpNet) -> Self {
        let last = last_offset(net);
        // `calculateRangeOffset` of upstream's ipallocator: a sixteenth of the network, 16 to 256 addresses.
        let size = 1u128.checked_shl(u32::from(net.max_prefix_len() - net.prefix_len())).unwrap_or(u128::MAX);
        let kept = if size <= 16 { 0 } else { (size / 16).clamp(16, 256) };
        Self { net: net.trunc(), offsets: Band { first: 1, dynamic: 1 + kept, last, taken: Pool::default() } }
    }

    /// A free address for `service`; a new one each time.
    ///
    /// # Errors
    /// [`IpamError::Exhausted`] if there is none.
    pub fn allocate(&mut self, service: &str) -> Result<IpAddr, IpamError> {
        let ip = self.offsets.allocate(service).and_then(|offset| nth(self.net, offset));
        ip.ok_or_else(|| IpamError::Exhausted { what: format!("service network {}", self.net) })
    }

    /// Takes `ip` for `service`, which asked for it in `spec.clusterIP`.
    ///
    /// # Errors
    /// [`IpamError::OutOfRange`], and [`IpamError::Taken`] by another service.
    pub fn request(&mut self, ip: IpAddr, service: &str) -> Result<(), IpamError> {
        let range = format!("of the service network {}", self.net);
        self.offsets.request(offset_in(self.net, ip), format!("ClusterIP {ip}"), range, service)
    }

    /// `service` gives `ip` back; nothing if it does not have it.
    pub fn release(&mut self, ip: IpAddr, service: &str) {
        if let Some(offset) = offset_in(self.net, ip) {
            self.offsets.release(offset, service);
        }
    }
}

/// The node ports of a cluster.
#[derive(Clone, Debug)]
pub struct NodePorts {
    ports: Band,
}

impl Default for NodePorts {
    /// 30000 to 32767 (`--service-node-port-range`).
    fn default() -> Self {
        // `calculateRangeOffset` of upstream's portallocator: a 32nd of the range, 16 to 128 ports.
        let (first, last) = (30000, 32767);
        let kept = (last - first + 1u128) / 32;
        Self { ports: Band { first, dynamic: first + kept.clamp(16, 128), last, taken: Pool::default() } }
    }
}

impl NodePorts {
    fn range(&self) -> String {
        format!("{}-{}", self.ports.first, self.ports.last)
    }

    /// A free port for `service`; a new one each time.
    ///
    /// # Errors
    /// [`IpamError::Exhausted`] if there is none.
    pub fn allocate(&mut self, service: &str) -> Result<u16, IpamError> {
        let port = self.ports.allocate(service).and_then(|port| u16::try_from(port).ok());
        port.ok_or_else(|| IpamError::Exhausted { what: format!("node port range {}", self.range()) })
    }

    /// Takes `port` for `service`, which asked for it. Two ports of one service may share a number
    /// if their protocols differ.
    ///
    /// # Errors
    /// [`IpamError::OutOfRange`], and [`IpamError::Taken`] by another service.
    pub fn request(&mut self, port: u16, service: &str) -> Result<(), IpamError> {
        let range = self.range();
        self.ports.request(Some(port.into()), format!("node port {port}"), range, service)
    }

    /// `service` gives `port` back; nothing if it does not have it.
    pub fn release(&mut self, port: u16, service: &str) {
        self.ports.release(port.into(), service);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(net: &str) -> ClusterIps {
        ClusterIps::new(net.parse().expect("a network"))
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn who_does_not_ask_gets_an_address_above_the_kept_part() {
        let mut ips = ips("10.96.0.0/12");
        assert_eq!(ips.allocate("a"), Ok(ip("10.96.1.1")));
        assert_eq!(ips.request(ip("10.96.1.2"), "b"), Ok(()));
        assert_eq!(ips.allocate("c"), Ok(ip("10.96.1.3")));
        ips.release(ip("10.96.1.1"), "b");
        ips.release(ip("10.96.1.1"), "a");
        assert_eq!(ips.allocate("d"), Ok(ip("10.96.1.1")));
    }

    #[test]
    fn the_kept_part_is_used_when_the_rest_is_full_and_then_there_is_nothing() {
        let mut ips = ips("10.0.0.0/27");
        let given: Vec<_> = (0..30).map(|i| ips.allocate(&format!("s{i}")).expect("a free address")).collect();
        assert_eq!(
            (given[0], given[13], given[14], given[29]),
            (ip("10.0.0.17"), ip("10.0.0.30"), ip("10.0.0.1"), ip("10.0.0.16"))
        );
        assert_eq!(ips.allocate("s30").expect_err("full").to_string(), "service network 10.0.0.0/27 is exhausted");
    }

    #[test]
    fn two_services_cannot_have_one_cluster_ip() {
        let mut ips = ips("10.96.0.0/12");
        ips.request(ip("10.96.0.7"), "ns/a").expect("free");
        let error = ips.request(ip("10.96.0.7"), "ns/b").expect_err("taken");
        assert_eq!(error.to_string(), "ClusterIP 10.96.0.7 is already allocated to ns/a");
        for outside in ["10.95.255.255", "10.96.0.0", "10.111.255.255", "10.112.0.0", "fd00::1"] {
            assert!(matches!(ips.request(ip(outside), "ns/c"), Err(IpamError::OutOfRange { .. })), "{outside}");
        }
    }

    #[test]
    fn node_ports_begin_above_the_kept_part_and_conflicts_are_named() {
        let mut ports = NodePorts::default();
        assert_eq!(ports.allocate("a"), Ok(30086));
        ports.request(30080, "ns/dns").expect("free");
        ports.request(30080, "ns/dns").expect("its other protocol");
        let error = ports.request(30080, "ns/b").expect_err("taken");
        assert_eq!(error.to_string(), "node port 30080 is already allocated to ns/dns");
        let error = ports.request(80, "ns/b").expect_err("outside");
        assert_eq!(error.to_string(), "node port 80 is not in the valid range 30000-32767");
    }

    #[test]
    fn node_ports_run_out() {
        let mut ports = NodePorts::default();
        let given: Vec<_> = (0..2768).map(|_| ports.allocate("a").expect("a free port")).collect();
        assert_eq!((given[2681], given[2682], given[2767]), (32767, 30000, 30085));
        assert!(ports.allocate("a").is_err());
        ports.release(31000, "a");
        assert_eq!(ports.allocate("b"), Ok(31000));
    }

    #[test]
    fn the_largest_network_does_not_overflow() {
        assert_eq!(ips("::/0").allocate("a"), Ok(ip("::101")));
        assert!(ips("10.0.0.1/32").allocate("a").is_err());
    }
}

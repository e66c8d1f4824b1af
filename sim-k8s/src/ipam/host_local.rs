//! An address for each pod of a node: the host-local plugin.

use std::net::IpAddr;

use ipnet::IpNet;

use super::pool::Pool;
use super::{IpamError, last_offset, nth, offset_in};

/// The addresses of one node's pod network.
///
/// They go round: the search begins after the address given out last, so a pod that crashes again
/// and again does not get the same address before all others had their turn (upstream `GetIter`).
#[derive(Clone, Debug)]
pub struct HostLocal {
    net: IpNet,
    /// Who has which offset in `net`.
    offsets: Pool,
    /// Offset given out last.
    last: u128,
}

/// Offset of the gateway, the bridge's own address.
const GATEWAY: u128 = 1;

impl HostLocal {
    /// All of `net` but its first address, the gateway after it and IPv4's broadcast address.
    pub fn new(net: IpNet) -> Self {
        Self { net: net.trunc(), offsets: Pool::default(), last: GATEWAY }
    }

    /// The next free address, for `owner` (a pod sandbox).
    ///
    /// # Errors
    /// [`IpamError::Duplicate`] if `owner` has one, [`IpamError::Exhausted`] if all are taken.
    pub fn allocate(&mut self, owner: &str) -> Result<IpAddr, IpamError> {
        if let Some(ip) = self.offsets.number_of(owner).and_then(|offset| nth(self.net, offset)) {
            return Err(IpamError::Duplicate { owner: owner.to_owned(), what: ip.to_string() });
        }
        let after = self.offsets.lowest_free(self.last + 1..=last_offset(self.net));
        let free = after.or_else(|| self.offsets.lowest_free(GATEWAY + 1..=self.last));
        let Some((offset, ip)) = free.and_then(|offset| Some((offset, nth(self.net, offset)?))) else {
            return Err(IpamError::Exhausted { what: format!("pod network {} of this node", self.net) });
        };
        self.offsets.take(offset, owner).expect("it is free");
        self.last = offset;
        Ok(ip)
    }

    /// Gives back what `owner` has; nothing if it has none.
    pub fn release(&mut self, owner: &str) {
        self.offsets.release_all_of(owner);
    }

    /// Who has `ip`.
    pub fn owner(&self, ip: IpAddr) -> Option<&str> {
        self.offsets.owner(offset_in(self.net, ip)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> HostLocal {
        HostLocal::new("10.244.1.0/24".parse().expect("a network"))
    }

    fn ip(last: u8) -> IpAddr {
        [10, 244, 1, last].into()
    }

    #[test]
    fn the_first_pod_gets_dot_2_and_a_freed_address_waits_for_its_turn() {
        let mut node = node();
        assert_eq!(node.allocate("a"), Ok(ip(2)));
        assert_eq!(node.allocate("b"), Ok(ip(3)));
        node.release("a");
        assert_eq!(node.allocate("c"), Ok(ip(4)));
        assert_eq!((node.owner(ip(2)), node.owner(ip(4))), (None, Some("c")));
    }

    #[test]
    fn after_dot_254_it_begins_again_at_dot_2() {
        let mut node = node();
        for i in 2..=254 {
            assert_eq!(node.allocate(&format!("p{i}")), Ok(ip(i)));
        }
        assert!(matches!(node.allocate("more"), Err(IpamError::Exhausted { .. })));
        node.release("p7");
        node.release("p3");
        assert_eq!(node.allocate("x"), Ok(ip(3)));
        node.release("p254");
        assert_eq!(node.allocate("y"), Ok(ip(7)), "after the last one given out, not the lowest");
        assert_eq!(node.allocate("z"), Ok(ip(254)));
    }

    #[test]
    fn a_sandbox_has_one_address() {
        let mut node = node();
        node.allocate("a").expect("a free address");
        assert_eq!(node.allocate("a").expect_err("it has one").to_string(), "a already has 10.244.1.2");
    }

    #[test]
    fn a_network_without_room_is_exhausted_at_once() {
        for net in ["10.0.0.0/31", "10.0.0.0/32", "fd00::/127"] {
            let mut node = HostLocal::new(net.parse().expect("a network"));
            assert!(node.allocate("a").is_err(), "{net}");
        }
    }
}

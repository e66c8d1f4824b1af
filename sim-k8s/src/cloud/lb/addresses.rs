//! Which Service has which address of the cloud.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::api::ObjectKey;

/// The addresses that are given out.
#[derive(Clone, Debug)]
pub(super) struct Addresses {
    network: IpNet,
    /// Networks of others, from which none is given.
    elsewhere: Vec<IpNet>,
    owners: BTreeMap<IpAddr, ObjectKey>,
}

impl Addresses {
    pub(super) fn new(network: IpNet, elsewhere: Vec<IpNet>) -> Self {
        Self { network, elsewhere, owners: BTreeMap::new() }
    }

    /// An address for `service`: the one it asks for, or the lowest free one. It keeps the one it has.
    ///
    /// # Errors
    /// Why it gets none, in words.
    pub(super) fn give(&mut self, service: &ObjectKey, asked: Option<IpAddr>) -> Result<IpAddr, String> {
        let own = self.owners.iter().find(|(_, owner)| *owner == service).map(|(ip, _)| *ip);
        if let Some(own) = own
            && asked.is_none_or(|asked| asked == own)
        {
            return Ok(own);
        }
        let ip = match asked {
            Some(ip) => match self.owners.get(&ip) {
                Some(owner) => return Err(format!("address {ip} is {owner}'s")),
                None if !self.is_usable(ip) => return Err(format!("{ip} is no address that a load balancer can have")),
                None => ip,
            },
            None => {
                let mut free = self.network.hosts().filter(|ip| *ip != self.network.network());
                let free = free.find(|ip| !self.owners.contains_key(ip));
                free.ok_or_else(|| format!("the cloud's addresses {} are exhausted", self.network))?
            }
        };
        self.release(service);
        self.owners.insert(ip, service.clone());
        Ok(ip)
    }

    /// `service` has no address any more.
    pub(super) fn release(&mut self, service: &ObjectKey) {
        self.owners.retain(|_, owner| owner != service);
    }

    /// One family, the cluster's primary one (docs/differences.md), and an address of one machine.
    fn is_usable(&self, ip: IpAddr) -> bool {
        let of_a_machine = ip.is_ipv4() == self.network.addr().is_ipv4()
            && !(ip.is_loopback() || ip.is_multicast() || ip.is_unspecified());
        of_a_machine && !self.elsewhere.iter().any(|network| network.contains(&ip))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_services_until_it_gives_it_back() {
        let mut addresses = Addresses::new(
            "198.18.0.0/30".parse().expect("a network"),
            vec!["10.240.0.0/24".parse().expect("a network")],
        );
        let [a, b, c] = ["a", "b", "c"].map(|name| ObjectKey::new("default", name));
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        assert_eq!(addresses.give(&a, None), Ok(ip("198.18.0.1")));
        assert_eq!(addresses.give(&a, None), Ok(ip("198.18.0.1")), "it keeps what it has");
        assert_eq!(addresses.give(&b, Some(ip("198.18.0.1"))), Err("address 198.18.0.1 is default/a's".into()));
        assert_eq!(addresses.give(&b, Some(ip("192.0.2.80"))), Ok(ip("192.0.2.80")), "of its own");
        assert_eq!(addresses.give(&b, None), Ok(ip("192.0.2.80")));
        assert_eq!(addresses.give(&c, None), Ok(ip("198.18.0.2")));
        let d = ObjectKey::new("default", "d");
        assert_eq!(addresses.give(&d, None), Err("the cloud's addresses 198.18.0.0/30 are exhausted".into()));
        addresses.release(&a);
        assert_eq!(addresses.give(&d, None), Ok(ip("198.18.0.1")));
        for bad in ["127.0.0.1", "224.0.0.1", "10.240.0.11", "2001:db8::1"] {
            assert!(addresses.give(&d, Some(ip(bad))).is_err(), "{bad}");
        }
    }
}

//! Which Service has which address of the cloud.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use sim_core::wire::ip::Family;

use crate::api::ObjectKey;

/// The addresses that are given out.
#[derive(Clone, Debug)]
pub(super) struct Addresses {
    /// Where they come from, one network a family.
    networks: Vec<IpNet>,
    /// Networks of others, from which none is given.
    elsewhere: Vec<IpNet>,
    owners: BTreeMap<IpAddr, ObjectKey>,
}

impl Addresses {
    pub(super) fn new(networks: Vec<IpNet>, elsewhere: Vec<IpNet>) -> Self {
        Self { networks, elsewhere, owners: BTreeMap::new() }
    }

    /// An address of each of its families for `service`, IPv4 first, whatever it prefers (ingress-gce
    /// `ensureDualStackResources`); other addresses it has no more.
    ///
    /// # Errors
    /// Why it gets none, in words.
    pub(super) fn give(
        &mut self,
        service: &ObjectKey,
        families: &[Family],
        asked: Option<IpAddr>,
    ) -> Result<Vec<IpAddr>, String> {
        if let Some(ip) = asked.filter(|ip| !families.contains(&Family::of(*ip))) {
            return Err(unusable(ip));
        }
        let mut given = Vec::new();
        for family in Family::ALL.into_iter().filter(|family| families.contains(family)) {
            given.push(self.give_one(service, family, asked.filter(|ip| family.has(ip)))?);
        }
        self.owners.retain(|ip, owner| owner != service || given.contains(ip));
        Ok(given)
    }

    /// The address it asks for, or the lowest free one. It keeps the one it has.
    fn give_one(&mut self, service: &ObjectKey, family: Family, asked: Option<IpAddr>) -> Result<IpAddr, String> {
        let own = self.owners.iter().find(|(ip, owner)| *owner == service && family.has(ip)).map(|(ip, _)| *ip);
        if let Some(own) = own
            && asked.is_none_or(|asked| asked == own)
        {
            return Ok(own);
        }
        let ip = match asked {
            Some(ip) => match self.owners.get(&ip) {
                Some(owner) => return Err(format!("address {ip} is {owner}'s")),
                None if !self.is_usable(ip) => return Err(unusable(ip)),
                None => ip,
            },
            None => {
                let network = self.networks.iter().find(|network| family.has_net(network));
                let network =
                    network.ok_or_else(|| format!("the load balancers of this cloud do not speak {family}"))?;
                let mut free = network.hosts().filter(|ip| *ip != network.network());
                let free = free.find(|ip| !self.owners.contains_key(ip));
                free.ok_or_else(|| format!("the cloud's addresses {network} are exhausted"))?
            }
        };
        self.owners.insert(ip, service.clone());
        Ok(ip)
    }

    /// `service` has no address any more.
    pub(super) fn release(&mut self, service: &ObjectKey) {
        self.owners.retain(|_, owner| owner != service);
    }

    /// An address of one machine, in a family of this cloud.
    fn is_usable(&self, ip: IpAddr) -> bool {
        let is_spoken = self.networks.iter().any(|network| Family::of(ip).has_net(network));
        let of_a_machine = !(ip.is_loopback() || ip.is_multicast() || ip.is_unspecified());
        is_spoken && of_a_machine && !self.elsewhere.iter().any(|network| network.contains(&ip))
    }
}

fn unusable(ip: IpAddr) -> String {
    format!("{ip} is no address that a load balancer can have")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn nets<const N: usize>(texts: [&str; N]) -> Vec<IpNet> {
        texts.map(|text| text.parse().expect("a network")).to_vec()
    }

    #[test]
    fn an_address_is_one_services_until_it_gives_it_back() {
        let mut addresses = Addresses::new(nets(["198.18.0.0/30"]), nets(["10.240.0.0/24"]));
        let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| ObjectKey::new("default", name));
        let mut give = |service: &ObjectKey, asked: Option<&str>| {
            let given = addresses.give(service, &[Family::V4], asked.map(ip));
            given.map(|ips| ips[0].to_string())
        };
        assert_eq!(give(&a, None), Ok("198.18.0.1".into()));
        assert_eq!(give(&a, None), Ok("198.18.0.1".into()), "it keeps what it has");
        assert_eq!(give(&b, Some("198.18.0.1")), Err("address 198.18.0.1 is default/a's".into()));
        assert_eq!(give(&b, Some("192.0.2.80")), Ok("192.0.2.80".into()), "of its own");
        assert_eq!(give(&b, None), Ok("192.0.2.80".into()));
        assert_eq!(give(&c, None), Ok("198.18.0.2".into()));
        assert_eq!(give(&d, None), Err("the cloud's addresses 198.18.0.0/30 are exhausted".into()));
        for bad in ["127.0.0.1", "224.0.0.1", "10.240.0.11", "2001:db8::1"] {
            assert_eq!(give(&d, Some(bad)), Err(unusable(ip(bad))));
        }
        addresses.release(&a);
        assert_eq!(addresses.give(&d, &[Family::V4], None), Ok(vec![ip("198.18.0.1")]));
    }

    #[test]
    fn a_service_of_both_families_has_an_address_of_each_and_gives_one_back_with_its_family() {
        let mut addresses = Addresses::new(nets(["2001:db8:198:18::/112", "198.18.0.0/30"]), Vec::new());
        let [a, b] = ["a", "b"].map(|name| ObjectKey::new("default", name));
        let both = [Family::V6, Family::V4];
        assert_eq!(addresses.give(&a, &both, None), Ok(vec![ip("198.18.0.1"), ip("2001:db8:198:18::1")]));
        let asked = Some(ip("2001:db8::5"));
        assert_eq!(addresses.give(&a, &both, asked), Ok(vec![ip("198.18.0.1"), ip("2001:db8::5")]));
        assert_eq!(addresses.give(&a, &[Family::V6], None), Ok(vec![ip("2001:db8::5")]));
        assert_eq!(addresses.give(&b, &[Family::V4], None), Ok(vec![ip("198.18.0.1")]), "it is free again");
    }
}

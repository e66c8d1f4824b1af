//! The objects of the cluster's DNS: Service `kube-dns` and Deployment `coredns`.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::api::{ClusterIp, Container, ObjectKey, Objects, Service, Workload};
use crate::manifest::{SourceFile, load};

/// As kubeadm installs it.
const MANIFEST: &str = include_str!("addon.yaml");

/// The address of the cluster's DNS: the tenth of the Services' network (`GetDNSIP`, cmd/kubeadm/app/constants/constants.go).
pub fn nameserver(service_network: IpNet) -> IpAddr {
    match service_network.network() {
        IpAddr::V4(ip) => std::net::Ipv4Addr::from_bits(ip.to_bits().saturating_add(10)).into(),
        IpAddr::V6(ip) => std::net::Ipv6Addr::from_bits(ip.to_bits().saturating_add(10)).into(),
    }
}

/// Adds the cluster's DNS, at `nameserver`, to the objects of a cluster that do not bring their own: whoever has a Service
/// `kube-system/kube-dns` has one, and a Deployment `kube-system/coredns` is left as it is.
pub fn add_to(objects: &mut Objects, nameserver: IpAddr) {
    let (service, deployment) = addon(nameserver);
    let key = ObjectKey::new("kube-system", "kube-dns");
    if objects.services.iter().any(|service| service.key == key) {
        return;
    }
    objects.services.push(service);
    if !objects.workloads.iter().any(|workload| workload.reference() == deployment.reference()) {
        objects.workloads.push(deployment);
    }
}

fn addon(nameserver: IpAddr) -> (Service, Workload) {
    let file = SourceFile { name: "addon.yaml".into(), text: MANIFEST.into() };
    let mut objects = load(&[file]).expect("our own manifest is without mistakes").objects;
    let mut service = objects.services.pop().expect("it has a Service");
    service.cluster_ip = ClusterIp::Fixed(vec![nameserver]);
    (service, objects.workloads.pop().expect("it has a Deployment"))
}

/// Whether CoreDNS runs in this container: its image says so, whoever's registry it comes from.
pub fn runs_coredns(container: &Container) -> bool {
    let name = container.image.rsplit('/').next().unwrap_or_default();
    name.split([':', '@']).next() == Some("coredns")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::DnsPolicy;

    #[test]
    fn a_cluster_without_dns_gets_one() {
        let mut objects = Objects::default();
        add_to(&mut objects, nameserver("10.96.0.0/12".parse().unwrap()));
        let [service] = objects.services.as_slice() else { panic!("{objects:?}") };
        assert_eq!(service.cluster_ip, ClusterIp::Fixed(vec!["10.96.0.10".parse().unwrap()]));
        let [deployment] = objects.workloads.as_slice() else { panic!("{objects:?}") };
        assert_eq!((deployment.replicas, deployment.template.dns.policy), (2, DnsPolicy::Default));
        assert!(runs_coredns(&deployment.template.containers[0]));
        let before = objects.clone();
        add_to(&mut objects, nameserver("10.96.0.0/12".parse().unwrap()));
        assert_eq!(objects, before, "it brings its own now");
    }

    #[test]
    fn images_are_known_by_their_names() {
        let runs = |image: &str| runs_coredns(&Container { image: image.into(), ..Container::default() });
        assert!(runs("coredns/coredns:1.11.1") && runs("registry.example:5000/coredns@sha256:0") && runs("coredns"));
        assert!(!runs("nginx") && !runs("coredns/exporter:1") && !runs(""));
    }
}

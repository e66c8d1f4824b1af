//! What names of the cluster mean: CoreDNS' `kubernetes` plugin with kubeadm's settings.
//!
//! ```text
//! kubernetes cluster.local in-addr.arpa ip6.arpa { pods insecure; fallthrough in-addr.arpa ip6.arpa; ttl 30 }
//! ```
//!
//! [`Records`] keeps the objects and finds what a name stands for; `answer` makes records of it.

mod answer;
mod parse;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use hickory_proto::rr::Name;
use sim_core::engine::time::Instant;

use super::name;
use crate::api::{ClusterIp, EndpointSlice, Object, ObjectKey, Protocol, Service, ServiceType};
use crate::apiserver::{Cache, Change};
use parse::{Asked, Kind};

pub use answer::Answer;

/// Seconds that a record may be kept (`ttl 30` of kubeadm's Corefile; the plugin's own default is 5).
const TTL: u32 = 30;

/// The names of a cluster and what they stand for.
#[derive(Clone, Debug)]
pub struct Records {
    /// The cluster's zone, then the reverse ones.
    zones: [Name; 3],
    /// The server's own addresses: by them it finds its own Service.
    own: Vec<IpAddr>,
    namespaces: BTreeSet<String>,
    objects: Cache,
    /// The slices of each Service by name.
    slices_of: BTreeMap<ObjectKey, BTreeSet<ObjectKey>>,
    /// When something last changed, in seconds: the zone's serial number.
    modified: u32,
    /// Everything has been told that there is.
    synced: bool,
}

/// The name does not exist, of any type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct NoSuchName;

/// One thing a name stands for (`msg.Service`, plugin/etcd/msg/service.go).
#[derive(Clone, PartialEq, Eq, Debug)]
struct Entry {
    host: Host,
    /// `None`: it has no port, which matters to SRV alone.
    port: Option<u16>,
    /// The labels of its own name before the zone.
    owner: Vec<String>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Host {
    Address(IpAddr),
    /// Another name, as the Service writes it.
    Alias(Name),
}

impl Records {
    /// No records yet, of a cluster with this domain (`cluster.local`), in which these namespaces exist, for a server that has
    /// the addresses `own`.
    ///
    /// # Panics
    /// If `domain` is no domain name.
    pub fn new(domain: &str, namespaces: impl IntoIterator<Item = String>, own: Vec<IpAddr>) -> Self {
        let zone = |text: &str| name::absolute(text).expect("a domain name");
        Self {
            zones: [zone(domain), zone("in-addr.arpa"), zone("ip6.arpa")],
            own,
            namespaces: namespaces.into_iter().collect(),
            objects: Cache::default(),
            slices_of: BTreeMap::new(),
            modified: 0,
            synced: false,
        }
    }

    /// Everything has been told that there is: what is not known does not exist.
    pub fn set_synced(&mut self) {
        self.synced = true;
    }

    /// Whether everything has been told that there is.
    pub fn is_synced(&self) -> bool {
        self.synced
    }

    /// Something changed. What is neither a Service nor an EndpointSlice has no records.
    pub fn apply(&mut self, now: Instant, change: &Change) {
        self.modified = (now.as_nanos() / 1_000_000_000) as u32;
        let before = self.objects.apply(change);
        if let Some(Object::EndpointSlice(slice)) = before
            && let Some(service) = &slice.service
        {
            let slices = self.slices_of.entry(service.clone()).or_default();
            slices.remove(&slice.key);
            if slices.is_empty() {
                self.slices_of.remove(service);
            }
        }
        if !change.is_deletion() {
            self.namespaces.insert(change.object.key().namespace.clone());
            if let Object::EndpointSlice(slice) = &change.object
                && let Some(service) = &slice.service
            {
                self.slices_of.entry(service.clone()).or_default().insert(slice.key.clone());
            }
        }
    }

    /// What a name stands for (`Records`, plugin/kubernetes/kubernetes.go).
    fn find(&self, asked: &Asked<'_>) -> Result<Vec<Entry>, NoSuchName> {
        let exists = |namespace: &str| self.namespaces.contains(namespace).then_some(()).ok_or(NoSuchName);
        match asked {
            Asked::Apex => Ok(Vec::new()),
            Asked::Namespace(namespace) => exists(namespace).map(|()| Vec::new()),
            Asked::Object(object) => {
                exists(object.namespace)?;
                match object.kind {
                    Kind::Pod => find_pod(object),
                    Kind::Service => self.find_service(object),
                }
            }
        }
    }

    /// `findServices`. The name exists if there is an entry for it.
    fn find_service(&self, asked: &parse::Object<'_>) -> Result<Vec<Entry>, NoSuchName> {
        let key = ObjectKey::new(asked.namespace, asked.name);
        let service = self.objects.services.get(&key).ok_or(NoSuchName)?;
        let owner = || vec![key.name.clone(), key.namespace.clone(), "svc".to_owned()];
        let entries: Vec<Entry> = if let ServiceType::ExternalName(target) = &service.service_type {
            // A target that looks like an address is none of DNS' business.
            let target = name::absolute(target).filter(|_| target.parse::<IpAddr>().is_err());
            let plain = asked.endpoint.is_none() && asked.port.is_none();
            let entry = |target| Entry { host: Host::Alias(target), port: Some(0), owner: owner() };
            target.filter(|_| plain).map(entry).into_iter().collect()
        } else if service.is_headless() || asked.endpoint.is_some() {
            self.find_endpoints(&key, asked)
        } else {
            let no_port = [("", None, None)];
            let ports = service.ports.iter().map(|port| (port.name.as_str(), Some(port.protocol), Some(port.port)));
            let ports = ports.chain(no_port.into_iter().filter(|_| service.ports.is_empty()));
            let ports = ports.filter(|(name, protocol, _)| asked.wants(name, *protocol));
            let at = |port| move |ip: &IpAddr| Entry { host: Host::Address(*ip), port, owner: owner() };
            ports.flat_map(|(_, _, port)| cluster_ips(service).iter().map(at(port))).collect()
        };
        if entries.is_empty() { Err(NoSuchName) } else { Ok(entries) }
    }

    fn find_endpoints(&self, service: &ObjectKey, asked: &parse::Object<'_>) -> Vec<Entry> {
        let mut found = Vec::new();
        for slice in self.slices_of(service) {
            for (ip, hostname) in ready(slice) {
                if asked.endpoint.is_some_and(|wanted| !wanted.eq_ignore_ascii_case(&hostname)) {
                    continue;
                }
                let owner =
                    || vec![hostname.clone(), service.name.clone(), service.namespace.clone(), "svc".to_owned()];
                let ports = slice.ports.iter().filter(|port| asked.wants(&port.name, Some(port.protocol)));
                let ports = ports.map(|port| Some(port.port));
                let no_port = (slice.ports.is_empty() && asked.wants("", None)).then_some(None);
                let entry = |port| Entry { host: Host::Address(ip), port, owner: owner() };
                found.extend(ports.chain(no_port).map(entry));
            }
        }
        found
    }

    fn slices_of(&self, service: &ObjectKey) -> impl Iterator<Item = &EndpointSlice> {
        self.slices_of.get(service).into_iter().flatten().map(|key| &*self.objects.endpoint_slices[key])
    }

    /// The names of an address, as labels before the zone: its Service's, else one for each endpoint with this address
    /// (`serviceRecordForIP`, plugin/kubernetes/reverse.go).
    fn names_of(&self, ip: IpAddr) -> Vec<Vec<String>> {
        let service = self.objects.services.values().find(|service| cluster_ips(service).contains(&ip));
        if let Some(service) = service {
            return vec![vec![service.key.name.clone(), service.key.namespace.clone(), "svc".to_owned()]];
        }
        let endpoints =
            self.objects.endpoint_slices.values().flat_map(|slice| ready(slice).map(move |endpoint| (slice, endpoint)));
        let here = endpoints.filter(|(_, (address, _))| *address == ip);
        let name = |(slice, (_, hostname)): (&Arc<EndpointSlice>, (IpAddr, String))| {
            let service = slice.service.as_ref()?;
            Some(vec![hostname, service.name.clone(), service.namespace.clone(), "svc".to_owned()])
        };
        here.filter_map(name).collect()
    }

    /// The server's own Services, each address with the labels of its name; without any, the server itself under a name that
    /// always exists (`nsAddrs`, plugin/kubernetes/ns.go).
    fn name_servers(&self) -> Vec<(Vec<String>, IpAddr)> {
        let mine = |slice: &&Arc<EndpointSlice>| ready(slice).any(|(ip, _)| self.own.contains(&ip));
        let mut found = Vec::new();
        let mut is_endpoint = false;
        for slice in self.objects.endpoint_slices.values().filter(mine) {
            is_endpoint = true;
            let Some(service) = slice.service.as_ref().and_then(|key| self.objects.services.get(key)) else { continue };
            let labels = || vec![service.key.name.clone(), service.key.namespace.clone(), "svc".to_owned()];
            if service.is_headless() {
                found.extend(ready(slice).map(|(ip, hostname)| ([vec![hostname], labels()].concat(), ip)));
            } else {
                found.extend(cluster_ips(service).iter().map(|ip| (labels(), *ip)));
            }
        }
        if !is_endpoint {
            found.extend(self.own.iter().map(|ip| (vec!["ns".to_owned(), "dns".to_owned()], *ip)));
        }
        found
    }
}

/// `findPods` with `pods insecure`: whoever asks for an address is given it.
fn find_pod(asked: &parse::Object<'_>) -> Result<Vec<Entry>, NoSuchName> {
    let ip = name::undashed(asked.name).ok_or(NoSuchName)?;
    let owner = vec![asked.name.to_owned(), asked.namespace.to_owned(), "pod".to_owned()];
    Ok(vec![Entry { host: Host::Address(ip), port: Some(0), owner }])
}

impl parse::Object<'_> {
    /// Whether a port of this name and protocol is asked for (`matchPortAndProtocol`).
    fn wants(&self, name: &str, protocol: Option<Protocol>) -> bool {
        let Some((asked_name, asked_protocol)) = self.port else { return true };
        let protocol = protocol.map_or("", Protocol::in_rules);
        (asked_name.is_empty() || asked_name.eq_ignore_ascii_case(name))
            && (asked_protocol.is_empty() || asked_protocol.eq_ignore_ascii_case(protocol))
    }
}

/// The addresses of a Service that is no alias and not headless.
fn cluster_ips(service: &Service) -> &[IpAddr] {
    match &service.cluster_ip {
        ClusterIp::Fixed(ips) if !matches!(service.service_type, ServiceType::ExternalName(_)) => ips,
        _ => &[],
    }
}

/// The endpoints that DNS tells of, each with its host name (object/endpoint.go, `endpointHostname`).
fn ready(slice: &EndpointSlice) -> impl Iterator<Item = (IpAddr, String)> {
    let ready = slice.endpoints.iter().filter(|endpoint| endpoint.ready);
    ready.map(|endpoint| {
        let hostname = endpoint.hostname.clone().filter(|name| !name.is_empty());
        (endpoint.address, hostname.unwrap_or_else(|| name::dashed(endpoint.address)))
    })
}

#[cfg(test)]
mod tests;

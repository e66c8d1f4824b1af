//! How pods resolve names.

use k8s_openapi::api::core::v1::PodSpec;

use crate::api::{DnsPolicy, PodDns};

use super::check::Check;
use super::names;

/// Most name servers of a pod (`MaxDNSNameservers`, pkg/apis/core/validation).
const MAX_NAMESERVERS: usize = 3;
/// Most domains of a pod's search list (`MaxDNSSearchPaths`).
const MAX_SEARCHES: usize = 32;

impl Check<'_> {
    /// How the pod whose `spec` stands under `path` resolves names (`validateDNSPolicy`, `validatePodDNSConfig`).
    pub(super) fn dns(&mut self, path: &str, spec: &PodSpec) -> PodDns {
        let policies = [
            ("ClusterFirst", DnsPolicy::ClusterFirst),
            ("ClusterFirstWithHostNet", DnsPolicy::ClusterFirstWithHostNet),
            ("Default", DnsPolicy::Default),
            ("None", DnsPolicy::None),
        ];
        let policy =
            self.one_of(&format!("{path}.dnsPolicy"), spec.dns_policy.as_deref(), &policies, DnsPolicy::ClusterFirst);
        let mut dns = PodDns { policy, ..PodDns::default() };
        self.dns_config(&format!("{path}.dnsConfig"), spec, &mut dns);
        for (index, from) in spec.host_aliases.iter().flatten().enumerate() {
            let at = |field: &str| format!("{path}.hostAliases[{index}].{field}");
            let address = self.address(&at("ip"), &from.ip);
            for (nth, name) in from.hostnames.iter().flatten().enumerate() {
                self.name(&format!("{}[{nth}]", at("hostnames")), name, names::dns_subdomain);
                dns.host_aliases.entry(name.clone()).or_default().extend(address);
            }
        }
        dns
    }

    fn dns_config(&mut self, path: &str, spec: &PodSpec, dns: &mut PodDns) {
        let config = spec.dns_config.clone().unwrap_or_default();
        for (index, text) in config.nameservers.iter().flatten().enumerate() {
            dns.nameservers.extend(self.address(&format!("{path}.nameservers[{index}]"), text));
        }
        if dns.nameservers.len() > MAX_NAMESERVERS {
            self.error(&format!("{path}.nameservers"), "there are too many", "resolvers ask three at most");
        }
        if dns.policy == DnsPolicy::None && dns.nameservers.is_empty() {
            self.error(&format!("{path}.nameservers"), "dnsPolicy None needs at least one", "name a server");
        }
        let searches = config.searches.unwrap_or_default();
        if searches.len() > MAX_SEARCHES {
            self.error(&format!("{path}.searches"), "there are too many", format!("name at most {MAX_SEARCHES}"));
        }
        for (index, domain) in searches.into_iter().enumerate() {
            // A domain may end in a dot, and may be the root alone; labels may contain underscores.
            let bare = domain.strip_suffix('.').unwrap_or(&domain).replace('_', "-");
            if !bare.is_empty() {
                self.name(&format!("{path}.searches[{index}]"), bare.trim_matches('-'), names::dns_subdomain);
            }
            dns.searches.push(domain);
        }
        for (index, option) in config.options.into_iter().flatten().enumerate() {
            match option.name.filter(|name| !name.is_empty()) {
                Some(name) => drop(dns.options.insert(name, option.value.unwrap_or_default())),
                None => self.error(&format!("{path}.options[{index}].name"), "it is missing", "name the option"),
            }
        }
    }
}

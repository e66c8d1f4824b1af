//! One word, one thing: identifiers that have a better name, and functions that are twins of each other.

use std::collections::BTreeMap;

use super::Violation;
use super::repo::{Repo, Source};
use super::token::Kind;

/// Words of Kubernetes: the network knows none of them. Tests may tell a story with them.
const KUBERNETES: [&str; 15] = [
    "configmap",
    "daemonset",
    "deployment",
    "deployments",
    "kube",
    "kubelet",
    "kubernetes",
    "namespace",
    "namespaces",
    "pod",
    "pods",
    "replicaset",
    "service",
    "services",
    "statefulset",
];

/// Words of the network, each with the one we use.
const INSTEAD: [(&str, &str); 12] = [
    ("adapter", "dev"),
    ("decapsulation", "decap"),
    ("encapsulation", "encap"),
    ("iface", "dev"),
    ("interface", "dev"),
    ("interfaces", "devs"),
    ("neighbor", "neigh"),
    ("neighbors", "neighs"),
    ("nexthop", "next_hop"),
    ("nic", "dev"),
    ("netnamespace", "netns"),
    ("skb", "packet"),
];

/// The file where the banned word `interface` is the right one: pcapng's own.
const PCAPNG: &str = "sim-core/src/capture/pcapng.rs";

/// Segments of a name that tell the address family, as IPv4 and as IPv6.
const FAMILIES: [(&str, &str); 5] =
    [("v4", "v6"), ("ipv4", "ipv6"), ("ip4", "ip6"), ("inet", "inet6"), ("icmp", "icmpv6")];

/// Every word that has a better one, and every twin.
pub fn check(repo: &Repo) -> Vec<Violation> {
    let mut found: Vec<_> = repo.sources.iter().flat_map(vocabulary).collect();
    found.extend(twins(repo));
    found
}

fn vocabulary(source: &Source) -> Vec<Violation> {
    if source.package() != "sim-core" || source.path == PCAPNG {
        return Vec::new();
    }
    let mut found = Vec::new();
    for at in source.product().filter(|at| source.code[*at].kind == Kind::Ident) {
        let token = &source.code[at];
        for word in segments(&token.text) {
            let instead = INSTEAD.iter().find(|(banned, _)| word == *banned);
            let message = match instead {
                Some((_, instead)) => format!("{}: the word is {instead}", token.text),
                None if KUBERNETES.contains(&word.as_str()) => {
                    format!("{}: sim-core knows no Kubernetes word ({word}); that belongs to sim-k8s", token.text)
                }
                None => continue,
            };
            found.push(Violation::new(&source.path, token.line, message));
        }
    }
    found
}

/// The words of a name in snake, camel or upper case, in lower case.
fn segments(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut after_small = false;
    for c in name.chars() {
        if c == '_' || c.is_uppercase() && after_small {
            words.push(String::new());
        }
        after_small = c.is_lowercase() || c.is_ascii_digit();
        if c != '_' {
            words.last_mut().expect("one from the start").extend(c.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Functions and types of one package that are the same thing for IPv4 and for IPv6.
fn twins(repo: &Repo) -> Vec<Violation> {
    let mut named = BTreeMap::new();
    for source in repo.sources.iter().filter(|source| source.package() != "tests") {
        for at in source.product() {
            let Some(name) = source.code.get(at + 1).filter(|token| token.kind == Kind::Ident) else { continue };
            if ["fn", "struct", "enum", "trait"].iter().any(|keyword| source.code[at].is(keyword)) {
                named.entry((source.package(), segments(&name.text))).or_insert((source, name));
            }
        }
    }
    let mut found = Vec::new();
    for ((package, words), (source, name)) in &named {
        let twin = FAMILIES.iter().find_map(|(four, six)| {
            let other: Vec<_> =
                words.iter().map(|word| if word == six { (*four).to_owned() } else { word.clone() }).collect();
            (other != *words).then(|| named.get(&(*package, other))).flatten()
        });
        if let Some((_, twin)) = twin {
            let message =
                format!("{} is a twin of {}: one path, the family inside (IpAddr, IpNet)", name.text, twin.text);
            found.push(Violation::new(&source.path, name.line, message));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_text(path: &str, text: &str) -> Vec<String> {
        check(&Repo::of(&[(path, text)])).iter().map(|v| format!("{}: {}", v.line, v.message)).collect()
    }

    #[test]
    fn names_come_apart_in_every_case() {
        assert_eq!(segments("PodTemplate"), ["pod", "template"]);
        assert_eq!(segments("MAX_PODS"), ["max", "pods"]);
        assert_eq!(segments("podcast_v4"), ["podcast", "v4"]);
    }

    #[test]
    fn the_network_speaks_no_kubernetes() {
        assert!(check_text("sim-core/src/x.rs", "fn f() {}\nstruct PodDev;")[0].starts_with("2: PodDev"));
        assert!(check_text("sim-core/src/x.rs", "// a pod\nfn f() { \"pod\"; }").is_empty(), "names, not texts");
        assert!(check_text("sim-core/src/x.rs", "#[cfg(test)] mod tests { const POD: u8 = 1; }").is_empty());
        assert!(check_text("sim-k8s/src/x.rs", "struct PodDev;").is_empty());
    }

    #[test]
    fn one_word_is_one_thing() {
        assert!(check_text("sim-core/src/x.rs", "fn neighbor_of() {}")[0].contains("the word is neigh"));
    }

    #[test]
    fn a_function_has_no_twin_for_the_other_family() {
        assert_eq!(check_text("sim-core/src/x.rs", "fn route_v4() {}\nfn route_v6() {}").len(), 1);
        assert!(check_text("sim-core/src/x.rs", "struct Ipv4Key;\nstruct Ipv6Key;")[0].starts_with("2: Ipv6Key"));
        assert!(check_text("sim-core/src/x.rs", "fn route_v4() {}\nfn link_v6() {}").is_empty());
    }
}

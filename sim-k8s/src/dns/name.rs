//! Domain names.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hickory_proto::rr::Name;

/// A name from the outside in lower case, label by label. A label that is no text is like no Kubernetes name.
pub(super) fn labels(name: &Name) -> Vec<String> {
    name.iter().map(|label| String::from_utf8_lossy(label).to_ascii_lowercase()).collect()
}

/// The absolute name written `text`, with or without its last dot; `None` if it is none.
pub(super) fn absolute(text: &str) -> Option<Name> {
    let mut name = Name::from_ascii(text).ok()?;
    name.set_fqdn(true);
    Some(name)
}

/// `labels` in front of `zone`; `None` if that is too long for a name.
pub(super) fn below<'a>(labels: impl IntoIterator<Item = &'a str>, zone: &'a Name) -> Option<Name> {
    let labels = labels.into_iter().map(str::as_bytes).chain(zone.iter());
    let mut name = Name::from_labels(labels).ok()?;
    name.set_fqdn(true);
    Some(name)
}

/// The address whose reverse name this is (`ExtractAddressFromReverse`, plugin/pkg/dnsutil/reverse.go). IPv6 has 32 nibbles.
pub(super) fn reversed(labels: &[String]) -> Option<IpAddr> {
    let (last, rest) = labels.split_last()?;
    let (family, digits) = rest.split_last().filter(|_| last == "arpa")?;
    let forward: Vec<&str> = digits.iter().rev().map(String::as_str).collect();
    match family.as_str() {
        "in-addr" => forward.join(".").parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        "ip6" if forward.len() == 32 => {
            let groups: Vec<String> = forward.chunks(4).map(|group| group.concat()).collect();
            groups.join(":").parse::<Ipv6Addr>().ok().map(|ip| ip.to_canonical())
        }
        _ => None,
    }
}

/// An address written as one label (`endpointHostname`, plugin/kubernetes/kubernetes.go).
pub(super) fn dashed(ip: IpAddr) -> String {
    let dashed = ip.to_string().replace(['.', ':'], "-");
    if dashed.ends_with('-') { dashed + "0" } else { dashed }
}

/// The address of which a label is the [`dashed`] form (`findPods`, plugin/kubernetes/kubernetes.go).
pub(super) fn undashed(label: &str) -> Option<IpAddr> {
    let is_ipv4 = label.matches('-').count() == 3 && !label.contains("--");
    let ip: IpAddr = label.replace('-', if is_ipv4 { "." } else { ":" }).parse().ok()?;
    Some(ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(name: &str) -> Vec<String> {
        labels(&absolute(name).unwrap())
    }

    #[test]
    fn a_reverse_name_is_its_address() {
        assert_eq!(reversed(&split("10.0.96.10.in-addr.arpa")), Some("10.96.0.10".parse().unwrap()));
        let ipv6 = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa";
        assert_eq!(reversed(&split(ipv6)), Some("2001:db8::1".parse().unwrap()));
        for none in ["0.96.10.in-addr.arpa", "x.0.96.10.in-addr.arpa", "1.2.ip6.arpa", "arpa", "10.0.96.10.example"] {
            assert_eq!(reversed(&split(none)), None, "{none}");
        }
    }

    #[test]
    fn an_address_is_one_label_and_back() {
        for (ip, label) in [("10.244.1.5", "10-244-1-5"), ("2001:db8::1", "2001-db8--1"), ("fd00::", "fd00--0")] {
            assert_eq!(dashed(ip.parse().unwrap()), label);
            assert_eq!(undashed(label), Some(ip.parse().unwrap()), "{label}");
        }
        for none in ["web", "10-244-1", "10-244-1-256", ""] {
            assert_eq!(undashed(none), None, "{none}");
        }
    }

    #[test]
    fn names_are_compared_in_lower_case() {
        assert_eq!(split("Web.Default.SVC"), ["web", "default", "svc"]);
    }
}

//! Which names Kubernetes accepts (apimachinery pkg/util/validation/validation.go, pkg/apis/core/validation).
//!
//! Each function gives `None` for a good name, else what is wrong with it.

use crate::api::Labels;

use super::shown::shown;

/// A DNS label (RFC 1123): `IsDNS1123Label`.
pub(super) fn dns_label(name: &str) -> Option<String> {
    let fits = !name.is_empty() && name.len() <= 63 && is_label(name);
    (!fits).then(|| {
        format!(
            "\"{}\" is no DNS label: at most 63 of a-z, 0-9 and '-', beginning and ending with a letter or digit",
            shown(name)
        )
    })
}

/// A DNS name: `IsDNS1123Subdomain`.
pub(super) fn dns_subdomain(name: &str) -> Option<String> {
    let fits = name.len() <= 253 && name.split('.').all(is_label);
    (!fits).then(|| format!("\"{}\" is no DNS name: at most 253 of a-z, 0-9, '-' and '.', each part beginning and ending with a letter or digit", shown(name)))
}

fn is_label(part: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !part.is_empty() && part.bytes().all(inner) && !part.starts_with('-') && !part.ends_with('-')
}

/// The name of a container's port: `IsValidPortName` (RFC 6335 section 5.1).
pub(super) fn port_name(name: &str) -> Option<String> {
    let fits =
        name.len() <= 15 && is_label(name) && name.bytes().any(|b| b.is_ascii_lowercase()) && !name.contains("--");
    (!fits).then(|| {
        format!("\"{}\" is no port name: at most 15 of a-z, 0-9 and single '-', with a letter in it", shown(name))
    })
}

/// The name of an environment variable: `IsRelaxedEnvVarName`.
pub(super) fn env_name(name: &str) -> Option<String> {
    let fits = !name.is_empty() && name.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'=');
    (!fits).then(|| format!("\"{}\" is no name of an environment variable: printable ASCII without '='", shown(name)))
}

/// Keys and values of labels: `ValidateLabels`.
pub(super) fn labels(labels: &Labels) -> Option<String> {
    labels.iter().find_map(|(key, value)| label_key(key).or_else(|| label_value(value)))
}

/// `prefix/name`, the prefix a DNS name and optional: `IsQualifiedName`.
pub(super) fn label_key(key: &str) -> Option<String> {
    let (prefix, name) = key.rsplit_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let fits = prefix.is_none_or(|p| dns_subdomain(p).is_none()) && !name.is_empty() && is_label_text(name);
    (!fits).then(|| format!("\"{}\" is no label key: a name of at most 63 letters, digits, '-', '_' and '.', after an optional DNS name and '/'", shown(key)))
}

/// `IsValidLabelValue`.
pub(super) fn label_value(value: &str) -> Option<String> {
    let fits = value.is_empty() || is_label_text(value);
    (!fits).then(|| format!("\"{}\" is no label value: at most 63 letters, digits, '-', '_' and '.', beginning and ending with a letter or digit", shown(value)))
}

fn is_label_text(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let end = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric());
    text.len() <= 63 && text.bytes().all(inner) && end(text.bytes().next()) && end(text.bytes().last())
}

#[cfg(test)]
mod tests {
    use super::*;

    type Rule = fn(&str) -> Option<String>;

    #[test]
    fn names_are_judged_as_the_apiserver_does() {
        let good: [(Rule, &[&str]); 5] = [
            (dns_label, &["web", "1st", "a-b"]),
            (dns_subdomain, &["web", "web.example.org", "1.2"]),
            (port_name, &["http", "p80", "8a", "grpc-web"]),
            (label_key, &["app", "app.kubernetes.io/name", "A_b.c"]),
            (label_value, &["", "v1.2_3-x", "X"]),
        ];
        for (check, names) in good {
            names.iter().for_each(|name| assert_eq!(check(name), None));
        }
        let bad: [(Rule, &[&str]); 5] = [
            (dns_label, &["", "Web", "a.b", "-a", "a-", "a_b", "a\u{1b}[31m"]),
            (dns_subdomain, &["", ".a", "a..b", "a.-b"]),
            (port_name, &["", "80", "a--b", "sixteen-letters-", "a-very-long-name"]),
            (label_key, &["", "/a", "a/", "a/b/c", "-a", "x y"]),
            (label_value, &["-", "a b", "a:b", "ü"]),
        ];
        for (check, names) in bad {
            names.iter().for_each(|name| assert!(check(name).is_some(), "{name}"));
        }
        assert!(dns_label(&"a".repeat(64)).is_some() && dns_label(&"a".repeat(63)).is_none());
        assert!(dns_subdomain(&"a".repeat(10 << 20)).is_some_and(|message| message.len() < 300));
    }
}

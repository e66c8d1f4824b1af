//! Addresses in the values of environment variables.
//!
//! Values are written for all sorts of programs: `cart:7070`, `http://user:pw@cart.shop.svc:80/x?y`, `jdbc:mysql://db/app`,
//! `root:pw@tcp(mysql:3306)/app`, `kafka-0.kafka:9092,kafka-1.kafka:9092`, `Server=db;Port=1`.

/// Something in a value that may be an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Address<'a> {
    /// The part of the value it was read from.
    pub(super) text: &'a str,
    /// A DNS name or an IPv4 address.
    pub(super) host: &'a str,
    /// The port, if written.
    pub(super) port: Option<u16>,
    /// The last word before `://`, if there is one.
    pub(super) scheme: Option<&'a str>,
}

impl Address<'_> {
    /// Whether it has the form of an address, be there someone of that name or not: a scheme, or a host and a port. Addresses
    /// to listen on are none.
    pub(super) fn looks_like_one(&self) -> bool {
        let named = self.host.contains(|c: char| c.is_ascii_alphabetic()) && self.host != "localhost";
        named && (self.port.is_some() || self.scheme.is_some())
    }

    /// The port its scheme stands for, if no port is written.
    pub(super) fn port_of_scheme(&self) -> Option<u16> {
        match self.scheme? {
            "http" | "ws" => Some(80),
            "https" | "wss" => Some(443),
            _ => None,
        }
    }
}

/// The addresses that may be in `value`, in its order.
pub(super) fn addresses(value: &str) -> impl Iterator<Item = Address<'_>> {
    value.split(|c: char| c.is_whitespace() || ",;|\"'`<>()[]{}".contains(c)).filter_map(address)
}

fn address(text: &str) -> Option<Address<'_>> {
    let (scheme, rest) = match text.split_once("://") {
        Some((before, rest)) => (before.rsplit(|c: char| !c.is_ascii_alphanumeric()).next(), rest),
        None => (None, text.rsplit_once('=').map_or(text, |(_, value)| value)),
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, digits)) => (host, Some(port(digits)?)),
        None => (authority, None),
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    is_dns_name(host).then_some(Address { text, host, port, scheme })
}

fn port(digits: &str) -> Option<u16> {
    let plain = digits.len() <= 5 && digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|port| plain && *port > 0)
}

fn is_dns_name(host: &str) -> bool {
    let label = |part: &str| {
        let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        !part.is_empty()
            && part.len() <= 63
            && part.bytes().all(inner)
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    host.len() <= 253 && host.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::addresses;

    fn found(value: &str) -> Vec<(&str, Option<u16>)> {
        addresses(value).map(|a| (a.host, a.port)).collect()
    }

    #[test]
    fn addresses_are_found_in_what_programs_take() {
        assert_eq!(found("productcatalogservice:3550"), [("productcatalogservice", Some(3550))]);
        assert_eq!(
            found("http://cart.shop.svc.cluster.local.:7070/x?y=z:1"),
            [("cart.shop.svc.cluster.local", Some(7070))]
        );
        assert_eq!(found("jdbc:mysql://user:p@ss@db/app"), [("db", None)]);
        assert!(found("root:pw@tcp(mysql:3306)/app").contains(&("mysql", Some(3306))));
        assert_eq!(found("k-0.k:9092,k-1.k:9092"), [("k-0.k", Some(9092)), ("k-1.k", Some(9092))]);
        assert_eq!(found("Server=sql;Database=x")[0], ("sql", None));
        assert_eq!(found("cart:7070/api"), [("cart", Some(7070))]);
        assert_eq!(found("--upstream=http://web:80"), [("web", Some(80))]);
        assert_eq!(addresses("jdbc:mysql://db").next().unwrap().scheme, Some("mysql"));
    }

    #[test]
    fn only_what_has_the_form_of_an_address_looks_like_one() {
        let looks = |value| addresses(value).any(|a| a.looks_like_one());
        assert!(looks("db:5432") && looks("https://example.com") && looks("tcp://broker:1883"));
        for value in
            ["db", "0.0.0.0:80", "12:30:45", "localhost:80", "a:70000", ":8080", "true", "/var/run/x.sock", "a b c"]
        {
            assert!(!looks(value), "{value}");
        }
    }

    proptest! {
        #[test]
        fn any_value_may_be_looked_at(value in "\\PC{0,80}") {
            for address in addresses(&value) {
                prop_assert!(value.contains(address.text));
            }
        }
    }
}

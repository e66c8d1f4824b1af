//! Reads filter expressions.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Expr, Filter, FilterError, Joint, Named, Pattern, Test, Which};
use crate::capture::Direction;
use crate::wire::eth::{ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, MacAddr};
use crate::wire::ip::{ICMP, ICMPV6, SCTP, TCP, UDP};

/// How deep parentheses may nest.
const DEEPEST: usize = 64;
/// Words that cannot be names.
const RESERVED: [&str; 9] = ["and", "or", "not", "src", "dst", "host", "net", "port", "portrange"];

/// A word or sign, and where it stands: in bytes from 0.
#[derive(Clone, Copy, Debug)]
struct Token<'t> {
    text: &'t str,
    at: usize,
}

/// What stands before an address or number; kept for those that follow alone (`port 80 or 443`).
#[derive(Clone, Copy, Debug)]
struct Qualifiers {
    proto: Option<u8>,
    which: Which,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Host,
    Net,
    Port,
    PortRange,
    Ether,
}

pub(super) fn parse(text: &str, kinds: &[&str]) -> Result<Filter, FilterError> {
    let tokens = tokens(text)?;
    let mut parser = Parser { tokens: &tokens, end: text.len(), kinds, named: Vec::new(), last: None, depth: 0 };
    let root = parser.chain()?;
    match parser.tokens.first() {
        None => Ok(Filter { root, named: parser.named }),
        Some(token) if token.text == ")" => Err(wrong(token.at, "no parenthesis is open here")),
        Some(token) => Err(wrong(token.at, format!("\"and\" or \"or\" must stand before {:?}", token.text))),
    }
}

fn wrong(at: usize, message: impl Into<String>) -> FilterError {
    FilterError { column: at + 1, message: message.into() }
}

fn tokens(text: &str) -> Result<Vec<Token<'_>>, FilterError> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        let is_word = |c: char| c.is_ascii_alphanumeric() || "._:/*-@".contains(c);
        let len = if c.is_whitespace() {
            at += c.len_utf8();
            continue;
        } else if "()!".contains(c) {
            1
        } else if rest.starts_with("&&") || rest.starts_with("||") {
            2
        } else {
            rest.find(|c| !is_word(c)).unwrap_or(rest.len())
        };
        if len == 0 {
            return Err(wrong(at, format!("{c:?} is no part of an expression")));
        }
        tokens.push(Token { text: &rest[..len], at });
        at += len;
    }
    Ok(tokens)
}

struct Parser<'t> {
    tokens: &'t [Token<'t>],
    /// Where the text ends.
    end: usize,
    kinds: &'t [&'t str],
    named: Vec<Named>,
    last: Option<Qualifiers>,
    depth: usize,
}

impl<'t> Parser<'t> {
    fn chain(&mut self) -> Result<Expr, FilterError> {
        let first = self.term()?;
        let mut rest = Vec::new();
        while let Some(token) = self.tokens.first() {
            let joint = match token.text {
                "and" | "&&" => Joint::And,
                "or" | "||" => Joint::Or,
                _ => break,
            };
            self.tokens = &self.tokens[1..];
            rest.push((joint, self.term()?));
        }
        Ok(if rest.is_empty() { first } else { Expr::Chain(Box::new(first), rest) })
    }

    fn term(&mut self) -> Result<Expr, FilterError> {
        let token = self.next("a test")?;
        if !matches!(token.text, "not" | "!" | "(") {
            return Ok(Expr::Test(self.test(token)?));
        }
        if self.depth == DEEPEST {
            return Err(wrong(token.at, format!("nested deeper than {DEEPEST}")));
        }
        self.depth += 1;
        let expr = if token.text == "(" {
            let inside = self.chain()?;
            let close = self.next("\")\"")?;
            if close.text != ")" {
                return Err(wrong(close.at, format!("\"and\", \"or\" or \")\" must stand before {:?}", close.text)));
            }
            inside
        } else {
            Expr::Not(Box::new(self.term()?))
        };
        self.depth -= 1;
        Ok(expr)
    }

    fn test(&mut self, token: Token<'t>) -> Result<Test, FilterError> {
        Ok(match token.text {
            "ip" => Test::Ether(ETHERTYPE_IPV4),
            "ip6" => Test::Ether(ETHERTYPE_IPV6),
            "arp" => Test::Ether(ETHERTYPE_ARP),
            "icmp" => Test::Proto(ICMP),
            "icmp6" => Test::Proto(ICMPV6),
            "vxlan" => Test::Vxlan(self.number_if_any()?),
            "netns" => Test::Netns(self.name("a netns")?),
            "dev" => Test::Dev(self.name("a device")?),
            "packet" => Test::Packet(self.number("the id of a packet")?),
            "dropped" => Test::Dropped,
            "inbound" => Test::Passing(Direction::In),
            "outbound" => Test::Passing(Direction::Out),
            "less" => Test::Less(self.number("a number of bytes")?),
            "greater" => Test::Greater(self.number("a number of bytes")?),
            "broadcast" => Test::Broadcast,
            "multicast" => Test::Multicast,
            _ => return self.addressed(token),
        })
    }

    /// Qualifiers, then what they qualify.
    fn addressed(&mut self, first: Token<'t>) -> Result<Test, FilterError> {
        let mut token = first;
        let proto = match token.text {
            "tcp" => Some(TCP),
            "udp" => Some(UDP),
            "sctp" => Some(SCTP),
            _ => None,
        };
        let ether = token.text == "ether";
        if proto.is_some() || ether {
            match self.tokens.first() {
                Some(next) if matches!(next.text, "src" | "dst" | "host" | "net" | "port" | "portrange") => {
                    token = self.next("a test")?;
                }
                _ if ether => return Err(self.missing("src, dst or host")),
                _ => return Ok(Test::Proto(proto.unwrap_or_default())),
            }
        }
        let (which, after) = self.which(token)?;
        let is_qualified = after.at != first.at;
        if self.kinds.contains(&after.text) && proto.is_none() && !ether {
            let name = self.name(after.text)?;
            self.named.push(Named { kind: after.text.to_owned(), name, ends: Default::default(), found: false });
            return Ok(Test::Named(which, self.named.len() - 1));
        }
        let kind = match after.text {
            "host" => Kind::Host,
            "net" => Kind::Net,
            "port" => Kind::Port,
            "portrange" => Kind::PortRange,
            _ => {
                let kind = if after.text.contains('/') { Kind::Net } else { Kind::Host };
                let plain = Qualifiers { proto, which, kind: if ether { Kind::Ether } else { kind } };
                let qualifiers = self.last.filter(|_| !is_qualified).unwrap_or(plain);
                return self.value(qualifiers, after, is_qualified);
            }
        };
        if ether && kind != Kind::Host {
            return Err(wrong(after.at, "ether goes with src, dst and host"));
        }
        let value = self.next("a value")?;
        self.value(Qualifiers { proto, which, kind: if ether { Kind::Ether } else { kind } }, value, true)
    }

    /// `src`, `dst`, `src or dst`, `src and dst`, and the token after it.
    fn which(&mut self, token: Token<'t>) -> Result<(Which, Token<'t>), FilterError> {
        let first = match token.text {
            "src" => Which::Source,
            "dst" => Which::Destination,
            _ => return Ok((Which::Either, token)),
        };
        let which = match self.tokens {
            [joint, other, ..] if matches!(other.text, "src" | "dst") && other.text != token.text => match joint.text {
                "or" | "||" => Some(Which::Either),
                "and" | "&&" => Some(Which::Both),
                _ => None,
            },
            _ => None,
        };
        if which.is_some() {
            self.tokens = &self.tokens[2..];
        }
        Ok((which.unwrap_or(first), self.next("host, net, port or an address")?))
    }

    /// An address, a network, a port or a range of them.
    fn value(&mut self, qualifiers: Qualifiers, token: Token<'t>, is_qualified: bool) -> Result<Test, FilterError> {
        let Qualifiers { proto, which, kind } = qualifiers;
        let port = |text: &str| text.parse::<u16>().map_err(|_| wrong(token.at, format!("{text:?} is no port")));
        let test = match kind {
            Kind::Host => match token.text.parse::<IpAddr>() {
                Ok(ip) => Test::Net(proto, which, ip.into()),
                Err(_) if !is_qualified && is_word(token.text) => return Err(self.unknown(token)),
                Err(_) => return Err(wrong(token.at, format!("{:?} is no address", token.text))),
            },
            Kind::Net => match token.text.parse::<IpNet>() {
                Ok(net) if net.trunc() == net => Test::Net(proto, which, net),
                Ok(net) => {
                    let message = format!("{:?} has bits beyond its prefix; {} has not", token.text, net.trunc());
                    return Err(wrong(token.at, message));
                }
                Err(_) => {
                    return Err(wrong(token.at, format!("{:?} is no network, as 10.244.0.0/16 is", token.text)));
                }
            },
            Kind::Port => port(token.text).map(|port| Test::Ports(proto, which, port, port))?,
            Kind::PortRange => {
                let (low, high) = token.text.split_once('-').unwrap_or((token.text, token.text));
                let (low, high) = (port(low)?, port(high)?);
                Test::Ports(proto, which, low.min(high), low.max(high))
            }
            Kind::Ether => match token.text.parse::<MacAddr>() {
                Ok(mac) => Test::Mac(which, mac),
                Err(error) => return Err(wrong(token.at, format!("{:?}: {error}", token.text))),
            },
        };
        self.last = Some(qualifiers);
        Ok(test)
    }

    fn next(&mut self, wanted: &str) -> Result<Token<'t>, FilterError> {
        let Some((token, rest)) = self.tokens.split_first() else { return Err(self.missing(wanted)) };
        self.tokens = rest;
        Ok(*token)
    }

    fn missing(&self, wanted: &str) -> FilterError {
        wrong(self.tokens.first().map_or(self.end, |token| token.at), format!("here {wanted} is missing"))
    }

    fn unknown(&self, token: Token<'_>) -> FilterError {
        let kinds: String = self.kinds.iter().map(|kind| format!(" {kind}")).collect();
        wrong(
            token.at,
            format!(
                "{:?} is not known here; tests are host net port portrange tcp udp sctp icmp arp ip ip6 vxlan ether netns \
                 dev{kinds} packet dropped inbound outbound less greater broadcast multicast",
                token.text
            ),
        )
    }

    fn name(&mut self, what: &str) -> Result<Pattern, FilterError> {
        let token = self.next(&format!("the name of {what}"))?;
        if RESERVED.contains(&token.text) || !token.text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '*') {
            return Err(wrong(token.at, format!("{:?} is no name of {what}", token.text)));
        }
        Ok(Pattern::new(token.text))
    }

    fn number<T: std::str::FromStr>(&mut self, what: &str) -> Result<T, FilterError> {
        let token = self.next(what)?;
        token.text.parse().map_err(|_| wrong(token.at, format!("{:?} is not {what}", token.text)))
    }

    fn number_if_any(&mut self) -> Result<Option<u32>, FilterError> {
        let is_number = |token: &Token<'_>| token.text.starts_with(|c: char| c.is_ascii_digit());
        if self.tokens.first().is_some_and(is_number) { self.number("a VNI").map(Some) } else { Ok(None) }
    }
}

/// Whether it looks like a word, not like an address gone wrong.
fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic()) && !text.contains(':')
}

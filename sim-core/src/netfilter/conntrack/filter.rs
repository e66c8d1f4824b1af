//! Which entries `conntrack -D` and `-L` are about.

use std::fmt;
use std::net::IpAddr;

use super::{Entry, L4};
use crate::wire::ip::Family;

/// Conditions on an entry; those that are `None` always hold. Fields are conntrack(8)'s options.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Filter {
    /// Family of the addresses (`-f`).
    pub family: Option<Family>,
    /// L4 protocol number (`-p`).
    pub proto: Option<u8>,
    /// Source of the original direction (`-s`, `--orig-src`).
    pub orig_src: Option<IpAddr>,
    /// Destination of the original direction (`-d`, `--orig-dst`).
    pub orig_dst: Option<IpAddr>,
    /// Source of the reply direction (`-r`, `--reply-src`); of a DNATed flow the endpoint.
    pub reply_src: Option<IpAddr>,
    /// Destination of the reply direction (`-q`, `--reply-dst`).
    pub reply_dst: Option<IpAddr>,
    /// Source port of the original direction (`--orig-port-src`, `--sport`).
    pub orig_port_src: Option<u16>,
    /// Destination port of the original direction (`--orig-port-dst`, `--dport`).
    pub orig_port_dst: Option<u16>,
    /// Source port of the reply direction (`--reply-port-src`).
    pub reply_port_src: Option<u16>,
    /// Destination port of the reply direction (`--reply-port-dst`).
    pub reply_port_dst: Option<u16>,
    /// Connection mark (`-m`).
    pub mark: Option<u32>,
    /// Zone (`-w`).
    pub zone: Option<u16>,
}

impl Filter {
    /// Whether all conditions hold for `entry`.
    pub fn matches(&self, entry: &Entry) -> bool {
        fn holds<T: PartialEq>(wanted: Option<T>, have: Option<T>) -> bool {
            wanted.is_none() || wanted == have
        }
        let ports = |l4: L4| match l4 {
            L4::Ports { src, dst } => (Some(src), Some(dst)),
            _ => (None, None),
        };
        let (orig_src, orig_dst) = ports(entry.orig.l4);
        let (reply_src, reply_dst) = ports(entry.reply.l4);
        holds(self.family, Some(Family::of(entry.orig.src)))
            && holds(self.proto, Some(entry.orig.proto))
            && holds(self.orig_src, Some(entry.orig.src))
            && holds(self.orig_dst, Some(entry.orig.dst))
            && holds(self.reply_src, Some(entry.reply.src))
            && holds(self.reply_dst, Some(entry.reply.dst))
            && holds(self.orig_port_src, orig_src)
            && holds(self.orig_port_dst, orig_dst)
            && holds(self.reply_port_src, reply_src)
            && holds(self.reply_port_dst, reply_dst)
            && holds(self.mark, Some(entry.mark))
            && holds(self.zone, Some(entry.zone.id))
    }
}

impl fmt::Display for Filter {
    /// The conditions as conntrack(8) takes them; those that always hold are not there.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = Vec::new();
        let mut add =
            |option: &str, value: Option<String>| words.extend(value.map(|value| format!("{option} {value}")));
        let family = |family| if family == Family::V4 { "ipv4" } else { "ipv6" };
        add("-f", self.family.map(|of| family(of).to_owned()));
        add("-p", self.proto.map(|proto| proto.to_string()));
        let ends = [self.orig_src, self.orig_dst, self.reply_src, self.reply_dst];
        for (option, addr) in ["-s", "-d", "-r", "-q"].into_iter().zip(ends) {
            add(option, addr.map(|addr| addr.to_string()));
        }
        let ports = [self.orig_port_src, self.orig_port_dst, self.reply_port_src, self.reply_port_dst];
        let options = ["--orig-port-src", "--orig-port-dst", "--reply-port-src", "--reply-port-dst"];
        for (option, port) in options.into_iter().zip(ports) {
            add(option, port.map(|port| port.to_string()));
        }
        add("-m", self.mark.map(|mark| mark.to_string()));
        add("-w", self.zone.map(|zone| zone.to_string()));
        f.write_str(&words.join(" "))
    }
}

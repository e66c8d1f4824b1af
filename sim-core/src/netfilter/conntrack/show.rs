//! One entry as `conntrack -L -o extended` prints it (libnetfilter_conntrack, `snprintf_default`).

use std::fmt::{self, Write as _};
use std::net::IpAddr;

use super::{Dir, Entry, L4, Proto, Status, ZoneDir};
use crate::engine::time::Instant;
use crate::wire::ip::{ICMPV6, protocol_name};

impl Entry {
    /// The line, without a line feed; the timeout is what is left at `now`, in whole seconds.
    pub fn show(&self, now: Instant) -> String {
        let mut line = String::new();
        let written = self.write(&mut line, now);
        assert!(written.is_ok(), "writing to a string cannot fail");
        line
    }

    fn write(&self, out: &mut String, now: Instant) -> fmt::Result {
        let (family, number) = match self.orig.src {
            IpAddr::V4(_) => ("ipv4", 2),
            IpAddr::V6(_) => ("ipv6", 10),
        };
        // libnetfilter_conntrack has a name of its own for ICMPv6 (`proto2str`).
        let proto = match self.orig.proto {
            ICMPV6 => "icmpv6",
            proto => protocol_name(proto).unwrap_or("unknown"),
        };
        write!(out, "{family:<8} {number} {proto:<8} {} ", self.orig.proto)?;
        write!(out, "{} ", self.expires_in(now).as_secs())?;
        match &self.proto {
            Proto::Tcp(tcp) => write!(out, "{} ", tcp.state().name())?,
            Proto::Sctp(sctp) => write!(out, "{} ", sctp.state.name())?,
            Proto::Stateless | Proto::Udp { .. } => {}
        }
        self.write_direction(out, Dir::Orig)?;
        if !self.status.has(Status::SEEN_REPLY) {
            out.push_str("[UNREPLIED] ");
        }
        self.write_direction(out, Dir::Reply)?;
        if self.status.has(Status::ASSURED) {
            out.push_str("[ASSURED] ");
        }
        write!(out, "mark={} ", self.mark)?;
        if self.zone.id != 0 && self.zone.dir == ZoneDir::Both {
            write!(out, "zone={} ", self.zone.id)?;
        }
        out.push_str("use=1");
        Ok(())
    }

    fn write_direction(&self, out: &mut String, dir: Dir) -> fmt::Result {
        let tuple = self.tuple(dir);
        write!(out, "src={} dst={} ", tuple.src, tuple.dst)?;
        match tuple.l4 {
            L4::Ports { src, dst } => write!(out, "sport={src} dport={dst} ")?,
            L4::Icmp { kind, code, id } => write!(out, "type={kind} code={code} id={id} ")?,
            L4::Generic => {}
        }
        match (self.zone.dir, dir) {
            (ZoneDir::Orig, Dir::Orig) => write!(out, "zone-orig={} ", self.zone.id)?,
            (ZoneDir::Reply, Dir::Reply) => write!(out, "zone-reply={} ", self.zone.id)?,
            _ => {}
        }
        match &self.counters {
            Some(c) => write!(out, "packets={} bytes={} ", c[dir as usize].packets, c[dir as usize].bytes),
            None => Ok(()),
        }
    }
}

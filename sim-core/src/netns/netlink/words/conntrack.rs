//! The words of `conntrack`: which entries.

use super::{CommandError, Words, syntax};
use crate::netfilter::conntrack::Filter;
use crate::netfilter::text::rule::protocol;
use crate::wire::ip::Family;

/// Reads a line as for `conntrack` (without that word): `-F`, or `-D` with conditions on the entries.
///
/// # Errors
/// The first word that is not understood.
pub fn conntrack(line: &str) -> Result<Filter, CommandError> {
    let mut w = Words::new(line)?;
    match w.next("-D or -F")? {
        "-F" | "--flush" => w.end().map(|()| Filter::default()),
        "-D" | "--delete" => entries(w),
        other => Err(syntax(other, "-D or -F")),
    }
}

/// Reads the conditions on entries that follow `conntrack -D` or `-L`.
///
/// # Errors
/// The first word that is not understood.
pub fn conntrack_entries(line: &str) -> Result<Filter, CommandError> {
    entries(Words::new(line)?)
}

fn entries(mut w: Words<'_>) -> Result<Filter, CommandError> {
    let mut f = Filter::default();
    while let Some(option) = w.option() {
        match option {
            "-f" | "--family" => {
                f.family = Some(match w.next("a family")? {
                    "ipv4" => Family::V4,
                    "ipv6" => Family::V6,
                    other => return Err(syntax(other, "ipv4 or ipv6")),
                });
            }
            "-p" | "--proto" => {
                let word = w.next("a protocol")?;
                f.proto = Some(protocol(word).map_err(|_| syntax(word, "a protocol"))?);
            }
            "-s" | "--src" | "--orig-src" => f.orig_src = Some(w.value("an address")?),
            "-d" | "--dst" | "--orig-dst" => f.orig_dst = Some(w.value("an address")?),
            "-r" | "--reply-src" => f.reply_src = Some(w.value("an address")?),
            "-q" | "--reply-dst" => f.reply_dst = Some(w.value("an address")?),
            "--sport" | "--orig-port-src" => f.orig_port_src = Some(w.value("a port")?),
            "--dport" | "--orig-port-dst" => f.orig_port_dst = Some(w.value("a port")?),
            "--reply-port-src" => f.reply_port_src = Some(w.value("a port")?),
            "--reply-port-dst" => f.reply_port_dst = Some(w.value("a port")?),
            "-m" | "--mark" => f.mark = Some(w.value("a mark")?),
            "-w" | "--zone" => f.zone = Some(w.value("a zone")?),
            other => return Err(syntax(other, "a condition on entries, as conntrack -D has them")),
        }
    }
    Ok(f)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[test]
    fn entries_are_described_as_for_conntrack() {
        let filter = conntrack("-D -p udp --orig-port-dst 53 -r 10.244.1.2").expect("understood");
        let reply_src = Some(IpAddr::from([10, 244, 1, 2]));
        let wanted = Filter { proto: Some(17), orig_port_dst: Some(53), reply_src, ..Filter::default() };
        assert_eq!(filter, wanted);
        let all = "-f ipv6 -p 17 -s fd00::1 -d fd00::2 -r fd00::3 -q fd00::4 --orig-port-src 1 --orig-port-dst 2 \
                   --reply-port-src 3 --reply-port-dst 4 -m 5 -w 6";
        assert_eq!(conntrack_entries(all).map(|filter| filter.to_string()).as_deref(), Ok(all));
        assert_eq!(Filter::default().to_string(), "");
        assert_eq!(conntrack("-F"), Ok(Filter::default()));
        for bad in ["", "-L", "-F -p udp", "-D -p nosuch", "-D --dport 70000", "-D --nosuch 1", "-D -f ipx"] {
            assert!(conntrack(bad).is_err(), "{bad}");
        }
    }
}

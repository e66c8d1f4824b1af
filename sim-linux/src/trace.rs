//! Rule traces, from what `xtables-monitor --trace` says.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::process::{Child, Stdio};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sim_core::engine::time::Duration;

use crate::clock;
use crate::tools::mortal;

/// How long the monitor may take to begin, or to say what it has heard.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often it is looked at, in milliseconds.
const LOOK: u16 = 2;
/// Most bytes of a step's traces.
const LONGEST: usize = 16 << 20;
/// The bit of the netlink group of traces, `NFNLGRP_NFTRACE`.
const TRACES: u32 = 1 << 8;

/// A monitor of one netns.
pub(crate) struct Monitor {
    child: Child,
    heard: Vec<u8>,
}

impl Monitor {
    /// Starts to listen in the netns the thread is in, and waits until it does.
    pub(crate) fn start() -> io::Result<Self> {
        let mut command = mortal(&["xtables-monitor", "--trace"]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let mut monitor = Self { child, heard: Vec::new() };
        monitor.wait(|_| waiting().is_some())?;
        Ok(monitor)
    }

    /// Reads what has been said, so that it never waits for a reader.
    pub(crate) fn listen(&mut self) -> io::Result<()> {
        self.read(PollTimeout::ZERO).map(drop)
    }

    /// Takes what traced packets met since the last call, in the words of the goldens. The thread is in its netns.
    pub(crate) fn drain(&mut self) -> io::Result<Vec<String>> {
        self.wait(|monitor| waiting() == Some(0) && monitor.asleep())?;
        let heard = std::mem::take(&mut self.heard);
        Ok(String::from_utf8_lossy(&heard).lines().filter_map(line).collect())
    }

    /// Reads until `done` and nothing is left to read.
    fn wait(&mut self, done: impl Fn(&Self) -> bool) -> io::Result<()> {
        let end = clock::now() + PATIENCE;
        loop {
            let over = done(self);
            if !self.read(LOOK.into())? && over {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                return Err(io::Error::other(format!("xtables-monitor ended: {status}")));
            }
            if clock::now() > end || self.heard.len() > LONGEST {
                return Err(io::Error::other("xtables-monitor does not come to an end"));
            }
        }
    }

    /// Waits for something to read, and reads it; whether there was anything.
    fn read(&mut self, timeout: PollTimeout) -> io::Result<bool> {
        let Some(stdout) = self.child.stdout.as_mut() else { return Ok(false) };
        let mut fds = [PollFd::new(stdout.as_fd(), PollFlags::POLLIN)];
        if poll(&mut fds, timeout)? == 0 {
            return Ok(false);
        }
        let mut buffer = [0; 65_536];
        let n = stdout.read(&mut buffer)?;
        self.heard.extend_from_slice(&buffer[..n]);
        Ok(n > 0)
    }

    /// Whether it waits for something to hear.
    fn asleep(&self) -> bool {
        let status = fs::read(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        String::from_utf8_lossy(&status).rsplit(") ").next().is_some_and(|rest| rest.starts_with('S'))
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        // One that is gone already need not be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Bytes that wait for it in its netlink socket (proc(5), /proc/net/netlink), the only one of its netns that listens for
/// traces; `None` while there is none.
fn waiting() -> Option<u32> {
    let mut table = String::new();
    File::open("/proc/thread-self/net/netlink").ok()?.read_to_string(&mut table).ok()?;
    table.lines().find_map(|row| {
        let words: Vec<&str> = row.split_whitespace().collect();
        let [_, _, _, groups, waiting, ..] = words[..] else { return None };
        let listens = u32::from_str_radix(groups, 16).is_ok_and(|groups| groups & TRACES != 0);
        if listens { waiting.parse().ok() } else { None }
    })
}

/// One line in the words of the goldens; `None` for the rules that ask for the trace.
fn line(text: &str) -> Option<String> {
    let text = text.trim();
    if let Some(packet) = text.strip_prefix("PACKET: 2 ") {
        return Some(packet_line(packet));
    }
    let (_, step) = text.strip_prefix("TRACE: 2 ")?.split_once(' ')?;
    // iptables 1.8.9 has no name for NFT_RETURN.
    let step = step.replace(":0xfffffffb ", ":RETURN ");
    let (place, rule) = step.trim().split_once(' ').unwrap_or((step.trim(), ""));
    let words: Vec<&str> = place.split(':').collect();
    let [table, chain, kind, verdict @ ..] = &words[..] else { return Some(format!("? {step}")) };
    let verdict: Vec<&str> =
        verdict.iter().filter(|word| !word.is_empty() && !word.starts_with("0x")).copied().collect();
    // The rule as it was added: -4 -t TABLE -A CHAIN …
    let rule = rule.trim().split_once(" -t ").and_then(|(_, rest)| rest.split_once(' ')).map_or("", |(_, rest)| rest);
    if rule.ends_with("-j TRACE") {
        return None;
    }
    let rule = if *kind == "rule" && !rule.is_empty() { format!("  {rule}") } else { String::new() };
    Some(format!("{table} {chain} {kind} {}{rule}", verdict.join(":")))
}

fn packet_line(packet: &str) -> String {
    let value = |key: &str| packet.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
    let text = |key: &str| value(key).unwrap_or_default();
    let mut out =
        format!("@ {}>{} in={} out={} ttl={}", text("SRC"), text("DST"), text("IN"), text("OUT"), text("TTL"));
    if let (Some(src), Some(dst)) = (value("SPORT"), value("DPORT")) {
        let src = if dst == "8472" { "hash" } else { src };
        out += &format!(" {src}>{dst}");
    }
    if let Some(mark) = value("MARK") {
        out += &format!(" mark={mark}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn the_monitors_lines_become_those_of_the_goldens() {
        let packet = "PACKET: 2 1f2e3d4c IN=cni0 OUT= MACSRC=a:b SRC=10.244.1.2 DST=10.96.0.10 LEN=33 TOS=0x0 TTL=64 ID=1 DF \
                      SPORT=40000 DPORT=53 MARK=0x4000";
        assert_eq!(line(packet).as_deref(), Some("@ 10.244.1.2>10.96.0.10 in=cni0 out= ttl=64 40000>53 mark=0x4000"));
        let jump =
            " TRACE: 2 1f2e3d4c nat:PREROUTING:rule:0x4:JUMP:KUBE-SERVICES  -4 -t nat -A PREROUTING -j KUBE-SERVICES";
        assert_eq!(
            line(jump).as_deref(),
            Some("nat PREROUTING rule JUMP:KUBE-SERVICES  -A PREROUTING -j KUBE-SERVICES")
        );
        let back = " TRACE: 2 1f2e3d4c nat:X:rule:0x4:0xfffffffb  -4 -t nat -A X -j RETURN";
        assert_eq!(line(back).as_deref(), Some("nat X rule RETURN  -A X -j RETURN"));
        let policy = " TRACE: 2 1f2e3d4c filter:FORWARD:policy:ACCEPT ";
        assert_eq!(line(policy).as_deref(), Some("filter FORWARD policy ACCEPT"));
        assert_eq!(line(" TRACE: 2 1 raw:PREROUTING:rule:0x3:CONTINUE  -4 -t raw -A PREROUTING -j TRACE"), None);
    }
}

//! The lab's bench on this machine's kernel.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::net::Ipv6Addr;
use std::os::fd::{AsFd, OwnedFd};
use std::process::Command;

use bytes::Bytes;
use nix::libc;
use nix::net::if_::if_nameindex;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sim_core::capture::Hop;
use sim_core::engine::arena::{DevId, NetnsId, SocketId};
use sim_core::engine::errno::Errno;
use sim_core::engine::time::{Duration, Instant};
use sim_core::wire::ip::Family;
use sim_scenarios::lab::bench::{Bench, Refused, Sock, TraceLine};
use sim_scenarios::shell::Output;

use crate::clock::{self, Stamps};
use crate::flows;
use crate::guard;
use crate::offload::Ethtool;
use crate::sandbox::Sandbox;
use crate::sockets::{Kind, of_io};
use crate::stock::Netns;
use crate::tools::{mortal, run};
use crate::trace::Monitor;

/// How long nobody looks when nothing is captured. A timer of the kernel's may touch a socket without a packet.
const SLICE: Duration = Duration::from_millis(5);

/// How a line for `ip -6` begins.
const V6: &str = "-6 ";
/// What is asked after each step. The kernel's own file says the same (net/netfilter/nf_conntrack_standalone.c,
/// `ct_seq_show`) without a child process.
const CONNTRACK_TABLE: [&str; 4] = ["conntrack", "-L", "-o", "extended"];

/// Netns of this machine's kernel, in the order in which they were made.
pub(crate) struct LinuxBench<'s> {
    sandbox: &'s Sandbox,
    names: Vec<String>,
    rooms: Vec<Room>,
    /// Where the thread is.
    here: Option<usize>,
    sockets: BTreeMap<SocketId, OwnedFd>,
    last_socket: u32,
    stamps: Stamps,
    /// The congestion control of a script's sockets; `None`: the kernel's choice.
    pub(crate) congestion: Option<String>,
    /// Why the capture or a trace is not whole.
    pub(crate) lost: Option<String>,
}

/// A netns with what watches it.
struct Room {
    monitor: Option<Monitor>,
    /// The names of devices that were seen, gone ones included.
    devs: BTreeMap<DevId, String>,
    netns: Netns,
}

impl<'s> LinuxBench<'s> {
    /// A bench without netns.
    pub(crate) fn new(sandbox: &'s Sandbox) -> Self {
        Self {
            sandbox,
            names: Vec::new(),
            rooms: Vec::new(),
            here: None,
            sockets: BTreeMap::new(),
            last_socket: 0,
            stamps: Stamps::new(),
            congestion: None,
            lost: None,
        }
    }

    /// Moves the thread to a netns.
    pub(crate) fn enter(&mut self, netns: &str) -> io::Result<usize> {
        let at = self.names.iter().position(|name| name == netns);
        let at = at.ok_or_else(|| io::Error::other(format!("no netns is called {netns:?}")))?;
        if self.here != Some(at) {
            self.rooms[at].netns.enter()?;
            self.here = Some(at);
        }
        Ok(at)
    }

    /// Keeps a socket under a number of its own.
    pub(crate) fn keep(&mut self, netns: &str, fd: OwnedFd, kind: Kind) -> Sock {
        self.last_socket += 1;
        let id = SocketId(self.last_socket);
        self.sockets.insert(id, fd);
        Sock { netns: netns.into(), socket: kind(id) }
    }

    /// The descriptor of a socket; EBADF in the words of the emulator is ENOTCONN.
    pub(crate) fn fd(&self, sock: &Sock) -> Result<&OwnedFd, Errno> {
        self.sockets.get(&sock.socket.id()).ok_or(Errno::ENOTCONN)
    }

    /// Closes a socket.
    pub(crate) fn forget(&mut self, sock: &Sock) {
        self.sockets.remove(&sock.socket.id());
    }

    /// Runs a tool of the lab's own choice in `netns`; it must succeed.
    fn tool(&mut self, netns: &str, words: &[&str], input: &str) -> Result<(), Refused> {
        self.enter(netns).map_err(failed)?;
        let mut command = Command::new(words[0]);
        command.args(&words[1..]);
        let output = run(command, input).map_err(failed)?;
        if output.status == 0 { Ok(()) } else { Err(Refused::Failed(complaint(&output, input))) }
    }

    fn names(&self) -> Vec<&str> {
        self.names.iter().map(String::as_str).collect()
    }
}

impl Drop for LinuxBench<'_> {
    fn drop(&mut self) {
        // The thread itself would hold the netns it is in, a monitor its own.
        self.sandbox.go_home();
        for (name, Room { netns, .. }) in self.names.iter().zip(std::mem::take(&mut self.rooms)) {
            self.sandbox.remove(name, netns);
        }
    }
}

impl Bench for LinuxBench<'_> {
    fn add_netns(&mut self, name: &str) -> Result<(), Refused> {
        let netns = self.sandbox.add(name).map_err(failed)?;
        self.here = Some(self.rooms.len());
        self.names.push(name.to_owned());
        self.rooms.push(Room { monitor: None, devs: BTreeMap::new(), netns });
        Ok(())
    }

    fn ip(&mut self, netns: &str, lines: &[&str]) -> Result<(), Refused> {
        let names = self.names();
        lines.iter().try_for_each(|line| guard::ip_line(line, &names)).map_err(Refused::Failed)?;
        self.rooms.iter_mut().for_each(|room| room.netns.injector.forget());
        // The tool has no options within a batch.
        for batch in lines.chunk_by(|one, other| one.starts_with(V6) == other.starts_with(V6)) {
            let family: &[&str] = if batch[0].starts_with(V6) { &["-6"] } else { &[] };
            let words = [&["ip"], family, &["-batch", "-"]].concat();
            let text: String = batch.iter().map(|line| format!("{}\n", line.trim_start_matches(V6))).collect();
            self.tool(netns, &words, &text)?;
        }
        Ok(())
    }

    fn bridge(&mut self, netns: &str, lines: &[&str]) -> Result<(), Refused> {
        self.tool(netns, &["bridge", "-batch", "-"], &(lines.join("\n") + "\n"))
    }

    fn no_offloads(&mut self, netns: &str) -> Result<(), Refused> {
        let at = self.enter(netns).map_err(failed)?;
        let ethtool = Ethtool::open().map_err(failed)?;
        for dev in &if_nameindex().map_err(|e| failed(e.into()))? {
            let name = dev.name().to_string_lossy();
            if name != "lo" {
                ethtool.no_offloads(&name).map_err(|e| Refused::Failed(format!("{name}: {e}")))?;
            }
        }
        // Who asks for a device first waits for whoever changes devices in any netns: a frame would be late.
        self.rooms[at].netns.injector.look().map_err(failed)
    }

    fn iptables_restore(&mut self, netns: &str, family: Family, text: &str) -> Result<(), Refused> {
        guard::rules(text).map_err(Refused::Failed)?;
        let tool = match family {
            Family::V4 => "iptables-nft-restore",
            Family::V6 => "ip6tables-nft-restore",
        };
        self.tool(netns, &[tool], text)
    }

    fn ipset_restore(&mut self, netns: &str, text: &str) -> Result<(), Refused> {
        self.tool(netns, &["ipset", "restore"], text)
    }

    fn set_sysctl(&mut self, netns: &str, key: &str, value: &str) -> Result<(), Refused> {
        // A netns may only choose among what the machine's own one allows (tcp_set_default_congestion_control); a socket of
        // root's may have any.
        if key == "net.ipv4.tcp_congestion_control" {
            self.congestion = Some(value.to_owned());
            return Ok(());
        }
        let path = guard::sysctl_path(key).map_err(Refused::Failed)?;
        self.enter(netns).map_err(failed)?;
        fs::OpenOptions::new().write(true).open(path).and_then(|mut file| file.write_all(value.as_bytes())).map_err(
            |e| match e.kind() {
                io::ErrorKind::NotFound => Refused::NotYet(format!("sysctl {key}")),
                _ => Refused::Failed(format!("sysctl {key}={value}: {e}")),
            },
        )
    }

    fn sysctl(&mut self, netns: &str, key: &str) -> Result<String, Errno> {
        let path = guard::sysctl_path(key).map_err(|_| Errno::ENOENT)?;
        self.enter(netns).map_err(of_io)?;
        let value = fs::read(path).map_err(of_io)?;
        Ok(String::from_utf8_lossy(&value).trim_end().to_owned())
    }

    fn exec(&mut self, netns: &str, words: &[&str]) -> Result<Output, Refused> {
        if let (true, Some(output)) = (words == CONNTRACK_TABLE, self.conntrack_table(netns)) {
            return Ok(output);
        }
        guard::command(words, &self.names()).map_err(Refused::Failed)?;
        self.rooms.iter_mut().for_each(|room| room.netns.injector.forget());
        self.enter(netns).map_err(failed)?;
        let tool = words[0].replace("tables", "tables-nft");
        let words = [&[tool.as_str()], &words[1..]].concat();
        // /sys shows the netns of whoever mounted it.
        let of_netns = words.iter().any(|word| word.starts_with("/sys/"));
        let command =
            if of_netns { mortal(&[&["ip", "netns", "exec", netns], &words[..]].concat()) } else { mortal(&words) };
        run(command, "").map_err(failed)
    }

    fn create_flows(&mut self, netns: &str, n: u32, assured: bool) -> Result<(), Refused> {
        self.enter(netns).map_err(failed)?;
        flows::create(n, assured).map_err(failed)
    }

    fn start_trace(&mut self, netns: &str) -> Result<(), Refused> {
        let text = "*raw\n-I PREROUTING -j TRACE\n-I OUTPUT -j TRACE\nCOMMIT\n";
        self.tool(netns, &["iptables-nft-restore", "--noflush"], text)?;
        let at = self.enter(netns).map_err(failed)?;
        self.rooms[at].monitor = Some(Monitor::start().map_err(failed)?);
        Ok(())
    }

    fn now(&self) -> Instant {
        clock::now()
    }

    fn advance(&mut self, until: Instant) -> Option<bool> {
        let left = until.since(clock::now()).min(SLICE);
        if left > Duration::ZERO {
            let mut fds: Vec<_> =
                self.rooms.iter().map(|room| PollFd::new(room.netns.ring.as_fd(), PollFlags::POLLIN)).collect();
            let timeout = PollTimeout::from(left.as_micros().div_ceil(1000) as u16);
            // Interrupted or not: whoever asked looks again.
            let _ = poll(&mut fds, timeout);
        }
        (clock::now() < until).then_some(true)
    }

    fn drain_hops(&mut self) -> Vec<Hop> {
        let mut hops = Vec::new();
        for at in 0..self.rooms.len() {
            let room = &mut self.rooms[at];
            let first = hops.len();
            let drained = room.netns.ring.drain(NetnsId(at as u32), self.stamps, &mut hops);
            let drained = drained.and_then(|()| room.monitor.as_mut().map_or(Ok(()), Monitor::listen));
            if let Err(error) = drained {
                self.lost.get_or_insert(format!("watching {}: {error}", self.names[at]));
            }
            if hops[first..].iter().any(|hop| !self.rooms[at].devs.contains_key(&hop.dev)) {
                self.learn_devs(at);
            }
        }
        hops
    }

    fn netns_name(&self, netns: NetnsId) -> String {
        self.names[netns.index()].clone()
    }

    fn dev_name(&self, netns: NetnsId, dev: DevId) -> String {
        self.rooms[netns.index()].devs.get(&dev).cloned().unwrap_or_else(|| format!("if{}", dev.0))
    }

    fn drain_trace(&mut self, netns: &str) -> Vec<TraceLine> {
        let lines =
            self.enter(netns).and_then(|at| self.rooms[at].monitor.as_mut().map_or(Ok(Vec::new()), Monitor::drain));
        let lines = lines.unwrap_or_else(|error| {
            self.lost.get_or_insert(format!("tracing {netns}: {error}"));
            Vec::new()
        });
        lines.into_iter().map(TraceLine::Step).collect()
    }

    fn inject(&mut self, netns: &str, dev: &str, frame: Bytes) -> Result<(), Refused> {
        let at = self.enter(netns).map_err(failed)?;
        let sent = self.rooms[at].netns.injector.send(dev, &frame);
        match sent {
            // The device at the other end takes no frame of this length (`veth_xmit`).
            Err(e) if e.raw_os_error() == Some(libc::ENOBUFS) => Ok(()),
            sent => sent.map_err(|e| Refused::Failed(format!("sending out of {dev} in {netns}: {e}"))),
        }
    }
}

impl LinuxBench<'_> {
    /// What [`CONNTRACK_TABLE`] says; `None` if the kernel has no such file.
    fn conntrack_table(&mut self, netns: &str) -> Option<Output> {
        self.enter(netns).ok()?;
        let table = fs::read("/proc/thread-self/net/nf_conntrack").ok()?;
        let stdout = String::from_utf8_lossy(&table).lines().map(as_conntrack_says).collect();
        Some(Output { status: 0, stdout, stderr: String::new() })
    }

    fn learn_devs(&mut self, at: usize) {
        let Ok(_) = self.enter(&self.names[at].clone()) else { return };
        let Ok(devs) = if_nameindex() else { return };
        let names = devs.iter().map(|dev| (DevId(dev.index()), dev.name().to_string_lossy().into_owned()));
        self.rooms[at].devs.extend(names);
    }
}

/// A line of the kernel's conntrack table as the tool prints it: addresses of IPv6 in their short form, no zone 0.
fn as_conntrack_says(line: &str) -> String {
    let short = |word: &str| {
        let (key, addr) = word.split_once('=')?;
        addr.parse::<Ipv6Addr>().ok().map(|addr| format!("{key}={addr}"))
    };
    let words = line.split(' ').filter(|word| *word != "zone=0");
    let words: Vec<String> = words.map(|word| short(word).unwrap_or_else(|| word.to_owned())).collect();
    words.join(" ") + "\n"
}

fn failed(error: io::Error) -> Refused {
    Refused::Failed(error.to_string())
}

/// What a tool complained about, with the line of its input that it names.
fn complaint(output: &Output, input: &str) -> String {
    let text = output.stderr.trim().replace('\n', "; ");
    let digits =
        |word: &str| word.trim_end_matches(|c: char| !c.is_ascii_digit()).rsplit(':').next()?.parse::<usize>().ok();
    let line =
        output.stderr.split_whitespace().rev().find_map(digits).and_then(|n| input.lines().nth(n.checked_sub(1)?));
    line.map_or(text.clone(), |line| format!("{line:?}: {text}"))
}

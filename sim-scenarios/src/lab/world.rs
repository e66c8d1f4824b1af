//! The bench that matters: a [`World`].

use std::collections::BTreeMap;
use std::net::{IpAddr, Shutdown, SocketAddr};

use bytes::Bytes;
use sim_core::TracedPacket;
use sim_core::capture::Hop;
use sim_core::engine::arena::{DevId, NetnsId};
use sim_core::engine::errno::Errno;
use sim_core::engine::rng::Seed;
use sim_core::engine::time::Instant;
use sim_core::netfilter::conntrack::{Creation, L4, Status, Tuple};
use sim_core::netns::netlink::CommandError;
use sim_core::netns::socket::tcp::SocketOptions;
use sim_core::netns::socket::{Socket, SocketError};
use sim_core::wire::ip::{Family, IpHeader, UDP};
use sim_core::world::{Happened, RestoreError, World};

use super::bench::{Bench, MADE_LIFETIME, Refused, Sock, SockOptions, Sockets, TraceLine, made_flow};
use crate::shell::{self, Output};

/// A world with the lab's calls.
#[derive(Clone, Debug)]
pub struct LabWorld {
    pub(super) world: World,
    /// Trace lines not yet asked for.
    traces: BTreeMap<NetnsId, Vec<TraceLine>>,
}

impl LabWorld {
    /// An empty world that captures every hop.
    pub fn new(seed: Seed) -> Self {
        let mut world = World::new(seed);
        world.capture(true);
        Self { world, traces: BTreeMap::new() }
    }

    /// On a kernel what a call sends has arrived when it returns.
    fn arrive(&mut self) {
        self.advance(self.now());
    }

    /// The world as it is.
    pub const fn world(&self) -> &World {
        &self.world
    }

    /// An empty world that makes a mistake.
    #[cfg(test)]
    pub(super) fn planted(seed: Seed, mutant: sim_core::engine::mutant::Mutant) -> Self {
        let mut bench = Self::new(seed);
        bench.world.plant(mutant);
        bench
    }

    /// The netns called `name`: specs are checked when they are read, so it exists.
    pub(super) fn id(&self, name: &str) -> NetnsId {
        let id = self.world.netns_id(name);
        assert!(id.is_some(), "the runner names a netns it never made: {name}");
        id.unwrap_or(NetnsId(0))
    }
}

/// What one read takes at most, in bytes.
const LARGEST_READ: usize = 65_536;

/// The netns of a socket, and its id if it is of the wanted kind.
macro_rules! socket {
    ($self:ident, $sock:ident, $kind:ident, $otherwise:expr) => {{
        let Socket::$kind(id) = $sock.socket else { return $otherwise };
        ($self.id(&$sock.netns), id)
    }};
}

impl Sockets for LabWorld {
    fn udp(&mut self, netns: &str, local: SocketAddr, options: SockOptions) -> Result<Sock, Errno> {
        let ns = self.id(netns);
        let id = self.world.udp_bind(ns, local, true)?;
        if let Some(socket) = self.world.udp(ns, id) {
            socket.ttl = options.ttl;
            socket.tos = options.tos.unwrap_or(0);
            socket.pmtu = options.pmtu.unwrap_or_default();
        }
        Ok(Sock { netns: netns.into(), socket: Socket::Udp(id) })
    }

    fn udp_connect(&mut self, sock: &Sock, peer: SocketAddr) -> Result<(), Errno> {
        let (netns, id) = socket!(self, sock, Udp, Err(Errno::EINVAL));
        self.world.udp_connect(netns, id, peer)
    }

    fn udp_send(&mut self, sock: &Sock, to: Option<SocketAddr>, data: &[u8]) -> Result<(), SocketError> {
        let (netns, id) = socket!(self, sock, Udp, Err(SocketError::local(Errno::EINVAL, 0)));
        self.world.udp_send(netns, id, to, data)
    }

    fn udp_recv(&mut self, sock: &Sock) -> Result<(Bytes, SocketAddr), Errno> {
        let (netns, id) = socket!(self, sock, Udp, Err(Errno::EINVAL));
        self.world.udp_recv(netns, id).map(|datagram| (datagram.data, datagram.from))
    }

    fn raw_icmp(&mut self, netns: &str, local: IpAddr, options: SockOptions) -> Result<Sock, Errno> {
        let ns = self.id(netns);
        let id = self.world.raw_open(ns, local);
        if let Some(socket) = self.world.raw(ns, id) {
            socket.ttl = options.ttl;
            socket.tos = options.tos.unwrap_or(0);
            socket.pmtu = options.pmtu.unwrap_or_default();
        }
        Ok(Sock { netns: netns.into(), socket: Socket::Raw(id) })
    }

    fn ping(&mut self, sock: &Sock, to: IpAddr, id_seq: (u16, u16), data: &[u8]) -> Result<(), SocketError> {
        let (netns, id) = socket!(self, sock, Raw, Err(SocketError::local(Errno::EINVAL, 0)));
        self.world.ping(netns, id, to, id_seq, data)
    }

    fn raw_recv(&mut self, sock: &Sock) -> Option<(IpHeader, Bytes)> {
        let (netns, id) = socket!(self, sock, Raw, None);
        self.world.raw_recv(netns, id)
    }

    fn tcp_connect(
        &mut self,
        netns: &str,
        local: SocketAddr,
        peer: SocketAddr,
        options: SockOptions,
    ) -> Result<Sock, Errno> {
        let options = SocketOptions {
            nodelay: true,
            recverr: true,
            ttl: options.ttl,
            tos: options.tos.unwrap_or(0),
            pmtu: options.pmtu.unwrap_or_default(),
            ..SocketOptions::default()
        };
        let ns = self.id(netns);
        let id = self.world.tcp_connect(ns, local, peer, options)?;
        self.world.tcp_set_quickack(ns, id, true);
        Ok(Sock { netns: netns.into(), socket: Socket::Tcp(id) })
    }

    fn tcp_connected(&mut self, sock: &Sock) -> Option<Result<(), Errno>> {
        let (netns, id) = socket!(self, sock, Tcp, None);
        let ready = self.world.tcp_readiness(netns, id);
        let over = ready.writable || ready.error || ready.hangup;
        over.then(|| self.world.tcp_take_error(netns, id).map_or(Ok(()), Err))
    }

    fn tcp_listen(&mut self, netns: &str, local: SocketAddr, backlog: u32) -> Result<Sock, Errno> {
        let id = self.world.tcp_listen(self.id(netns), local, backlog)?;
        Ok(Sock { netns: netns.into(), socket: Socket::Tcp(id) })
    }

    fn tcp_accept(&mut self, sock: &Sock) -> Option<(Sock, SocketAddr)> {
        let (netns, id) = socket!(self, sock, Tcp, None);
        let (id, peer) = self.world.tcp_accept(netns, id)?;
        Some((Sock { netns: sock.netns.clone(), socket: Socket::Tcp(id) }, peer))
    }

    fn tcp_send(&mut self, sock: &Sock, data: &[u8]) -> Result<usize, Errno> {
        let (netns, id) = socket!(self, sock, Tcp, Err(Errno::EINVAL));
        self.world.tcp_send(netns, id, data)
    }

    fn tcp_recv(&mut self, sock: &Sock) -> Result<Bytes, Errno> {
        let (netns, id) = socket!(self, sock, Tcp, Err(Errno::EINVAL));
        self.world.tcp_recv(netns, id, LARGEST_READ)
    }

    fn tcp_ends(&mut self, sock: &Sock) -> Option<(SocketAddr, SocketAddr)> {
        let (netns, id) = socket!(self, sock, Tcp, None);
        self.world.tcp_endpoints(netns, id)
    }

    fn tcp_shutdown(&mut self, sock: &Sock) -> Result<(), Errno> {
        let (netns, id) = socket!(self, sock, Tcp, Err(Errno::EINVAL));
        let done = self.world.tcp_shutdown(netns, id, Shutdown::Write);
        self.arrive();
        done
    }

    fn tcp_abort(&mut self, sock: &Sock) {
        if let Socket::Tcp(id) = sock.socket {
            self.world.tcp_abort(self.id(&sock.netns), id);
        }
    }

    fn queued_error(&mut self, sock: &Sock) -> Option<SocketError> {
        let netns = self.id(&sock.netns);
        match sock.socket {
            Socket::Udp(id) => self.world.udp(netns, id)?.errors.pop(),
            Socket::Raw(id) => self.world.raw(netns, id)?.errors.pop(),
            Socket::Tcp(id) => self.world.tcp_queued_error(netns, id),
            Socket::Sctp(_) => None,
        }
    }

    fn close(&mut self, sock: &Sock) {
        let netns = self.id(&sock.netns);
        self.world.close_socket(netns, sock.socket);
        if matches!(sock.socket, Socket::Tcp(_)) {
            self.arrive();
        }
    }
}

impl Bench for LabWorld {
    fn add_netns(&mut self, name: &str) -> Result<(), Refused> {
        let failed = |e: Errno| Refused::Failed(e.to_string());
        let id = self.world.add_netns(name).map_err(failed)?;
        // The recording machine's receive buffer limit, which shows in windows on RSTs (the lab leaves it alone).
        self.world.sysctl(id, "net.ipv4.tcp_rmem", "4096 131072 33554432").map_err(failed)
    }

    fn ip(&mut self, netns: &str, lines: &[&str]) -> Result<(), Refused> {
        let netns = self.id(netns);
        lines.iter().try_for_each(|line| self.world.ip(netns, line).map_err(|error| command_refused(line, error)))
    }

    fn bridge(&mut self, netns: &str, lines: &[&str]) -> Result<(), Refused> {
        let netns = self.id(netns);
        lines.iter().try_for_each(|line| self.world.bridge(netns, line).map_err(|error| command_refused(line, error)))
    }

    fn no_offloads(&mut self, _: &str) -> Result<(), Refused> {
        Ok(())
    }

    fn iptables_restore(&mut self, netns: &str, family: Family, text: &str) -> Result<(), Refused> {
        self.world.iptables_restore((self.id(netns), family), text, false).map_err(rules_refused)
    }

    fn ipset_restore(&mut self, netns: &str, text: &str) -> Result<(), Refused> {
        let told = self.world.ipset_restore(self.id(netns), text, false);
        told.map(drop).map_err(|error| Refused::Failed(error.to_string()))
    }

    fn set_sysctl(&mut self, netns: &str, key: &str, value: &str) -> Result<(), Refused> {
        self.world.sysctl(self.id(netns), key, value).map_err(|errno| match errno {
            Errno::ENOENT => Refused::NotYet(format!("sysctl {key}")),
            errno => Refused::Failed(format!("sysctl {key}={value}: {errno}")),
        })
    }

    fn sysctl(&mut self, netns: &str, key: &str) -> Result<String, Errno> {
        self.world.sysctl_get(self.id(netns), key)
    }

    fn exec(&mut self, netns: &str, words: &[&str]) -> Result<Output, Refused> {
        let netns = self.id(netns);
        shell::exec(&mut self.world, netns, words).map_err(|_| Refused::NotYet(format!("exec {}", words.join(" "))))
    }

    fn create_flows(&mut self, netns: &str, n: u32, assured: bool) -> Result<(), Refused> {
        let status = if assured { Status::SEEN_REPLY | Status::ASSURED } else { Status::default() };
        for i in 0..n {
            let [src, dst] = made_flow(i);
            let l4 = L4::Ports { src: src.port(), dst: dst.port() };
            let orig = Tuple { src: (*src.ip()).into(), dst: (*dst.ip()).into(), proto: UDP, l4 };
            let made = Creation { orig, status, lifetime: MADE_LIFETIME };
            match self.world.conntrack_create(self.id(netns), &made) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(Errno::ENOMEM) => break,
                Err(errno) => return Err(Refused::Failed(errno.to_string())),
            }
        }
        Ok(())
    }

    fn start_trace(&mut self, netns: &str) -> Result<(), Refused> {
        let text = "*raw\n-I PREROUTING -j TRACE\n-I OUTPUT -j TRACE\nCOMMIT\n";
        self.world.iptables_restore(self.id(netns), text, true).map_err(rules_refused)
    }

    fn now(&self) -> Instant {
        self.world.now()
    }

    fn advance(&mut self, until: Instant) -> Option<bool> {
        let due = self.world.next_at().filter(|&at| at <= until);
        let mut woken = false;
        while let Some(happened) = self.world.step(due.unwrap_or(until)) {
            woken |= matches!(happened, Happened::Wake(..));
        }
        due.map(|_| woken)
    }

    fn drain_hops(&mut self) -> Vec<Hop> {
        self.world.drain_hops()
    }

    fn netns_name(&self, netns: NetnsId) -> String {
        self.world.netns_name(netns).to_owned()
    }

    fn dev_name(&self, netns: NetnsId, dev: DevId) -> String {
        self.world.dev_name(netns, dev).to_owned()
    }

    fn drain_trace(&mut self, netns: &str) -> Vec<TraceLine> {
        for group in self.world.drain_traces() {
            let lines = self.traces.entry(group.netns).or_default();
            if let Some(TracedPacket { l3, indev: iif, outdev: oif, mark }) = group.packet {
                lines.push(TraceLine::Packet { l3, iif, oif, mark });
            }
            lines.extend(group.steps.into_iter().filter_map(|(nft, _)| nft).map(TraceLine::Step));
        }
        self.traces.remove(&self.id(netns)).unwrap_or_default()
    }

    fn inject(&mut self, netns: &str, dev: &str, frame: Bytes) -> Result<(), Refused> {
        let ns = self.id(netns);
        let dev = self.world.dev_id(ns, dev).ok_or_else(|| Refused::Failed(format!("no device {dev} in {netns}")))?;
        self.world.send_frame(ns, dev, &frame);
        Ok(())
    }
}

/// What the door does not understand Linux may well; what it refuses by errno Linux refuses too.
fn command_refused(line: &str, error: CommandError) -> Refused {
    let why = format!("{line:?}: {error}");
    match error {
        CommandError::Syntax { .. } => Refused::NotYet(why),
        CommandError::Refused(_) | CommandError::NoNetns(_) => Refused::Failed(why),
    }
}

fn rules_refused(error: RestoreError) -> Refused {
    Refused::Failed(error.to_string())
}

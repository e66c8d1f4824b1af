//! Sockets as `ss -n` of iproute2 6.1 prints them.

use std::net::{IpAddr, SocketAddr};

use super::Netns;
use crate::netns::socket::bound::seen_from;
use crate::netns::socket::sctp;
use crate::netns::socket::tcp::{Row, State};
use crate::wire::ip::Family;

/// Which sockets `ss` is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SocketForm {
    /// TCP (`-t`).
    pub tcp: bool,
    /// UDP (`-u`).
    pub udp: bool,
    /// Those that listen (`-l`).
    pub listening: bool,
    /// Those that are connected.
    pub connected: bool,
    /// Connections in the states of their beginning and end, which `ss` leaves out unless told `-a`.
    pub passing: bool,
    /// With a line of titles (not so with `-H`).
    pub titles: bool,
}

/// One socket.
struct Line {
    kind: &'static str,
    state: &'static str,
    queues: [u64; 2],
    local: SocketAddr,
    peer: Option<SocketAddr>,
    family: Family,
    /// For IPv6 alone.
    v6only: bool,
}

impl Netns {
    /// Lines of `ss -n`.
    pub fn show_sockets(&self, form: SocketForm) -> Vec<String> {
        let mut lines = Vec::new();
        // Sockets of IPv4 come first, of each family those that listen (`inet_show_netlink`, `inet_diag_dump_icsk`).
        if form.udp {
            let wanted = |line: &Line| if line.peer.is_some() { form.connected } else { form.listening };
            lines.extend(self.udp_lines().filter(wanted));
            lines.sort_by_key(|line: &Line| line.family);
        }
        if form.tcp {
            let mut tcp: Vec<Line> = self.tcp_lines(form).collect();
            tcp.sort_by_key(|line| (line.family, line.peer.is_some()));
            lines.extend(tcp);
        }
        layout(&lines, form)
    }

    fn udp_lines(&self) -> impl Iterator<Item = Line> {
        self.sockets.udp.iter().map(|(_, socket)| Line {
            kind: "udp",
            state: if socket.remote.is_some() { "ESTAB" } else { "UNCONN" },
            queues: [socket.receive_queue() as u64, 0],
            local: socket.local,
            peer: socket.remote,
            family: socket.family,
            v6only: socket.v6only,
        })
    }

    fn tcp_lines(&self, form: SocketForm) -> impl Iterator<Item = Line> {
        let wanted = move |state: State| match state {
            State::Listen => form.listening,
            State::TimeWait | State::SynReceived | State::Closed => form.passing,
            _ => form.connected,
        };
        self.tcp.rows().into_iter().filter(move |row| wanted(row.state)).map(|row| Line {
            kind: "tcp",
            state: state_word(row.state),
            queues: [row.receive_queue.into(), row.send_queue.into()],
            local: row.local,
            peer: row.remote,
            family: row.family,
            v6only: row.v6only,
        })
    }

    /// All TCP sockets, as /proc/net/tcp has them.
    pub fn tcp_rows(&self) -> Vec<Row> {
        self.tcp.rows()
    }

    /// The SCTP sockets.
    pub fn sctp_rows(&self) -> Vec<sctp::Row> {
        self.sctp.rows()
    }

    /// A counter of /proc/net/netstat or /proc/net/snmp by the kernel's name, for example `ListenOverflows`; 0 if it never counted.
    pub fn tcp_counter(&self, name: &str) -> u64 {
        self.tcp.counter(name)
    }
}

/// misc/ss.c, `sstate_name`.
fn state_word(state: State) -> &'static str {
    match state {
        State::SynSent => "SYN-SENT",
        State::SynReceived => "SYN-RECV",
        State::Established => "ESTAB",
        State::FinWait1 => "FIN-WAIT-1",
        State::FinWait2 => "FIN-WAIT-2",
        State::CloseWait => "CLOSE-WAIT",
        State::Closing => "CLOSING",
        State::LastAck => "LAST-ACK",
        State::TimeWait => "TIME-WAIT",
        State::Closed => "UNCONN",
        State::Listen => "LISTEN",
    }
}

impl Line {
    /// Any address of its family; of IPv6 as an asterisk where it is one of IPv4, too. Who is bound to an address of IPv6
    /// is for IPv6 alone (`inet_addr_print`; `__inet6_bind`).
    fn any(&self) -> &'static str {
        let bound = matches!(self.local.ip(), IpAddr::V6(ip) if !ip.is_unspecified());
        match self.family {
            Family::V4 => "0.0.0.0",
            Family::V6 if self.v6only || bound => "[::]",
            Family::V6 => "*",
        }
    }

    /// An end as two cells: the address to the right, the port to the left of their colon.
    fn end(&self, addr: Option<SocketAddr>) -> [String; 2] {
        let Some(addr) = addr.map(|addr| seen_from(self.family, addr)) else {
            return [self.any().to_owned(), "*".to_owned()];
        };
        let ip = match addr.ip() {
            ip if ip.is_unspecified() => self.any().to_owned(),
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        [ip, addr.port().to_string()]
    }
}

/// Each column as wide as what stands in it (misc/ss.c, `render_calc_width`).
fn layout(lines: &[Line], form: SocketForm) -> Vec<String> {
    let titles = ["Netid", "State", "Recv-Q", "Send-Q", "Local Address", "Port", "Peer Address", "Port"];
    let mut rows: Vec<[String; 8]> = Vec::new();
    if form.titles {
        rows.push(titles.map(str::to_owned));
    }
    rows.extend(lines.iter().map(|line| {
        let ([local, local_port], [peer, peer_port]) = (line.end(Some(line.local)), line.end(line.peer));
        let [received, sent] = line.queues.map(|n| n.to_string());
        [line.kind.to_owned(), line.state.to_owned(), received, sent, local, local_port, peer, peer_port]
    }));
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or_default();
    let widths: [usize; 8] = std::array::from_fn(width);
    let show = |(at, row): (usize, &[String; 8])| {
        let w = widths;
        let kind = if form.tcp && form.udp { format!("{:<1$} ", row[0], w[0]) } else { String::new() };
        let head = format!("{:<2$} {:<3$} ", row[1], row[2], w[1], w[2]);
        let queue = format!("{:<1$} ", row[3], w[3]);
        let local = format!("{:>2$}:{:<3$} ", row[4], row[5], w[4], w[5]);
        let peer = format!("{:>2$}:{:<3$}", row[6], row[7], w[6], w[7]);
        let process = if form.titles && at == 0 { "Process" } else { "" };
        format!("{kind}{head}{queue}{local}{peer}{process}").trim_end().to_owned()
    };
    rows.iter().enumerate().map(show).collect()
}

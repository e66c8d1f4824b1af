//! Conntrack entries made over netlink: `conntrack -I` would be a process each.

use std::io;
use std::net::SocketAddrV4;
use std::os::fd::AsRawFd;

use nix::libc;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, send, socket};
use sim_scenarios::lab::bench::{MADE_LIFETIME, made_flow};

use crate::netlink::{attribute, nested};

/// `NFNL_SUBSYS_CTNETLINK` and `IPCTNL_MSG_CT_NEW`.
const NEW: u16 = 1 << 8;
/// `NLM_F_REQUEST | NLM_F_EXCL | NLM_F_CREATE`.
const CREATE: u16 = 1 | 0x200 | 0x400;
/// `CTA_TUPLE_ORIG`, `CTA_TUPLE_REPLY`, `CTA_STATUS`, `CTA_TIMEOUT` (include/uapi/linux/netfilter/nfnetlink_conntrack.h).
const ENTRY: (u16, u16, u16, u16) = (1, 2, 3, 7);
/// `CTA_TUPLE_IP` with source and destination, `CTA_TUPLE_PROTO` with number and ports.
const IP: (u16, u16, u16) = (1, 1, 2);
const PROTO: (u16, u16, u16, u16) = (2, 1, 2, 3);
/// `IPS_CONFIRMED`, and with it `IPS_SEEN_REPLY | IPS_ASSURED`.
const STATUS: [u32; 2] = [8, 14];
/// How many entries one message asks for.
const AT_ONCE: usize = 200;

/// Makes entries of `n` flows in the netns the thread is in. Those that are there, or find no room, are left out.
pub(crate) fn create(n: u32, assured: bool) -> io::Result<()> {
    let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkNetFilter)?;
    let messages: Vec<Vec<u8>> = (0..n).map(|i| message(made_flow(i), assured)).collect();
    // The kernel answers refusals only; nobody reads them, and what does not fit is dropped.
    for batch in messages.chunks(AT_ONCE) {
        send(socket.as_raw_fd(), &batch.concat(), MsgFlags::empty())?;
    }
    Ok(())
}

fn message([src, dst]: [SocketAddrV4; 2], assured: bool) -> Vec<u8> {
    let (orig, reply, status, timeout) = ENTRY;
    let attributes = [
        nested(orig, &tuple(src, dst)),
        nested(reply, &tuple(dst, src)),
        attribute(status, &STATUS[usize::from(assured)].to_be_bytes()),
        attribute(timeout, &((MADE_LIFETIME.as_millis() / 1000) as u32).to_be_bytes()),
    ];
    let body = [vec![libc::AF_INET as u8, 0, 0, 0], attributes.concat()].concat();
    let mut out = Vec::from(((16 + body.len()) as u32).to_ne_bytes());
    out.extend(NEW.to_ne_bytes());
    out.extend(CREATE.to_ne_bytes());
    out.extend([0; 8]);
    out.extend(body);
    out
}

fn tuple(src: SocketAddrV4, dst: SocketAddrV4) -> [Vec<u8>; 2] {
    let (ip, from, to) = IP;
    let (proto, number, src_port, dst_port) = PROTO;
    [
        nested(ip, &[attribute(from, &src.ip().octets()), attribute(to, &dst.ip().octets())]),
        nested(
            proto,
            &[
                attribute(number, &[libc::IPPROTO_UDP as u8]),
                attribute(src_port, &src.port().to_be_bytes()),
                attribute(dst_port, &dst.port().to_be_bytes()),
            ],
        ),
    ]
}

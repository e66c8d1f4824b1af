//! Devices without offloads: what `ethtool -K DEV tx off rx off sg off tso off gso off gro off` does, over netlink
//! (Documentation/networking/ethtool-netlink.rst), since the tool is rarely there.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};

use crate::netlink::{NESTED, attribute, attributes};

/// What is switched off: every feature behind the words of `ethtool -K` above (net/ethtool/common.c, `netdev_features_strings`).
const FEATURES: [&str; 13] = [
    "rx-checksum",
    "rx-gro",
    "tx-checksum-fcoe-crc",
    "tx-checksum-ip-generic",
    "tx-checksum-ipv4",
    "tx-checksum-ipv6",
    "tx-checksum-sctp",
    "tx-generic-segmentation",
    "tx-scatter-gather",
    "tx-scatter-gather-fraglist",
    "tx-tcp-ecn-segmentation",
    "tx-tcp-segmentation",
    "tx-tcp6-segmentation",
];

/// `NLM_F_REQUEST | NLM_F_ACK`.
const REQUEST: u16 = 1 | 4;
/// `NLMSG_ERROR`: an answer that is an errno, or 0.
const ANSWER: u16 = 2;
/// `GENL_ID_CTRL`, `CTRL_CMD_GETFAMILY` and its attributes `CTRL_ATTR_FAMILY_ID` and `CTRL_ATTR_FAMILY_NAME`.
const CONTROL: (u16, u8, u16, u16) = (0x10, 3, 1, 2);
/// `ETHTOOL_MSG_FEATURES_SET` with `ETHTOOL_A_FEATURES_HEADER` and `ETHTOOL_A_FEATURES_WANTED`.
const FEATURES_SET: (u8, u16, u16) = (12, 1, 3);
/// `ETHTOOL_A_HEADER_DEV_NAME`.
const DEV_NAME: u16 = 2;
/// `ETHTOOL_A_BITSET_BITS`, `ETHTOOL_A_BITSET_BITS_BIT`, `ETHTOOL_A_BITSET_BIT_NAME`: bits that are named and have no value
/// are cleared.
const BITS: (u16, u16, u16) = (3, 1, 2);

/// The ethtool family of the netns the thread is in.
pub(crate) struct Ethtool {
    socket: OwnedFd,
    family: u16,
}

impl Ethtool {
    /// Finds the family.
    pub(crate) fn open() -> io::Result<Self> {
        let socket =
            socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkGeneric)?;
        let (control, get, id, name) = CONTROL;
        let answer = ask(&socket, control, get, &attribute(name, b"ethtool\0"))?;
        let family = attributes(&answer).find(|(kind, _)| *kind == id).and_then(|(_, value)| value.first_chunk::<2>());
        let family = family.ok_or_else(|| io::Error::other("the kernel has no ethtool over netlink"))?;
        Ok(Self { family: u16::from_ne_bytes(*family), socket })
    }

    /// Switches the offloads of a device off.
    pub(crate) fn no_offloads(&self, dev: &str) -> io::Result<()> {
        let (command, header, wanted) = FEATURES_SET;
        let (bits, bit, bit_name) = BITS;
        let text = |kind, text: &str| attribute(kind, &[text.as_bytes(), b"\0"].concat());
        let cleared: Vec<u8> =
            FEATURES.iter().flat_map(|feature| attribute(bit | NESTED, &text(bit_name, feature))).collect();
        let body = [
            attribute(header | NESTED, &text(DEV_NAME, dev)),
            attribute(wanted | NESTED, &attribute(bits | NESTED, &cleared)),
        ];
        ask(&self.socket, self.family, command, &body.concat()).map(drop)
    }
}

/// Sends one request; the attributes of its answer.
fn ask(socket: &OwnedFd, family: u16, command: u8, body: &[u8]) -> io::Result<Vec<u8>> {
    let mut message = Vec::new();
    message.extend_from_slice(&((HEADERS + body.len()) as u32).to_ne_bytes());
    message.extend_from_slice(&family.to_ne_bytes());
    message.extend_from_slice(&REQUEST.to_ne_bytes());
    message.extend_from_slice(&[0; 8]);
    message.extend_from_slice(&[command, 1, 0, 0]);
    message.extend_from_slice(body);
    send(socket.as_raw_fd(), &message, MsgFlags::empty())?;
    let mut answer = Vec::new();
    loop {
        let mut buffer = vec![0; 32_768];
        let n = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
        let mut rest = &buffer[..n];
        while let Some(len) = rest.first_chunk::<4>().map(|len| u32::from_ne_bytes(*len) as usize) {
            let Some(message) = rest.get(..len).filter(|message| message.len() >= HEADERS) else { break };
            if u16::from_ne_bytes([message[4], message[5]]) == ANSWER {
                let errno = i32::from_ne_bytes([message[16], message[17], message[18], message[19]]);
                return if errno == 0 { Ok(answer) } else { Err(io::Error::from_raw_os_error(-errno)) };
            }
            answer = message[HEADERS..].to_vec();
            rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        }
    }
}

/// `struct nlmsghdr` and `struct genlmsghdr`.
const HEADERS: usize = 16 + 4;

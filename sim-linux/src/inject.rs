//! Frames sent out of a device as a packet socket does, past the netns' own stack.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, SockaddrLike, sendto, socket};

/// What sends in one netns. It stays open: the kernel waits for all CPUs when a packet socket is closed
/// (net/packet/af_packet.c, `packet_release`), which is longer than most round trips.
pub(crate) struct Injector {
    /// A packet socket that hears nothing.
    socket: OwnedFd,
    /// Devices that were sent out of.
    devs: BTreeMap<String, LinkAddr>,
}

impl Injector {
    /// An injector of the netns the thread is in.
    pub(crate) fn open() -> io::Result<Self> {
        let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None)?;
        Ok(Self { socket, devs: BTreeMap::new() })
    }

    /// Sends `frame` out of `dev`. The thread is in its netns.
    pub(crate) fn send(&mut self, dev: &str, frame: &[u8]) -> io::Result<()> {
        let addr = match self.devs.get(dev) {
            Some(addr) => *addr,
            None => *self.devs.entry(dev.to_owned()).or_insert(link_addr(dev)?),
        };
        sendto(self.socket.as_raw_fd(), frame, &addr, MsgFlags::empty())?;
        Ok(())
    }

    /// Devices may have come, gone, or changed their names.
    pub(crate) fn forget(&mut self) {
        self.devs.clear();
    }
}

/// What a packet socket calls a device of the netns the thread is in.
fn link_addr(dev: &str) -> io::Result<LinkAddr> {
    let found = getifaddrs()?.find_map(|entry| {
        let addr = entry.address.filter(|addr| addr.family() == Some(AddressFamily::Packet))?;
        if entry.interface_name == dev { addr.as_link_addr().copied() } else { None }
    });
    found.ok_or_else(|| io::Error::other("there is no such device"))
}

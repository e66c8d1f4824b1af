//! Frames sent out of a device as a packet socket does, past the netns' own stack.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, sendto, socket};

/// What sends in one netns. It stays open: the kernel waits for all CPUs when a packet socket is closed
/// (net/packet/af_packet.c, `packet_release`), which is longer than most round trips.
pub(crate) struct Injector {
    /// A packet socket that hears nothing.
    socket: OwnedFd,
    /// Devices that were there when somebody looked.
    devs: BTreeMap<String, LinkAddr>,
}

impl Injector {
    /// An injector of the netns the thread is in.
    pub(crate) fn open() -> io::Result<Self> {
        let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None)?;
        Ok(Self { socket, devs: BTreeMap::new() })
    }

    /// Learns what packet sockets call the devices of the netns. The thread is there.
    pub(crate) fn look(&mut self) -> io::Result<()> {
        let addrs = getifaddrs()?.filter_map(|entry| {
            let addr = *entry.address?.as_link_addr()?;
            Some((entry.interface_name, addr))
        });
        self.devs.extend(addrs);
        Ok(())
    }

    /// Sends `frame` out of `dev`. The thread is in its netns.
    pub(crate) fn send(&mut self, dev: &str, frame: &[u8]) -> io::Result<()> {
        if !self.devs.contains_key(dev) {
            self.look()?;
        }
        let addr = self.devs.get(dev).ok_or_else(|| io::Error::other("there is no such device"))?;
        sendto(self.socket.as_raw_fd(), frame, addr, MsgFlags::empty())?;
        Ok(())
    }

    /// Devices may have come, gone, or changed their names.
    pub(crate) fn forget(&mut self) {
        self.devs.clear();
    }
}

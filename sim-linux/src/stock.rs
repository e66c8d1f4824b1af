//! Netns made ahead, and thrown away behind.
//!
//! To make a packet ring, and to close one, the kernel waits for all CPUs (net/packet/af_packet.c, `packet_set_ring`,
//! `packet_release`). A thread makes them while a spec runs, and another lets go of those it has used. Neither outlives the
//! process, nor does what they hold.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::thread::spawn;

use nix::sched::{CloneFlags, setns, unshare};

use crate::capture::Ring;
use crate::inject::Injector;

/// How many netns wait to be used.
const READY: usize = 8;

/// A netns, what captures in it and what sends. It goes when all of this is dropped.
pub(crate) struct Netns {
    pub(crate) file: File,
    pub(crate) ring: Ring,
    pub(crate) injector: Injector,
}

impl Netns {
    /// Makes one and moves the thread there.
    fn make() -> io::Result<Self> {
        unshare(CloneFlags::CLONE_NEWNET)?;
        let file = File::open("/proc/thread-self/ns/net")?;
        // This too waits for the lock that a netns is taken down under.
        for dev in ["all", "default", "lo"] {
            let path = format!("/proc/sys/net/ipv6/conf/{dev}/disable_ipv6");
            if Path::new(&path).exists() {
                fs::write(path, "1")?;
            }
        }
        Ok(Self { file, ring: Ring::open()?, injector: Injector::open()? })
    }

    /// Moves the thread there. What it opens and starts from now on is inside.
    pub(crate) fn enter(&self) -> io::Result<()> {
        Ok(setns(&self.file, CloneFlags::CLONE_NEWNET)?)
    }
}

/// Where netns come from and where they go.
pub(crate) struct Stock {
    ready: Receiver<io::Result<Netns>>,
    used: Sender<Netns>,
}

impl Stock {
    /// Begins to make netns.
    #[expect(clippy::disallowed_methods, reason = "no world is here: real netns wait for the real kernel")]
    pub(crate) fn open() -> Self {
        let (made, ready) = sync_channel(READY);
        let (used, gone) = channel();
        spawn(move || while made.send(Netns::make()).is_ok() {});
        spawn(move || gone.into_iter().for_each(drop));
        Self { ready, used }
    }

    /// A netns that nobody has used.
    pub(crate) fn take(&self) -> io::Result<Netns> {
        self.ready.recv().map_err(io::Error::other)?
    }

    /// Lets go of a netns, soon.
    pub(crate) fn give_back(&self, netns: Netns) {
        // The other end is there as long as this one.
        let _ = self.used.send(netns);
    }
}

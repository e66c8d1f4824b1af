//! What an agent or an application may see when the kernel refuses: errno(3) names and numbers of
//! Linux (include/uapi/asm-generic/errno-base.h and errno.h).

use std::fmt;

macro_rules! errnos {
    ($($(#[$doc:meta])* $name:ident = $n:literal),* $(,)?) => {
        /// A Linux error number.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
        #[repr(u8)]
        pub enum Errno { $($(#[$doc])* $name = $n),* }

        impl Errno {
            /// The kernel's name, for example `ENETUNREACH`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),* }
            }
        }
    };
}

errnos! {
    /// Operation not permitted (an OUTPUT rule dropped it).
    EPERM = 1,
    /// No such file, route, entry.
    ENOENT = 2,
    /// No such process; for routes and neighbours: no such entry.
    ESRCH = 3,
    /// Try again: nothing to read, no room to write.
    EAGAIN = 11,
    /// Out of memory or of a bounded resource.
    ENOMEM = 12,
    /// Permission denied (prohibit route).
    EACCES = 13,
    /// Device or resource busy.
    EBUSY = 16,
    /// Already exists.
    EEXIST = 17,
    /// No such device.
    ENODEV = 19,
    /// Invalid argument.
    EINVAL = 22,
    /// Broken pipe: the sending side is shut down.
    EPIPE = 32,
    /// Numerical result out of range.
    ERANGE = 34,
    /// Protocol error.
    EPROTO = 71,
    /// Not supported.
    ENOTSUP = 95,
    /// Datagram bigger than the path MTU and fragmentation forbidden.
    EMSGSIZE = 90,
    /// Protocol not available.
    ENOPROTOOPT = 92,
    /// Address in use.
    EADDRINUSE = 98,
    /// Address not available.
    EADDRNOTAVAIL = 99,
    /// Network unreachable.
    ENETUNREACH = 101,
    /// Connection reset by peer.
    ECONNRESET = 104,
    /// No buffer space.
    ENOBUFS = 105,
    /// Already connected.
    EISCONN = 106,
    /// Not connected.
    ENOTCONN = 107,
    /// Timed out.
    ETIMEDOUT = 110,
    /// Connection refused.
    ECONNREFUSED = 111,
    /// No route to host.
    EHOSTUNREACH = 113,
    /// Under way.
    EINPROGRESS = 115,
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::error::Error for Errno {}

//! What an agent or an application may see when the kernel refuses: errno(3) names and numbers of
//! Linux (include/uapi/asm-generic/errno-base.h and errno.h).

use std::fmt;

macro_rules! errnos {
    ($($(#[$doc:meta])* $name:ident = $n:literal $text:literal),* $(,)?) => {
        /// A Linux error number.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
        #[repr(u8)]
        pub enum Errno { $($(#[$doc])* $name = $n),* }

        impl Errno {
            /// The kernel's name, for example `ENETUNREACH`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),* }
            }

            /// What strerror(3) of the C library calls it, for example `Network is unreachable`.
            pub const fn message(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }

            /// The error of this number, if it is one of these.
            pub const fn from_number(number: i32) -> Option<Self> {
                match number { $($n => Some(Self::$name),)* _ => None }
            }
        }
    };
}

errnos! {
    /// Operation not permitted (an OUTPUT rule dropped it).
    EPERM = 1 "Operation not permitted",
    /// No such file, route, entry.
    ENOENT = 2 "No such file or directory",
    /// No such process; for routes and neighbours: no such entry.
    ESRCH = 3 "No such process",
    /// Input or output failed.
    EIO = 5 "Input/output error",
    /// Try again: nothing to read, no room to write.
    EAGAIN = 11 "Resource temporarily unavailable",
    /// Out of memory or of a bounded resource.
    ENOMEM = 12 "Cannot allocate memory",
    /// Permission denied (prohibit route).
    EACCES = 13 "Permission denied",
    /// Device or resource busy.
    EBUSY = 16 "Device or resource busy",
    /// Already exists.
    EEXIST = 17 "File exists",
    /// No such device.
    ENODEV = 19 "No such device",
    /// Invalid argument.
    EINVAL = 22 "Invalid argument",
    /// Broken pipe: the sending side is shut down.
    EPIPE = 32 "Broken pipe",
    /// Numerical result out of range.
    ERANGE = 34 "Numerical result out of range",
    /// Protocol error.
    EPROTO = 71 "Protocol error",
    /// Not supported.
    ENOTSUP = 95 "Operation not supported",
    /// Datagram bigger than the path MTU and fragmentation forbidden.
    EMSGSIZE = 90 "Message too long",
    /// Protocol not available.
    ENOPROTOOPT = 92 "Protocol not available",
    /// Address in use.
    EADDRINUSE = 98 "Address already in use",
    /// Address not available.
    EADDRNOTAVAIL = 99 "Cannot assign requested address",
    /// Network unreachable.
    ENETUNREACH = 101 "Network is unreachable",
    /// The connection was ended by our side.
    ECONNABORTED = 103 "Software caused connection abort",
    /// Connection reset by peer.
    ECONNRESET = 104 "Connection reset by peer",
    /// No buffer space.
    ENOBUFS = 105 "No buffer space available",
    /// Already connected.
    EISCONN = 106 "Transport endpoint is already connected",
    /// Not connected.
    ENOTCONN = 107 "Transport endpoint is not connected",
    /// The peer takes no more.
    ESHUTDOWN = 108 "Cannot send after transport endpoint shutdown",
    /// Timed out.
    ETIMEDOUT = 110 "Connection timed out",
    /// Connection refused.
    ECONNREFUSED = 111 "Connection refused",
    /// No route to host.
    EHOSTUNREACH = 113 "No route to host",
    /// Under way.
    EINPROGRESS = 115 "Operation now in progress",
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::error::Error for Errno {}

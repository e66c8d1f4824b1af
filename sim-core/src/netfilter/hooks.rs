//! The five hooks and who is called at each, in order of priority.

/// A netfilter hook (include/uapi/linux/netfilter.h, `enum nf_inet_hooks`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum Hook {
    /// After reception, before routing.
    Prerouting,
    /// Before local delivery.
    Input,
    /// Between two devices.
    Forward,
    /// From a local socket, after its route is known.
    Output,
    /// Before leaving by a device.
    Postrouting,
}

impl Hook {
    /// All hooks, in the order of the kernel's numbers.
    pub const ALL: [Self; 5] = [Self::Prerouting, Self::Input, Self::Forward, Self::Output, Self::Postrouting];

    /// The name of the built-in chain, for example `PREROUTING`.
    pub const fn chain(self) -> &'static str {
        match self {
            Self::Prerouting => "PREROUTING",
            Self::Input => "INPUT",
            Self::Forward => "FORWARD",
            Self::Output => "OUTPUT",
            Self::Postrouting => "POSTROUTING",
        }
    }
}

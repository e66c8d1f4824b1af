//! Kernel eras: what Linux did before, where it matters to who looks for a fault of those days.
//!
//! An era is a handful of behaviours, each with the commit that changed it. In everything else all eras are the newest
//! one, which is the kernel that everyhop is compared with. What a rule asks for is no matter of eras: whether
//! MASQUERADE has `--random-fully` is written in the rule.

use std::str::FromStr;

/// The kernel of a machine. Default: [`Kernel::V6_18`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kernel {
    /// Its version, as `uname -r` begins.
    pub version: &'static str,
    /// NAT leaves a flow its tuple although another flow with the same first packet has it: confirmation settles it
    /// (5.0, 4e35c1cb9460, `nf_conntrack_tuple_taken`). Before, the second of two such flows got another source port, so
    /// that confirmation could not take it for the first.
    pub nat_keeps_same_origin: bool,
    /// A flow that lost a race for its original tuple is kept by its reply tuple (5.7, 6a757c07e51f,
    /// `nf_ct_resolve_clash_harder`). Before, its packet was dropped.
    pub keeps_clashing: bool,
    /// `net.ipv4.tcp_syn_linear_timeouts` at the start (6.5, ccce324dabfe). Before, the time between two SYNs doubled
    /// from the first on.
    pub syn_linear_timeouts: u32,
}

impl Kernel {
    /// Linux 4.19 of 2018, with ed07d9a021df: two packets of one flow with the same translation become one flow.
    pub const V4_19: Self =
        Self { version: "4.19", nat_keeps_same_origin: false, keeps_clashing: false, syn_linear_timeouts: 0 };
    /// Linux 5.4 of 2019.
    pub const V5_4: Self = Self { version: "5.4", nat_keeps_same_origin: true, ..Self::V4_19 };
    /// Linux 5.15 of 2021.
    pub const V5_15: Self = Self { version: "5.15", keeps_clashing: true, ..Self::V5_4 };
    /// Linux 6.18 of 2025.
    pub const V6_18: Self = Self { version: "6.18", syn_linear_timeouts: 4, ..Self::V5_15 };

    /// All eras, the newest first.
    pub const ERAS: [Self; 4] = [Self::V6_18, Self::V5_15, Self::V5_4, Self::V4_19];
}

impl Default for Kernel {
    fn default() -> Self {
        Self::V6_18
    }
}

/// No era has this version.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("no such kernel; there are 6.18, 5.15, 5.4 and 4.19")]
pub struct NoSuchKernel;

impl FromStr for Kernel {
    type Err = NoSuchKernel;

    fn from_str(version: &str) -> Result<Self, NoSuchKernel> {
        Self::ERAS.into_iter().find(|era| era.version == version).ok_or(NoSuchKernel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_era_is_found_by_its_version() {
        for era in Kernel::ERAS {
            assert_eq!(era.version.parse(), Ok(era));
        }
        assert_eq!("2.6".parse::<Kernel>(), Err(NoSuchKernel));
        assert_eq!(Kernel::default(), Kernel::ERAS[0]);
    }
}

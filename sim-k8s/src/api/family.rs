//! Address families of Services.

use std::fmt;

/// How many families a Service wants (core/v1 `IPFamilyPolicy`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IpFamilyPolicy {
    /// One.
    SingleStack,
    /// Two where the cluster has two.
    PreferDualStack,
    /// Two.
    RequireDualStack,
}

impl fmt::Display for IpFamilyPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The variants are Kubernetes' own names.
        fmt::Debug::fmt(self, f)
    }
}

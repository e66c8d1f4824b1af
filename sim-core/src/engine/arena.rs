//! Typed ids and the one hash map of the project.
//!
//! An id is an index with a type of its own: `DevId` 3 can never be used as `NetnsId` 3. Names are
//! looked up only when something is printed.

use std::fmt;

use rustc_hash::FxBuildHasher;

/// A hash map with a fixed hash function, a fast one for small keys: the same keys always land in the same buckets.
///
/// It is for lookups. Iteration order depends on insertion history, so nothing iterates one into
/// the event stream; where order matters use `BTreeMap` or `IndexMap`.
#[expect(clippy::disallowed_types, reason = "the one place that fixes the hasher")]
pub type Map<K, V> = std::collections::HashMap<K, V, FxBuildHasher>;

macro_rules! typed_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u32);

        impl $name {
            /// The id as an index into the table it belongs to.
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }
    };
}

typed_id!(
    /// One network namespace of the world.
    NetnsId, "netns"
);
typed_id!(
    /// One device of a netns: the kernel's ifindex, counted from 1 (`lo`) in each netns.
    DevId, "dev"
);
typed_id!(
    /// One underlay wire of the world.
    LinkId, "link"
);
typed_id!(
    /// One socket of a netns; never reused within a run.
    SocketId, "socket"
);
typed_id!(
    /// One machine of the world.
    MachineId, "machine"
);
typed_id!(
    /// One CPU of the world, whichever machine it is in.
    CpuId, "cpu"
);
typed_id!(
    /// One conntrack entry of a netns; never reused within a run.
    CtId, "ct"
);

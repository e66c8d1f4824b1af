//! What the apiserver keeps of every object, whatever its kind.

use sim_core::engine::time::{Duration, Instant};

use super::ObjectRef;

/// The part of an object's metadata that the apiserver writes. Default: an object that is not stored yet.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct Meta {
    /// Tells it from an earlier object of the same name; from 1 on.
    pub uid: u64,
    /// Its `resourceVersion`: the number of the last change, counted over all objects.
    pub version: u64,
    /// When it was created.
    pub created: Instant,
    /// Its controller (`ownerReferences`, the one with `controller: true`).
    pub owner: Option<Owner>,
    /// Set once its deletion is asked for and it still has to wind up.
    pub deletion: Option<Deletion>,
}

/// What controls an object. When it is gone the object goes too.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Owner {
    /// Kind and name.
    pub object: ObjectRef,
    /// Its uid: a later object of that name is another owner.
    pub uid: u64,
}

/// An object that is going away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Deletion {
    /// When deletion was asked for. (The API's `deletionTimestamp` is this plus `grace`.)
    pub requested: Instant,
    /// How long it may take (`deletionGracePeriodSeconds`).
    pub grace: Duration,
}

impl Deletion {
    /// The `deletionTimestamp`: when grace is over.
    pub fn deadline(&self) -> Instant {
        self.requested + self.grace
    }
}

//! The alloc backend: nodes have their pod networks, and someone else, a cloud, brings packets there (upstream
//! `pkg/backend/alloc/alloc.go`).

use super::{Backend, Lease, Step, Uplink};
use crate::command::Command;

/// Nothing is done on the way to other nodes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Alloc;

impl Backend for Alloc {
    fn start(&self, _: &Lease, _: &Uplink) -> Vec<Command> {
        Vec::new()
    }

    fn add_peer(&self, _: &Lease, _: &Uplink) -> Vec<Step> {
        Vec::new()
    }

    fn remove_peer(&self, _: &Lease, _: &Uplink) -> Vec<Command> {
        Vec::new()
    }

    /// `disableNodeInformer` of `pkg/subnet/kube/kube.go`.
    fn knows_peers(&self) -> bool {
        false
    }

    fn pod_mtu(&self, uplink: &Uplink) -> u16 {
        uplink.mtu
    }
}

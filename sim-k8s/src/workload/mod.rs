//! Workloads become pods on nodes, and their environments become calls.
//!
//! [`pods`] says which pods there are and what they are called, [`place`] which node each runs on, [`served_ports`] what a
//! pod answers; [`infer_calls`] finds in the environments who calls which Service, and [`read_traffic`] reads from a file
//! who shall call instead.

mod address;
mod call;
mod infer;
pub(crate) mod name;
mod placement;
mod pod;
mod served;
mod traffic;

pub use call::{Call, Caller, Fault, NotCalled, Plan, Target, Why};
pub use infer::infer_calls;
pub use placement::{Node, Obstacle, Placement, Unplaced, place};
pub use pod::{MAX_PODS, Pod, TooManyPods, pods};
pub use served::{served_ports, target_port};
pub use traffic::read_traffic;

#[cfg(test)]
mod tests;

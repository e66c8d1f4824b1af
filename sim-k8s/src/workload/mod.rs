//! What pods serve, and whom they call.
//!
//! [`served_ports`] says what a pod answers; [`infer_calls`] finds in the environments of workloads who calls which Service,
//! and [`read_traffic`] reads from a file who shall call instead. Names that are made up are made in `name`.

mod address;
mod call;
mod infer;
pub(crate) mod name;
mod served;
mod traffic;

pub use call::{Call, Caller, Fault, NotCalled, Plan, Target, Why};
pub use infer::infer_calls;
pub use served::{served_ports, target_port};
pub use traffic::read_traffic;

#[cfg(test)]
mod tests;

//! What happens in a world: scenarios, workloads, checks, reports.
//!
//! [`workload`] are the applications: servers and clients, and what they say. [`lab`] runs the specs of the reference lab, to
//! be compared with a kernel.
pub mod lab;
pub mod workload;

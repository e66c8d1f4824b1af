//! What happens in a world: scenarios, workloads, checks, reports.
pub mod lab;

//! Workloads become pods on nodes, and their environments become calls.

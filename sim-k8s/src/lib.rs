//! Kubernetes: objects in, netlink out.
//!
//! [`manifest`] reads files into the objects of [`api`]; [`workload`] turns them into pods and calls;
//! [`kubeproxy`] turns Services and their endpoints into rules.
pub mod api;
pub mod kubeproxy;
pub mod manifest;
pub mod workload;

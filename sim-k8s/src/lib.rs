//! Kubernetes: objects in, netlink out.
pub mod kubeproxy;
pub mod manifest;

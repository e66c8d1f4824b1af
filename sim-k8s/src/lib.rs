//! Kubernetes: objects in, netlink out.
//!
//! [`manifest`] reads files into the objects of [`api`]; [`workload`] turns them into pods and calls;
//! [`ipam`] gives out addresses. [`flannel`] joins the nodes' pod networks, [`cni`] wires a pod to its
//! node, [`kubeproxy`] turns Services and their endpoints into rules. What these agents ask of a netns
//! is a list of [`command`]s. [`cluster`] puts all of it together: objects in, a wired world out.
pub mod agent;
pub mod api;
pub mod apiserver;
pub mod cloud;
pub mod cluster;
pub mod cni;
pub mod command;
pub mod controller;
pub mod dns;
pub mod flannel;
pub mod http;
pub mod ipam;
pub mod kubelet;
pub mod kubeproxy;
pub mod manifest;
pub mod scheduler;
pub mod timings;
pub mod workload;

//! What happens in a world: scenarios, workloads, checks, reports.
//!
//! Start with [`run::Run`]: servers and clients ([`workload`]) in a cluster, from one seed. [`report`] says what came of it, [`page`] shows it,
//! [`determinism`] whether it comes twice, [`fault`] what is done to it meanwhile. [`shell`] answers the words of `ip`,
//! `iptables` and their like, [`tour`] shows the life of a packet with them, [`explain`] what became of any. [`flows`] puts tables of packets to
//! kube-proxy's rules. [`lab`] runs the specs of the reference lab, to be compared with a kernel.
pub mod determinism;
pub mod explain;
pub mod fault;
pub mod flows;
pub mod lab;
pub mod page;
pub mod report;
pub mod run;
pub mod shell;
pub mod tour;
pub mod workload;

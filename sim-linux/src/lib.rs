//! The lab on this machine's kernel: the specs that the emulator runs, run by Linux in network namespaces of their own.
//!
//! [`with_kernel`] lends the second implementation of [`Kernel`]. The runner, its clients and servers and the canonical form
//! are those of [`sim_scenarios::lab`]; what is here is the bench beneath: netns, tools, sockets, taps.
//!
//! Nothing of the machine is touched. The kernel is used by a thread that has left the machine's netns and mounts for new,
//! empty ones. No netns of a spec has a name outside: each is held by file descriptors only, and every child process dies
//! with its parent, so all of it is gone with the process, however that ends. What a spec may ask of tools is checked
//! first ([`guard`]).
//!
//! | room | what it is |
//! | --- | --- |
//! | [`guard`] | what a spec may not ask of this machine |
//! | `sandbox` | the thread's own namespaces, and the names of netns in them |
//! | `stock` | netns made ahead, and thrown away behind |
//! | `tools` | child processes, with an end |
//! | `clock` | the machine's clock in the lab's words |
//! | `capture` | a packet ring per netns |
//! | `inject` | raw frames |
//! | `netlink`, `flows` | messages, and those that make conntrack entries |
//! | `offload` | checksums and segments as on a wire |
//! | `sockets` | the system calls of clients and servers |
//! | `pod` | TCP sockets of scripts, and what can be asked about them |
//! | `trace` | what `xtables-monitor --trace` says |
//! | `bench` | all of it as the lab's bench |

pub mod guard;

#[cfg(target_os = "linux")]
mod bench;
#[cfg(target_os = "linux")]
mod capture;
#[cfg(target_os = "linux")]
mod clock;
#[cfg(target_os = "linux")]
mod flows;
#[cfg(target_os = "linux")]
mod inject;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
mod netlink;
#[cfg(target_os = "linux")]
mod offload;
#[cfg(target_os = "linux")]
mod options;
#[cfg(target_os = "linux")]
mod pod;
#[cfg(target_os = "linux")]
mod sandbox;
#[cfg(target_os = "linux")]
mod sockets;
#[cfg(target_os = "linux")]
mod stock;
#[cfg(target_os = "linux")]
mod tools;
#[cfg(target_os = "linux")]
mod trace;

#[cfg(test)]
mod tests;

use serde_json::{Value, json};
use sim_scenarios::lab::kernel::Kernel;

/// Why specs cannot be run on this machine's kernel.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unavailable(pub String);

/// Lends this machine's kernel to `work`, which runs on a thread of its own, on the `worker`-th of the CPUs that this process
/// may use. Several of these beside each other do not meet, be they of one process or of many.
///
/// # Errors
/// The machine has not what it takes: Linux, root, the tools, `br_netfilter`.
#[cfg(target_os = "linux")]
pub fn with_kernel<T: Send>(worker: usize, work: impl FnOnce(&mut dyn Kernel) -> T + Send) -> Result<T, Unavailable> {
    let there = || linux::Linux::enter(worker).map(|mut kernel| work(&mut kernel));
    let done = std::thread::scope(|scope| scope.spawn(there).join());
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// There is no Linux kernel here.
///
/// # Errors
/// Always: this is not Linux.
#[cfg(not(target_os = "linux"))]
pub fn with_kernel<T: Send>(_: usize, _: impl FnOnce(&mut dyn Kernel) -> T + Send) -> Result<T, Unavailable> {
    Err(Unavailable(format!("this machine runs {}, not Linux", std::env::consts::OS)))
}

/// What a recording says of its origin: the kernel's version and that of iptables.
pub fn versions() -> Value {
    let word =
        |text: &[u8], at| String::from_utf8_lossy(text).split_whitespace().nth(at).unwrap_or_default().to_owned();
    let release = word(&std::fs::read("/proc/sys/kernel/osrelease").unwrap_or_default(), 0);
    let iptables = std::process::Command::new("iptables-nft").arg("-V").output().map(|output| output.stdout);
    let numbers: Vec<&str> = release.split(['.', '-']).take(2).collect();
    json!({ "kernel": numbers.join("."), "iptables": word(&iptables.unwrap_or_default(), 1) })
}

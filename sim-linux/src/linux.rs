//! This machine's kernel as one that specs can be run on.

use std::path::Path;

use serde_json::Value;
use sim_core::engine::time::Duration;
use sim_scenarios::lab::kernel::Kernel;
use sim_scenarios::lab::run::{RunError, run};
use sim_scenarios::lab::script;
use sim_scenarios::lab::spec::Asked;

use crate::Unavailable;
use crate::bench::LinuxBench;
use crate::sandbox::Sandbox;

/// The tools that build a cluster and look at it, with the package that has them on Debian.
const TOOLS: [(&str, &str); 7] = [
    ("bridge", "iproute2"),
    ("conntrack", "conntrack"),
    ("ip", "iproute2"),
    ("ipset", "ipset"),
    ("iptables-nft-restore", "iptables"),
    ("setpriv", "util-linux"),
    ("xtables-monitor", "iptables"),
];

/// This machine's kernel, entered by one thread.
pub(crate) struct Linux {
    sandbox: Sandbox,
    pace: Vec<Duration>,
}

impl Linux {
    /// Moves the calling thread into namespaces of its own, for good, and onto the `worker`-th of the CPUs it may use.
    /// Several threads of one process do not meet.
    ///
    /// # Errors
    /// The machine has not what it takes: root, the tools, `br_netfilter`.
    pub(crate) fn enter(worker: usize) -> Result<Self, Unavailable> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let is_there = |tool: &str| std::env::split_paths(&path).any(|folder| folder.join(tool).is_file());
        if let Some((tool, package)) = TOOLS.iter().find(|(tool, _)| !is_there(tool)) {
            return Err(Unavailable(format!("{tool} (package {package}) is not installed")));
        }
        let sandbox = Sandbox::enter(worker)?;
        if !Path::new("/proc/sys/net/bridge").exists() {
            return Err(Unavailable("the kernel has no br_netfilter: modprobe br_netfilter".into()));
        }
        Ok(Self { sandbox, pace: Vec::new() })
    }
}

impl Kernel for Linux {
    fn run(&mut self, asked: &Asked, stop: &dyn Fn() -> bool) -> Result<Value, RunError> {
        let mut bench = LinuxBench::new(&self.sandbox);
        self.pace.clear();
        let result = match asked {
            Asked::Steps(spec) => run(spec, &mut bench, stop),
            Asked::Script(script) => script::run(script, &mut bench, stop).map(|done| {
                self.pace = done.pace;
                done.result
            }),
        };
        match bench.lost.take() {
            Some(lost) => Err(RunError::Watch(lost)),
            None => result,
        }
    }

    fn pace(&self) -> &[Duration] {
        &self.pace
    }
}

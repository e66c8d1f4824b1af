//! How long the parts of a control plane take: every default is a named knob with its source.

mod kubelet;

pub use kubelet::KubeletTimings;

use sim_core::engine::rng::Stream;
use sim_core::engine::time::Duration;

/// A time between two bounds, each equally likely. Both included; equal bounds are a constant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// At least this.
    pub from: Duration,
    /// At most this.
    pub to: Duration,
}

impl Span {
    /// From so many to so many milliseconds.
    pub const fn millis(from: u64, to: u64) -> Self {
        Self { from: Duration::from_millis(from), to: Duration::from_millis(to) }
    }

    /// From so many to so many seconds.
    pub const fn secs(from: u64, to: u64) -> Self {
        Self { from: Duration::from_secs(from), to: Duration::from_secs(to) }
    }

    /// A draw, to the microsecond.
    pub fn draw(self, stream: &mut Stream) -> Duration {
        let micros = self.to.as_micros().saturating_sub(self.from.as_micros());
        let micros = u32::try_from(micros).unwrap_or(u32::MAX - 1);
        self.from + Duration::from_micros(u64::from(stream.below(micros + 1)))
    }
}

/// How long things take. Defaults are those of a quiet cluster.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Timings {
    /// A write of one object, from the request to its answer. Default 5 to 20 ms: the service level objective is a p99
    /// of 1 s (kubernetes/community sig-scalability/slos/api_call_latency.md); a quiet apiserver with etcd on SSD needs
    /// this.
    pub call: Span,
    /// From one node's joining to the next one's, as the cluster is made. Default 20 ms: longer than a write takes, so
    /// that nodes get their pod networks in the order of their names.
    pub join: Duration,
    /// From a write to the moment a watcher hears of it. Default 2 to 20 ms; no objective exists (slos/watch_latency.md).
    pub watch: Span,
    /// What the scheduler needs for one pod, one after the other. Default 5 to 15 ms: 9 ms at the median, 25 ms at the 99th
    /// percentile (kubernetes/kubernetes#56053, #42000).
    pub scheduling: Span,
    /// How long a pod that fits nowhere rests after its first attempt, and at most. Default 1 to 10 s
    /// (`podInitialBackoffSeconds`, `podMaxBackoffSeconds`: pkg/scheduler/apis/config/v1/defaults.go).
    pub pod_backoff: Span,
    /// Kubelets and their container runtimes.
    pub kubelet: KubeletTimings,
    /// How long a node may say nothing before its state is unknown. Default 50 s (`--node-monitor-grace-period`, 40 s
    /// before 1.32: kubernetes/kubernetes#126287).
    pub node_monitor_grace: Duration,
    /// How often the node lifecycle controller looks at all nodes. Default 5 s (`--node-monitor-period`).
    pub node_monitor_period: Duration,
    /// How long pods that say nothing of it stay on a node that is not ready or not reachable. Default 300 s
    /// (`--default-not-ready-toleration-seconds`, `--default-unreachable-toleration-seconds` of the apiserver).
    pub not_ready_toleration: Duration,
}

impl Default for Timings {
    fn default() -> Self {
        Self {
            call: Span::millis(5, 20),
            join: Duration::from_millis(20),
            watch: Span::millis(2, 20),
            scheduling: Span::millis(5, 15),
            pod_backoff: Span::secs(1, 10),
            kubelet: KubeletTimings::default(),
            node_monitor_grace: Duration::from_secs(50),
            node_monitor_period: Duration::from_secs(5),
            not_ready_toleration: Duration::from_secs(300),
        }
    }
}

//! A kubelet's times, and those of its container runtime.

use sim_core::engine::time::Duration;

use super::Span;

/// How long a kubelet and its container runtime take. Files are those of kubernetes/kubernetes if nothing else is said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KubeletTimings {
    /// How often the lease is renewed. Default 10 s: a quarter of its 40 s (pkg/kubelet/kubelet.go, `nodeLeaseRenewIntervalFraction`).
    pub lease: Duration,
    /// How often the containers of the node are listed, and so from one notice of a start or an end to the next. Default
    /// 1 s (pkg/kubelet/kubelet.go, `genericPlegRelistPeriod`).
    pub relist: Duration,
    /// How long such a listing takes. Default 10 to 100 ms (an estimate).
    pub relist_takes: Span,
    /// `RunPodSandbox` without the network. Default 100 to 500 ms (an estimate from reports: containerd#6111,
    /// kubernetes#66672; some are far slower).
    pub sandbox: Span,
    /// The network of a sandbox is made (CNI ADD). Default 15 to 150 ms (projectcalico/calico#7705 and others).
    pub cni_add: Span,
    /// A container is created and started, its image being there. Default 20 to 100 ms (an estimate: pods run after
    /// 0.2 s in the median, kubernetes#42000).
    pub container_start: Span,
    /// `StopPodSandbox` once the containers are dead, before the network. Default 40 to 850 ms (an estimate).
    pub sandbox_stop: Span,
    /// The network of a sandbox is taken down (CNI DEL). Default 10 to 150 ms (an estimate).
    pub cni_del: Span,
    /// From there to the end: volumes are looked at each 100 ms (pkg/kubelet/kubelet.go, `SyncTerminatedPod`). Default 0
    /// to 100 ms.
    pub volumes: Span,
    /// After a sandbox could not be made. Default 10 to 15 s (pkg/kubelet/kubelet.go, `backOffPeriod`; pod_workers.go,
    /// `workerBackOffPeriodJitterFactor`).
    pub retry: Span,
    /// Before a container is started again, beginning with the second time and doubled each time. Default 10 s
    /// (pkg/kubelet/kubelet.go, `initialNodeCrashLoopBackOff`).
    pub crash_backoff: Duration,
    /// At most that. Default 300 s (pkg/kubelet/kubelet.go, `MaxCrashLoopBackOff`).
    pub crash_backoff_max: Duration,
}

impl Default for KubeletTimings {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(10),
            relist: Duration::from_secs(1),
            relist_takes: Span::millis(10, 100),
            sandbox: Span::millis(100, 500),
            cni_add: Span::millis(15, 150),
            container_start: Span::millis(20, 100),
            sandbox_stop: Span::millis(40, 850),
            cni_del: Span::millis(10, 150),
            volumes: Span::millis(0, 100),
            retry: Span::secs(10, 15),
            crash_backoff: Duration::from_secs(10),
            crash_backoff_max: Duration::from_secs(300),
        }
    }
}

//! What a kubelet does to a container: probes, and the hooks after its start and before its end.

use std::net::IpAddr;

use sim_core::engine::time::Duration;

/// A periodic check of a container (`startupProbe`, `livenessProbe`, `readinessProbe`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Probe {
    /// What is done.
    pub handler: Handler,
    /// How long the container must have run, in whole seconds. Default 0.
    pub initial_delay: u64,
    /// How long an answer may take. Default 1 s.
    pub timeout: Duration,
    /// From one try to the next. Default 10 s.
    pub period: Duration,
    /// Successes in a row that count as one. Default 1; always 1 but for readiness.
    pub success_threshold: u32,
    /// Failures in a row that count as one. Default 3.
    pub failure_threshold: u32,
    /// How long the container may take to stop once this probe has failed; `None`: as long as its pod's may.
    pub grace: Option<Duration>,
}

/// What a probe or a hook does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Handler {
    /// An HTTP GET; 200 to 399 is a success.
    HttpGet(HttpGet),
    /// A TCP connection; that it stands is a success.
    TcpSocket {
        /// Where to; `None`: the pod's address.
        host: Option<IpAddr>,
        /// The port.
        port: u16,
    },
    /// The gRPC health checking protocol; `SERVING` is a success.
    Grpc {
        /// The port.
        port: u16,
        /// Which service is asked about; empty: the server as a whole.
        service: String,
    },
    /// A command in the container. It succeeds if the container runs, and takes as long as its `sleep`s.
    Exec(Duration),
    /// Nothing, for so long (hooks only).
    Sleep(Duration),
}

impl Handler {
    /// The TCP port of the pod that it goes to, if it does.
    pub(super) fn pod_port(&self) -> Option<u16> {
        match self {
            Self::HttpGet(HttpGet { host: None, port, .. })
            | Self::TcpSocket { host: None, port }
            | Self::Grpc { port, .. } => Some(*port),
            _ => None,
        }
    }
}

/// An HTTP GET of a kubelet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HttpGet {
    /// By TLS.
    pub https: bool,
    /// Where to; `None`: the pod's address.
    pub host: Option<IpAddr>,
    /// The port.
    pub port: u16,
    /// What is asked for. Default `/`.
    pub path: String,
    /// Headers as the manifest has them.
    pub headers: Vec<(String, String)>,
}

/// What a kubelet does when a container has started, and before it is told to stop.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Lifecycle {
    /// At once after its start; no later container starts before it is done.
    pub post_start: Option<Handler>,
    /// Before the stop signal, within the grace period.
    pub pre_stop: Option<Handler>,
}

/// Whether containers that have ended are started again.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum RestartPolicy {
    /// Always. The default.
    #[default]
    Always,
    /// If they ended badly.
    OnFailure,
    /// Never.
    Never,
}

/// An init container that has to end well before the next container starts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InitContainer {
    /// Name, unique in the pod.
    pub name: String,
    /// How long it runs: what its command sleeps.
    pub runs: Duration,
}

//! How a cloud's load balancers are: every difference between products is a named knob.
//!
//! Sources are those of `cloud-provider` 4666611 (service controller), kubernetes/ingress-gce acbcf5d (`pkg/l4`), aws-load-balancer-controller
//! 225f445 (`pkg/service/model_builder.go`), and the vendors' guides; where there is none it says so.

use sim_core::engine::time::Duration;

use crate::timings::Span;

/// What a load balancer does with a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LbKind {
    /// Hands it to a node as it is; the node answers the client itself (direct return). Google Cloud's passthrough
    /// balancers, Azure's with floating IP, IPVS with direct routing.
    Passthrough,
    /// Makes the node's port its destination and the balancer its source; answers come back through the balancer. AWS'
    /// NLB without client IP preservation, HAProxy in TCP mode.
    Nat,
}

/// What becomes of connections to a node that fails its health checks. New ones always go elsewhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Established {
    /// TCP goes on; UDP, which has no connections to keep, moves (Google Cloud's `DEFAULT_FOR_PROTOCOL`).
    Continue,
    /// They end: the next packet goes to another node, or is answered with a RST.
    Cut,
}

/// What a health check asks a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CheckKind {
    /// `GET /healthz` of kube-proxy at port 10256 (KEP-3458).
    KubeProxy,
    /// `GET /healthz` at the Service's `healthCheckNodePort`, which tells whether the node has an endpoint.
    HealthCheckNodePort,
    /// A connection to the Service's first TCP node port, wherever that leads; without one as [`Self::KubeProxy`].
    NodePort,
}

/// How often a node is asked and how soon it is believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HealthCheck {
    /// What is asked.
    pub kind: CheckKind,
    /// From one check to the next. The first one comes at a random moment of the first interval.
    pub interval: Duration,
    /// No answer for so long is a failure.
    pub timeout: Duration,
    /// Failures in a row until a node gets no new connections.
    pub unhealthy: u32,
    /// Successes in a row until it gets some. A new node begins unhealthy.
    pub healthy: u32,
}

impl HealthCheck {
    const fn new(kind: CheckKind, [interval, timeout]: [u64; 2], [unhealthy, healthy]: [u32; 2]) -> Self {
        let [interval, timeout] = [Duration::from_secs(interval), Duration::from_secs(timeout)];
        Self { kind, interval, timeout, unhealthy, healthy }
    }
}

/// The load balancers of a cloud.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LbConfig {
    /// What they do with packets. Default: passthrough.
    pub kind: LbKind,
    /// Services are told `ipMode: Proxy`: nodes and pods then go through the balancer, instead of being sent to an
    /// endpoint by their own kube-proxy. Default off (`VIP`).
    pub is_proxy: bool,
    /// Health checks of a Service with `externalTrafficPolicy: Cluster`.
    pub cluster_check: HealthCheck,
    /// Health checks of a Service with `externalTrafficPolicy: Local`.
    pub local_check: HealthCheck,
    /// From a change of a node's health to the last packet that does not know of it. Default 0; AWS' NLB needs seconds to
    /// minutes (reports only).
    pub propagation: Span,
    /// What becomes of connections to a node that fails its health checks. Default: they go on.
    pub unhealthy: Established,
    /// If all nodes fail, all get connections, as a last resort. Default on.
    pub last_resort: bool,
    /// How long connections to a node that is no target any more may go on. Default 30 s (ingress-gce, connection draining); AWS says 300.
    pub draining: Duration,
    /// A connection without packets is forgotten after this time. Default 60 s: with direct return it is merely chosen
    /// anew, by the same hash.
    pub idle: Duration,
    /// How long the cloud needs for a new balancer, or to take one down. Default 2 to 5 s (a call to the cloud's API
    /// takes about a second, and a balancer needs several; no vendor gives a bound).
    pub provisioning: Span,
    /// How long it needs to change ports, source ranges or the set of nodes. Default 1 to 2 s, as above.
    pub update: Span,
}

impl Default for LbConfig {
    fn default() -> Self {
        Self::passthrough()
    }
}

impl LbConfig {
    /// Google Cloud's external passthrough balancer with backend services, as ingress-gce makes them.
    pub const fn passthrough() -> Self {
        Self {
            kind: LbKind::Passthrough,
            is_proxy: false,
            cluster_check: HealthCheck::new(CheckKind::KubeProxy, [8, 1], [3, 1]),
            local_check: HealthCheck::new(CheckKind::HealthCheckNodePort, [3, 1], [2, 1]),
            propagation: Span::secs(0, 0),
            unhealthy: Established::Continue,
            last_resort: true,
            draining: Duration::from_secs(30),
            idle: Duration::from_secs(60),
            provisioning: Span::secs(2, 5),
            update: Span::secs(1, 2),
        }
    }

    /// A balancer with instance targets and without client IP preservation, as aws-load-balancer-controller makes an NLB:
    /// it forgets idle connections after 350 s and answers what it does not know with a RST.
    pub const fn nat() -> Self {
        Self {
            kind: LbKind::Nat,
            cluster_check: HealthCheck::new(CheckKind::NodePort, [10, 10], [3, 3]),
            local_check: HealthCheck::new(CheckKind::HealthCheckNodePort, [10, 6], [2, 2]),
            unhealthy: Established::Cut,
            draining: Duration::from_secs(300),
            idle: Duration::from_secs(350),
            ..Self::passthrough()
        }
    }
}

//! Who calls whom.

use std::fmt;

use sim_core::engine::time::Duration;

use crate::api::{ObjectKey, Protocol, WorkloadRef};
use crate::manifest::shown;

/// Calls of one caller to one port.
#[derive(Clone, PartialEq, Debug)]
pub struct Call {
    /// Who calls. Each call of a workload comes from one of its pods.
    pub from: Caller,
    /// Who is called.
    pub to: Target,
    /// The port called, by number.
    pub port: u16,
    /// Its protocol.
    pub protocol: Protocol,
    /// The port they come from; `None`: the caller's kernel chooses.
    pub source_port: Option<u16>,
    /// How many calls are made.
    pub count: u32,
    /// Time from one call to the next.
    pub every: Duration,
    /// Why it is made.
    pub why: Why,
}

/// Who calls.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Caller {
    /// A pod of this workload.
    Workload(WorkloadRef),
    /// A process of a node; the nodes take turns.
    Node,
    /// Someone outside the cluster, by node port, external address or load balancer.
    World,
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Workload(workload) => workload.fmt(f),
            Self::Node => f.write_str("node"),
            Self::World => f.write_str("world"),
        }
    }
}

/// Who is called.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Target {
    /// This Service, by its name; from outside at the addresses that lead to it.
    Service(ObjectKey),
    /// A host in the world outside, by its DNS name.
    Outside(&'static str),
}

impl Target {
    /// The Service that is called, if it is one.
    pub fn service(&self) -> Option<&ObjectKey> {
        match self {
            Self::Service(key) => Some(key),
            Self::Outside(_) => None,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(key) => key.fmt(f),
            Self::Outside(name) => f.write_str(name),
        }
    }
}

/// Why a call is made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Why {
    /// An environment variable of the caller names the Service.
    Environment {
        /// The container that has the variable.
        container: String,
        /// The variable.
        name: String,
        /// The part of its value that names the Service.
        value: String,
    },
    /// Nobody names the port, and every port shall be called.
    Uncalled,
    /// The port is open to the world outside.
    Open,
    /// The way out of the cluster shall be tried.
    Egress,
    /// The traffic file says so.
    TrafficFile,
}

/// The calls to make, and what looked like one and is none.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct Plan {
    /// The calls, in the order of the workloads; those nobody asked for last, in the order of the Services.
    pub calls: Vec<Call>,
    /// Not called.
    pub not_called: Vec<NotCalled>,
}

/// Something that is not called.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NotCalled {
    /// An environment value that looks like an address.
    Value {
        /// The workload.
        from: WorkloadRef,
        /// The container that has the variable.
        container: String,
        /// The variable.
        name: String,
        /// The part of its value that looks like an address.
        value: String,
        /// Why it is not called.
        fault: Fault,
    },
    /// A Service port for which there is no caller: the manifests make no pod.
    Port {
        /// The Service.
        service: ObjectKey,
        /// Number of the port.
        port: u16,
    },
}

/// Why an address is not called.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fault {
    /// It names no Service of the manifests.
    NoService,
    /// It names a Service, but none of its ports.
    NoPort(ObjectKey),
}

impl fmt::Display for NotCalled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value { from, container, name, value, fault } => {
                write!(f, "{from}, container {container}, {}={}: ", shown(name), shown(value))?;
                match fault {
                    Fault::NoService => f.write_str("names no Service of the manifests"),
                    Fault::NoPort(service) => write!(f, "Service {service} has no such port"),
                }
            }
            Self::Port { service, port } => write!(f, "Service {service}, port {port}: there is no pod to call it"),
        }
    }
}

//! Load balancers: they know nodes and nothing of pods.
//!
//! A Service of type LoadBalancer gets an address from the cloud; packets for it arrive at the netns `lb`, which sends each
//! connection to one of the nodes that pass their health checks. Whether that node has a pod of the Service is kube-proxy's
//! business: with `externalTrafficPolicy: Cluster` it may take a second hop, with `Local` nodes without one fail the check.
//!
//! | room | what it is |
//! | --- | --- |
//! | [`LbConfig`] | how a cloud's balancers are, knob by knob |
//! | `controller` | the agent: Services and Nodes in, balancers out, addresses into the Services' status |
//! | `balancer` | what one Service asks for |
//! | `addresses` | which Service has which address |
//! | `nodes` | which nodes are targets (the service controller's predicates) |
//! | `checks`, `probe`, `health` | health checks: their pace, their packets, what they are believed |
//! | `rules` | what makes the netns do it |

mod addresses;
mod balancer;
mod checks;
mod config;
mod controller;
mod health;
mod nodes;
mod probe;
mod rules;

pub use config::{CheckKind, Established, HealthCheck, LbConfig, LbKind};
pub use controller::LoadBalancers;
pub use rules::{NO_NODE, NO_SUCH_PORT, NOT_ADMITTED};

#[cfg(test)]
mod tests;

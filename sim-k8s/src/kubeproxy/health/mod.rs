//! What kube-proxy tells load balancers about its node (upstream `pkg/proxy/healthcheck`).
//!
//! `services` answers on the health check node port of a Service whether the node has endpoints of it; `proxy` answers on
//! port 10256 whether kube-proxy itself keeps up; `http` is what both say it in. These hold no socket: bytes in, bytes
//! out. `servers` has the sockets.

mod proxy;
mod servers;
mod services;

pub use proxy::ProxyHealth;
pub use servers::Servers;
pub use services::ServiceHealth;

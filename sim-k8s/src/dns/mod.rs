//! Names become addresses: CoreDNS, and the resolvers of pods.
//!
//! | room | what it is |
//! | --- | --- |
//! | `records` | what the cluster's own names mean, from Services and EndpointSlices |
//! | `server` | CoreDNS: those records, a cache, and questions sent on to a resolver outside |
//! | `resolver` | what `getaddrinfo` does in a pod |
//! | `message`, `name` | DNS messages on the wire, and the names in them |
//! | `show` | messages as `dig` prints them |
//!
//! None of these has sockets or a clock: bytes and times come in, bytes and wishes go out.

#[cfg(test)]
mod bench;
mod message;
mod name;
mod records;
mod resolver;
mod server;
mod show;

pub use message::{Transport, framed, take_framed};
pub use records::{Answer, Records};
pub use resolver::{
    Action, ClusterDns, Failure, Libc, Lookup, PORT, ResolvConf, Resolver, SocketFailure, Source, sort,
};
pub use server::{Client, FORWARD_ATTEMPTS, FORWARD_TIMEOUT, MAX_CONCURRENT, Output, READ_TIMEOUT, Server};
pub use show::dig;

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
//! None of these has sockets or a clock: bytes and times come in, bytes and wishes go out. These have:
//!
//! | room | what it is |
//! | --- | --- |
//! | `coredns` | CoreDNS as an agent in a pod |
//! | `outside` | the name server of the world outside, 8.8.8.8 |
//! | `listener` | the sockets of both |
//! | `addon` | the objects of the cluster's DNS |
//! | `resolution` | a lookup with its sockets |

mod addon;
#[cfg(test)]
mod bench;
mod coredns;
mod listener;
mod message;
mod name;
mod outside;
mod records;
mod resolution;
mod resolver;
mod server;
mod show;

pub use addon::{add_to, nameserver, runs_coredns};
pub use coredns::{CoreDns, CoreDnsConfig};
pub use message::{Transport, framed, take_framed};
pub use outside::{OutsideResolver, answer_outside, outside_address};
pub use records::{Answer, Records};
pub use resolution::{Resolution, Resolved};
pub use resolver::{
    Action, ClusterDns, Failure, Libc, Lookup, PORT, ResolvConf, Resolver, SocketFailure, Source, sort,
};
pub use server::{Client, FORWARD_ATTEMPTS, FORWARD_TIMEOUT, MAX_CONCURRENT, Output, READ_TIMEOUT, Server};
pub use show::{Reply, dig, question, reply};

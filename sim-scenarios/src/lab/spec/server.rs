//! Servers of a spec.

use std::net::IpAddr;

use sim_core::netns::socket::PmtuDiscovery;
use sim_core::wire::ip::Family;

use super::object::{Node, SpecError};
use super::{read_addr, read_netns};
use crate::lab::cluster::Cluster;

/// A transport protocol that servers speak.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Proto {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
}

impl Proto {
    /// The name in specs and results.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }
}

/// What a server answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// What it got, behind its netns' name and a colon.
    #[default]
    Echo,
    /// Nothing.
    Sink,
    /// The word `short` (UDP only: over TCP the lab's server echoes).
    Short,
}

/// A server.
#[derive(Clone, Debug)]
pub struct Server {
    /// In which netns.
    pub netns: String,
    /// Over what.
    pub proto: Proto,
    /// On which port.
    pub port: u16,
    /// At which address; unspecified is any.
    pub addr: IpAddr,
    /// What it answers.
    pub mode: Mode,
    /// What it does about the path MTU; `None`: what the kernel does by default.
    pub pmtu: Option<PmtuDiscovery>,
}

impl Server {
    pub(super) fn read(node: Node<'_>, cluster: &Cluster) -> Result<Self, SpecError> {
        let mut o = node.object()?;
        let family = if o.or("v6", false)? { Family::V6 } else { Family::V4 };
        let server = Self {
            netns: read_netns(&mut o, "ns", cluster)?,
            proto: o.or("proto", Proto::Udp)?,
            port: o.read("port")?,
            addr: o.take("ip").map_or(Ok(family.unspecified()), |n| read_addr(&n, cluster))?,
            mode: o.or("mode", Mode::Echo)?,
            pmtu: o.take("dontfrag").map(|_| PmtuDiscovery::Dont),
        };
        o.end()?;
        Ok(server)
    }

    /// The name in results: `netns/proto/port`, of IPv6 with `/6` behind it.
    pub fn key(&self) -> String {
        let family = if self.addr.is_ipv6() { "/6" } else { "" };
        format!("{}/{}/{}{family}", self.netns, self.proto.name(), self.port)
    }
}

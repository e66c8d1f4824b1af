//! What can be so or not at a moment of a run, and since when it is, told by playing the run again.

use std::net::{IpAddr, SocketAddr};

use serde::Serialize;
use sim_core::engine::arena::{LinkId, NetnsId};
use sim_core::engine::time::Instant;
use sim_core::link::LinkConfig;
use sim_core::netfilter::rules::TableName;
use sim_core::wire::ip::SCTP;
use sim_core::world::RulesOf;
use sim_k8s::api::ObjectKey;

use super::Fact;
use crate::explain::film::{Film, NoFilm};
use crate::run::Run;

/// Something that is so.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Condition {
    /// The rule is in its chain.
    Rule { whose: RulesOf, table: TableName, chain: String, rule: String },
    /// Nobody has the address.
    NoAddress(IpAddr),
    /// The wire is as it is now, and was made otherwise.
    Link(LinkId, LinkConfig),
    /// No endpoint of the Service is ready.
    NoEndpoint(ObjectKey),
    /// Some endpoint of the Service is ready.
    Endpoint(ObjectKey),
    /// The slices of the Service name this address no more, or not yet.
    Unlisted(ObjectKey, IpAddr),
    /// The pod is not ready.
    NotReady(ObjectKey),
    /// The device is there, with this MTU.
    Mtu { netns: NetnsId, dev: String, mtu: u32 },
    /// Nobody listens.
    Deaf(NetnsId, u8, SocketAddr),
    /// The pod is on its way out, or gone.
    Leaving(ObjectKey),
    /// No route leads there but the default route.
    NoRoute(NetnsId, IpAddr),
}

/// Since when something is so.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Since {
    /// When it became so, in ns of simulated time; `None`: it never was otherwise.
    pub at_ns: Option<u64>,
    /// Whose act made it so, or which fault.
    pub by: Option<String>,
}

impl Condition {
    pub(super) fn holds(&self, run: &Run) -> bool {
        let (world, cluster) = (run.world(), run.cluster());
        let ready = |key: &ObjectKey| {
            let mut slices = cluster.objects().slices_of(key);
            slices.any(|slice| slice.endpoints.iter().any(|endpoint| endpoint.ready))
        };
        match self {
            Self::Rule { whose, table, chain, rule } => {
                world.find_netns(whose.netns).is_some()
                    && world.iptables_check(*whose, *table, chain, rule).is_ok_and(|there| there)
            }
            Self::NoAddress(ip) => !world.addresses().any(|(_, _, other)| other == *ip),
            Self::Link(link, config) => world.link_config(*link) == Some(*config),
            Self::NoEndpoint(key) => !ready(key),
            Self::Endpoint(key) => ready(key),
            Self::Unlisted(key, ip) => {
                let mut slices = cluster.objects().slices_of(key);
                !slices.any(|slice| slice.endpoints.iter().any(|endpoint| endpoint.address == *ip))
            }
            Self::NotReady(key) => !cluster.objects().pods.get(key).is_some_and(|pod| pod.status.ready),
            Self::Mtu { netns, dev, mtu } => {
                let found = world.find_netns(*netns).and_then(|netns| netns.devs().iter().find(|d| d.name == *dev));
                found.is_some_and(|dev| dev.mtu == *mtu)
            }
            Self::Deaf(netns, proto, at) => !listens(run, *netns, *proto, *at),
            Self::NoRoute(netns, ip) => {
                let network = world.find_netns(*netns).and_then(|netns| netns.route_network(*ip));
                network.is_none_or(|network| network.prefix_len() == 0)
            }
            Self::Leaving(key) => cluster.objects().pods.get(key).is_none_or(|pod| pod.is_terminating()),
        }
    }
}

/// Whether a socket of TCP or SCTP listens there.
pub(super) fn listens(run: &Run, netns: NetnsId, proto: u8, at: SocketAddr) -> bool {
    listening(run, netns, proto)
        .into_iter()
        .any(|local| local.port() == at.port() && (local.ip() == at.ip() || local.ip().is_unspecified()))
}

/// Where sockets of TCP or SCTP of a netns listen.
pub(super) fn listening(run: &Run, netns: NetnsId, proto: u8) -> Vec<SocketAddr> {
    let Some(netns) = run.world().find_netns(netns) else { return Vec::new() };
    if proto == SCTP {
        return netns.sctp_rows().iter().filter(|row| row.remote.is_none()).map(|row| row.local).collect();
    }
    netns.tcp_rows().iter().filter(|row| row.remote.is_none()).map(|row| row.local).collect()
}

/// What is watched about a condition while a run goes on.
#[derive(Default)]
struct Watched {
    held: Option<bool>,
    since: Option<Since>,
}

/// Says of each fact since when it is so, seen from the event `until`.
pub(in crate::explain) fn date(facts: &mut [Fact], film: &Film<'_>, until: Instant) -> Result<(), NoFilm> {
    let mut watched: Vec<Watched> = facts.iter().map(|_| Watched::default()).collect();
    let (mut acts, mut struck) = (None, 0);
    film.play(&mut |run, _| {
        let (last, faults) = (run.cluster().last_act(), run.struck());
        let count = last.map(|(count, _)| count);
        if run.world().now() > until || count == acts && faults.len() == struck {
            return;
        }
        let by = if faults.len() > struck {
            faults.last().map(|(_, fault)| format!("the fault “{fault}”"))
        } else {
            last.map(|(_, name)| name.to_owned())
        };
        (acts, struck) = (count, faults.len());
        for (fact, watched) in facts.iter().zip(&mut watched) {
            watched.look(fact, run, by.as_deref());
        }
    })?;
    for (fact, watched) in facts.iter_mut().zip(watched) {
        fact.since = watched.since.filter(|_| watched.held == Some(true));
    }
    Ok(())
}

impl Watched {
    fn look(&mut self, fact: &Fact, run: &Run, by: Option<&str>) {
        let Some(condition) = &fact.condition else { return };
        let holds = condition.holds(run);
        if self.held != Some(holds) {
            let at_ns = self.held.map(|_| run.world().now().as_nanos());
            self.since = Some(Since { at_ns, by: at_ns.and(by).map(str::to_owned) });
        }
        self.held = Some(holds);
    }
}

//! A tour of the life of a packet: stops at which something is sent, seen hop by hop, and judged.
//!
//! Most stops look at one cluster, `examples/tour`, the others at `examples/balanced`; whatever a stop does can be typed into a shell ([`crate::shell`]), and its
//! transcript says what. A new stop is a function and a line of [`STOPS`].

mod guide;
mod stops;

use std::fmt;

use serde::Serialize;
use sim_core::capture::Seen;
use sim_core::capture::pcapng::PcapNg;
use sim_k8s::cluster::{ClusterConfig, ClusterError};
use sim_k8s::manifest::{Finding, SourceFile, load};

use guide::Guide;

/// The manifests of the cluster that is looked at.
const CLUSTER: &str = include_str!("../../../examples/tour/tour.yaml");
/// Those of the cluster that is looked at from outside, and while it changes.
const BALANCED: &str = include_str!("../../../examples/balanced/balanced.yaml");

/// A stop of the tour.
pub struct Stop {
    /// Its name, for the command line.
    pub name: &'static str,
    /// What it shows, in one or two sentences.
    pub shows: &'static str,
    run: fn(&mut Guide<'_>),
    /// The manifests of its cluster.
    manifests: &'static str,
    /// What is special about its cluster.
    cluster: fn(&mut ClusterConfig),
}

/// All stops, in the order of the tour.
pub const STOPS: &[Stop] = &[
    Stop::new("pod-ip", stops::pods::POD_IP, stops::pods::pod_ip),
    Stop::new("netns", stops::pods::NETNS, stops::pods::netns),
    Stop::new("same-node", stops::pods::SAME_NODE, stops::pods::same_node),
    Stop::new("cross-node", stops::pods::CROSS_NODE, stops::pods::cross_node)
        .in_cluster(stops::pods::routed_by_the_cloud),
    Stop::new("overlay", stops::pods::OVERLAY, stops::pods::overlay),
    Stop::new("churn", stops::services::CHURN, stops::services::churn).balanced(),
    Stop::new("selector", stops::services::SELECTOR, stops::services::selector),
    Stop::new("service-dnat", stops::services::SERVICE_DNAT, stops::services::service_dnat),
    Stop::new("service-same-node", stops::services::SAME_NODE, stops::services::same_node),
    Stop::new("hairpin", stops::services::HAIRPIN, stops::services::hairpin),
    Stop::new("dns", stops::services::DNS, stops::services::dns).balanced(),
    Stop::new("node-egress", stops::egress::NODE, stops::egress::node),
    Stop::new("pod-egress-dropped", stops::egress::POD_DROPPED, stops::egress::pod_dropped)
        .in_cluster(stops::egress::without_masquerade),
    Stop::new("pod-egress", stops::egress::POD, stops::egress::pod),
    Stop::new("load-balancer", stops::outside::BALANCER, stops::outside::balancer).balanced(),
    Stop::new("lb-second-hop", stops::outside::SECOND_HOP, stops::outside::second_hop).balanced(),
    Stop::new("lb-local", stops::outside::LOCAL, stops::outside::local).balanced(),
    Stop::new("no-endpoints", stops::services::NO_ENDPOINTS, stops::services::no_endpoints),
];

/// The stop of this name.
pub fn stop(name: &str) -> Option<&'static Stop> {
    STOPS.iter().find(|stop| stop.name == name)
}

/// What came of a visit. Serialized it is a summary.
#[derive(Clone, Debug, Serialize)]
pub struct Visit {
    /// The stop.
    pub name: &'static str,
    /// Whether everything was as it must be.
    pub ok: bool,
    /// How many packets or connections were begun.
    pub sends: u32,
    /// How many frames the capture holds.
    pub hops: usize,
    /// Where the capture is, once it is written.
    pub capture: Option<String>,
    /// What happened, for people: the commands, what they printed, walks, and what was checked.
    #[serde(skip)]
    pub story: String,
    /// The walks of the story as a sequence diagram, in SVG.
    #[serde(skip)]
    pub picture: String,
    /// The capture, as pcapng.
    #[serde(skip)]
    pub pcapng: Vec<u8>,
}

/// Why there was no visit.
#[derive(Debug, thiserror::Error)]
pub enum TourError {
    /// The tour's manifests are wrong.
    #[error("the tour's manifests: {0:?}")]
    Manifests(Vec<Finding>),
    /// Its cluster cannot be.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
}

impl Stop {
    const fn new(name: &'static str, shows: &'static str, run: fn(&mut Guide<'_>)) -> Self {
        Self { name, shows, run, manifests: CLUSTER, cluster: |_| {} }
    }

    const fn balanced(self) -> Self {
        Self { manifests: BALANCED, ..self }
    }

    const fn in_cluster(self, cluster: fn(&mut ClusterConfig)) -> Self {
        Self { cluster, ..self }
    }

    /// Builds the cluster and visits the stop.
    ///
    /// # Errors
    /// None that a user could mend; see [`TourError`].
    pub fn visit(&self) -> Result<Visit, TourError> {
        let file = SourceFile { name: "manifests".into(), text: self.manifests.into() };
        let loaded = load(&[file]).map_err(TourError::Manifests)?;
        let mut config = ClusterConfig { nodes: 2, ..ClusterConfig::default() };
        (self.cluster)(&mut config);
        let mut guide = Guide::new(&loaded.objects, config)?;
        (self.run)(&mut guide);
        Ok(guide.end(self))
    }
}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// What was seen, as a file.
fn pcapng(stop: &Stop, seen: &[Seen], run: &crate::run::Run) -> Vec<u8> {
    let mut out = Vec::new();
    let mut file = PcapNg::begin(0, &format!("everyhop tour {}", stop.name), &mut out);
    file.names(run.names().iter().map(|(ip, name)| (*ip, name.as_str())), &mut out);
    for seen in seen {
        file.write(seen, run.world(), &mut out);
    }
    file.statistics(run.world().now(), run.world().drops(), &mut out);
    out
}

#[cfg(test)]
mod tests;

//! All that a run is made from, as values that go into a file.
//!
//! A run is a function of version, scenario and seed, so nothing of it has to be stored: it is replayed.

use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};
use sim_core::engine::rng::Seed;
use sim_core::engine::time::Duration;
use sim_core::kernel::Kernel;
use sim_core::wire::ip::Family;
use sim_k8s::cloud::lb::LbConfig;
use sim_k8s::cluster::{ClusterConfig, ClusterError};
use sim_k8s::flannel;
use sim_k8s::manifest::{Finding, Loaded, SourceFile, load};
use sim_k8s::workload::{Plan, infer_calls, read_traffic};

use super::{Run, RunConfig};
use crate::fault::{Planned, read_faults};

/// This version of everyhop.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What a run is made from. Serialized it is `replay.json`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// The version of everyhop that ran it: another one may make another run of the rest.
    pub version: String,
    /// The cluster.
    pub cluster: ClusterOptions,
    /// Calls begin within this time after the cluster has settled, in ns.
    pub duration_ns: NonZeroU64,
    /// The manifests. The names of files are those of messages.
    pub manifests: Vec<SourceFile>,
    /// Who calls whom; without it the manifests' environment says so.
    pub traffic: Option<SourceFile>,
    /// What is done to the run meanwhile.
    pub faults: Option<SourceFile>,
    /// The hash of everything that happened, in 16 hexadecimal digits, once the run is over.
    pub fingerprint: Option<String>,
}

/// What one may choose about a cluster.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterOptions {
    /// Where all randomness comes from.
    pub seed: u64,
    /// How many nodes it has.
    pub nodes: u32,
    /// How many CPUs each node has.
    pub cpus: u16,
    /// The kernel of each node, by its version.
    #[serde(with = "version")]
    pub kernel: Kernel,
    /// Over how many zones they are dealt in turn; 0: they have none.
    pub zones: u32,
    /// Which IP it speaks.
    #[serde(default)]
    pub ip_family: IpFamily,
    /// How packets come to the pods of another node.
    pub network: Network,
    /// Rules that masquerade say `--random-fully`, as every iptables since 1.6.2 understands.
    pub random_fully: bool,
    /// What the cloud's load balancers do with a packet.
    pub load_balancer: Balancer,
}

impl Default for ClusterOptions {
    /// What the command line has when nothing is said.
    fn default() -> Self {
        Self {
            seed: 1,
            nodes: 3,
            cpus: 1,
            kernel: Kernel::default(),
            zones: 0,
            ip_family: IpFamily::default(),
            network: Network::Vxlan,
            random_fully: true,
            load_balancer: Balancer::Passthrough,
        }
    }
}

/// The address families of a cluster (`networking.ipFamily` of kind).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IpFamily {
    /// IPv4 alone.
    #[default]
    Ipv4,
    /// IPv6 alone.
    Ipv6,
    /// Both, IPv4 first.
    Dual,
    /// Both, IPv6 first: in the order of `--service-cluster-ip-range`.
    #[serde(rename = "ipv6,ipv4")]
    Ipv6Ipv4,
}

/// flannel's backend, or none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Network {
    /// flannel's overlay.
    Vxlan,
    /// flannel's routes from node to node.
    HostGw,
    /// The cloud's routes; nothing is encapsulated.
    Routes,
}

/// A kind of load balancer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Balancer {
    /// Hands a packet to a node as it is; the node answers the client itself.
    Passthrough,
    /// Translates both addresses; the answer comes back through it.
    Nat,
}

/// A choice: how it is written, what it means, what it is.
pub type Choice<T> = (&'static str, &'static str, T);

impl IpFamily {
    /// All there are.
    pub const ALL: [Choice<Self>; 4] = [
        ("ipv4", "IPv4 alone", Self::Ipv4),
        ("ipv6", "IPv6 alone", Self::Ipv6),
        ("dual", "both; who says nothing gets IPv4", Self::Dual),
        ("ipv6,ipv4", "both; who says nothing gets IPv6", Self::Ipv6Ipv4),
    ];
}

impl Network {
    /// All there are.
    pub const ALL: [Choice<Self>; 3] = [
        ("vxlan", "flannel's overlay", Self::Vxlan),
        ("host-gw", "flannel's routes from node to node", Self::HostGw),
        ("routes", "the cloud's routes; nothing is encapsulated", Self::Routes),
    ];
}

impl Balancer {
    /// All there are.
    pub const ALL: [Choice<Self>; 2] = [
        ("passthrough", "hands it to a node as it is; the node answers the client itself", Self::Passthrough),
        ("nat", "translates both addresses; the answer comes back through it", Self::Nat),
    ];
}

/// All kernels there are.
pub const KERNELS: [Choice<Kernel>; 4] = [
    ("6.18", "the one everyhop is compared with", Kernel::V6_18),
    ("5.15", "the time between two SYNs doubles from the first on", Kernel::V5_15),
    ("5.4", "and a UDP flow that loses a race to another translation loses its packet", Kernel::V5_4),
    ("4.19", "and one that loses it to the same", Kernel::V4_19),
];

/// How something chosen is written, and what it means.
pub(crate) fn chosen<T: PartialEq + Copy, const N: usize>(
    all: [Choice<T>; N],
    what: T,
) -> (&'static str, &'static str) {
    let found = all.into_iter().find(|(.., one)| *one == what);
    let (word, meaning, _) = found.expect("all there are");
    (word, meaning)
}

/// A recipe whose texts have been read.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What the manifests hold.
    pub loaded: Loaded,
    plan: Plan,
    faults: Vec<Planned>,
    /// What it is run with.
    pub config: RunConfig,
}

impl Recipe {
    /// The words after `everyhop` that make this run, if its files are where they were.
    pub fn words(&self) -> Vec<String> {
        let ClusterOptions { seed, nodes, cpus, kernel, zones, ip_family, network, random_fully, load_balancer } =
            self.cluster;
        let (ns, units) = (self.duration_ns.get(), [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us")]);
        let whole = units.into_iter().find(|(unit, _)| ns % unit == 0);
        let duration = whole.map_or_else(|| format!("{}us", ns / 1000), |(unit, name)| format!("{}{name}", ns / unit));
        let mut words = vec!["run".to_owned()];
        words.extend(self.manifests.iter().map(|file| file.name.clone()));
        words.extend((!random_fully).then(|| "--no-random-fully".to_owned()));
        let options = [
            ("--seed", seed.to_string()),
            ("--nodes", nodes.to_string()),
            ("--cpus", cpus.to_string()),
            ("--kernel", kernel.version.to_owned()),
            ("--zones", zones.to_string()),
            ("--ip-family", chosen(IpFamily::ALL, ip_family).0.to_owned()),
            ("--network", chosen(Network::ALL, network).0.to_owned()),
            ("--load-balancer", chosen(Balancer::ALL, load_balancer).0.to_owned()),
            ("--duration", duration),
        ];
        let files = [("--traffic", &self.traffic), ("--faults", &self.faults)];
        let files = files.into_iter().filter_map(|(name, file)| Some((name, file.as_ref()?.name.clone())));
        words.extend(options.into_iter().chain(files).flat_map(|(name, value)| [name.to_owned(), value]));
        words
    }

    /// Reads the texts.
    ///
    /// # Errors
    /// Everything that is wrong with the first kind of text in which something is.
    pub fn scenario(&self) -> Result<Scenario, Vec<Finding>> {
        let loaded = load(&self.manifests)?;
        let plan = match &self.traffic {
            Some(file) => Plan { calls: read_traffic(file, &loaded.objects)?, not_called: Vec::new() },
            None => infer_calls(&loaded.objects),
        };
        let faults = self.faults.as_ref().map_or(Ok(Vec::new()), read_faults)?;
        let duration = Duration::from_nanos(self.duration_ns.get());
        let config = RunConfig { cluster: self.cluster.config(), duration, ..RunConfig::default() };
        Ok(Scenario { loaded, plan, faults, config })
    }
}

impl Scenario {
    /// The same, but nobody calls anybody by itself.
    #[must_use]
    pub fn without_calls(self) -> Self {
        Self { plan: Plan::default(), ..self }
    }

    /// The run, before its first event; `capture` as in [`RunConfig`].
    ///
    /// # Errors
    /// What the objects ask for and no cluster can give.
    pub fn run(&self, capture: bool) -> Result<Run, ClusterError> {
        let config = RunConfig { capture, ..self.config.clone() };
        Ok(Run::new(&self.loaded.objects, &self.plan, config)?.with_faults(self.faults.clone()))
    }
}

impl ClusterOptions {
    /// The cluster that was chosen.
    pub fn config(self) -> ClusterConfig {
        let Self { seed, nodes, cpus, kernel, zones, .. } = self;
        let families: &[Family] = match self.ip_family {
            IpFamily::Ipv4 => &[Family::V4],
            IpFamily::Ipv6 => &[Family::V6],
            IpFamily::Dual => &[Family::V4, Family::V6],
            IpFamily::Ipv6Ipv4 => &[Family::V6, Family::V4],
        };
        let mut config = ClusterConfig { nodes, cpus, kernel, zones, seed: Seed(seed), ..ClusterConfig::of(families) };
        let (backend, pod_routes) = match self.network {
            Network::Vxlan => ("vxlan", false),
            Network::HostGw => ("host-gw", false),
            Network::Routes => ("alloc", true),
        };
        config.flannel.backend = flannel::backend(backend).expect("a backend of flannel");
        config.pod_routes = pod_routes;
        config.flannel.random_fully = self.random_fully;
        config.kube_proxy.random_fully = self.random_fully;
        config.load_balancer = match self.load_balancer {
            Balancer::Passthrough => LbConfig::passthrough(),
            Balancer::Nat => LbConfig::nat(),
        };
        config
    }
}

/// A kernel as its version.
mod version {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use sim_core::kernel::Kernel;

    pub(super) fn serialize<S: Serializer>(kernel: &Kernel, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(kernel.version)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Kernel, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &str = include_str!("../../../examples/hello/hello.yaml");

    fn recipe() -> Recipe {
        let cluster = ClusterOptions {
            seed: 7,
            nodes: 2,
            cpus: 3,
            kernel: Kernel::V5_4,
            zones: 0,
            ip_family: IpFamily::Ipv4,
            network: Network::HostGw,
            random_fully: false,
            load_balancer: Balancer::Nat,
        };
        let file = |name: &str, text: &str| SourceFile { name: name.into(), text: text.into() };
        Recipe {
            version: VERSION.into(),
            cluster,
            duration_ns: NonZeroU64::new(1_000_000_001).unwrap(),
            manifests: vec![file("hello.yaml", HELLO)],
            traffic: None,
            faults: Some(file("faults.yaml", "- {at: 500ms, do: node n2 off}\n")),
            fingerprint: None,
        }
    }

    fn fingerprint(recipe: &Recipe, capture: bool) -> u64 {
        let mut run = recipe.scenario().unwrap().run(capture).unwrap();
        while run.advance(1000) {}
        run.world().fingerprint().value()
    }

    #[test]
    fn a_recipe_that_went_through_a_file_makes_the_same_run() {
        let text = serde_json::to_string(&recipe()).unwrap();
        let read: Recipe = serde_json::from_str(&text).unwrap();
        assert_eq!(read, recipe());
        let [first, again] = [fingerprint(&recipe(), true), fingerprint(&read, false)];
        assert_eq!(first, again);
        let other = Recipe { duration_ns: NonZeroU64::new(2_000_000_000).unwrap(), ..recipe() };
        assert_ne!(first, fingerprint(&other, false), "every member of a recipe counts");
    }

    #[test]
    fn a_recipe_can_be_typed() {
        let words = "run hello.yaml --no-random-fully --seed 7 --nodes 2 --cpus 3 --kernel 5.4 --zones 0 \
                     --ip-family ipv4 --network host-gw --load-balancer nat --duration 1000000us --faults faults.yaml";
        assert_eq!(recipe().words().join(" "), words, "to the microsecond");
        let half = Recipe { duration_ns: NonZeroU64::new(500_000_000).unwrap(), faults: None, ..recipe() };
        assert!(half.words().join(" ").ends_with(" --duration 500ms"));
    }

    #[test]
    fn what_is_wrong_in_a_recipe_is_told_with_its_file() {
        let broken = |file: &str| SourceFile { name: file.into(), text: "- {at: never, do: nothing}".into() };
        let told = |recipe: Recipe| recipe.scenario().unwrap_err()[0].to_string();
        assert!(told(Recipe { faults: Some(broken("f.yaml")), ..recipe() }).starts_with("f.yaml:1:"));
        assert!(told(Recipe { traffic: Some(broken("t.yaml")), ..recipe() }).starts_with("t.yaml:1:"));
        assert!(told(Recipe { manifests: vec![broken("m.yaml")], ..recipe() }).starts_with("m.yaml:1:"));
    }
}

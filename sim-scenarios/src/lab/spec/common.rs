//! Keys that every step may carry.

use sim_core::engine::time::Duration;

use super::known_netns;
use super::object::{Node, Object, SpecError};
use crate::lab::cluster::Cluster;

/// Keys that every step may carry.
#[derive(Clone, Debug)]
pub struct Common {
    /// Whether hops are shown.
    pub hops: bool,
    /// Only hops of these netns or `netns/dev`; `None`: all.
    pub hops_in: Option<Vec<String>>,
    /// Whether hops carry a time.
    pub times: bool,
    /// Whether hops carry the packet type the tap saw.
    pub pkttype: bool,
    /// Whether ARP hops are listed; `None`: as the spec says.
    pub show_arp: Option<bool>,
    /// Whether hops of neighbour discovery are listed; `None`: as the spec says.
    pub show_nd: Option<bool>,
    /// Whose conntrack tables are listed; `None`: as the spec says.
    pub ct: Option<Wanted>,
    /// Whether conntrack timeouts are listed; `None`: as the spec says.
    pub timeouts: Option<bool>,
    /// Whether rule verdicts are listed, where the spec asks for them at all.
    pub trace: bool,
    /// For how long nothing must be seen before the step is over.
    pub quiet: Duration,
    /// How long the client waits; `None`: as the operation does by default.
    pub timeout: Option<Duration>,
}

/// Which netns something is shown of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wanted {
    /// None.
    Nowhere,
    /// All nodes.
    Nodes,
    /// These.
    These(Vec<String>),
}

impl Common {
    /// A frame's own `nd` is taken out before.
    pub(super) fn read(o: &mut Object<'_>, show_arp: Option<bool>, cluster: &Cluster) -> Result<Self, SpecError> {
        Ok(Self {
            show_nd: o.optional::<String>("nd")?.map(|nd| nd == "show"),
            hops: o.or("hops", true)?,
            hops_in: o.optional("hops_in")?,
            times: o.or("times", false)?,
            pkttype: o.or("pkttype", false)?,
            show_arp,
            ct: Wanted::read(o.take("ct"), cluster)?,
            timeouts: o.optional("timeouts")?,
            trace: o.or("trace", true)?,
            quiet: read_seconds(o, "quiet")?.unwrap_or(Duration::from_millis(40)),
            timeout: read_seconds(o, "timeout")?,
        })
    }
}

impl Wanted {
    /// `false`, `true` or a list of netns.
    pub(super) fn read(node: Option<Node<'_>>, cluster: &Cluster) -> Result<Option<Self>, SpecError> {
        let Some(node) = node else { return Ok(None) };
        Ok(Some(match node.read::<bool>() {
            Ok(true) => Self::Nodes,
            Ok(false) => Self::Nowhere,
            Err(_) => {
                let names = node.list()?.into_iter().map(|n| known_netns(n.read()?, &n, cluster));
                Self::These(names.collect::<Result<_, _>>()?)
            }
        }))
    }
}

/// The longest wait a spec may ask for: longer than any timeout of conntrack (five days).
const LONGEST: f64 = 7.0 * 86_400.0;

/// The member `key`, a number of seconds, to the microsecond.
pub(super) fn read_seconds(o: &mut Object<'_>, key: &'static str) -> Result<Option<Duration>, SpecError> {
    let Some(node) = o.take(key) else { return Ok(None) };
    let seconds: f64 = node.read()?;
    if !(0.0..=LONGEST).contains(&seconds) {
        return Err(node.error(format!("{seconds} is not a wait: from 0 to {LONGEST} seconds")));
    }
    Ok(Some(Duration::from_micros((seconds * 1e6).round() as u64)))
}

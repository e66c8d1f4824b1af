//! Who hears of which change.

use std::collections::BTreeMap;

use sim_core::engine::time::Instant;

use crate::api::{Kind, Object, ObjectRef};
use crate::apiserver::Change;

use super::control_plane::AgentId;

/// What an agent wants to hear of (a watch with its field selector).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Interest {
    /// All objects of a kind.
    All(Kind),
    /// The pods that are bound to a node (`spec.nodeName=…`).
    PodsOn(String),
    /// One object (`metadata.name=…`).
    One(ObjectRef),
}

impl Interest {
    /// Whether `object` is meant.
    pub(super) fn matches(&self, object: &Object) -> bool {
        match (self, object) {
            (Self::All(kind), object) => object.kind() == *kind,
            (Self::PodsOn(node), Object::Pod(pod)) => pod.node_name.as_ref() == Some(node),
            (Self::PodsOn(_), _) => false,
            (Self::One(reference), object) => object.reference() == *reference,
        }
    }

    /// The kind of the objects that are meant.
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::All(kind) => *kind,
            Self::PodsOn(_) => Kind::Pod,
            Self::One(reference) => reference.kind,
        }
    }
}

/// One watch.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    pub(super) agent: AgentId,
    pub(super) interest: Interest,
    /// When what was sent last arrives: what is sent later does not overtake it.
    pub(super) arrives: Instant,
}

/// All watches, found by what they are interested in.
#[derive(Clone, Debug, Default)]
pub(super) struct Watches {
    watches: Vec<Watch>,
    by_interest: BTreeMap<Interest, Vec<usize>>,
}

impl Watches {
    pub(super) fn add(&mut self, watch: Watch) -> usize {
        let id = self.watches.len();
        self.by_interest.entry(watch.interest.clone()).or_default().push(id);
        self.watches.push(watch);
        id
    }

    pub(super) fn get_mut(&mut self, id: usize) -> &mut Watch {
        &mut self.watches[id]
    }

    /// The agent hears nothing more.
    pub(super) fn drop_all_of(&mut self, agent: AgentId) {
        let watches = &self.watches;
        self.by_interest.values_mut().for_each(|ids| ids.retain(|id| watches[*id].agent != agent));
        self.by_interest.retain(|_, ids| !ids.is_empty());
    }

    /// The watches that hear of a change, in the order in which they began.
    pub(super) fn concerned(&self, change: &Change) -> Vec<usize> {
        let object = &change.object;
        let mut interests = vec![Interest::All(object.kind()), Interest::One(object.reference())];
        if let Object::Pod(pod) = object {
            interests.extend(pod.node_name.clone().map(Interest::PodsOn));
        }
        let found = interests.iter().filter_map(|interest| self.by_interest.get(interest));
        let mut ids: Vec<usize> = found.flatten().copied().collect();
        ids.sort_unstable();
        ids
    }
}

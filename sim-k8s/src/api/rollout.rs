//! How pods are replaced when their template changes.

use std::fmt;
use std::sync::Arc;

use super::PodTemplate;

/// How a workload replaces its pods when their template changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UpdateStrategy {
    /// A few at a time. The default of every kind that has a strategy.
    RollingUpdate {
        /// How many pods more than wanted there may be meanwhile. Default: Deployment 25 %, DaemonSet 0.
        max_surge: Share,
        /// How many of the wanted pods may be unavailable meanwhile. Default: Deployment 25 %, others 1.
        max_unavailable: Share,
        /// A StatefulSet's pods below this ordinal stay as they are. Default 0.
        partition: u32,
    },
    /// First all old ones go, then the new ones come (Deployments only).
    Recreate,
    /// A pod is made anew when someone deletes it (StatefulSets and DaemonSets only).
    OnDelete,
}

/// A number of pods, or a share of those that are wanted (`IntOrString`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Share {
    /// So many.
    Pods(u32),
    /// So many of a hundred.
    Percent(u32),
}

impl Share {
    /// How many of `total` that is, a fraction counting as a whole pod (`GetScaledValueFromIntOrPercent`, `roundUp`).
    pub fn rounded_up(self, total: u32) -> u32 {
        self.scaled(total, 99)
    }

    /// How many of `total` that is, a fraction counting as none.
    pub fn rounded_down(self, total: u32) -> u32 {
        self.scaled(total, 0)
    }

    fn scaled(self, total: u32, before: u64) -> u32 {
        match self {
            Self::Pods(pods) => pods,
            Self::Percent(percent) => {
                let pods = (u64::from(total) * u64::from(percent) + before) / 100;
                u32::try_from(pods).unwrap_or(u32::MAX)
            }
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pods(pods) => pods.fmt(f),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

/// One of the templates a workload's pods were made from (a `ControllerRevision`).
#[derive(Clone, PartialEq, Debug)]
pub struct Revision {
    /// Its number, from 1 on.
    pub number: u64,
    /// The template.
    pub template: Arc<PodTemplate>,
}

/// What a Deployment notes on each of its ReplicaSets (annotations `deployment.kubernetes.io/…`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RolloutNote {
    /// `revision`: the number of its template, from 1 on.
    pub revision: u64,
    /// `desired-replicas`: how many pods the Deployment wanted when it last scaled this ReplicaSet. Another number
    /// than now means that someone scales the Deployment.
    pub desired: u32,
    /// `max-replicas`: the same with the surge.
    pub max: u32,
}

#[cfg(test)]
mod tests {
    use super::Share;

    #[test]
    fn a_share_of_few_pods_is_rounded_as_its_user_says() {
        let quarter = Share::Percent(25);
        assert_eq!((quarter.rounded_up(3), quarter.rounded_down(3)), (1, 0));
        assert_eq!((quarter.rounded_up(4), quarter.rounded_down(4)), (1, 1));
        assert_eq!((quarter.rounded_up(10), quarter.rounded_down(10)), (3, 2));
        assert_eq!(Share::Pods(7).rounded_up(3), 7);
    }
}

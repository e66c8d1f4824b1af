//! Pods are deleted, as `kubectl delete pod` does it: they wind up in their own time.

use std::fmt;

use sim_k8s::api::{ObjectKey, ObjectRef, WorkloadRef};
use sim_k8s::apiserver::Request;

use super::{Fault, Kind, key, workload_kind};
use crate::run::Run;

pub(super) const KIND: Kind =
    Kind { usage: &["delete pod NAMESPACE/NAME", "delete a pod of KIND NAMESPACE/NAME"], read };

#[derive(Clone, Debug)]
enum Delete {
    This(ObjectKey),
    /// Any that runs.
    One(WorkloadRef),
}

fn read(words: &[&str]) -> Option<Box<dyn Fault>> {
    match words {
        ["delete", "pod", name] => Some(Box::new(Delete::This(key(name)))),
        ["delete", "a", "pod", "of", kind, name] => {
            Some(Box::new(Delete::One(WorkloadRef { kind: workload_kind(kind)?, key: key(name) })))
        }
        _ => None,
    }
}

impl fmt::Display for Delete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::This(pod) => write!(f, "delete pod {pod}"),
            Self::One(of) => write!(f, "delete a pod of {} {}", of.kind.to_string().to_lowercase(), of.key),
        }
    }
}

impl Fault for Delete {
    fn strike(&self, run: &mut Run) -> Result<String, String> {
        let pod = match self {
            Self::This(pod) => pod.clone(),
            Self::One(of) => {
                let pods: Vec<ObjectKey> = run.cluster().callers(of).map(|pod| pod.key.clone()).collect();
                let chosen = run.fault_draws().below(pods.len() as u32) as usize;
                pods.get(chosen).cloned().ok_or("no pod of it runs")?
            }
        };
        let object = ObjectRef::pod(pod.clone());
        run.kubectl(Request::Delete { object, uid: None, grace: None }).map_err(|why| why.to_string())?;
        Ok(format!("pod {pod}"))
    }
}

//! A workload gets another number of pods, as `kubectl scale` does it.

use std::fmt;
use std::sync::Arc;

use sim_k8s::api::{Kind as ObjectKind, Object, ObjectRef, Workload, WorkloadRef};
use sim_k8s::apiserver::Request;

use super::{Fault, Kind, key, workload_kind};
use crate::run::Run;

pub(super) const KIND: Kind = Kind { usage: &["scale KIND NAMESPACE/NAME REPLICAS"], read };

/// Pods that one workload may be scaled to.
const MOST: u32 = 10_000;

#[derive(Clone, Debug)]
struct Scale {
    workload: WorkloadRef,
    replicas: u32,
}

fn read(words: &[&str]) -> Option<Box<dyn Fault>> {
    let ["scale", kind, name, replicas] = words else { return None };
    let replicas = replicas.parse().ok().filter(|replicas| *replicas <= MOST)?;
    Some(Box::new(Scale { workload: WorkloadRef { kind: workload_kind(kind)?, key: key(name) }, replicas }))
}

impl fmt::Display for Scale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.workload.kind.to_string().to_lowercase();
        write!(f, "scale {kind} {} {}", self.workload.key, self.replicas)
    }
}

impl Fault for Scale {
    fn strike(&self, run: &mut Run) -> Result<String, String> {
        let WorkloadRef { kind, key } = self.workload.clone();
        let object = run.cluster().objects().get(&ObjectRef { kind: ObjectKind::Workload(kind), key });
        let Some(Object::Workload(stored)) = object else { return Err("there is no such workload".into()) };
        let before = stored.replicas;
        let scaled = Workload { replicas: self.replicas, ..Workload::clone(&stored) };
        run.kubectl(Request::Update(Object::Workload(Arc::new(scaled)))).map_err(|why| why.to_string())?;
        Ok(format!("it had {before}"))
    }
}

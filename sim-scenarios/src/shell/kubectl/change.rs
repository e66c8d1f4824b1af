//! The words that change objects. The apiserver acts at once; what follows from it takes its time.

use std::sync::Arc;

use sim_core::engine::time::Duration;
use sim_k8s::api::{Node, Object, ObjectKey, ObjectRef, Workload};
use sim_k8s::apiserver::{Refused, Request};
use sim_k8s::manifest::shown;

use super::super::session::Network;
use super::super::{Answer, NotUnderstood, Output};
use super::rows::Kind;
use super::{Told, not_found};

/// `kubectl delete`.
pub(super) fn delete(net: &mut Network<'_>, words: &[&str]) -> Answer {
    let told = Told::read(words)?;
    let name = told.name.ok_or_else(|| NotUnderstood::word("", "a name"))?;
    let object = reference(&told, name);
    let grace = told.grace.map(Duration::from_secs);
    let done = net.kubectl(Request::Delete { object, uid: None, grace });
    Ok(said(told.kind, name, done, "deleted"))
}

/// `kubectl scale`.
pub(super) fn scale(net: &mut Network<'_>, words: &[&str]) -> Answer {
    let told = Told::read(words)?;
    let name = told.name.ok_or_else(|| NotUnderstood::word("", "a name"))?;
    let replicas = told.replicas.ok_or_else(|| NotUnderstood::word("", "--replicas N"))?;
    let Some(Object::Workload(stored)) = net.cluster().objects().get(&reference(&told, name)) else {
        return Ok(not_found(told.kind, name));
    };
    let scaled = Object::Workload(Arc::new(Workload { replicas, ..Workload::clone(&stored) }));
    let done = net.kubectl(Request::Update(scaled));
    Ok(said(told.kind, name, done, "scaled"))
}

/// `kubectl cordon` and `kubectl uncordon`.
pub(super) fn cordon(net: &mut Network<'_>, name: &str, on: bool) -> Answer {
    let Some(stored) = net.cluster().objects().nodes.get(name).cloned() else {
        return Ok(not_found(Kind::Nodes, name));
    };
    let node = Object::Node(Arc::new(Node { unschedulable: on, ..Node::clone(&stored) }));
    let done = net.kubectl(Request::Update(node));
    Ok(said(Kind::Nodes, name, done, if on { "cordoned" } else { "uncordoned" }))
}

fn reference(told: &Told<'_>, name: &str) -> ObjectRef {
    let namespace = if told.kind.is_namespaced() { told.namespace.unwrap_or("default") } else { "" };
    ObjectRef { kind: told.kind.api(), key: ObjectKey::new(namespace, name) }
}

fn said(kind: Kind, name: &str, done: Result<(), Refused>, what: &str) -> Output {
    match done {
        Ok(()) => Output::lines(vec![format!("{}/{} {what}", kind.singular(), shown(name))]),
        Err(Refused::NotFound) => not_found(kind, name),
        Err(why) => Output::refused(1, format!("Error from server: {}", shown(&why.to_string()))),
    }
}

//! `kubectl`: the cluster's objects in kubectl's columns, and the words that change them.

mod change;
mod rows;
mod table;

use sim_k8s::manifest::shown;

use super::session::Network;
use super::{Answer, NotUnderstood, Output};
use rows::{Kind, Row};

pub(super) const USAGE: &[&str] = &[
    "kubectl get pods|services|endpointslices|nodes|deployments|replicasets|statefulsets|daemonsets|jobs [NAME] \
     [-n NAMESPACE|-A] [-o wide]",
    "kubectl delete KIND NAME [-n NAMESPACE] [--grace-period SECONDS] · kubectl scale KIND NAME --replicas N \
     [-n NAMESPACE] · kubectl cordon|uncordon NODE",
];

pub(super) fn run(net: &mut Network<'_>, words: &[&str]) -> Answer {
    match words {
        ["get", words @ ..] => get(net, words),
        ["delete", words @ ..] => change::delete(net, words),
        ["scale", words @ ..] => change::scale(net, words),
        ["cordon", node] => change::cordon(net, node, true),
        ["uncordon", node] => change::cordon(net, node, false),
        _ => Err(NotUnderstood::word(words.first().unwrap_or(&""), "get, delete, scale, cordon, uncordon")),
    }
}

/// What kubectl is told: an object or all of its kind, and options.
struct Told<'w> {
    kind: Kind,
    name: Option<&'w str>,
    /// `None` is all of them.
    namespace: Option<&'w str>,
    wide: bool,
    grace: Option<u64>,
    replicas: Option<u32>,
}

impl<'w> Told<'w> {
    fn read(words: &[&'w str]) -> Result<Self, NotUnderstood> {
        let (kind, words) = words.split_first().ok_or_else(|| NotUnderstood::word("", Kind::NAMES))?;
        let (kind, named) = kind.split_once('/').map_or((*kind, None), |(kind, name)| (kind, Some(name)));
        let kind = Kind::named(kind).ok_or_else(|| NotUnderstood::word(kind, Kind::NAMES))?;
        let mut told = Self { kind, name: named, namespace: Some("default"), wide: false, grace: None, replicas: None };
        let mut words = words.iter().copied();
        while let Some(word) = words.next() {
            let (option, value) = word.split_once('=').map_or((word, None), |(option, value)| (option, Some(value)));
            let mut value = || value.or_else(|| words.next()).unwrap_or_default();
            match option {
                "-A" | "--all-namespaces" => told.namespace = None,
                "-n" | "--namespace" => told.namespace = Some(value()),
                "-owide" => told.wide = true,
                "-o" | "--output" => told.wide = is_wide(value())?,
                "--grace-period" => told.grace = Some(number(value())?),
                "--replicas" => told.replicas = Some(number(value())?),
                name if !name.starts_with('-') && told.name.is_none() => told.name = Some(name),
                other => {
                    let known = "a name, -n NAMESPACE, -A, -o wide, --replicas N, --grace-period SECONDS";
                    return Err(NotUnderstood::word(other, known));
                }
            }
        }
        Ok(told)
    }

    fn fits(&self, row: &Row) -> bool {
        self.name.is_none_or(|name| row.key.name == name)
            && (!self.kind.is_namespaced() || self.namespace.is_none_or(|namespace| row.key.namespace == namespace))
    }
}

fn is_wide(value: &str) -> Result<bool, NotUnderstood> {
    if value == "wide" { Ok(true) } else { Err(NotUnderstood::word(value, "wide")) }
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, NotUnderstood> {
    text.parse().map_err(|_| NotUnderstood::word(text, "a number"))
}

fn get(net: &Network<'_>, words: &[&str]) -> Answer {
    let told = Told::read(words)?;
    let (mut titles, rows) = rows::of(net, told.kind, told.wide);
    let mut rows: Vec<Row> = rows.into_iter().filter(|row| told.fits(row)).collect();
    rows.sort_by(|a, b| a.key.cmp(&b.key));
    if rows.is_empty() {
        return Ok(nothing(&told));
    }
    if told.kind.is_namespaced() && told.namespace.is_none() {
        titles.insert(0, "NAMESPACE");
        rows.iter_mut().for_each(|row| row.cells.insert(0, row.key.namespace.clone()));
    }
    let titles = titles.into_iter().map(str::to_owned).collect();
    let cells = std::iter::once(titles).chain(rows.into_iter().map(|row| row.cells));
    Ok(Output::lines(table::columns(cells.collect())))
}

fn nothing(told: &Told<'_>) -> Output {
    match (told.name, told.namespace) {
        (Some(name), _) => not_found(told.kind, name),
        (None, Some(namespace)) if told.kind.is_namespaced() => {
            Output::default().remark(format!("No resources found in {} namespace.", shown(namespace)))
        }
        (None, _) => Output::default().remark("No resources found"),
    }
}

fn not_found(kind: Kind, name: &str) -> Output {
    Output::refused(1, format!("Error from server (NotFound): {} \"{}\" not found", kind.resource(), shown(name)))
}

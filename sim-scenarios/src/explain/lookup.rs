//! Why a name could not be resolved.

use std::collections::BTreeSet;

use sim_core::capture::{Direction, Seen};
use sim_core::engine::arena::NetnsId;
use sim_k8s::dns::{Reply, reply};

use super::flow::{datagram, ends, is_dns};
use super::why::Why;
use crate::run::Run;

/// What name servers answered to the lookups in `seen`, and which Services have a like name.
pub(super) fn why(seen: &[Seen], client: Option<NetnsId>, run: &Run) -> Option<Why> {
    let arrived = seen.iter().filter(|seen| {
        matches!(seen, Seen::Hop(hop) if hop.direction == Direction::In && Some(hop.netns) == client)
            && is_dns(seen.frame())
    });
    let mut asked = BTreeSet::new();
    let mut because = Vec::new();
    let names = run.names();
    for seen in arrived {
        let Some(Reply { name, kind, status }) = datagram(seen.frame()).and_then(reply) else { continue };
        let server = ends(seen.frame())
            .map(|[server, _]| names.get(&server.ip).cloned().unwrap_or_else(|| server.ip.to_string()));
        because.push(format!("{}: {name} {kind}? {status}", server.unwrap_or_default()));
        asked.insert(name);
    }
    if because.is_empty() {
        return Some(Why::plain("no packet was sent: there is no route, or no name server".into(), because, None));
    }
    because.dedup();
    let first = asked.iter().map(|name| name.split('.').next().unwrap_or_default()).min_by_key(|label| label.len());
    let whose = alike(first.unwrap_or_default(), run);
    Some(Why::plain("the name could not be resolved".into(), because, Some(whose)))
}

/// Services whose names are the same in another namespace, or nearly.
fn alike(label: &str, run: &Run) -> String {
    let near = |name: &str| name.contains(label) || label.contains(name) || distance(name, label) <= 2;
    let services = run.cluster().services();
    let found: Vec<String> =
        services.iter().map(|service| &service.key).filter(|key| near(&key.name)).map(ToString::to_string).collect();
    match found.as_slice() {
        [] => format!(
            "no Service has a name like {}: whoever made the call, or should have made the Service",
            sim_k8s::manifest::shown(label)
        ),
        found => format!("there is no such Service where the name leads; alike are: {}", found.join(", ")),
    }
}

/// How many letters must be changed, added or left out.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().take(64).enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let changed = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

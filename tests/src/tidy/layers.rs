//! Who may know whom: crates by their manifests, rooms by the paths in their code.

use super::Violation;
use super::repo::{Repo, Source};
use super::token;

/// Packages, each with those of ours it may depend on.
const CRATES: [(&str, &[&str]); 6] = [
    ("sim-core", &[]),
    ("sim-k8s", &["sim-core"]),
    ("sim-scenarios", &["sim-core", "sim-k8s"]),
    ("sim-linux", &["sim-core", "sim-scenarios"]),
    ("tests", &["sim-core", "sim-k8s", "sim-scenarios"]),
    ("tools", &["sim-core", "sim-k8s", "sim-scenarios", "sim-linux"]),
];

/// Rooms of sim-core, each with those it may know.
const CORE: [(&str, &[&str]); 10] = [
    ("engine", &[]),
    ("kernel", &[]),
    ("wire", &["engine"]),
    ("netfilter", &["engine", "kernel", "wire"]),
    ("dev", &["engine", "wire"]),
    ("link", &["engine", "wire"]),
    ("capture", &["engine", "wire", "netfilter"]),
    ("netns", &["engine", "kernel", "wire", "netfilter", "dev", "link"]),
    ("walk", &["engine", "wire", "netfilter", "dev", "link", "capture", "netns"]),
    ("world", &["engine", "kernel", "wire", "netfilter", "dev", "link", "capture", "netns", "walk"]),
];

/// Daemons of sim-k8s: they meet only in the apiserver and in a netns.
const DAEMONS: [&str; 8] = ["cloud", "cni", "controller", "dns", "flannel", "kubelet", "kubeproxy", "policy"];
/// The container runtime, a part of the kubelet, runs the CNI plugins: they are programs, not daemons.
const RUNS: (&str, &str) = ("kubelet", "cni");

/// What sim-k8s must leave alone: it programs a netns through the one door.
const BEHIND_THE_DOOR: [&str; 3] = ["dev", "netfilter", "walk"];

/// Every dependency that points the wrong way.
pub fn check(repo: &Repo) -> Vec<Violation> {
    let mut found: Vec<_> = CRATES.iter().flat_map(|(package, may)| manifest(repo, package, may)).collect();
    for source in &repo.sources {
        match source.package() {
            "sim-core" => found.extend(core(source)),
            "sim-k8s" => found.extend(k8s(source)),
            _ => {}
        }
    }
    found
}

fn manifest(repo: &Repo, package: &str, may: &[&str]) -> Vec<Violation> {
    let path = format!("{package}/Cargo.toml");
    let mut found = Vec::new();
    let mut in_dependencies = false;
    for (at, line) in repo.text(&path).lines().enumerate() {
        if line.starts_with('[') {
            in_dependencies = line.contains("dependencies");
        }
        let name = line.split(['.', '=', ' ']).next().unwrap_or_default();
        if in_dependencies && is_ours(name) && !may.contains(&name) {
            let message = format!(
                "{package} may not know {name}: sim-core ← sim-k8s ← sim-scenarios ← sim-linux ← {{tests, tools}}"
            );
            found.push(Violation::new(&path, at + 1, message));
        }
    }
    found
}

fn is_ours(name: &str) -> bool {
    matches!(name, "everyhop" | "everyhop-tests") || CRATES.iter().any(|(package, _)| *package == name)
}

/// Paths from the root of the crate, `crate::a::b` and `super::…` alike, with their lines.
fn crate_paths(source: &Source) -> Vec<(Vec<String>, usize)> {
    let module = source.module();
    let mut found = Vec::new();
    for path in token::paths(&source.code) {
        let line = source.code[path.at].line;
        let supers = path.segments.iter().take_while(|segment| *segment == "super").count();
        let from_root = match path.segments[0].as_str() {
            "crate" => path.segments[1..].to_vec(),
            // A module inside the file has one level more; its tests only look at the file itself.
            "super" if !source.is_test_at(path.at) && supers <= module.len() => {
                let above = module[..module.len() - supers].iter().map(|name| (*name).to_owned());
                above.chain(path.segments[supers..].iter().cloned()).collect()
            }
            _ => continue,
        };
        found.push((from_root, line));
    }
    found
}

fn core(source: &Source) -> Vec<Violation> {
    let module = source.module();
    let Some((room, may)) = CORE.iter().find(|(room, _)| module.first() == Some(room)) else { return Vec::new() };
    let mut found = Vec::new();
    for (path, line) in crate_paths(source) {
        let other = path[0].as_str();
        let is_room = CORE.iter().any(|(room, _)| *room == other);
        let written = format!("crate::{}", path.join("::"));
        if is_room && other != *room && !may.contains(&other) {
            let message = format!(
                "{room} may not know {other} ({written}): engine ‹ wire ‹ {{netfilter, dev, link}} ‹ netns ‹ walk ‹ world"
            );
            found.push(Violation::new(&source.path, line, message));
        }
    }
    found
}

fn k8s(source: &Source) -> Vec<Violation> {
    let module = source.module();
    let daemon = module.first().filter(|room| DAEMONS.contains(room));
    let mut found = Vec::new();
    for (path, line) in crate_paths(source) {
        let other = path[0].as_str();
        let meets = |daemon: &str| daemon != other && DAEMONS.contains(&other) && (daemon, other) != RUNS;
        if let Some(daemon) = daemon.filter(|daemon| meets(daemon)) {
            let message = format!("{daemon} may not know {other}: daemons meet in the apiserver and in a netns");
            found.push(Violation::new(&source.path, line, message));
        }
    }
    for path in token::paths(&source.code) {
        let behind = path.segments.get(1).filter(|room| BEHIND_THE_DOOR.contains(&room.as_str()));
        if let Some(room) = behind.filter(|_| path.segments[0] == "sim_core" && !source.is_test_at(path.at)) {
            let message =
                format!("sim-k8s may not know sim_core::{room}: a netns is programmed through netns::netlink");
            found.push(Violation::new(&source.path, source.code[path.at].line, message));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_text(path: &str, text: &str) -> Vec<String> {
        check(&Repo::of(&[(path, text)])).iter().map(Violation::to_string).collect()
    }

    #[test]
    fn a_lower_crate_does_not_depend_on_a_higher_one() {
        let manifest = "[package]\nsim-k8s.x = 1\n[dependencies]\nbytes.workspace = true\n[dev-dependencies]\nsim-k8s = { path = \"x\" }";
        let texts = vec![("sim-core/Cargo.toml".to_owned(), manifest.to_owned())];
        let found = check(&Repo { texts, ..Repo::default() });
        assert_eq!(found.len(), 1);
        assert!(found[0].to_string().starts_with("sim-core/Cargo.toml:6: sim-core may not know sim-k8s"));
    }

    #[test]
    fn a_lower_room_does_not_know_a_higher_one() {
        assert!(check_text("sim-core/src/wire/ip.rs", "use crate::engine::time::Instant;").is_empty());
        assert_eq!(check_text("sim-core/src/wire/ip.rs", "use crate::netns::Netns;").len(), 1);
        assert_eq!(check_text("sim-core/src/dev/veth.rs", "\nuse crate::{engine::x, netfilter::y};").len(), 1);
    }

    #[test]
    fn super_leads_no_further_than_crate() {
        assert_eq!(check_text("sim-core/src/dev/veth.rs", "use super::super::netns::Netns;").len(), 1);
        assert!(check_text("sim-core/src/dev/veth.rs", "use super::netns::Netns;").is_empty(), "a room inside dev");
    }

    #[test]
    fn daemons_know_neither_each_other_nor_what_is_behind_the_door() {
        assert_eq!(check_text("sim-k8s/src/flannel/mod.rs", "use crate::kubeproxy::Config;").len(), 1);
        assert_eq!(check_text("sim-k8s/src/flannel/mod.rs", "use sim_core::netfilter::conntrack::Tuple;").len(), 1);
        assert!(
            check_text("sim-k8s/src/flannel/mod.rs", "use crate::api::Pod; use sim_core::netns::netlink::Op;")
                .is_empty()
        );
    }
}

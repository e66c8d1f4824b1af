//! Hints by the zones' CPUs. The numbers are those of upstream's topologycache_test.go where it has the case.

use super::super::topology::Topology;
use super::*;
use sim_core::wire::ip::Family;

fn cached(zones: &[(&str, u64)]) -> Topology {
    let nodes: Vec<Node> = zones
        .iter()
        .map(|(name, cpu)| Node { labels: zone(name), allocatable: [("cpu".into(), *cpu)].into(), ..node(name) })
        .collect();
    let mut topology = Topology::default();
    topology.set_nodes(nodes.iter());
    topology
}

/// The zones the endpoints in `zones` are given to; those that are not ready are written with a `-` before.
fn hinted(topology: &mut Topology, zones: &[&str]) -> Vec<String> {
    let endpoints = zones.iter().zip(0..).map(|(zone, number)| {
        let ready = !zone.starts_with('-');
        Endpoint { ready, ..endpoint(number, zone.trim_start_matches('-')) }
    });
    let slice = EndpointSlice { endpoints: endpoints.collect(), ..pack::empty((&web(), Family::V4), Vec::new()) };
    let mut slices = Slices { create: vec![slice], ..Slices::default() };
    topology.share_out((&web().key, Family::V4), &mut slices);
    slices.create[0].endpoints.iter().map(|endpoint| endpoint.for_zones.join(",")).collect()
}

#[test]
fn each_zone_serves_itself_where_that_is_its_share() {
    let mut two = cached(&[("a", 2000), ("b", 2000)]);
    assert_eq!(hinted(&mut two, &["a", "b"]), ["a", "b"]);
    assert_eq!(hinted(&mut two, &["a", "-a", "b"]), ["a", "", "b"], "who is not ready has none");
}

#[test]
fn a_zone_with_too_many_gives_to_one_with_too_few() {
    let mut two = cached(&[("a", 2000), ("b", 2000)]);
    assert_eq!(hinted(&mut two, &["a", "a"]), ["b", "a"]);
    assert_eq!(hinted(&mut two, &["a", "a", "a", "b"]), ["b", "a", "a", "b"]);
}

#[test]
fn too_few_endpoints_or_an_overload_that_cannot_be_helped_mean_no_hints() {
    let mut two = cached(&[("a", 2000), ("b", 2000)]);
    assert_eq!(hinted(&mut two, &["a"]), [""], "fewer endpoints than zones");
    // Of 3 each needs ceil(1.5 / 1.2) = 2.
    assert_eq!(hinted(&mut two, &["a", "a", "b"]), ["", "", ""]);
    // Of 5 each needs ceil(2.5 / 1.2) = 3; of 7 ceil(3.5 / 1.2) = 3.
    assert_eq!(hinted(&mut two, &["a", "a", "b", "b", "b"]), [""; 5]);
    assert_eq!(hinted(&mut two, &["a", "a", "a", "b", "b", "b", "b"]), ["a", "a", "a", "b", "b", "b", "b"]);
}

#[test]
fn zones_that_are_not_known_mean_no_hints() {
    assert_eq!(hinted(&mut cached(&[("a", 2000)]), &["a", "a"]), ["", ""], "one zone");
    assert_eq!(hinted(&mut cached(&[("a", 2000), ("b", 0)]), &["a", "b"]), ["", ""], "a node that says no CPUs");
    assert_eq!(hinted(&mut cached(&[("a", 2000), ("", 2000)]), &["a", "b"]), ["", ""], "a node without a zone");
    assert_eq!(hinted(&mut cached(&[("a", 2000), ("b", 2000)]), &["a", ""]), ["", ""], "an endpoint without one");
}

#[test]
fn when_the_nodes_change_those_services_are_looked_at_that_no_longer_fit() {
    let mut topology = cached(&[("a", 2000), ("b", 2000)]);
    hinted(&mut topology, &["a", "b"]);
    assert_eq!(topology.overloaded(), []);
    topology.set_nodes([Node { labels: zone("a"), ..node("n1") }].iter());
    assert_eq!(topology.overloaded(), [web().key]);
}

#[test]
fn hints_of_slices_that_stay_count_and_wrong_ones_are_written_anew() {
    let mut topology = cached(&[("a", 2000), ("b", 2000)]);
    let hinted = |number, zone: &str| Endpoint { for_zones: vec![zone.into()], ..endpoint(number, zone) };
    let stays = |endpoints: Vec<Endpoint>| EndpointSlice { endpoints, ..EndpointSlice::clone(&slice("old", [])) };
    let mut slices =
        Slices { unchanged: vec![stays(vec![hinted(1, "a"), hinted(2, "b")]).into()], ..Slices::default() };
    topology.share_out((&web().key, Family::V4), &mut slices);
    assert_eq!((slices.unchanged.len(), slices.update.len()), (1, 0));
    let mut slices =
        Slices { unchanged: vec![stays(vec![hinted(1, "a"), hinted(2, "c")]).into()], ..Slices::default() };
    topology.share_out((&web().key, Family::V4), &mut slices);
    assert_eq!((slices.unchanged.len(), slices.update.len()), (0, 1));
}

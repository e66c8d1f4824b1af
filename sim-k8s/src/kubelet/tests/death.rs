//! How a pod goes.

use sim_core::engine::rng::Seed;
use sim_core::engine::time::Duration;

use super::super::*;
use super::bench::{App, Bench, GOOD, container, probe, template};
use crate::api::{Container, Handler, Lifecycle, ObjectKey, PodTemplate, Probe};

fn stops(after: Option<u64>) -> App {
    App { stops_after: after.map(Duration::from_millis), ..GOOD }
}

fn pre_stop(handler: Handler) -> Container {
    Container { lifecycle: Lifecycle { post_start: None, pre_stop: Some(handler) }, ..container("main") }
}

/// A pod of this container and grace period is deleted at 40 s; when it was told what, from then on.
fn deleted(app: App, main: Container, grace: u64) -> (Bench, Vec<(u64, String)>) {
    let mut bench = Bench::new(1, app);
    bench.create("a", PodTemplate { grace: Duration::from_secs(grace), ..template(vec![main]) });
    bench.run_to(40_000);
    bench.delete("a");
    bench.told.clear();
    bench.run_to(120_000);
    let told = bench.told.iter().map(|(at, told)| (at - 40_000, told.clone())).collect();
    (bench, told)
}

#[test]
fn the_stop_signal_comes_with_the_watch_and_nothing_is_left_of_a_pod_that_obeys() {
    let (bench, told) = deleted(stops(Some(500)), container("main"), 30);
    assert!(told.len() == 1 && told[0].1 == "a/0 stop" && (2..=20).contains(&told[0].0), "{told:?}");
    assert!(bench.pod("a").is_none());
    assert_eq!(bench.world.netns_id("default/a"), None);
    let veths = bench.world.netns(bench.world.netns_id("n1").expect("the node")).devs();
    assert!(veths.iter().all(|dev| !dev.name.starts_with("veth")));
}

#[test]
fn who_ignores_the_signal_is_killed_when_grace_is_over() {
    let (bench, told) = deleted(stops(None), container("main"), 7);
    let [(signal, _), (kill, killed)] = &told[..] else { panic!("{told:?}") };
    assert_eq!((kill - signal, killed.as_str()), (7_000, "a/0 killed"));
    assert!(bench.pod("a").is_none());
}

#[test]
fn pre_stop_comes_out_of_the_grace_period_in_whole_seconds_and_two_are_left() {
    // T_sig = min(P, G), T_kill = T_sig + max(G - floor(P), 2).
    for (sleep, grace, signal, kill) in [(3_500, 10, 3_500, 7_000), (9, 10, 9, 10_000), (20_000, 5, 5_000, 2_000)] {
        for handler in [Handler::Sleep(Duration::from_millis(sleep)), Handler::Exec(Duration::from_millis(sleep))] {
            let (_, told) = deleted(stops(None), pre_stop(handler), grace);
            let [(signalled, _), (killed, _)] = told[..] else { panic!("{told:?}") };
            assert!((signal + 2..=signal + 20).contains(&signalled), "{sleep}: {told:?}");
            assert_eq!(killed - signalled, kill, "{sleep}");
        }
    }
}

#[test]
fn pre_stop_asks_the_pod_by_http() {
    let (_, told) = deleted(GOOD, pre_stop(probe().handler), 30);
    assert!(told[0].1 == "a/0 stop" && told[0].0 <= 25, "{told:?}");
}

#[test]
fn readiness_is_probed_until_the_end_and_turns_the_pod_unready() {
    let quick = Probe { period: Duration::from_secs(1), failure_threshold: 2, ..probe() };
    let main = Container { readiness_probe: Some(quick.clone()), liveness_probe: Some(quick), ..container("main") };
    let mut bench = Bench::new(1, stops(Some(10_000)));
    bench.create("a", template(vec![main]));
    bench.run_to(40_000);
    assert!(bench.status("a").ready);
    bench.delete("a");
    let netns = bench.world.netns_id("default/a").expect("its netns");
    bench.run_to(41_000);
    bench.world.ip(netns, "link set eth0 down").expect("understood");
    bench.run_to(46_000);
    assert!(!bench.status("a").ready && bench.status("a").phase == crate::api::Phase::Running);
    assert_eq!(bench.told.iter().filter(|(_, told)| told.ends_with("started")).count(), 1, "liveness has ceased");
    bench.run_to(60_000);
    assert!(bench.pod("a").is_none());
}

#[test]
fn a_sidecar_stays_until_the_others_have_ended() {
    let mut bench = Bench::new(1, stops(Some(3_000)));
    let sidecar = Container { sidecar: true, ..container("proxy") };
    bench.create("a", template(vec![sidecar, container("main")]));
    bench.run_to(40_000);
    bench.delete("a");
    bench.run_to(60_000);
    let (main, proxy) = (bench.told_at("a/1 stop"), bench.told_at("a/0 stop"));
    assert_eq!(proxy, main + 3_000);
}

#[test]
fn a_pod_deleted_by_force_is_gone_at_once_and_its_netns_a_little_later() {
    let mut bench = Bench::new(1, stops(None));
    bench.create("a", template(vec![container("main")]));
    bench.run_to(40_000);
    let object = ObjectRef::pod(ObjectKey::new("default", "a"));
    bench.kubectl(Request::Delete { object, uid: None, grace: Some(Duration::ZERO) });
    // Another of its name comes meanwhile, as a StatefulSet's does.
    bench.create("a", template(vec![container("main")]));
    bench.run_to(41_500);
    assert!(bench.world.netns_id("default/a").is_some());
    bench.run_to(50_000);
    assert!(bench.status("a").ready);
    assert_eq!(bench.world.netns_id("default/a"), None, "the first one's");
    assert_eq!(bench.world.all_netns().count(), 2);
}

#[test]
fn pods_deleted_at_any_moment_of_their_life_leave_nothing_behind() {
    let mut bench = Bench::new(1, stops(Some(100)));
    let mut draws = Seed(7).stream("moments", 0);
    let mut now = 30_000;
    for round in 0..150 {
        let name = format!("p{}", round % 40);
        if bench.pod(&name).is_none() {
            let main =
                Container { readiness_probe: Some(probe()), ..pre_stop(Handler::Sleep(Duration::from_millis(50))) };
            bench.create(&name, template(vec![main, container("other")]));
        }
        now += u64::from(draws.below(700));
        bench.run_to(now);
        let victim = format!("p{}", draws.below(40));
        if bench.pod(&victim).is_some_and(|pod| !pod.is_terminating()) {
            bench.delete(&victim);
        }
    }
    for round in 0..40 {
        let name = format!("p{round}");
        if bench.pod(&name).is_some_and(|pod| !pod.is_terminating()) {
            bench.delete(&name);
        }
    }
    bench.run_to(now + 60_000);
    assert_eq!(bench.plane.objects().pods.len(), 0);
    assert_eq!(bench.world.all_netns().count(), 1, "the node's");
    let node = bench.world.netns(bench.world.netns_id("n1").expect("the node"));
    let devs: Vec<&str> = node.devs().iter().map(|dev| dev.name.as_str()).collect();
    assert_eq!(devs, ["lo", "cni0"]);
}

//! What ends is started again, or not.

use sim_core::engine::time::Duration;

use super::bench::{App, Bench, GOOD, container, probe, template};
use crate::api::{Container, Phase, PodTemplate, Probe, RestartPolicy};

fn ends(after: u64, code: u8) -> App {
    App { ends_after: Some((Duration::from_secs(after), code)), ..GOOD }
}

#[test]
fn a_container_that_crashes_waits_longer_each_time() {
    let mut bench = Bench::new(1, ends(1, 1));
    bench.create("a", template(vec![container("main")]));
    bench.run_to(150_000);
    let starts: Vec<u64> = bench.told.iter().filter(|(_, told)| told == "a/0 started").map(|(at, _)| *at).collect();
    let gaps: Vec<u64> = starts.windows(2).map(|pair| (pair[1] - pair[0]) / 1_000).collect();
    // A second of life and up to another until it is noticed; then nothing, 10 s, 20 s, 40 s from its end.
    assert!(gaps[0] <= 2 && gaps[1] == 11 && gaps[2] == 21 && gaps[3] == 41, "{gaps:?}");
    assert_eq!(bench.status("a").phase, Phase::Running, "a crash loop is no phase");
}

#[test]
fn a_failed_liveness_probe_stops_the_container_and_starts_it_again() {
    let mut bench =
        Bench::new(2, App { listens_after: None, stops_after: Some(Duration::from_secs(1)), ends_after: None });
    let liveness = Probe { period: Duration::from_secs(5), ..probe() };
    bench.create("a", template(vec![Container { liveness_probe: Some(liveness), ..container("main") }]));
    bench.run_to(60_000);
    let (started, stop) = (bench.told_at("a/0 started"), bench.told_at("a/0 stop"));
    assert!((started + 10_000..started + 15_100).contains(&stop), "three failures, 5 s apart: {started} {stop}");
    let again = bench.told.iter().filter(|(_, told)| told == "a/0 started").nth(1).expect("started again").0;
    assert!((stop + 1_000..stop + 1_150).contains(&again), "as soon as it has ended: {stop} {again}");
    assert_eq!(bench.status("a").containers[0].restarts, 1);
    assert!(bench.world.netns_id("default/a").is_some(), "the sandbox stays");
}

#[test]
fn a_pod_that_is_never_started_again_runs_its_course() {
    for (code, phase) in [(0, Phase::Succeeded), (3, Phase::Failed)] {
        let mut bench = Bench::new(1, ends(5, code));
        let policy = RestartPolicy::Never;
        bench.create("a", PodTemplate { restart_policy: policy, ..template(vec![container("main")]) });
        bench.run_to(45_000);
        assert_eq!(bench.status("a").phase, phase);
        assert_eq!(bench.world.netns_id("default/a"), None, "its sandbox is gone");
        bench.delete("a");
        assert!(bench.pod("a").is_none(), "at once");
    }
    // A sidecar does not keep it alive. (Here it ends too, and is started again whatever the policy.)
    let mut bench = Bench::new(1, ends(20, 0));
    let sidecar = Container { sidecar: true, ..container("proxy") };
    let policy = RestartPolicy::Never;
    bench.create("a", PodTemplate { restart_policy: policy, ..template(vec![sidecar, container("main")]) });
    bench.run_to(58_000);
    assert_eq!((bench.status("a").phase, bench.world.netns_id("default/a")), (Phase::Succeeded, None));
    assert!(bench.told.iter().filter(|(_, told)| told == "a/0 started").count() > 1);
    let mut bench = Bench::new(1, ends(5, 1));
    let policy = RestartPolicy::OnFailure;
    bench.create("a", PodTemplate { restart_policy: policy, ..template(vec![container("main")]) });
    bench.run_to(45_000);
    assert_eq!((bench.status("a").phase, bench.status("a").containers[0].restarts), (Phase::Running, 1));
}

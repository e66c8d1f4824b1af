use super::super::bench::{Bench, workload};
use super::*;
use crate::api::{Concurrency, CronSpec, PodStatus};

const KIND: WorkloadKind = WorkloadKind::Job;

fn spec(parallelism: u32, completions: Option<u32>) -> JobSpec {
    JobSpec {
        parallelism,
        completions,
        indexed: false,
        backoff_limit: 6,
        active_deadline: None,
        ttl_after_finished: None,
        suspend: false,
    }
}

fn run(spec: JobSpec, secs: u64) -> Bench {
    let mut bench = Bench::new();
    let job = Workload { job: Some(spec), ..workload(KIND, "work", spec.parallelism) };
    bench.create(Object::Workload(job.into()));
    bench.run_secs(secs);
    bench
}

fn status(bench: &Bench) -> (u32, u32, Option<bool>) {
    let JobStatus { succeeded, failed, finished, .. } = bench.workload(KIND, "work").status.job;
    (succeeded, failed, finished.map(|(_, well)| well))
}

fn fail_all(bench: &mut Bench) {
    let running: Vec<Arc<Pod>> = bench.objects().pods.values().filter(|pod| is_active(pod)).cloned().collect();
    for pod in running {
        let status = PodStatus { phase: Phase::Failed, ready: false, ..pod.status.clone() };
        let request = Request::UpdatePodStatus { pod: pod.key.clone(), uid: pod.meta.uid, status };
        bench.plane.kubectl(&mut bench.world, request).expect("it is there");
    }
}

#[test]
fn two_at_a_time_until_five_have_succeeded() {
    let mut bench = run(spec(2, Some(5)), 5);
    assert_eq!(bench.pods().len(), 2);
    bench.watch(Duration::from_secs(60), |objects, _| {
        assert!(objects.pods.values().filter(|pod| is_active(pod)).count() <= 2);
    });
    assert_eq!(status(&bench), (5, 0, Some(true)));
}

#[test]
fn of_a_work_queue_no_more_are_begun_once_one_has_succeeded() {
    let bench = run(spec(3, None), 60);
    assert_eq!(status(&bench), (3, 0, Some(true)));
    assert_eq!(bench.objects().pods.len(), 3);
}

#[test]
fn each_index_is_done_once_and_its_pod_knows_it() {
    let bench = run(JobSpec { indexed: true, ..spec(2, Some(3)) }, 60);
    let mut names: Vec<_> = bench.objects().pods.values().filter_map(|pod| pod.template.hostname.clone()).collect();
    names.sort();
    assert_eq!(names, ["work-0", "work-1", "work-2"]);
    assert_eq!(status(&bench).2, Some(true));
}

#[test]
fn after_a_failure_the_next_pod_waits_ten_seconds_then_twenty_and_the_job_fails_at_its_limit() {
    let mut bench = run(JobSpec { backoff_limit: 1, ..spec(1, Some(1)) }, 3);
    fail_all(&mut bench);
    bench.run_secs(9);
    assert_eq!(bench.objects().pods.values().filter(|pod| is_active(pod)).count(), 0);
    bench.run_secs(2);
    assert_eq!(bench.objects().pods.values().filter(|pod| is_active(pod)).count(), 1);
    fail_all(&mut bench);
    bench.run_secs(40);
    assert_eq!(status(&bench), (0, 2, Some(false)));
    assert_eq!(bench.objects().pods.values().filter(|pod| is_active(pod)).count(), 0);
}

#[test]
fn a_job_that_is_late_fails_and_one_that_has_expired_goes() {
    let late = run(JobSpec { active_deadline: Some(Duration::from_secs(5)), ..spec(1, Some(1)) }, 8);
    assert_eq!(status(&late).2, Some(false));
    assert_eq!(late.pods(), [""; 0]);
    let expired = run(JobSpec { ttl_after_finished: Some(Duration::from_secs(5)), ..spec(1, Some(1)) }, 30);
    assert!(expired.objects().workloads.is_empty() && expired.objects().pods.is_empty());
}

#[test]
fn a_suspended_job_has_no_pods() {
    let mut bench = run(JobSpec { suspend: true, ..spec(2, Some(2)) }, 5);
    assert_eq!(bench.pods(), [""; 0]);
    bench.edit(KIND, "work", |job| job.job.as_mut().expect("a Job").suspend = false);
    bench.run_secs(5);
    assert_eq!(bench.pods().len(), 2);
}

fn cron(concurrency: Concurrency) -> CronSpec {
    let schedule = "* * * * *".parse().expect("a schedule");
    CronSpec { schedule, suspend: false, concurrency, starting_deadline: None, successful_kept: 1, failed_kept: 1 }
}

fn jobs(bench: &Bench) -> Vec<&str> {
    bench.objects().workloads.keys().filter(|w| w.kind == KIND).map(|w| w.key.name.as_str()).collect()
}

#[test]
fn a_cron_job_makes_a_job_each_minute_and_keeps_the_last_one_that_succeeded() {
    let mut bench = Bench::new();
    let every = workload(WorkloadKind::CronJob, "report", 1);
    let every = Workload { job: Some(spec(1, Some(1))), cron: Some(cron(Concurrency::Allow)), ..every };
    bench.create(Object::Workload(every.into()));
    bench.run_secs(59);
    assert_eq!(jobs(&bench), [""; 0]);
    bench.run_secs(6);
    assert_eq!(jobs(&bench), ["report-1"]);
    let pod = bench.objects().pods.values().next().expect("its pod");
    assert!(pod.key.name.starts_with("report-1-"));
    assert_eq!(pod.workload.kind, WorkloadKind::CronJob, "people would say the CronJob made it");
    bench.run_secs(120);
    assert_eq!(jobs(&bench), ["report-2", "report-3"], "the last still runs");
}

#[test]
fn while_a_job_runs_the_next_is_left_out_or_takes_its_place() {
    for (concurrency, expected) in [(Concurrency::Forbid, "report-1"), (Concurrency::Replace, "report-3")] {
        let mut bench = Bench::new();
        let mut every = workload(WorkloadKind::CronJob, "report", 1);
        every.template = super::super::bench::changed(&every, |t| drop(t.labels.insert("broken".into(), "".into())));
        every.job = Some(spec(1, Some(1)));
        every.cron = Some(cron(concurrency));
        bench.create(Object::Workload(every.into()));
        bench.run_secs(190);
        assert_eq!(jobs(&bench), [expected]);
    }
}

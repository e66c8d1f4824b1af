//! How pods are replaced, and Jobs.

use sim_core::engine::time::Duration;

use super::super::load;
use super::{deployment, files, lines, loaded};
use crate::api::{Share, UpdateStrategy, Workload};

fn with_spec(kind: &str, fields: &str) -> String {
    let text = deployment("web", "").replace("kind: Deployment", &format!("kind: {kind}"));
    text.replace("spec:\n  selector", &format!("spec:\n{fields}  selector"))
}

fn read(kind: &str, fields: &str) -> Workload {
    loaded(&with_spec(kind, fields)).objects.workloads.remove(0)
}

fn refused(kind: &str, fields: &str) -> String {
    lines(&load(&files(&[&with_spec(kind, fields)])).expect_err("refused"))
}

fn rolling(max_surge: Share, max_unavailable: Share, partition: u32) -> UpdateStrategy {
    UpdateStrategy::RollingUpdate { max_surge, max_unavailable, partition }
}

#[test]
fn each_kind_has_its_default_strategy() {
    let quarter = Share::Percent(25);
    let web = read("Deployment", "");
    assert_eq!(web.update, rolling(quarter, quarter, 0));
    assert_eq!((web.progress_deadline, web.revision_history_limit), (Some(Duration::from_secs(600)), 10));
    assert_eq!(read("StatefulSet", "").update, rolling(Share::Pods(0), Share::Pods(1), 0));
    assert_eq!(read("DaemonSet", "").update, rolling(Share::Pods(0), Share::Pods(1), 0));
}

#[test]
fn strategies_are_read_as_written() {
    let fields = "  strategy: {rollingUpdate: {maxSurge: 2, maxUnavailable: 0}}\n  minReadySeconds: 5\n";
    let web = read("Deployment", fields);
    assert_eq!((web.update, web.min_ready), (rolling(Share::Pods(2), Share::Pods(0), 0), Duration::from_secs(5)));
    assert_eq!(read("Deployment", "  strategy: {type: Recreate}\n").update, UpdateStrategy::Recreate);
    let db =
        read("StatefulSet", "  podManagementPolicy: Parallel\n  updateStrategy: {rollingUpdate: {partition: 2}}\n");
    assert_eq!((db.update, db.parallel), (rolling(Share::Pods(0), Share::Pods(1), 2), true));
    assert_eq!(read("DaemonSet", "  updateStrategy: {type: OnDelete}\n").update, UpdateStrategy::OnDelete);
    let forever = read("Deployment", "  progressDeadlineSeconds: 2147483647\n");
    assert_eq!(forever.progress_deadline, None);
}

#[test]
fn strategies_that_make_no_sense_are_refused() {
    let cases = [
        ("Deployment", "  strategy: {rollingUpdate: {maxSurge: 0, maxUnavailable: 0%}}\n"),
        ("Deployment", "  strategy: {rollingUpdate: {maxSurge: -1, maxUnavailable: 150%}}\n"),
        ("Deployment", "  strategy: {type: Recreate, rollingUpdate: {maxSurge: 1}}\n"),
        ("Deployment", "  progressDeadlineSeconds: 5\n  minReadySeconds: 10\n"),
        ("DaemonSet", "  updateStrategy: {rollingUpdate: {maxSurge: 1}}\n"),
        ("StatefulSet", "  updateStrategy: {rollingUpdate: {maxUnavailable: some}}\n"),
    ];
    let told = cases.map(|(kind, fields)| refused(kind, fields));
    insta::assert_snapshot!(told.join("\n"));
}

fn job(kind: &str, spec: &str) -> String {
    format!("apiVersion: batch/v1\nkind: {kind}\nmetadata: {{name: work}}\nspec:\n{spec}")
}

const TEMPLATE: &str = "template: {spec: {restartPolicy: Never, containers: [{name: c, image: i}]}}";

#[test]
fn a_job_without_numbers_runs_one_pod_and_one_with_parallelism_alone_runs_until_one_succeeds() {
    let read = |fields: &str| {
        let text = job("Job", &format!("  {TEMPLATE}\n{fields}"));
        loaded(&text).objects.workloads[0].job.expect("a Job")
    };
    assert_eq!((read("").parallelism, read("").completions), (1, Some(1)));
    assert_eq!(read("  parallelism: 3\n").completions, None);
    assert_eq!((read("  completions: 5\n").parallelism, read("").backoff_limit), (1, 6));
}

#[test]
fn a_cron_job_needs_a_schedule() {
    let text = |schedule: &str| {
        job("CronJob", &format!("  schedule: \"{schedule}\"\n  jobTemplate: {{spec: {{{TEMPLATE}}}}}\n"))
    };
    let cron = loaded(&text("*/5 * * * *")).objects.workloads.remove(0).cron.expect("a CronJob");
    assert_eq!(cron.schedule, "*/5 * * * *".parse().expect("a schedule"));
    insta::assert_snapshot!(lines(&load(&files(&[&text("every minute")])).expect_err("no schedule")));
}

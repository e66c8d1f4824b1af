//! Pods that run to an end.

use sim_core::engine::time::{Duration, Instant};

use super::Schedule;

/// What a Job, or each Job of a CronJob, asks for beside its pods.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct JobSpec {
    /// How many pods run at once. Default 1.
    pub parallelism: u32,
    /// How many pods have to succeed; `None`: one is enough, and no more are begun then.
    pub completions: Option<u32>,
    /// Each completion has an index of its own (`completionMode: Indexed`). Default false.
    pub indexed: bool,
    /// How many pods may fail. Default 6.
    pub backoff_limit: u32,
    /// How long the Job may take; `None`: for ever.
    pub active_deadline: Option<Duration>,
    /// How long a finished Job is kept; `None`: for ever.
    pub ttl_after_finished: Option<Duration>,
    /// No pods for now. Default false.
    pub suspend: bool,
}

/// When a CronJob makes its Jobs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CronSpec {
    /// When.
    pub schedule: Schedule,
    /// No Jobs for now. Default false.
    pub suspend: bool,
    /// What happens if the last Job still runs. Default [`Concurrency::Allow`].
    pub concurrency: Concurrency,
    /// How late a Job may begin; `None`: any time.
    pub starting_deadline: Option<Duration>,
    /// How many Jobs are kept that succeeded. Default 3.
    pub successful_kept: u32,
    /// How many Jobs are kept that failed. Default 1.
    pub failed_kept: u32,
}

/// What a CronJob does while its last Job still runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Concurrency {
    /// Makes the next one beside it.
    Allow,
    /// Leaves the next one out.
    Forbid,
    /// Deletes the one that runs.
    Replace,
}

/// How a Job stands (`JobStatus`). Default: it has not begun.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct JobStatus {
    /// Pods that ended well, those that are gone included.
    pub succeeded: u32,
    /// Pods that ended badly, those that are gone included.
    pub failed: u32,
    /// When it finished and whether all went well.
    pub finished: Option<(Instant, bool)>,
    /// A CronJob's last Job was due then.
    pub last_scheduled: Option<Instant>,
}

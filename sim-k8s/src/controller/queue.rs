//! What waits to be looked at (client-go util/workqueue).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use sim_core::engine::time::{Duration, Instant};

/// How long something that failed waits before it is tried again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Backoff {
    /// After the first failure; each further one doubles it.
    pub(super) base: Duration,
    /// At most.
    pub(super) cap: Duration,
    /// How often something is tried again before it waits for the next change; `None`: for ever.
    pub(super) tries: Option<u32>,
}

impl Default for Backoff {
    /// client-go `DefaultControllerRateLimiter`: 5 ms, doubled, at most 1000 s.
    fn default() -> Self {
        Self { base: Duration::from_millis(5), cap: Duration::from_secs(1000), tries: None }
    }
}

/// A queue in which each key is at most once, in whichever state.
#[derive(Clone, Debug)]
pub(super) struct Queue<K> {
    backoff: Backoff,
    ready: VecDeque<K>,
    /// Those that are ready, and those that became so while someone works on them.
    dirty: BTreeSet<K>,
    /// Those that someone works on.
    processing: BTreeSet<K>,
    /// Those that become ready later.
    waiting: BTreeMap<K, Instant>,
    by_time: BTreeSet<(Instant, K)>,
    failures: BTreeMap<K, u32>,
}

impl<K: Ord + Clone> Queue<K> {
    pub(super) fn new(backoff: Backoff) -> Self {
        Self {
            backoff,
            ready: VecDeque::new(),
            dirty: BTreeSet::new(),
            processing: BTreeSet::new(),
            waiting: BTreeMap::new(),
            by_time: BTreeSet::new(),
            failures: BTreeMap::new(),
        }
    }

    /// The key is to be looked at.
    pub(super) fn add(&mut self, key: K) {
        if self.dirty.insert(key.clone()) && !self.processing.contains(&key) {
            self.ready.push_back(key);
        }
    }

    /// The key is to be looked at when `at` comes; whether nobody waits for that already.
    pub(super) fn add_at(&mut self, key: K, at: Instant) -> bool {
        if let Some(before) = self.waiting.get(&key).copied() {
            if before <= at {
                return false;
            }
            self.by_time.remove(&(before, key.clone()));
        }
        self.waiting.insert(key.clone(), at);
        self.by_time.insert((at, key))
    }

    /// Makes ready what has waited until `now`.
    pub(super) fn ripen(&mut self, now: Instant) {
        while let Some((at, key)) = self.by_time.first().cloned().filter(|(at, _)| *at <= now) {
            self.by_time.remove(&(at, key.clone()));
            self.waiting.remove(&key);
            self.add(key);
        }
    }

    /// The next key, on which someone now works.
    pub(super) fn take(&mut self) -> Option<K> {
        let key = self.ready.pop_front()?;
        self.dirty.remove(&key);
        self.processing.insert(key.clone());
        Some(key)
    }

    /// Nobody works on the key any more.
    pub(super) fn done(&mut self, key: &K) {
        self.processing.remove(key);
        if self.dirty.contains(key) {
            self.ready.push_back(key.clone());
        }
    }

    /// All went well with the key.
    pub(super) fn forget(&mut self, key: &K) {
        self.failures.remove(key);
    }

    /// Something went wrong with the key: how long to wait; `None` if it was tried often enough.
    pub(super) fn failed(&mut self, key: &K) -> Option<Duration> {
        let failures = self.failures.entry(key.clone()).or_default();
        if self.backoff.tries.is_some_and(|tries| *failures >= tries) {
            self.failures.remove(key);
            return None;
        }
        let delay = self.backoff.base.saturating_mul(1u64.checked_shl(*failures).unwrap_or(u64::MAX));
        *failures = failures.saturating_add(1);
        Some(delay.min(self.backoff.cap))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(n: u64) -> Instant {
        Instant::START + Duration::from_millis(n)
    }

    #[test]
    fn a_key_that_changes_while_it_is_worked_on_comes_once_more() {
        let mut queue = Queue::new(Backoff::default());
        queue.add("web");
        queue.add("web");
        assert_eq!(queue.take(), Some("web"));
        queue.add("web");
        assert_eq!(queue.take(), None, "nobody else may work on it");
        queue.done(&"web");
        assert_eq!((queue.take(), queue.take()), (Some("web"), None));
    }

    #[test]
    fn of_two_times_the_earlier_counts() {
        let mut queue = Queue::new(Backoff::default());
        assert!(queue.add_at("web", millis(50)));
        assert!(!queue.add_at("web", millis(60)));
        assert!(queue.add_at("web", millis(10)));
        queue.ripen(millis(10));
        assert_eq!(queue.take(), Some("web"));
        queue.done(&"web");
        queue.ripen(millis(100));
        assert_eq!(queue.take(), None);
    }

    #[test]
    fn each_failure_doubles_the_wait_until_all_goes_well() {
        let mut queue = Queue::new(Backoff { cap: Duration::from_millis(15), ..Backoff::default() });
        let waits: Vec<_> = (0..3).map(|_| queue.failed(&"web").map(Duration::as_millis)).collect();
        assert_eq!(waits, [Some(5), Some(10), Some(15)]);
        queue.forget(&"web");
        assert_eq!(queue.failed(&"web"), Some(Duration::from_millis(5)));
        let mut tired = Queue::new(Backoff { tries: Some(1), ..Backoff::default() });
        assert_eq!((tired.failed(&"web").is_some(), tired.failed(&"web")), (true, None));
    }
}

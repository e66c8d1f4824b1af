//! The event queue and its total order.
//!
//! Events are ordered by (time, sequence number); the sequence number is given when an event is
//! scheduled, so of two events of one moment the one scheduled first happens first. Hand-overs at
//! zero delay do not go through the heap: they form a FIFO that is emptied before any event of the
//! heap, as the kernel empties its softirq backlog before it runs anything else
//! (net/core/dev.c, `process_backlog`).

use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};

use super::time::{Duration, Instant};

/// Hand-overs of one moment before time moves on by [`STORM_STEP`]: a frame that goes round in a loop of
/// bridges takes time, as it does in life, so that every run ends.
const STORM: u32 = 10_000;
/// How far time moves then.
const STORM_STEP: Duration = Duration::from_millis(1);
/// Most hand-overs that wait. The kernel's bound is 1000 for each CPU (`net.core.netdev_max_backlog`); here one
/// queue serves all netns.
const BACKLOG_MAX: usize = 100_000;

#[derive(Clone, Debug)]
struct Entry<E> {
    at: Instant,
    seq: u64,
    event: E,
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl<E> Eq for Entry<E> {}
impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl<E> Ord for Entry<E> {
    /// Reversed: `BinaryHeap` gives the greatest, we want the earliest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.seq).cmp(&(self.at, self.seq))
    }
}

/// Events to come, in their total order.
#[derive(Clone, Debug)]
pub struct Queue<E> {
    now: Instant,
    seq: u64,
    backlog: VecDeque<E>,
    heap: BinaryHeap<Entry<E>>,
    handed_over: u32,
}

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Self { now: Instant::START, seq: 0, backlog: VecDeque::new(), heap: BinaryHeap::new(), handed_over: 0 }
    }
}

impl<E> Queue<E> {
    /// The time of the event taken last.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Puts `event` at the end of the zero-delay FIFO; gives it back if too many wait.
    ///
    /// # Errors
    /// The event, if 100000 wait already.
    pub fn hand_over(&mut self, event: E) -> Result<(), E> {
        if self.backlog.len() >= BACKLOG_MAX {
            return Err(event);
        }
        self.backlog.push_back(event);
        Ok(())
    }

    /// Schedules `event` at `at`, or now if `at` has passed.
    pub fn schedule(&mut self, at: Instant, event: E) {
        let seq = self.seq;
        self.seq += 1;
        self.heap.push(Entry { at: at.max(self.now), seq, event });
    }

    /// Whether no hand-over waits.
    pub fn is_settled(&self) -> bool {
        self.backlog.is_empty()
    }

    /// When the next event is due.
    pub fn next_at(&self) -> Option<Instant> {
        if !self.backlog.is_empty() {
            return Some(self.now);
        }
        self.heap.peek().map(|e| e.at)
    }

    /// Takes the next event due at or before `until` and moves time to it.
    ///
    /// Without one, time moves to `until` (unless that is [`Instant::NEVER`]).
    pub fn pop(&mut self, until: Instant) -> Option<E> {
        if self.now <= until
            && let Some(event) = self.backlog.pop_front()
        {
            self.handed_over += 1;
            if self.handed_over >= STORM {
                self.handed_over = 0;
                self.now += STORM_STEP;
            }
            return Some(event);
        }
        if self.heap.peek().is_some_and(|e| e.at <= until) {
            let entry = self.heap.pop()?;
            if entry.at > self.now {
                self.handed_over = 0;
            }
            self.now = self.now.max(entry.at);
            return Some(entry.event);
        }
        if until != Instant::NEVER {
            self.now = self.now.max(until);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(n: u64) -> Instant {
        Instant::from_nanos(n)
    }

    #[test]
    fn events_come_by_time_and_then_in_the_order_they_were_scheduled() {
        let mut q = Queue::default();
        q.schedule(at(5), 'c');
        q.schedule(at(1), 'a');
        q.schedule(at(5), 'd');
        q.schedule(at(2), 'b');
        let order: String = std::iter::from_fn(|| q.pop(Instant::NEVER)).collect();
        assert_eq!(order, "abcd");
        assert_eq!(q.now(), at(5));
    }

    #[test]
    fn hand_overs_go_before_everything_scheduled_for_the_same_moment() {
        let mut q = Queue::default();
        q.schedule(at(0), "timer");
        q.hand_over("first").unwrap();
        q.hand_over("second").unwrap();
        let order: Vec<_> = std::iter::from_fn(|| q.pop(at(0))).collect();
        assert_eq!(order, ["first", "second", "timer"]);
    }

    #[test]
    fn a_storm_of_hand_overs_takes_time() {
        let mut q = Queue::default();
        q.hand_over(()).unwrap();
        let mut rounds = 0u32;
        while q.pop(at(5_000_000)).is_some() {
            rounds += 1;
            q.hand_over(()).unwrap();
        }
        assert_eq!(rounds, 6 * STORM, "one step of time for each {STORM}");
    }

    #[test]
    fn too_many_hand_overs_are_given_back() {
        let mut q = Queue::default();
        let kept = (0..BACKLOG_MAX + 5).filter(|n| q.hand_over(*n).is_ok()).count();
        assert_eq!(kept, BACKLOG_MAX);
    }

    #[test]
    fn time_moves_to_the_bound_when_nothing_happens_before_it() {
        let mut q: Queue<()> = Queue::default();
        assert_eq!(q.pop(at(9)), None);
        assert_eq!(q.now(), at(9));
        q.schedule(at(3), ());
        assert_eq!(q.next_at(), Some(at(9)), "an event cannot be scheduled in the past");
    }
}

//! The rolling hash of the event stream: two runs are the same run exactly if it is equal.

use xxhash_rust::xxh3::Xxh3Default;

/// An xxh3 hash over everything that happened, in order.
#[derive(Clone)]
pub struct Fingerprint {
    state: Xxh3Default,
    events: u64,
}

impl Default for Fingerprint {
    fn default() -> Self {
        Self { state: Xxh3Default::new(), events: 0 }
    }
}

impl Fingerprint {
    /// Mixes in one event: its time, its kind and its bytes.
    pub fn event(&mut self, at: u64, kind: u8, words: &[u64], bytes: &[u8]) {
        self.events += 1;
        self.state.update(&at.to_le_bytes());
        self.state.update(&[kind, words.len() as u8]);
        for w in words {
            self.state.update(&w.to_le_bytes());
        }
        self.state.update(&(bytes.len() as u64).to_le_bytes());
        self.state.update(bytes);
    }

    /// How many events were mixed in.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// The hash so far.
    pub fn value(&self) -> u64 {
        self.state.digest()
    }
}

impl std::fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x} after {} events", self.value(), self.events)
    }
}

//! The tables of hashlimit: their buckets, and when these are forgotten.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::bucket::Bucket;
use super::{Limits, masked};
use crate::engine::time::{Duration, Instant};
use crate::netfilter::rules::matches::Match;
use crate::netfilter::rules::packet::RulePacket;
use crate::netfilter::rules::table::Ruleset;
use crate::wire::ip::{SCTP, TCP, UDP};

/// Hash buckets of a machine with more than 1 GiB (`htable_create`).
const SIZE: u32 = 8192;

/// Protocols whose ports are looked at (`proto_ports_offset`): also ESP, DCCP and UDP-Lite.
const WITH_PORTS: [u8; 6] = [TCP, UDP, SCTP, 50, 33, 136];

/// What packets of one bucket have in common (`struct dsthash_dst`); what the mode leaves out is `None` or 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Key {
    src: Option<IpAddr>,
    dst: Option<IpAddr>,
    ports: [u16; 2],
}

/// One table.
#[derive(Clone, Debug)]
pub(crate) struct HashTable {
    limits: Limits,
    buckets: BTreeMap<Key, Bucket>,
    /// Up to when old buckets are collected.
    collected: Instant,
}

impl HashTable {
    /// The bucket of a packet; `None` if its ports count and they, or headers before them, are cut off (`hashlimit_init_dst`). As in the kernel a
    /// later fragment's first bytes are taken for ports.
    pub(crate) fn key(&self, packet: &RulePacket<'_>) -> Option<Key> {
        let (mode, ip) = (self.limits.mode, &packet.ip);
        let mut ports = [0; 2];
        if mode.srcport || mode.dstport {
            let l4 = packet.l4?;
            if WITH_PORTS.contains(&ip.proto) {
                let b = l4.get(..4)?;
                ports = [u16::from_be_bytes([b[0], b[1]]), u16::from_be_bytes([b[2], b[3]])];
            }
        }
        Some(Key {
            src: mode.srcip.then(|| masked(ip.src, self.limits.srcmask)),
            dst: mode.dstip.then(|| masked(ip.dst, self.limits.dstmask)),
            ports: [if mode.srcport { ports[0] } else { 0 }, if mode.dstport { ports[1] } else { 0 }],
        })
    }

    /// Whether a packet of `len` bytes is within the limits; `None` if there is no room for a new bucket.
    pub(crate) fn take(&mut self, key: Key, len: u64, now: Instant) -> Option<bool> {
        self.collect(now);
        if self.buckets.len() >= self.room() && !self.buckets.contains_key(&key) {
            return None;
        }
        let bucket = self.buckets.entry(key).or_insert_with(|| Bucket::new(&self.limits, now));
        Some(bucket.take(&self.limits, len, now))
    }

    /// How many buckets fit (`htable_create`).
    fn room(&self) -> usize {
        let size = if self.limits.size == 0 { SIZE } else { self.limits.size };
        let max = if self.limits.max == 0 { size.saturating_mul(8) } else { self.limits.max.max(size) };
        max as usize
    }

    /// Forgets what had expired when the collector last ran, which it does every `gc_interval` (`htable_gc`).
    fn collect(&mut self, now: Instant) {
        let interval = Duration::from_millis(u64::from(self.limits.gc_interval)).as_nanos();
        let ran = Instant::from_nanos(now.as_nanos() - now.as_nanos() % interval);
        if ran <= self.collected {
            return;
        }
        self.collected = ran;
        let expire = Duration::from_millis(u64::from(self.limits.expire));
        self.buckets.retain(|_, bucket| bucket.last + expire > ran);
    }
}

/// The hashlimit tables of a netns, which all its rules share.
#[derive(Clone, Debug, Default)]
pub(crate) struct HashTables(BTreeMap<Arc<str>, HashTable>);

impl HashTables {
    /// The table `name`, made if it is not there; one that is there keeps its own limits (`htable_find_get`).
    pub(crate) fn table(&mut self, name: &Arc<str>, limits: &Limits) -> &mut HashTable {
        // No lookup of an existing table may clone the name.
        if !self.0.contains_key(name) {
            let table = HashTable { limits: *limits, buckets: BTreeMap::new(), collected: Instant::START };
            self.0.insert(name.clone(), table);
        }
        self.0.get_mut(name).expect("just made")
    }

    /// Keeps the tables that rules name (`htable_put`).
    pub(crate) fn follow(&mut self, rules: &Ruleset) {
        if self.0.is_empty() {
            return;
        }
        let chains = rules.tables.iter().flatten().flat_map(|table| table.chains.iter().flatten());
        let matches = chains.flat_map(|chain| chain.rules.iter().flat_map(|entry| &entry.rule.matches));
        let named: Vec<_> =
            matches.filter_map(|m| if let Match::Hashlimit(h) = m { Some(&h.name) } else { None }).collect();
        self.0.retain(|name, _| named.contains(&name));
    }
}

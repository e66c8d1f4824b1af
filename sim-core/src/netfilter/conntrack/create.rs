//! Entries made by hand.

use super::track::TableFull;
use super::{Conntrack, Dir, Entry, Status, Tuple, Zone};
use crate::engine::errno::Errno;
use crate::engine::time::{Duration, Instant};

/// What `conntrack -I` says of a flow; answers come as nobody had translated it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Creation {
    /// The tuple of its first packet.
    pub orig: Tuple,
    /// Status bits.
    pub status: Status,
    /// How long it lives if no packet comes.
    pub lifetime: Duration,
}

impl Conntrack {
    /// Makes an entry (net/netfilter/nf_conntrack_netlink.c, `ctnetlink_create_conntrack`).
    ///
    /// # Errors
    /// EEXIST: one of its tuples is another flow's. ENOMEM: the table is full. EINVAL: nothing answers such a tuple.
    pub fn create(&mut self, now: Instant, made: &Creation) -> Result<(), Errno> {
        let zone = Zone::default();
        let reply = made.orig.invert().ok_or(Errno::EINVAL)?;
        self.make_room(now, &made.orig, zone).map_err(|TableFull| Errno::ENOMEM)?;
        if [made.orig, reply].iter().any(|tuple| self.find(now, zone, tuple).is_some()) {
            return Err(Errno::EEXIST);
        }
        let mut entry = Entry::new(made.orig, reply, zone, self.config.acct);
        entry.status = made.status;
        entry.timeout = now + made.lifetime;
        let id = self.insert(entry);
        self.insert_hash(id, &[Dir::Orig, Dir::Reply]);
        Ok(())
    }
}

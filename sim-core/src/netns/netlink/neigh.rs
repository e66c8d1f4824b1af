//! Neighbours set by hand (net/core/neighbour.c, `neigh_add`).

use std::net::IpAddr;

use super::Mode;
use crate::engine::errno::Errno;
use crate::engine::time::Instant;
use crate::netns::Netns;
use crate::netns::neigh::Nud;
use crate::wire::eth::MacAddr;

impl Netns {
    pub(super) fn neigh_change(
        &mut self,
        mode: Mode,
        (ip, mac, state): (IpAddr, Option<MacAddr>, Nud),
        dev: &str,
        now: Instant,
    ) -> Result<(), Errno> {
        let key = (self.dev_id(dev)?, ip);
        match mode {
            Mode::Del => {
                let waiting = self.neighs.remove(key).ok_or(Errno::ENOENT)?;
                waiting.iter().for_each(|p| self.conntrack.release(p));
                Ok(())
            }
            Mode::Add if self.neighs.get(key).is_some() => Err(Errno::EEXIST),
            Mode::Add | Mode::Replace => {
                let mac = mac.ok_or(Errno::EINVAL)?;
                self.neighs.set(key, mac, state, now);
                Ok(())
            }
        }
    }
}

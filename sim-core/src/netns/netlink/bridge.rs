//! FDB entries set by hand (net/bridge/br_fdb.c `br_fdb_add`; drivers/net/vxlan/vxlan_core.c `vxlan_fdb_add`).

use std::net::IpAddr;

use super::Mode;
use crate::engine::errno::Errno;
use crate::netns::Netns;
use crate::wire::eth::MacAddr;

impl Netns {
    pub(super) fn fdb_change(&mut self, mode: Mode, mac: MacAddr, dev: &str, dst: Option<IpAddr>) -> Result<(), Errno> {
        let id = self.dev_id(dev)?;
        if let Some(vxlan) = self.devs.get_mut(id).and_then(|d| d.vxlan_mut()) {
            return match (mode, dst) {
                (Mode::Del, _) => vxlan.remove(mac).map(drop).ok_or(Errno::ENOENT),
                (Mode::Add, Some(_)) if vxlan.entries().iter().any(|(m, _)| *m == mac) => Err(Errno::EEXIST),
                (_, Some(dst)) => {
                    vxlan.insert(mac, dst);
                    Ok(())
                }
                (_, None) => Err(Errno::EINVAL),
            };
        }
        let bridge = self.devs.get(id).and_then(|d| d.port).map(|p| p.bridge).ok_or(Errno::ENOTSUP)?;
        let table = self.devs.get_mut(bridge).and_then(|d| d.bridge_mut()).ok_or(Errno::ENODEV)?;
        match mode {
            Mode::Del => table.remove(mac).map(drop).ok_or(Errno::ENOENT),
            Mode::Add | Mode::Replace => {
                table.insert_fixed(mac, Some(id));
                Ok(())
            }
        }
    }
}

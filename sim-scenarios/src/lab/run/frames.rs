//! Raw frames and forged segments.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::Value;
use sim_core::engine::time::Duration;
use sim_core::wire::eth::{ETH_LEN, EthHeader};
use sim_core::wire::ip::{Family, IpHeader, TCP};
use sim_core::wire::l4::{FIN, SYN, TcpHeader};

use super::{Flow, Next, Runner, outcome};
use crate::lab::bench::Refused;
use crate::lab::forge;
use crate::lab::spec::{Forge, Forged, RawFrame};

/// How long a raw frame is watched.
const WATCHED: Duration = Duration::from_millis(100);

/// Notes what the sender of this segment would send next, so that the next one can be forged.
pub(super) fn note_next(next: &mut BTreeMap<Flow, Next>, frame: &[u8]) {
    if EthHeader::read(frame).and_then(|eth| Family::of_ethertype(eth.ethertype)).is_none() {
        return;
    }
    let Some(ip) = IpHeader::read(&frame[ETH_LEN..]).filter(|ip| ip.proto == TCP) else { return };
    let from = ETH_LEN + usize::from(ip.header_len);
    let to = (ETH_LEN + ip.total_len as usize).min(frame.len());
    let Some(l4) = frame.get(from..to) else { return };
    let Some(tcp) = TcpHeader::read(l4) else { return };
    let length = (l4.len() - usize::from(tcp.header_len)) as u32 + u32::from(tcp.flags & (FIN | SYN) != 0);
    next.insert(((ip.src, tcp.src), (ip.dst, tcp.dst)), (tcp.seq.wrapping_add(length), tcp.ack, tcp.window));
}

impl Runner<'_> {
    pub(super) fn frame(
        &mut self,
        netns: &str,
        dev: &str,
        frame: &RawFrame,
        watched: Option<Duration>,
    ) -> Result<Value, Refused> {
        self.bench.inject(netns, dev, Bytes::from(forge::frame(frame)))?;
        self.wait(watched.unwrap_or(WATCHED));
        Ok(outcome("sent"))
    }

    pub(super) fn tcp_forge(&mut self, forge: &Forge) -> Result<Value, Refused> {
        let (netns, src, dst) = match &forge.of {
            Forged::Flow { netns, src, dst } => (netns.clone(), *src, *dst),
            Forged::Connection(name) => {
                let ends = self.connections.get(name).and_then(|c| Some((c.sock.netns.clone(), c.ends?)));
                let (netns, (local, peer)) =
                    ends.ok_or_else(|| Refused::Failed(format!("no connection is called {name:?}")))?;
                (netns, (local.ip(), local.port()), (peer.ip(), peer.port()))
            }
        };
        let (seq, ack, window) = self.next.get(&(src, dst)).copied().unwrap_or((1000, 1000, 64240));
        let segment = forge::segment(forge, src, dst, (seq, ack, window));
        self.frame(&netns, "eth0", &segment, None)
    }
}

//! Steps of many flows, of which only the sum is told.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use sim_core::engine::time::Duration;

use super::clients::{local, options, peer};
use super::{Runner, must, outcome};
use crate::lab::bench::Refused;
use crate::lab::spec::{Client, Payload, Proto, Sets};

/// How long each flow waits for its answer.
const PATIENCE: Duration = Duration::from_millis(300);

impl Runner<'_> {
    /// As in the lab a datagram that cannot be sent is nobody's concern: servers tell how many came.
    pub(super) fn burst(&mut self, client: &Client, n: u16, payload: &Payload) -> Result<Value, Refused> {
        let sock = self.bench.udp(&client.netns, local(client), options(client)).map_err(|e| must("bind", e))?;
        for _ in 0..n {
            let _ = self.bench.udp_send(&sock, Some(peer(client)), &payload.0);
        }
        self.bench.close(&sock);
        Ok(outcome("sent"))
    }

    pub(super) fn sets(&mut self, sets: &Sets) -> Result<Value, Refused> {
        let mut answers: BTreeMap<String, u64> = BTreeMap::new();
        for i in 0..sets.n {
            let client = Client { sport: sets.client.sport.saturating_add(i), ..sets.client.clone() };
            let result = match sets.proto {
                Proto::Udp => self.udp(&client, &sets.payload, false, PATIENCE)?,
                Proto::Tcp => self.tcp(&client, &sets.payload, PATIENCE),
            };
            *answers.entry(answer(&result)).or_default() += 1;
        }
        let seen = self.servers.values_mut().flat_map(|server| std::mem::take(&mut server.seen));
        let (mut addresses, mut ports) = (BTreeSet::new(), Vec::new());
        for who in seen {
            let (address, port) = who.rsplit_once(':').unwrap_or((&who, ""));
            addresses.insert(address.to_owned());
            // A port that is shown as its class lies nowhere.
            ports.push(port.parse::<u16>().ok());
        }
        let within = |first: u16, last: u16| ports.iter().all(|p| p.is_some_and(|p| first <= p && p <= last));
        let mut out = json!({
            "outcome": "set", "addresses": addresses, "answers": answers.keys().collect::<Vec<_>>(),
            "n_addresses": addresses.len(),
        });
        if sets.count {
            out["count"] = json!(answers);
        }
        if let Some((first, last)) = sets.ports {
            out["ports_in_range"] = within(first, last).into();
        }
        if sets.ports_kept {
            let first = sets.client.sport;
            out["ports_kept"] = within(first, first.saturating_add(sets.n.saturating_sub(1))).into();
        }
        Ok(out)
    }
}

/// What came of one flow, in a word or two: who answered, or what else happened.
fn answer(result: &Value) -> String {
    let text = |key: &str| result[key].as_str().unwrap_or_default();
    match (text("outcome"), text("data").split(':').next()) {
        ("reply", Some(who)) => format!("reply {who}"),
        (outcome, _) => outcome.to_owned(),
    }
}

//! Zones get endpoints in proportion to their CPUs (kubernetes/endpointslice topologycache): annotation
//! `service.kubernetes.io/topology-mode: Auto`.
//!
//! Upstream reckons with fractions as floating-point numbers; here they are integers over the CPUs of all zones.

use sim_core::wire::ip::Family;
use std::collections::BTreeMap;

use crate::api::{Condition, EndpointSlice, Node, ObjectKey};

use super::hints::{self, Hinting, touch};
use super::pack::Slices;

/// How many endpoints serve each zone.
type ByZone = BTreeMap<String, u64>;

/// What is known of the zones, and of the Services whose endpoints are shared out among them (`TopologyCache`).
#[derive(Clone, Debug, Default)]
pub(super) struct Topology {
    /// Thousandths of a core of each zone's ready nodes; none unless there are two zones and all nodes say theirs.
    cpu: ByZone,
    services: BTreeMap<ObjectKey, BTreeMap<Family, ByZone>>,
}

/// How many endpoints a zone may have: `minimum` and `desired` (over the CPUs of all zones), and `maximum`.
struct Allocation {
    minimum: u64,
    maximum: u64,
    desired: u128,
}

/// No endpoint may get more than 20 % more than its share: a part of `n` is at least n / 1.2, rounded up.
fn least(numerator: u128, denominator: u128) -> u64 {
    (numerator * 5).div_ceil(denominator * 6) as u64
}

impl Topology {
    /// The nodes have changed (`SetNodes`).
    pub(super) fn set_nodes<'n>(&mut self, nodes: impl Iterator<Item = &'n Node>) {
        self.cpu.clear();
        let excluded = ["node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"];
        let counts = |node: &&Node| {
            node.ready == Condition::True && !excluded.iter().any(|label| node.labels.contains_key(*label))
        };
        for node in nodes.filter(counts) {
            let cpu = node.allocatable.get("cpu").copied().unwrap_or_default();
            if node.zone().is_empty() || cpu == 0 {
                self.cpu.clear();
                return;
            }
            *self.cpu.entry(node.zone().to_owned()).or_default() += cpu;
        }
        if self.cpu.len() < 2 {
            self.cpu.clear();
        }
    }

    fn total(&self) -> u128 {
        self.cpu.values().map(|cpu| u128::from(*cpu)).sum()
    }

    /// The Services in which a zone has too few endpoints (`GetOverloadedServices`).
    pub(super) fn overloaded(&self) -> Vec<ObjectKey> {
        let total = self.total();
        let is_overloaded = |zones: &ByZone| {
            let endpoints: u64 = zones.values().sum();
            let has_too_few = |(zone, cpu): (&String, &u64)| {
                let least = least(u128::from(endpoints) * u128::from(*cpu), total);
                zones.get(zone).is_none_or(|has| *has < least)
            };
            !zones.is_empty() && (self.cpu.is_empty() || self.cpu.iter().any(has_too_few))
        };
        self.services
            .iter()
            .filter(|(_, families)| families.values().any(is_overloaded))
            .map(|(service, _)| service.clone())
            .collect()
    }

    /// The endpoints of this Service are shared out no longer.
    pub(super) fn forget(&mut self, service: &ObjectKey) {
        self.services.remove(service);
    }

    /// Gives a Service's endpoints of one family their zones, or none if no good can come of it (`AddHints`).
    pub(super) fn share_out(&mut self, (service, family): (&ObjectKey, Family), slices: &mut Slices) {
        let known = self.services.get_mut(service);
        known.and_then(|families| families.remove(&family));
        match self.hint(slices) {
            Some(zones) if !zones.is_empty() => {
                self.services.entry(service.clone()).or_default().insert(family, zones);
            }
            _ => hints::give(slices, Hinting::Nowhere),
        }
    }

    fn hint(&self, slices: &mut Slices) -> Option<ByZone> {
        let written = slices.create.iter().chain(&slices.update);
        let all = written.chain(slices.unchanged.iter().map(AsRef::as_ref));
        let ready = all.flat_map(|slice| &slice.endpoints).filter(|endpoint| endpoint.ready).count();
        let allocations = self.allocations(ready as u64)?;
        let mut zones = ByZone::new();
        touch(slices, |slice| match kept(slice, &zones, &allocations) {
            Some(hints) => {
                hints.into_iter().for_each(|(zone, count)| *zones.entry(zone).or_default() += count);
                false
            }
            None => true,
        });
        // First each endpoint serves its own zone …
        for endpoint in hints::endpoints_mut(slices) {
            (endpoint.for_zones, endpoint.for_nodes) = (Vec::new(), Vec::new());
            if endpoint.ready {
                let zone = endpoint.zone.clone()?;
                *zones.entry(zone.clone()).or_default() += 1;
                endpoint.for_zones = vec![zone];
            }
        }
        // … then zones with too many give some away.
        let (mut giving, mut receiving) = giving_and_receiving(&allocations, &zones, self.total());
        for endpoint in hints::endpoints_mut(slices).filter(|endpoint| endpoint.ready) {
            let own = endpoint.zone.clone().unwrap_or_default();
            let Some(other) = receiving.iter().find(|(_, count)| **count > 0).map(|(zone, _)| zone.clone()) else {
                break;
            };
            if let Some(left) = giving.get_mut(&own).filter(|left| **left > 0) {
                *left -= 1;
                *receiving.entry(other.clone()).or_default() -= 1;
                *zones.entry(own).or_default() -= 1;
                *zones.entry(other.clone()).or_default() += 1;
                endpoint.for_zones = vec![other];
            }
        }
        Some(zones)
    }

    /// `getAllocations`: `None` if there are too few endpoints or too little is known of the nodes.
    fn allocations(&self, endpoints: u64) -> Option<BTreeMap<String, Allocation>> {
        let total = self.total();
        if self.cpu.is_empty() || self.cpu.len() as u64 > endpoints {
            return None;
        }
        let allocation = |(zone, cpu): (&String, &u64)| {
            let share = u128::from(*cpu) * u128::from(endpoints);
            let minimum = least(share, total);
            let desired = share.max(u128::from(minimum) * total);
            (zone.clone(), Allocation { minimum, maximum: 0, desired })
        };
        let mut allocations: BTreeMap<_, _> = self.cpu.iter().map(allocation).collect();
        let least: u64 = allocations.values().map(|allocation| allocation.minimum).sum();
        let spare = endpoints.checked_sub(least)?;
        allocations.values_mut().for_each(|allocation| allocation.maximum = allocation.minimum + spare);
        Some(allocations)
    }
}

/// The hints of a slice that stays as it is; `None` if it may not (`getHintsByZone`).
fn kept(slice: &EndpointSlice, zones: &ByZone, allocations: &BTreeMap<String, Allocation>) -> Option<ByZone> {
    let mut hints = ByZone::new();
    for endpoint in slice.endpoints.iter().filter(|endpoint| endpoint.ready) {
        if endpoint.for_zones.is_empty() || endpoint.for_zones.iter().any(|zone| !allocations.contains_key(zone)) {
            return None;
        }
        endpoint.for_zones.iter().for_each(|zone| *hints.entry(zone.clone()).or_default() += 1);
    }
    let fits = |(zone, count): (&String, &u64)| {
        count + zones.get(zone).copied().unwrap_or_default() <= allocations[zone].maximum
    };
    hints.iter().all(fits).then_some(hints)
}

/// How many endpoints each zone gives away, and how many each receives (`getGivingAndReceivingZones`).
fn giving_and_receiving(allocations: &BTreeMap<String, Allocation>, zones: &ByZone, one: u128) -> (ByZone, ByZone) {
    let one = one as i128;
    let excess = |(zone, allocation): (&String, &Allocation)| {
        let has = i128::from(zones.get(zone).copied().unwrap_or_default()) * one;
        (zone.clone(), has - allocation.desired as i128)
    };
    let excess: BTreeMap<String, i128> = allocations.iter().map(excess).collect();
    let mut too_many: BTreeMap<_, _> = excess.iter().filter(|(_, n)| **n > 0).map(|(z, n)| (z.clone(), *n)).collect();
    let mut too_few: BTreeMap<_, _> = excess.iter().filter(|(_, n)| **n < 0).map(|(z, n)| (z.clone(), -*n)).collect();
    let most = |zones: &BTreeMap<String, i128>| {
        zones.iter().max_by_key(|(zone, n)| (**n, std::cmp::Reverse((*zone).clone()))).map(|(z, n)| (z.clone(), *n))
    };
    let (mut giving, mut receiving) = (ByZone::new(), ByZone::new());
    while let (Some((from, give)), Some((to, take))) = (most(&too_many), most(&too_few)) {
        if give < one && take < one || 2 * give < one || 2 * take < one {
            break;
        }
        for (zone, left, moved) in [(from, &mut too_many, &mut giving), (to, &mut too_few, &mut receiving)] {
            *moved.entry(zone.clone()).or_default() += 1;
            *left.entry(zone).or_default() -= one;
        }
    }
    (giving, receiving)
}

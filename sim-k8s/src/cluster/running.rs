//! Which pods run, or ran, and in which netns.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use sim_core::engine::arena::NetnsId;
use sim_core::engine::time::Instant;
use sim_core::world::World;

use super::Cluster;
use crate::agent::{ContainerRef, Notice};
use crate::api::{Labels, ObjectKey, PodTemplate, WorkloadRef};

/// A pod whose containers were started.
#[derive(Clone, PartialEq, Debug)]
pub struct Pod {
    /// Namespace and name.
    pub key: ObjectKey,
    /// Tells it from others that have, or had, its name.
    pub uid: u64,
    /// What made it.
    pub workload: WorkloadRef,
    /// Its labels, shared like the template.
    pub labels: Arc<Labels>,
    /// What it is made from, shared by the pods of a workload.
    pub template: Arc<PodTemplate>,
    /// Its node, as an index into the cluster's.
    pub node: usize,
    /// Its netns, called `namespace/name`; the node's own with `hostNetwork`.
    pub netns: NetnsId,
    /// Its addresses, one of each family, the primary one first; the node's with `hostNetwork`.
    pub ips: Vec<IpAddr>,
    /// Its containers that run, by their index in the template.
    pub containers: BTreeSet<usize>,
    /// When its first container was started.
    pub started: Instant,
    /// When its last container ended or was killed.
    pub ended: Option<Instant>,
}

impl Pod {
    /// Its primary address.
    pub fn ip(&self) -> IpAddr {
        self.ips[0]
    }
}

impl Cluster {
    /// The pod of this name: the one that was started last.
    pub fn pod(&self, key: &ObjectKey) -> Option<&Pod> {
        Some(&self.pods[*self.by_key.get(key)?])
    }

    /// The pods that run, in the order in which they were started.
    pub fn running(&self) -> impl Iterator<Item = &Pod> {
        self.pods.iter().filter(|pod| pod.ended.is_none())
    }

    /// The pods of a workload that can be called from: those that run and are not on their way out.
    pub fn callers<'c>(&'c self, workload: &'c WorkloadRef) -> impl Iterator<Item = &'c Pod> {
        let stays = |pod: &&Pod| self.objects().pods.get(&pod.key).is_some_and(|stored| !stored.is_terminating());
        self.running().filter(move |pod| pod.workload == *workload).filter(stays)
    }

    /// Passes notices on, and keeps the list of pods. Those for CoreDNS are for its agents.
    pub(super) fn take_notices(&mut self, world: &mut World) {
        while let Some(notice) = self.plane.next_notice() {
            match &notice {
                // Deleted by force before its kubelet heard of it: soon killed, and nobody plays it until then.
                Notice::Started { container, .. } if !self.exists(container) => continue,
                Notice::Started { container, netns, ips } => self.started(world.now(), container, *netns, ips),
                Notice::Killed(container) | Notice::Exited(container, _) => self.ended(world.now(), container),
                Notice::Stop(_) => {}
            }
            if !self.play_coredns(world, &notice) {
                self.notices.push_back(notice);
            }
        }
    }

    /// Whether the apiserver has the pod of a container, and no other of its name.
    fn exists(&self, container: &ContainerRef) -> bool {
        self.objects().pods.get(&container.pod).is_some_and(|pod| pod.meta.uid == container.uid)
    }

    fn started(&mut self, now: Instant, container: &ContainerRef, netns: NetnsId, ips: &[IpAddr]) {
        let known = self.by_key.get(&container.pod).copied().filter(|index| self.pods[*index].uid == container.uid);
        let index = known.unwrap_or_else(|| {
            self.pods.push(self.first_seen(now, container, netns, ips));
            self.by_key.insert(container.pod.clone(), self.pods.len() - 1);
            self.pods.len() - 1
        });
        let pod = &mut self.pods[index];
        pod.ended = None;
        pod.containers.insert(container.container);
    }

    /// A container runs no more; with the last one the pod has ended.
    pub(super) fn ended(&mut self, now: Instant, container: &ContainerRef) {
        let index = self.by_key.get(&container.pod).copied().filter(|index| self.pods[*index].uid == container.uid);
        let Some(index) = index else { return };
        let pod = &mut self.pods[index];
        pod.containers.remove(&container.container);
        if pod.containers.is_empty() && pod.ended.is_none() {
            pod.ended = Some(now);
        }
    }

    fn first_seen(&self, now: Instant, container: &ContainerRef, netns: NetnsId, ips: &[IpAddr]) -> Pod {
        let stored = &self.objects().pods[&container.pod];
        let node = self.nodes.iter().position(|node| stored.node_name.as_ref() == Some(&node.name));
        let node = node.expect("a kubelet starts the pods of its node");
        Pod {
            key: stored.key.clone(),
            uid: container.uid,
            workload: stored.workload.clone(),
            labels: stored.labels.clone(),
            template: stored.template.clone(),
            node,
            netns,
            ips: if ips.is_empty() { self.nodes[node].ips.clone() } else { ips.to_vec() },
            containers: BTreeSet::new(),
            started: now,
            ended: None,
        }
    }
}

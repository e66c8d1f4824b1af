use sim_core::wire::ip::Family;
use std::net::IpAddr;

use super::super::bench::{Bench, TO_STOP, changed, node, workload};
use super::*;
use crate::api::{
    ClusterIp, Container, ContainerPort, Endpoint, Labels, Meta, ObjectRef, PodStatus, Protocol, ServicePort,
    TargetPort, TrafficPolicy, Workload, WorkloadKind,
};
use crate::apiserver::Cache;

mod topology;

fn service(name: &str, target: TargetPort) -> Service {
    let port = ServicePort {
        name: String::new(),
        protocol: Protocol::Tcp,
        port: 80,
        target_port: target,
        node_port: None,
        app_protocol: None,
    };
    Service {
        key: ObjectKey::new("default", name),
        meta: Meta::default(),
        labels: Labels::new(),
        annotations: Labels::new(),
        service_type: ServiceType::ClusterIp,
        cluster_ip: ClusterIp::Allocate,
        ip_families: Vec::new(),
        ip_family_policy: None,
        ports: vec![port],
        selector: Some([("app".to_owned(), name.to_owned())].into()),
        external_ips: Vec::new(),
        load_balancer_ip: None,
        load_balancer_source_ranges: Vec::new(),
        allocate_load_balancer_node_ports: true,
        internal_traffic_policy: TrafficPolicy::Cluster,
        external_traffic_policy: TrafficPolicy::Cluster,
        health_check_node_port: None,
        session_affinity: None,
        publish_not_ready_addresses: false,
        traffic_distribution: None,
        ingress: Vec::new(),
        balancer_error: None,
    }
}

fn web() -> Service {
    service("web", TargetPort::Number(8080))
}

fn bench(service: Service, replicas: u32) -> Bench {
    let mut bench = Bench::new();
    bench.create(Object::Service(service.into()));
    bench.create(Object::Workload(workload(WorkloadKind::Deployment, "web", replicas).into()));
    bench.run_secs(5);
    bench
}

fn slices(objects: &Cache) -> Vec<&EndpointSlice> {
    objects.endpoint_slices.values().map(AsRef::as_ref).collect()
}

fn endpoints(objects: &Cache) -> Vec<&Endpoint> {
    slices(objects).into_iter().flat_map(|slice| &slice.endpoints).collect()
}

/// ready, serving, terminating of each endpoint.
fn conditions(objects: &Cache) -> Vec<(bool, bool, bool)> {
    endpoints(objects).iter().map(|e| (e.ready, e.serving, e.terminating)).collect()
}

#[test]
fn ready_pods_are_endpoints_of_the_services_that_select_them() {
    let bench = bench(web(), 2);
    let slices = slices(bench.objects());
    assert_eq!(slices.len(), 1);
    assert!(slices[0].key.name.starts_with("web-") && slices[0].key.name.len() == 9, "{}", slices[0].key);
    assert_eq!(slices[0].ports, [EndpointPort { name: String::new(), protocol: Protocol::Tcp, port: 8080 }]);
    assert_eq!(conditions(bench.objects()), [(true, true, false); 2]);
    let pods: Vec<_> = endpoints(bench.objects()).iter().map(|e| e.pod.clone().expect("a pod").name).collect();
    assert!(bench.pods().iter().all(|pod| pods.contains(pod)));
}

#[test]
fn a_service_that_selects_nothing_has_one_empty_slice_and_keeps_its_name() {
    let mut bench = bench(web(), 0);
    assert_eq!((slices(bench.objects()).len(), endpoints(bench.objects()).len()), (1, 0));
    let name = slices(bench.objects())[0].key.clone();
    let version = slices(bench.objects())[0].meta.version;
    bench.run_secs(20);
    assert_eq!(slices(bench.objects())[0].meta.version, version, "it is not written again");
    bench.edit(WorkloadKind::Deployment, "web", |web| web.replicas = 1);
    bench.run_secs(5);
    assert_eq!((slices(bench.objects())[0].key.clone(), endpoints(bench.objects()).len()), (name, 1));
}

#[test]
fn a_pod_that_is_deleted_is_terminating_at_once_and_serves_until_it_is_gone() {
    let mut bench = bench(web(), 1);
    let pod = ObjectRef::pod(ObjectKey::new("default", &bench.pods()[0]));
    let deleted = bench.now();
    bench.delete(pod);
    let mut turned = None;
    bench.watch(Duration::from_millis(500), |objects, now| {
        if turned.is_none() && conditions(objects).contains(&(false, true, true)) {
            turned = Some(now);
        }
    });
    let after = turned.expect("it turned").since(deleted);
    // One watch and one write: 7 to 40 ms, long before its kubelet has done anything.
    assert!(after.as_millis() <= 40, "{after}");
    bench.run(TO_STOP + Duration::from_secs(3));
    assert_eq!(conditions(bench.objects()), [(true, true, false)]);
}

#[test]
fn a_pod_that_is_not_ready_is_listed_but_not_ready_unless_the_service_publishes_it() {
    for publish in [false, true] {
        let service = Service { publish_not_ready_addresses: publish, ..web() };
        let mut bench = bench(service, 1);
        let (key, pod) = bench.objects().pods.first_key_value().expect("a pod");
        let (key, uid) = (key.clone(), pod.meta.uid);
        let status = PodStatus { ready: false, ..pod.status.clone() };
        bench.plane.kubectl(&mut bench.world, Request::UpdatePodStatus { pod: key, uid, status }).expect("it is there");
        bench.run(Duration::from_millis(100));
        assert_eq!(conditions(bench.objects()), [(publish, false, false)]);
    }
}

#[test]
fn pods_with_other_numbers_for_a_named_port_are_in_slices_of_their_own() {
    let mut bench = bench(service("web", TargetPort::Name("http".into())), 0);
    let with_port = |number| {
        move |set: &mut Workload| {
            let port = ContainerPort {
                name: Some("http".into()),
                port: number,
                protocol: Protocol::Tcp,
                host_port: None,
                host_ip: None,
            };
            set.template = changed(set, |template| {
                template.containers = vec![Container { ports: vec![port], ..Container::default() }];
            });
            set.replicas = 1;
        }
    };
    bench.edit(WorkloadKind::Deployment, "web", with_port(8080));
    let mut other = workload(WorkloadKind::ReplicaSet, "other", 1);
    with_port(9090)(&mut other);
    other.template = changed(&other, |template| drop(template.labels.insert("app".into(), "web".into())));
    other.selector = crate::api::Selector::equal_to(&other.template.labels);
    bench.create(Object::Workload(other.into()));
    bench.run_secs(5);
    let mut ports: Vec<_> = slices(bench.objects()).iter().map(|slice| slice.ports[0].port).collect();
    ports.sort_unstable();
    assert_eq!(ports, [8080, 9090]);
}

#[test]
fn what_someone_else_does_to_a_slice_is_undone_a_second_later() {
    let mut bench = bench(web(), 2);
    let mut slice = slices(bench.objects())[0].clone();
    slice.endpoints.pop();
    bench.update(Object::EndpointSlice(slice.into()));
    bench.run(Duration::from_millis(900));
    assert_eq!(endpoints(bench.objects()).len(), 1);
    bench.run(Duration::from_millis(300));
    assert_eq!(endpoints(bench.objects()).len(), 2);
}

#[test]
fn slices_written_by_hand_are_left_alone_and_those_of_a_deleted_service_go() {
    let mut bench = bench(web(), 1);
    let by_hand = EndpointSlice {
        key: ObjectKey::new("default", "web-extra"),
        meta: Meta::default(),
        managed_by: None,
        service: Some(web().key),
        family: Some(Family::V4),
        ports: Vec::new(),
        endpoints: Vec::new(),
    };
    bench.create(Object::EndpointSlice(by_hand.into()));
    bench.run_secs(5);
    assert_eq!(slices(bench.objects()).len(), 2);
    bench.delete(pack::owner(&web()).object);
    bench.run_secs(5);
    assert_eq!(slices(bench.objects()).iter().map(|s| s.key.name.as_str()).collect::<Vec<_>>(), ["web-extra"]);
}

#[test]
fn a_second_change_before_its_own_write_has_come_back_costs_a_second() {
    // Pods that nobody replaces, so that nothing else makes the controller look again.
    let took = |gap: u64| {
        let mut bench = Bench::new();
        bench.create(Object::Service(web().into()));
        for name in ["p1", "p2", "p3"] {
            let mut pod = super::super::bare_pod(&workload(WorkloadKind::Pod, name, 1));
            pod.labels = Arc::new([("app".to_owned(), "web".to_owned())].into());
            bench.create(Object::Pod(pod.into()));
        }
        bench.run_secs(5);
        let pods = bench.pods();
        bench.delete(ObjectRef::pod(ObjectKey::new("default", &pods[0])));
        bench.run(Duration::from_millis(gap));
        bench.delete(ObjectRef::pod(ObjectKey::new("default", &pods[1])));
        let deleted = bench.now();
        let mut both = None;
        bench.watch(Duration::from_secs(2), |objects, now| {
            let terminating = endpoints(objects).iter().filter(|e| e.terminating).count();
            if terminating == 2 && both.is_none() {
                both = Some(now.since(deleted).as_millis());
            }
        });
        both.expect("both are terminating in the end")
    };
    let took: Vec<u64> = (10..50).step_by(5).map(took).collect();
    assert!(took.iter().all(|ms| *ms <= 60 || (1000..1100).contains(ms)), "{took:?}");
    assert!(took.iter().any(|ms| *ms >= 1000) && took[7] <= 60, "{took:?}");
}

#[test]
fn a_rolling_update_never_leaves_a_service_without_ready_endpoints() {
    let mut bench = bench(web(), 2);
    bench.edit(WorkloadKind::Deployment, "web", |web| {
        web.template = changed(web, |template| drop(template.labels.insert("version".into(), "2".into())));
    });
    bench.watch(Duration::from_secs(20), |objects, _| {
        assert!(endpoints(objects).iter().any(|endpoint| endpoint.ready));
    });
    assert_eq!(conditions(bench.objects()), [(true, true, false); 2]);
}

#[test]
fn traffic_distribution_gives_each_endpoint_its_own_zone_or_node() {
    let near = |distribution: &str| Service { traffic_distribution: Some(distribution.into()), ..web() };
    for (distribution, zones, nodes) in [("PreferClose", 1, 0), ("PreferSameZone", 1, 0), ("PreferSameNode", 1, 1)] {
        let mut bench = bench(near(distribution), 0);
        for name in ["n1", "n2", "n3"] {
            let mut zoned = Node { labels: zone(&name[1..]), ..node(name) };
            zoned.meta = bench.objects().nodes[name].meta.clone();
            bench.update(Object::Node(zoned.into()));
        }
        bench.edit(WorkloadKind::Deployment, "web", |web| web.replicas = 3);
        bench.run_secs(5);
        for endpoint in endpoints(bench.objects()) {
            let hints = (endpoint.for_zones.len(), endpoint.for_nodes.len());
            assert_eq!(hints, (zones, nodes), "{distribution}");
            assert_eq!(endpoint.for_zones.first(), endpoint.zone.as_ref());
        }
        let mut plain = Service::clone(&bench.objects().services[&web().key]);
        plain.traffic_distribution = None;
        bench.update(Object::Service(plain.into()));
        bench.run_secs(2);
        assert!(endpoints(bench.objects()).iter().all(|e| e.for_zones.is_empty() && e.for_nodes.is_empty()));
    }
}

fn zone(name: &str) -> Labels {
    [("topology.kubernetes.io/zone".to_owned(), name.to_owned())].into()
}

fn endpoint(number: u8, zone: &str) -> Endpoint {
    Endpoint {
        address: IpAddr::from([10, 244, 0, number]),
        ready: true,
        serving: true,
        terminating: false,
        node_name: None,
        zone: Some(zone.to_owned()).filter(|zone| !zone.is_empty()),
        for_zones: Vec::new(),
        for_nodes: Vec::new(),
        hostname: None,
        pod: None,
    }
}

fn wanted(numbers: impl IntoIterator<Item = u8>) -> Wanted {
    let mut wanted = Wanted::default();
    numbers.into_iter().for_each(|number| wanted.insert(endpoint(number, "a")));
    wanted
}

fn slice(name: &str, numbers: impl IntoIterator<Item = u8>) -> Arc<EndpointSlice> {
    let endpoints = numbers.into_iter().map(|number| endpoint(number, "a")).collect();
    Arc::new(EndpointSlice {
        key: ObjectKey::new("default", name),
        endpoints,
        ..pack::empty((&web(), Family::V4), Vec::new())
    })
}

/// Endpoints of the slices that are created, updated, deleted and left alone.
fn packed(existing: Vec<Arc<EndpointSlice>>, wanted: Wanted) -> [Vec<usize>; 4] {
    let mut slices = Slices::default();
    slices.pack((&web(), Family::V4), &[], wanted, existing);
    let count = |slices: &[EndpointSlice]| slices.iter().map(|slice| slice.endpoints.len()).collect();
    let count_arc = |slices: &[Arc<EndpointSlice>]| slices.iter().map(|slice| slice.endpoints.len()).collect();
    [count(&slices.create), count(&slices.update), count_arc(&slices.delete), count_arc(&slices.unchanged)]
}

#[test]
fn a_slice_holds_a_hundred_endpoints() {
    assert_eq!(packed(Vec::new(), wanted(0..250)), [vec![100, 100, 50], vec![], vec![], vec![]]);
}

#[test]
fn new_endpoints_fill_what_changes_anyway_then_what_has_just_the_room() {
    // Nothing changes but one more: the fuller of the two that have room takes it.
    let existing = || vec![slice("a", 0..100), slice("b", 100..160), slice("c", 160..190)];
    assert_eq!(packed(existing(), wanted(0..191)), [vec![], vec![61], vec![], vec![100, 30]]);
    // One goes from c, and c is written anyway.
    assert_eq!(packed(existing(), wanted((0..189).chain([200]))), [vec![], vec![30], vec![], vec![100, 60]]);
    // All of b go.
    assert_eq!(packed(existing(), wanted((0..100).chain(160..190))), [vec![], vec![], vec![60], vec![100, 30]]);
}

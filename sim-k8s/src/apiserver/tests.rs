use super::*;
use crate::api::{
    ClusterIp, Condition, Labels, Meta, Node, ObjectKey, PodStatus, PodTemplate, WorkloadKind, WorkloadRef,
};
use crate::manifest::{SourceFile, load};

fn apiserver() -> Apiserver {
    let net = |text: &str| text.parse().expect("a network");
    Apiserver::new(&[net("10.96.0.0/12")], vec![net("10.244.0.0/16")])
}

fn at(seconds: u64) -> Instant {
    Instant::START + Duration::from_secs(seconds)
}

fn pod(name: &str, node: Option<&str>) -> Object {
    let key = ObjectKey::new("default", name);
    Object::Pod(Arc::new(Pod {
        workload: WorkloadRef { kind: WorkloadKind::Pod, key: key.clone() },
        key,
        meta: Meta::default(),
        labels: Arc::new(Labels::new()),
        template: Arc::new(PodTemplate::default()),
        node_name: node.map(str::to_owned),
        status: PodStatus::default(),
    }))
}

fn services(text: &str) -> Vec<Object> {
    let file = SourceFile { name: "s.yaml".into(), text: text.into() };
    let services = load(&[file]).expect("good manifests").objects.services;
    services.into_iter().map(|service| Object::Service(Arc::new(service))).collect()
}

fn delete(name: &str, uid: Option<u64>, grace: Option<u64>) -> Request {
    let object = ObjectRef::pod(ObjectKey::new("default", name));
    Request::Delete { object, uid, grace: grace.map(Duration::from_secs) }
}

#[test]
fn every_change_has_the_next_version_and_a_name_can_be_used_again() {
    let mut api = apiserver();
    let first = api.handle(at(1), Request::Create(pod("a", None))).expect("created").expect("a change");
    assert_eq!((first.object.meta().uid, first.object.meta().version, first.object.meta().created), (1, 1, at(1)));
    assert_eq!(api.handle(at(1), Request::Create(pod("a", None))), Err(Refused::AlreadyExists));
    let gone = api.handle(at(2), delete("a", Some(1), None)).expect("deleted").expect("a change");
    assert!(gone.is_deletion() && api.objects().pods.is_empty());
    let second = api.handle(at(3), Request::Create(pod("a", None))).expect("created").expect("a change");
    assert_eq!((second.object.meta().uid, second.object.meta().version), (2, 3));
    assert_eq!(api.handle(at(3), delete("a", Some(1), None)), Err(Refused::Conflict), "that one is another pod");
}

#[test]
fn who_read_an_older_version_must_read_again() {
    let mut api = apiserver();
    api.handle(at(0), Request::Create(Object::Node(Arc::new(Node::new("n1"))))).expect("created");
    let read = api.objects().nodes["n1"].clone();
    let mut cordoned = Node::clone(&read);
    cordoned.unschedulable = true;
    let update = Request::Update(Object::Node(Arc::new(cordoned)));
    assert!(api.handle(at(1), update.clone()).expect("updated").is_some());
    assert_eq!(api.handle(at(1), update), Err(Refused::Conflict));
    let same = api.objects().nodes["n1"].clone();
    assert_eq!(api.handle(at(2), Request::Update(Object::Node(same))), Ok(None), "nothing changes, nobody hears");
}

#[test]
fn a_pod_with_a_node_is_marked_first_and_a_second_request_may_only_shorten_its_grace() {
    let mut api = apiserver();
    api.handle(at(0), Request::Create(pod("a", Some("n1")))).expect("created");
    let marked = api.handle(at(10), delete("a", None, None)).expect("accepted").expect("a change");
    let deletion = marked.object.meta().deletion.expect("it is going away");
    assert_eq!((marked.action, deletion.deadline()), (Action::Modified, at(40)));
    assert_eq!(api.handle(at(11), delete("a", None, Some(60))), Ok(None));
    assert!(api.handle(at(11), delete("a", None, Some(5))).expect("accepted").is_some());
    assert!(api.handle(at(12), delete("a", None, Some(0))).expect("deleted").expect("a change").is_deletion());
}

#[test]
fn those_who_write_different_fields_of_a_node_do_not_meet() {
    let mut api = apiserver();
    api.handle(at(0), Request::Create(Object::Node(Arc::new(Node::new("n1"))))).expect("created");
    let patch = |patch| Request::PatchNode { node: "n1".into(), patch };
    let network = vec!["10.244.1.0/24".parse().expect("a network")];
    let given = NodePatch { pod_cidrs: Some(network.clone()), ..NodePatch::default() };
    api.handle(at(1), patch(given)).expect("patched");
    let ready = NodePatch { ready: Some(Condition::True), ..NodePatch::default() };
    assert!(api.handle(at(1), patch(ready.clone())).expect("patched").is_some());
    assert_eq!(api.handle(at(2), patch(ready)), Ok(None));
    let node = &api.objects().nodes["n1"];
    assert_eq!((&node.pod_cidrs, node.ready), (&network, Condition::True));
    for second in [3, 13] {
        api.handle(at(second), Request::RenewLease { node: "n1".into() }).expect("renewed");
    }
    assert_eq!(api.objects().leases["n1"].renewed, at(13));
}

#[test]
fn a_pod_is_bound_once() {
    let mut api = apiserver();
    api.handle(at(0), Request::Create(pod("a", None))).expect("created");
    let bind = |node: &str| Request::Bind { pod: ObjectKey::new("default", "a"), uid: 1, node: node.into() };
    assert!(api.handle(at(1), bind("n1")).expect("bound").is_some());
    assert_eq!(api.handle(at(1), bind("n2")), Err(Refused::Conflict));
}

#[test]
fn a_service_gets_what_it_leaves_open_and_gives_it_back() {
    let text = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {type: NodePort, ports: [{port: 80}]}\n---\n\
        apiVersion: v1\nkind: Service\nmetadata: {name: b}\nspec: {clusterIP: 10.96.1.1, ports: [{port: 80}]}\n";
    let [a, b] = services(text).try_into().expect("two");
    let mut api = apiserver();
    api.handle(at(0), Request::Create(a)).expect("created");
    let key = |name: &str| ObjectKey::new("default", name);
    let stored = api.objects().services[&key("a")].clone();
    assert_eq!(stored.cluster_ip, ClusterIp::Fixed(vec!["10.96.1.1".parse().expect("an address")]));
    assert_eq!(stored.ports[0].node_port, Some(30086));
    let refused = api.handle(at(0), Request::Create(b.clone())).expect_err("taken");
    assert_eq!(refused.to_string(), "ClusterIP 10.96.1.1 is already allocated to default/a");
    let object = Object::Service(stored).reference();
    api.handle(at(1), Request::Delete { object, uid: None, grace: None }).expect("deleted");
    api.handle(at(2), Request::Create(b)).expect("its address is free now");
}

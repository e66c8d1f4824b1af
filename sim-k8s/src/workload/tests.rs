use super::{Caller, Plan, Why, infer_calls, served_ports};
use crate::manifest::{Loaded, SourceFile, load};

/// What a file of the repository, or beside it, says; `None`, said on stderr, where it is absent.
fn file(path: &str) -> Option<Loaded> {
    let path = format!("{}/../{path}", env!("CARGO_MANIFEST_DIR"));
    let Ok(bytes) = std::fs::read(&path) else {
        eprintln!("skipped: {path} is absent");
        return None;
    };
    let file = SourceFile::from_bytes(path, bytes).expect("text");
    Some(load(&[file]).unwrap_or_else(|errors| panic!("{errors:#?}")))
}

/// A plan as a reader wants it.
fn told(plan: &Plan) -> String {
    let mut text = String::new();
    for call in &plan.calls {
        let why = match &call.why {
            Why::Environment { container, name, value } => format!("{container}: {name}={value}"),
            Why::Uncalled => "nobody else does".into(),
            Why::Open => "it is open to the world".into(),
            Why::Egress => "the way out".into(),
            Why::TrafficFile => format!("{} times, every {:?}", call.count, call.every),
        };
        text += &format!("{} -> {}:{}/{} ({why})\n", call.from, call.to, call.port, call.protocol);
    }
    for not_called in &plan.not_called {
        text += &format!("not called: {not_called}\n");
    }
    text
}

/// Every Service port is called, and each call leads to a port that some workload's pods serve.
fn every_port_is_called_and_served(loaded: &Loaded, plan: &Plan) {
    for service in &loaded.objects.services {
        let Some(selector) = service.pod_selector() else { continue };
        let workloads = || loaded.objects.workloads.iter();
        let behind = || {
            let near = workloads().filter(|workload| workload.key.namespace == service.key.namespace);
            near.map(|workload| &workload.template).filter(|template| selector.matches(&template.labels))
        };
        for port in &service.ports {
            let called = |c: &&super::Call| {
                c.to.service() == Some(&service.key) && c.port == port.port && c.protocol == port.protocol
            };
            assert!(plan.calls.iter().any(|c| called(&c)), "{} {}", service.key, port.port);
            assert!(behind().count() > 0, "{} {}", service.key, port.port);
            for template in behind() {
                let target = super::target_port(port, template).expect("a port of the pod");
                let namespace = &service.key.namespace;
                let served = served_ports(template, &template.labels, namespace, &loaded.objects.services);
                assert!(served.contains(&(port.protocol, target)));
            }
        }
    }
}

#[test]
fn the_examples_call_every_service_port() {
    for (name, path) in [("hello", "examples/hello/hello.yaml"), ("shop", "examples/shop/shop.yaml")] {
        let loaded = file(path).expect("a file of the repository");
        assert_eq!(loaded.warnings, []);
        let plan = infer_calls(&loaded.objects);
        every_port_is_called_and_served(&loaded, &plan);
        insta::assert_snapshot!(name, told(&plan));
    }
}

#[test]
fn the_traffic_file_of_the_example_fits_it() {
    let loaded = file("examples/shop/shop.yaml").expect("a file of the repository");
    let path = format!("{}/../examples/traffic/shop.yaml", env!("CARGO_MANIFEST_DIR"));
    let traffic = SourceFile::from_bytes("traffic.yaml", std::fs::read(path).expect("a file of the repository"));
    let calls = super::read_traffic(&traffic.expect("text"), &loaded.objects).expect("no faults");
    assert_eq!(calls[0].from, Caller::World);
    insta::assert_snapshot!("shop_traffic", told(&Plan { calls, not_called: Vec::new() }));
}

#[test]
fn the_calls_of_online_boutique_are_those_of_its_environment() {
    let Some(loaded) = file("../shared/manifests/online-boutique/kubernetes-manifests.yaml") else { return };
    let plan = infer_calls(&loaded.objects);
    every_port_is_called_and_served(&loaded, &plan);
    let count = |is: fn(&Why) -> bool| plan.calls.iter().filter(|call| is(&call.why)).count();
    let from_environment = count(|why| matches!(why, Why::Environment { .. }));
    let open = count(|why| *why == Why::Open);
    assert_eq!((from_environment, count(|why| *why == Why::Uncalled), open), (16, 1, 1), "{}", told(&plan));
}

#[test]
fn the_guestbook_calls_every_service_port() {
    let Some(loaded) = file("../shared/manifests/guestbook/guestbook-all-in-one.yaml") else { return };
    every_port_is_called_and_served(&loaded, &infer_calls(&loaded.objects));
}

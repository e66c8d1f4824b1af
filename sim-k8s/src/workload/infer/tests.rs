use super::super::{Caller, Fault, NotCalled, Plan, Why};
use super::infer_calls;
use crate::manifest::{SourceFile, load};

const SERVICES: &str = "
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{name: http, port: 80}, {name: https, port: 443}]}
---
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {clusterIP: 10.96.0.77, selector: {app: db}, ports: [{port: 5432}]}
---
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec: {clusterIP: None, selector: {app: cart}, ports: [{port: 7070}]}
---
apiVersion: v1
kind: Service
metadata: {name: outside}
spec: {type: ExternalName, externalName: example.org}
";

fn pod(name: &str, env: &[(&str, &str)]) -> String {
    let env: Vec<String> = env.iter().map(|(n, v)| format!("{{name: {n}, value: '{v}'}}")).collect();
    format!(
        "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {{app: {name}}}}}\n\
         spec: {{containers: [{{name: main, env: [{}]}}]}}\n",
        env.join(", ")
    )
}

fn plan(text: String) -> Plan {
    let file = SourceFile { name: "test.yaml".into(), text };
    infer_calls(&load(&[file]).unwrap_or_else(|errors| panic!("{errors:#?}")).objects)
}

/// What a pod with this environment calls, and what it does not.
fn calls(env: &[(&str, &str)]) -> (Vec<String>, Vec<Fault>) {
    let plan = plan(format!("{SERVICES}{}", pod("client", env)));
    let named = plan.calls.iter().filter(|call| matches!(call.why, Why::Environment { .. }));
    let faults = plan.not_called.into_iter().filter_map(|not_called| match not_called {
        NotCalled::Value { fault, .. } => Some(fault),
        NotCalled::Port { .. } => None,
    });
    (named.map(|call| format!("{}:{}", call.to, call.port)).collect(), faults.collect())
}

#[test]
fn every_form_of_a_name_leads_to_its_service() {
    for value in [
        "db:5432",
        "db",
        "db.default:5432",
        "db.default.svc:5432",
        "DB.default.svc.cluster.local.:5432",
        "postgres://u:p@db/x",
        "10.96.0.77:5432",
    ] {
        assert_eq!(calls(&[("A", value)]), (vec!["default/db:5432".into()], vec![]), "{value}");
    }
    for value in
        ["cart.shop:7070", "http://cart.shop.svc.cluster.local:7070/x", "cart-0.cart.shop", "cart-0.cart.shop.svc:7070"]
    {
        assert_eq!(calls(&[("A", value)]).0, ["shop/cart:7070"], "{value}");
    }
}

#[test]
fn the_port_is_the_written_one_that_of_the_scheme_or_the_variable_beside_it() {
    assert_eq!(calls(&[("A", "https://web/")]).0, ["default/web:443"]);
    assert_eq!(calls(&[("A", "http://web")]).0, ["default/web:80"]);
    assert_eq!(calls(&[("WEB_HOST", "web"), ("WEB_PORT", "443")]).0, ["default/web:443"]);
    assert_eq!(calls(&[("WEB", "web"), ("WEB_SERVICE_PORT", "443")]).0, ["default/web:443"]);
    assert_eq!(calls(&[("A", "web")]).0, ["default/web:80"], "the first, if nothing says more");
}

#[test]
fn what_looks_like_an_address_and_leads_nowhere_is_listed() {
    let key = |name| crate::api::ObjectKey::new("default", name);
    assert_eq!(calls(&[("A", "nobody:80")]), (vec![], vec![Fault::NoService]));
    assert_eq!(calls(&[("A", "db:5433")]), (vec![], vec![Fault::NoPort(key("db"))]));
    assert_eq!(calls(&[("A", "https://outside/")]), (vec!["default/outside:443".into()], vec![]));
    assert_eq!(calls(&[("A", "cart:7070")]), (vec![], vec![Fault::NoService]), "it lives in another namespace");
}

#[test]
fn words_are_no_addresses() {
    assert_eq!(
        calls(&[("LOG", "info"), ("LISTEN", "0.0.0.0:80"), ("TEXT", "say db twice"), ("PORT", "5432")]),
        (vec![], vec![])
    );
    let named_after_itself = plan(format!("{SERVICES}{}", pod("db", &[("SERVICE_NAME", "db")])));
    assert!(named_after_itself.calls.iter().all(|call| matches!(call.why, Why::Uncalled | Why::Egress)));
}

#[test]
fn a_service_named_twice_is_called_once_and_a_list_calls_each() {
    assert_eq!(calls(&[("A", "db:5432"), ("B", "db")]).0, ["default/db:5432"]);
    assert_eq!(calls(&[("A", "db:5432,web:80;cart.shop:7070")]).0.len(), 3);
}

#[test]
fn a_port_nobody_names_is_called_by_a_workload_that_does_not_stand_behind_it() {
    let plan = plan(format!("{SERVICES}{}{}", pod("db", &[]), pod("web", &[])));
    let caller = |service: &str, port| {
        let call = plan
            .calls
            .iter()
            .find(|c| c.to.service().is_some_and(|key| key.name == service) && c.port == port)
            .expect("called");
        match &call.from {
            Caller::Workload(workload) => workload.key.name.clone(),
            other => other.to_string(),
        }
    };
    assert_eq!((caller("db", 5432), caller("web", 80), caller("web", 443)), ("web".into(), "db".into(), "db".into()));
    assert_eq!(plan.calls.iter().filter(|call| call.why == Why::Uncalled).count(), 4);
    assert_eq!(plan.calls.iter().filter(|call| call.why == Why::Egress).count(), 2, "a pod and a node call out");
}

#[test]
fn without_pods_there_is_nobody_to_call() {
    let plan = plan(SERVICES.into());
    assert_eq!(plan.calls, []);
    assert_eq!(plan.not_called.len(), 4);
    assert_eq!(plan.not_called[0].to_string(), "Service default/web, port 80: there is no pod to call it");
}

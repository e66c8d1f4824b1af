//! What the cluster of the bench answers. Records are written as `dig +short` would, with their owner where it is not the
//! question's.

use std::sync::Arc;

use hickory_proto::op::Query;
use hickory_proto::rr::{Name, Record, RecordType};

use super::super::bench::{CLUSTER, at, records};
use super::super::name;
use super::*;
use crate::apiserver::Action;

fn shown(name: &Name, section: &[Record]) -> Vec<String> {
    let owner = |record: &Record| if record.name == *name { String::new() } else { format!("{} ", record.name) };
    section.iter().map(|record| format!("{}{}", owner(record), record.data)).collect()
}

fn ask_in(records: &Records, asked: &str, record_type: RecordType) -> String {
    let name = name::absolute(asked).unwrap();
    match records.answer(&Query::query(name.clone(), record_type)) {
        Answer::Elsewhere => "elsewhere".into(),
        Answer::Refused => "refused".into(),
        Answer::NoData(soa) => format!("no data in {}", soa.name),
        Answer::NameError(soa) => format!("no name in {}", soa.name),
        Answer::Alias { answers, target } => format!("{}, then {target}", shown(&name, &answers).join(", ")),
        Answer::Found { answers, additionals } if additionals.is_empty() => shown(&name, &answers).join(", "),
        Answer::Found { answers, additionals } => {
            format!("{} + {}", shown(&name, &answers).join(", "), shown(&name, &additionals).join(", "))
        }
    }
}

fn ask(asked: &str, record_type: RecordType) -> String {
    ask_in(&records(CLUSTER), asked, record_type)
}

const NOTHING: &str = "no name in cluster.local.";
const NO_DATA: &str = "no data in cluster.local.";

#[test]
fn a_service_is_its_cluster_address() {
    assert_eq!(ask("web.default.svc.cluster.local", RecordType::A), "10.96.0.20");
    assert_eq!(ask("web.default.svc.cluster.local", RecordType::AAAA), NO_DATA);
    assert_eq!(ask("_http._tcp.web.default.svc.cluster.local", RecordType::A), "10.96.0.20");
    assert_eq!(ask("_http._udp.web.default.svc.cluster.local", RecordType::A), NOTHING);
}

#[test]
fn names_are_asked_in_any_case_and_answered_in_the_same() {
    let records = records(CLUSTER);
    let query = Query::query(name::absolute("WEB.Default.svc.CLUSTER.local").unwrap(), RecordType::A);
    let Answer::Found { answers, .. } = records.answer(&query) else { panic!("no answer") };
    assert_eq!(answers[0].to_string(), "WEB.Default.svc.CLUSTER.local. 30 IN A 10.96.0.20");
}

#[test]
fn a_name_that_does_not_exist_is_told_from_one_without_such_records() {
    for exists in ["cluster.local", "svc.cluster.local", "pod.cluster.local", "shop.svc.cluster.local"] {
        assert_eq!(ask(exists, RecordType::A), NO_DATA, "{exists}");
    }
    for none in
        ["x.cluster.local", "nowhere.svc.cluster.local", "web.shop.svc.cluster.local", "a.b.c.d.e.svc.cluster.local"]
    {
        assert_eq!(ask(none, RecordType::A), NOTHING, "{none}");
        assert_eq!(ask(none, RecordType::MX), NOTHING, "{none}");
    }
    assert_eq!(ask("web.default.svc.cluster.local", RecordType::HTTPS), NO_DATA);
    assert_eq!(ask("example.com", RecordType::A), "elsewhere");
    assert_eq!(ask("cluster.local.example.com", RecordType::A), "elsewhere");
}

#[test]
fn a_headless_service_is_its_ready_endpoints() {
    assert_eq!(ask("db.shop.svc.cluster.local", RecordType::A), "10.244.1.5, 10.244.2.5, 10.244.1.6");
    assert_eq!(ask("db.shop.svc.cluster.local", RecordType::AAAA), "fd00::5");
    assert_eq!(ask("empty.default.svc.cluster.local", RecordType::A), NOTHING);
    assert_eq!(ask("portless.default.svc.cluster.local", RecordType::A), "10.244.1.7");
}

#[test]
fn an_endpoint_has_its_host_name_or_its_address_with_dashes() {
    assert_eq!(ask("db-1.db.shop.svc.cluster.local", RecordType::A), "10.244.2.5");
    assert_eq!(ask("db-2.db.shop.svc.cluster.local", RecordType::A), NOTHING, "not ready");
    assert_eq!(ask("10-244-1-6.db.shop.svc.cluster.local", RecordType::A), "10.244.1.6");
    assert_eq!(ask("10-244-1-5.db.shop.svc.cluster.local", RecordType::A), NOTHING, "it is called db-0");
    assert_eq!(ask("10-244-1-9.web.default.svc.cluster.local", RecordType::A), "10.244.1.9", "headless or not");
}

#[test]
fn srv_tells_the_ports_and_where_they_are() {
    assert_eq!(
        ask("_http._tcp.web.default.svc.cluster.local", RecordType::SRV),
        "0 100 80 web.default.svc.cluster.local. + web.default.svc.cluster.local. 10.96.0.20"
    );
    let all = ask("web.default.svc.cluster.local", RecordType::SRV);
    assert!(all.starts_with("0 50 80 web.default.svc.cluster.local., 0 50 53 web.default"), "{all}");
    let endpoints = ask("_sql._tcp.db.shop.svc.cluster.local", RecordType::SRV);
    assert!(endpoints.starts_with("0 25 5432 db-0.db.shop.svc.cluster.local., 0 25 5432 db-1.db"), "{endpoints}");
    assert!(endpoints.contains("0 25 5432 10-244-1-6.db.shop.svc.cluster.local. + "), "{endpoints}");
    assert!(endpoints.ends_with("db-0.db.shop.svc.cluster.local. fd00::5"), "{endpoints}");
    assert_eq!(ask("_x._tcp.web.default.svc.cluster.local", RecordType::SRV), NOTHING);
    assert_eq!(ask("portless.default.svc.cluster.local", RecordType::SRV), NO_DATA);
    assert_eq!(ask("outside.default.svc.cluster.local", RecordType::SRV), NO_DATA);
}

#[test]
fn an_external_name_is_an_alias() {
    assert_eq!(ask("outside.default.svc.cluster.local", RecordType::A), "api.example.com., then api.example.com.");
    assert_eq!(ask("outside.default.svc.cluster.local", RecordType::CNAME), "api.example.com.");
    assert_eq!(
        ask("twice.default.svc.cluster.local", RecordType::A),
        "inside.default.svc.cluster.local., inside.default.svc.cluster.local. web.default.svc.cluster.local., \
         web.default.svc.cluster.local. 10.96.0.20"
    );
    assert_eq!(ask("_http._tcp.inside.default.svc.cluster.local", RecordType::A), NOTHING);
}

#[test]
fn an_alias_that_leads_nowhere_has_no_addresses() {
    for name in ["round", "about", "dangling"] {
        assert_eq!(ask(&format!("{name}.default.svc.cluster.local"), RecordType::A), NO_DATA, "{name}");
    }
    assert_eq!(ask("inside.default.svc.cluster.local", RecordType::AAAA), NO_DATA);
}

#[test]
fn a_pod_has_the_address_it_is_called_by() {
    assert_eq!(ask("10-9-8-7.default.pod.cluster.local", RecordType::A), "10.9.8.7");
    assert_eq!(ask("2001-db8--7.default.pod.cluster.local", RecordType::AAAA), "2001:db8::7");
    assert_eq!(ask("10-9-8-7.nowhere.pod.cluster.local", RecordType::A), NOTHING);
    assert_eq!(ask("web.default.pod.cluster.local", RecordType::A), NOTHING);
}

#[test]
fn an_address_has_the_name_of_its_service_or_of_its_endpoints() {
    assert_eq!(ask("20.0.96.10.in-addr.arpa", RecordType::PTR), "web.default.svc.cluster.local.");
    assert_eq!(ask("5.1.244.10.in-addr.arpa", RecordType::PTR), "db-0.db.shop.svc.cluster.local.");
    assert_eq!(ask("9.1.244.10.in-addr.arpa", RecordType::PTR), "10-244-1-9.web.default.svc.cluster.local.");
    let ipv6 = format!("5.{}0.0.d.f.ip6.arpa", "0.".repeat(27));
    assert_eq!(ask(&ipv6, RecordType::PTR), "db-0.db.shop.svc.cluster.local.");
}

#[test]
fn addresses_of_others_are_asked_elsewhere() {
    for name in ["8.8.8.8.in-addr.arpa", "5.3.244.10.in-addr.arpa", "8.in-addr.arpa", "x.in-addr.arpa"] {
        assert_eq!(ask(name, RecordType::PTR), "elsewhere", "{name}");
    }
    assert_eq!(ask("20.0.96.10.in-addr.arpa", RecordType::A), "elsewhere");
    assert_eq!(ask("in-addr.arpa", RecordType::PTR), "no data in in-addr.arpa.");
    assert_eq!(ask("default.svc.in-addr.arpa", RecordType::A), "elsewhere");
}

#[test]
fn the_zone_names_itself_its_version_and_its_server() {
    let soa = ask("cluster.local", RecordType::SOA);
    assert_eq!(soa, "ns.dns.cluster.local. hostmaster.cluster.local. 100 7200 1800 86400 30");
    assert_eq!(ask("dns-version.cluster.local", RecordType::TXT), "1.1.0");
    assert_eq!(ask("dns-version.cluster.local", RecordType::A), NOTHING);
    assert_eq!(ask("web.default.svc.cluster.local", RecordType::TXT), NO_DATA);
    assert_eq!(ask("default.svc.cluster.local", RecordType::TXT), NOTHING, "although the name exists");
    assert_eq!(
        ask("cluster.local", RecordType::NS),
        "kube-dns.kube-system.svc.cluster.local. + kube-dns.kube-system.svc.cluster.local. 10.96.0.10"
    );
    assert_eq!(ask("ns.dns.cluster.local", RecordType::A), "10.96.0.10");
    assert_eq!(ask("ns.dns.cluster.local", RecordType::SRV), NO_DATA);
    assert_eq!(ask("cluster.local", RecordType::AXFR), "refused");
}

#[test]
fn a_server_without_a_service_names_itself() {
    let empty = records("");
    assert_eq!(
        ask_in(&empty, "cluster.local", RecordType::NS),
        "ns.dns.cluster.local. + ns.dns.cluster.local. 10.244.1.2"
    );
}

#[test]
fn records_follow_what_is_watched() {
    let mut records = records(CLUSTER);
    let name = "db.shop.svc.cluster.local";
    let slices: Vec<_> = records.slices_of(&ObjectKey::new("shop", "db")).cloned().collect();
    let mut ready = slices[0].clone();
    ready.endpoints.iter_mut().for_each(|endpoint| endpoint.ready = true);
    let change = |action, slice| Change { action, object: Object::EndpointSlice(Arc::new(slice)) };
    records.apply(at(200), &change(Action::Modified, ready.clone()));
    assert_eq!(ask_in(&records, name, RecordType::A).matches("10.244.").count(), 4);
    assert!(ask_in(&records, "cluster.local", RecordType::SOA).contains(" 200 "));
    records.apply(at(201), &change(Action::Deleted, ready));
    records.apply(at(201), &change(Action::Deleted, slices[1].clone()));
    assert_eq!(ask_in(&records, name, RecordType::A), NOTHING);
    assert!(!records.slices_of.contains_key(&ObjectKey::new("shop", "db")));
}

use super::read_traffic;
use crate::api::Objects;
use crate::manifest::{SourceFile, load};
use crate::workload::{Call, Caller, Target};
use sim_core::engine::time::Duration;

fn objects() -> Objects {
    let text = "
apiVersion: v1
kind: Pod
metadata: {name: client}
spec: {containers: [{name: a}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {type: NodePort, ports: [{name: http, port: 80}, {name: dns, port: 53, protocol: UDP}]}
---
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {ports: [{port: 5432}]}
";
    load(&[SourceFile { name: "objects.yaml".into(), text: text.into() }]).expect("loads").objects
}

fn read(text: &str) -> Result<Vec<Call>, String> {
    let file = SourceFile { name: "traffic.yaml".into(), text: text.into() };
    read_traffic(&file, &objects()).map_err(|faults| faults.iter().map(|fault| format!("{fault}\n")).collect())
}

#[test]
fn what_is_left_out_is_one_call_to_the_only_port() {
    let calls =
        read("- {from: client, to: db}\n- {from: world, to: 'shop/web:dns', count: 5, every: 200ms}\n").expect("read");
    assert_eq!((calls[0].port, calls[0].count, calls[0].every), (5432, 1, Duration::from_secs(1)));
    assert_eq!((&calls[1].from, calls[1].port, calls[1].every), (&Caller::World, 53, Duration::from_millis(200)));
    assert_eq!(calls[1].protocol.to_string(), "UDP");
    assert_eq!(read("# nothing\n"), Ok(vec![]));
}

#[test]
fn a_call_may_go_outside_and_come_from_a_port_of_its_own() {
    let calls = read("- {from: client, to: world, sourcePort: 4000}\n").expect("read");
    assert_eq!(
        (&calls[0].to, calls[0].port, calls[0].source_port),
        (&Target::Outside("www.example.com"), 80, Some(4000))
    );
    for wrong in [
        "{from: world, to: world}",
        "{from: client, to: db, sourcePort: 0}",
        "{from: client, to: db, sourcePort: 65536}",
    ] {
        assert!(read(&format!("- {wrong}\n")).is_err(), "{wrong}");
    }
}

#[test]
fn every_fault_is_told_with_its_place() {
    let text = "- from: nobody\n  to: db:5433\n- from: client\n  to: shop/web\n  count: 0\n  every: soon\n\
                - from: world\n  to: db\n- {from: client, to: nowhere}\n- {from: client, to: db, every: 999999999999m}\n";
    insta::assert_snapshot!("faults", read(text).expect_err("refused"));
    insta::assert_snapshot!("forms", read("- {from: client, tow: db, count: many}\n- text\n").expect_err("refused"));
    insta::assert_snapshot!("no_list", read("from: client\n").expect_err("refused"));
    insta::assert_snapshot!("broken", read("- from: [\n").expect_err("refused"));
}

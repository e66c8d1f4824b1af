//! Small specs on a real world.

use serde_json::{Value, json};
use sim_core::engine::rng::Seed;

use super::{RunError, run};
use crate::lab::bench::Refused;
use crate::lab::spec::Document;
use crate::lab::world::LabWorld;

/// Runs steps in a cluster of one node with the pods a and b; b answers on UDP port 53.
fn try_steps(steps: &Value) -> Result<Value, RunError> {
    let spec = json!({
        "topo": {"nodes": 1, "pods": {"a": 1, "b": 1}},
        "servers": [{"ns": "b", "port": 53}],
        "steps": steps,
    });
    run(&Document::read(&spec.to_string()).unwrap().steps().unwrap(), &mut LabWorld::new(Seed(1)), &|| false)
}

fn steps(steps: &Value) -> Value {
    try_steps(steps).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn a_datagram_is_echoed_with_the_servers_name_and_every_hop_is_told() {
    let result = steps(&json!([{"op": "udp", "ns": "a", "sport": 40000, "dst": "b", "dport": 53, "arp": "show"}]));
    assert_eq!(result[0]["saw"], json!({"outcome": "reply", "data": "b:hello"}));
    assert_eq!(result[0]["server_saw"], json!({"b/udp/53": ["10.244.1.2:40000"]}));
    let hops = result[0]["hops"].as_array().unwrap();
    let first = &hops[0];
    assert_eq!([&first["n"], &first["if"], &first["d"]], ["a", "eth0", "out"]);
    assert_eq!(first["arp"]["ask"], "10.244.1.3");
    let last = &hops[hops.len() - 1];
    assert_eq!([&last["n"], &last["udp"]["data"], &last["udp"]["ck"]], ["a", "b:hello", "ok"]);
}

#[test]
fn a_closed_port_is_an_error_with_its_icmp_message() {
    let result = steps(&json!([{"op": "udp", "ns": "a", "sport": 40000, "dst": "b", "dport": 9, "hops": false}]));
    let refused =
        json!({"outcome": "error", "errno": "ECONNREFUSED", "origin": "icmp", "icmp": [3, 3], "from": "10.244.1.3"});
    assert_eq!(result[0]["saw"], refused);
    assert_eq!(result[0].get("hops"), None);
}

#[test]
fn a_connection_is_opened_used_and_closed_in_steps() {
    let result = steps(&json!([
        {"op": "server", "server": {"ns": "b", "proto": "tcp", "port": 80}},
        {"op": "tcp_open", "name": "x", "ns": "a", "sport": 41000, "dst": "b", "dport": 80},
        {"op": "tcp_io", "name": "x", "data": "hello", "hops": false},
        {"op": "tcp_close", "name": "x", "hops": false},
        {"op": "tcp_io", "name": "x"},
        {"op": "tcp", "ns": "a", "sport": 41001, "dst": "b", "dport": 81, "hops": false}
    ]));
    let saw: Vec<_> = result.as_array().unwrap().iter().map(|step| &step["saw"]).collect();
    assert_eq!(*saw[1], json!({"outcome": "connected"}));
    assert_eq!(*saw[2], json!({"outcome": "reply", "data": "b:hello"}));
    assert_eq!(*saw[3], json!({"outcome": "closed"}));
    assert_eq!(*saw[4], json!({"outcome": "no such connection"}));
    assert_eq!(*saw[5], json!({"outcome": "error", "errno": "ECONNREFUSED", "origin": "tcp"}));
    let flags: Vec<_> =
        result[1]["hops"].as_array().unwrap().iter().filter(|h| h["n"] == "a").map(|h| &h["tcp"]["fl"]).collect();
    assert_eq!(flags, ["S", "SA", "A"]);
}

#[test]
fn nobody_waits_for_real_but_the_waiting_is_told() {
    let result = steps(&json!([
        {"op": "ping", "ns": "a", "dst": "10.244.1.99", "timeout": 9, "times": true, "ct": false},
        {"op": "sleep", "s": 86400},
        {"op": "neigh", "ns": "a"}
    ]));
    assert_eq!(result[0]["saw"]["errno"], "EHOSTUNREACH", "{result}");
    assert_eq!(result[0]["saw"]["after"], 3.0, "three requests, a second apart");
    assert_eq!(result[1]["saw"], json!({"outcome": "slept"}));
}

#[test]
fn a_stopped_server_answers_no_more_and_a_new_one_does() {
    let ask = json!({"op": "udp", "ns": "a", "sport": 40000, "dst": "b", "dport": 53, "hops": false});
    let start = json!({"op": "server", "server": {"ns": "b", "proto": "udp", "port": 53, "mode": "short"}});
    let result = steps(&json!([{"op": "stop", "server": "b/udp/53"}, ask, start, ask]));
    assert_eq!(result[1]["saw"]["errno"], "ECONNREFUSED");
    assert_eq!(result[3]["saw"]["data"], "short");
}

#[test]
fn of_many_flows_only_the_sum_is_told() {
    let result = steps(&json!([
        {"op": "sets", "proto": "udp", "ns": "a", "sport": 40000, "n": 3, "dst": "b", "dport": 53, "hops": false,
         "ports": [40000, 40001], "ports_kept": true, "count": true},
        {"op": "burst", "ns": "a", "sport": 40000, "n": 3, "dst": "b", "dport": 53, "hops": false}
    ]));
    let sum = json!({"outcome": "set", "addresses": ["10.244.1.2"], "answers": ["reply b"], "n_addresses": 1,
                     "count": {"reply b": 3}, "ports_in_range": false, "ports_kept": true});
    assert_eq!(result[0], json!({ "saw": sum }));
    assert_eq!(result[1]["server_saw"]["b/udp/53"].as_array().map(Vec::len), Some(3));
}

#[test]
fn deleted_conntrack_entries_are_counted() {
    let rules = "*filter\n-A FORWARD -m conntrack --ctstate INVALID -j DROP\nCOMMIT\n";
    let ask = json!({"op": "udp", "ns": "a", "sport": 40000, "dst": "b", "dport": 53, "hops": false});
    let delete = json!({"op": "conntrack_d", "ns": "n1", "args": ["-p", "udp", "--dport", "53"]});
    let result = steps(&json!([{"op": "rules", "ns": "n1", "text": rules}, ask, delete, delete]));
    assert_eq!(result[2]["saw"], json!({"outcome": "deleted", "n": 1}));
    assert_eq!(result[3]["saw"], json!({"outcome": "deleted", "n": 0}));
}

/// Fact 110; what a sender is told is as live.
#[test]
fn a_table_filled_with_assured_flows_lets_known_flows_pass_and_tells_senders_eperm() {
    let rules = "*filter\n-A FORWARD -m conntrack --ctstate INVALID -j DROP\nCOMMIT\n";
    let ask =
        |ns: &str, port: u16| json!({"op": "udp", "ns": ns, "sport": port, "dst": "b", "dport": 53, "hops": false});
    let result = steps(&json!([
        {"op": "rules", "ns": "n1", "text": rules},
        ask("a", 40000),
        {"op": "sysctl", "ns": "n1", "set": {"net.netfilter.nf_conntrack_max": "100"}},
        {"op": "ctfill", "ns": "n1", "n": 200, "assured": true},
        ask("a", 40000),
        ask("a", 40001),
        ask("n1", 40002),
        {"op": "ctstat", "ns": "n1"},
    ]));
    assert_eq!(result[3]["saw"], json!({"outcome": "filled", "count": 100}));
    assert_eq!((&result[4]["saw"]["outcome"], &result[5]["saw"]["outcome"]), (&json!("reply"), &json!("timeout")));
    assert_eq!(result[6]["saw"], json!({"outcome": "error", "errno": "EPERM", "origin": "local"}));
    let stat = json!({"outcome": "stat", "count_to_64": 128, "early_drop": false, "drop": 2});
    assert_eq!(result[7]["saw"], stat);
}

#[test]
fn rules_change_ttl_and_code_point_and_the_header_stays_right() {
    let rules = "*mangle\n-A PREROUTING -p udp --dport 53 -j TTL --ttl-set 9\n\
                 -A PREROUTING -p udp --dport 53 -j DSCP --set-dscp-class AF11\nCOMMIT\n";
    let ask = json!({"op": "udp", "ns": "a", "sport": 40000, "dst": "b", "dport": 53});
    let result = steps(&json!([{"op": "rules", "ns": "n1", "text": rules}, ask]));
    let arrived = result[1]["hops"].as_array().unwrap().iter().find(|hop| hop["n"] == "b").unwrap();
    assert_eq!(
        [&arrived["ip"]["ttl"], &arrived["ip"]["tos"], &arrived["ip"]["ck"]],
        [&json!(9), &json!(40), &json!("ok")]
    );
    assert_eq!(result[1]["saw"]["outcome"], "reply");
}

#[test]
fn rules_fill_sets_and_sets_decide_about_the_next_packet() {
    let ipset =
        |words: &str| json!({"op": "ipset", "ns": "n1", "cmd": words.split(' ').collect::<Vec<_>>(), "out": true});
    let rules = "*filter\n-A FORWARD -m set --match-set seen src,dst -j DROP\n\
                 -A FORWARD -p udp -j SET --add-set seen src,dst --timeout 9\nCOMMIT\n";
    let ask = json!({"op": "udp", "ns": "a", "sport": 40000, "dst": "b", "dport": 53, "hops": false});
    let result = steps(&json!([
        ipset("create seen hash:ip,port timeout 60"),
        {"op": "rules", "ns": "n1", "text": rules},
        ask,
        ask,
        ipset("list seen -sorted"),
        ipset("destroy seen"),
        {"op": "sleep", "s": 10},
        {"op": "ctstat", "ns": "n1"},
        ipset("list seen -t"),
    ]));
    assert_eq!((&result[2]["saw"]["outcome"], &result[3]["saw"]["outcome"]), (&json!("reply"), &json!("timeout")));
    let header = "Header: family inet hashsize 1024 maxelem 65536 timeout * bucketsize 12 initval *";
    let members = ["10.244.1.2,udp:53 timeout *", "10.244.1.3,udp:40000 timeout *"];
    let listed = ["Name: seen", "Type: hash:ip,port", header, "Members:", members[0], members[1]];
    assert_eq!(result[4]["saw"]["out"], json!(listed), "the answer came by, too");
    let in_use = "Set cannot be destroyed: it is in use by a kernel component";
    assert_eq!(result[5]["saw"], json!({"outcome": "exit 1", "err": in_use, "out": []}));
    let no_set = "*filter\n-A FORWARD -m set --match-set nosuch src -j DROP\nCOMMIT\n";
    let error = try_steps(&json!([{"op": "rules", "ns": "n1", "text": no_set}])).unwrap_err().to_string();
    assert!(error.contains("line 2") && error.contains("Set nosuch doesn't exist."), "{error}");
}

#[test]
fn two_servers_that_answer_each_other_do_not_stop_time() {
    let result = steps(&json!([
        {"op": "server", "server": {"ns": "a", "proto": "udp", "port": 53, "mode": "short"}},
        {"op": "stop", "server": "b/udp/53"},
        {"op": "server", "server": {"ns": "b", "proto": "udp", "port": 53, "mode": "short"}},
        {"op": "ping", "ns": "a", "dst": "b", "hops": false},
        {"op": "frame", "ns": "a", "eth": ["a/eth0", "b/eth0"], "ip": {"s": "a", "d": "b"},
         "udp": {"s": 53, "d": 53}, "data": "x", "hops_in": ["n1/veth-a"], "timeout": 0.001, "quiet": 0}
    ]));
    assert_eq!(result[4]["saw"], json!({"outcome": "sent"}));
}

#[test]
fn a_loop_of_bridge_ports_is_told_and_not_waited_for() {
    let lines = ["link add v0 type veth peer name v1", "link set v0 master cni0 up", "link set v1 master cni0 up"];
    let looped = json!([{"op": "iplink", "ns": "n1", "lines": lines}, {"op": "ping", "ns": "a", "dst": "b"}]);
    let error = try_steps(&looped).unwrap_err().to_string();
    assert!(error.starts_with("step 2 (ping): the network does not come to rest"), "{error}");
}

#[test]
fn what_cannot_be_run_yet_is_refused_with_the_step_it_stands_in() {
    let error = try_steps(&json!([{"op": "exec", "ns": "a", "cmd": ["tc", "qdisc"]}])).unwrap_err();
    let RunError::Step { number, why, place, .. } = &error else { panic!("{error}") };
    assert_eq!((*number, place.line), (1, 1));
    assert_eq!(*why, Refused::NotYet("exec tc qdisc".into()));
    assert_eq!(error.to_string(), "step 1 (exec): not supported yet: exec tc qdisc");
}

#[test]
fn a_run_stops_when_it_is_told_to() {
    let spec = json!({"steps": [{"op": "sleep", "s": 600_000}]}).to_string();
    let stopped = run(&Document::read(&spec).unwrap().steps().unwrap(), &mut LabWorld::new(Seed(1)), &|| true);
    assert_eq!(stopped, Err(RunError::Interrupted));
}

#[test]
fn a_spec_gives_the_same_result_every_time() {
    let twice = json!([{"op": "udp", "ns": "a", "sport": 40000, "dst": "b", "dport": 53}, {"op": "ping", "ns": "b", "dst": "a"}]);
    assert_eq!(steps(&twice), steps(&twice));
}

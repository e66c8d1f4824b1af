//! Probes, hooks and what else decides over a container's life.

use sim_core::engine::time::Duration;

use super::super::load;
use super::{deployment, files, lines, loaded};
use crate::api::{Container, Handler, HttpGet, Probe, RestartPolicy};

fn container(rest: &str) -> Container {
    let container = format!("        ports: [{{name: web, containerPort: 8080}}]\n{rest}");
    loaded(&deployment("web", &container)).objects.workloads[0].template.containers[0].clone()
}

fn refused(rest: &str) -> String {
    lines(&load(&files(&[&deployment("web", rest)])).expect_err("refused"))
}

#[test]
fn a_probe_has_the_defaults_of_the_api_and_knows_its_port_by_name() {
    let probe = container("        readinessProbe: {httpGet: {port: web}}\n").readiness_probe;
    let get = HttpGet { https: false, host: None, port: 8080, path: "/".into(), headers: Vec::new() };
    let expected = Probe {
        handler: Handler::HttpGet(get),
        initial_delay: 0,
        timeout: Duration::from_secs(1),
        period: Duration::from_secs(10),
        success_threshold: 1,
        failure_threshold: 3,
        grace: None,
    };
    assert_eq!(probe, Some(expected));
}

#[test]
fn every_handler_is_read() {
    let handler = |text: &str| container(&format!("        livenessProbe: {text}\n")).liveness_probe.map(|p| p.handler);
    let tcp = Handler::TcpSocket { host: Some([127, 0, 0, 1].into()), port: 6379 };
    assert_eq!(handler("{tcpSocket: {port: 6379, host: localhost}}"), Some(tcp));
    let grpc = Handler::Grpc { port: 9555, service: "shop".into() };
    assert_eq!(handler("{grpc: {port: 9555, service: shop}}"), Some(grpc));
    assert_eq!(handler("{exec: {command: [cat, /tmp/ok]}}"), Some(Handler::Exec(Duration::ZERO)));
    let hooks = container(
        "        lifecycle: {preStop: {sleep: {seconds: 5}}, postStart: {exec: {command: [sleep, \"2\"]}}}\n",
    );
    assert_eq!(hooks.lifecycle.pre_stop, Some(Handler::Sleep(Duration::from_secs(5))));
    assert_eq!(hooks.lifecycle.post_start, Some(Handler::Exec(Duration::from_secs(2))));
}

#[test]
fn a_command_of_unknown_length_is_told_of() {
    let text = deployment("web", "        lifecycle: {preStop: {exec: {command: [nginx, -s, quit]}}}\n");
    insta::assert_snapshot!(lines(&loaded(&text).warnings));
}

#[test]
fn probes_that_the_apiserver_refuses() {
    insta::assert_snapshot!("no_handler", refused("        livenessProbe: {periodSeconds: 3}\n"));
    insta::assert_snapshot!(
        "two_handlers",
        refused("        livenessProbe: {exec: {command: [a]}, grpc: {port: 1}}\n")
    );
    insta::assert_snapshot!("no_such_port", refused("        livenessProbe: {tcpSocket: {port: http}}\n"));
    insta::assert_snapshot!("negative", refused("        livenessProbe: {tcpSocket: {port: 1}, periodSeconds: -1}\n"));
    insta::assert_snapshot!(
        "successes",
        refused("        startupProbe: {tcpSocket: {port: 1}, successThreshold: 2}\n")
    );
    let smuggled = "        livenessProbe: {httpGet: {port: 1, path: \"/ HTTP/1.1\\r\\nX: y\"}}\n";
    insta::assert_snapshot!("two_lines", refused(smuggled));
}

#[test]
fn init_containers_end_and_gates_never_open() {
    let init = "      initContainers:\n      - {name: wait, command: [sh, -c, \"sleep 3\"]}\n      - {name: proxy, restartPolicy: Always}\n";
    let text = deployment("web", "") + "      restartPolicy: Never\n" + init;
    let template = loaded(&text).objects.workloads[0].template.clone();
    assert_eq!((template.init[0].name.as_str(), template.init[0].runs), ("wait", Duration::from_secs(3)));
    assert_eq!(template.containers.iter().map(|c| c.sidecar).collect::<Vec<_>>(), [true, false]);
    assert_eq!(template.restart_policy, RestartPolicy::Never);
    let gates = deployment("web", "") + "      readinessGates: [{conditionType: lb/ready}]\n";
    insta::assert_snapshot!("gates", lines(&load(&files(&[&gates])).expect_err("refused")));
}

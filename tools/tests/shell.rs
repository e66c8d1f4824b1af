//! `everyhop shell` as its user meets it.

use std::io::Write;
use std::process::{Command, Output, Stdio};

const HELLO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/hello");

fn shell(args: &[&str], stdin: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_everyhop"));
    command.args(["shell", HELLO]).args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary starts");
    // A shell that is told its commands with -c does not read.
    let _ = child.stdin.take().expect("a pipe").write_all(stdin.as_bytes());
    child.wait_with_output().expect("it ends")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_node_answers_as_a_real_one_would() {
    let output = shell(&["-c", "n2: ip route; sysctl -n net.ipv4.ip_forward"], "");
    assert_eq!(
        stdout(&output),
        "default via 10.240.0.1 dev eth0\n\
         10.240.0.0/24 dev eth0 proto kernel scope link src 10.240.0.12\n\
         10.244.1.0/24 via 10.244.1.0 dev flannel.1 onlink\n\
         10.244.2.0/24 dev cni0 proto kernel scope link src 10.244.2.1\n\
         10.244.3.0/24 via 10.244.3.0 dev flannel.1 onlink\n1\n"
    );
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
}

#[test]
fn a_route_that_is_taken_away_is_missed_at_once() {
    let script = "ping -c 1 10.244.2.2\nip route del 10.244.2.0/24\nip route add unreachable 10.244.2.0/24\nping -c 1 10.244.2.2\n";
    let output = shell(&[], script);
    assert!(stdout(&output).contains("1 packets transmitted, 1 received, 0% packet loss"), "{output:?}");
    assert_eq!((stderr(&output).as_str(), output.status.code()), ("ping: connect: No route to host\n", Some(2)));
}

#[test]
fn a_service_answers_until_a_rule_forbids_it() {
    let script = "nc -zv 10.96.1.1 80; conntrack -L -d 10.96.1.1; iptables -I OUTPUT -d 10.244.0.0/16 -p tcp -j REJECT --reject-with tcp-reset; nc -zv 10.96.1.1 80";
    let output = shell(&["-c", script], "");
    assert!(stdout(&output).contains("dst=10.96.1.1"), "{output:?}");
    let said = stderr(&output);
    assert!(said.starts_with("Connection to 10.96.1.1 80 port [tcp/*] succeeded!\n"), "{said}");
    assert!(said.ends_with("nc: connect to 10.96.1.1 port 80 (tcp) failed: Connection refused\n"), "{said}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_machine_looks_up_names_of_the_world_and_knows_none_of_the_cluster() {
    let output = shell(&["-c", "nc -zv www.example.com 80; nc -zv web.default.svc.cluster.local 80"], "");
    let said = stderr(&output);
    let [found, unknown] = said.lines().collect::<Vec<_>>()[..] else { panic!("{said}") };
    assert!(found.starts_with("Connection to www.example.com ("), "{said}");
    assert!(found.ends_with(") 80 port [tcp/*] succeeded!"), "{said}");
    let wanted = "nc: getaddrinfo for host \"web.default.svc.cluster.local\" port 80: Name or service not known";
    assert_eq!((unknown, output.status.code()), (wanted, Some(1)));
}

#[test]
fn words_that_are_not_understood_are_told_with_what_would_be_and_the_next_command_follows() {
    let output = shell(&["-c", "tcpdump\u{1b}[31m; nowhere: ip route", "-c", "kubectl get nodes"], "");
    let said = stderr(&output);
    assert!(said.contains("understood: ip, bridge, ipset, iptables") && !said.contains('\u{1b}'), "{said}");
    assert!(stdout(&output).starts_with("NAME   STATUS   ROLES"), "{output:?}");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn the_session_is_at_the_moment_it_was_told() {
    let output = shell(&["--cold", "--at", "10s", "-c", "run 5s; kubectl get svc"], "");
    assert!(stdout(&output).contains("web    ClusterIP   10.96.1.1    <none>        80/TCP    15s"), "{output:?}");
}

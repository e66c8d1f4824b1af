//! `everyhop parity --live` as a user meets it: root, Linux, and a way out that is not the usual one.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

/// The exit code of "this machine has not what it takes".
const SKIPPED: i32 = 3;

fn everyhop(folder: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_everyhop"));
    command.current_dir(folder).args(words);
    command
}

/// A run, or `None` where it was skipped, which is said.
fn live(folder: &Path, words: &[&str]) -> Option<Output> {
    let ran = everyhop(folder, words).output().unwrap();
    if ran.status.code() == Some(SKIPPED) {
        let why = text(&ran.stderr);
        assert!(ran.stdout.is_empty() && why.starts_with("skipped: "), "{why}");
        eprintln!("skipped: {}", why.trim_start_matches("skipped: "));
        return None;
    }
    Some(ran)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A folder with a spec of one datagram, and whatever is to follow.
fn folder(steps: &[Value]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let datagram = json!({"op": "udp", "ns": "a", "sport": 40000, "dst": "b", "dport": 53});
    let steps = [&[datagram], steps].concat();
    let spec = json!({
        "topo": {"nodes": 1, "pods": {"a": 1, "b": 1}}, "trace": true, "servers": [{"ns": "b", "port": 53}],
        "steps": steps,
    });
    fs::write(folder.path().join("spec.json"), spec.to_string()).unwrap();
    folder
}

#[test]
fn what_the_kernel_does_is_recorded_and_the_emulator_does_the_same() {
    let folder = folder(&[]);
    let Some(ran) = live(folder.path(), &["parity", "--live", "spec.json", "--record", "golden.json"]) else { return };
    assert_eq!((ran.status.code(), text(&ran.stderr)), (Some(0), String::new()), "{}", text(&ran.stdout));
    assert_eq!(text(&ran.stdout), "agrees   spec.json\n");
    let golden: Value = serde_json::from_slice(&fs::read(folder.path().join("golden.json")).unwrap()).unwrap();
    assert_eq!(golden["result"][0]["saw"], json!({"outcome": "reply", "data": "b:hello"}));
    assert!(golden["result"][0]["trace"]["n1"].is_array() && golden["made_with"]["kernel"].is_string(), "{golden}");
    let compared = everyhop(folder.path(), &["parity", "golden.json"]).output().unwrap();
    assert_eq!(text(&compared.stdout), "agrees   golden.json\n");
}

/// What they are is the business of `sim-scenarios`; whether they agree that of the tests with more of them.
#[test]
fn random_specs_are_run_counted_and_told_with_the_command_that_shows_a_difference_again() {
    let folder = tempfile::tempdir().unwrap();
    let words = [
        "parity", "--random", "4", "--kind", "cluster", "--seed", "3", "--case", "10", "--shrink", "3", "--out",
        "found", "--json",
    ];
    let Some(ran) = live(folder.path(), &words) else { return };
    let told: Value = serde_json::from_slice(&ran.stdout).unwrap_or_else(|_| panic!("{}", text(&ran.stderr)));
    let count = |key: &str| told[key].as_array().map_or(0, Vec::len) as u64;
    let differ = told["differ"].as_u64().unwrap();
    assert_eq!((&told["seed"], &told["first_case"], &told["cases"]), (&json!(3), &json!(10), &json!(4)));
    assert_eq!(told["agree"].as_u64().unwrap() + differ + count("unsteady") + count("refused"), 4, "{told:#}");
    assert_eq!(ran.status.code(), Some(i32::from(differ + count("refused") > 0)), "{told:#}");
    for difference in told["differences"].as_array().unwrap() {
        let file = difference["file"].as_str().unwrap();
        assert_eq!(difference["command"], json!(format!("everyhop parity --live {file}")));
        let golden: Value = serde_json::from_slice(&fs::read(folder.path().join(file)).unwrap()).unwrap();
        assert_eq!(golden["spec"], difference["spec"]);
    }
    assert!(told["coverage"]["hook"]["PREROUTING"].as_u64() > Some(0), "{told:#}");
}

/// Seeds are fixed. A machine that is busy elsewhere may miss a wait; then a case is tried again, alone.
fn agrees_with_this_kernel(kind: &str, number: &str, seed: &str) {
    let folder = tempfile::tempdir().unwrap();
    let of = |number, rest: &[&str]| {
        let words = ["parity", "--random", number, "--kind", kind, "--seed", seed];
        [&words, rest].concat().into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let words = of(number, &["--jobs", "2", "--shrink", "0", "--json"]);
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let Some(ran) = live(folder.path(), &words) else { return };
    let told: Value = serde_json::from_slice(&ran.stdout).unwrap_or_else(|_| panic!("{}", text(&ran.stderr)));
    assert_eq!(told["cases"].to_string(), number);
    let rows = |key: &str| told[key].as_array().unwrap().clone();
    let differ = rows("differences").into_iter().flat_map(|row| row["cases"].as_array().unwrap().clone());
    let refused = rows("refused").into_iter().map(|row| row["case"].clone());
    for case in differ.chain(refused) {
        let alone = of("1", &["--case", &case.to_string(), "--jobs", "1"]);
        let alone: Vec<_> = alone.iter().map(String::as_str).collect();
        let ran = everyhop(folder.path(), &alone).output().unwrap();
        assert_eq!(ran.status.code(), Some(0), "case {case}: {}{}", text(&ran.stdout), text(&ran.stderr));
    }
}

#[test]
fn a_batch_of_random_specs_agrees_with_this_kernel() {
    agrees_with_this_kernel("cluster", "40", "1");
}

#[test]
fn a_batch_of_random_tcp_scripts_agrees_with_this_kernel() {
    agrees_with_this_kernel("tcp", "30", "51");
}

#[test]
fn a_record_that_this_kernel_does_not_confirm_is_told_beside_the_emulators_agreement() {
    let folder = folder(&[]);
    let Some(_) = live(folder.path(), &["parity", "--live", "spec.json", "--record", "golden.json"]) else { return };
    let path = folder.path().join("golden.json");
    let golden = text(&fs::read(&path).unwrap()).replacen("b:hello", "b:hallo", 1);
    fs::write(&path, golden).unwrap();
    let ran = everyhop(folder.path(), &["parity", "--live", "golden.json"]).output().unwrap();
    let told = text(&ran.stdout);
    assert_eq!(ran.status.code(), Some(1), "{told}");
    assert!(
        told.starts_with("agrees   golden.json\n")
            && told.contains("not what this machine's kernel does: [0]/saw/data")
    );
}

/// What a spec's tools may do is bounded: they run as root.
#[test]
fn a_spec_cannot_leave_its_netns() {
    for (step, why) in [
        (json!({"op": "exec", "ns": "a", "cmd": ["sh", "-c", "id"]}), "none of the tools"),
        (
            json!({"op": "exec", "ns": "a", "cmd": ["ip", "netns", "exec", "b", "id"]}),
            "neither an option nor an object",
        ),
        (json!({"op": "exec", "ns": "a", "cmd": ["cat", "/proc/net/../../etc/passwd"]}), "not a file of a netns"),
        (json!({"op": "iplink", "ns": "a", "lines": ["link set eth0 netns 1"]}), "not a netns of this spec"),
        (json!({"op": "sysctl", "ns": "a", "set": {"net.//.kernel.hostname": "x"}}), "only net.*"),
        (
            json!({"op": "rules", "ns": "n1", "text": "*raw\n-A OUTPUT --modprobe=/bin/id\nCOMMIT\n"}),
            "would run a program",
        ),
    ] {
        let folder = folder(std::slice::from_ref(&step));
        let Some(ran) = live(folder.path(), &["parity", "--live", "spec.json"]) else { return };
        assert!(ran.status.code() == Some(2) && text(&ran.stderr).contains(why), "{step}: {}", text(&ran.stderr));
    }
}

/// The processes that `parent` started, those of theirs included.
fn descendants(parent: u32) -> Vec<u32> {
    let told = Command::new("ps").args(["-eo", "pid=,ppid="]).output().unwrap();
    let rows: Vec<Vec<u32>> = text(&told.stdout)
        .lines()
        .map(|row| row.split_whitespace().filter_map(|word| word.parse().ok()).collect())
        .collect();
    let mut found = vec![parent];
    for at in 0.. {
        let Some(&of) = found.get(at) else { break };
        found.extend(rows.iter().filter(|row| row[1] == of).map(|row| row[0]));
    }
    found.split_off(1)
}

/// A machine without anybody else: a netns and a `/run` for one test.
struct Machine(Child);

impl Machine {
    fn new() -> Self {
        let script = "mount -t tmpfs none /run && echo ready && exec sleep 600";
        let mut command = Command::new("unshare");
        command.args(["--net", "--mount", "sh", "-c", script]).stdout(Stdio::piped());
        let mut machine = Self(command.spawn().unwrap());
        machine.0.stdout.as_mut().unwrap().read_exact(&mut [0; 6]).unwrap();
        machine
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.0.id().to_string(), "--net", "--mount", "--"]).args(words);
        command
    }

    /// Its netns and devices as `ip` tells them.
    fn shown(&self) -> String {
        let told = |words: &[&str]| text(&self.command(words).output().unwrap().stdout);
        told(&["ip", "netns"]) + &told(&["ip", "-br", "link"])
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Waits for it, ten seconds and more.
fn soon(mut happens: impl FnMut() -> bool) -> bool {
    (0..500).any(|_| {
        std::thread::sleep(Duration::from_millis(20));
        happens()
    })
}

#[test]
fn done_or_killed_in_the_middle_it_leaves_no_process_no_netns_and_no_device() {
    let folder = folder(&[json!({"op": "sleep", "s": 60})]);
    let quick = self::folder(&[]);
    let Some(_) = live(quick.path(), &["parity", "--live", "spec.json"]) else { return };
    let machine = Machine::new();
    let before = machine.shown();
    let run = |folder: &Path| {
        let spec = folder.join("spec.json");
        let mut command =
            machine.command(&[env!("CARGO_BIN_EXE_everyhop"), "parity", "--live", spec.to_str().unwrap()]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    assert!(run(quick.path()).wait().unwrap().success());
    assert_eq!(machine.shown(), before);

    let mut child = run(folder.path());
    let listens = |of: u32| {
        let name = fs::read(format!("/proc/{of}/comm")).unwrap_or_default();
        text(&name).starts_with("xtables-monitor")
    };
    let began = soon(|| descendants(child.id()).into_iter().any(listens));
    let started = descendants(child.id());
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(began, "it never began to watch");
    assert!(soon(|| started.iter().all(|of| !Path::new(&format!("/proc/{of}")).exists())), "left: {started:?}");
    assert_eq!(machine.shown(), before);
}

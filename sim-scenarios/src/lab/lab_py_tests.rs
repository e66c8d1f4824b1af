//! Our reading of the lab against the lab itself: the same input through `lab.py` and through this room.
//!
//! Needs python3 and `../shared/kernel-lab` beside the checkout; no root, nothing is run there.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use sim_core::engine::rng::{Seed, Stream};

use super::decode::Decoder;
use super::spec::{Document, Op, Spec};
use super::topology::{Setup, setup};
use super::{compare, conntrack, forge};

/// What `code` prints (JSON) with `lab` imported and `given` as its input; `None` where the lab is not.
fn lab_py(code: &str, given: &Value) -> Option<Value> {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/kernel-lab");
    if !std::path::Path::new(dir).join("lab.py").exists() {
        eprintln!("skipped: {dir}/lab.py is not here");
        return None;
    }
    let whole = format!(
        "import sys, json\nsys.dont_write_bytecode = True\nsys.path.insert(0, {dir:?})\nimport lab\ngiven = json.load(sys.stdin)\n{code}"
    );
    let mut child = Command::new("python3")
        .args(["-c", &whole])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| eprintln!("skipped: python3: {e}"))
        .ok()?;
    child.stdin.take().unwrap().write_all(given.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "lab.py failed");
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

fn read(spec: &Value) -> Spec {
    Document::read(&spec.to_string()).unwrap().steps().unwrap()
}

/// The recorded specs of the first series.
fn recorded() -> Vec<Document> {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/kernel-lab/golden");
    let mut files: Vec<_> = std::fs::read_dir(dir).into_iter().flatten().map(|f| f.unwrap().path()).collect();
    files.sort();
    files
        .iter()
        .map(|path| Document::read(&String::from_utf8(std::fs::read(path).unwrap()).unwrap()).unwrap())
        .collect()
}

/// `Lab.build` with every command written down instead of run.
const BUILD: &str = r#"
import contextlib, os
out = []
l = lab.Lab(given)
where = [None]
class Inside:
    def __init__(self, fd): self.fd = fd
    def __enter__(self): where[0] = self.fd
    def __exit__(self, *a): pass
lab.Inside = Inside
real_open, real_listdir = os.open, os.listdir
lab.os.open = lambda path, flags: path.rsplit("-", 1)[1]
lab.os.listdir = lambda path: []
l.sysctl1 = lambda k, v, soft=False: out.append(["sysctl", where[0], k.replace("flannel.1", "flannel/1"), v])
def run(cmd, inp=None, check=True):
    cmd = [w.replace(l.tag, "") for w in cmd]
    inp = (inp or "").replace(l.tag, "")
    if cmd[:3] == ["ip", "netns", "add"]: out.append(["netns", cmd[3]])
    elif cmd[0] == "ip" and cmd[3] == "-batch": out.extend(["ip", cmd[2], x] for x in inp.splitlines())
    elif cmd[0] == "ip": out.append(["rules", cmd[3], inp])
    elif cmd[3] == "-batch": out.extend(["bridge", cmd[2], x] for x in inp.splitlines())
    else: out.append(["bridge", cmd[2], " ".join(cmd[3:])])
lab.run = run
l.offload_off = l.open_capture = l.start_trace = l.start_server = lambda *a: None
l.build()
print(json.dumps(out))
"#;

/// Commands by netns and tool, each tool's in order: a bench batches them so. IPv6 is off in a bench's netns from the start.
fn by_netns_and_tool(mut commands: Vec<Value>) -> Value {
    let text = |command: &Value, at: usize| command[at].as_str().unwrap().to_owned();
    commands.retain(|command| !text(command, command.as_array().unwrap().len() - 2).ends_with("disable_ipv6"));
    commands.sort_by_key(|command| (text(command, 1), text(command, 0)));
    Value::Array(commands)
}

#[test]
fn the_cluster_is_built_with_the_commands_of_the_lab_in_its_order() {
    let pods = json!({"a": 1, "b": 1, "c": 2, "d": 3});
    let specs = [
        json!({"topo": {"nodes": 3, "pods": pods, "world": true}, "rules": {"n1": "*nat\nCOMMIT\n"}, "steps": []}),
        json!({"topo": {"nodes": 1, "pods": {"z": "n1"}, "no_vxlan": true, "default_route": true}, "steps": [], "hairpin": false}),
        json!({"topo": {"mtu": 9000, "pod_mtu": 1400, "vxlan_mtu": 1300, "ip": {"n1": ["link set cni0 up"]}},
               "sysctl": {"nodes": {"net.ipv4.ip_forward": 0}, "*": {"x.y": "1 2"}}, "steps": []}),
    ];
    for spec in &specs {
        let Some(theirs) = lab_py(BUILD, spec) else { return };
        let ours: Vec<Value> = setup(&read(spec))
            .into_iter()
            .map(|op| match op {
                Setup::Netns(name) => json!(["netns", name]),
                Setup::Ip(netns, line) => json!(["ip", netns, line]),
                Setup::Bridge(netns, line) => json!(["bridge", netns, line]),
                Setup::Sysctl(netns, key, value) | Setup::Repeatable(netns, key, value) => {
                    json!(["sysctl", netns, key, value])
                }
                Setup::Rules(netns, _, text) => json!(["rules", netns, text]),
                Setup::Sets(..) => panic!("the first series has no sets"),
            })
            .collect();
        let theirs = by_netns_and_tool(theirs.as_array().unwrap().clone());
        assert_eq!(compare::first_diff(&theirs, &by_netns_and_tool(ours)), None, "{spec}");
    }
}

const FRAMES: &str = r#"
out = []
for spec in given:
    l = lab.Lab(spec)
    l.macs, l.podip, n = {}, {}, {}
    for p, node in spec["topo"]["pods"].items():
        n[node] = n.get(node, 1) + 1
        l.podip[p] = "10.244.%d.%d" % (node, n[node])
        l.macs[p + "/eth0"] = lab.mac_of_ip(l.podip[p], "0a:58")
        l.macs["n%d/veth-%s" % (node, p)] = "0e:0e:%02x:%02x:00:01" % (node, n[node])
    for i in range(1, spec["topo"]["nodes"] + 1):
        l.macs["n%d/cni0" % i] = lab.mac_of_ip("10.244.%d.1" % i, "0a:58")
        l.macs["n%d/eth0" % i] = lab.mac_of_ip("10.240.0.%d" % (10 + i), "42:01")
        l.macs["n%d/flannel.1" % i] = "0e:fa:00:00:01:%02x" % i
    l.macs["gw/eth0"] = lab.mac_of_ip("10.240.0.1", "42:01")
    out += [l.build_frame(st).hex() for st in spec["steps"] if st["op"] == "frame"]
print(json.dumps(out))
"#;

#[test]
fn raw_frames_of_the_recorded_specs_have_the_bytes_the_lab_gives_them() {
    let documents = recorded();
    let Some(theirs) = lab_py(FRAMES, &documents.iter().map(|d| d.source.clone()).collect()) else { return };
    let specs: Vec<Spec> = documents.into_iter().filter_map(Document::steps).collect();
    let steps = specs.iter().flat_map(|spec| &spec.steps);
    let ours = steps.filter_map(|step| match &step.op {
        Op::Frame { frame, .. } => Some(hex(&forge::frame(frame)).into()),
        _ => None,
    });
    assert_eq!(compare::first_diff(&theirs, &Value::Array(ours.collect())), None);
}

/// Decodes hex frames as one step; what Python trips over (a cut ARP message) is null.
const DECODE: &str = r#"
l = lab.Lab(given["spec"])
l.macname = {"0a:58:0a:f4:01:02": "a/eth0", "0a:58:0a:f4:01:03": "b/eth0"}
out = []
for h in given["frames"]:
    try: out.append(l.dec.frame(bytes.fromhex(h)))
    except Exception: out.append(None)
print(json.dumps(out))
"#;

#[test]
fn frames_are_decoded_as_the_lab_decodes_them_however_broken() {
    let mut draw = Seed(1).stream("frames", 0);
    let frames: Vec<Vec<u8>> = (0..3000).map(|_| some_frame(&mut draw)).collect();
    for known in [Value::Null, json!([53, 8080])] {
        let mut spec = json!({"topo": {"nodes": 1, "pods": {"a": 1, "b": 1}}, "steps": [], "keep_ids": [7]});
        if !known.is_null() {
            spec["known_ports"] = known;
        }
        let hexes: Vec<String> = frames.iter().map(|f| hex(f)).collect();
        let Some(theirs) = lab_py(DECODE, &json!({"spec": spec, "frames": hexes})) else { return };
        let spec = read(&spec);
        let mut decoder = Decoder::new(&spec);
        for (frame, theirs) in frames.iter().zip(theirs.as_array().unwrap()) {
            let ours = Value::Object(decoder.frame(frame));
            if theirs.is_null() {
                continue;
            }
            assert_eq!(compare::first_diff(theirs, &ours), None, "{}", hex(frame));
        }
    }
}

/// A frame of a kind the lab sees, in one of two cases with bytes changed, cut off or put behind.
fn some_frame(draw: &mut Stream) -> Vec<u8> {
    let port = [53, 700, 8080, 40000, 8472][draw.below(5) as usize];
    let check = ["ok", "bad", "none"][draw.below(3) as usize];
    let udp = json!({"s": 40000 + draw.below(9), "d": port, "ck": check});
    let flags = ["S", "SA", "A", "FA", "RA", "PA"][draw.below(6) as usize];
    let tcp = json!({"s": 41000, "d": 8080, "fl": flags, "seq": 1_000_000 + draw.below(9), "ack": 2_000_000, "win": draw.below(2)});
    let kind = [0, 3, 5, 8, 11, 12, 13][draw.below(7) as usize];
    let quote = json!({"ip": {"s": "a", "d": "b"}, "udp": udp, "data": "quoted"});
    let options = ["", "01010101"][draw.below(9) as usize / 8];
    let ip = json!({"s": "a", "d": "b", "id": draw.below(40), "df": draw.below(2), "mf": draw.below(8) / 7,
                    "off": draw.below(9) / 8 * 64, "opt": options, "tos": draw.below(4) / 3});
    let mut step = json!({"op": "frame", "ns": "a", "eth": ["a/eth0", "bcast"], "ip": ip, "data": "hello"});
    match draw.below(6) {
        0 => step["udp"] = udp,
        1 => step["tcp"] = tcp,
        2 => {
            step["icmp"] = json!({"type": kind, "code": draw.below(6), "mtu": 1400, "quote": quote, "quote_len": 20 + draw.below(40)})
        }
        3 => {
            step["udp"] = json!({"s": 50000, "d": 8472});
            step["hex"] = "0800000000000100".into();
            step["inner"] = json!({"eth": ["b/eth0", "a/eth0"], "ip": ip, "tcp": tcp});
        }
        4 => {
            step.as_object_mut().unwrap().remove("ip");
            step["arp"] = json!({"op": 1 + draw.below(3), "sha": "a/eth0", "spa": "a", "tpa": "b"});
        }
        _ => step["size"] = (1 + draw.below(60)).into(),
    }
    if step.get("arp").is_some() {
        step.as_object_mut().unwrap().remove("data");
    }
    let spec = read(&json!({"topo": {"nodes": 1, "pods": {"a": 1, "b": 1}}, "steps": [step]}));
    let Op::Frame { frame, .. } = &spec.steps[0].op else { unreachable!("the step is a frame") };
    let mut bytes = forge::frame(frame);
    if draw.below(2) == 0 {
        for _ in 0..draw.below(4) {
            let at = draw.below(bytes.len() as u32) as usize;
            bytes[at] = draw.next_u32() as u8;
        }
        match draw.below(4) {
            0 => bytes.truncate(draw.below(bytes.len() as u32) as usize),
            1 => bytes.extend([0; 7]),
            _ => {}
        }
    }
    bytes
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Masks and compares pairs.
const COMPARE: &str = r#"
print(json.dumps([lab.first_diff(lab.mask(a, s), lab.mask(b, s)) for a, b, s in given]))
"#;

#[test]
fn differences_are_found_and_told_as_by_the_lab() {
    let ignore = json!({"compare": {"ignore": ["t"]}});
    let pairs = json!([
        [[{"a": 1, "t": 3}], [{"a": 1, "t": 4}], ignore],
        [{"a": 1}, {"a": 1.0}, ignore],
        [{"a": true}, {"a": 1}, ignore],
        [{"a": [1, 2]}, {"a": [1, 2, 3]}, ignore],
        [{"a": [1, 2]}, {"a": [1, 3]}, ignore],
        [{"a": {"b": null}}, {"a": {}}, ignore],
        [{"a": {}}, {"a": {"c d": 1}}, ignore],
        [{"x": 1, "a": 2}, {"a": 3, "x": 1}, ignore],
        [{"a": "h\n"}, {"a": "he"}, ignore],
        [{"a": [[1, {"b": "x"}]]}, {"a": "x"}, ignore]
    ]);
    let Some(theirs) = lab_py(COMPARE, &pairs) else { return };
    let ignore = ["t".to_owned()];
    let ours = pairs.as_array().unwrap().iter().map(|pair| {
        let (a, b) = (compare::mask(&pair[0], &ignore), compare::mask(&pair[1], &ignore));
        compare::first_diff(&a, &b).map(|d| d.to_string()).into()
    });
    assert_eq!(theirs, Value::Array(ours.collect()));
}

#[test]
fn ports_have_the_classes_of_the_lab() {
    let ports: Vec<u16> = vec![0, 1, 53, 511, 512, 1023, 1024, 8472, 65535];
    let code = "l = lab.Lab({'known_ports': [53]})\nprint(json.dumps([l.dec.port(p) for p in given]))";
    let Some(theirs) = lab_py(code, &json!(ports)) else { return };
    let ours = ports.iter().map(|&p| conntrack::port(p, Some(&[53])));
    assert_eq!(theirs, Value::Array(ours.collect()));
}

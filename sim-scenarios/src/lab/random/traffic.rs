//! What is done in a random spec: sockets that talk, raw frames, and changes in between.

use serde_json::{Value, json};

use super::dice::Dice;
use super::scene::Scene;
use super::{frames, rules};

/// The first source port of clients; each step has its own, or again that of the step before.
const FIRST_PORT: u32 = 40_000;
/// How many source ports are in use.
const PORTS: u32 = 8;

/// The ports that results show as they are: others are drawn by NAT.
pub(super) fn known_ports() -> Vec<u32> {
    let fixed = [0, 53, 80, 8080, 8081, 30080];
    fixed.into_iter().chain(FIRST_PORT..FIRST_PORT + PORTS).collect()
}

/// The identifiers of echo messages that results show as they are: those of pings, of raw frames, and none.
pub(super) fn known_echoes() -> Vec<u32> {
    [0, 1, 77].into_iter().chain(FIRST_PORT..FIRST_PORT + PORTS).collect()
}

/// The member `steps`.
pub(super) fn steps(dice: &mut Dice, scene: &Scene) -> Vec<Value> {
    let mut steps = Vec::new();
    for turn in 0..dice.between(3, 6) {
        let scene = &scene.in_one_family(dice);
        let sport = FIRST_PORT + if dice.one_in(4) { 0 } else { turn };
        match dice.below(16) {
            0..=4 => steps.push(udp(dice, scene, sport)),
            5..=7 => steps.push(tcp(dice, scene, sport)),
            8 | 9 => steps.push(ping(dice, scene)),
            10 => steps.extend(conversation(dice, scene, sport)),
            11 if !steps.is_empty() => steps.push(change(dice, scene)),
            _ => steps.extend(frames::steps(dice, scene, sport)),
        }
    }
    steps
}

/// Where a client of `sender` sends: an address and a port that belong together, mostly.
pub(super) fn destination(dice: &mut Dice, scene: &Scene) -> (&'static str, u16) {
    let (dst, words) = (scene.addr(dice), scene.words);
    let port = if dst == words.vip {
        80
    } else if words.nodes.contains(&dst) || words.outside.contains(&dst) {
        30080
    } else {
        8080
    };
    (dst, if dice.one_in(8) { dice.pick(&[0, 53, 80, 8080, 8081, 30080]) } else { port })
}

fn udp(dice: &mut Dice, scene: &Scene, sport: u32) -> Value {
    let (dst, dport) = destination(dice, scene);
    // Port 0 is refused by the call itself.
    let mut step = json!({ "op": "udp", "ns": scene.sender(dice), "sport": sport, "dst": dst, "dport": dport.max(1) });
    step["timeout"] = 0.1.into();
    sometimes(dice, &mut step, "size", &[0, 600, scene.fits().0, scene.fits().0 + 1, 1472, 3900]);
    sometimes(dice, &mut step, "ttl", &[1, 2, 3]);
    sometimes(dice, &mut step, "pmtu", &["do", "dont", "want", "probe"]);
    step
}

fn tcp(dice: &mut Dice, scene: &Scene, sport: u32) -> Value {
    let (dst, dport) = destination(dice, scene);
    let mut step = json!({ "op": "tcp", "ns": scene.sender(dice), "sport": sport, "dst": dst, "dport": dport.max(1) });
    step["timeout"] = 0.1.into();
    // What is more than a segment passes the rules of a node that sends it as one packet (GSO).
    sometimes(dice, &mut step, "size", &[600, 1100]);
    sometimes(dice, &mut step, "ttl", &[1, 2, 3]);
    step
}

fn ping(dice: &mut Dice, scene: &Scene) -> Value {
    let mut step = json!({ "op": "ping", "ns": scene.sender(dice), "dst": scene.addr(dice), "timeout": 0.1 });
    sometimes(dice, &mut step, "size", &[0, scene.fits().0, scene.fits().0 + 1, 2000]);
    sometimes(dice, &mut step, "ttl", &[1, 2, 3]);
    sometimes(dice, &mut step, "tos", &[4, 16]);
    sometimes(dice, &mut step, "pmtu", &["do", "dont"]);
    step
}

fn sometimes<T: Clone + Into<Value>>(dice: &mut Dice, step: &mut Value, key: &str, values: &[T]) {
    if dice.one_in(5) {
        step[key] = dice.pick(values).into();
    }
}

/// A connection in steps, perhaps with a forged segment in it.
fn conversation(dice: &mut Dice, scene: &Scene, sport: u32) -> Vec<Value> {
    let (dst, dport) = destination(dice, scene);
    let name = format!("c{sport}");
    let mut steps = vec![
        json!({ "op": "tcp_open", "name": name, "ns": "a", "sport": sport, "dst": dst, "dport": dport.max(1), "timeout": 0.1 }),
    ];
    steps.push(json!({ "op": "tcp_io", "name": name, "data": "hello", "timeout": 0.1 }));
    if dice.one_in(2) {
        let flags = dice.pick(&["A", "R", "RA", "S", "SA", "FA", "PA", "", "FSRPAU"]);
        let (seq, ack) = (dice.pick(&[0, -1, 1, 100_000, -100_000]), dice.pick(&[0, 1, -5, 70_000]));
        let data = dice.pick(&["", "x"]);
        steps.push(json!({ "op": "tcp_forge", "ns": "a", "eth": ["a/eth0", "n1/cni0"],
            "src": format!("a{}", scene.words.suffix), "sport": sport, "dst": dst, "dport": dport.max(1),
            "flags": flags, "seq": seq, "ack": ack, "data": data }));
    }
    steps.push(json!({ "op": "tcp_close", "name": name }));
    steps
}

/// Something that changes between packets.
fn change(dice: &mut Dice, scene: &Scene) -> Value {
    let node = format!("n{}", dice.between(1, scene.nodes.into()));
    match dice.below(6) {
        0 => json!({ "op": scene.words.rules, "ns": node, "text": rules::text_without_sets(dice, scene) }),
        1 => {
            let args = [scene.words.conntrack, &["-p", dice.pick(&["udp", "tcp"])]].concat();
            json!({ "op": "conntrack_d", "ns": node, "args": args })
        }
        2 => json!({ "op": "sysctl", "ns": node, "set": { scene.words.forwarding: dice.pick(&["0", "1"]) } }),
        3 => json!({ "op": "iplink", "ns": node, "lines": [dice.pick(&scene.words.changes)] }),
        4 => json!({ "op": "stop", "server": scene.server(dice) }),
        _ => json!({ "op": "ctflush" }),
    }
}

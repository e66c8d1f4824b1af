//! Raw frames of a random spec: some as a stack would send them, most with something wrong.

use serde_json::{Map, Value, json};

use sim_core::wire::ip::Family;

use super::dice::Dice;
use super::scene::Scene;
use super::traffic::destination;
use super::words::Words;

/// One frame, or the fragments of one packet.
pub(super) fn steps(dice: &mut Dice, scene: &Scene, sport: u32) -> Vec<Value> {
    let mut frame = Map::new();
    frame.insert("op".into(), "frame".into());
    let src = link(dice, scene, &mut frame);
    let (dst, dport) = destination(dice, scene);
    let mut ip = Map::new();
    let forged = scene.words.forged;
    ip.insert("s".into(), if dice.one_in(5) { dice.pick(forged) } else { src }.into());
    ip.insert("d".into(), if dice.one_in(16) { dice.pick(forged) } else { dst }.into());
    header(dice, scene, &mut ip);
    payload((dice, scene), (src, dst), (sport, dport), &mut frame, &mut ip);
    if dice.one_in(6) {
        return fragments(dice, scene, &frame, &ip);
    }
    frame.insert(scene.words.ip.into(), ip.into());
    vec![frame.into()]
}

/// Sender, device and hardware addresses; returns the address that is the sender's own.
fn link(dice: &mut Dice, scene: &Scene, frame: &mut Map<String, Value>) -> &'static str {
    let words = scene.words;
    let (ns, own, gateway, addr) = match dice.below(8) {
        0 if scene.nodes > 1 => ("n2", "n2/eth0", "n1/eth0", words.nodes[1]),
        1 if scene.world => ("world", "world/eth0", "gw/ext0", words.world),
        2 | 3 => ("b", "b/eth0", "n1/cni0", words.pods[1]),
        _ => ("a", "a/eth0", "n1/cni0", words.pods[0]),
    };
    let to = match dice.below(10) {
        0 => "bcast",
        1 if ns == "a" => "b/eth0",
        2 if ns == "a" => "02:00:00:00:00:99",
        3 => words.group_mac,
        _ => gateway,
    };
    frame.insert("ns".into(), ns.into());
    frame.insert("eth".into(), json!([own, to]));
    addr
}

fn header(dice: &mut Dice, scene: &Scene, ip: &mut Map<String, Value>) {
    for (key, values) in scene.words.header {
        if dice.one_in(8) {
            let value = dice.pick(values);
            ip.insert((*key).into(), serde_json::from_str(value).unwrap_or_default());
        }
    }
}

/// The bytes of extension headers that a frame has at most.
const LONGEST_CHAIN: u32 = 40;

fn payload(
    (dice, scene): (&mut Dice, &Scene),
    (src, dst): (&str, &str),
    (sport, dport): (u32, u16),
    frame: &mut Map<String, Value>,
    ip: &mut Map<String, Value>,
) {
    let words = scene.words;
    let checksum = dice.weighed(&[(8, "ok"), (1, "bad"), (1, "none")]);
    let (kind, header) = match dice.below(10) {
        0..=2 => ("udp", json!({ "s": sport, "d": dport, "ck": checksum })),
        3..=5 => {
            let flags = dice.weighed(&[
                (4, "S"),
                (2, "A"),
                (1, "SA"),
                (1, "R"),
                (1, "RA"),
                (1, "FA"),
                (1, ""),
                (1, "SF"),
                (1, "FSRPAU"),
            ]);
            let checksum = if checksum == "none" { "ok" } else { checksum };
            (
                "tcp",
                json!({ "s": sport, "d": dport, "seq": 1000, "ack": dice.pick(&[0, 1]), "fl": flags, "ck": checksum }),
            )
        }
        6 => {
            let kind = dice.weighed(words.icmp.messages);
            (
                words.icmp.key,
                json!({ "type": kind, "code": dice.weighed(&[(3, 0), (1, 1)]), "id": sport, "seq": 1,
                "ck": if checksum == "none" { "ok" } else { checksum } }),
            )
        }
        7 => (words.icmp.key, error(dice, scene, (src, dst), (sport, dport))),
        _ => {
            ip.insert("p".into(), dice.pick(words.protocols).into());
            frame.insert(
                "hex".into(),
                dice.pick(&["", "9c40", "9c401f90000d", "9c401f9000080000", "08000000", "0300fcff00000000"]).into(),
            );
            return;
        }
    };
    frame.insert(kind.into(), header);
    frame.insert("data".into(), dice.pick(&["", "hello", "x"]).into());
    if dice.one_in(6) {
        // What is longer than the device takes is refused by the call that sends it.
        let (fits, more) = scene.fits();
        let longer = ip.contains_key("opt") || ip.contains_key("ext");
        let most = fits - 16 - if ip.contains_key("ext") { LONGEST_CHAIN } else { 0 };
        let least_headers = kind == "udp" && !longer;
        let size = dice.pick(&[600, most, fits + u32::from(more && least_headers)]);
        frame.insert("size".into(), if least_headers { size } else { size.min(most) }.into());
        // Of IPv6 nothing is fragmented on its way.
        if dice.one_in(2) && words.family == Family::V4 {
            ip.insert("df".into(), 1.into());
        }
    }
}

/// An ICMP error about a packet that may have gone the other way.
fn error(dice: &mut Dice, scene: &Scene, (src, dst): (&str, &str), (sport, dport): (u32, u16)) -> Value {
    let Words { icmp, ip, header_len, .. } = scene.words;
    let (kind, code) = dice.pick(icmp.errors);
    let (proto, l4) = dice.pick(&[
        ("udp", json!({ "s": dport, "d": sport })),
        ("tcp", json!({ "s": dport, "d": sport, "seq": 1, "fl": "S" })),
        (icmp.key, json!({ "type": icmp.echo, "code": 0, "id": 77, "seq": 1 })),
    ]);
    json!({ "type": kind, "code": code, "mtu": dice.pick(&[0, 552, 1300]), "quote_len": dice.pick(&[header_len + 8, header_len + 4, *header_len, 8]),
        "quote": { *ip: { "s": dst, "d": src }, proto: l4, "data": "hello" } })
}

/// The packet in two or three pieces, in some order, one of them perhaps missing or there twice.
fn fragments(dice: &mut Dice, scene: &Scene, frame: &Map<String, Value>, ip: &Map<String, Value>) -> Vec<Value> {
    let cuts = dice.pick(&[[0, 16, 64], [0, 24, 800], [0, 8, 16]]);
    let mut pieces: Vec<Value> = Vec::new();
    for (at, from) in cuts.into_iter().enumerate() {
        let last = at + 1 == cuts.len();
        let (mut ip, mut frame) = (ip.clone(), frame.clone());
        let fragment = json!({ "id": 4242, "off": from, "mf": u8::from(!last) });
        match (scene.words.family, fragment) {
            (Family::V4, Value::Object(fields)) => ip.extend(fields),
            (_, fragment) => {
                let before = ip.shift_remove("ext").and_then(|ext| ext.as_array().cloned());
                let chain: Vec<Value> = before.into_iter().flatten().chain([json!({ "frag": fragment })]).collect();
                ip.insert("ext".into(), chain.into());
            }
        }
        ip.insert("cut".into(), json!([from, if last { 1480 } else { cuts[at + 1] }]));
        // Options are lost here when a packet is put together (docs/differences.md).
        ip.remove("opt");
        ip.remove("len");
        frame.insert("size".into(), 1000.into());
        frame.insert(scene.words.ip.into(), ip.into());
        pieces.push(frame.into());
    }
    match dice.below(6) {
        0 => pieces.reverse(),
        1 => drop(pieces.remove(dice.below(3) as usize)),
        2 => pieces.push(pieces[1].clone()),
        _ => {}
    }
    pieces
}

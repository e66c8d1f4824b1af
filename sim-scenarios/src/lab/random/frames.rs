//! Raw frames of a random spec: some as a stack would send them, most with something wrong.

use serde_json::{Map, Value, json};

use super::dice::Dice;
use super::scene::Scene;
use super::traffic::destination;

/// One frame, or the fragments of one packet.
pub(super) fn steps(dice: &mut Dice, scene: &Scene, sport: u32) -> Vec<Value> {
    let mut frame = Map::new();
    frame.insert("op".into(), "frame".into());
    let src = link(dice, scene, &mut frame);
    let (dst, dport) = destination(dice, scene);
    let mut ip = Map::new();
    let strange =
        ["127.0.0.1", "0.0.0.0", "255.255.255.255", "224.0.0.5", "10.244.1.1", "10.99.0.1", "240.0.0.9", "10.244.2.2"];
    ip.insert("s".into(), if dice.one_in(5) { dice.pick(&strange).into() } else { src.clone().into() });
    ip.insert("d".into(), if dice.one_in(16) { dice.pick(&strange).into() } else { dst.clone().into() });
    header(dice, &mut ip);
    payload((dice, scene), (&src, &dst), (sport, dport), &mut frame, &mut ip);
    if dice.one_in(6) {
        return fragments(dice, &frame, &ip);
    }
    frame.insert("ip".into(), ip.into());
    vec![frame.into()]
}

/// Sender, device and hardware addresses; returns the address that is the sender's own.
fn link(dice: &mut Dice, scene: &Scene, frame: &mut Map<String, Value>) -> String {
    let (ns, own, gateway, addr) = match dice.below(8) {
        0 if scene.nodes > 1 => ("n2", "n2/eth0", "n1/eth0", "10.240.0.12"),
        1 if scene.world => ("world", "world/eth0", "gw/ext0", "8.8.8.8"),
        2 | 3 => ("b", "b/eth0", "n1/cni0", "10.244.1.3"),
        _ => ("a", "a/eth0", "n1/cni0", "10.244.1.2"),
    };
    let to = match dice.below(10) {
        0 => "bcast",
        1 if ns == "a" => "b/eth0",
        2 if ns == "a" => "02:00:00:00:00:99",
        3 => "01:00:5e:00:00:05",
        _ => gateway,
    };
    frame.insert("ns".into(), ns.into());
    frame.insert("eth".into(), json!([own, to]));
    addr.into()
}

fn header(dice: &mut Dice, ip: &mut Map<String, Value>) {
    let mut rarely = |dice: &mut Dice, key: &str, values: &[Value]| {
        if dice.one_in(8) {
            ip.insert(key.into(), dice.pick(values));
        }
    };
    rarely(dice, "ttl", &[json!(0), json!(1), json!(2), json!(255)]);
    rarely(dice, "ck", &[json!("bad")]);
    rarely(dice, "df", &[json!(1)]);
    rarely(dice, "tos", &[json!(4), json!(184), json!(255)]);
    rarely(dice, "len", &[json!(19), json!(20), json!(27), json!(30), json!(60), json!(1500), json!(65535)]);
    rarely(dice, "off", &[json!(8), json!(65528)]);
    rarely(dice, "mf", &[json!(1)]);
    rarely(dice, "opt", OPTIONS.iter().map(|opt| json!(opt)).collect::<Vec<_>>().as_slice());
}

/// IP options that say nothing to a router, and one that asks it to look. docs/differences.md has what is not there.
const OPTIONS: &[&str] = &["01010101", "00000000", "94040000", "82040000", "99040000"];

fn payload(
    (dice, scene): (&mut Dice, &Scene),
    (src, dst): (&str, &str),
    (sport, dport): (u32, u16),
    frame: &mut Map<String, Value>,
    ip: &mut Map<String, Value>,
) {
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
            let kind = dice.weighed(&[(3, 8), (1, 0), (1, 4), (1, 13), (1, 17), (1, 10), (1, 30), (1, 200)]);
            (
                "icmp",
                json!({ "type": kind, "code": dice.weighed(&[(3, 0), (1, 1)]), "id": sport, "seq": 1,
                "ck": if checksum == "none" { "ok" } else { checksum } }),
            )
        }
        7 => ("icmp", error(dice, (src, dst), (sport, dport))),
        // No tunnels (4, 41, 47): whether the kernel answers depends on its modules.
        _ => {
            ip.insert("p".into(), dice.pick(&[0, 1, 2, 6, 17, 58, 132, 253]).into());
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
        let most = fits - 16;
        let size = dice.pick(&[600, most, fits + u32::from(more && kind == "udp" && !ip.contains_key("opt"))]);
        frame.insert("size".into(), if kind == "udp" { size } else { size.min(most) }.into());
        if dice.one_in(2) {
            ip.insert("df".into(), 1.into());
        }
    }
}

/// An ICMP error about a packet that may have gone the other way.
fn error(dice: &mut Dice, (src, dst): (&str, &str), (sport, dport): (u32, u16)) -> Value {
    let (kind, code) = dice.pick(&[(3, 0), (3, 1), (3, 3), (3, 4), (3, 13), (11, 0), (11, 1), (12, 0), (5, 1), (4, 0)]);
    let (proto, l4) = dice.pick(&[
        ("udp", json!({ "s": dport, "d": sport })),
        ("tcp", json!({ "s": dport, "d": sport, "seq": 1, "fl": "S" })),
        ("icmp", json!({ "type": 8, "code": 0, "id": 77, "seq": 1 })),
    ]);
    json!({ "type": kind, "code": code, "mtu": dice.pick(&[0, 552, 1300]), "quote_len": dice.pick(&[28, 24, 20, 8]),
        "quote": { "ip": { "s": dst, "d": src }, proto: l4, "data": "hello" } })
}

/// The packet in two or three pieces, in some order, one of them perhaps missing or there twice.
fn fragments(dice: &mut Dice, frame: &Map<String, Value>, ip: &Map<String, Value>) -> Vec<Value> {
    let cuts = dice.pick(&[[0, 16, 64], [0, 24, 800], [0, 8, 16]]);
    let mut pieces: Vec<Value> = Vec::new();
    for (at, from) in cuts.into_iter().enumerate() {
        let last = at + 1 == cuts.len();
        let (mut ip, mut frame) = (ip.clone(), frame.clone());
        ip.insert("id".into(), 4242.into());
        ip.insert("off".into(), from.into());
        ip.insert("mf".into(), u8::from(!last).into());
        ip.insert("cut".into(), json!([from, if last { 1480 } else { cuts[at + 1] }]));
        // Options are lost here when a packet is put together (docs/differences.md).
        ip.remove("opt");
        ip.remove("len");
        frame.insert("size".into(), 1000.into());
        frame.insert("ip".into(), ip.into());
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

//! MQTT 5.0 (OASIS, sections 3.1 and 3.2).

use super::Protocol;

/// CONNECT, answered with CONNACK; the signature is its reason.
pub(super) const MQTT: Protocol = Protocol { name: "mqtt", greets: false, request, answer };

fn request(_: &str) -> Vec<u8> {
    // Version 5, clean start, keep alive 60 s, no properties; client id.
    packet(0x10, &[&string("MQTT")[..], &[5, 2, 0, 60, 0], &string("everyhop")].concat())
}

fn answer(signature: &str, _: &[u8]) -> Vec<u8> {
    let reason = [&[0x1f][..], &string(signature)].concat();
    // No session, success; properties.
    packet(0x20, &[&[0, 0][..], &variable(reason.len()), &reason].concat())
}

fn packet(kind: u8, rest: &[u8]) -> Vec<u8> {
    [&[kind][..], &variable(rest.len()), rest].concat()
}

/// A variable byte integer below 16384 (section 1.5.5).
fn variable(n: usize) -> Vec<u8> {
    if n < 128 { vec![n as u8] } else { vec![n as u8 | 0x80, (n >> 7) as u8] }
}

fn string(text: &str) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes()[..], text.as_bytes()].concat()
}

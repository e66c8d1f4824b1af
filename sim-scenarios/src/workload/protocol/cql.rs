//! CQL, the protocol of Cassandra (its native_protocol_v4.spec).

use super::Protocol;

/// OPTIONS, answered with SUPPORTED; the signature is a supported option.
pub(super) const CQL: Protocol = Protocol { name: "cql", greets: false, request: |_| frame(0x04, 0x05, &[]), answer };

fn answer(signature: &str, _: &[u8]) -> Vec<u8> {
    // A map of one key with one value.
    frame(0x84, 0x06, &[&[0, 1][..], &string("EVERYHOP"), &[0, 1], &string(signature)].concat())
}

/// A frame of this version and direction, without flags, of stream 0.
fn frame(version: u8, opcode: u8, body: &[u8]) -> Vec<u8> {
    [&[version, 0, 0, 0, opcode][..], &(body.len() as u32).to_be_bytes(), body].concat()
}

fn string(text: &str) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes()[..], text.as_bytes()].concat()
}

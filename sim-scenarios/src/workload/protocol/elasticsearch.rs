//! The transport protocol of Elasticsearch (its `TcpHeader`): between nodes, on port 9300.

use super::Protocol;

/// A handshake; the signature is the content of the answer.
pub(super) const ELASTICSEARCH: Protocol = Protocol {
    name: "elasticsearch",
    greets: false,
    // No features, then the action.
    request: |_| message(0, &[&[0][..], &string("internal:tcp/handshake")].concat()),
    answer: |signature, _| message(1, &string(signature)),
};

/// A message of this status (bit 0: a response), of version 7.0.0: request id 1, no headers.
fn message(status: u8, content: &[u8]) -> Vec<u8> {
    const VERSION: u32 = 7_000_099;
    let rest = [&1_u64.to_be_bytes()[..], &[status], &VERSION.to_be_bytes(), &[0, 0], content].concat();
    [b"ES", &(rest.len() as u32).to_be_bytes()[..], &rest].concat()
}

/// A text after its length, a variable byte integer below 16384.
fn string(text: &str) -> Vec<u8> {
    let n = text.len();
    let length = if n < 128 { vec![n as u8] } else { vec![n as u8 | 0x80, (n >> 7) as u8] };
    [&length[..], text.as_bytes()].concat()
}

//! RESP, the protocol of Redis (redis.io, "Redis serialization protocol specification").

use super::Protocol;

/// A PING with a message, answered with the signature as a bulk string.
pub(super) const REDIS: Protocol = Protocol {
    name: "redis",
    greets: false,
    request: |host| [&b"*2\r\n$4\r\nPING\r\n"[..], &bulk(host)].concat(),
    answer: |signature, _| bulk(signature),
};

fn bulk(text: &str) -> Vec<u8> {
    format!("${}\r\n{text}\r\n", text.len()).into_bytes()
}

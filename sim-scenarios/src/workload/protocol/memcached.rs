//! The text protocol of memcached (its doc/protocol.txt).

use super::Protocol;

/// Asks for the version, which is the signature.
pub(super) const MEMCACHED: Protocol = Protocol {
    name: "memcached",
    greets: false,
    request: |_| b"version\r\n".to_vec(),
    answer: |signature, _| format!("VERSION {signature}\r\n").into_bytes(),
};

//! Plain text, for ports without a protocol of their own.

use super::Protocol;

/// One line each way.
pub(super) const TEXT: Protocol = Protocol {
    name: "text",
    greets: false,
    request: |host| format!("hello {host}\n").into_bytes(),
    answer: |signature, _| format!("hello from {signature}\n").into_bytes(),
};

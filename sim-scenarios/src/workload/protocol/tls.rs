//! TLS (RFC 8446, section 5.1): records of application data, which nobody on the way can read.

use super::Protocol;

/// One record each way.
pub(super) const TLS: Protocol = Protocol {
    name: "tls",
    greets: false,
    request: |host| record(host.as_bytes()),
    answer: |signature, _| record(signature.as_bytes()),
};

/// A record of content type application_data and legacy version 3.3.
fn record(data: &[u8]) -> Vec<u8> {
    [&[23, 3, 3][..], &(data.len() as u16).to_be_bytes(), data].concat()
}

//! Empty messages, for ports on which Wireshark takes everything for a binary protocol that is not spoken here.
//!
//! An empty datagram, or a connection that is opened and closed, is never taken apart. The answer bears no signature.

use super::{Protocol, nothing};

/// Nothing each way.
pub(super) const SILENT: Protocol =
    Protocol { name: "silent", greets: false, request: nothing, answer: |_, _| Vec::new() };

/// TCP ports whose dissector finds plain text malformed (Wireshark 4.0).
pub(super) const TCP_PORTS: &[u16] = &[123, 500, 639, 1861, 2321, 2322, 3863, 4155, 5683, 6160, 7911, 9956, 13400];

/// UDP ports whose dissector finds plain text malformed (Wireshark 4.0).
#[rustfmt::skip]
pub(super) const UDP_PORTS: &[u16] = &[
    49, 67, 68, 123, 137, 389, 427, 434, 464, 496, 500, 502, 513, 520, 521, 525, 910, 1153, 1194, 1628, 1629, 1718, 1719, 1745,
    2222, 2313, 2345, 2945, 3130, 3250, 3389, 3452, 3455, 3544, 3671, 3784, 3804, 3863, 4341, 4342, 4729, 4754, 4784, 4789,
    4991, 5072, 5246, 5247, 5436, 5683, 6081, 6635, 6784, 7275, 7784, 8472, 8611, 8612, 8613, 8614, 8805, 8848, 9875, 9899, 9956,
    12222, 12223, 13400, 23272, 25826, 30030, 37008, 41170, 44818, 47000, 54328,
];

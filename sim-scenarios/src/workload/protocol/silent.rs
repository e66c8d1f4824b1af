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

/// SCTP ports with a dissector, which is for another protocol than the one of that number in TCP (Wireshark 4.0). There an
/// association is opened and closed: there are no empty messages.
#[rustfmt::skip]
pub(super) const SCTP_PORTS: &[u16] = &[
    22, 53, 80, 324, 443, 465, 636, 802, 853, 993, 995, 1300, 2221, 2345, 2443, 2904, 2905, 2944, 3249, 3250, 3251, 3252, 3496,
    3565, 3863, 3868, 4739, 5061, 5671, 5675, 5684, 5868, 8883, 9082, 9900, 9901, 9908, 10001, 11207, 14001, 19999, 21064, 27017,
    29118, 29168, 29169, 36412, 36422, 36443, 36444, 37464, 38412, 38422, 38462, 38472,
];

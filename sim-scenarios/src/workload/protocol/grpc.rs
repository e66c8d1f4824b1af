//! The answer of gRPC's health service (grpc/grpc doc/health-checking.md) over HTTP/2 (RFC 9113), headers uncompressed
//! (RFC 7541): this server serves.

use super::{Protocol, nothing};

/// What a client of HTTP/2 says first (RFC 9113, section 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n";

/// Whatever is asked, the server is `SERVING`. Kubelets ask; nobody else does here.
pub(super) const GRPC: Protocol = Protocol { name: "grpc", greets: false, request: nothing, answer: |_, _| serving() };

fn serving() -> Vec<u8> {
    const SETTINGS: u8 = 4;
    const ACK: u8 = 1;
    const HEADERS: u8 = 1;
    const END_STREAM: u8 = 1;
    const END_HEADERS: u8 = 4;
    // `:status 200` is number 8 of the static table, `content-type` 31.
    let headers = [&[0x88, 0x0f, 0x10, 16][..], b"application/grpc"].concat();
    let trailers = [&[0, 11][..], b"grpc-status", &[1], b"0"].concat();
    [
        frame(SETTINGS, 0, 0, &[]),
        frame(SETTINGS, ACK, 0, &[]),
        frame(HEADERS, END_HEADERS, 1, &headers),
        // One message of two bytes, not compressed: field 1, `SERVING`.
        frame(0, 0, 1, &[0, 0, 0, 0, 2, 0x08, 1]),
        frame(HEADERS, END_HEADERS | END_STREAM, 1, &trailers),
    ]
    .concat()
}

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    [&[0, 0, payload.len() as u8, kind, flags, 0, 0, 0, stream][..], payload].concat()
}

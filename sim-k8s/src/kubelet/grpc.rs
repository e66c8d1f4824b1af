//! The gRPC health checking protocol (grpc/grpc doc/health-checking.md), as far as a probe needs it: one unary call over
//! HTTP/2 (RFC 9113) without TLS, its headers uncompressed (RFC 7541).

use std::net::SocketAddr;

/// What a client of HTTP/2 says first (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADER_LEN: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// Field 1 (`status`), a varint: `SERVING`.
const SERVING: [u8; 2] = [0x08, 1];

/// The call `grpc.health.v1.Health/Check` for `service` (empty: the whole server).
pub(super) fn check(service: &str, to: SocketAddr) -> Vec<u8> {
    let service = &service.as_bytes()[..service.len().min(100)];
    let message = if service.is_empty() { Vec::new() } else { [&[0x0a, service.len() as u8][..], service].concat() };
    // Indexed: `:method POST` 3, `:scheme http` 6; literals by the index of their name in the static table.
    let headers = [
        vec![0x83, 0x86],
        literal(&[0x04], "/grpc.health.v1.Health/Check"),
        literal(&[0x01], &to.to_string()),
        literal(&[0x0f, 0x10], "application/grpc"),
        literal(&[0x0f, 0x2b], "kube-probe/1.34"),
        literal(&[0x00, 2, b't', b'e'], "trailers"),
    ];
    [
        PREFACE.to_vec(),
        frame(SETTINGS, 0, 0, &[]),
        frame(HEADERS, END_HEADERS, 1, &headers.concat()),
        frame(DATA, END_STREAM, 1, &[&[0, 0, 0, 0, message.len() as u8][..], &message].concat()),
    ]
    .concat()
}

/// Whether what the server has said so far is a good answer; `None` if that is still open.
pub(super) fn is_serving(mut heard: &[u8]) -> Option<bool> {
    while heard.len() >= HEADER_LEN {
        let length = usize::from(heard[0]) << 16 | usize::from(heard[1]) << 8 | usize::from(heard[2]);
        let (kind, flags, stream) = (heard[3], heard[4], heard[8]);
        let payload = heard.get(HEADER_LEN..HEADER_LEN + length)?;
        if kind == DATA && stream == 1 {
            return Some(payload.get(5..) == Some(&SERVING));
        }
        if kind == HEADERS && flags & END_STREAM != 0 {
            return Some(false);
        }
        heard = &heard[HEADER_LEN + length..];
    }
    None
}

/// A header field that is not to be kept: how its name is told, then its value.
fn literal(name: &[u8], value: &str) -> Vec<u8> {
    [name, &[value.len() as u8], value.as_bytes()].concat()
}

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let [_, high, middle, low] = (payload.len() as u32).to_be_bytes();
    [&[high, middle, low, kind, flags, 0, 0, 0, stream][..], payload].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_known_once_its_message_is_whole() {
        let answer = |status: u8| {
            let message = frame(DATA, 0, 1, &[0, 0, 0, 0, 2, 0x08, status]);
            [frame(SETTINGS, 0, 0, &[]), frame(HEADERS, END_HEADERS, 1, &[0x88]), message].concat()
        };
        assert_eq!((is_serving(&answer(1)), is_serving(&answer(2))), (Some(true), Some(false)));
        let serving = answer(1);
        assert!((0..serving.len()).all(|cut| is_serving(&serving[..cut]).is_none()));
        let unknown = frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0x88]);
        assert_eq!(is_serving(&unknown), Some(false), "only trailers: an error");
        assert_eq!(
            is_serving(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
            None,
            "a length that never comes: the timeout decides"
        );
    }

    #[test]
    fn a_question_is_four_parts() {
        let bytes = check("shop", "10.244.1.2:9555".parse().expect("an address"));
        assert!(bytes.starts_with(PREFACE));
        assert!(bytes.ends_with(&[0, 0, 0, 0, 6, 0x0a, 4, b's', b'h', b'o', b'p']));
    }
}

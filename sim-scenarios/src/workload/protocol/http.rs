//! HTTP/1.1 (RFC 9112).

use super::Protocol;

/// A GET, answered with the signature as its body.
pub(super) const HTTP: Protocol = Protocol { name: "http", greets: false, request, answer };

fn request(host: &str) -> Vec<u8> {
    format!("GET / HTTP/1.1\r\nHost: {host}\r\nUser-Agent: everyhop\r\nAccept: */*\r\nConnection: close\r\n\r\n")
        .into_bytes()
}

fn answer(signature: &str, _: &[u8]) -> Vec<u8> {
    let body = format!("{signature}\n");
    let length = body.len();
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    [head, body].concat().into_bytes()
}

//! PostgreSQL (its manual, "Message Formats").

use super::Protocol;

/// A start-up, which is let in; the signature is a parameter of the server.
pub(super) const POSTGRES: Protocol = Protocol { name: "postgres", greets: false, request, answer };

fn request(host: &str) -> Vec<u8> {
    let parameters = [b"user\0everyhop\0application_name\0", host.as_bytes(), b"\0\0"].concat();
    // StartupMessage, version 3.0: the only message without a type.
    [&(8 + parameters.len() as u32).to_be_bytes()[..], &[0, 3, 0, 0], &parameters].concat()
}

fn answer(signature: &str, _: &[u8]) -> Vec<u8> {
    let parameter = [b"server_version\0", signature.as_bytes(), b"\0"].concat();
    [message(b'R', &[0; 4]), message(b'S', &parameter), message(b'Z', b"I")].concat()
}

/// A message of type `kind`: AuthenticationOk, ParameterStatus, ReadyForQuery.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind][..], &(4 + body.len() as u32).to_be_bytes(), body].concat()
}

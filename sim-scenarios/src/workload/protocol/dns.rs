//! DNS (RFC 1035): the address of a name is asked for, and a text comes with it.

use super::Protocol;

/// In a datagram.
pub(super) const OVER_UDP: Protocol = Protocol { name: "dns", greets: false, request: query, answer: response };
/// In a stream, each message after its length (section 4.2.2).
pub(super) const OVER_TCP: Protocol = Protocol {
    name: "dns",
    greets: false,
    request: |host| sized(&query(host)),
    answer: |signature, request| sized(&response(signature, request.get(2..).unwrap_or_default())),
};

const HEADER_LEN: usize = 12;
/// Type TXT, class IN.
const TXT_IN: [u8; 4] = [0, 16, 0, 1];

/// Asks for the text of `host`.
fn query(host: &str) -> Vec<u8> {
    let labels = host.split('.').filter(|label| !label.is_empty() && label.len() < 64);
    let name: Vec<u8> = labels.flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat()).collect();
    // Id 1, recursion desired, one question.
    [&[0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], &name, &[0], &TXT_IN].concat()
}

/// The signature as the answer to the question of `request`; without a question only the header, with "format error".
fn response(signature: &str, request: &[u8]) -> Vec<u8> {
    let id = request.get(..2).unwrap_or(&[0, 0]);
    let Some(question) = question(request) else {
        return [id, &[0x81, 0x81, 0, 0, 0, 0, 0, 0, 0, 0]].concat();
    };
    let text = signature.as_bytes();
    let length = text.len() as u8;
    // Response, recursion available; one question, one answer. The answer's name is the question's, its life 30 s.
    [
        id,
        &[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0],
        question,
        &[0xc0, HEADER_LEN as u8],
        &TXT_IN,
        &30_u32.to_be_bytes(),
        &[0, length + 1, length],
        text,
    ]
    .concat()
}

/// The one question of a query: name, type, class.
fn question(request: &[u8]) -> Option<&[u8]> {
    let rest = request.get(HEADER_LEN..)?;
    let mut end = 0;
    while *rest.get(end)? != 0 {
        end += 1 + usize::from(rest[end]);
    }
    rest.get(..end + 5)
}

fn sized(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes()[..], message].concat()
}

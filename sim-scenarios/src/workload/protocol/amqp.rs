//! AMQP 0-9-1 (its specification, sections 4.2.2, 4.2.3 and the method connection.start).

use super::Protocol;

/// The protocol header, answered with connection.start; the signature is the server's product.
pub(super) const AMQP: Protocol =
    Protocol { name: "amqp", greets: false, request: |_| b"AMQP\x00\x00\x09\x01".to_vec(), answer };

fn answer(signature: &str, _: &[u8]) -> Vec<u8> {
    let properties = [&b"\x07productS"[..], &long(signature.as_bytes())].concat();
    // Class connection, method start, version 0-9; then properties, mechanisms, locales.
    let method = [&[0, 10, 0, 10, 0, 9][..], &long(&properties), &long(b"PLAIN"), &long(b"en_US")].concat();
    // A method frame of channel 0, and the end of a frame.
    [&[1, 0, 0][..], &long(&method), &[0xce]].concat()
}

/// Four bytes of length, then the data.
fn long(data: &[u8]) -> Vec<u8> {
    [&(data.len() as u32).to_be_bytes()[..], data].concat()
}

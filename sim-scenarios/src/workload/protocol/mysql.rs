//! MySQL (its "Client/Server Protocol", `Protocol::HandshakeV10`).

use super::{Protocol, nothing};

/// The greeting of a server whose version is the signature.
pub(super) const MYSQL: Protocol = Protocol { name: "mysql", greets: true, request: nothing, answer };

fn answer(signature: &str, _: &[u8]) -> Vec<u8> {
    let version = format!("8.4.0 {signature}");
    let greeting = [
        &[10][..], // protocol version
        version.as_bytes(),
        &[0],
        &1_u32.to_le_bytes(), // connection id
        b"everyhop",
        &[0],                      // eight bytes of the scramble, filler
        &0x8200_u16.to_le_bytes(), // capabilities: PROTOCOL_41 and SECURE_CONNECTION
        &[255],                    // utf8mb4
        &2_u16.to_le_bytes(),      // status: autocommit
        &[0; 2],                   // upper half of the capabilities
        &[21],
        &[0; 10], // length of the whole scramble, reserved
        b"everyhophop!",
        &[0], // the rest of the scramble
    ]
    .concat();
    let length = (greeting.len() as u32).to_le_bytes();
    [&length[..3], &[0], &greeting].concat()
}

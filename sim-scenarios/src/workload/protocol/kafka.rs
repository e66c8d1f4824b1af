//! Kafka (its "Protocol Guide"): the Metadata request, version 0.

use super::Protocol;

/// Asks which brokers there are: one, whose host is the signature.
pub(super) const KAFKA: Protocol = Protocol { name: "kafka", greets: false, request, answer };

fn request(host: &str) -> Vec<u8> {
    // API key 3, version 0, correlation id 1; client id; no topics.
    sized(&[&[0, 3, 0, 0, 0, 0, 0, 1][..], &string(host), &[0; 4]].concat())
}

fn answer(signature: &str, _: &[u8]) -> Vec<u8> {
    // Correlation id 1; one broker: id 0, host, port 9092; no topics.
    sized(&[&[0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0][..], &string(signature), &9092_u32.to_be_bytes(), &[0; 4]].concat())
}

fn sized(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u32).to_be_bytes()[..], message].concat()
}

fn string(text: &str) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes()[..], text.as_bytes()].concat()
}

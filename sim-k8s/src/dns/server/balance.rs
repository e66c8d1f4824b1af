//! The loadbalance plugin: addresses come in another order each time (plugin/loadbalance/loadbalance.go).

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Record, RecordType};
use sim_core::engine::rng::Stream;

/// Shuffles the addresses of each section of a good answer: aliases first, then the rest, then addresses, then mail servers.
pub(super) fn shuffle(answer: &mut Message, draws: &mut Stream) {
    if answer.response_code == ResponseCode::NoError {
        for section in [&mut answer.answers, &mut answer.authorities, &mut answer.additionals] {
            section.sort_by_key(place);
            for place_of in [ADDRESS, MAIL] {
                let begin = section.partition_point(|record| place(record) < place_of);
                let end = section.partition_point(|record| place(record) <= place_of);
                shuffle_all(&mut section[begin..end], draws);
            }
        }
    }
}

const ADDRESS: u8 = 2;
const MAIL: u8 = 3;

fn place(record: &Record) -> u8 {
    match record.record_type() {
        RecordType::CNAME => 0,
        RecordType::A | RecordType::AAAA => ADDRESS,
        RecordType::MX => MAIL,
        _ => 1,
    }
}

fn shuffle_all(records: &mut [Record], draws: &mut Stream) {
    for at in 0..records.len().saturating_sub(1) {
        let other = at + draws.below((records.len() - at) as u32) as usize;
        records.swap(at, other);
    }
}

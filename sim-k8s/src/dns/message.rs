//! Messages as miekg/dns, CoreDNS' library, reads, bounds and writes them. The format itself is hickory-proto's.

use hickory_proto::op::{Edns, Message, Metadata, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::opt::EdnsCode;
use hickory_proto::rr::{Name, Record, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder, BinEncodable, BinEncoder, NameEncoding};

/// Octets of a message's header (RFC 1035, section 4.1.1).
pub(super) const HEADER_LEN: usize = 12;
/// The longest datagram without EDNS (RFC 1035, section 4.2.1), and the shortest EDNS may ask for (RFC 6891, section 6.2.3).
const MIN_PAYLOAD: usize = 512;
/// An answer longer than this is compressed even where it fits, lest it be fragmented (`Scrub`, request/request.go: IPv4, IPv6).
const UNFRAGMENTED: [usize; 2] = [1480, 1220];

/// What a message travels in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Transport {
    /// One message in a datagram.
    Udp,
    /// Messages in a stream, each after its length in two octets (RFC 1035, section 4.2.2).
    Tcp,
}

/// What a server makes of the bytes it received.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Received {
    /// A query with one question.
    Query(Box<Message>),
    /// Something to be refused with this answer.
    Refused(Vec<u8>),
    /// Nothing to answer: an answer itself, or too short to be anything.
    Dropped,
}

const QR: u16 = 1 << 15;
/// TC, RD, RA, AD and CD: what the header of an error keeps of the query's.
const KEPT: u16 = 1 << 9 | 1 << 8 | 1 << 7 | 1 << 5 | 1 << 4;
const OPCODE_QUERY: u16 = 0;
const OPCODE_NOTIFY: u16 = 4;

/// Reads what came in (`defaultMsgAcceptFunc` in acceptfunc.go and `serveDNS` in server.go of miekg/dns).
pub(super) fn receive(bytes: &[u8]) -> Received {
    let Some(header) = bytes.first_chunk::<HEADER_LEN>() else { return Received::Dropped };
    let word = |at: usize| u16::from_be_bytes([header[2 * at], header[2 * at + 1]]);
    let (id, bits) = (word(0), word(1));
    let opcode = bits >> 11 & 15;
    if bits & QR != 0 {
        return Received::Dropped;
    }
    if opcode != OPCODE_QUERY && opcode != OPCODE_NOTIFY {
        return Received::Refused(error(id, bits & KEPT | opcode << 11, ResponseCode::NotImp, None));
    }
    let (questions, answers, authorities, additionals) = (word(2), word(3), word(4), word(5));
    let well_formed = questions == 1 && answers <= 1 && authorities <= 1 && additionals <= 2;
    match Message::from_vec(bytes) {
        Ok(query) if well_formed => Received::Query(Box::new(query)),
        _ => {
            let question = || Query::read(&mut BinDecoder::new(bytes).clone(HEADER_LEN as u16)).ok();
            let question = if well_formed { question() } else { None };
            Received::Refused(error(id, bits & KEPT, ResponseCode::FormErr, question))
        }
    }
}

/// An answer without records, to a query that could not be read whole.
fn error(id: u16, bits: u16, code: ResponseCode, question: Option<Query>) -> Vec<u8> {
    let question = question.and_then(|question| question.to_bytes().ok());
    let words = [id, QR | bits | u16::from(code.low()), u16::from(question.is_some()), 0, 0, 0];
    let header: Vec<u8> = words.into_iter().flat_map(u16::to_be_bytes).collect();
    [header, question.unwrap_or_default()].concat()
}

/// An empty answer to `query` (`SetReply`, defaults.go of miekg/dns).
pub(super) fn reply(query: &Message) -> Message {
    let mut reply = Message::response(query.id, query.op_code);
    reply.metadata = Metadata::response_from_request(&query.metadata);
    if query.op_code != OpCode::Query {
        reply.metadata.recursion_desired = false;
        reply.metadata.checking_disabled = false;
    }
    reply.queries = query.queries.clone();
    reply
}

/// An empty answer to `query` with this code.
pub(super) fn failure(query: &Message, code: ResponseCode) -> Message {
    let mut failure = reply(query);
    failure.metadata.response_code = code;
    failure
}

/// A query for one name, as whoever has no options sends it.
pub(super) fn query(id: u16, name: Name, record_type: RecordType) -> Message {
    let mut query = Message::new(id, hickory_proto::op::MessageType::Query, OpCode::Query);
    query.metadata.recursion_desired = true;
    query.add_query(Query::query(name, record_type));
    query
}

/// Answers EDNS with EDNS: the query's own OPT record, but for what only it can mean (`SizeAndDo`, request/request.go).
pub(super) fn echo_edns(query: &Message, reply: &mut Message) {
    reply.edns = query.edns.as_ref().map(|asked| {
        let mut edns = Edns::new();
        edns.set_max_payload(asked.max_payload());
        *edns.flags_mut() = (u16::from(*asked.flags()) & 0xff00).into();
        let echoed = [EdnsCode::NSID, EdnsCode::Expire, EdnsCode::Cookie, EdnsCode::Keepalive, EdnsCode::Padding];
        edns.options_mut().options = asked.options().options.clone();
        edns.options_mut().options.retain(|(code, _)| echoed.contains(code));
        edns
    });
}

/// How long an answer to `query` may be (`Size`, plugin/pkg/edns/edns.go).
pub(super) fn payload(query: &Message, transport: Transport) -> usize {
    match transport {
        Transport::Tcp => usize::from(u16::MAX),
        Transport::Udp => query.edns.as_ref().map_or(0, |edns| usize::from(edns.max_payload())).max(MIN_PAYLOAD),
    }
}

/// Leaves out the records that do not fit and says so by TC; whether names are to be compressed (`Truncate`, msg_truncate.go
/// of miekg/dns: as few bytes as needed, then as many records as fit).
pub(super) fn truncate(message: &mut Message, payload: usize) -> bool {
    if length(message, NameEncoding::Uncompressed).is_some_and(|length| length <= payload) {
        return false;
    }
    let edns = message.edns.as_ref().and_then(|edns| Record::from(edns).to_bytes().ok());
    let room = payload.saturating_sub(edns.map_or(0, |edns| edns.len()));
    let mut bytes = Vec::new();
    let mut encoder = BinEncoder::new(&mut bytes);
    let mut full = encoder.emit_vec(&[0; HEADER_LEN]).is_err() || encoder.emit_all(message.queries.iter()).is_err();
    for section in [&mut message.answers, &mut message.authorities, &mut message.additionals] {
        full |= encoder.len() >= room;
        let fits = |record: &&Record| record.emit(&mut encoder).is_ok() && encoder.len() <= room;
        let kept = if full { 0 } else { section.iter().take_while(fits).count() };
        if kept < section.len() {
            section.truncate(kept);
            message.metadata.truncation = true;
            full = true;
        }
    }
    true
}

/// The bytes of `message` if they all fit into one.
fn length(message: &Message, names: NameEncoding) -> Option<usize> {
    let mut bytes = Vec::new();
    let mut encoder = BinEncoder::new(&mut bytes);
    encoder.set_name_encoding(names);
    encoder.emit_vec(&[0; HEADER_LEN]).ok()?;
    encoder.emit_all(message.queries.iter()).ok()?;
    for section in [&message.answers, &message.authorities, &message.additionals] {
        encoder.emit_all(section.iter()).ok()?;
    }
    if let Some(edns) = &message.edns {
        Record::from(edns).emit(&mut encoder).ok()?;
    }
    Some(encoder.len())
}

/// The answer to `query` as it is sent: with EDNS if it asked for it, no longer than it may be, compressed only if it must
/// be (`ScrubWriter`, request/writer.go). An answer whose records cannot be written is a SERVFAIL.
pub(super) fn finish(query: &Message, mut answer: Message, transport: Transport, ipv6: bool) -> Vec<u8> {
    echo_edns(query, &mut answer);
    let truncated = truncate(&mut answer, payload(query, transport));
    let long = transport == Transport::Udp
        && length(&answer, NameEncoding::Uncompressed).is_some_and(|length| length > UNFRAGMENTED[usize::from(ipv6)]);
    let names = if truncated || long { NameEncoding::Compressed } else { NameEncoding::Uncompressed };
    encode(&answer, names).unwrap_or_else(|| {
        let Metadata { id, recursion_desired, .. } = query.metadata;
        error(id, u16::from(recursion_desired) << 8, ResponseCode::ServFail, None)
    })
}

/// `message` in bytes.
pub(super) fn encode(message: &Message, names: NameEncoding) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut encoder = BinEncoder::new(&mut bytes);
    encoder.set_name_encoding(names);
    message.emit(&mut encoder).ok()?;
    Some(bytes)
}

/// A message of a stream: after its length.
pub fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes()[..], message].concat()
}

/// Takes the first message of a stream off `stream`, once it is there whole.
pub fn take_framed(stream: &mut Vec<u8>) -> Option<Vec<u8>> {
    let length = usize::from(u16::from_be_bytes(*stream.first_chunk()?));
    if stream.len() < 2 + length {
        return None;
    }
    let rest = stream.split_off(2 + length);
    Some(std::mem::replace(stream, rest).split_off(2))
}

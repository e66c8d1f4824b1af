//! Messages as `dig` prints them.

use std::fmt::Write as _;

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::{RData, Record};

/// The message in `bytes` as `dig` prints it, without what `dig` says of itself; `None` if it is none.
pub fn dig(bytes: &[u8]) -> Option<String> {
    Message::from_vec(bytes).ok().map(|message| shown(&message))
}

/// What a name server answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    /// The name that was asked for.
    pub name: String,
    /// Of which type: `A`.
    pub kind: String,
    /// The status as `dig` prints it: `NOERROR`, `NXDOMAIN`.
    pub status: String,
}

/// The name that the message in `bytes` asks for, or answers about; `None` if it is no message.
pub fn question(bytes: &[u8]) -> Option<String> {
    Message::from_vec(bytes).ok()?.queries.first().map(|query| query.name().to_ascii())
}

/// What the message in `bytes` answers; `None` if it is no answer.
pub fn reply(bytes: &[u8]) -> Option<Reply> {
    let message = Message::from_vec(bytes).ok().filter(|message| message.message_type == MessageType::Response)?;
    let question = message.queries.first()?;
    let (name, kind) = (question.name().to_ascii(), question.query_type().to_string());
    Some(Reply { name, kind, status: status(message.response_code).to_string() })
}

fn shown(message: &Message) -> String {
    let mut text = String::new();
    let (opcode, status) = (opcode(message.op_code), status(message.response_code));
    let additional = message.additionals.len() + usize::from(message.edns.is_some());
    // Writing to a String does not fail.
    let _ = writeln!(text, ";; ->>HEADER<<- opcode: {opcode}, status: {status}, id: {}", message.id);
    let _ = writeln!(
        text,
        ";; flags:{}; QUERY: {}, ANSWER: {}, AUTHORITY: {}, ADDITIONAL: {additional}\n",
        flags(message),
        message.queries.len(),
        message.answers.len(),
        message.authorities.len(),
    );
    if let Some(edns) = &message.edns {
        let dnssec = if edns.flags().dnssec_ok { " do" } else { "" };
        let _ = writeln!(text, ";; OPT PSEUDOSECTION:");
        let _ = writeln!(text, "; EDNS: version: {}, flags:{dnssec}; udp: {}", edns.version(), edns.max_payload());
    }
    if !message.queries.is_empty() {
        let _ = writeln!(text, ";; QUESTION SECTION:");
        for question in &message.queries {
            let (name, class) = (question.name().to_ascii(), question.query_class());
            let _ = writeln!(text, ";{name}\t{class}\t{}", question.query_type());
        }
        text.push('\n');
    }
    let sections =
        [("ANSWER", &message.answers), ("AUTHORITY", &message.authorities), ("ADDITIONAL", &message.additionals)];
    for (name, records) in sections.into_iter().filter(|(_, records)| !records.is_empty()) {
        let _ = writeln!(text, ";; {name} SECTION:");
        records.iter().for_each(|record| text += &(line(record) + "\n"));
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text + "\n"
}

fn line(record: &Record) -> String {
    let (name, class, record_type) = (record.name.to_ascii(), record.dns_class, record.record_type());
    let data = match &record.data {
        RData::TXT(texts) => {
            let quoted = |text: &[u8]| format!("\"{}\"", text.escape_ascii());
            texts.txt_data.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(" ")
        }
        data => data.to_string(),
    };
    format!("{name}\t{}\t{class}\t{record_type}\t{data}", record.ttl)
}

fn flags(message: &Message) -> String {
    let flags = [
        ("qr", message.message_type == MessageType::Response),
        ("aa", message.authoritative),
        ("tc", message.truncation),
        ("rd", message.recursion_desired),
        ("ra", message.recursion_available),
        ("ad", message.authentic_data),
        ("cd", message.checking_disabled),
    ];
    flags.into_iter().filter(|(_, set)| *set).map(|(name, _)| format!(" {name}")).collect()
}

fn opcode(opcode: OpCode) -> String {
    format!("{opcode:?}").to_ascii_uppercase()
}

/// The codes by the names BIND has for them.
fn status(code: ResponseCode) -> String {
    match code {
        ResponseCode::NoError => "NOERROR".to_owned(),
        ResponseCode::NXDomain => "NXDOMAIN".to_owned(),
        code => format!("{code:?}").to_ascii_uppercase(),
    }
}

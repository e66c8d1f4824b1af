//! Protocols of lines of text in which the server speaks first.

use super::{Protocol, nothing};

const fn greeting(name: &'static str, answer: fn(&str, &[u8]) -> Vec<u8>) -> Protocol {
    Protocol { name, greets: true, request: nothing, answer }
}

/// FTP (RFC 959, section 5.4).
pub(super) const FTP: Protocol = greeting("ftp", |signature, _| format!("220 {signature} ready\r\n").into_bytes());
/// SMTP (RFC 5321, section 4.3.1).
pub(super) const SMTP: Protocol = greeting("smtp", |signature, _| format!("220 everyhop {signature}\r\n").into_bytes());
/// POP3 (RFC 1939, section 4).
pub(super) const POP: Protocol = greeting("pop", |signature, _| format!("+OK {signature} ready\r\n").into_bytes());
/// IMAP (RFC 9051, section 7.1).
pub(super) const IMAP: Protocol = greeting("imap", |signature, _| format!("* OK {signature} ready\r\n").into_bytes());
/// SSH, the exchange of versions (RFC 4253, section 4.2).
pub(super) const SSH: Protocol =
    greeting("ssh", |signature, _| format!("SSH-2.0-everyhop {signature}\r\n").into_bytes());

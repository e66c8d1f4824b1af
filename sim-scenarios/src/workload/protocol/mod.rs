//! What is spoken on a port: payloads that are valid for whatever Wireshark takes the port for.
//!
//! One protocol is one file and one line of `TABLE`. An answer bears the [`signature`] of the pod that gave it, so that
//! the caller knows which endpoint of a Service it reached. Ports nobody knows speak plain `text`; ports on which
//! Wireshark expects something binary that has no file here exchange empty messages (`silent`).
//!
//! The port numbers are those of Wireshark's decode tables (`tshark -G decodes`), and a test runs all of them by tshark.

mod amqp;
mod cql;
mod dns;
mod elasticsearch;
mod grpc;
mod http;
mod kafka;
mod line;
mod memcached;
mod mqtt;
mod mysql;
mod postgres;
mod redis;
pub mod signature;
mod silent;
mod text;
mod tls;

use sim_k8s::api::Protocol as Transport;

/// One exchange: who speaks first, what is asked, what is answered.
#[derive(Clone, Copy, Debug)]
pub struct Protocol {
    /// Its usual name.
    pub name: &'static str,
    /// The server speaks as soon as the connection stands, and is asked nothing.
    pub greets: bool,
    /// The request to the server called by this DNS name.
    pub request: fn(&str) -> Vec<u8>,
    /// The answer that bears this signature, to this request.
    pub answer: fn(&str, &[u8]) -> Vec<u8>,
}

/// Asks nothing: the request of protocols whose server speaks first.
fn nothing(_: &str) -> Vec<u8> {
    Vec::new()
}

/// Which protocol is spoken where.
#[rustfmt::skip]
const TABLE: &[(Transport, &[u16], Protocol)] = &[
    (Transport::Tcp, &[80, 631, 1900, 2710, 2869, 3128, 3132, 3689, 5985, 8080, 8088, 11371], http::HTTP),
    (Transport::Tcp, &[324, 443, 465, 636, 802, 853, 993, 995, 1300, 2221, 2443, 3249, 3250, 3251, 3252, 3496, 5061, 5671,
                       5684, 5868, 8883, 11207, 19999, 27017], tls::TLS),
    (Transport::Tcp, &[21], line::FTP),
    (Transport::Tcp, &[22, 29418], line::SSH),
    (Transport::Tcp, &[25, 587], line::SMTP),
    (Transport::Tcp, &[53], dns::OVER_TCP),
    (Transport::Udp, &[53, 5353, 5355], dns::OVER_UDP),
    (Transport::Tcp, &[110], line::POP),
    (Transport::Tcp, &[143], line::IMAP),
    (Transport::Tcp, &[1883], mqtt::MQTT),
    (Transport::Tcp, &[3306], mysql::MYSQL),
    (Transport::Tcp, &[5432], postgres::POSTGRES),
    (Transport::Tcp, &[5672], amqp::AMQP),
    (Transport::Tcp, &[6379], redis::REDIS),
    (Transport::Tcp, &[9042], cql::CQL),
    (Transport::Tcp, &[9092], kafka::KAFKA),
    (Transport::Tcp, &[9300], elasticsearch::ELASTICSEARCH),
    (Transport::Tcp, &[11211], memcached::MEMCACHED),
    (Transport::Tcp, silent::TCP_PORTS, silent::SILENT),
    (Transport::Udp, silent::UDP_PORTS, silent::SILENT),
    (Transport::Sctp, silent::SCTP_PORTS, silent::SILENT),
];

/// What is spoken where a packet may bear any of `ports`: the port of the pod first, then those that lead to it. The first
/// that is known decides.
pub fn spoken(transport: Transport, ports: impl IntoIterator<Item = u16>) -> &'static Protocol {
    let known = |port: u16| TABLE.iter().find(|(t, numbers, _)| *t == transport && numbers.contains(&port));
    ports.into_iter().find_map(known).map_or(&text::TEXT, |(_, _, protocol)| protocol)
}

/// What a request shows itself to be, on whatever port: health checks are HTTP, gRPC or TLS anywhere.
pub fn shown(request: &[u8]) -> Option<&'static Protocol> {
    let first_line = request.split(|byte| *byte == b'\r').next().unwrap_or_default();
    match first_line {
        // A record's type, and the major version of every TLS (RFC 8446, section 5.1).
        [20..=23, 3, ..] => Some(&tls::TLS),
        _ if request.starts_with(grpc::PREFACE) => Some(&grpc::GRPC),
        line if line.ends_with(b" HTTP/1.1") || line.ends_with(b" HTTP/1.0") => Some(&http::HTTP),
        _ => None,
    }
}

#[cfg(test)]
mod tests;

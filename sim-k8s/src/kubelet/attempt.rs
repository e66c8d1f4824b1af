//! One try of a probe or hook, by real packets from the node's netns (pkg/probe/{http,tcp,grpc}).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use sim_core::engine::arena::{NetnsId, SocketId};
use sim_core::engine::errno::Errno;
use sim_core::netns::socket::tcp::SocketOptions;
use sim_core::world::World;

use crate::api::{Handler, HttpGet};

use super::grpc;

/// What is read of an answer (pkg/probe/http/http.go, `maxRespBodyLength`).
const ANSWER_MAX: usize = 10 << 10;
/// What the kubelet calls itself to HTTP servers.
const USER_AGENT: &str = "kube-probe/1.34";

/// A connection on which one question is asked.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    pub(super) socket: SocketId,
    asks: Question,
    /// What is still to be sent, once the connection stands.
    question: Vec<u8>,
    heard: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Question {
    Nothing,
    Http,
    Https,
    Grpc,
}

/// The address and port that `handler` goes to for a pod with this address; `None` if it needs no network.
pub(super) fn target(handler: &Handler, pod: IpAddr) -> Option<SocketAddr> {
    match handler {
        Handler::HttpGet(get) => Some(SocketAddr::new(get.host.unwrap_or(pod), get.port)),
        Handler::TcpSocket { host, port } => Some(SocketAddr::new(host.unwrap_or(pod), *port)),
        Handler::Grpc { port, .. } => Some(SocketAddr::new(pod, *port)),
        Handler::Exec(_) | Handler::Sleep(_) => None,
    }
}

impl Attempt {
    /// Begins to connect.
    ///
    /// # Errors
    /// What the route says: the try has failed.
    pub(super) fn begin(world: &mut World, netns: NetnsId, handler: &Handler, to: SocketAddr) -> Result<Self, Errno> {
        let (asks, question) = match handler {
            Handler::HttpGet(get) if get.https => (Question::Https, sealed(&http_request(get, to))),
            Handler::HttpGet(get) => (Question::Http, http_request(get, to)),
            Handler::Grpc { service, .. } => (Question::Grpc, grpc::check(service, to)),
            _ => (Question::Nothing, Vec::new()),
        };
        let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = world.tcp_connect(netns, SocketAddr::new(any, 0), to, SocketOptions::default())?;
        Ok(Self { socket, asks, question, heard: Vec::new() })
    }

    /// Something happened to the connection: whether the try succeeded, if that is known now.
    pub(super) fn woken(&mut self, world: &mut World, netns: NetnsId) -> Option<bool> {
        if world.tcp_take_error(netns, self.socket).is_some() {
            return Some(false);
        }
        if !world.tcp_readiness(netns, self.socket).writable && self.heard.is_empty() {
            return None;
        }
        if self.asks == Question::Nothing {
            return Some(true);
        }
        while !self.question.is_empty() {
            match world.tcp_send(netns, self.socket, &self.question) {
                Ok(taken) => drop(self.question.drain(..taken)),
                Err(Errno::EAGAIN) => return None,
                Err(_) => return Some(false),
            }
        }
        loop {
            match world.tcp_recv(netns, self.socket, ANSWER_MAX) {
                Ok(data) if data.is_empty() => return Some(self.judge(true).unwrap_or(false)),
                Ok(data) => self.heard.extend(data),
                Err(Errno::EAGAIN) => return self.judge(self.heard.len() >= ANSWER_MAX),
                Err(_) => return Some(false),
            }
        }
    }

    /// Whether the answer is a good one; `None` if more is to come. `complete`: there will be no more.
    fn judge(&self, complete: bool) -> Option<bool> {
        match self.asks {
            Question::Nothing => Some(true),
            Question::Http => http_answer(&self.heard, complete),
            // Nobody looks into it here: that a TLS server answers is enough.
            Question::Https => self.heard.first_chunk().map(|[kind, major]| (20..=23).contains(kind) && *major == 3),
            Question::Grpc => grpc::is_serving(&self.heard),
        }
    }
}

/// In the order of Go's `Request.Write`.
fn http_request(get: &HttpGet, to: SocketAddr) -> Vec<u8> {
    let given =
        |name: &str| get.headers.iter().find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value);
    let host = given("Host").cloned().unwrap_or_else(|| to.to_string());
    let agent = given("User-Agent").map_or(USER_AGENT, String::as_str);
    let accept = given("Accept").map_or("*/*", String::as_str);
    let slash = if get.path.starts_with('/') { "" } else { "/" };
    let mut text =
        format!("GET {slash}{} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {agent}\r\nConnection: close\r\n", get.path);
    text += &format!("Accept: {accept}\r\n");
    for (name, value) in &get.headers {
        if !["Host", "User-Agent", "Accept"].iter().any(|said| name.eq_ignore_ascii_case(said)) {
            text += &format!("{name}: {value}\r\n");
        }
    }
    (text + "\r\n").into_bytes()
}

/// 200 to 399 is a success (`DoHTTPProbe`). A redirection is not followed.
fn http_answer(heard: &[u8], complete: bool) -> Option<bool> {
    let text = String::from_utf8_lossy(heard);
    let Some((head, _)) = text.split_once("\r\n\r\n") else { return complete.then_some(false) };
    let mut lines = head.lines();
    let code = lines.next().and_then(|line| line.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse::<u16>().ok());
    let length =
        lines.filter_map(|line| line.split_once(':')).find(|(name, _)| name.eq_ignore_ascii_case("Content-Length"));
    let length = length.and_then(|(_, value)| value.trim().parse::<usize>().ok());
    let whole = length.is_some_and(|length| heard.len() >= head.len() + 4 + length);
    (whole || complete).then(|| code.is_some_and(|code| (200..400).contains(&code)))
}

/// As a TLS record of application data, which nobody on the way can read (RFC 8446, section 5.1).
fn sealed(data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap_or(u16::MAX);
    [&[23, 3, 3][..], &length.to_be_bytes(), &data[..length.into()]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_names_the_pod_and_takes_the_headers_of_the_manifest() {
        let headers = vec![("Cookie".into(), "id=1".into()), ("host".into(), "shop".into())];
        let get = HttpGet { https: false, host: None, port: 8080, path: "/ok".into(), headers };
        let text = String::from_utf8(http_request(&get, "10.244.1.2:8080".parse().expect("an address"))).expect("text");
        let expected = "GET /ok HTTP/1.1\r\nHost: shop\r\nUser-Agent: kube-probe/1.34\r\nConnection: close\r\nAccept: */*\r\n\
                        Cookie: id=1\r\n\r\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn an_answer_is_good_from_200_to_399_once_it_is_whole() {
        let whole = |code: u16| format!("HTTP/1.1 {code} X\r\nContent-Length: 2\r\n\r\nok").into_bytes();
        let judged = [199, 200, 302, 399, 400, 503].map(|code| http_answer(&whole(code), false));
        assert_eq!(judged, [Some(false), Some(true), Some(true), Some(true), Some(false), Some(false)]);
        let cut = &whole(200)[..20];
        assert_eq!((http_answer(cut, false), http_answer(cut, true)), (None, Some(false)));
        assert_eq!(http_answer(b"HTTP/1.0 200 OK\r\n\r\nuntil the end", false), None);
        assert_eq!(http_answer(b"HTTP/1.0 200 OK\r\n\r\nuntil the end", true), Some(true));
        assert_eq!(http_answer(b"220 mail ready\r\n\r\n", true), Some(false));
    }
}

//! As much of HTTP as Go's server needs for a health check: requests without a body, one after the other.

use std::fmt::Write;

/// The longest head of a request (`DefaultMaxHeaderBytes`, 1 MiB, is far more than a health check needs).
const MAX_HEAD: usize = 8192;

/// An answer before it is bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Response {
    /// Status code: 200, 404 or 503.
    pub status: u16,
    /// Headers beside Content-Length, in Go's order: by name.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: String,
}

impl Response {
    /// A page that is not there (`http.NotFound`).
    pub fn not_found() -> Self {
        let headers = [("Content-Type", "text/plain; charset=utf-8"), ("X-Content-Type-Options", "nosniff")];
        let headers = headers.map(|(name, value)| (name, value.to_owned())).to_vec();
        Self { status: 404, headers, body: "404 page not found\n".into() }
    }

    /// JSON that no browser may take for something else.
    pub fn json(healthy: bool, body: String) -> Self {
        let headers = [("Content-Type", "application/json"), ("X-Content-Type-Options", "nosniff")];
        let headers = headers.map(|(name, value)| (name, value.to_owned())).to_vec();
        Self { status: if healthy { 200 } else { 503 }, headers, body }
    }

    /// Plain words.
    pub fn text(status: u16, body: &str) -> Self {
        let headers = vec![("Content-Type", "text/plain; charset=utf-8".to_owned())];
        Self { status, headers, body: body.to_owned() }
    }

    /// No Date: a run has no calendar.
    fn write(&self, version: &str, close: bool, out: &mut Vec<u8>) {
        let reason = match self.status {
            200 => "OK",
            404 => "Not Found",
            _ => "Service Unavailable",
        };
        let mut head = format!("{version} {} {reason}\r\n", self.status);
        for (name, value) in &self.headers {
            write!(head, "{name}: {value}\r\n").expect("a String takes all");
        }
        write!(head, "Content-Length: {}\r\n", self.body.len()).expect("a String takes all");
        if close && version == "HTTP/1.1" {
            head += "Connection: close\r\n";
        }
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

/// One connection: what has come of a request that is not whole yet.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Conversation {
    head: Vec<u8>,
}

/// What a connection is to do.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Answered {
    /// Bytes to send.
    pub bytes: Vec<u8>,
    /// And then to close.
    pub close: bool,
}

impl Conversation {
    /// More bytes of the client; each request that is whole is answered by what `answer` says of its path.
    pub fn hear(&mut self, bytes: &[u8], mut answer: impl FnMut(&str) -> Response) -> Answered {
        self.head.extend_from_slice(bytes);
        let mut out = Answered::default();
        while !out.close
            && let Some(end) = find(&self.head, b"\r\n\r\n")
        {
            let head: Vec<u8> = self.head.drain(..end + 4).collect();
            match Request::parse(&head) {
                Some(request) => {
                    let response = answer(request.path);
                    out.close = request.close;
                    response.write(request.version, out.close, &mut out.bytes);
                    if request.method != "HEAD" {
                        out.bytes.extend_from_slice(response.body.as_bytes());
                    }
                }
                None => out = bad_request(out),
            }
        }
        if self.head.len() > MAX_HEAD || self.is_no_request() {
            out = bad_request(out);
        }
        out
    }

    /// Go gives up at a first line that is whole and none of HTTP.
    fn is_no_request(&self) -> bool {
        find(&self.head, b"\n").is_some_and(|end| Request::line(&self.head[..end]).is_none())
    }
}

/// What Go's server says to what is no HTTP.
fn bad_request(mut said: Answered) -> Answered {
    let text = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n400 Bad Request";
    said.bytes.extend_from_slice(text.as_bytes());
    said.close = true;
    said
}

struct Request<'a> {
    method: &'a str,
    path: &'a str,
    version: &'static str,
    close: bool,
}

impl<'a> Request<'a> {
    fn parse(head: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(head).ok()?;
        let mut lines = text.split("\r\n");
        let (method, target, version) = Self::line(lines.next()?.as_bytes())?;
        let path = target.split('?').next().unwrap_or_default();
        let mut close = version == "HTTP/1.0";
        for line in lines.take_while(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':')?;
            match (name.to_ascii_lowercase().as_str(), value.trim().to_ascii_lowercase().as_str()) {
                ("connection", "close") => close = true,
                ("connection", "keep-alive") => close = false,
                // A body would have to be read over; a health check has none.
                ("content-length", "0") => {}
                ("content-length" | "transfer-encoding", _) => return None,
                _ => {}
            }
        }
        Some(Self { method, path, version, close })
    }

    /// Method, target and version of a request's first line.
    fn line(line: &[u8]) -> Option<(&str, &str, &'static str)> {
        let line = std::str::from_utf8(line).ok()?.trim_end_matches('\r');
        let words: Vec<&str> = line.split(' ').collect();
        let [method, target, version] = words[..] else { return None };
        let version = ["HTTP/1.1", "HTTP/1.0"].into_iter().find(|known| *known == version)?;
        let plain = !method.is_empty() && method.bytes().all(|b| b.is_ascii_uppercase());
        (plain && target.starts_with('/')).then_some((method, target, version))
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hear(conversation: &mut Conversation, text: &str) -> (String, bool) {
        let answered = conversation.hear(text.as_bytes(), |path| match path {
            "/healthz" => Response::json(true, "{}".into()),
            _ => Response::not_found(),
        });
        (String::from_utf8(answered.bytes).expect("text"), answered.close)
    }

    #[test]
    fn a_connection_stays_open_for_the_next_request() {
        let mut connection = Conversation::default();
        assert_eq!(hear(&mut connection, "GET /healthz HTTP/1.1\r\nHost: n1"), (String::new(), false));
        let ok = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Content-Type-Options: nosniff\r\n\
                  Content-Length: 2\r\n\r\n{}";
        assert_eq!(hear(&mut connection, "\r\n\r\n"), (ok.into(), false));
        let (answer, close) = hear(&mut connection, "GET /?x=1 HTTP/1.1\r\nConnection: close\r\n\r\n");
        assert!(
            answer.starts_with("HTTP/1.1 404 Not Found\r\n") && answer.ends_with("404 page not found\n"),
            "{answer}"
        );
        assert!(answer.contains("Connection: close\r\n") && close);
    }

    #[test]
    fn an_old_client_is_answered_once() {
        let (answer, close) = hear(&mut Conversation::default(), "HEAD /healthz HTTP/1.0\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.0 200 OK\r\n") && answer.ends_with("\r\n\r\n") && close, "{answer}");
    }

    #[test]
    fn what_is_no_http_is_refused_and_never_kept_for_long() {
        for junk in ["hello\n", "\u{16}\u{3}\u{1}\n", "GET /healthz\r\n", "GET x HTTP/1.1\r\n\r\n", &"x".repeat(9000)] {
            let (answer, close) = hear(&mut Conversation::default(), junk);
            assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n") && close, "{junk:?}: {answer}");
        }
    }
}

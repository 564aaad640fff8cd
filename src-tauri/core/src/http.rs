//! The one way to a server outside: bounded questions to an address that somebody configured. What it refuses to do: follow
//! redirects, speak in clear text to anything but this machine, wait without an end, or read an answer without one.

mod distrust;
mod feed;

pub use distrust::Distrust;
pub use feed::{Event, Feed};

use crate::error::{Code, Error, Result, plain};
use std::time::Duration;

/// An answer longer than this is cut off and refused, unless the question says otherwise.
pub const ANSWER_BYTES: usize = 64 * 1024;

/// A server's base address and the connection to it.
#[derive(Clone, Debug)]
pub struct Server {
    base: reqwest::Url,
    client: reqwest::Client,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
    /// Names in lower case; values that are no text are left out.
    pub headers: std::collections::BTreeMap<String, String>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The time by the server's clock when it answered, in Unix milliseconds: its Date header (RFC 9110 §6.6.1) tells whole seconds,
    /// of which this is the middle.
    pub fn date(&self) -> Option<i64> {
        let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(self.header("date")?.trim()).ok()?;
        Some(date.as_millisecond() + 500)
    }
}

/// What somebody decided about a server before it is spoken to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// PEM of the only authority, or the only certificate, that https is believed under; None: the system's.
    pub ca: Option<String>,
    /// Whether http may leave this machine: what is said can be read on the way.
    pub clear_text: bool,
}

/// One question below the base address.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    pub method: &'static str,
    /// Without a leading slash.
    pub path: &'a str,
    pub headers: &'a [(&'a str, &'a str)],
    pub body: Vec<u8>,
    pub limit: Duration,
    /// Bytes of answer that are read.
    pub most: usize,
}

/// Why there is no answer. `sent`: the question may have arrived all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Silence {
    Unreachable(String),
    /// Somebody is there, and does not show that it is this server: nothing was said to it.
    Untrusted(Distrust),
    TimedOut,
    /// The answer broke off or was longer than allowed.
    Broken(String),
}

impl Server {
    /// # Errors
    /// `InvalidInput` for an address that is no https one (http only to this machine itself), or carries a password.
    pub fn at(address: &str) -> Result<Self> {
        Self::trusting(address, &Trust::default())
    }

    /// # Errors
    /// As [`at`](Self::at), and `InvalidInput` for a CA file without a certificate.
    pub fn trusting(address: &str, trust: &Trust) -> Result<Self> {
        let refused = |why: &str| {
            Error::new(Code::InvalidInput, format!("“{address}” is not an address to ask: {why}."))
                .hint("Use https://name/path; http:// only for this machine itself, as in http://127.0.0.1:8080.")
        };
        let base = reqwest::Url::parse(address).map_err(|e| refused(&in_words(&e.to_string())))?;
        let host = base.host_str().unwrap_or_default();
        let here = host == "localhost"
            || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        match base.scheme() {
            "https" => {}
            "http" if here || trust.clear_text => {}
            _ => return Err(refused("it is neither https nor this machine itself")),
        }
        if !base.username().is_empty() || base.password().is_some() {
            return Err(refused("it carries a name or password"));
        }
        if base.query().is_some() || base.fragment().is_some() {
            return Err(refused("it is more than a place"));
        }
        let mut builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(5))
            .user_agent(concat!("frostgate-forge/", env!("CARGO_PKG_VERSION")));
        if here {
            builder = builder.no_proxy();
        }
        if let Some(pem) = &trust.ca {
            let certificates = reqwest::Certificate::from_pem_bundle(pem.as_bytes()).unwrap_or_default();
            if certificates.is_empty() {
                return Err(Error::new(Code::InvalidInput, "The CA file holds no certificate that can be read.")
                    .hint("It must be PEM: it begins with -----BEGIN CERTIFICATE-----."));
            }
            builder = builder.tls_certs_only(certificates);
        }
        let client = builder.build().map_err(|e| Error::internal(format!("no HTTP client could be made: {e}")))?;
        Ok(Self { base, client })
    }

    pub fn address(&self) -> &str {
        self.base.as_str()
    }

    /// Posts JSON below the base address. `path` has no leading slash.
    pub async fn post(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
        limit: Duration,
    ) -> Result<Answer, Silence> {
        let mut all = vec![("content-type", "application/json")];
        all.extend_from_slice(headers);
        self.ask(Question { method: "POST", path, headers: &all, body, limit, most: ANSWER_BYTES }).await
    }

    pub async fn ask(&self, question: Question<'_>) -> Result<Answer, Silence> {
        let (limit, most) = (question.limit, question.most);
        let exchange = async { whole(self.send(question).await?, most).await };
        tokio::time::timeout(limit, exchange).await.unwrap_or(Err(Silence::TimedOut))
    }

    /// Opens a stream of events, or says what was answered instead. `limit` holds until its first bytes are here.
    pub async fn listen(&self, question: Question<'_>) -> Result<Result<Feed, Answer>, Silence> {
        let (limit, most) = (question.limit, question.most);
        let opening = async {
            let response = self.send(question).await?;
            let kind = response.headers().get("content-type").and_then(|v| v.to_str().ok()).unwrap_or_default();
            if response.status().as_u16() == 200 && kind.starts_with("text/event-stream") {
                return Feed::open(response, limit).await.map(Ok);
            }
            whole(response, most).await.map(Err)
        };
        tokio::time::timeout(limit, opening).await.unwrap_or(Err(Silence::TimedOut))
    }

    async fn send(&self, question: Question<'_>) -> Result<reqwest::Response, Silence> {
        let Question { method, path, headers, body, .. } = question;
        let url = format!("{}/{path}", self.base.as_str().trim_end_matches('/'));
        let method = method.parse().map_err(|_| Silence::Broken(format!("{method} is no method")))?;
        let mut request = self.client.request(method, url).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.map_err(|e| silence(&e))
    }
}

async fn whole(mut response: reqwest::Response, most: usize) -> Result<Answer, Silence> {
    let status = response.status().as_u16();
    let headers = response
        .headers()
        .iter()
        .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))
        .collect();
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|e| Silence::Broken(root(&e)))? {
        if body.len() + piece.len() > most {
            return Err(Silence::Broken(format!("it is longer than {most} bytes")));
        }
        body.extend_from_slice(&piece);
    }
    Ok(Answer { status, body, headers })
}

fn silence(e: &reqwest::Error) -> Silence {
    if let Some(why) = Distrust::of(e) {
        Silence::Untrusted(why)
    } else if e.is_timeout() {
        Silence::TimedOut
    } else if e.is_connect() {
        Silence::Unreachable(root(e))
    } else {
        Silence::Broken(root(e))
    }
}

/// The innermost cause: what the operating system or the TLS library said.
fn root(e: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = e;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    in_words(&plain(cause))
}

/// What the libraries say of the failures that a person can do something about, as a person would say it.
fn in_words(said: &str) -> String {
    const WORDS: [(&str, &str); 5] = [
        ("InvalidContentType", "it does not speak https (is the address an http one, or another service's?)"),
        ("invalid HTTP", "what answers there is no web server"),
        ("before message", "it hung up in the middle of an answer"),
        ("failed to lookup address", "nobody knows its name (is it spelled right, and is there a network?)"),
        ("relative URL without a base", "it does not begin with https://"),
    ];
    WORDS
        .iter()
        .find(|(theirs, _)| said.contains(theirs))
        .map_or_else(|| said.to_owned(), |(_, ours)| (*ours).to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_servers_date_is_read_and_nothing_is_made_of_what_is_none() {
        let date = |value: &str| {
            let headers = [("date".to_owned(), value.to_owned())].into();
            Answer { status: 200, body: Vec::new(), headers }.date()
        };
        assert_eq!(date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777_500));
        for bad in ["", "yesterday", "784111777", "Sun, 06 Nov 1994"] {
            assert_eq!(date(bad), None, "{bad}");
        }
        assert_eq!(Answer { status: 200, body: Vec::new(), headers: Default::default() }.date(), None);
    }

    #[test]
    fn clear_text_goes_nowhere_but_here() {
        for good in ["https://pay.example/api", "http://127.0.0.1:9/x", "http://localhost:8080", "http://[::1]:1/"] {
            assert!(Server::at(good).is_ok(), "{good}");
        }
        for bad in [
            "http://pay.example/",
            "http://192.168.0.1/",
            "http://localhost.evil.example/",
            "ftp://127.0.0.1/",
            "https://me:secret@pay.example/",
            "https://pay.example/?x=1",
            "pay.example",
            "",
        ] {
            assert_eq!(Server::at(bad).unwrap_err().code, Code::InvalidInput, "{bad}");
        }
    }

    #[tokio::test]
    async fn nobody_there_is_said_so() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let server = Server::at(&format!("http://127.0.0.1:{port}")).unwrap();
        let e = server.post("x", &[], Vec::new(), Duration::from_secs(5)).await.unwrap_err();
        assert_eq!(e, Silence::Unreachable("Connection refused".into()));
    }

    /// What stands at the other end says these bytes, once the question is there.
    async fn answered(scheme: &str, bytes: &'static [u8]) -> Silence {
        use std::io::{Read, Write};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("{scheme}://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(bytes);
        });
        let server = Server::at(&address).unwrap();
        server.post("x", &[], Vec::new(), Duration::from_secs(5)).await.unwrap_err()
    }

    #[tokio::test]
    async fn why_there_is_no_answer_is_said_in_words_of_ours() {
        for (scheme, bytes, says) in [
            ("http", &b""[..], "it hung up in the middle of an answer"),
            ("http", b"SSH-2.0-OpenSSH_9.2\r\n", "what answers there is no web server"),
            ("http", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab", "it hung up in the middle of an answer"),
            (
                "https",
                b"HTTP/1.1 400 Bad Request\r\n\r\n",
                "it does not speak https (is the address an http one, or another service's?)",
            ),
        ] {
            match answered(scheme, bytes).await {
                Silence::Unreachable(why) | Silence::Broken(why) => assert_eq!(why, says, "{scheme} {bytes:?}"),
                Silence::Untrusted(_) | Silence::TimedOut => panic!("{scheme} {bytes:?}"),
            }
        }
        assert!(Server::at("pay.example").unwrap_err().message.ends_with("it does not begin with https://."));
    }
}

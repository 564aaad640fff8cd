//! Who may come in. Three things stand between a web page somewhere and the labs here: the `Host` header must be ours (a
//! name that was re-bound to 127.0.0.1 is not), a foreign `Origin` is refused, and calls need a session: a cookie that
//! the one-time address was exchanged for, or the API token.

use super::Server;
use super::calls::{Correlation, refuse};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use forge_core::error::{Code, Error};
use forge_core::shell;
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub const COOKIE: &str = "forge_session";
pub const CORRELATION: HeaderName = HeaderName::from_static("x-correlation-id");

/// The policy of every page and answer: our own files only, nothing inline, nothing evaluated, no framing. The desktop
/// window has the same one (tauri.conf.json) plus its IPC addresses; a test compares them.
pub const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'";

/// Secrets are kept and compared as digests: comparing takes the same time whatever is guessed.
type Secret = [u8; 32];

fn digest(text: &str) -> Secret {
    Sha256::digest(text.as_bytes()).into()
}

/// 244 random bits, in hex.
fn fresh() -> String {
    format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple())
}

pub struct Door {
    address: SocketAddr,
    names: HashSet<String>,
    once: String,
    api: String,
    open: Mutex<Open>,
}

struct Open {
    /// The digest of the one-time token until it is used.
    once: Option<Secret>,
    sessions: HashSet<Secret>,
}

impl Door {
    pub fn new(address: SocketAddr, names: &[String]) -> Self {
        let once = fresh();
        let open = Mutex::new(Open { once: Some(digest(&once)), sessions: HashSet::new() });
        Self { address, names: names.iter().map(|n| n.to_ascii_lowercase()).collect(), once, api: fresh(), open }
    }

    /// The address that lets one browser in.
    pub fn url(&self) -> String {
        let mut shown = self.address;
        if shown.ip().is_unspecified() {
            shown.set_ip(if shown.is_ipv4() {
                IpAddr::from([127, 0, 0, 1])
            } else {
                IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1u16])
            });
        }
        format!("http://{shown}/?token={}", self.once)
    }

    /// For programs: `Authorization: Bearer <token>`, as long as the server runs.
    pub fn api_token(&self) -> &str {
        &self.api
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A session's cookie for the one-time token, which is spent by it, or for the API token.
    pub fn exchange(&self, token: &str) -> Option<String> {
        let given = digest(token);
        let mut open = self.open();
        if open.once == Some(given) {
            open.once = None;
        } else if given != digest(&self.api) {
            return None;
        }
        let session = fresh();
        open.sessions.insert(digest(&session));
        Some(format!("{COOKIE}={session}; Path=/; HttpOnly; SameSite=Strict"))
    }

    fn admits(&self, headers: &HeaderMap) -> bool {
        let bearer =
            headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()).and_then(|v| v.strip_prefix("Bearer "));
        if bearer.is_some_and(|b| digest(b.trim()) == digest(&self.api)) {
            return true;
        }
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(';'));
        let open = self.open();
        cookies
            .filter_map(|c| c.trim().split_once('='))
            .any(|(name, value)| name == COOKIE && open.sessions.contains(&digest(value)))
    }

    /// Addresses are safe whatever they are (a rebound name is a name); names must be ours.
    fn knows_host(&self, host: &str) -> bool {
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if !port.contains(']') => (name, port.parse::<u16>().ok()),
            _ => (host, Some(80)),
        };
        let name = name.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        let named = name.parse::<IpAddr>().is_ok() || name == "localhost";
        // Behind a name given by --host there may be a proxy with a port of its own.
        (named && port == Some(self.address.port())) || self.names.contains(&name)
    }
}

/// Every request: our host, no foreign origin, a correlation id; every answer: the headers that keep a page to itself.
pub async fn guard(State(server): State<Arc<Server>>, mut request: Request, next: Next) -> Response {
    let headers = request.headers();
    let text = |name: HeaderName| headers.get(name).and_then(|v| v.to_str().ok());
    let id =
        text(CORRELATION).filter(|c| shell::acceptable_correlation(c)).map_or_else(shell::correlation, str::to_owned);
    let host = text(header::HOST).unwrap_or_default();
    let foreign = headers.get(header::ORIGIN).is_some_and(|o| o.as_bytes() != format!("http://{host}").as_bytes());
    let cross_site = text(HeaderName::from_static("sec-fetch-site")).is_some_and(|s| s != "same-origin" && s != "none");
    // A link elsewhere may lead here; anything more from elsewhere may not.
    let navigation =
        request.method() == Method::GET && text(HeaderName::from_static("sec-fetch-mode")) == Some("navigate");
    let mut answer = if !server.door.knows_host(host) {
        let error = Error::new(Code::Denied, "This server does not go by that name.")
            .hint("Open the address that `forge serve` printed; give further names with --host.");
        refuse(StatusCode::FORBIDDEN, &error)
    } else if foreign || (cross_site && !navigation) {
        refuse(StatusCode::FORBIDDEN, &Error::new(Code::Denied, "Another site's page may not call this server."))
    } else {
        request.extensions_mut().insert(Correlation(id.clone()));
        next.run(request).await
    };
    let out = answer.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CSP),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (
            HeaderName::from_static("permissions-policy"),
            "camera=(), microphone=(), geolocation=(), clipboard-read=(self), clipboard-write=(self)",
        ),
    ] {
        out.insert(name, HeaderValue::from_static(value));
    }
    out.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if let Ok(id) = HeaderValue::from_str(&id) {
        out.insert(CORRELATION, id);
    }
    answer
}

/// Calls and streams: only with a session or the API token.
pub async fn let_in(State(server): State<Arc<Server>>, request: Request, next: Next) -> Response {
    if server.door.admits(request.headers()) {
        return next.run(request).await;
    }
    let error = Error::new(Code::Denied, "This browser has not been let in.")
        .hint("Open the one-time address that `forge serve` printed, or start it again for a new one.");
    (StatusCode::UNAUTHORIZED, axum::Json(error)).into_response()
}

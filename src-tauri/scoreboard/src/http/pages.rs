//! The public pages: plain files in the binary, under a policy that lets nothing else run.

use super::ask::Path;
use super::error::{Answer, no};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use forge_core::board::RefusalCode;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

macro_rules! files {
    ($( $name:literal, $kind:literal; )*) => {
        fn asset(name: &str) -> Option<(&'static str, &'static [u8])> {
            match name {
                $( $name => Some(($kind, include_bytes!(concat!("../../web/", $name)))), )*
                _ => None,
            }
        }
    };
}

files! {
    "board.css", "text/css; charset=utf-8";
    "board.js", "text/javascript; charset=utf-8";
    "common.js", "text/javascript; charset=utf-8";
    "verdict.js", "text/javascript; charset=utf-8";
    "verify.js", "text/javascript; charset=utf-8";
    "icon.svg", "image/svg+xml";
}

fn page(html: impl IntoResponse) -> Response {
    let head: [(HeaderName, &str); 5] = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-cache"),
        (header::VARY, "accept"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (head, html).into_response()
}

pub async fn index() -> Response {
    page(include_str!("../../web/index.html"))
}

/// `id` is 64 hex digits, and stands in the page: what is needed to verify by hand is there without JavaScript.
pub fn verdict(id: &str) -> Response {
    page(include_str!("../../web/verdict.html").replace("{id}", id))
}

pub fn no_verdict() -> Response {
    (StatusCode::NOT_FOUND, page(include_str!("../../web/missing.html"))).into_response()
}

pub async fn file(Path(name): Path<String>) -> Answer<Response> {
    let (kind, bytes) = asset(&name).ok_or_else(|| no(RefusalCode::NotFound, "There is no such file."))?;
    Ok(([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")], bytes).into_response())
}

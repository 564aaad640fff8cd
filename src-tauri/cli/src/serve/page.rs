//! The embedded UI, and the exchange of the one-time address for a session.

use super::Server;
use axum::extract::{Query, State};
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Redirect, Response};
use include_dir::{Dir, include_dir};
use std::sync::Arc;

static UI: Dir = include_dir!("$CARGO_MANIFEST_DIR/../../ui/dist");

#[derive(serde::Deserialize)]
pub struct Asked {
    token: Option<String>,
}

pub async fn page(State(server): State<Arc<Server>>, uri: Uri, Query(asked): Query<Asked>) -> Response {
    if let Some(token) = asked.token {
        return match server.door.exchange(&token) {
            // Out of the address bar and the history with it.
            Some(cookie) => ([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response(),
            None => plain(
                StatusCode::FORBIDDEN,
                "This address was used already, or belongs to an earlier server.\n\nIf it was not you, stop `forge serve`. Start it again for a new address.\n",
            ),
        };
    }
    let path = uri.path().trim_start_matches('/');
    match file(path) {
        Some(answer) => answer,
        // Views have addresses of their own; files have an extension.
        None if !path.contains('.') => file("index.html").unwrap_or_else(|| {
            plain(StatusCode::SERVICE_UNAVAILABLE, "This forge was built without its UI (ui/dist was empty).\n\nBuild it with `make build`, then start it again. The API works all the same.\n")
        }),
        None => plain(StatusCode::NOT_FOUND, "There is nothing at this address.\n"),
    }
}

fn file(path: &str) -> Option<Response> {
    let path = if path.is_empty() { "index.html" } else { path };
    let file = UI.get_file(path)?;
    let mut answer = ([(header::CONTENT_TYPE, kind(path))], file.contents()).into_response();
    if path.starts_with("assets/") {
        // Vite puts a digest in these names.
        answer
            .headers_mut()
            .insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    }
    Some(answer)
}

fn kind(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json" | "map") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("woff2") => "font/woff2",
        Some("woff") => "font/woff",
        Some("wasm") => "application/wasm",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response {
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}

//! Around every request: an id, one line in the log, the counters, and headers that hold for all answers.

use super::App;
use super::error::{Refused, no};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use forge_core::board::RefusalCode;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tracing::Instrument;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The slowest honest request is a bundle over a slow line.
const LONGEST: Duration = Duration::from_secs(30 * 60);

pub async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let given = request.headers().get(&REQUEST_ID).and_then(|v| v.to_str().ok()).filter(|id| is_id(id));
    let id = given.map_or_else(|| uuid::Uuid::now_v7().simple().to_string(), str::to_owned);
    let route = request.extensions().get::<MatchedPath>().map_or("none", |p| known(p.as_str()));
    let method = request.method().clone();
    let span = tracing::info_span!("request", correlation = %id);
    let answer = tokio::time::timeout(LONGEST, next.run(request).instrument(span.clone())).await;
    let mut response =
        answer.unwrap_or_else(|_| no(RefusalCode::Timeout, "The request took too long.").into_response());
    let took = began.elapsed();
    app.metrics.answered(route, response.status().as_u16(), took);
    span.in_scope(|| {
        let (status, ms) = (response.status().as_u16(), took.as_secs_f64() * 1000.0);
        match response.extensions().get::<Refused>() {
            Some(Refused(code)) => {
                app.metrics.refused(*code);
                tracing::warn!(%method, route, status, ms, code = code.as_str(), "refused");
            }
            None => tracing::debug!(%method, route, status, ms, "answered"),
        }
    });
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, value);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

fn is_id(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// The routes' patterns are ours and few; each is kept for ever once.
fn known(pattern: &str) -> &'static str {
    static KNOWN: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(same) = known.get(pattern) {
        return same;
    }
    let kept: &'static str = Box::leak(pattern.to_owned().into_boxed_str());
    known.insert(kept);
    kept
}

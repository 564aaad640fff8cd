//! Whether this process works, whether a submission could be accepted now, and what it has done.

use super::App;
use super::views::{Healthy, Readiness, ReadyPart};
use crate::store::{jobs, meta};
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use forge_core::keys::{Domain, KeyName};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(3);
/// Room for one bundle and the database's next pages.
const DISK: u64 = 512 << 20;

pub async fn healthz() -> Json<Healthy> {
    Json(Healthy { healthy: true })
}

pub async fn readyz(State(app): State<App>) -> Response {
    let wrote = tokio::time::timeout(PATIENCE, app.store.write(|tx| meta::set(tx, "probe", "written"))).await;
    let database = match wrote {
        Ok(Ok(())) => Ok(format!("{} answers and commits", app.store.target().kind())),
        Ok(Err(e)) => {
            tracing::warn!("the database cannot be written to: {e}");
            Err("it cannot be reached, or refuses to write; the log says which".to_owned())
        }
        Err(_) => Err("it does not answer within 3 s".to_owned()),
    };
    let folder = app
        .evidence
        .spool()
        .map(|_| "bundles can be written".to_owned())
        .map_err(|_| "bundles cannot be written".to_owned());
    let disk = match app.evidence.free() {
        Ok(free) if free >= DISK => Ok(format!("{} MiB free", free >> 20)),
        Ok(free) => Err(format!("only {} MiB free", free >> 20)),
        Err(_) => Err("it cannot be asked".to_owned()),
    };
    let keys = app
        .ring
        .own()
        .sign(KeyName::Board, Domain::Acceptance, b"ready?")
        .map(|_| {
            // The one in memory goes on; what is not ready is the next start.
            let astray = app.ring.is_astray();
            let but =
                "receipts can be signed, but the key's file was removed or replaced: put it back before the next start";
            if astray { but } else { "receipts can be signed" }.to_owned()
        })
        .map_err(|_| "receipts cannot be signed".to_owned());
    let count = app.labs.list().count();
    let labs = if count > 0 {
        Ok(format!("{count} known, {} broken", app.labs.broken().len()))
    } else {
        Err("none is known: nothing can be re-graded".to_owned())
    };
    let parts = [("database", database), ("folder", folder), ("disk", disk), ("keys", keys), ("labs", labs)];
    let ready = parts.iter().all(|(_, r)| r.is_ok());
    let told = |(part, r): (&str, Result<String, String>)| ReadyPart {
        part: part.to_owned(),
        ready: r.is_ok(),
        detail: r.unwrap_or_else(|why| why),
    };
    let parts = parts.into_iter().map(told).collect();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready, parts })).into_response()
}

pub async fn metrics(State(app): State<App>) -> Response {
    match tokio::time::timeout(PATIENCE, app.store.read(jobs::tallies)).await {
        Ok(Ok(tallies)) => app.metrics.reexecutions(&tallies),
        // The others are known all the same, and what the database lacks has figures of its own.
        Ok(Err(e)) => tracing::warn!("re-executions could not be counted: {e}"),
        Err(_) => tracing::warn!("re-executions could not be counted within {} s", PATIENCE.as_secs()),
    }
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], app.metrics.text(&app.store)).into_response()
}

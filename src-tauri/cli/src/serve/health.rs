//! `/healthz`: can this process do its work (its data folder answers); `/readyz`: can labs be started now, part by part.

use super::Server;
use axum::Json;
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use forge_core::api::{Caller, DoctorReport, Empty, Settings};
use forge_core::error::Result;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// Asking costs the machine something, and anybody may ask: one answer serves for this long.
const FRESH: Duration = Duration::from_secs(1);

#[derive(Default)]
pub struct Health(Mutex<Option<(Instant, StatusCode, serde_json::Value)>>);

fn caller(correlation: &super::calls::Correlation) -> Caller {
    Caller { correlation: correlation.0.clone(), instructor: false }
}

pub async fn healthz(
    State(server): State<Arc<Server>>,
    Extension(id): Extension<super::calls::Correlation>,
) -> Response {
    match settings(&server, &caller(&id)).await {
        Ok(_) => Json(serde_json::json!({"healthy": true})).into_response(),
        Err(e) => (StatusCode::SERVICE_UNAVAILABLE, Json(serde_json::json!({"healthy": false, "code": e.code})))
            .into_response(),
    }
}

/// Not while the keys are locked.
async fn settings(server: &Server, caller: &Caller) -> Result<Settings> {
    server.host.engine().await?.get_settings(caller, Empty {}).await
}

async fn doctor(server: &Server, caller: &Caller) -> Result<DoctorReport> {
    server.host.engine().await?.doctor(caller, Empty {}).await
}

pub async fn readyz(
    State(server): State<Arc<Server>>,
    Extension(id): Extension<super::calls::Correlation>,
) -> Response {
    let mut last = server.health.0.lock().await;
    if let Some((at, status, body)) = last.as_ref()
        && at.elapsed() < FRESH
    {
        return (*status, Json(body.clone())).into_response();
    }
    let (status, body) = match doctor(&server, &caller(&id)).await {
        Ok(report) => {
            let parts: Vec<_> =
                report.rows.iter().map(|r| serde_json::json!({"part": r.id, "state": r.state})).collect();
            let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            (status, serde_json::json!({"ready": report.ready, "parts": parts}))
        }
        Err(e) => (StatusCode::SERVICE_UNAVAILABLE, serde_json::json!({"ready": false, "code": e.code})),
    };
    *last = Some((Instant::now(), status, body.clone()));
    (status, Json(body)).into_response()
}

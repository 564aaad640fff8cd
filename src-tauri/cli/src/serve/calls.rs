//! Commands over HTTP: the whole contract by name, and the intake's own address.

use super::Server;
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use forge_core::api::{Caller, Empty, StartLab};
use forge_core::error::{Code, Error, Result};
use forge_core::shell;
use std::sync::Arc;

/// The request's correlation id, put there by the door.
#[derive(Clone)]
pub struct Correlation(pub String);

pub async fn call(
    State(server): State<Arc<Server>>,
    Extension(Correlation(correlation)): Extension<Correlation>,
    Path(command): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let caller = Caller { correlation, instructor: server.instructor };
    let work = async move {
        let args = json(&headers, body)?;
        // A task of its own: a browser that goes away must not leave a command half done.
        let host = server.host.clone();
        tokio::spawn(async move { shell::ask(host.as_ref(), &caller, &command, args).await })
            .await
            .map_err(Error::internal)?
    };
    match work.await {
        Ok(answer) => Json(answer).into_response(),
        Err(e) => refuse(status(e.code), &e),
    }
}

/// `POST /api/spawn` and `/v1/spawn`: a lab by its id, or the first lab of a track.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Spawn {
    lab: Option<String>,
    track: Option<String>,
    request_id: Option<String>,
    seed: Option<String>,
}

pub async fn spawn(
    State(server): State<Arc<Server>>,
    Extension(Correlation(correlation)): Extension<Correlation>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let caller = Caller { correlation, instructor: server.instructor };
    let work = async {
        let asked: Spawn = serde_json::from_value(json(&headers, body)?)?;
        let lab = match (asked.lab, asked.track) {
            (Some(lab), None) => lab,
            (None, Some(track)) => first_of(&server, &caller, &track).await?,
            _ => return Err(Error::new(Code::InvalidInput, "Name a lab or a track, not both.")),
        };
        let request = StartLab { lab, request_id: asked.request_id, seed: asked.seed };
        shell::ask(server.host.as_ref(), &caller, "start_lab", serde_json::to_value(request)?).await
    };
    match work.await {
        Ok(run) => (StatusCode::ACCEPTED, Json(run)).into_response(),
        Err(e) => refuse(status(e.code), &e),
    }
}

/// By id, so that the same request gets the same lab however ready the labs are.
async fn first_of(server: &Server, caller: &Caller, track: &str) -> Result<String> {
    let labs = server.host.engine().await?.list_labs(caller, Empty {}).await?;
    labs.into_iter()
        .filter(|lab| lab.track == track)
        .map(|lab| lab.id)
        .min()
        .ok_or_else(|| Error::new(Code::UnknownLab, format!("There is no lab in a track “{track}”.")))
}

pub async fn unknown() -> Response {
    refuse(StatusCode::NOT_FOUND, &Error::new(Code::NotFound, "There is nothing at this address."))
}

/// JSON sent as JSON: a form of another site cannot say so without asking first (CORS), and we never agree.
fn json(headers: &HeaderMap, body: Result<Bytes, BytesRejection>) -> Result<serde_json::Value> {
    let body = body.map_err(|e| match e.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Error::new(Code::TooLarge, "The request is larger than any command needs."),
        _ => Error::new(Code::InvalidInput, format!("The request did not arrive: {e}")),
    })?;
    if body.is_empty() {
        return Ok(serde_json::Value::Null);
    }
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if kind.split(';').next().map(str::trim) != Some("application/json") {
        return Err(Error::new(Code::InvalidInput, "The request must be application/json."));
    }
    Ok(serde_json::from_slice(&body)?)
}

pub fn refuse(status: StatusCode, error: &Error) -> Response {
    (status, Json(error)).into_response()
}

pub fn status(code: Code) -> StatusCode {
    match code {
        Code::InvalidInput => StatusCode::BAD_REQUEST,
        Code::Denied => StatusCode::FORBIDDEN,
        Code::PaymentFailed => StatusCode::PAYMENT_REQUIRED,
        Code::ScoreboardFailed => StatusCode::BAD_GATEWAY,
        Code::UnknownCommand | Code::UnknownLab | Code::UnknownRun | Code::UnknownNode | Code::NotFound => {
            StatusCode::NOT_FOUND
        }
        Code::RequestReused | Code::WrongState | Code::TokenSpent | Code::TokenInvalid | Code::Cancelled => {
            StatusCode::CONFLICT
        }
        Code::KeysLocked => StatusCode::LOCKED,
        Code::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::TemplateInvalid | Code::VerdictInvalid | Code::EvidenceInvalid | Code::SeedBound => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        Code::DockerUnavailable | Code::ImageMissing | Code::MachineLacks | Code::NoMemory => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        Code::Timeout => StatusCode::GATEWAY_TIMEOUT,
        Code::DiskFull => StatusCode::INSUFFICIENT_STORAGE,
        Code::DockerFailed
        | Code::ImageBuildFailed
        | Code::PortUnavailable
        | Code::KeyUnavailable
        | Code::StoreFailed
        | Code::Io
        | Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

//! Evidence in parts, which can be resumed: after its envelope, by its learner.

use super::App;
use super::ask::Path;
use super::body;
use super::error::{Answer, no};
use super::verdicts::{answered, find};
use super::who::Who;
use crate::intake;
use crate::store::verdicts::{self, Verdict};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use forge_core::board::{EVIDENCE_MAX, RefusalCode, SCORE_MAX};
use forge_core::error::Error;
use forge_core::verdict::{canonical, verify::digest_is};

const OFFSET: &str = "upload-offset";
const LENGTH: &str = "upload-length";

async fn own(app: &App, who: Who, text: &str) -> Answer<Verdict> {
    let person = who.person()?;
    let v = find(app, text).await?;
    if person.id != v.learner {
        let code = if person.class == v.class { RefusalCode::Forbidden } else { RefusalCode::OtherTenant };
        return Err(no(code, "Only the learner whose verdict it is can add to it."));
    }
    Ok(v)
}

pub async fn score(State(app): State<App>, who: Who, Path(text): Path<String>, body: Body) -> Answer<StatusCode> {
    let v = own(&app, who, &text).await?;
    let bytes = body::bytes(body, SCORE_MAX).await?;
    let statement = v.statement()?;
    digest_is(&statement, 0, "score.json", &canonical::sha256(&bytes))
        .map_err(|why| no(RefusalCode::DigestMismatch, why))?;
    if v.score_json.is_none() {
        app.store.write(move |tx| verdicts::set_score(tx, &v.id, &bytes)).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

pub async fn offset(State(app): State<App>, who: Who, Path(text): Path<String>) -> Answer<Response> {
    let v = own(&app, who, &text).await?;
    let offset = match v.evidence_bytes {
        Some(bytes) => u64::try_from(bytes).unwrap_or(0),
        None => app.evidence.offset(&v.id)?,
    };
    Ok((StatusCode::NO_CONTENT, [(OFFSET, offset.to_string())]).into_response())
}

pub async fn part(
    State(app): State<App>,
    who: Who,
    Path(text): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Answer<Response> {
    let v = own(&app, who, &text).await?;
    let number = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<u64>().ok());
    let (Some(offset), Some(length)) = (number(OFFSET), number(LENGTH)) else {
        return Err(no(RefusalCode::Malformed, "Upload-Offset and Upload-Length are needed, in bytes."));
    };
    if length > EVIDENCE_MAX || offset > length {
        return Err(body::too_large(EVIDENCE_MAX));
    }
    let Ok(_turn) = app.uploads.try_acquire() else {
        return Err(no(RefusalCode::Busy, "Too many bundles arrive at the moment."));
    };
    let path = app.evidence.part(&v.id);
    let mut file = tokio::fs::OpenOptions::new().create(true).append(true).open(&path).await.map_err(Error::from)?;
    // Two parts at the same time would be mixed.
    let held = file.try_clone().await.map_err(Error::from)?.into_std().await;
    held.try_lock().map_err(|_| no(RefusalCode::Busy, "Another part of this bundle arrives just now."))?;
    let have = file.metadata().await.map_err(Error::from)?.len();
    if have != offset {
        let mut refusal = no(RefusalCode::WrongOffset, format!("The upload stands at {have} bytes, not at {offset}."));
        refusal.0.details = serde_json::json!({"offset": have});
        return Err(refusal);
    }
    let came = body::to_file(body, &mut file, length - offset).await;
    file.sync_all().await.map_err(Error::from)?;
    let have = offset + came?;
    drop(held);
    if have < length {
        return Ok((StatusCode::NO_CONTENT, [(OFFSET, have.to_string())]).into_response());
    }
    Ok(answered(intake::complete(&app, &v.id).await?))
}

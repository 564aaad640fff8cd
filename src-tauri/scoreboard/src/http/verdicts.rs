//! Submitting verdicts and looking at them.

use super::App;
use super::ask::{Path, Query};
use super::body::{self, SILENCE};
use super::error::{Answer, No, no};
use super::views::{VerdictList, VerdictView};
use super::who::Who;
use crate::clock;
use crate::intake::{self, Parcel, receipt};
use crate::store::verdicts::{self, Verdict};
use crate::store::{Tx, jobs, people};
use axum::Json;
use axum::body::Body;
use axum::extract::{FromRequest, Multipart, Request, State, multipart::Field};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use forge_core::board::{ENVELOPE_MAX, EVIDENCE_MAX, RefusalCode, Role, SCORE_MAX};
use forge_core::error::Error;
use forge_core::verdict::dsse;
use serde::Deserialize;
use std::collections::{BTreeSet, HashMap};
use tokio::io::AsyncWriteExt;

pub fn answered(outcome: intake::Outcome) -> Response {
    let status = if outcome.fresh { StatusCode::CREATED } else { StatusCode::OK };
    (status, Json(outcome.accepted)).into_response()
}

pub async fn submit(State(app): State<App>, request: Request) -> Answer<Response> {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if !kind.starts_with("multipart/form-data") {
        let envelope = body::bytes(request.into_body(), ENVELOPE_MAX).await?;
        return Ok(answered(intake::submit(&app, envelope, None).await?));
    }
    let Ok(_turn) = app.uploads.try_acquire() else {
        return Err(no(RefusalCode::Busy, "Too many bundles arrive at the moment."));
    };
    let mut parts = Multipart::from_request(request, &())
        .await
        .map_err(|_| no(RefusalCode::Malformed, "The multipart form cannot be read."))?;
    let envelope = whole(part(&mut parts, "envelope").await?, ENVELOPE_MAX).await?;
    // Whoever sends a large bundle has shown a genuine signature first.
    let opened = intake::envelope::open(&envelope)?;
    let key = app.ring.learner(&app.store, &opened.key_id).await?;
    let key = key.ok_or_else(|| no(RefusalCode::UnknownKey, "The key that signed this is not enrolled here."))?;
    intake::envelope::verify(&opened, &key)?;
    let score = whole(part(&mut parts, "score").await?, SCORE_MAX).await?;
    let spool = app.evidence.spool()?;
    let mut file = tokio::fs::File::from_std(spool.reopen().map_err(Error::from)?);
    let mut field = part(&mut parts, "evidence").await?;
    let mut count = 0;
    while let Some(bytes) = chunk(&mut field).await? {
        count += bytes.len() as u64;
        if count > EVIDENCE_MAX {
            return Err(body::too_large(EVIDENCE_MAX));
        }
        file.write_all(&bytes).await.map_err(Error::from)?;
    }
    file.flush().await.map_err(Error::from)?;
    drop((field, file));
    if parts.next_field().await.map_err(|_| cut())?.is_some() {
        return Err(no(RefusalCode::Malformed, "The form has more parts than envelope, score and evidence."));
    }
    let parcel = Parcel { score, file: spool.path().to_owned() };
    Ok(answered(intake::submit(&app, envelope, Some(parcel)).await?))
}

fn cut() -> No {
    no(RefusalCode::Truncated, "The form ended before it was whole.")
}

async fn part<'a>(parts: &'a mut Multipart, name: &str) -> Answer<Field<'a>> {
    let next = tokio::time::timeout(SILENCE, parts.next_field()).await.map_err(|_| body::silent())?;
    match next.map_err(|_| cut())? {
        Some(field) if field.name() == Some(name) => Ok(field),
        Some(_) => Err(no(
            RefusalCode::Malformed,
            format!("The form must have the parts envelope, score, evidence in this order; {name} was expected."),
        )),
        None => Err(no(RefusalCode::Truncated, format!("The form has no part {name}."))),
    }
}

async fn chunk(field: &mut Field<'_>) -> Answer<Option<Bytes>> {
    tokio::time::timeout(SILENCE, field.chunk()).await.map_err(|_| body::silent())?.map_err(|_| cut())
}

async fn whole(mut field: Field<'_>, max: usize) -> Answer<Bytes> {
    let mut out = BytesMut::new();
    while let Some(bytes) = chunk(&mut field).await? {
        if out.len() + bytes.len() > max {
            return Err(body::too_large(max as u64));
        }
        out.extend_from_slice(&bytes);
    }
    Ok(out.freeze())
}

/// 64 lower-case hex digits; anything else is no id, and no path either.
pub fn id(text: &str) -> Answer<String> {
    let ok = text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if ok { Ok(text.to_owned()) } else { Err(missing()) }
}

pub fn missing() -> No {
    no(RefusalCode::NotFound, "There is no such verdict here.")
}

pub async fn find(app: &App, text: &str) -> Answer<Verdict> {
    let id = id(text)?;
    app.store.read(move |tx| verdicts::by_id(tx, &id)).await?.ok_or_else(missing)
}

async fn view(app: &App, v: Verdict) -> Answer<VerdictView> {
    views(app, vec![v]).await?.pop().ok_or_else(missing)
}

/// In the same order; the keys of all are asked for at once.
async fn views(app: &App, found: Vec<Verdict>) -> Answer<Vec<VerdictView>> {
    let ids: BTreeSet<String> = found.iter().map(|v| v.key_id.clone()).collect();
    let read = move |tx: &mut dyn Tx| people::keys(tx, &ids.iter().map(String::as_str).collect::<Vec<_>>());
    let keys = app.store.read(read).await?;
    let keys: HashMap<&str, &people::Key> = keys.iter().map(|k| (k.key_id.as_str(), k)).collect();
    let view = |v: &Verdict| -> Answer<VerdictView> {
        let key = keys.get(v.key_id.as_str()).ok_or_else(missing)?;
        Ok(VerdictView::of(v, key.owner.name.clone(), key.revoked_at.is_some(), receipt::of(app, v)?))
    };
    found.iter().map(view).collect()
}

pub async fn get(State(app): State<App>, Path(text): Path<String>, headers: HeaderMap) -> Answer<Response> {
    let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if accept.contains("text/html") {
        return match find(&app, &text).await {
            Ok(v) => Ok(super::pages::verdict(&v.id)),
            Err(e) if e.0.code == RefusalCode::NotFound => Ok(super::pages::no_verdict()),
            Err(e) => Err(e),
        };
    }
    Ok(Json(view(&app, find(&app, &text).await?).await?).into_response())
}

pub async fn by_run(State(app): State<App>, Path(run): Path<String>) -> Answer<Json<VerdictView>> {
    let found = app.store.read(move |tx| verdicts::by_run(tx, &run)).await?;
    Ok(Json(view(&app, found.ok_or_else(missing)?).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Walk {
    after: Option<i64>,
    limit: Option<i64>,
    /// The newest first, instead of onwards from `after`; of one class, if it is named.
    #[serde(default)]
    newest: bool,
    class: Option<String>,
}

pub async fn list(State(app): State<App>, Query(walk): Query<Walk>) -> Answer<Json<VerdictList>> {
    let limit = walk.limit.unwrap_or(50).clamp(1, 200);
    let class = walk.class.filter(|c| !c.is_empty());
    if walk.newest && walk.after.is_some() {
        return Err(no(
            RefusalCode::Malformed,
            "“after” goes on from a verdict, “newest” begins at the end: one of them.",
        ));
    }
    if class.is_some() && !walk.newest {
        return Err(no(RefusalCode::Malformed, "“class” is for the newest verdicts: newest=true.")
            .0
            .hint("To have all of a class, go through all verdicts with “after” and take those whose class it is.")
            .into());
    }
    if walk.newest {
        let rows = app.store.read(move |tx| verdicts::newest(tx, class.as_deref(), limit)).await?;
        return Ok(Json(VerdictList { verdicts: views(&app, rows).await?, next: None }));
    }
    let after = walk.after.unwrap_or(0);
    let rows = app.store.read(move |tx| verdicts::after(tx, after, limit)).await?;
    let next = (rows.len() as i64 == limit).then(|| rows.last().map(|v| v.seq)).flatten();
    Ok(Json(VerdictList { verdicts: views(&app, rows).await?, next }))
}

/// The two files that are also written to have addresses of their own.
pub async fn score(app: State<App>, who: Who, Path(text): Path<String>) -> Answer<Response> {
    file(app, who, Path((text, "score.json".into()))).await
}

pub async fn evidence(app: State<App>, who: Who, Path(text): Path<String>) -> Answer<Response> {
    file(app, who, Path((text, "evidence.tar.zst".into()))).await
}

/// Its learner, the class's instructors, the admin; a worker, for as long as it has been given the verdict.
async fn may_read_evidence(app: &App, who: &Who, v: &Verdict) -> Answer<()> {
    match who {
        Who::Person(p) if p.id == v.learner => Ok(()),
        Who::Person(p) if p.role == Role::Worker => {
            let id = v.id.clone();
            let held = app.store.read(move |tx| jobs::get(tx, &id)).await?;
            if held.is_some_and(|job| job.held_by(&p.id, clock::now())) {
                return Ok(());
            }
            Err(no(
                RefusalCode::LeaseLost,
                "A worker reads the evidence of the verdict that it was given, for that time.",
            ))
        }
        _ => who.teaches_class(&v.class),
    }
}

pub async fn file(State(app): State<App>, who: Who, Path((text, name)): Path<(String, String)>) -> Answer<Response> {
    let v = find(&app, &text).await?;
    let gone = || no(RefusalCode::NotFound, "The verdict has no such file here.");
    let sent = |kind: &'static str, bytes: Bytes| ([(header::CONTENT_TYPE, kind)], bytes).into_response();
    Ok(match name.as_str() {
        "verdict.dsse.json" => sent("application/json", v.envelope()?.into()),
        "verdict.pae" => sent("application/octet-stream", dsse::pae(dsse::PAYLOAD_TYPE, &v.payload).into()),
        "verdict.sig" => sent("application/octet-stream", v.signature.to_vec().into()),
        "verdict.pub.pem" => {
            let key_id = v.key_id.clone();
            let key = app.store.read(move |tx| people::key(tx, &key_id)).await?.ok_or_else(gone)?;
            sent("application/x-pem-file", key.pem.into())
        }
        "score.json" => sent("application/json", v.score_json.ok_or_else(gone)?),
        "evidence.tar.zst" => {
            may_read_evidence(&app, &who, &v).await?;
            v.evidence_bytes.ok_or_else(gone)?;
            let file = tokio::fs::File::open(app.evidence.path(&v.id)).await.map_err(Error::from)?;
            let stream = tokio_util::io::ReaderStream::new(file);
            ([(header::CONTENT_TYPE, "application/zstd")], Body::from_stream(stream)).into_response()
        }
        _ => return Err(gone()),
    })
}

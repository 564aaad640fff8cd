//! Who has executed a verdict again.

use super::App;
use super::ask::Path;
use super::body;
use super::error::{Answer, no};
use super::verdicts::{find, id};
use crate::clock;
use crate::intake::{self, reexecution};
use crate::store::people;
use crate::store::reexecution as rows;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use forge_core::board::{Raised, Reexecution, RefusalCode, Signed};
use forge_core::error::Result;
use forge_core::keys::PublicKey;

/// The signature is the authorization.
pub async fn add(State(app): State<App>, Path(text): Path<String>, body: Body) -> Answer<Json<Raised>> {
    let id = id(&text)?;
    let signed: Signed<Reexecution> = body::json(body).await?;
    if signed.body.verdict != id {
        return Err(no(RefusalCode::ReExecutionInvalid, "It is about another verdict than the one of this address."));
    }
    let key_id = signed.key_id.clone();
    let key = app.store.read(move |tx| people::key(tx, &key_id)).await?;
    let key = key.ok_or_else(|| no(RefusalCode::UnknownKey, "The key that signed this is not enrolled here."))?;
    reexecution::genuine(&signed, &PublicKey::from_pem(&key.pem)?)?;
    let (board, now, by) = (app.clone(), clock::now(), signed.key_id.clone());
    let decided = app.store.write(move |tx| reexecution::record(tx, &signed, &board.labs, now)).await??;
    let raised = decided.raised;
    tracing::info!(verdict = %raised.verdict, by, agrees = raised.agrees, duplicate = raised.duplicate, rose = decided.change.is_some(), "executed again");
    if let Some((v, name)) = decided.change {
        intake::tell(&app, &v, &name);
    }
    if !raised.duplicate {
        intake::tell_job(&app, &raised.verdict).await;
    }
    Ok(Json(raised))
}

pub async fn list(State(app): State<App>, Path(text): Path<String>) -> Answer<Json<Vec<Signed<Reexecution>>>> {
    let v = find(&app, &text).await?;
    let kept = app.store.read(move |tx| rows::of_verdict(tx, &v.id)).await?;
    Ok(Json(kept.iter().map(read).collect::<Result<_>>()?))
}

fn read(kept: &rows::Kept) -> Result<Signed<Reexecution>> {
    Ok(serde_json::from_str(&kept.statement)?)
}

//! The board's own keys.

use super::App;
use super::ask::Path;
use super::error::{Answer, no};
use super::views::KeyList;
use super::who::Who;
use crate::{clock, lineage};
use axum::Json;
use axum::extract::State;
use forge_core::board::{BoardKey, RefusalCode};
use forge_core::error::Error;

pub async fn current(State(app): State<App>) -> Answer<Json<BoardKey>> {
    Ok(Json(app.ring.current()?))
}

pub async fn list(State(app): State<App>) -> Answer<Json<KeyList>> {
    let rotations = serde_json::to_value(app.ring.own().rotations()).map_err(Error::from)?;
    Ok(Json(KeyList { keys: app.ring.all()?, rotations }))
}

pub async fn get(State(app): State<App>, Path(id): Path<String>) -> Answer<Json<BoardKey>> {
    let found = app.ring.all()?.into_iter().find(|k| k.id == id);
    found.map(Json).ok_or_else(|| no(RefusalCode::NotFound, "This server never had such a key."))
}

pub async fn rotate(State(app): State<App>, who: Who) -> Answer<Json<BoardKey>> {
    who.admin()?;
    let board = app.clone();
    // Before the log's line, whose parts are looked at only where somebody reads it.
    let rotated =
        tokio::task::spawn_blocking(move || board.ring.rotate(clock::now())).await.map_err(Error::internal)??;
    tracing::info!(key = %rotated.new, "the board's key was rotated");
    let keys = app.ring.own();
    app.store.write(move |tx| lineage::remember(tx, &keys, clock::now())).await?;
    Ok(Json(app.ring.current()?))
}

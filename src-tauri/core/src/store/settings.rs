//! The settings, as one JSON document. Unreadable settings never keep the app from starting.

use super::{Conn, Tx, encode};
use crate::api::Settings;
use crate::error::Result;
use rusqlite::{OptionalExtension, params};

pub(super) const V1: &str = "
CREATE TABLE settings (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    value  TEXT NOT NULL
) STRICT;";

/// What was set, or the defaults; with a warning when something was set that cannot be read (any more).
pub fn get(conn: &Conn) -> Result<(Settings, Option<String>)> {
    let text: Option<String> =
        conn.prepare_cached("SELECT value FROM settings WHERE id = 1")?.query_row([], |r| r.get(0)).optional()?;
    Ok(match text.map(|t| serde_json::from_str(&t)) {
        None => (Settings::default(), None),
        Some(Ok(settings)) => (settings, None),
        Some(Err(e)) => {
            let warning = format!("The saved settings cannot be read ({e}); the defaults are in use.");
            tracing::warn!("{warning}");
            (Settings::default(), Some(warning))
        }
    })
}

pub fn set(tx: &Tx, settings: &Settings) -> Result<()> {
    tx.prepare_cached(
        "INSERT INTO settings (id, value) VALUES (1, ?1) ON CONFLICT (id) DO UPDATE SET value = excluded.value",
    )?
    .execute(params![encode(settings)?])?;
    Ok(())
}

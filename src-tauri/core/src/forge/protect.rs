//! Moving the keys: the one change of this installation that is made without opening the rest of it.

use super::{Forge, now};
use crate::api::KeysKept;
use crate::audit::{self, Fact};
use crate::error::{Error, Result};
use crate::keys::{Keeping, Keys, Protect};
use crate::store::Store;
use std::path::PathBuf;

impl Forge {
    /// Moves the keys below `home`, and writes into the audit log that it was done.
    ///
    /// # Errors
    /// What [`Keys::protect`] fails with; `StoreFailed` when they are moved and the log could not be written.
    pub async fn protect_keys(home: PathBuf, keeping: Keeping, to: Protect, correlation: &str) -> Result<KeysKept> {
        let folder = home.clone();
        let moving = tokio::task::spawn_blocking(move || {
            let mut rng = rand::rng();
            let keys = Keys::open_kept(&folder, &keeping, &mut rng)?;
            let from = keys.kept().place;
            let kept = keys.protect(&keeping, to, &mut rng)?.kept().clone();
            Ok::<_, Error>((from, kept))
        });
        let (from, kept) = moving.await.map_err(|e| Error::internal(format!("moving the keys ended early: {e}")))??;
        let data = serde_json::json!({"from": from, "to": kept.place, "correlation": correlation});
        Store::open(&home.join("forge.db"))?
            .write(move |tx| {
                audit::append(tx, Fact { at: now(), run: None, kind: "keys.protect".into(), data }).map(drop)
            })
            .await?;
        Ok(kept)
    }
}

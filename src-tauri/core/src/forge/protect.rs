//! The private keys: where they are, moving them, and changing them. Moving is the one change of this installation that can
//! also be made without opening the rest of it.

use super::{Forge, now};
use crate::api::*;
use crate::audit::{self, Fact};
use crate::error::{Code, Error, Result};
use crate::keys::{Keeping, KeyName, Keys, Passphrase, Protect};
use crate::store::Store;
use crate::store::sync as rows;
use crate::sync;
use std::path::PathBuf;

const KEYS: [(KeyUse, KeyName); 3] =
    [(KeyUse::Learner, KeyName::Learner), (KeyUse::Spawn, KeyName::Spawn), (KeyUse::Catalogue, KeyName::Catalogue)];

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
            let kept = keys.protect(&keeping, to, &mut rng)?.kept();
            Ok::<_, Error>((from, kept))
        });
        let (from, kept) = moving.await.map_err(|e| Error::internal(format!("moving the keys ended early: {e}")))??;
        let fact = moved(from, kept.place, correlation);
        Store::open(&home.join("forge.db"))?.write(move |tx| audit::append(tx, fact).map(drop)).await?;
        Ok(kept)
    }

    pub(super) fn keys_state(&self) -> Result<KeysStatus> {
        let info = |(name, key)| {
            let ever = self.keys.ever(key)?;
            let before = u32::try_from(ever.len().saturating_sub(1)).unwrap_or(u32::MAX);
            Ok(KeyInfo { name, id: self.keys.id(key)?, before })
        };
        Ok(KeysStatus {
            locked: false,
            kept: Some(self.keys.kept()),
            os: self.options.keys.os,
            wait_ms: 0,
            keys: KEYS.into_iter().map(info).collect::<Result<_>>()?,
        })
    }

    pub(super) async fn move_keys(&self, caller: &Caller, request: ProtectKeys) -> Result<KeysStatus> {
        let mut guesses = self.guesses.lock().await;
        let from = self.keys.kept().place;
        if from == request.to && from != KeyPlace::Passphrase {
            return Err(Error::new(Code::WrongState, "The keys are there already."));
        }
        if let Some(held) = self.keys.passphrase() {
            // The app may have been left open; whoever finds it has not said that they are its owner.
            guesses.may()?;
            let same = |text: Secret| Passphrase::new(text.into_text()).is_ok_and(|given| given.same(&held));
            if !request.current.is_some_and(same) {
                let e = Error::new(Code::KeyUnavailable, "That is not the passphrase your keys are under now.")
                    .hint("Try again: capitals and the keyboard's layout count.");
                return Err(guesses.wrong(e));
            }
            guesses.right();
        }
        let to = match (request.to, request.passphrase) {
            (KeyPlace::Os, _) => Protect::Os,
            (KeyPlace::Plain, _) => Protect::Plain,
            (KeyPlace::Passphrase, Some(text)) => {
                Protect::Passphrase(Passphrase::new(text.into_text())?.worth_having()?)
            }
            (KeyPlace::Passphrase, None) => {
                return Err(Error::new(Code::InvalidInput, "There is no new passphrase to put the keys under."));
            }
        };
        // Whoever asks for it is there to unlock the store.
        let keeping = Keeping { patient: true, ..self.options.keys.clone() };
        let keys = self.keys.clone();
        let moving = tokio::task::spawn_blocking(move || keys.move_to(&keeping, to, &mut rand::rng()));
        let kept = moving.await.map_err(|e| Error::internal(format!("moving the keys ended early: {e}")))??;
        let fact = moved(from, kept.place, &caller.correlation);
        self.store.write(move |tx| audit::append(tx, fact).map(drop)).await?;
        let data = serde_json::json!({"from": from, "to": kept.place});
        self.emit(caller, None, "keys.moved", Level::Info, format!("The private keys were moved. {}", kept.told), data)
            .await;
        self.keys_state()
    }

    pub(super) async fn rotated(&self, caller: &Caller, name: KeyUse) -> Result<KeyRotated> {
        let key = KEYS.into_iter().find(|(n, _)| *n == name).map_or(KeyName::Learner, |(_, key)| key);
        let keys = self.keys.clone();
        let changing = tokio::task::spawn_blocking(move || keys.rotate(key, now(), &mut rand::rng()));
        let done = changing.await.map_err(|e| Error::internal(format!("changing the key ended early: {e}")))??;
        let data =
            serde_json::json!({"name": name, "old": done.old, "new": done.new, "correlation": caller.correlation});
        self.store
            .write(move |tx| {
                audit::append(tx, Fact { at: now(), run: None, kind: "keys.rotate".into(), data }).map(drop)
            })
            .await?;
        let data = serde_json::json!({"name": name, "old": done.old, "new": done.new});
        let text = format!("A key was changed: {} follows {}, which signed it.", done.new, done.old);
        self.emit(caller, None, "keys.rotated", Level::Info, text, data).await;
        let mut told = KeyRotated {
            name,
            old: done.old,
            new: done.new,
            at: done.at,
            board: BoardKnows::NotNeeded,
            trouble: String::new(),
        };
        if key == KeyName::Learner && self.store.read(rows::board).await?.is_some() {
            match self.introduce().await {
                Ok(()) => told.board = BoardKnows::Told,
                Err(e) => (told.board, told.trouble) = (BoardKnows::Later, e.message),
            }
        }
        Ok(told)
    }

    /// Before anything is sent that the new key signed. Where it fails, what is sent next says why.
    pub(super) async fn introduce_first(&self) {
        if let Err(e) = self.introduce().await {
            tracing::warn!(code = ?e.code, "the scoreboard could not be told of a new key: {e}");
        }
    }

    /// Tells the scoreboard of the keys that came after the one it knows. It does not know when it was unreachable then, or
    /// when another program changed the key.
    pub(super) async fn introduce(&self) -> Result<()> {
        let Some(board) = self.store.read(rows::board).await? else { return Ok(()) };
        let now = self.keys.id(KeyName::Learner)?;
        // Where nothing leads from that key to this one, it has to be enrolled.
        let Some(after) = sync::enrol::changes_since(&self.keys, &board.key_id)?.filter(|c| !c.is_empty()) else {
            return Ok(());
        };
        sync::enrol::introduce(&board, &after).await?;
        self.store.write(move |tx| rows::introduced(tx, &board.key_id, &now)).await
    }
}

fn moved(from: KeyPlace, to: KeyPlace, correlation: &str) -> Fact {
    let data = serde_json::json!({"from": from, "to": to, "correlation": correlation});
    Fact { at: now(), run: None, kind: "keys.protect".into(), data }
}

//! Keys: the board's own, which sign receipts and challenges, and those of the learners, parsed once.

use crate::store::Store;
use crate::store::people;
use forge_core::board::BoardKey;
use forge_core::error::Result;
use forge_core::keys::{KeyName, Keys, PublicKey, Rotation};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

/// Parsed learners' keys kept; a class has thirty, a school some thousand.
const PARSED: usize = 50_000;

pub struct Ring {
    data: PathBuf,
    own: RwLock<(Keys, Option<SystemTime>)>,
    /// A key never changes; whether it is revoked is read from the database each time.
    learners: RwLock<HashMap<String, Arc<PublicKey>>>,
}

fn rotated_at(data: &Path) -> Option<SystemTime> {
    std::fs::metadata(data.join("keys/rotations.json")).and_then(|m| m.modified()).ok()
}

impl Ring {
    /// Opens the board's key, making it on first use. Blocking.
    pub fn open(data: &Path) -> Result<Self> {
        let keys = Keys::open_board(data, &mut rand::rng())?;
        Ok(Self {
            data: data.to_owned(),
            own: RwLock::new((keys, rotated_at(data))),
            learners: RwLock::new(HashMap::new()),
        })
    }

    /// The board's keys; after `forge-scoreboard keys rotate` in another process, the new ones.
    pub fn own(&self) -> Keys {
        self.own.read().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// Looks whether another process has rotated. Blocking, one `stat`.
    pub fn refresh(&self) -> Result<bool> {
        let now = rotated_at(&self.data);
        if self.own.read().unwrap_or_else(PoisonError::into_inner).1 == now {
            return Ok(false);
        }
        let keys = Keys::open_board(&self.data, &mut rand::rng())?;
        *self.own.write().unwrap_or_else(PoisonError::into_inner) = (keys, now);
        Ok(true)
    }

    /// Replaces the board's key; the old one signs the new one. Blocking.
    pub fn rotate(&self, at: i64) -> Result<Rotation> {
        let rotation = self.own().rotate(KeyName::Board, at, &mut rand::rng())?;
        self.own.write().unwrap_or_else(PoisonError::into_inner).1 = rotated_at(&self.data);
        Ok(rotation)
    }

    pub fn current(&self) -> Result<BoardKey> {
        let key = self.own().public(KeyName::Board)?;
        Ok(BoardKey { id: key.id(), pem: key.pem(), current: true })
    }

    /// The key in use and all before it, newest first.
    pub fn all(&self) -> Result<Vec<BoardKey>> {
        let keys = self.own().ever(KeyName::Board)?;
        Ok(keys.iter().enumerate().map(|(i, k)| BoardKey { id: k.id(), pem: k.pem(), current: i == 0 }).collect())
    }

    /// A learner's key, if it was ever enrolled here.
    pub async fn learner(&self, store: &Store, key_id: &str) -> Result<Option<Arc<PublicKey>>> {
        if let Some(key) = self.learners.read().unwrap_or_else(PoisonError::into_inner).get(key_id) {
            return Ok(Some(key.clone()));
        }
        let id = key_id.to_owned();
        let Some(found) = store.read(move |tx| people::key(tx, &id)).await? else { return Ok(None) };
        let key = Arc::new(PublicKey::from_pem(&found.pem)?);
        let mut kept = self.learners.write().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= PARSED {
            kept.clear();
        }
        kept.insert(found.key_id, key.clone());
        Ok(Some(key))
    }
}

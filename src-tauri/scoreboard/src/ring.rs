//! Keys: the board's own, which sign receipts and challenges, and those of the learners, parsed once.

use crate::store::{Store, Target, migrate, people};
use crate::{clock, lineage};
use forge_core::board::BoardKey;
use forge_core::error::Result;
use forge_core::keys::{KeyName, Keys, PublicKey, Rotation};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

/// Parsed learners' keys kept; a class has thirty, a school some thousand.
const PARSED: usize = 50_000;

pub struct Ring {
    data: PathBuf,
    own: RwLock<(Keys, Option<SystemTime>)>,
    /// A key never changes; whether it is revoked is read from the database each time.
    learners: RwLock<HashMap<String, Arc<PublicKey>>>,
    /// The key's file is gone or another one.
    astray: AtomicBool,
}

fn rotated_at(data: &Path) -> Option<SystemTime> {
    std::fs::metadata(data.join("keys/rotations.json")).and_then(|m| m.modified()).ok()
}

impl Ring {
    /// Opens the key of the board that this database belongs to, making it on first use. `KeyUnavailable` when it is gone or
    /// another one; see [`lineage`]. Blocking.
    pub fn of(data: &Path, target: &Target) -> Result<Self> {
        let mut conn = target.connect()?;
        migrate(conn.as_mut())?;
        // In one transaction, so that of two processes one makes the key.
        conn.begin(true)?;
        lineage::check(conn.as_mut(), data)?;
        let ring = Self::open(data)?;
        lineage::remember(conn.as_mut(), &ring.own(), clock::now())?;
        conn.commit()?;
        Ok(ring)
    }

    /// Whoever calls this has looked whether a new key may be made. Blocking.
    pub fn open(data: &Path) -> Result<Self> {
        let keys = Keys::open_board(data, &mut rand::rng())?;
        Ok(Self {
            data: data.to_owned(),
            own: RwLock::new((keys, rotated_at(data))),
            learners: RwLock::new(HashMap::new()),
            astray: AtomicBool::new(false),
        })
    }

    /// The board's keys; after `forge-scoreboard keys rotate` in another process, the new ones.
    pub fn own(&self) -> Keys {
        self.own.read().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// Looks whether another process has rotated, and whether the key's file is still there. A key that was removed or replaced
    /// by hand is an error, once; the one in memory goes on. Blocking, a few `stat`s.
    pub fn refresh(&self) -> Result<bool> {
        let looked = self.look();
        let astray = looked.is_err();
        match looked {
            Err(_) if self.astray.swap(astray, Ordering::Relaxed) => Ok(false),
            looked => {
                self.astray.store(astray, Ordering::Relaxed);
                looked
            }
        }
    }

    fn look(&self) -> Result<bool> {
        if !Keys::board_is_there(&self.data)? {
            return Err(lineage::gone(&self.data, Some(&self.own().id(KeyName::Board)?)));
        }
        let now = rotated_at(&self.data);
        if self.own.read().unwrap_or_else(PoisonError::into_inner).1 == now {
            return Ok(false);
        }
        let keys = self.followed()?;
        *self.own.write().unwrap_or_else(PoisonError::into_inner) = (keys, now);
        Ok(true)
    }

    /// The keys in the folder, if the one in memory leads to them.
    fn followed(&self) -> Result<Keys> {
        let id = self.own().id(KeyName::Board)?;
        if !Keys::board_is_there(&self.data)? {
            return Err(lineage::gone(&self.data, Some(&id)));
        }
        let keys = Keys::open_board(&self.data, &mut rand::rng())?;
        let found = keys.id(KeyName::Board)?;
        if !keys.vouched(KeyName::Board, &id, &found) {
            return Err(lineage::other(&self.data, &id, &found));
        }
        Ok(keys)
    }

    /// Whether the key's file was not as it should be when it was last looked at: a restart would refuse to go on.
    pub fn is_astray(&self) -> bool {
        self.astray.load(Ordering::Relaxed)
    }

    /// Replaces the board's key; the old one signs the new one. Blocking.
    pub fn rotate(&self, at: i64) -> Result<Rotation> {
        // The key in the file is what vouches: it must be ours, or have come from it.
        self.followed()?;
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

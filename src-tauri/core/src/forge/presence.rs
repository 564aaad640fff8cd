//! Which processes are alive on a data folder, told by file locks: the kernel drops them with the process, also
//! after `kill -9`, so that a run's owner can be known to be gone without guessing from process ids.

use crate::error::Result;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// This process, present as long as the value lives.
pub struct Presence {
    pub id: String,
    path: PathBuf,
    _lock: File,
}

impl Presence {
    /// # Errors
    /// `Code::Io`/`DiskFull` when the lock file cannot be made.
    pub fn claim(home: &Path) -> Result<Self> {
        let dir = home.join("procs");
        std::fs::create_dir_all(&dir)?;
        let id = uuid::Uuid::now_v7().simple().to_string();
        let path = dir.join(&id);
        let lock = OpenOptions::new().create_new(true).write(true).open(&path)?;
        lock.lock()?;
        Ok(Self { id, path, _lock: lock })
    }

    /// Whether the process that claimed `id` still runs. Lock files of the dead are removed on the way.
    pub fn alive(home: &Path, id: &str) -> bool {
        let path = home.join("procs").join(id);
        let Ok(file) = File::open(&path) else { return false };
        match file.try_lock() {
            Ok(()) => {
                // Best effort: a file that stays is looked at again next time.
                let _ = std::fs::remove_file(&path);
                false
            }
            Err(TryLockError::WouldBlock) => true,
            // Not knowing is not a licence to sweep what may be alive.
            Err(TryLockError::Error(_)) => true,
        }
    }
}

#[cfg(test)]
impl Presence {
    /// As when the process is killed: the kernel drops the lock, the file stays.
    pub fn die(&self) {
        drop(self._lock.unlock());
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The right to repair what is left half-done. One process at a time, keeper or not.
pub struct RepairLock(#[expect(dead_code, reason = "held, never read")] File);

impl RepairLock {
    /// `None` when another process is still at it after `limit`.
    pub async fn take(home: &Path, limit: Duration) -> Result<Option<Self>> {
        let file = open(&home.join("repair.lock"))?;
        let until = tokio::time::Instant::now() + limit;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Some(Self(file))),
                Err(TryLockError::WouldBlock) if tokio::time::Instant::now() >= until => return Ok(None),
                Err(TryLockError::WouldBlock) => tokio::time::sleep(Duration::from_millis(20)).await,
                Err(TryLockError::Error(e)) => return Err(e.into()),
            }
        }
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).write(true).truncate(false).open(path)
}

/// The right to keep the data folder's runs: timeouts, re-wiring, sweeping. One process at a time.
pub struct KeeperLock(#[expect(dead_code, reason = "held, never read")] File);

impl KeeperLock {
    /// `None` while another process keeps.
    pub fn try_take(home: &Path) -> Result<Option<Self>> {
        let file = open(&home.join("keeper.lock"))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(e)) => Err(e.into()),
        }
    }

    /// Whether a process keeps. Two who look at once do not take each other for a keeper, and one that wants to become the
    /// keeper just then tries again.
    pub fn taken(home: &Path) -> Result<bool> {
        match open(&home.join("keeper.lock"))?.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(e)) => Err(e.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_dropped_presence_is_gone_and_a_held_one_is_not() {
        let home = tempfile::tempdir().unwrap();
        let me = Presence::claim(home.path()).unwrap();
        let id = me.id.clone();
        assert!(Presence::alive(home.path(), &id));
        drop(me);
        assert!(!Presence::alive(home.path(), &id));
        assert!(!Presence::alive(home.path(), "never-was"));
    }

    #[test]
    fn one_keeper_at_a_time() {
        let home = tempfile::tempdir().unwrap();
        let first = KeeperLock::try_take(home.path()).unwrap();
        assert!(first.is_some());
        assert!(KeeperLock::taken(home.path()).unwrap());
        assert!(KeeperLock::try_take(home.path()).unwrap().is_none());
        drop(first);
        assert!(!KeeperLock::taken(home.path()).unwrap());
        assert!(KeeperLock::try_take(home.path()).unwrap().is_some());
    }
}

//! Bundles on the disk: `incoming/` holds what is still arriving, `evidence/<first two digits>/<verdict>.tar.zst` what was
//! accepted. A file reaches its place by one rename, synced before and after.

use forge_core::error::{Code, Error, Result};
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Unfinished uploads are dropped after a day without a part.
const REST: Duration = Duration::from_secs(24 * 3600);

#[derive(Clone, Debug)]
pub struct Evidence {
    root: PathBuf,
}

impl Evidence {
    pub fn open(data: &Path) -> Result<Self> {
        let evidence = Self { root: data.to_owned() };
        for folder in [evidence.incoming(), data.join("evidence")] {
            private_folder(&folder).map_err(|e| Error::from(e).context(format!("Making {}", folder.display())))?;
        }
        Ok(evidence)
    }

    fn incoming(&self) -> PathBuf {
        self.root.join("incoming")
    }

    /// Where an accepted bundle lies. `id` is 64 hex digits.
    pub fn path(&self, id: &str) -> PathBuf {
        let shelf: String = id.chars().take(2).collect();
        self.root.join("evidence").join(shelf).join(format!("{id}.tar.zst"))
    }

    /// Where the parts of a resumable upload are collected.
    pub fn part(&self, id: &str) -> PathBuf {
        self.incoming().join(format!("{id}.part"))
    }

    /// A file of its own for one request; gone when dropped, unless it was placed.
    pub fn spool(&self) -> Result<tempfile::NamedTempFile> {
        Ok(tempfile::Builder::new().prefix("spool-").tempfile_in(self.incoming())?)
    }

    /// Puts a complete file in its place, durably. Blocking.
    pub fn place(&self, from: &Path, id: &str) -> Result<()> {
        let to = self.path(id);
        let shelf = to.parent().ok_or_else(|| Error::internal("an evidence path without a folder"))?;
        let fresh = !shelf.exists();
        private_folder(shelf)?;
        OpenOptions::new().write(true).open(from)?.sync_all()?;
        std::fs::rename(from, &to)?;
        File::open(shelf)?.sync_all()?;
        if fresh && let Some(parent) = shelf.parent() {
            File::open(parent)?.sync_all()?;
        }
        Ok(())
    }

    /// What an upload has so far, in bytes.
    pub fn offset(&self, id: &str) -> Result<u64> {
        match std::fs::metadata(self.part(id)) {
            Ok(meta) => Ok(meta.len()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(0),
            Err(e) => Err(e.into()),
        }
    }

    pub fn drop_part(&self, id: &str) -> Result<()> {
        match std::fs::remove_file(self.part(id)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e.into()),
            _ => Ok(()),
        }
    }

    /// Removes what nobody will finish: spools of a former process, parts that rest for a day. Blocking.
    pub fn sweep(&self, at_start: bool) -> Result<u64> {
        let mut removed = 0;
        for entry in std::fs::read_dir(self.incoming())? {
            let entry = entry?;
            let spool = entry.file_name().to_string_lossy().starts_with("spool-");
            let rests = entry.metadata()?.modified().ok().and_then(|t| SystemTime::now().duration_since(t).ok());
            if (spool && at_start) || (!spool && rests.is_some_and(|r| r > REST)) {
                std::fs::remove_file(entry.path())?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Free bytes where bundles are written.
    pub fn free(&self) -> Result<u64> {
        let stat = rustix::fs::statvfs(&self.root).map_err(|e| Error::new(Code::Io, format!("statvfs: {e}")))?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

pub fn private_folder(folder: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder.create(folder)
}

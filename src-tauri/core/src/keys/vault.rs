//! Where secrets lie while nobody uses them. Three kinds: the operating system's store ([`super::os`]), a file under a
//! passphrase ([`super::encrypted`]), and here the last one, files that only their owner may read.

use super::{KeyName, unusable};
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The 32-byte seed of an Ed25519 key.
pub(super) type Seed = Zeroizing<[u8; 32]>;
pub(super) type Seeds = BTreeMap<KeyName, Seed>;

pub(super) trait Vault: Send + Sync {
    /// Those of these keys that are there. An error is never “not there”.
    fn load(&self, names: &[KeyName]) -> Result<Seeds>;
    /// Puts these beside what is there, each durably or not at all, and reads them back.
    fn save(&self, seeds: &Seeds) -> Result<()>;
    /// Takes these away; those that are not there already are no error.
    fn remove(&self, names: &[KeyName]) -> Result<()>;
}

/// `<folder>/<name>.pem`, PKCS#8 (RFC 8410), mode 0600: `openssl pkey` reads it.
pub(super) struct Files(pub PathBuf);

impl Files {
    fn path(&self, name: KeyName) -> PathBuf {
        self.0.join(format!("{}.pem", name.word()))
    }

    pub fn any(&self, names: &[KeyName]) -> bool {
        names.iter().any(|name| self.path(*name).exists())
    }

    fn read(&self, name: KeyName) -> Result<Option<Seed>> {
        use ed25519_dalek::pkcs8::DecodePrivateKey;
        let path = self.path(name);
        // Anything else might never end: a pipe waits for somebody to write.
        if std::fs::metadata(&path).is_ok_and(|m| !m.is_file()) {
            return Err(unusable("damaged", format!("{} is not a file.", path.display()))
                .hint("Move it away and restore the key from a backup."));
        }
        let pem = match std::fs::read_to_string(&path) {
            Ok(text) => Zeroizing::new(text),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => {
                return Err(unusable("unreadable", format!("{} cannot be read: {e}", path.display()))
                    .hint("Check who owns the data folder."));
            }
        };
        let key = ed25519_dalek::SigningKey::from_pkcs8_pem(&pem).map_err(|e| {
            unusable("damaged", format!("{} is not an Ed25519 private key: {e}", path.display()))
                .hint("Restore the file from a backup. If you move it away, a new key is made: verdicts signed with the old one stay valid, but the old key cannot vouch for the new one.")
        })?;
        tighten(&path)?;
        Ok(Some(Zeroizing::new(key.to_bytes())))
    }
}

impl Vault for Files {
    fn load(&self, names: &[KeyName]) -> Result<Seeds> {
        let mut seeds = Seeds::new();
        for &name in names {
            if let Some(seed) = self.read(name)? {
                seeds.insert(name, seed);
            }
        }
        Ok(seeds)
    }

    fn save(&self, seeds: &Seeds) -> Result<()> {
        use ed25519_dalek::pkcs8::{EncodePrivateKey, KeypairBytes, spki::der::pem::LineEnding};
        for (&name, seed) in seeds {
            // Without the public half: OpenSSL 3 does not read the version of PKCS#8 that has one.
            let pem = KeypairBytes { secret_key: **seed, public_key: None }
                .to_pkcs8_pem(LineEnding::LF)
                .map_err(|e| Error::internal(format!("a private key could not be encoded: {e}")))?;
            replace(&self.path(name), pem.as_bytes())?;
            if self.read(name)?.as_ref() != Some(seed) {
                return Err(unusable(
                    "unreadable",
                    format!("{} does not hold what was written.", self.path(name).display()),
                ));
            }
        }
        Ok(())
    }

    fn remove(&self, names: &[KeyName]) -> Result<()> {
        names.iter().try_for_each(|name| remove(&self.path(*name)))
    }
}

/// Writes a private file so that a crash leaves either the old one or the new one.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let doing = |e: std::io::Error| Error::from(e).context(format!("Writing {}", path.display()));
    let mut draft = path.as_os_str().to_owned();
    draft.push(".new");
    let draft = PathBuf::from(draft);
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let mut file = options.open(&draft).map_err(doing)?;
    tighten(&draft)?;
    file.write_all(bytes).map_err(doing)?;
    file.sync_all().map_err(doing)?;
    drop(file);
    std::fs::rename(&draft, path).map_err(doing)?;
    settle(path)
}

/// Removes a private file, and what a crash may have left of its writing.
pub(super) fn remove(path: &Path) -> Result<()> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(".new");
    for path in [Path::new(&draft), path] {
        match std::fs::remove_file(path) {
            Ok(()) => {}
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(Error::from(e).context(format!("Removing {}", path.display()))),
        }
    }
    settle(path)
}

/// Makes a change of a folder's names durable.
fn settle(path: &Path) -> Result<()> {
    #[cfg(unix)]
    if let Some(folder) = path.parent() {
        std::fs::File::open(folder)
            .and_then(|f| f.sync_all())
            .map_err(|e| Error::from(e).context(format!("Writing {}", folder.display())))?;
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

/// A key file that others can read is made private again.
#[cfg(unix)]
fn tighten(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(path)?.permissions().mode();
    if mode & 0o077 != 0 {
        tracing::warn!(path = %path.display(), "a private key could be read by others; its mode is 0600 again");
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    }
    Ok(())
}

#[cfg(not(unix))]
fn tighten(_: &Path) -> Result<()> {
    Ok(())
}

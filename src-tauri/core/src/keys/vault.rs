//! Where a secret lies while nobody uses it: a file that only its owner may read. That is said aloud, never dressed up: a key to
//! encrypt it with would have to lie beside it. An operating system's secret store would be another vault; none is built.

use crate::error::{Code, Error, Result};
use std::io::Write;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The 32-byte seed of an Ed25519 key.
pub(super) type Seed = Zeroizing<[u8; 32]>;

pub(super) trait Vault: Send + Sync {
    fn load(&self, name: &str) -> Result<Option<Seed>>;
    /// Replaces what was there, durably, or leaves it as it was.
    fn save(&self, name: &str, seed: &Seed) -> Result<()>;
    /// What whoever owns these keys should know about how they are kept.
    fn warning(&self) -> String;
}

/// `<folder>/<name>.pem`, PKCS#8 (RFC 8410), mode 0600: `openssl pkey` reads it.
pub(super) struct Files(pub PathBuf);

impl Files {
    fn path(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.pem"))
    }
}

impl Vault for Files {
    fn load(&self, name: &str) -> Result<Option<Seed>> {
        use ed25519_dalek::pkcs8::DecodePrivateKey;
        let path = self.path(name);
        let pem = match std::fs::read_to_string(&path) {
            Ok(text) => Zeroizing::new(text),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => {
                return Err(Error::new(Code::KeyUnavailable, format!("{} cannot be read: {e}", path.display()))
                    .hint("Check who owns the data folder."));
            }
        };
        let key = ed25519_dalek::SigningKey::from_pkcs8_pem(&pem).map_err(|e| {
            Error::new(Code::KeyUnavailable, format!("{} is not an Ed25519 private key: {e}", path.display()))
                .hint("Restore the file from a backup. If you move it away, a new key is made: verdicts signed with the old one stay valid, but the old key cannot vouch for the new one.")
        })?;
        tighten(&path)?;
        Ok(Some(Zeroizing::new(key.to_bytes())))
    }

    fn save(&self, name: &str, seed: &Seed) -> Result<()> {
        use ed25519_dalek::pkcs8::{EncodePrivateKey, KeypairBytes, spki::der::pem::LineEnding};
        // Without the public half: OpenSSL 3 does not read the version of PKCS#8 that has one.
        let pem = KeypairBytes { secret_key: **seed, public_key: None }
            .to_pkcs8_pem(LineEnding::LF)
            .map_err(|e| Error::internal(format!("a private key could not be encoded: {e}")))?;
        replace(&self.path(name), pem.as_bytes())
    }

    fn warning(&self) -> String {
        format!(
            "The private keys lie unencrypted in {}, readable only by you. Whoever can read your files can sign in your \
             name.",
            self.0.display()
        )
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
    #[cfg(unix)]
    if let Some(folder) = path.parent() {
        std::fs::File::open(folder).and_then(|f| f.sync_all()).map_err(doing)?;
    }
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

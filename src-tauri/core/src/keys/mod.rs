//! Key pairs: made on first use, rotated with the old key vouching for the new, used through domains that keep one
//! kind of signature from passing as another. This room knows nothing of what it signs.

mod derived;
mod portable;
mod public;
mod vault;

pub use derived::ed25519_public;
pub use portable::{Portable, system_rng};
pub use public::{DSSE_PREFIX, Domain, NOTE_PREFIX, PublicKey};

use crate::error::{Code, Error, Result};
use ed25519_dalek::{Signer, SigningKey};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use vault::{Files, Seed, Vault};
use zeroize::Zeroizing;

/// Whose key, and for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyName {
    /// Verdicts and audit checkpoints: says that this learner's installation made them.
    Learner,
    /// Spawn tokens, and nothing else.
    Spawn,
    /// Lock files of the labs that are made on this machine.
    Catalogue,
    /// Receipts and challenges of a scoreboard. No laptop has one.
    Board,
}

impl KeyName {
    const LAPTOP: [Self; 3] = [Self::Learner, Self::Spawn, Self::Catalogue];
    const SCOREBOARD: [Self; 1] = [Self::Board];

    fn file(self) -> &'static str {
        match self {
            Self::Learner => "learner",
            Self::Spawn => "spawn",
            Self::Catalogue => "catalogue",
            Self::Board => "board",
        }
    }
}

/// One change of key: `signature` (hex) is the old key's, under [`Domain::KeyRotation`], over
/// `<name>\n<new public key PEM>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    pub name: KeyName,
    pub at: i64,
    pub old: String,
    pub new: String,
    pub old_pem: String,
    pub new_pem: String,
    pub signature: String,
}

impl Rotation {
    fn message(name: KeyName, new_pem: &str) -> Vec<u8> {
        format!("{}\n{new_pem}", name.file()).into_bytes()
    }

    /// The two keys, old and new, if the old one really vouches for the new one.
    pub fn checked(&self) -> Result<(PublicKey, PublicKey)> {
        let bad =
            |why: &str| Error::new(Code::KeyUnavailable, format!("A recorded change of key is not genuine: {why}."));
        let old = PublicKey::from_pem(&self.old_pem)?;
        let new = PublicKey::from_pem(&self.new_pem)?;
        let signature = hex::decode(&self.signature).map_err(|_| bad("its signature is not hex"))?;
        if old.id() != self.old || new.id() != self.new {
            return Err(bad("a fingerprint does not belong to its key"));
        }
        if !old.verify(Domain::KeyRotation, &Self::message(self.name, &self.new_pem), &signature) {
            return Err(bad("the old key did not sign the new one"));
        }
        Ok((old, new))
    }
}

/// The keys of one data folder; clones share them. Signing takes about 20 µs and needs no I/O.
#[derive(Clone)]
pub struct Keys(Arc<Inner>);

struct Inner {
    folder: PathBuf,
    vault: Box<dyn Vault>,
    held: RwLock<Held>,
}

struct Held {
    current: BTreeMap<KeyName, SigningKey>,
    rotations: Vec<Rotation>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("folder", &self.0.folder).finish_non_exhaustive()
    }
}

impl Keys {
    /// Opens the keys in `<home>/keys`, making those that are missing from `rng`. Blocking, a few milliseconds.
    /// `KeyUnavailable` when a key is there but cannot be used; it is never replaced silently.
    pub fn open(home: &Path, rng: &mut dyn rand::CryptoRng) -> Result<Self> {
        let folder = home.join("keys");
        Self::open_with(folder.clone(), Box::new(Files(folder)), &KeyName::LAPTOP, rng)
    }

    /// Like [`open`](Self::open), for a scoreboard's data folder: its one key and no laptop's.
    pub fn open_board(data: &Path, rng: &mut dyn rand::CryptoRng) -> Result<Self> {
        let folder = data.join("keys");
        Self::open_with(folder.clone(), Box::new(Files(folder)), &KeyName::SCOREBOARD, rng)
    }

    fn open_with(
        folder: PathBuf,
        vault: Box<dyn Vault>,
        names: &[KeyName],
        rng: &mut dyn rand::CryptoRng,
    ) -> Result<Self> {
        make_folder(&folder)?;
        let _lock = lock(&folder)?;
        let mut current = BTreeMap::new();
        for &name in names {
            let seed = match vault.load(name.file())? {
                Some(seed) => seed,
                None => {
                    let seed = draw(rng);
                    vault.save(name.file(), &seed)?;
                    seed
                }
            };
            current.insert(name, SigningKey::from_bytes(&seed));
        }
        let rotations = read_rotations(&folder)?;
        Ok(Self(Arc::new(Inner { folder, vault, held: RwLock::new(Held { current, rotations }) })))
    }

    /// How the private keys are kept here, for the doctor.
    pub fn warning(&self) -> String {
        self.0.vault.warning()
    }

    pub fn public(&self, name: KeyName) -> Result<PublicKey> {
        self.with(name, PublicKey::of)
    }

    /// The fingerprint of the key in use; see [`PublicKey::id`].
    pub fn id(&self, name: KeyName) -> Result<String> {
        Ok(self.public(name)?.id())
    }

    pub fn public_pem(&self, name: KeyName) -> Result<String> {
        Ok(self.public(name)?.pem())
    }

    /// The key in use and all before it, newest first: what this installation ever signed verifies under one.
    pub fn ever(&self, name: KeyName) -> Result<Vec<PublicKey>> {
        let mut keys = vec![self.public(name)?];
        let held = self.0.held.read().unwrap_or_else(PoisonError::into_inner);
        for rotation in held.rotations.iter().rev().filter(|r| r.name == name) {
            let (old, _) = rotation.checked()?;
            if !keys.contains(&old) {
                keys.push(old);
            }
        }
        Ok(keys)
    }

    /// Signs under a domain; 64 bytes (RFC 8032).
    pub fn sign(&self, name: KeyName, domain: Domain, bytes: &[u8]) -> Result<[u8; 64]> {
        self.with(name, |key| key.sign(&domain.message(bytes)).to_bytes())
    }

    /// Signs exactly these bytes, which must be a DSSE PAE: its own prefix keeps it apart from all domains.
    pub fn sign_dsse(&self, name: KeyName, pae: &[u8]) -> Result<[u8; 64]> {
        if !pae.starts_with(DSSE_PREFIX) {
            return Err(Error::internal("what was to be signed as DSSE is not a PAE"));
        }
        self.with(name, |key| key.sign(pae).to_bytes())
    }

    /// Signs exactly this text as a C2SP signed note; it must begin with [`NOTE_PREFIX`] and end with a newline.
    pub fn sign_note(&self, name: KeyName, text: &str) -> Result<[u8; 64]> {
        if !text.starts_with(NOTE_PREFIX) || !text.ends_with('\n') {
            return Err(Error::internal("what was to be signed as a note is not one of ours"));
        }
        self.with(name, |key| key.sign(text.as_bytes()).to_bytes())
    }

    /// Seed and public key of the spawn key, for the PASETO library, which signs by itself. No other key has this way
    /// out, so that none can be used under PASETO and under a domain.
    pub(crate) fn spawn_pair(&self) -> Result<Zeroizing<[u8; 64]>> {
        self.with(KeyName::Spawn, |key| Zeroizing::new(key.to_keypair_bytes()))
    }

    /// Replaces a key. The old one signs the new one, its public half stays for verification.
    pub fn rotate(&self, name: KeyName, at: i64, rng: &mut dyn rand::CryptoRng) -> Result<Rotation> {
        let _lock = lock(&self.0.folder)?;
        let stored = self.0.vault.load(name.file())?.ok_or_else(|| unavailable(name))?;
        let old = SigningKey::from_bytes(&stored);
        let seed = draw(rng);
        let new = SigningKey::from_bytes(&seed);
        let (old_public, new_public) = (PublicKey::of(&old), PublicKey::of(&new));
        let new_pem = new_public.pem();
        let message = Domain::KeyRotation.message(&Rotation::message(name, &new_pem));
        let rotation = Rotation {
            name,
            at,
            old: old_public.id(),
            new: new_public.id(),
            old_pem: old_public.pem(),
            signature: hex::encode(old.sign(&message).to_bytes()),
            new_pem,
        };
        // The record first: a crash between the two leaves a vouched-for key that was never used, not a key
        // nobody vouches for.
        let mut rotations = read_rotations(&self.0.folder)?;
        rotations.push(rotation.clone());
        let text = serde_json::to_vec_pretty(&rotations).map_err(Error::internal)?;
        vault::replace(&self.0.folder.join(ROTATIONS), &text)?;
        self.0.vault.save(name.file(), &seed)?;
        let mut held = self.0.held.write().unwrap_or_else(PoisonError::into_inner);
        held.current.insert(name, new);
        held.rotations = rotations;
        Ok(rotation)
    }

    /// All changes of key recorded here, oldest first.
    pub fn rotations(&self) -> Vec<Rotation> {
        self.0.held.read().unwrap_or_else(PoisonError::into_inner).rotations.clone()
    }

    fn with<T>(&self, name: KeyName, work: impl FnOnce(&SigningKey) -> T) -> Result<T> {
        let held = self.0.held.read().unwrap_or_else(PoisonError::into_inner);
        held.current.get(&name).map(work).ok_or_else(|| unavailable(name))
    }
}

const ROTATIONS: &str = "rotations.json";

fn unavailable(name: KeyName) -> Error {
    Error::new(Code::KeyUnavailable, format!("The {} key is not there.", name.file()))
        .hint("Start again; if it was deleted on purpose, a new one is made then.")
}

fn draw(rng: &mut dyn rand::CryptoRng) -> Seed {
    let mut seed = Zeroizing::new([0u8; 32]);
    rng.fill_bytes(seed.as_mut());
    seed
}

fn make_folder(folder: &Path) -> Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder.create(folder).map_err(|e| Error::from(e).context(format!("Making {}", folder.display())))
}

/// Two processes must not both make, or both rotate, a key. Held until dropped.
fn lock(folder: &Path) -> Result<std::fs::File> {
    let path = folder.join(".lock");
    let doing = |e: std::io::Error| Error::from(e).context(format!("Locking {}", path.display()));
    let file = std::fs::OpenOptions::new().write(true).create(true).truncate(false).open(&path).map_err(doing)?;
    file.lock().map_err(doing)?;
    Ok(file)
}

fn read_rotations(folder: &Path) -> Result<Vec<Rotation>> {
    let path = folder.join(ROTATIONS);
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::from(e).context(format!("Reading {}", path.display()))),
    };
    let rotations: Vec<Rotation> = serde_json::from_slice(&text)
        .map_err(|e| Error::new(Code::KeyUnavailable, format!("{} is damaged: {e}", path.display())))?;
    for rotation in &rotations {
        rotation.checked()?;
    }
    Ok(rotations)
}

#[cfg(test)]
mod tests;

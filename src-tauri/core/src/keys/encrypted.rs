//! All keys in one file under a passphrase. The format is ours; a change of it is a new version (`tests/golden/keys.enc`):
//!
//! | bytes | what |
//! |---|---|
//! | 0..7 | `FGKEYS` and a zero byte |
//! | 7 | version, 1 |
//! | 8..20 | Argon2id (version 0x13): KiB of memory, passes, lanes; little-endian u32 |
//! | 20..36 | salt |
//! | 36..60 | nonce |
//! | 60..n-32 | XChaCha20-Poly1305 of the keys, bytes 0..60 authenticated with them |
//! | n-32..n | SHA-256 of everything before: tells a damaged file from a wrong passphrase, and guards nothing |
//!
//! The keys: 48 bytes each, ordered by name: the name, zero-padded to 16, and the 32-byte seed.

use super::passphrase::Passphrase;
use super::vault::{self, Seed, Seeds, Vault};
use super::{KeyName, unusable};
use crate::error::{Error, Result};
use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use rand::Rng;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use zeroize::Zeroizing;

pub(super) const FILE: &str = "keys.enc";
const MAGIC: &[u8; 8] = b"FGKEYS\0\x01";
const HEADER: usize = 60;
const CHECK: usize = 32;
const NAME: usize = 16;
const ROW: usize = NAME + 32;
/// Room for many more keys than there are kinds.
const LONGEST: u64 = 4096;

/// What one guess at the passphrase costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cost {
    pub kib: u32,
    pub passes: u32,
    pub lanes: u32,
}

impl Cost {
    /// RFC 9106's second recommendation: some 0.15 s and 64 MiB.
    pub const USUAL: Self = Self { kib: 64 * 1024, passes: 3, lanes: 4 };

    /// A file must not make whoever opens it wait or fill the memory.
    fn bounded(self) -> bool {
        (8..=256 * 1024).contains(&self.kib)
            && (1..=10).contains(&self.passes)
            && (1..=4).contains(&self.lanes)
            && self.kib >= 8 * self.lanes
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Setup {
    cost: Cost,
    salt: [u8; 16],
}

pub(super) struct Encrypted {
    path: PathBuf,
    passphrase: Passphrase,
    cost: Cost,
    /// What the passphrase came to the last time; deriving it is meant to be slow.
    derived: Mutex<Option<(Setup, Zeroizing<[u8; 32]>)>>,
}

impl Encrypted {
    pub fn new(folder: &Path, passphrase: Passphrase) -> Self {
        Self::with_cost(folder, passphrase, Cost::USUAL)
    }

    pub fn with_cost(folder: &Path, passphrase: Passphrase, cost: Cost) -> Self {
        Self { path: folder.join(FILE), passphrase, cost, derived: Mutex::new(None) }
    }

    /// Writes the file anew under this passphrase, whatever was there; the keys are known to open again before they replace it.
    pub fn write(&self, seeds: &Seeds) -> Result<()> {
        let mut setup = Setup { cost: self.cost, salt: [0; 16] };
        rand::rng().fill_bytes(&mut setup.salt);
        self.put(setup, seeds)
    }

    fn put(&self, setup: Setup, seeds: &Seeds) -> Result<()> {
        let mut nonce = [0; 24];
        rand::rng().fill_bytes(&mut nonce);
        let key = self.key(setup)?;
        let bytes = seal(&key, setup, nonce, seeds)?;
        if self.opened(&bytes)? != *seeds {
            return Err(Error::internal("encrypted keys did not open again"));
        }
        vault::replace(&self.path, &bytes)?;
        if self.read()?.as_deref() != Some(&bytes) {
            return Err(unusable("unreadable", format!("{} does not hold what was written.", self.path.display())));
        }
        Ok(())
    }

    fn read(&self) -> Result<Option<Vec<u8>>> {
        use std::io::Read;
        let cannot = |e: std::io::Error| {
            unusable("unreadable", format!("{} cannot be read: {e}", self.path.display()))
                .hint("Check who owns the data folder.")
        };
        let file = match std::fs::File::open(&self.path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(cannot(e)),
        };
        let mut bytes = Vec::new();
        file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(cannot)?;
        Ok(Some(bytes))
    }

    fn opened(&self, bytes: &[u8]) -> Result<Seeds> {
        let parts = Parts::of(bytes).map_err(|why| self.damaged(why))?;
        let key = self.key(parts.setup)?;
        let cipher = XChaCha20Poly1305::new((&*key).into());
        let payload = Payload { msg: parts.sealed, aad: parts.header };
        // A file that somebody changed on purpose, checksum and all, fails here too; only the owner knows whether the
        // passphrase was right.
        let plain = cipher.decrypt(&XNonce::from(parts.nonce), payload).map_err(|_| {
            unusable("passphrase_wrong", "The passphrase of your keys is wrong.")
                .hint("Try again: capitals and the keyboard's layout count.")
                .hint(format!(
                    "Without it the keys are lost. To begin again, move {} away: results so far stay valid, but the old key cannot vouch for the new one.",
                    self.path.parent().unwrap_or(&self.path).display()
                ))
        })?;
        rows(&Zeroizing::new(plain)).ok_or_else(|| self.damaged("it names keys that this version does not know"))
    }

    fn key(&self, setup: Setup) -> Result<Zeroizing<[u8; 32]>> {
        let mut derived = self.derived.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, key)) = &*derived
            && *of == setup
        {
            return Ok(key.clone());
        }
        let key = derive(&self.passphrase, setup)?;
        *derived = Some((setup, key.clone()));
        Ok(key)
    }

    fn damaged(&self, why: &str) -> Error {
        unusable("damaged", format!("{} cannot be used: {why}.", self.path.display()))
            .hint("Restore the file from a backup. If you move the folder away, new keys are made: results so far stay valid, but the old key cannot vouch for the new one.")
    }
}

impl Vault for Encrypted {
    fn load(&self, names: &[KeyName]) -> Result<Seeds> {
        let bytes = self.read()?.ok_or_else(|| self.damaged("it is not there"))?;
        let mut seeds = self.opened(&bytes)?;
        seeds.retain(|name, _| names.contains(name));
        Ok(seeds)
    }

    fn save(&self, seeds: &Seeds) -> Result<()> {
        let Some(bytes) = self.read()? else { return self.write(seeds) };
        let mut all = self.opened(&bytes)?;
        all.extend(seeds.iter().map(|(name, seed)| (*name, seed.clone())));
        let setup = Parts::of(&bytes).map_err(|why| self.damaged(why))?.setup;
        self.put(setup, &all)
    }

    /// The file goes as a whole: nobody takes away some of its keys.
    fn remove(&self, _: &[KeyName]) -> Result<()> {
        vault::remove(&self.path)
    }
}

struct Parts<'a> {
    header: &'a [u8],
    setup: Setup,
    nonce: [u8; 24],
    sealed: &'a [u8],
}

impl<'a> Parts<'a> {
    fn of(bytes: &'a [u8]) -> Result<Self, &'static str> {
        const SHORT: &str = "it is cut off";
        if bytes.len() as u64 > LONGEST {
            return Err("it is too large");
        }
        let (body, check) = bytes.split_at_checked(bytes.len().saturating_sub(CHECK)).ok_or(SHORT)?;
        let (header, sealed) = body.split_at_checked(HEADER).ok_or(SHORT)?;
        if header.get(..7) != MAGIC.get(..7) {
            return Err("it is not a file of keys");
        }
        if header.get(7) != MAGIC.get(7) {
            return Err("it was written by another version of this program");
        }
        if Sha256::digest(body).as_slice() != check {
            return Err("it is damaged");
        }
        let number = |at: usize| header.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
        let cost = match (number(8), number(12), number(16)) {
            (Some(kib), Some(passes), Some(lanes)) => Cost { kib, passes, lanes },
            _ => return Err(SHORT),
        };
        if !cost.bounded() {
            return Err("it asks for more work than is reasonable");
        }
        let salt = header.get(20..36).and_then(|s| s.try_into().ok()).ok_or(SHORT)?;
        let nonce = header.get(36..60).and_then(|s| s.try_into().ok()).ok_or(SHORT)?;
        Ok(Self { header, setup: Setup { cost, salt }, nonce, sealed })
    }
}

fn derive(passphrase: &Passphrase, setup: Setup) -> Result<Zeroizing<[u8; 32]>> {
    let Cost { kib, passes, lanes } = setup.cost;
    let failed = |e: argon2::Error| Error::internal(format!("a passphrase could not be used: {e}"));
    let params = Params::new(kib, passes, lanes, Some(32)).map_err(failed)?;
    let mut key = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.bytes(), &setup.salt, key.as_mut())
        .map_err(failed)?;
    Ok(key)
}

fn seal(key: &[u8; 32], setup: Setup, nonce: [u8; 24], seeds: &Seeds) -> Result<Vec<u8>> {
    let Cost { kib, passes, lanes } = setup.cost;
    let mut bytes = MAGIC.to_vec();
    [kib, passes, lanes].iter().for_each(|n| bytes.extend(n.to_le_bytes()));
    bytes.extend(setup.salt);
    bytes.extend(nonce);
    let mut plain = Zeroizing::new(Vec::with_capacity(seeds.len() * ROW));
    let mut sorted: Vec<(&str, &Seed)> = seeds.iter().map(|(name, seed)| (name.word(), seed)).collect();
    sorted.sort_by_key(|(name, _)| *name);
    for (name, seed) in sorted {
        let end = plain.len() + NAME;
        plain.extend(name.bytes());
        plain.resize(end, 0);
        plain.extend(seed.iter());
    }
    let payload = Payload { msg: &plain, aad: &bytes };
    let sealed = XChaCha20Poly1305::new(key.into())
        .encrypt(&XNonce::from(nonce), payload)
        .map_err(|_| Error::internal("keys could not be encrypted"))?;
    bytes.extend(sealed);
    let check = Sha256::digest(&bytes);
    bytes.extend(check);
    Ok(bytes)
}

fn rows(plain: &[u8]) -> Option<Seeds> {
    let mut seeds = Seeds::new();
    for row in plain.chunks(ROW) {
        let (name, seed) = row.split_at_checked(NAME)?;
        let name = std::str::from_utf8(name).ok()?.trim_end_matches('\0');
        let seed: [u8; 32] = seed.try_into().ok()?;
        seeds.insert(KeyName::named(name)?, Zeroizing::new(seed));
    }
    Some(seeds)
}

#[cfg(test)]
#[path = "encrypted_tests.rs"]
mod tests;

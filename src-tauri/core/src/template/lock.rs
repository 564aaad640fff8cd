//! Digest locks: which bytes a version of a lab is. A version that was written down once never becomes another lab.
//!
//! A lock is a text with one line per lab and version, each RFC 8785 canonical JSON
//! `{"digest","files":{path: sha256},"lab","version"}` (and `"yaml"`, the text of lab.yaml, where a later change is to be
//! shown line by line), sorted by lab and version; merges and reviews see one line per change. A signed lock ends with
//! `signed <key id> <signature, hex>`, an Ed25519 signature over all lines before it under the domain `template-lock`.

use super::folder::Folder;
use super::instantiate::LAB_FILE;
use crate::error::{Code, Error, Result};
use crate::keys::{Domain, PublicKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// A lock's size; some thousand versions.
const LOCK_BYTES: usize = 32 * 1024 * 1024;
/// Lines of a difference that are shown.
const SHOWN_LINES: usize = 60;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    pub lab: String,
    pub version: String,
    /// See [`Folder::digest`].
    pub digest: String,
    pub files: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub yaml: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lock {
    /// Lab → version → entry.
    entries: BTreeMap<(String, String), Entry>,
}

/// A lock as it was read: what it says, and who says so.
#[derive(Clone, Debug)]
pub struct Read {
    pub lock: Lock,
    signature: Option<(String, Vec<u8>)>,
    signed: Vec<u8>,
}

/// What a folder has become since its version was written down.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Difference {
    pub added: Vec<String>,
    pub removed: Vec<String>,
    pub changed: Vec<String>,
    /// Of lab.yaml, as a unified difference; empty where the old text is not known or did not change.
    pub lines: String,
}

impl Entry {
    pub fn of(lab: &str, version: &str, folder: &Folder, with_yaml: bool) -> Self {
        let files = folder.files().map(|(path, bytes)| (path.to_owned(), hex::encode(Sha256::digest(bytes)))).collect();
        let yaml = folder.get(LAB_FILE).and_then(|b| String::from_utf8(b.to_vec()).ok()).filter(|_| with_yaml);
        Self { lab: lab.to_owned(), version: version.to_owned(), digest: folder.digest(), files, yaml }
    }

    /// None when the folder is still the same, byte for byte.
    pub fn difference(&self, folder: &Folder) -> Option<Difference> {
        if folder.digest() == self.digest {
            return None;
        }
        let now = Self::of(&self.lab, &self.version, folder, true);
        let names = |a: &Self, b: &Self| a.files.keys().filter(|f| !b.files.contains_key(*f)).cloned().collect();
        let changed = self.files.iter().filter(|(f, sha)| now.files.get(*f).is_some_and(|s| s != *sha));
        let lines = match (&self.yaml, &now.yaml) {
            (Some(old), Some(new)) if old != new => lines(old, new),
            _ => String::new(),
        };
        Some(Difference {
            added: names(&now, self),
            removed: names(self, &now),
            changed: changed.map(|(f, _)| f.clone()).collect(),
            lines,
        })
    }
}

fn lines(old: &str, new: &str) -> String {
    let diff = similar::TextDiff::from_lines(old, new);
    let text = diff.unified_diff().context_radius(1).to_string();
    let mut shown: Vec<&str> = text.lines().take(SHOWN_LINES).collect();
    if text.lines().count() > SHOWN_LINES {
        shown.push("…");
    }
    shown.join("\n")
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts: Vec<String> = [("added", &self.added), ("removed", &self.removed), ("changed", &self.changed)]
            .into_iter()
            .filter(|(_, files)| !files.is_empty())
            .map(|(what, files)| format!("{what}: {}", files.join(", ")))
            .collect();
        f.write_str(&parts.join("; "))?;
        if !self.lines.is_empty() {
            write!(f, "\n{}", self.lines)?;
        }
        Ok(())
    }
}

impl Lock {
    pub fn get(&self, lab: &str, version: &str) -> Option<&Entry> {
        self.entries.get(&(lab.to_owned(), version.to_owned()))
    }

    /// All versions of a lab that were written down.
    pub fn versions<'a>(&'a self, lab: &'a str) -> impl Iterator<Item = &'a str> {
        self.entries.keys().filter(move |(l, _)| l == lab).map(|(_, v)| v.as_str())
    }

    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    /// Writes a version down; true when it is new. `TemplateInvalid` when it stands for other bytes already.
    pub fn add(&mut self, entry: Entry) -> Result<bool> {
        let key = (entry.lab.clone(), entry.version.clone());
        match self.entries.get(&key) {
            Some(known) if known.digest == entry.digest => Ok(false),
            Some(_) => Err(Error::new(
                Code::TemplateInvalid,
                format!("Version {} of {} is written down with other files.", entry.version, entry.lab),
            )
            .hint("Give the changed lab a new metadata.version.")),
            None => {
                self.entries.insert(key, entry);
                Ok(true)
            }
        }
    }

    /// The lines, without a signature.
    pub fn to_text(&self) -> Result<String> {
        let mut text = String::new();
        for entry in self.entries.values() {
            text.push_str(&serde_json_canonicalizer::to_string(entry).map_err(Error::internal)?);
            text.push('\n');
        }
        Ok(text)
    }

    /// The lines with the signature that `sign` makes over them.
    pub fn signed(&self, key_id: &str, sign: impl FnOnce(&[u8]) -> Result<[u8; 64]>) -> Result<String> {
        let text = self.to_text()?;
        let signature = sign(text.as_bytes())?;
        Ok(format!("{text}signed {key_id} {}\n", hex::encode(signature)))
    }
}

impl Read {
    /// # Errors
    /// `TemplateInvalid` naming the line; `TooLarge`.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        if bytes.len() > LOCK_BYTES {
            return Err(Error::new(Code::TooLarge, "The lock is larger than a lock may be.")
                .details(serde_json::json!({"limit": LOCK_BYTES, "actual": bytes.len()})));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| damaged("it is not UTF-8 text"))?;
        let (mut lock, mut signature, mut signed_to) = (Lock::default(), None, 0);
        for (n, line) in text.split_inclusive('\n').enumerate() {
            let bad = |why: &str| damaged(&format!("line {}: {why}", n + 1));
            if signature.is_some() {
                return Err(bad("something stands after the signature"));
            }
            let line = line.strip_suffix('\n').ok_or_else(|| bad("it is cut off"))?;
            if let Some(rest) = line.strip_prefix("signed ") {
                let (key, hex_text) = rest.split_once(' ').ok_or_else(|| bad("not a signature"))?;
                signature = Some((key.to_owned(), hex::decode(hex_text).map_err(|_| bad("its signature is not hex"))?));
                continue;
            }
            let entry: Entry = serde_json::from_str(line).map_err(|e| bad(&e.to_string()))?;
            let fresh = lock.add(entry).map_err(|e| bad(&e.message))?;
            if !fresh {
                return Err(bad("the same version twice"));
            }
            signed_to += line.len() + 1;
        }
        // One text for one meaning: order and spacing are part of the form.
        if text.as_bytes().get(..signed_to) != Some(lock.to_text()?.as_bytes()) {
            return Err(damaged("its lines are not in their canonical form and order"));
        }
        Ok(Self { lock, signature, signed: bytes.get(..signed_to).unwrap_or_default().to_vec() })
    }

    pub fn is_signed(&self) -> bool {
        self.signature.is_some()
    }

    /// Good when one of the keys signed exactly these lines.
    pub fn verify(&self, keys: &[PublicKey]) -> Result<()> {
        let Some((id, signature)) = &self.signature else { return Err(damaged("it is not signed")) };
        let Some(key) = keys.iter().find(|k| k.id() == *id) else {
            return Err(damaged(&format!("it is signed with a key that is not trusted here ({id})")));
        };
        if !key.verify(Domain::TemplateLock, &self.signed, signature) {
            return Err(damaged("its signature does not fit: it was changed after it was signed"));
        }
        Ok(())
    }
}

fn damaged(why: &str) -> Error {
    Error::new(Code::TemplateInvalid, format!("The lock of the labs cannot be trusted: {why}."))
}

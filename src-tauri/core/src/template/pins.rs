//! Which labs may be started: those whose files are what their version stands for.
//!
//! | origin | written down in | by |
//! |---|---|---|
//! | built in | `templates/catalogue.lock`, embedded beside the labs | whoever changes a lab; signed at a release |
//! | built in, seen here | `<home>/catalogue.lock` | this installation, the first time it sees a version |
//! | yours | `<home>/labs/catalogue.lock` | you: `forge labs pin` |
//! | an author's folder (`--labs`) | nowhere: it is being written | - |
//!
//! The two locks of this machine are signed with its own catalogue key.

use super::catalogue::Lab;
use super::lock::{Entry, Lock, Read};
use crate::api::LabOrigin;
use crate::error::{Code, Error, Result};
use crate::keys::{Domain, KeyName, Keys, PublicKey};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

pub const LOCK_FILE: &str = "catalogue.lock";
/// Present in a release: the key its lock is signed with.
pub const KEY_FILE: &str = "catalogue.pub.pem";

/// The digest a version of a lab stands for, or why there is none.
pub type Pin = Result<String>;

pub struct Pins {
    home: PathBuf,
    keys: Keys,
    /// A lock that cannot be trusted trusts no lab.
    release: Result<Lock>,
    seen: Result<Lock>,
    own: Result<Lock>,
}

/// What the build embeds: the lock, and the release key if there is one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Embedded<'a> {
    pub lock: Option<&'a [u8]>,
    pub key: Option<&'a str>,
}

impl Pins {
    /// Reads the locks of this data folder. What is wrong with one is said by [`Pins::of`] for the labs it is about.
    pub fn open(home: &Path, keys: &Keys, embedded: Embedded) -> Self {
        Self {
            release: release(embedded),
            seen: local(&home.join(LOCK_FILE), keys),
            own: local(&home.join("labs").join(LOCK_FILE), keys),
            home: home.to_owned(),
            keys: keys.clone(),
        }
    }

    /// What this lab's version stands for; an error says what changed, or which lock cannot be trusted.
    pub fn of(&self, lab: &Lab) -> Pin {
        match lab.origin {
            LabOrigin::Folder => Ok(lab.digest.clone()),
            LabOrigin::BuiltIn => {
                for (lock, place) in [(&self.release, "the built-in catalogue"), (&self.seen, "this installation")] {
                    if let Some(entry) = trusted(lock)?.get(&lab.id, &lab.version) {
                        unchanged(lab, entry, place)?;
                    }
                }
                let listed = trusted(&self.release)?.get(&lab.id, &lab.version);
                listed.map(|e| e.digest.clone()).ok_or_else(|| {
                    Error::new(
                        Code::TemplateInvalid,
                        format!("Version {} of {} is not in the built-in catalogue’s lock.", lab.version, lab.id),
                    )
                    .hint("Authors: `forge catalogue lock` writes it down. Everybody else: install FrostGate Forge again.")
                })
            }
            LabOrigin::Yours => {
                let own = trusted(&self.own)?;
                if let Some(entry) = own.get(&lab.id, &lab.version) {
                    unchanged(lab, entry, "you")?;
                    return Ok(entry.digest.clone());
                }
                let known: Vec<&str> = own.versions(&lab.id).collect();
                let message = match known.as_slice() {
                    [] => format!("{} is yours and has not been pinned yet.", lab.id),
                    known => format!(
                        "Version {} of {} has not been pinned yet; pinned: {}.",
                        lab.version,
                        lab.id,
                        known.join(", ")
                    ),
                };
                Err(Error::new(Code::TemplateInvalid, message)
                    .hint(format!("When it is as it should be: `forge labs pin {}`.", lab.id)))
            }
        }
    }

    /// Remembers the versions of built-in labs that are pinned and new here, so that a later installation cannot bring
    /// other files under the same version. Nothing is written when nothing is new.
    pub fn remember<'a>(&mut self, labs: impl Iterator<Item = &'a Lab>) -> Result<()> {
        let Ok(seen) = &self.seen else { return Ok(()) };
        let wanted: Vec<Entry> = labs
            .filter(|l| l.origin == LabOrigin::BuiltIn && l.pin.is_ok() && seen.get(&l.id, &l.version).is_none())
            .map(|l| Entry::of(&l.id, &l.version, &l.folder, true))
            .collect();
        if !wanted.is_empty() {
            self.seen = Ok(self.add(&self.home.join(LOCK_FILE), wanted)?);
        }
        Ok(())
    }

    /// Pins a version of a lab of the user's own. False when it was pinned before, with the same files.
    pub fn pin(&mut self, lab: &Lab) -> Result<bool> {
        if lab.origin != LabOrigin::Yours {
            return Err(Error::new(Code::InvalidInput, format!("{} is not one of your own labs.", lab.id))
                .hint(format!("Your labs lie in {}.", self.home.join("labs").display())));
        }
        let own = trusted(&self.own)?;
        if let Some(entry) = own.get(&lab.id, &lab.version) {
            unchanged(lab, entry, "you")?;
            return Ok(false);
        }
        let entry = Entry::of(&lab.id, &lab.version, &lab.folder, true);
        self.own = Ok(self.add(&self.home.join("labs").join(LOCK_FILE), vec![entry])?);
        Ok(true)
    }

    /// Under the file's own lock: two processes that pin at once both keep what they pinned.
    fn add(&self, path: &Path, entries: Vec<Entry>) -> Result<Lock> {
        let doing = |e: std::io::Error| Error::from(e).context(format!("Writing {}", path.display()));
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(doing)?;
        }
        let guard_path = path.with_extension("lock.guard");
        let guard =
            std::fs::File::options().create(true).truncate(false).write(true).open(guard_path).map_err(doing)?;
        guard.lock().map_err(doing)?;
        let mut lock = local(path, &self.keys)?;
        for entry in entries {
            lock.add(entry)?;
        }
        let id = self.keys.id(KeyName::Catalogue)?;
        let text = lock.signed(&id, |bytes| self.keys.sign(KeyName::Catalogue, Domain::TemplateLock, bytes))?;
        replace(path, text.as_bytes()).map_err(doing)?;
        Ok(lock)
    }
}

/// Compares with what was written down.
fn unchanged(lab: &Lab, entry: &Entry, by: &str) -> Result<()> {
    let Some(difference) = entry.difference(&lab.folder) else { return Ok(()) };
    Err(Error::new(
        Code::TemplateInvalid,
        format!(
            "{} has changed, but its version is still {}, which {by} pinned with other files. {difference}",
            lab.id, lab.version
        ),
    )
    .hint("If the change is meant, give the lab a new metadata.version; if not, put the old files back.")
    .details(serde_json::json!({"lab": lab.id, "version": lab.version, "difference": difference})))
}

fn trusted(lock: &Result<Lock>) -> Result<&Lock> {
    lock.as_ref().map_err(Clone::clone)
}

fn release(embedded: Embedded) -> Result<Lock> {
    let place = |e: Error| e.context("The built-in catalogue").hint("Install FrostGate Forge again.");
    let bytes = embedded.lock.ok_or_else(|| {
        place(Error::new(
            Code::TemplateInvalid,
            format!("It has no {LOCK_FILE}, so nothing says which files a lab is."),
        ))
    })?;
    let read = Read::parse(bytes).map_err(place)?;
    if let Some(pem) = embedded.key {
        read.verify(&[PublicKey::from_pem(pem).map_err(place)?]).map_err(place)?;
    }
    Ok(read.lock)
}

fn local(path: &Path, keys: &Keys) -> Result<Lock> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Lock::default()),
        Err(e) => return Err(Error::from(e).context(format!("Reading {}", path.display()))),
    };
    let place = |e: Error| {
        e.context(path.display()).hint(
            "Restore it from a backup. If you move it away, what is there now is written down anew, as if seen for the first time.",
        )
    };
    let read = Read::parse(&bytes).map_err(place)?;
    read.verify(&keys.ever(KeyName::Catalogue)?).map_err(place)?;
    Ok(read.lock)
}

/// The old file or the new one, whatever happens.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write;
    let draft = path.with_extension("lock.new");
    let mut file = std::fs::File::create(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&draft, path)?;
    #[cfg(unix)]
    if let Some(folder) = path.parent() {
        std::fs::File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// For maintainers, over a templates folder: writes new versions of its labs into its lock. Returns what was written down.
///
/// # Errors
/// `TemplateInvalid` when a lab changed and its version did not, or does not load.
pub fn write_lock(templates: &Path) -> Result<Vec<String>> {
    let path = templates.join(LOCK_FILE);
    let mut lock = match std::fs::read(&path) {
        Ok(bytes) => Read::parse(&bytes).map_err(|e| e.context(path.display()))?.lock,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Lock::default(),
        Err(e) => return Err(e.into()),
    };
    let mut fresh = BTreeSet::new();
    for lab in labs_of(templates)? {
        match lock.get(&lab.id, &lab.version) {
            Some(entry) => unchanged(&lab, entry, "the catalogue")?,
            None => {
                fresh.insert(format!("{} {}", lab.id, lab.version));
                lock.add(Entry::of(&lab.id, &lab.version, &lab.folder, false))?;
            }
        }
    }
    if !fresh.is_empty() {
        replace(&path, lock.to_text()?.as_bytes())?;
    }
    Ok(fresh.into_iter().collect())
}

/// Compares a templates folder with its lock; every lab that does not fit is named.
pub fn check_lock(templates: &Path) -> Result<usize> {
    let bytes = std::fs::read(templates.join(LOCK_FILE))
        .map_err(|e| Error::from(e).context(format!("Reading {}", templates.join(LOCK_FILE).display())))?;
    let key = std::fs::read_to_string(templates.join(KEY_FILE)).ok();
    let lock = release(Embedded { lock: Some(&bytes), key: key.as_deref() })?;
    let labs = labs_of(templates)?;
    let wrong: Vec<String> = labs
        .iter()
        .filter_map(|lab| match lock.get(&lab.id, &lab.version) {
            Some(entry) => unchanged(lab, entry, "the catalogue").err().map(|e| e.message),
            None => Some(format!("{} {} is not written down; run `forge catalogue lock`.", lab.id, lab.version)),
        })
        .collect();
    if wrong.is_empty() { Ok(labs.len()) } else { Err(Error::new(Code::TemplateInvalid, wrong.join("\n"))) }
}

/// Signs a templates folder's lock with a release key and puts the public half beside it, from where a build takes both.
/// `sign` gives the public key and the signature.
pub fn sign_lock(templates: &Path, key: &crate::keys::Portable) -> Result<String> {
    check_unsigned(templates)?;
    let path = templates.join(LOCK_FILE);
    let lock = Read::parse(&std::fs::read(&path)?)?.lock;
    let public = key.public();
    let text = lock.signed(&public.id(), |bytes| Ok(key.sign(Domain::TemplateLock, bytes)))?;
    replace(&templates.join(KEY_FILE), public.pem().as_bytes())?;
    replace(&path, text.as_bytes())?;
    Ok(public.id())
}

/// The labs must fit before they are vouched for, whoever signed the lock before.
fn check_unsigned(templates: &Path) -> Result<()> {
    let lock = Read::parse(&std::fs::read(templates.join(LOCK_FILE))?)?.lock;
    for lab in labs_of(templates)? {
        let entry = lock.get(&lab.id, &lab.version).ok_or_else(|| {
            Error::new(Code::TemplateInvalid, format!("{} {} is not written down.", lab.id, lab.version))
                .hint("Run `forge catalogue lock` first.")
        })?;
        unchanged(&lab, entry, "the catalogue")?;
    }
    Ok(())
}

fn labs_of(templates: &Path) -> Result<Vec<std::sync::Arc<Lab>>> {
    let sources = super::Sources { instead: Some(templates.to_owned()), user: None };
    let catalogue = super::Catalogue::load(&sources);
    match catalogue.broken().first() {
        Some(broken) => Err(broken.error.clone().context(&broken.place)),
        None => Ok(catalogue.list().cloned().collect()),
    }
}

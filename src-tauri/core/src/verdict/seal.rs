//! Sealing: score, pack, sign, and put the results folder in its place in one step, so that half a verdict never exists.

use super::bundle;
use super::canonical;
use super::dsse;
use super::score::Score;
use super::statement::{Checkpoint, Claims, Digest, Statement, seed_commitment};
use crate::api::TrustTier;
use crate::check::evidence::{Entry, OBSERVATIONS, Observations, SCENARIO};
use crate::error::{Code, Error, Result};
use crate::fault;
use crate::keys::{KeyName, Keys, PublicKey};
use crate::scrub::{Scrubbed, Scrubber};
use crate::template::scenario::Scenario;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

pub const SCORE: &str = "score.json";
pub const EVIDENCE: &str = "evidence.tar.zst";
pub const ENVELOPE: &str = "verdict.dsse.json";
pub const SIGNATURE: &str = "verdict.sig";
pub const PAE: &str = "verdict.pae";
pub const PUBLIC_KEY: &str = "verdict.pub.pem";
/// Everything a results folder holds.
pub const FILES: [&str; 6] = [SCORE, EVIDENCE, ENVELOPE, SIGNATURE, PAE, PUBLIC_KEY];

/// Whoever signs. The private key stays where it is.
pub trait Signer: Send + Sync {
    /// Ed25519 over exactly these bytes, a DSSE PAE.
    fn sign_pae(&self, pae: &[u8]) -> Result<[u8; 64]>;
    fn public_key(&self) -> Result<PublicKey>;
}

/// What is signed of a payload (its DSSE PAE) and the signature, seen to verify before anybody else sees it.
pub(super) fn signed(signer: &dyn Signer, key: &PublicKey, payload: &[u8]) -> Result<(Vec<u8>, [u8; 64])> {
    let pae = dsse::pae(dsse::PAYLOAD_TYPE, payload);
    let signature = signer.sign_pae(&pae)?;
    if key.verify_dsse(&pae, &signature) {
        return Ok((pae, signature));
    }
    Err(Error::new(Code::KeyUnavailable, "The signature just made does not verify under the key's public half."))
}

/// A verdict made on this machine is signed by the learner's key.
impl Signer for Keys {
    fn sign_pae(&self, pae: &[u8]) -> Result<[u8; 64]> {
        self.sign_dsse(KeyName::Learner, pae)
    }
    fn public_key(&self) -> Result<PublicKey> {
        self.public(KeyName::Learner)
    }
}

/// What only the caller knows. The score is not among it: it is graded from the evidence.
#[derive(Clone, Debug, PartialEq)]
pub struct Sealing {
    pub run: String,
    pub policy_digest: String,
    pub images: BTreeMap<String, String>,
    pub started: i64,
    pub finished: i64,
    pub duration_ms: u64,
    pub challenge: Option<String>,
    pub audit: Option<Checkpoint>,
    pub isolation: String,
    /// Milli-points that revealed hints take off, by criterion id.
    pub hint_costs: BTreeMap<String, u64>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Sealed {
    /// SHA-256 of verdict.pae, hex.
    pub id: String,
    pub dir: PathBuf,
    pub key_id: String,
    pub score: Score,
}

/// Scrubs collected evidence. Scoring happens afterwards, from what is left, so that whoever re-grades sees the same.
/// Should scrubbing change how the lab grades (a pattern of the lab looks like personal data), `EvidenceInvalid`
/// names the criteria: such a verdict could not be re-graded.
pub fn scrub(entries: Vec<Entry>, scrubber: &Scrubber) -> Result<Scrubbed<Vec<Entry>>> {
    let before = graded(&entries)?;
    let lab = entries.iter().find(|e| e.path == SCENARIO).map(|e| String::from_utf8_lossy(&e.bytes).into_owned());
    let scrubbed = scrubber.clone().belongs_to_the_lab(&lab.unwrap_or_default()).apply(entries);
    let after = graded(scrubbed.get())?;
    let changed: Vec<&str> = before
        .criteria
        .iter()
        .zip(&after.criteria)
        .filter(|(b, a)| b.outcome != a.outcome)
        .map(|(b, _)| b.id.as_str())
        .collect();
    if !changed.is_empty() {
        return Err(Error::new(
            Code::EvidenceInvalid,
            format!("Redacting the evidence would change the outcome of {}.", changed.join(", ")),
        )
        .hint("Values of the lab itself can be kept: they belong in its parameters."));
    }
    Ok(scrubbed)
}

fn graded(entries: &[Entry]) -> Result<Score> {
    let (scenario, observations) = read(entries)?;
    Ok(Score::of("", &scenario, &observations.findings, &BTreeMap::new()))
}

fn read(entries: &[Entry]) -> Result<(Scenario, Observations)> {
    let bytes = |path: &str| {
        let found = entries.iter().find(|e| e.path == path).map(|e| e.bytes.as_slice());
        found.ok_or_else(|| Error::new(Code::EvidenceInvalid, format!("The evidence has no {path}.")))
    };
    let not_ours = |path: &str, e: serde_json::Error| Error::new(Code::EvidenceInvalid, format!("{path}: {e}"));
    Ok((
        serde_json::from_slice(bytes(SCENARIO)?).map_err(|e| not_ours(SCENARIO, e))?,
        serde_json::from_slice(bytes(OBSERVATIONS)?).map_err(|e| not_ours(OBSERVATIONS, e))?,
    ))
}

/// Seals into `dir`, which must not exist yet (its parent is made if needed). Blocking. On any error nothing is left but,
/// after a crash, a hidden `.sealing-…` folder beside it, which is not a verdict.
pub fn seal(entries: &Scrubbed<Vec<Entry>>, what: &Sealing, signer: &dyn Signer, dir: &Path) -> Result<Sealed> {
    let (scenario, observations) = read(entries.get())?;
    let score = Score::of(&what.run, &scenario, &observations.findings, &what.hint_costs);
    let score_bytes = score.to_bytes()?;
    // What is written must be readable: the strict reader's limits hold here already.
    Score::from_bytes(&score_bytes)?;
    let packed = bundle::pack(entries)?;
    let key = signer.public_key()?;
    let scenario_bytes = entries.get().iter().find(|e| e.path == SCENARIO).map(|e| e.bytes.as_slice());
    let claims = Claims {
        run: what.run.clone(),
        lab: scenario.lab.clone(),
        version: scenario.version.clone(),
        template_digest: scenario.digest.clone(),
        scenario_digest: canonical::sha256(scenario_bytes.unwrap_or_default()),
        policy_digest: what.policy_digest.clone(),
        images: what.images.clone(),
        seed_commitment: seed_commitment(&scenario.seed),
        key_id: key.id(),
        tier: TrustTier::SelfAttested,
        started: what.started,
        finished: what.finished,
        duration_ms: what.duration_ms,
        challenge: what.challenge.clone(),
        audit: what.audit.clone(),
        isolation: what.isolation.clone(),
        score: score.score,
        max: score.max,
    };
    let digests = [Digest::of(&score_bytes), Digest::of(&packed.zst), Digest::of(&packed.tar)];
    let payload = Statement::new(&score, claims, digests).to_bytes()?;
    let (pae, signature) = signed(signer, &key, &payload)?;
    let envelope = dsse::write(&payload, &key.id(), &signature)?;
    let pem = key.pem();
    let contents: [(&str, &[u8]); 6] = [
        (SCORE, &score_bytes),
        (EVIDENCE, &packed.zst),
        (ENVELOPE, &envelope),
        (SIGNATURE, &signature),
        (PAE, &pae),
        (PUBLIC_KEY, pem.as_bytes()),
    ];
    place(dir, &contents)?;
    Ok(Sealed { id: canonical::sha256(&pae), dir: dir.to_owned(), key_id: key.id(), score })
}

/// Removes what a process that ended while it sealed into `dir` left beside it. Nobody may be sealing there.
pub fn remove_half_sealed(dir: &Path) -> std::io::Result<()> {
    let (Some(parent), Some(name)) = (dir.parent(), dir.file_name().and_then(|n| n.to_str())) else { return Ok(()) };
    let entries = match std::fs::read_dir(parent) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let half = entry.file_name().to_str().is_some_and(|n| {
            let process = n.strip_prefix(".sealing-").and_then(|n| n.strip_suffix(name)?.strip_suffix('-'));
            process.is_some_and(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()))
        });
        if half {
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// All files or none: written beside, synced, then renamed into place.
pub(super) fn place(dir: &Path, contents: &[(&str, &[u8])]) -> Result<()> {
    let at = |e: std::io::Error| Error::from(e).context(format!("writing the results to {}", dir.display()));
    let (Some(parent), Some(name)) = (dir.parent(), dir.file_name()) else {
        return Err(Error::new(Code::InvalidInput, format!("{} cannot be a results folder.", dir.display())));
    };
    if dir.symlink_metadata().is_ok() {
        return Err(Error::new(Code::Io, format!("{} exists already; a verdict is never overwritten.", dir.display())));
    }
    std::fs::create_dir_all(parent).map_err(at)?;
    let temporary = parent.join(format!(".sealing-{}-{}", std::process::id(), name.to_string_lossy()));
    let written = write_all(&temporary, contents).and_then(|()| {
        fault::point("submit.files.after");
        std::fs::rename(&temporary, dir)
    });
    if let Err(e) = written {
        if let Err(left) = std::fs::remove_dir_all(&temporary)
            && left.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(error = %left, folder = %temporary.display(), "a half-written results folder was left behind");
        }
        return Err(at(e));
    }
    sync_folder(parent).map_err(at)
}

fn write_all(folder: &Path, contents: &[(&str, &[u8])]) -> std::io::Result<()> {
    // Left by a crash of a process with our id: nobody else's.
    if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    std::fs::create_dir(folder)?;
    for (name, bytes) in contents {
        let mut file = File::create_new(folder.join(name))?;
        file.write_all(bytes)?;
        file.sync_all()?;
    }
    sync_folder(folder)
}

#[cfg(unix)]
fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> std::io::Result<()> {
    Ok(())
}

//! Writing a results folder: all of it or nothing, on the disk before it is told.

use super::bundle::{self, Entry};
use super::dsse::{self, Claims, Envelope, Predicate, Sha256, Statement, Subject};
use super::score::Score;
use super::sha256;
use crate::api::{OutcomeKind, TrustTier};
use crate::error::{Code, Error, Result};
use crate::keys::{KeyName, Keys};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

/// What the verdict says besides the score.
#[derive(Clone, Debug)]
pub struct About {
    pub template_digest: String,
    pub policy_digest: String,
    pub images: BTreeMap<String, String>,
    pub seed: String,
    pub started: i64,
    pub finished: i64,
    pub duration_ms: u64,
    pub audit_checkpoint: String,
}

/// A folder that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// SHA-256 of verdict.pae: the same statement in another envelope is the same verdict.
    pub id: String,
    pub key_id: String,
}

/// Signs and writes `dir`, which must not exist. `Io`, `DiskFull`: nothing of it is left.
pub fn seal(dir: &Path, score: &Score, evidence: Vec<Entry>, about: &About, keys: &Keys) -> Result<Sealed> {
    let key_id = keys.id(KeyName::Learner)?;
    let packed = bundle::pack(evidence)?;
    let score_bytes = score.to_bytes()?;
    let subjects = [
        ("score.json", sha256(&score_bytes)),
        ("evidence.tar.zst", sha256(&packed.compressed)),
        ("evidence.tar", sha256(&packed.tar)),
    ];
    let payload = statement(score, about, &key_id, &subjects).to_bytes()?;
    let pae = dsse::pae(dsse::PAYLOAD_TYPE, &payload);
    let signature = keys.sign_dsse(KeyName::Learner, &pae)?;
    let envelope = Envelope::new(&payload, &key_id, &signature).to_bytes()?;
    let pem = keys.public_pem(KeyName::Learner)?;
    let files: [(&str, &[u8]); 6] = [
        ("score.json", &score_bytes),
        ("evidence.tar.zst", &packed.compressed),
        ("verdict.dsse.json", &envelope),
        ("verdict.sig", &signature),
        ("verdict.pae", &pae),
        ("verdict.pub.pem", pem.as_bytes()),
    ];
    write(dir, &files).map_err(|e| e.context(format!("Writing the verdict to {}", dir.display())))?;
    Ok(Sealed { id: sha256(&pae), key_id })
}

fn statement(score: &Score, about: &About, key_id: &str, subjects: &[(&str, String)]) -> Statement {
    let subject = |(name, digest): &(&str, String)| Subject {
        name: (*name).to_owned(),
        digest: Sha256 { sha256: digest.clone() },
    };
    let with = |outcome: OutcomeKind| -> Vec<String> {
        score.criteria.iter().filter(|c| c.outcome == outcome).map(|c| c.id.clone()).collect()
    };
    let passed = score.criteria.iter().all(|c| c.outcome == OutcomeKind::Pass);
    Statement {
        kind: dsse::STATEMENT.into(),
        subject: subjects.iter().map(subject).collect(),
        predicate_type: dsse::PREDICATE.into(),
        predicate: Predicate {
            result: if passed { "PASSED" } else { "FAILED" }.into(),
            configuration: vec![
                subject(&("template", about.template_digest.clone())),
                subject(&("policy", about.policy_digest.clone())),
            ],
            passed_tests: with(OutcomeKind::Pass),
            warned_tests: with(OutcomeKind::Error),
            failed_tests: with(OutcomeKind::Fail),
            frostgate: Claims {
                version: 1,
                run: score.run.clone(),
                lab: score.lab.clone(),
                lab_version: score.lab_version.clone(),
                template_digest: about.template_digest.clone(),
                policy_digest: about.policy_digest.clone(),
                images: about.images.clone(),
                seed_commitment: seed_commitment(&score.run, &about.seed),
                learner_key: key_id.to_owned(),
                trust_tier: TrustTier::SelfAttested,
                started: about.started,
                finished: about.finished,
                duration_ms: about.duration_ms,
                challenge_nonce: None,
                audit_checkpoint: about.audit_checkpoint.clone(),
                score: score.score,
                max: score.max,
            },
        },
    }
}

/// See [`Claims::seed_commitment`].
pub(super) fn seed_commitment(run: &str, seed: &str) -> String {
    sha256(format!("frostgate.forge/seed\0{run}\0{seed}").as_bytes())
}

/// Into a staging folder beside it, synced, then renamed: a crash leaves either the whole folder or a staging folder that
/// nothing takes for a verdict.
fn write(dir: &Path, files: &[(&str, &[u8])]) -> Result<()> {
    let (Some(parent), Some(name)) = (dir.parent(), dir.file_name()) else {
        return Err(Error::new(Code::InvalidInput, "A results folder needs a name."));
    };
    if dir.exists() {
        return Err(Error::new(Code::Io, "There is a folder of that name already."));
    }
    std::fs::create_dir_all(parent)?;
    let staging = parent.join(format!(".{}.part", name.to_string_lossy()));
    match std::fs::remove_dir_all(&staging) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e.into()),
        _ => {}
    }
    let written = (|| -> Result<()> {
        std::fs::create_dir(&staging)?;
        for (name, bytes) in files {
            let mut file = std::fs::File::create_new(staging.join(name))?;
            file.write_all(bytes)?;
            file.sync_all()?;
        }
        std::fs::File::open(&staging)?.sync_all()?;
        std::fs::rename(&staging, dir)?;
        Ok(std::fs::File::open(parent)?.sync_all()?)
    })();
    if written.is_err() {
        // The first error is the one to tell; a staging folder that stays is replaced by the next try.
        let _ = std::fs::remove_dir_all(&staging);
    }
    written
}

//! Score and evidence: the ones that were signed, about the lab that the server knows, and the outcomes recomputed.

use super::no;
use bytes::Bytes;
use forge_core::board::{EVIDENCE_MAX, EVIDENCE_TAR_MAX, Fact, Refusal, RefusalCode, SCORE_MAX};
use forge_core::check::evidence::{OBSERVATIONS, Observations, SCENARIO};
use forge_core::error::{Code, Error};
use forge_core::keys::PublicKey;
use forge_core::template::Lab;
use forge_core::verdict::bundle::{Fault, Limits, Why, read};
use forge_core::verdict::canonical;
use forge_core::verdict::regrade::{Material, regrade};
use forge_core::verdict::score::Score;
use forge_core::verdict::statement::Statement;
use forge_core::verdict::verify::{digest_is, scenario_is_claimed, statement_is_of};
use std::path::Path;

/// What a bundle may cost this server. Our own writer's frames ask for 2 MiB; other levels of zstd up to 19 for 8 MiB.
pub const LIMITS: Limits =
    Limits { packed: EVIDENCE_MAX, tar: EVIDENCE_TAR_MAX, ratio: 200, entries: 10_000, window_log: 23, kept: 8 << 20 };

#[derive(Debug)]
pub struct Established {
    pub facts: Vec<Fact>,
    pub notes: Vec<String>,
    pub score_json: Bytes,
    pub evidence_bytes: u64,
    /// Digest of what was observed.
    pub answers: String,
}

/// Blocking; memory is bounded by [`LIMITS`], whatever the size of the file.
pub fn check(
    statement: &Statement,
    key: &PublicKey,
    score_json: &[u8],
    file: &Path,
    lab: Option<&Lab>,
) -> Result<Established, Refusal> {
    let mismatch = |why: String| no(RefusalCode::DigestMismatch, why);
    let inconsistent = |why: String| no(RefusalCode::Inconsistent, why);
    if score_json.len() > SCORE_MAX {
        return Err(no(RefusalCode::TooLarge, "score.json is larger than 1 MiB."));
    }
    digest_is(statement, 0, "score.json", &canonical::sha256(score_json)).map_err(mismatch)?;
    let source = std::fs::File::open(file).map_err(|e| super::trouble(&e.into()))?;
    let unpacked = match read(source, &LIMITS, |path| path == SCENARIO || path == OBSERVATIONS) {
        Ok(unpacked) => unpacked,
        Err(fault) => return Err(told_apart(statement, file, &fault)),
    };
    digest_is(statement, 1, "evidence.tar.zst", &unpacked.packed_sha256).map_err(mismatch)?;
    digest_is(statement, 2, "evidence.tar", &unpacked.tar_sha256).map_err(mismatch)?;
    let score = Score::from_bytes(score_json).map_err(|e| wrong_score(score_json, &e))?;
    let material = Material::of(&unpacked).map_err(|e| {
        let unknown = unpacked.entries.get(OBSERVATIONS).is_some_and(|e| unknown_version(&e.bytes));
        no(if unknown { RefusalCode::UnknownVersion } else { RefusalCode::EvidenceInvalid }, e.message)
    })?;
    scenario_is_claimed(statement, &material).map_err(inconsistent)?;
    score.fits(&material.scenario).map_err(|why| inconsistent(format!("score.json {why}")))?;
    statement_is_of(statement, &score, key).map_err(inconsistent)?;
    let mut established = Established {
        facts: vec![Fact::Digests],
        notes: Vec::new(),
        score_json: Bytes::copy_from_slice(score_json),
        evidence_bytes: unpacked.packed_bytes,
        answers: answers(&material.observations),
    };
    if let Some(lab) = lab {
        let ours = lab.instantiate(&material.scenario.seed).map_err(|e| no(RefusalCode::OtherLab, e.message))?;
        if ours != material.scenario.as_written() {
            return Err(no(
                RefusalCode::OtherLab,
                "The lab in the evidence is not what its template gives for that seed: it was changed.",
            ));
        }
        established.facts.push(Fact::SameLab);
    }
    let differences = regrade(&material, &score);
    if !differences.is_empty() {
        return Err(no(RefusalCode::RegradeDiffers, "The outcomes do not follow from the evidence.")
            .details(serde_json::json!({"differences": differences.iter().take(20).collect::<Vec<_>>()})));
    }
    established.facts.push(Fact::ReGraded);
    Ok(established)
}

/// A bundle that was damaged on the way is another one than was signed; only the signed one is worth more words.
fn told_apart(statement: &Statement, file: &Path, fault: &Fault) -> Refusal {
    let code = match fault.why {
        Why::Truncated => RefusalCode::Truncated,
        Why::TooLarge => RefusalCode::TooLarge,
        Why::Bomb => RefusalCode::Bomb,
        Why::UnsafePath => RefusalCode::UnsafePath,
        Why::UnknownVersion => RefusalCode::UnknownVersion,
        Why::Malformed => RefusalCode::EvidenceInvalid,
    };
    if matches!(code, RefusalCode::EvidenceInvalid) && !signed(statement, file) {
        return no(RefusalCode::DigestMismatch, format!("The evidence is not the one that was signed: {fault}"));
    }
    no(code, fault.to_string())
}

fn signed(statement: &Statement, file: &Path) -> bool {
    use sha2::{Digest, Sha256};
    let mut hash = Sha256::new();
    let hashed = std::fs::File::open(file).and_then(|mut f| std::io::copy(&mut f, &mut HashWriter(&mut hash)));
    hashed.is_ok() && digest_is(statement, 1, "evidence.tar.zst", &hex::encode(hash.finalize())).is_ok()
}

struct HashWriter<'a>(&'a mut sha2::Sha256);

impl std::io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        sha2::Digest::update(self.0, bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn unknown_version(bytes: &[u8]) -> bool {
    let value: Option<serde_json::Value> = serde_json::from_slice(bytes).ok();
    value.is_some_and(|v| v.get("version").and_then(serde_json::Value::as_u64).is_some_and(|v| v != 1))
}

fn wrong_score(bytes: &[u8], e: &Error) -> Refusal {
    if unknown_version(bytes) {
        return no(RefusalCode::UnknownVersion, e.message.clone());
    }
    let spelled = serde_json::from_slice::<serde_json::Value>(bytes).ok().and_then(|v| canonical::to_bytes(&v).ok());
    if spelled.is_some_and(|s| s != bytes) {
        return no(RefusalCode::Reordered, "score.json is not spelled canonically (RFC 8785).");
    }
    let code = if e.code == Code::VerdictInvalid { RefusalCode::Inconsistent } else { RefusalCode::Malformed };
    no(code, e.message.clone())
}

/// The same answers give the same digest, whenever they were seen.
fn answers(observations: &Observations) -> String {
    let seen: Vec<serde_json::Value> = observations
        .findings
        .iter()
        .map(|f| serde_json::json!([f.criterion, f.index, f.observation.answered]))
        .collect();
    canonical::sha256(serde_json::Value::from(seen).to_string().as_bytes())
}

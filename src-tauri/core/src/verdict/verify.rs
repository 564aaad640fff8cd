//! Verifying a results folder, believing nothing in it: each step says what it holds against what, and the first that
//! fails names what is wrong. Needs no network, no database and no key but the one in the folder.

use super::bundle;
use super::canonical;
use super::dsse::{self, Opened};
use super::regrade::{Material, regrade};
use super::score::Score;
use super::seal::{ENVELOPE, EVIDENCE, FILES, PAE, PUBLIC_KEY, SCORE, SIGNATURE};
use super::statement::{Digest, Statement, seed_commitment};
use crate::api::{TrustTier, VerifyCheck, VerifyReport};
use crate::error::{Code, Error, Result};
use crate::keys::PublicKey;
use crate::observe::charts::points;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;

/// Verifies; blocking. A verdict that does not hold is a report with `ok: false`; the error is for a folder that cannot be
/// read at all. With `regrade`, every outcome is recomputed from the evidence, and the tier rises accordingly.
pub fn verify_dir(dir: &Path, regrade: bool) -> Result<VerifyReport> {
    let mut report = Report::default();
    let files = match read_folder(dir)? {
        Ok(files) => files,
        Err(why) => {
            report.check("files", Err(why));
            return Ok(report.finish());
        }
    };
    report.check("files", Ok(format!("{} files, none missing, none extra", files.len())));
    let file = |name: &str| files.get(name).map(Vec::as_slice).unwrap_or_default();
    // A step that fails ends it: what follows would speak about things that are not proven.
    if let Err((name, why)) = steps(&file, regrade, &mut report) {
        report.check(name, Err(why));
    }
    Ok(report.finish())
}

#[derive(Default)]
struct Report {
    checks: Vec<VerifyCheck>,
    key_id: String,
    verdict_id: String,
    tier: Option<TrustTier>,
}

impl Report {
    fn check(&mut self, name: &str, result: Result<String, String>) {
        let ok = result.is_ok();
        let detail = result.unwrap_or_else(|why| why);
        self.checks.push(VerifyCheck { name: name.into(), ok, detail });
    }

    fn finish(self) -> VerifyReport {
        let ok = !self.checks.is_empty() && self.checks.iter().all(|c| c.ok);
        // Nothing about a verdict that does not hold may be taken from it.
        let tier = if ok { self.tier } else { None };
        VerifyReport { ok, key_id: self.key_id, verdict_id: self.verdict_id, tier, checks: self.checks }
    }
}

type Failed = (&'static str, String);

fn steps<'a>(file: &dyn Fn(&str) -> &'a [u8], again: bool, report: &mut Report) -> Result<(), Failed> {
    let key = step("public key", || {
        let text = std::str::from_utf8(file(PUBLIC_KEY)).map_err(|_| format!("{PUBLIC_KEY} is not text"))?;
        let key = PublicKey::from_pem(text).map_err(|e| format!("{PUBLIC_KEY}: {e}"))?;
        if key.pem() != text {
            return Err(format!("{PUBLIC_KEY} is not spelled as a public key is"));
        }
        Ok(key)
    })?;
    report.key_id = key.id();
    report.check("public key", Ok(format!("Ed25519, {}", key.id())));

    let opened = step("envelope", || dsse::read(file(ENVELOPE)).map_err(|e| e.message))?;
    let pae = dsse::pae(dsse::PAYLOAD_TYPE, &opened.payload);
    step("envelope", || same_as_envelope(&opened, &pae, &key, file))?;
    report.check("envelope", Ok("DSSE, one signature, the same as in verdict.pae and verdict.sig".into()));

    step("signature", || match key.verify_dsse(&pae, &opened.signature) {
        true => Ok(()),
        false => Err(format!("{SIGNATURE} does not sign {PAE} under {PUBLIC_KEY}: one of the three was changed")),
    })?;
    report.verdict_id = dsse::verdict_id(&pae);
    report.check("signature", Ok(format!("holds; verdict {}", report.verdict_id)));

    let statement = step("statement", || Statement::from_bytes(&opened.payload).map_err(|e| e.message))?;
    let unpacked_tar;
    let bundle = {
        step("digests", || digest(&statement, 0, SCORE, file(SCORE)))?;
        step("digests", || digest(&statement, 1, EVIDENCE, file(EVIDENCE)))?;
        let bundle = step("evidence", || bundle::unpack(file(EVIDENCE)).map_err(|e| e.message))?;
        unpacked_tar = bundle.tar_bytes;
        step("digests", || digest_is(&statement, 2, "evidence.tar", &bundle.tar_sha256))?;
        bundle
    };
    report.check("digests", Ok("score.json, evidence.tar.zst and the tar in it are the ones that were signed".into()));
    report.check(
        "evidence",
        Ok(format!("{} files, {unpacked_tar} bytes, each as its manifest says", bundle.entries.len())),
    );

    let score = step("score", || Score::from_bytes(file(SCORE)).map_err(|e| e.message))?;
    let material = step("scenario", || Material::of(&bundle).map_err(|e| e.message))?;
    step("scenario", || scenario_is_claimed(&statement, &material))?;
    report.check(
        "scenario",
        Ok(format!("{} {}, as the signed digest says", material.scenario.lab, material.scenario.version)),
    );
    step("score", || score.fits(&material.scenario).map_err(|why| format!("{SCORE} {why}")))?;
    step("statement", || statement_is_of(&statement, &score, &key))?;
    report.check("score", Ok(format!("{} of {} points, and it adds up", points(score.score), points(score.max))));
    report.check("statement", Ok("says what score.json and the evidence say".into()));
    report.tier = Some(statement.predicate.forge.tier);

    if again {
        let differences = regrade(&material, &score);
        step("re-grade", || if differences.is_empty() { Ok(()) } else { Err(differences.join("; ")) })?;
        report.check("re-grade", Ok(format!("all {} outcomes follow from the evidence", score.criteria.len())));
        report.tier = Some(TrustTier::ReGraded);
    }
    Ok(())
}

fn step<T>(name: &'static str, what: impl FnOnce() -> Result<T, String>) -> Result<T, Failed> {
    what().map_err(|why| (name, why))
}

fn same_as_envelope<'a>(
    opened: &Opened,
    pae: &[u8],
    key: &PublicKey,
    file: &dyn Fn(&str) -> &'a [u8],
) -> Result<(), String> {
    if opened.key_id != key.id() {
        return Err(format!("{ENVELOPE} names key {}, {PUBLIC_KEY} is {}", show(&opened.key_id), key.id()));
    }
    if pae != file(PAE) {
        return Err(format!("{PAE} is not the encoding of the payload in {ENVELOPE}"));
    }
    if opened.signature.as_slice() != file(SIGNATURE) {
        return Err(format!("{SIGNATURE} is not the signature in {ENVELOPE}"));
    }
    Ok(())
}

fn digest(statement: &Statement, index: usize, name: &str, bytes: &[u8]) -> Result<(), String> {
    digest_is(statement, index, name, &canonical::sha256(bytes))
}

/// Whether the subject at `index` of the signed statement is `name` with this digest (hex).
pub fn digest_is(statement: &Statement, index: usize, name: &str, sha256: &str) -> Result<(), String> {
    let subject = statement.subject.get(index).filter(|s| s.name == name && statement.subject.len() == 3);
    let Some(subject) = subject else {
        return Err(format!("the signed statement does not name {name} where it should"));
    };
    if subject.digest.sha256 != sha256 {
        return Err(format!("{name} is not the one that was signed (SHA-256 differs)"));
    }
    Ok(())
}

/// Whether the lab in the evidence is the one that the statement names, down to its seed.
pub fn scenario_is_claimed(statement: &Statement, material: &Material) -> Result<(), String> {
    let claims = &statement.predicate.forge;
    let scenario = &material.scenario;
    if canonical::sha256(&material.scenario_bytes) != claims.scenario_digest {
        return Err("the lab in the evidence is not the one the statement names".into());
    }
    if scenario.digest != claims.template_digest {
        return Err(format!(
            "the lab in the evidence was made from template {}, the statement claims {}",
            show(&scenario.digest),
            show(&claims.template_digest)
        ));
    }
    if (&scenario.lab, &scenario.version) != (&claims.lab, &claims.version) {
        return Err("the lab in the evidence has another name or version than the statement claims".into());
    }
    if seed_commitment(&scenario.seed) != claims.seed_commitment {
        return Err("the seed of the lab is not the one the statement commits to".into());
    }
    Ok(())
}

/// Everything in the statement that follows from the score must be what follows from the score.
pub fn statement_is_of(statement: &Statement, score: &Score, key: &PublicKey) -> Result<(), String> {
    let claims = &statement.predicate.forge;
    if claims.tier != TrustTier::SelfAttested {
        return Err("the statement claims a trust tier that a laptop's key cannot give".into());
    }
    if claims.key_id != key.id() {
        return Err("the statement names another key than the one that signed it".into());
    }
    if (claims.score, claims.max, &claims.run) != (score.score, score.max, &score.run) {
        return Err("the statement claims another score or run than score.json".into());
    }
    if claims.finished < claims.started {
        return Err("the statement says that the run ended before it began".into());
    }
    let digests: [Digest; 3] = statement
        .subject
        .iter()
        .map(|s| s.digest.clone())
        .collect::<Vec<_>>()
        .try_into()
        .map_err(|_| "the statement does not have three subjects".to_owned())?;
    if Statement::new(score, claims.clone(), digests) != *statement {
        return Err("the statement's result or lists of criteria do not follow from score.json".into());
    }
    Ok(())
}

/// Text out of an unproven file, shown without what could disturb a terminal.
fn show(text: &str) -> String {
    text.escape_debug().take(80).collect()
}

type Files = BTreeMap<&'static str, Vec<u8>>;

/// The six files, each a regular file of bounded size, and nothing else. The inner error is about the verdict.
pub(super) fn read_folder(dir: &Path) -> Result<Result<Files, String>> {
    let cannot = |e: std::io::Error| {
        let code = if e.kind() == std::io::ErrorKind::NotFound { Code::NotFound } else { Code::Io };
        Error::new(code, format!("{} cannot be read: {e}", dir.display()))
            .hint("Give the folder that holds verdict.dsse.json.")
    };
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(dir).map_err(cannot)? {
        names.insert(entry.map_err(cannot)?.file_name().to_string_lossy().into_owned());
        if names.len() > 64 {
            return Ok(Err("the folder holds much more than a verdict".into()));
        }
    }
    let missing: Vec<&str> = FILES.into_iter().filter(|f| !names.contains(*f)).collect();
    if !missing.is_empty() {
        return Ok(Err(format!("missing: {}", missing.join(", "))));
    }
    let extra: Vec<String> = names.iter().filter(|n| !FILES.contains(&n.as_str())).map(|n| show(n)).collect();
    if !extra.is_empty() {
        return Ok(Err(format!("not part of a verdict: {}", extra.join(", "))));
    }
    let mut files = Files::new();
    for name in FILES {
        let path = dir.join(name);
        if !path.symlink_metadata().map_err(cannot)?.is_file() {
            return Ok(Err(format!("{name} is not a regular file")));
        }
        let max = match name {
            EVIDENCE => bundle::PACKED_MAX,
            SIGNATURE => 64,
            PUBLIC_KEY => 4096,
            _ => 8 << 20,
        };
        let mut bytes = Vec::new();
        let file = std::fs::File::open(&path).map_err(cannot)?;
        file.take(max as u64 + 1).read_to_end(&mut bytes).map_err(cannot)?;
        if bytes.len() > max {
            return Ok(Err(format!("{name} is larger than such a file can be")));
        }
        files.insert(name, bytes);
    }
    Ok(Ok(files))
}

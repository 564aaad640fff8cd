//! Reading a results folder as a stranger would: nothing is believed before it is checked, and what is wrong is named.

use super::bundle::{self, Entry};
use super::dsse::{Envelope, Opened, Statement};
use super::score::Score;
use super::seal::seed_commitment;
use super::{FILES, SCENARIO, regrade, sha256};
use crate::api::{OutcomeKind, VerifyCheck, VerifyReport};
use crate::error::{Code, Error, Result};
use crate::keys::PublicKey;
use crate::template::scenario::Scenario;
use std::collections::BTreeMap;
use std::path::Path;

/// Verifies a folder. `Ok` also when it does not verify: read `ok` and the first check that failed. `NotFound` when there is no
/// such folder.
pub fn verify_dir(dir: &Path, regrade: bool) -> Result<VerifyReport> {
    if !dir.is_dir() {
        return Err(Error::new(Code::NotFound, format!("There is no results folder {}.", dir.display()))
            .hint("Name the folder that holds verdict.dsse.json."));
    }
    let mut report = VerifyReport { ok: false, key_id: String::new(), verdict_id: String::new(), tier: None, checks: Vec::new() };
    match checks(dir, regrade, &mut report) {
        Ok(()) => report.ok = true,
        Err((name, error)) => report.checks.push(VerifyCheck { name: name.into(), ok: false, detail: error.message }),
    }
    Ok(report)
}

type Failed = (&'static str, Error);

fn checks(dir: &Path, regrade: bool, report: &mut VerifyReport) -> Result<(), Failed> {
    let files = read(dir).map_err(|e| ("files", e))?;
    let get = |name: &'static str| files.get(name).map(Vec::as_slice).unwrap_or_default();
    passed(report, "files", "the six files of a verdict, and no other");

    let pem = std::str::from_utf8(get("verdict.pub.pem")).map_err(|_| ("verdict.pub.pem", wrong("it is not text")))?;
    let key = PublicKey::from_pem(pem).map_err(|e| ("verdict.pub.pem", e))?;
    if key.pem() != pem {
        return Err(("verdict.pub.pem", wrong("it is not written the one way a public key is written")));
    }
    report.key_id = key.id();
    let detail = format!("key {}", report.key_id);
    passed(report, "verdict.pub.pem", &detail);

    let opened = Envelope::open(get("verdict.dsse.json")).map_err(|e| ("verdict.dsse.json", e))?;
    signature(&opened, &key, &get)?;
    report.verdict_id = sha256(&opened.pae);
    passed(report, "signature", "Ed25519 over verdict.pae, which is the envelope's statement");

    let statement = Statement::from_bytes(&opened.payload).map_err(|e| ("statement", e))?;
    let claims = &statement.predicate.frostgate;
    if claims.learner_key != report.key_id {
        return Err(("statement", wrong("it names another key than the one that signed it")));
    }
    report.tier = Some(claims.trust_tier);
    let detail = format!("{} {}, run {}", claims.lab, claims.lab_version, claims.run);
    passed(report, "statement", &detail);

    for name in ["score.json", "evidence.tar.zst"] {
        if statement.subject(name) != Some(sha256(get(name)).as_str()) {
            return Err((name, wrong("it is not the file that was signed (its SHA-256 differs)")));
        }
        passed(report, name, "the file that was signed");
    }
    let (entries, tar) = bundle::unpack(get("evidence.tar.zst")).map_err(|e| ("evidence.tar.zst", e))?;
    if statement.subject("evidence.tar") != Some(tar.as_str()) || statement.subject.len() != 3 {
        return Err(("evidence.tar", wrong("the uncompressed evidence is not what was signed")));
    }
    let detail = format!("{} files, each as its manifest says", entries.len());
    passed(report, "manifest", &detail);

    let score = Score::from_bytes(get("score.json")).map_err(|e| ("score", e))?;
    let scenario = scenario(&entries).map_err(|e| ("scenario.json", e))?;
    agree(&statement, &score, &scenario)?;
    let detail = format!("{} of {} points, following from the outcomes", points(score.score), points(score.max));
    passed(report, "score", &detail);

    if regrade {
        let count = regrade::again(&entries, &scenario, &score).map_err(|e| ("outcomes", e))?;
        let detail = format!("{count} criteria judged again from the evidence, with the same outcomes");
        passed(report, "outcomes", &detail);
    }
    Ok(())
}

fn passed(report: &mut VerifyReport, name: &str, detail: &str) {
    report.checks.push(VerifyCheck { name: name.into(), ok: true, detail: detail.into() });
}

/// Exactly the files of a verdict, each a regular file within its limit.
fn read(dir: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !FILES.contains(&name.as_str()) {
            return Err(wrong(&format!("{name} does not belong in it")));
        }
        if !entry.file_type()?.is_file() {
            return Err(wrong(&format!("{name} is not a regular file")));
        }
        if entry.metadata()?.len() > bundle::MAX_COMPRESSED as u64 {
            return Err(wrong(&format!("{name} is larger than it can be")));
        }
        files.insert(name, std::fs::read(entry.path())?);
    }
    match FILES.iter().find(|f| !files.contains_key(**f)) {
        Some(missing) => Err(wrong(&format!("{missing} is missing"))),
        None => Ok(files),
    }
}

fn signature<'a>(opened: &Opened, key: &PublicKey, get: &impl Fn(&'static str) -> &'a [u8]) -> Result<(), Failed> {
    if get("verdict.pae") != opened.pae {
        return Err(("verdict.pae", wrong("it is not the encoding of the envelope's statement")));
    }
    if get("verdict.sig") != opened.signature {
        return Err(("verdict.sig", wrong("it is not the envelope's signature")));
    }
    if opened.keyid != key.id() {
        return Err(("verdict.dsse.json", wrong("it names another key than verdict.pub.pem")));
    }
    if !key.verify_dsse(&opened.pae, &opened.signature) {
        return Err(("signature", wrong("it does not verify with verdict.pub.pem")));
    }
    Ok(())
}

fn scenario(entries: &[Entry]) -> Result<Scenario> {
    let found = entries.iter().find(|e| e.path == SCENARIO).ok_or_else(|| wrong("it is missing from the evidence"))?;
    serde_json::from_slice(&found.bytes).map_err(|e| wrong(&format!("it cannot be read: {e}")))
}

/// Statement, score and scenario tell the same story.
fn agree(statement: &Statement, score: &Score, scenario: &Scenario) -> Result<(), Failed> {
    let predicate = &statement.predicate;
    let claims = &predicate.frostgate;
    let with = |outcome: OutcomeKind| -> Vec<&str> {
        score.criteria.iter().filter(|c| c.outcome == outcome).map(|c| c.id.as_str()).collect()
    };
    let all_passed = score.criteria.iter().all(|c| c.outcome == OutcomeKind::Pass);
    let statement_says = [
        (claims.run == score.run, "another run"),
        (claims.lab == score.lab && claims.lab_version == score.lab_version, "another lab"),
        ((claims.score, claims.max) == (score.score, score.max), "another score"),
        (predicate.result == if all_passed { "PASSED" } else { "FAILED" }, "another result"),
        (predicate.passed_tests == with(OutcomeKind::Pass), "other passed criteria"),
        (predicate.failed_tests == with(OutcomeKind::Fail), "other failed criteria"),
        (predicate.warned_tests == with(OutcomeKind::Error), "other undecided criteria"),
    ];
    if let Some((_, what)) = statement_says.iter().find(|(fine, _)| !fine) {
        return Err(("score", wrong(&format!("the statement tells of {what} than score.json"))));
    }
    let scenario_says = [
        (scenario.lab == claims.lab && scenario.version == claims.lab_version, "another lab"),
        (scenario.digest == claims.template_digest, "another template"),
        (seed_commitment(&claims.run, &scenario.seed) == claims.seed_commitment, "another seed"),
    ];
    if let Some((_, what)) = scenario_says.iter().find(|(fine, _)| !fine) {
        return Err(("scenario.json", wrong(&format!("the evidence is of {what} than the statement tells"))));
    }
    let mut weights: Vec<(&str, u32)> = scenario.criteria.iter().map(|c| (c.id.as_str(), c.weight)).collect();
    weights.sort_unstable();
    let scored: Vec<(&str, u32)> = score.criteria.iter().map(|c| (c.id.as_str(), c.weight)).collect();
    if weights != scored {
        return Err(("score", wrong("its criteria or weights are not the lab's")));
    }
    Ok(())
}

fn points(milli: u64) -> String {
    if milli.is_multiple_of(1000) { (milli / 1000).to_string() } else { format!("{}.{:03}", milli / 1000, milli % 1000) }
}

fn wrong(what: &str) -> Error {
    Error::new(Code::VerdictInvalid, format!("{what}."))
}

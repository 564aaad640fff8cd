//! What a verdict's folder holds for trying it again: only after everything in it was verified and graded again.

use super::bundle::{self, Unpacked};
use super::canonical;
use super::regrade::Material;
use super::score::Score;
use super::seal::{EVIDENCE, SCORE};
use super::verify::{read_folder, verify_dir};
use crate::check::evidence::{Entry, submitted};
use crate::error::{Code, Error, Result};
use crate::template::scenario::{Carried, Scenario};
use std::path::Path;

#[derive(Clone, Debug)]
pub struct Submission {
    /// The verdict's id.
    pub id: String,
    pub score: Score,
    /// The lab as it ran.
    pub scenario: Scenario,
    bundle: Unpacked,
}

impl Submission {
    /// Blocking. `VerdictInvalid` names the first check that did not hold.
    pub fn of(dir: &Path) -> Result<Self> {
        let report = verify_dir(dir, true)?;
        let invalid = |why: String| Error::new(Code::VerdictInvalid, format!("The verdict does not hold: {why}."));
        if let Some(wrong) = report.checks.iter().find(|c| !c.ok) {
            return Err(invalid(format!("{}: {}", wrong.name, wrong.detail)).hint("`forge verify` shows every check."));
        }
        let files = read_folder(dir)?.map_err(invalid)?;
        let file = |name: &str| files.get(name).map(Vec::as_slice).unwrap_or_default();
        // Read a second time: what is used must be what was verified.
        let bundle = bundle::unpack(file(EVIDENCE))?;
        let pae = file(super::seal::PAE);
        let opened = super::dsse::read(file(super::seal::ENVELOPE))?;
        let statement = super::Statement::from_bytes(&opened.payload)?;
        let same = canonical::sha256(pae) == report.verdict_id
            && super::dsse::pae(super::dsse::PAYLOAD_TYPE, &opened.payload) == pae
            && super::verify::digest_is(&statement, 1, EVIDENCE, &bundle.packed_sha256).is_ok()
            && super::verify::digest_is(&statement, 0, SCORE, &canonical::sha256(file(SCORE))).is_ok();
        if !same {
            return Err(invalid("the folder changed while it was read".into()));
        }
        let score = Score::from_bytes(file(SCORE))?;
        let scenario = Material::of(&bundle)?.scenario;
        Ok(Self { id: report.verdict_id, score, scenario, bundle })
    }

    /// What was submitted for this file. `EvidenceInvalid` when the evidence does not hold it as text.
    pub fn text(&self, file: &Carried) -> Result<&str> {
        let path = submitted(file);
        let missing = |why: &str| {
            Error::new(Code::EvidenceInvalid, format!("The evidence cannot be tried again: {path} {why}."))
                .hint("notes.json in evidence.tar.zst says what was left out, and why.")
        };
        let found = self.bundle.entries.get(&path).filter(|e: &&Entry| e.kind == "submitted");
        let bytes = &found.ok_or_else(|| missing("is not in it"))?.bytes;
        std::str::from_utf8(bytes).map_err(|_| missing("is no text"))
    }
}

//! What is sent of a results folder: read once, verified, and then sent from memory, so that nothing but the signed and
//! scrubbed bytes can leave.

use crate::error::{Code, Error, Result};
use crate::verdict::seal::{ENVELOPE, EVIDENCE, SCORE};
use crate::verdict::statement::{Claims, Statement};
use crate::verdict::{canonical, dsse, verify};
use std::path::Path;

#[derive(Clone, Debug)]
pub struct Parcel {
    /// SHA-256 of the signed bytes.
    pub id: String,
    pub key_id: String,
    pub envelope: Vec<u8>,
    pub score: Vec<u8>,
    pub evidence: Vec<u8>,
    /// The signed statement.
    pub payload: Vec<u8>,
    pub claims: Claims,
}

impl Parcel {
    /// Without what is large.
    #[must_use]
    pub fn envelope_only(self) -> Self {
        Self { score: Vec::new(), evidence: Vec::new(), ..self }
    }
}

/// Reads and verifies a results folder; blocking.
///
/// # Errors
/// `VerdictInvalid` when it is not, to the byte, what was signed as `id`; `Io` when it cannot be read now.
pub fn read(dir: &Path, id: &str) -> Result<Parcel> {
    if !dir.is_dir() {
        return Err(changed("its folder is not there any more"));
    }
    let report = verify::verify_dir(dir, false)?;
    if let Some(wrong) = report.checks.iter().find(|c| !c.ok) {
        return Err(changed(&format!("{}: {}", wrong.name, wrong.detail)));
    }
    if report.verdict_id != id {
        return Err(changed("its folder holds another verdict"));
    }
    let file =
        |name: &str| std::fs::read(dir.join(name)).map_err(|e| Error::from(e).context(format!("Reading {name}")));
    let (envelope, score, evidence) = (file(ENVELOPE)?, file(SCORE)?, file(EVIDENCE)?);
    let opened = dsse::read(&envelope)?;
    let statement = Statement::from_bytes(&opened.payload)?;
    // The folder may have been written to since it was verified: what is in memory counts.
    if dsse::verdict_id(&dsse::pae(dsse::PAYLOAD_TYPE, &opened.payload)) != id {
        return Err(changed("its envelope changed while it was read"));
    }
    for (index, bytes) in [&score, &evidence].into_iter().enumerate() {
        let digest = canonical::sha256(bytes);
        if statement.subject.get(index).is_none_or(|s| s.digest.sha256 != digest) {
            return Err(changed("its files changed while they were read"));
        }
    }
    let (key_id, claims) = (opened.key_id, statement.predicate.forge);
    Ok(Parcel { id: id.to_owned(), key_id, envelope, score, evidence, payload: opened.payload, claims })
}

/// Reads the envelope alone, for when no evidence goes along; blocking. Its score and evidence are empty.
///
/// # Errors
/// As [`read`].
pub fn read_envelope(dir: &Path, id: &str) -> Result<Parcel> {
    let file = dir.join(ENVELOPE);
    let envelope = std::fs::read(&file).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => changed("its envelope is not there any more"),
        _ => Error::from(e).context(format!("Reading {ENVELOPE}")),
    })?;
    let opened = dsse::read(&envelope)?;
    if dsse::verdict_id(&dsse::pae(dsse::PAYLOAD_TYPE, &opened.payload)) != id {
        return Err(changed("its folder holds another verdict"));
    }
    let claims = Statement::from_bytes(&opened.payload)?.predicate.forge;
    let none = Vec::new;
    let (key_id, payload) = (opened.key_id, opened.payload);
    Ok(Parcel { id: id.to_owned(), key_id, envelope, score: none(), evidence: none(), payload, claims })
}

fn changed(why: &str) -> Error {
    Error::new(Code::VerdictInvalid, format!("The verdict on this machine is not the one that was signed: {why}."))
        .hint("Restore the results folder from a backup, then: forge sync --retry-refused")
}

/// The parts of a request that carries everything at once, in the order that the scoreboard wants.
pub fn parts(parcel: &Parcel) -> [(&'static str, &[u8]); 3] {
    [("envelope", &parcel.envelope), ("score", &parcel.score), ("evidence", &parcel.evidence)]
}

/// multipart/form-data (RFC 7578): content type and body. The boundary is a digest of what it must not occur in, so that it
/// does not, and the same parcel gives the same bytes.
pub fn form(parcel: &Parcel) -> (String, Vec<u8>) {
    let boundary = format!("forge-{}", canonical::sha256(format!("boundary {}", parcel.id).as_bytes()));
    let mut body = Vec::with_capacity(parcel.envelope.len() + parcel.score.len() + parcel.evidence.len() + 1024);
    for (name, bytes) in parts(parcel) {
        let head = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{name}\"\r\nContent-Type: application/octet-stream\r\n\r\n"
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    (format!("multipart/form-data; boundary={boundary}"), body)
}

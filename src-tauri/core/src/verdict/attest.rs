//! Files that are no verdict, signed in the same way: an in-toto Statement of another type in a DSSE envelope, with the raw
//! signature, what was signed and the public key beside it. The type keeps it from ever being read as a verdict.

use super::seal::{place, signed};
use super::statement::{Digest, STATEMENT_TYPE, Subject};
use super::{Signer, canonical, dsse};
use crate::error::Result;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// A class session's report; the predicate is what it states.
pub const SESSION_REPORT: &str = "urn:frostgate-forge:session-report:v1";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attestation {
    #[serde(rename = "_type")]
    pub kind: String,
    pub subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    pub predicate_type: String,
    pub predicate: serde_json::Value,
}

/// Writes `files` and, named after `name`, their signature into `dir`, which must not exist yet. Blocking. Verified with
/// `openssl pkeyutl -verify -pubin -inkey NAME.pub.pem -rawin -in NAME.pae -sigfile NAME.sig` and the digests in NAME.pae.
pub fn attest(
    files: &[(&str, &[u8])],
    predicate_type: &str,
    predicate: serde_json::Value,
    signer: &dyn Signer,
    name: &str,
    dir: &Path,
) -> Result<()> {
    let key = signer.public_key()?;
    let subject = files.iter().map(|(name, bytes)| Subject { name: (*name).into(), digest: Digest::of(bytes) });
    let attestation = Attestation {
        kind: STATEMENT_TYPE.into(),
        subject: subject.collect(),
        predicate_type: predicate_type.into(),
        predicate,
    };
    let payload = canonical::to_bytes(&attestation)?;
    let (pae, signature) = signed(signer, &key, &payload)?;
    let envelope = dsse::write(&payload, &key.id(), &signature)?;
    let pem = key.pem();
    let [e, p, s, k] = ["dsse.json", "pae", "sig", "pub.pem"].map(|ending| format!("{name}.{ending}"));
    let mut contents = files.to_vec();
    contents.extend([
        (e.as_str(), &*envelope),
        (p.as_str(), &pae),
        (s.as_str(), &signature),
        (k.as_str(), pem.as_bytes()),
    ]);
    place(dir, &contents)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::error::Code;
    use crate::keys::Keys;
    use crate::verdict::statement::Statement;

    #[test]
    fn openssl_verifies_it_and_nobody_takes_it_for_a_verdict() {
        let home = tempfile::tempdir().unwrap();
        let keys = Keys::open(home.path(), &mut rand::rng()).unwrap();
        let dir = home.path().join("out");
        let write = || {
            attest(
                &[("report.html", b"<p>")],
                SESSION_REPORT,
                serde_json::json!({"b": 1, "a": "x"}),
                &keys,
                "report",
                &dir,
            )
        };
        write().unwrap();
        let read = |name: &str| std::fs::read(dir.join(name)).unwrap();
        let verified = std::process::Command::new("openssl")
            .current_dir(&dir)
            .args([
                "pkeyutl",
                "-verify",
                "-pubin",
                "-inkey",
                "report.pub.pem",
                "-rawin",
                "-in",
                "report.pae",
                "-sigfile",
                "report.sig",
            ])
            .status()
            .unwrap();
        assert!(verified.success());
        let opened = dsse::read(&read("report.dsse.json")).unwrap();
        assert_eq!(dsse::pae(dsse::PAYLOAD_TYPE, &opened.payload), read("report.pae"));
        let said: Attestation = canonical::from_bytes("it", &opened.payload).unwrap();
        assert_eq!(said.subject.len(), 1);
        assert_eq!(said.subject.first().unwrap().digest, Digest::of(b"<p>"));
        assert!(Statement::from_bytes(&opened.payload).is_err());
        assert_eq!(write().unwrap_err().code, Code::Io, "what was signed is never overwritten");
    }
}

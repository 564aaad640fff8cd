//! The signed statement: an in-toto Statement v1 in a DSSE envelope (github.com/secure-systems-lab/dsse, protocol and envelope
//! v1.0.0). What is signed is the PAE, so that what is verified is exactly what was signed, type included.

use crate::error::{Code, Error, Result};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
pub const STATEMENT: &str = "https://in-toto.io/Statement/v1";
pub const PREDICATE: &str = "https://in-toto.io/attestation/test-result/v0.1";
/// A verdict is a few KiB; a larger envelope is refused before it is parsed.
pub const MAX_BYTES: usize = 256 << 10;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    #[serde(rename = "payloadType")]
    pub payload_type: String,
    /// Standard base64 with padding.
    pub payload: String,
    pub signatures: Vec<Signature>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    pub keyid: String,
    pub sig: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    #[serde(rename = "_type")]
    pub kind: String,
    pub subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    pub predicate_type: String,
    pub predicate: Predicate,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    pub name: String,
    pub digest: Sha256,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sha256 {
    pub sha256: String,
}

/// The test-result predicate with our own fields under `frostgate`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Predicate {
    /// `PASSED` when every criterion passed, `FAILED` otherwise.
    pub result: String,
    pub configuration: Vec<Subject>,
    pub passed_tests: Vec<String>,
    /// Criteria that could not be judged.
    pub warned_tests: Vec<String>,
    pub failed_tests: Vec<String>,
    pub frostgate: Claims,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    pub version: u32,
    pub run: String,
    pub lab: String,
    pub lab_version: String,
    pub template_digest: String,
    pub policy_digest: String,
    /// Short name → Docker's image id.
    pub images: BTreeMap<String, String>,
    /// SHA-256 of `frostgate.forge/seed`, run and seed, NUL-separated: binds the seed without telling it.
    pub seed_commitment: String,
    pub learner_key: String,
    pub trust_tier: crate::api::TrustTier,
    /// Unix milliseconds by the laptop's clock.
    pub started: i64,
    pub finished: i64,
    /// By a clock that cannot be set, where the machine has one.
    pub duration_ms: u64,
    /// Of an instructor's challenge, when the run was bound to one.
    pub challenge_nonce: Option<String>,
    /// The audit log's newest checkpoint when the verdict was made, so that a truncated log shows.
    pub audit_checkpoint: String,
    pub score: u64,
    pub max: u64,
}

/// Pre-authentication encoding: what the signature is over.
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut out = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    out.extend_from_slice(payload);
    out
}

impl Statement {
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        serde_json_canonicalizer::to_vec(self).map_err(Error::internal)
    }

    /// Known fields and types, canonical bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let statement: Self = serde_json::from_slice(bytes).map_err(|e| invalid(format!("the statement cannot be read: {e}")))?;
        if statement.kind != STATEMENT || statement.predicate_type != PREDICATE {
            return Err(invalid("the statement is of another type".into()));
        }
        if statement.predicate.frostgate.version != 1 {
            return Err(invalid("the statement has a version that this program does not know".into()));
        }
        if statement.to_bytes()? != bytes {
            return Err(invalid("the statement is not in canonical form".into()));
        }
        Ok(statement)
    }

    pub fn subject(&self, name: &str) -> Option<&str> {
        self.subject.iter().find(|s| s.name == name).map(|s| s.digest.sha256.as_str())
    }
}

impl Envelope {
    pub fn new(payload: &[u8], keyid: &str, signature: &[u8; 64]) -> Self {
        let sig = Signature { keyid: keyid.to_owned(), sig: BASE64_STANDARD.encode(signature) };
        Self { payload_type: PAYLOAD_TYPE.into(), payload: BASE64_STANDARD.encode(payload), signatures: vec![sig] }
    }

    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        serde_json_canonicalizer::to_vec(self).map_err(Error::internal)
    }

    /// The envelope with its decoded payload and its one signature. Strict: known fields, our payload type, exactly one
    /// signature, canonical base64, no byte more than the envelope.
    pub fn open(bytes: &[u8]) -> Result<Opened> {
        if bytes.len() > MAX_BYTES {
            return Err(invalid("it is larger than an envelope can be".into()));
        }
        let envelope: Self = serde_json::from_slice(bytes).map_err(|e| invalid(format!("it cannot be read: {e}")))?;
        if envelope.to_bytes()? != bytes {
            return Err(invalid("it is not in canonical form".into()));
        }
        if envelope.payload_type != PAYLOAD_TYPE {
            return Err(invalid("its payload is of another type".into()));
        }
        let [signature] = envelope.signatures.as_slice() else {
            return Err(invalid(format!("it carries {} signatures instead of one", envelope.signatures.len())));
        };
        let decode = |text: &str| BASE64_STANDARD.decode(text).map_err(|e| invalid(format!("its base64 is not strict: {e}")));
        let payload = decode(&envelope.payload)?;
        let signature_bytes: [u8; 64] =
            decode(&signature.sig)?.try_into().map_err(|_| invalid("its signature is not 64 bytes long".into()))?;
        Ok(Opened { keyid: signature.keyid.clone(), pae: pae(PAYLOAD_TYPE, &payload), payload, signature: signature_bytes })
    }
}

/// An envelope taken apart; nothing in it has been verified yet.
pub struct Opened {
    pub keyid: String,
    pub payload: Vec<u8>,
    pub pae: Vec<u8>,
    pub signature: [u8; 64],
}

fn invalid(why: String) -> Error {
    Error::new(Code::VerdictInvalid, format!("verdict.dsse.json: {why}."))
}

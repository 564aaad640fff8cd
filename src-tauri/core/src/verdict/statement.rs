//! The signed claim: an in-toto Statement v1 with the test-result predicate and fields of ours under `forge`.

use super::canonical;
use super::score::Score;
use crate::api::{OutcomeKind, TrustTier};
use crate::error::{Code, Error, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
pub const PREDICATE_TYPE: &str = "https://in-toto.io/attestation/test-result/v0.1";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    #[serde(rename = "_type")]
    pub kind: String,
    pub predicate: Predicate,
    #[serde(rename = "predicateType")]
    pub predicate_type: String,
    /// score.json, evidence.tar.zst, evidence.tar: in this order.
    pub subject: Vec<Subject>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    pub digest: Digest,
    pub name: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Digest {
    /// Lower-case hex.
    pub sha256: String,
}

impl Digest {
    pub fn of(bytes: &[u8]) -> Self {
        Self { sha256: canonical::sha256(bytes) }
    }
}

/// `result` is `PASSED` when every criterion passed, else `FAILED`; `configuration` names the lab's template.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Predicate {
    pub configuration: Vec<Subject>,
    pub failed_tests: Vec<String>,
    pub forge: Claims,
    pub passed_tests: Vec<String>,
    pub result: String,
}

/// What the verdict claims beyond the outcome. Digests in lower-case hex SHA-256, times in Unix milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    /// The newest checkpoint of the audit log when this was sealed.
    pub audit: Option<Checkpoint>,
    /// Nonce of an instructor who asked for this run.
    pub challenge: Option<String>,
    /// Measured by a clock that is never set, without pauses.
    pub duration_ms: u64,
    pub finished: i64,
    /// Image id by short name.
    pub images: BTreeMap<String, String>,
    /// What was proven about the run's isolation, in words.
    pub isolation: String,
    pub key_id: String,
    pub lab: String,
    pub max: u64,
    pub policy_digest: String,
    pub run: String,
    /// Of scenario.json in the evidence.
    pub scenario_digest: String,
    pub score: u64,
    /// See [`seed_commitment`].
    pub seed_commitment: String,
    pub started: i64,
    /// Of the lab's folder (the catalogue's pin).
    pub template_digest: String,
    pub tier: TrustTier,
    pub version: String,
}

/// A C2SP checkpoint as text, signature included.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    pub note: String,
}

/// SHA-256 of `frostgate-forge:seed:v1`, a zero byte and the seed, hex.
pub fn seed_commitment(seed: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(b"frostgate-forge:seed:v1\0");
    hash.update(seed.as_bytes());
    hex::encode(hash.finalize())
}

pub const SUBJECTS: [&str; 3] = ["score.json", "evidence.tar.zst", "evidence.tar"];

impl Statement {
    pub fn new(score: &Score, claims: Claims, digests: [Digest; 3]) -> Self {
        let named = |pass: bool| {
            let rows = score.criteria.iter().filter(|r| (r.outcome == OutcomeKind::Pass) == pass);
            rows.map(|r| r.id.clone()).collect::<Vec<_>>()
        };
        let (passed_tests, failed_tests) = (named(true), named(false));
        let result = if failed_tests.is_empty() { "PASSED" } else { "FAILED" };
        let template = Digest { sha256: claims.template_digest.clone() };
        let subject =
            SUBJECTS.into_iter().zip(digests).map(|(name, digest)| Subject { name: name.into(), digest }).collect();
        Self {
            kind: STATEMENT_TYPE.into(),
            subject,
            predicate_type: PREDICATE_TYPE.into(),
            predicate: Predicate {
                result: result.into(),
                configuration: vec![Subject { name: format!("{}@{}", claims.lab, claims.version), digest: template }],
                passed_tests,
                failed_tests,
                forge: claims,
            },
        }
    }

    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        canonical::to_bytes(self)
    }

    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let statement: Self = canonical::from_bytes("the signed statement", bytes)?;
        if statement.kind != STATEMENT_TYPE || statement.predicate_type != PREDICATE_TYPE {
            return Err(Error::new(Code::VerdictInvalid, "The signed statement is of another type."));
        }
        Ok(statement)
    }
}

//! What somebody who may says about a verdict: the same configuration, started again under another seed, did this.

use crate::api::OutcomeKind;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Bytes of a signed statement.
pub const REEXECUTION_MAX: usize = 64 << 10;

/// `Signed` under [`Domain::ReExecution`](crate::keys::Domain::ReExecution) by the enrolled key of whoever did it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reexecution {
    pub version: u32,
    /// The verdict's id.
    pub verdict: String,
    pub lab: String,
    pub template_digest: String,
    /// The fresh one.
    pub seed: String,
    /// Milli-points, with the submission's hints taken off.
    pub score: u64,
    pub max: u64,
    /// Ordered by id.
    pub criteria: Vec<Twice>,
    /// When it ended, Unix milliseconds.
    pub at: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Twice {
    pub id: String,
    #[schemars(with = "String")]
    pub submitted: OutcomeKind,
    #[schemars(with = "String")]
    pub reexecuted: OutcomeKind,
}

impl Reexecution {
    /// Whether every criterion came out as submitted; one that could not be checked agrees with nothing.
    pub fn agrees(&self) -> bool {
        let same =
            |t: &Twice| t.submitted == t.reexecuted && matches!(t.reexecuted, OutcomeKind::Pass | OutcomeKind::Fail);
        !self.criteria.is_empty() && self.criteria.iter().all(same)
    }
}

/// A scoreboard's answer to a re-execution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Raised {
    pub verdict: String,
    /// The verdict's, now.
    #[schemars(with = "String")]
    pub tier: crate::api::TrustTier,
    /// Whether it came out as submitted. If not, it is kept and the tier stays.
    pub agrees: bool,
    /// This key had said so already.
    pub duplicate: bool,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::board::Signed;
    use crate::keys::{Domain, KeyName, Keys};
    use rand::SeedableRng;

    fn body() -> Reexecution {
        let twice = |id: &str, kind| Twice { id: id.into(), submitted: kind, reexecuted: kind };
        Reexecution {
            version: 1,
            verdict: "ab".repeat(32),
            lab: "ccna-ospf-single-area".into(),
            template_digest: "cd".repeat(32),
            seed: "fresh".into(),
            score: 7000,
            max: 8000,
            criteria: vec![twice("a", OutcomeKind::Pass), twice("b", OutcomeKind::Fail)],
            at: 1_764_000_000_000,
        }
    }

    #[test]
    fn one_that_differs_or_could_not_be_checked_does_not_agree() {
        assert!(body().agrees());
        for kind in [OutcomeKind::Fail, OutcomeKind::Error, OutcomeKind::NotChecked] {
            let mut other = body();
            other.criteria[0].reexecuted = kind;
            assert!(!other.agrees(), "{kind:?}");
            other.criteria[0].submitted = kind;
            assert_eq!(other.agrees(), kind == OutcomeKind::Fail, "{kind:?}");
        }
        assert!(!Reexecution { criteria: Vec::new(), ..body() }.agrees());
    }

    /// The bytes that are signed are the format: a change of them is a new version.
    #[test]
    fn golden() {
        let home = tempfile::tempdir().unwrap();
        let mut rng = rand::rngs::StdRng::seed_from_u64(7);
        let keys = Keys::open(home.path(), &mut rng).unwrap();
        let signed = Signed::seal(body(), &keys, KeyName::Learner, Domain::ReExecution).unwrap();
        let text = serde_json_canonicalizer::to_string(&signed).unwrap() + "\n";
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/reexecution.json");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(path, &text).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), text);
        let key = keys.public(KeyName::Learner).unwrap();
        assert!(signed.holds(&key, Domain::ReExecution).is_ok());
        assert!(signed.holds(&key, Domain::Acceptance).is_err());
    }
}

//! Why a scoreboard says no. A code for each reason that a laptop, an instructor or a dashboard tells apart.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($( $(#[$doc:meta])* $name:ident = $word:literal, $status:literal, $retry:literal; )*) => {
        /// `retry` tells whether the same submission may be accepted later: only then a laptop keeps trying.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum RefusalCode { $( $(#[$doc])* #[serde(rename = $word)] $name, )* }

        impl RefusalCode {
            pub const ALL: &[Self] = &[$( Self::$name ),*];

            pub fn as_str(self) -> &'static str {
                match self { $( Self::$name => $word ),* }
            }

            /// The HTTP status that carries it.
            pub fn status(self) -> u16 {
                match self { $( Self::$name => $status ),* }
            }

            pub fn retry(self) -> bool {
                match self { $( Self::$name => $retry ),* }
            }
        }
    };
}

codes! {
    // ---- the envelope and what it says
    /// Not what was expected at all.
    Malformed = "malformed", 400, false;
    /// It ends before it is whole.
    Truncated = "truncated", 400, false;
    /// Past a size, count or depth limit.
    TooLarge = "too_large", 413, false;
    /// The same values in another spelling or order than the one that is signed.
    Reordered = "reordered", 400, false;
    /// A version or type of statement, score or evidence that this server does not know.
    UnknownVersion = "unknown_version", 400, false;
    /// The signature does not hold under the key that the envelope names.
    BadSignature = "bad_signature", 403, false;
    /// The key is not enrolled here.
    UnknownKey = "unknown_key", 403, false;
    KeyRevoked = "key_revoked", 403, false;
    /// Somebody else's verdict, evidence or run under another key.
    Rekeyed = "rekeyed", 403, false;
    /// It ended in the future, by the server's clock.
    FutureDated = "future_dated", 422, false;
    /// It contradicts itself, or what the lab can give.
    Inconsistent = "inconsistent", 422, false;
    // ---- once only
    /// This run has another verdict here.
    RunExists = "run_exists", 409, false;
    /// This challenge has been answered by another verdict.
    NonceUsed = "nonce_used", 409, false;
    /// A challenge that this server did not issue for this lab.
    UnknownChallenge = "unknown_challenge", 422, false;
    /// A challenge, session or verdict of another class.
    OtherTenant = "other_tenant", 403, false;
    SessionFrozen = "session_frozen", 409, false;
    // ---- the bundle
    /// score.json or evidence.tar.zst is not the one that was signed.
    DigestMismatch = "digest_mismatch", 422, false;
    /// It unpacks to more than it may.
    Bomb = "bomb", 422, false;
    UnsafePath = "unsafe_path", 422, false;
    EvidenceInvalid = "evidence_invalid", 422, false;
    /// The lab in the evidence is not what the server's own template gives for that seed.
    OtherLab = "other_lab", 422, false;
    /// The outcomes do not follow from the evidence.
    RegradeDiffers = "regrade_differs", 422, false;
    /// It says something else about the verdict than what was signed and established.
    ReExecutionInvalid = "re_execution_invalid", 422, false;
    /// Nothing to stand on: its outcomes were not recomputed here.
    NotReGraded = "not_re_graded", 409, false;
    /// Its answers belong to one seed, so that it cannot be executed again under another.
    SeedBound = "seed_bound", 422, false;
    /// The job belongs to somebody else by now, or is over.
    LeaseLost = "lease_lost", 409, false;
    /// The part does not continue where the upload stands; `details.offset` says where that is.
    WrongOffset = "wrong_offset", 409, true;
    // ---- people
    Unauthorized = "unauthorized", 401, false;
    Forbidden = "forbidden", 403, false;
    CodeUnknown = "code_unknown", 403, false;
    CodeUsed = "code_used", 409, false;
    CodeExpired = "code_expired", 410, false;
    KeyEnrolled = "key_enrolled", 409, false;
    NotFound = "not_found", 404, false;
    MethodNotAllowed = "method_not_allowed", 405, false;
    /// No more challenges for this lab in this session.
    NoAttemptsLeft = "no_attempts_left", 409, false;
    DeadlinePassed = "deadline_passed", 409, false;
    // ---- not now
    /// The client was too slow.
    Timeout = "timeout", 408, true;
    Busy = "busy", 503, true;
    DiskFull = "disk_full", 507, true;
    StoreUnavailable = "store_unavailable", 503, true;
    Internal = "internal", 500, true;
}

/// Crosses the wire as `{"error": {…}}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    pub code: RefusalCode,
    /// What happened and why, in one or two sentences.
    pub message: String,
    /// What to do now.
    #[serde(default)]
    pub hints: Vec<String>,
    /// Facts for machines; never a secret.
    #[serde(default)]
    pub details: serde_json::Value,
}

impl Refusal {
    pub fn new(code: RefusalCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hints: Vec::new(), details: serde_json::Value::Null }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    #[must_use]
    pub fn details(mut self, details: serde_json::Value) -> Self {
        self.details = details;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_is_a_word_of_its_own() {
        let mut words: Vec<&str> = RefusalCode::ALL.iter().map(|c| c.as_str()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), RefusalCode::ALL.len());
        for code in RefusalCode::ALL {
            assert_eq!(serde_json::json!(code), code.as_str());
            assert!((400..600).contains(&code.status()));
        }
    }
}

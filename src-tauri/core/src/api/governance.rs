//! Gates and the audit log: what may be asked, what was decided and why, whether the log is whole.

use super::contract;

contract! {
    pub struct Gates {
        /// SHA-256 over the policies that decide now, hex.
        pub policy_digest: String,
        /// Those of a spawn first, in the order they are asked.
        pub gates: Vec<GateInfo>,
    }

    pub struct GateInfo {
        pub name: String,
        /// The question it answers, one sentence.
        pub asks: String,
        /// The fields it looks at, in words.
        pub input: String,
        /// Every reason it can give, with “…” where a value will stand.
        pub rules: Vec<String>,
        /// How many cases its test data holds.
        pub cases: u32,
        /// An input it allows, to start from.
        #[ts(type = "unknown")]
        pub example: serde_json::Value,
        /// The policy, in Rego.
        pub source: String,
    }

    #[serde(deny_unknown_fields)]
    pub struct ListDecisions {
        #[serde(default)] pub gate: Option<String>,
        #[serde(default)] pub run: Option<String>,
        #[serde(default)] pub allow: Option<bool>,
        /// Only decisions with a smaller id: the `next` of the page before.
        #[serde(default)] pub before: Option<i64>,
        /// At most this many (1..=500, default 50).
        #[serde(default)] pub limit: Option<u32>,
    }

    /// Newest first.
    pub struct DecisionPage {
        pub decisions: Vec<Decision>,
        /// What to ask for next; none when this was the last page.
        pub next: Option<i64>,
        /// Entries that were to be on this page and cannot be read any more: the log was tampered with.
        pub unreadable: u32,
    }

    pub struct Decision {
        /// Its number in the audit log.
        pub id: i64,
        pub at: i64,
        pub gate: String,
        pub allow: bool,
        /// Why not; empty when allowed.
        pub reasons: Vec<String>,
        /// None when no run came to be.
        pub run: Option<String>,
        pub lab: Option<String>,
        pub correlation: String,
    }

    pub struct DecisionRequest { pub id: i64 }

    pub struct DecisionDetail {
        pub decision: Decision,
        /// What the gate was asked, personal data and secrets taken out.
        #[ts(type = "unknown")]
        pub input: serde_json::Value,
        /// The policies it was decided by, and whether they are those of now.
        pub policy_digest: String,
        pub current: bool,
        /// None where it was not measured.
        pub micros: Option<u64>,
        /// The other gates that were asked on the same occasion, in order.
        pub others: Vec<Decision>,
    }

    #[serde(deny_unknown_fields)]
    pub struct TryGate {
        pub gate: String,
        #[ts(type = "unknown")]
        pub input: serde_json::Value,
    }

    /// An answer to a question that was only tried; it stands in no log.
    pub struct GateAnswer {
        pub allow: bool,
        pub reasons: Vec<String>,
        pub policy_digest: String,
        pub micros: u64,
    }

    pub struct AuditReport {
        pub ok: bool,
        pub entries: u64,
        /// Signed checkpoints that were held against the log, those outside the database included.
        pub checkpoints: u32,
        /// How many of them came from verdicts and from the file beside the database.
        pub outside: u32,
        pub broken: Option<AuditBroken>,
        /// Checkpoints that could not be used, each with the reason (another machine's verdict, say).
        pub ignored: Vec<String>,
        pub at: i64,
        pub ms: u64,
    }

    pub struct AuditBroken {
        /// The first entry that is not as it was written, from 0.
        pub entry: u64,
        pub damage: AuditDamage,
        pub detail: String,
    }

    #[derive(Copy, Eq)]
    #[serde(rename_all = "snake_case")]
    pub enum AuditDamage {
        /// An entry's bytes are not what was hashed.
        Edited,
        /// An entry is gone from the middle.
        Deleted,
        /// An entry stands where another belongs.
        Reordered,
        /// Entries at the end are gone, or an older copy of the database stands in its place.
        Truncated,
        /// Consistent in itself, but not the log that a checkpoint was signed over.
        Forked,
        /// The record of the log's end, or a checkpoint, was tampered with.
        Head,
    }

    #[serde(deny_unknown_fields)]
    pub struct ListAudit {
        /// What an entry's kind begins with, such as `gate.` or `verdict`.
        #[serde(default)] pub kind: Option<String>,
        #[serde(default)] pub run: Option<String>,
        /// Only entries with a smaller number: the `next` of the page before.
        #[serde(default)] pub before: Option<i64>,
        /// At most this many (1..=500, default 50).
        #[serde(default)] pub limit: Option<u32>,
    }

    /// Newest first.
    pub struct AuditPage {
        pub entries: Vec<AuditEntry>,
        pub next: Option<i64>,
        /// How many entries the log has in all.
        pub size: u64,
    }

    pub struct AuditEntry {
        pub id: i64,
        /// None when the entry cannot be read any more: the log was tampered with.
        pub at: Option<i64>,
        pub run: Option<String>,
        pub kind: String,
        #[ts(type = "unknown")]
        pub data: serde_json::Value,
        /// RFC 6962 leaf hash, hex.
        pub hash: String,
    }
}

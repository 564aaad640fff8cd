//! Databases and backups as versions 1 to 4 made them, and without what came after 5.
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use forge_scoreboard::store::verdicts::{self, COLUMNS_4};
use forge_scoreboard::store::{Connection, TABLES, Value, meta};
use serde_json::{Value as Json, json};

/// `NOT NULL` keeps the key an index beside the table in SQLite, as it was.
const VERDICTS: &str = "
DROP TABLE verdicts;
CREATE TABLE verdicts (seq BIGINT NOT NULL PRIMARY KEY, id TEXT NOT NULL UNIQUE, run TEXT NOT NULL UNIQUE, tar TEXT NOT NULL UNIQUE,
  key_id TEXT NOT NULL, learner TEXT NOT NULL, class TEXT NOT NULL, lab TEXT NOT NULL, version TEXT NOT NULL, track TEXT NOT NULL,
  score BIGINT NOT NULL, max BIGINT NOT NULL, started BIGINT NOT NULL, finished BIGINT NOT NULL, duration_ms BIGINT NOT NULL,
  received_at BIGINT NOT NULL, tier BIGINT NOT NULL, facts TEXT NOT NULL, session TEXT, nonce TEXT UNIQUE, seed TEXT NOT NULL,
  envelope BYTEA NOT NULL, score_json BYTEA, evidence_bytes BIGINT, answers TEXT);
CREATE INDEX verdicts_session ON verdicts (session);
";
/// Tables, and the version that brought them.
const LATER: [(&str, i64); 4] = [("reexecutions", 2), ("jobs", 3), ("token_keys", 4), ("lab_progress", 6)];

/// Makes an up-to-date database one of this version, with what is stored in it.
pub fn back_to(conn: &mut dyn Connection, version: i64) {
    let all = verdicts::after(conn, 0, 10_000).unwrap();
    conn.batch(VERDICTS).unwrap();
    for v in &all {
        let number = |n: u64| Value::Int(i64::try_from(n).unwrap());
        let row = [
            v.seq.into(),
            v.id.as_str().into(),
            v.run.as_str().into(),
            v.tar.as_str().into(),
            v.key_id.as_str().into(),
            v.learner.as_str().into(),
            v.class.as_str().into(),
            v.lab.as_str().into(),
            v.version.as_str().into(),
            v.track.as_str().into(),
            number(v.score),
            number(v.max),
            v.started.into(),
            v.finished.into(),
            number(v.duration_ms),
            v.received_at.into(),
            verdicts::tier_number(v.tier).into(),
            serde_json::to_string(&v.facts).unwrap().into(),
            v.session.clone().into(),
            v.nonce.clone().into(),
            v.seed.as_str().into(),
            v.envelope().unwrap().into(),
            v.score_json.clone().into(),
            v.evidence_bytes.into(),
            v.answers.clone().into(),
        ];
        let places: Vec<String> = (1..=row.len()).map(|i| format!("${i}")).collect();
        let sql = format!("INSERT INTO verdicts ({COLUMNS_4}) VALUES ({})", places.join(", "));
        conn.execute(&sql, &row).unwrap();
    }
    for (table, since) in LATER {
        if version < since {
            conn.batch(&format!("DROP TABLE {table}")).unwrap();
        }
    }
    meta::set(conn, "schema", &version.to_string()).unwrap();
}

/// What `backup` of that version wrote of such a database.
pub fn rows(conn: &mut dyn Connection, version: i64) -> Vec<u8> {
    let mut out = Vec::new();
    for (table, key, columns) in TABLES {
        if LATER.iter().any(|(name, since)| name == table && version < *since) {
            continue;
        }
        let columns = if *table == "verdicts" { COLUMNS_4 } else { columns };
        for row in conn.query(&format!("SELECT {columns} FROM {table} ORDER BY {key}"), &[]).unwrap() {
            let told = row.0.iter().map(|value| match value {
                Value::Null => Json::Null,
                Value::Int(n) => json!(n),
                Value::Text(s) => json!(s),
                Value::Bytes(b) => json!({"base64": BASE64_STANDARD.encode(b)}),
            });
            out.extend_from_slice(format!("{}\n", json!([table, told.collect::<Vec<_>>()])).as_bytes());
        }
    }
    out
}

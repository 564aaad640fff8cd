//! Databases and backups as versions 1 to 4 made them, and without what came after 5.
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use forge_scoreboard::store::verdicts::{self, COLUMNS_4};
use forge_scoreboard::store::{Connection, TABLES, Value, meta};
use serde_json::{Value as Json, json};

/// `NOT NULL` keeps the key an index beside the table in SQLite, as it was.
const VERDICTS: &str = "
CREATE TABLE verdicts (seq BIGINT NOT NULL PRIMARY KEY, id TEXT NOT NULL UNIQUE, run TEXT NOT NULL UNIQUE, tar TEXT NOT NULL UNIQUE,
  key_id TEXT NOT NULL, learner TEXT NOT NULL, class TEXT NOT NULL, lab TEXT NOT NULL, version TEXT NOT NULL, track TEXT NOT NULL,
  score BIGINT NOT NULL, max BIGINT NOT NULL, started BIGINT NOT NULL, finished BIGINT NOT NULL, duration_ms BIGINT NOT NULL,
  received_at BIGINT NOT NULL, tier BIGINT NOT NULL, facts TEXT NOT NULL, session TEXT, nonce TEXT UNIQUE, seed TEXT NOT NULL,
  envelope BYTEA NOT NULL, score_json BYTEA, evidence_bytes BIGINT, answers TEXT);
CREATE INDEX verdicts_session ON verdicts (session);
";
/// Tables, and the version that brought them.
const LATER: [(&str, i64); 4] = [("reexecutions", 2), ("jobs", 3), ("token_keys", 4), ("lab_progress", 6)];

/// The tables of version 1, word for word as its program made them, and what each later version added. `verdicts` is [`VERDICTS`].
const FIRST: &str = "
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE classes (name TEXT PRIMARY KEY, created_at BIGINT NOT NULL);
CREATE TABLE learners (id TEXT PRIMARY KEY, class TEXT NOT NULL REFERENCES classes (name), name TEXT NOT NULL, role TEXT NOT NULL,
  created_at BIGINT NOT NULL);
CREATE INDEX learners_class ON learners (class);
CREATE TABLE keys (key_id TEXT PRIMARY KEY, learner TEXT NOT NULL REFERENCES learners (id), pem TEXT NOT NULL,
  enrolled_at BIGINT NOT NULL, revoked_at BIGINT, reason TEXT);
CREATE INDEX keys_learner ON keys (learner);
CREATE TABLE rotations (new_key TEXT PRIMARY KEY, record TEXT NOT NULL, at BIGINT NOT NULL);
CREATE TABLE tokens (hash TEXT PRIMARY KEY, learner TEXT NOT NULL REFERENCES learners (id), created_at BIGINT NOT NULL);
CREATE TABLE invites (hash TEXT PRIMARY KEY, class TEXT NOT NULL REFERENCES classes (name), role TEXT NOT NULL, created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL, used_at BIGINT, used_by TEXT);
CREATE TABLE best (learner TEXT NOT NULL, lab TEXT NOT NULL, floor BIGINT NOT NULL, points BIGINT NOT NULL, max BIGINT NOT NULL,
  verdict TEXT NOT NULL, PRIMARY KEY (learner, lab, floor));
CREATE TABLE standing (learner TEXT NOT NULL, track TEXT NOT NULL, floor BIGINT NOT NULL, class TEXT NOT NULL, name TEXT NOT NULL,
  points BIGINT NOT NULL, max BIGINT NOT NULL, labs BIGINT NOT NULL, at BIGINT NOT NULL, PRIMARY KEY (learner, track, floor));
CREATE INDEX standing_all ON standing (track, floor, points DESC, at, learner);
CREATE INDEX standing_class ON standing (class, track, floor, points DESC, at, learner);
CREATE TABLE counters (track TEXT NOT NULL, tier BIGINT NOT NULL, verdicts BIGINT NOT NULL, PRIMARY KEY (track, tier));
CREATE TABLE sessions (id TEXT PRIMARY KEY, class TEXT NOT NULL REFERENCES classes (name), join_code TEXT NOT NULL UNIQUE, secret TEXT NOT NULL,
  body TEXT NOT NULL, created_at BIGINT NOT NULL);
CREATE INDEX sessions_class ON sessions (class, created_at);
CREATE TABLE joined (session TEXT NOT NULL REFERENCES sessions (id), learner TEXT NOT NULL REFERENCES learners (id), at BIGINT NOT NULL,
  PRIMARY KEY (session, learner));
CREATE TABLE challenges (nonce TEXT PRIMARY KEY, session TEXT NOT NULL REFERENCES sessions (id), learner TEXT NOT NULL, key_id TEXT NOT NULL,
  lab TEXT NOT NULL, seed TEXT NOT NULL, attempt BIGINT NOT NULL, issued_at BIGINT NOT NULL, verdict TEXT);
CREATE UNIQUE INDEX challenges_attempt ON challenges (session, learner, lab, attempt);
CREATE TABLE progress (session TEXT NOT NULL REFERENCES sessions (id), learner TEXT NOT NULL, body TEXT NOT NULL, at BIGINT NOT NULL,
  PRIMARY KEY (session, learner));
CREATE TABLE messages (session TEXT NOT NULL REFERENCES sessions (id), seq BIGINT NOT NULL, at BIGINT NOT NULL, body TEXT NOT NULL, learner TEXT,
  PRIMARY KEY (session, seq));
";
const ADDED: [(i64, &str); 3] = [
    (2, "CREATE TABLE reexecutions (id TEXT PRIMARY KEY, verdict TEXT NOT NULL, key_id TEXT NOT NULL, agrees BIGINT NOT NULL,
  at BIGINT NOT NULL, statement TEXT NOT NULL);
CREATE INDEX reexecutions_verdict ON reexecutions (verdict, at, id);"),
    (3, "CREATE TABLE jobs (verdict TEXT PRIMARY KEY, class TEXT NOT NULL, lab TEXT NOT NULL, learner TEXT NOT NULL,
  asked_by TEXT NOT NULL, asked_at BIGINT NOT NULL, state TEXT NOT NULL, tries BIGINT NOT NULL, next_at BIGINT NOT NULL, worker TEXT,
  lease TEXT, lease_until BIGINT, ended_at BIGINT, agrees BIGINT, why TEXT NOT NULL);
CREATE INDEX jobs_queue ON jobs (state, class, asked_at, verdict);
CREATE INDEX jobs_class ON jobs (class, asked_at, verdict);"),
    (4, "CREATE TABLE token_keys (hash TEXT PRIMARY KEY REFERENCES tokens (hash) ON DELETE CASCADE,
  key_id TEXT NOT NULL REFERENCES keys (key_id));"),
];

/// Tables that a version had.
pub fn had(version: i64) -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    let absent = move |table: &str| LATER.iter().any(|(name, since)| *name == table && version < *since);
    TABLES.iter().copied().filter(move |(table, ..)| !absent(table))
}

/// Makes an empty database one as the program of this version left it, with what is stored in `from`, which is up to date.
pub fn made_by(version: i64, from: &mut dyn Connection, to: &mut dyn Connection) {
    let since = ADDED.iter().filter(|(since, _)| *since <= version).map(|(_, sql)| *sql);
    for sql in [FIRST, VERDICTS].into_iter().chain(since) {
        to.batch(sql).unwrap();
    }
    for (table, key, columns) in had(version) {
        let (columns, rows) = match table {
            "verdicts" => (COLUMNS_4, rows_4(from)),
            _ => {
                let sql = format!("SELECT {columns} FROM {table} ORDER BY {key}");
                (columns, from.query(&sql, &[]).unwrap().into_iter().map(|row| row.0).collect())
            }
        };
        insert(to, table, columns, rows);
    }
    meta::set(to, "schema", &version.to_string()).unwrap();
}

/// Makes an up-to-date database one of this version, with what is stored in it.
pub fn back_to(conn: &mut dyn Connection, version: i64) {
    let rows = rows_4(conn);
    conn.batch("DROP TABLE verdicts").unwrap();
    conn.batch(VERDICTS).unwrap();
    insert(conn, "verdicts", COLUMNS_4, rows);
    for (table, since) in LATER {
        if version < since {
            conn.batch(&format!("DROP TABLE {table}")).unwrap();
        }
    }
    meta::set(conn, "schema", &version.to_string()).unwrap();
}

fn insert(conn: &mut dyn Connection, table: &str, columns: &str, rows: Vec<Vec<Value>>) {
    let places: Vec<String> = (1..=columns.split(',').count()).map(|i| format!("${i}")).collect();
    let sql = format!("INSERT INTO {table} ({columns}) VALUES ({})", places.join(", "));
    for row in rows {
        conn.execute(&sql, &row).unwrap();
    }
}

/// Verdicts as they were kept up to version 4.
fn rows_4(conn: &mut dyn Connection) -> Vec<Vec<Value>> {
    let number = |n: u64| Value::Int(i64::try_from(n).unwrap());
    let row = |v: verdicts::Verdict| {
        vec![
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
        ]
    };
    verdicts::after(conn, 0, 10_000).unwrap().into_iter().map(row).collect()
}

/// What `backup` of that version wrote of such a database.
pub fn rows(conn: &mut dyn Connection, version: i64) -> Vec<u8> {
    let mut out = Vec::new();
    for (table, key, columns) in had(version) {
        let columns = if table == "verdicts" { COLUMNS_4 } else { columns };
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

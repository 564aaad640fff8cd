//! A database as the program of each version made it, brought up to date on both databases: what was in it is in it, its tables are
//! those of a new one, and the server works on it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#[allow(dead_code)]
mod support;

use forge_core::board::{Challenge, Fact, Signed};
use forge_core::keys::{Domain, KeyName};
use forge_scoreboard::bench::workshop::Wish;
use forge_scoreboard::store::{Connection, Row, SCHEMA_VERSION, TABLES, Target, migrate};
use serde_json::{Value, json};
use std::path::Path;
use support::*;

/// More than are brought over at once.
const PLAIN: usize = 520;

/// Something in every table.
async fn lived_in(server: &Server) -> (Person, Vec<Vec<u8>>) {
    let (mut mara, teacher) =
        (server.newcomer("N", "learner", "Mara").await, server.newcomer("N", "instructor", "Ms Tee").await);
    let made = (0..PLAIN).map(|i| mara.made(&format!("plain-{i}"), SSH).envelope).collect::<Vec<_>>();
    for some in made.chunks(200) {
        let sent = reqwest::Client::new().post(format!("{}/v1/envelopes", server.url));
        let sent = sent.header("content-type", "application/x-ndjson").body(some.join(&b'\n')).send().await.unwrap();
        let said = sent.text().await.unwrap();
        assert_eq!((said.lines().count(), said.matches("{\"accepted\"").count()), (some.len(), some.len()), "{said}");
    }
    let ask = async |method: &str, path: &str, token: &str, body: Value| {
        let (status, answer) = server.call(method, path, token, body).await;
        assert!(status < 300, "{method} {path}: {status} {answer}");
        answer
    };
    let new =
        json!({"title": "Monday", "labs": [LAB], "seeds": "shared", "deadline": now() + 3_600_000, "hints": true});
    let session = ask("POST", "/v1/sessions", &teacher.token, new).await;
    let path = format!("/v1/sessions/{}", session["id"].as_str().unwrap());
    ask("POST", "/v1/sessions/join", &mara.token, json!({"code": session["join_code"]})).await;
    let issued = ask("POST", &format!("{path}/challenges"), &mara.token, json!({"lab": LAB})).await;
    let issued: Signed<Challenge> = serde_json::from_value(issued).unwrap();
    ask("POST", &format!("{path}/messages"), &teacher.token, json!({"text": "Look at port 80"})).await;
    let progress = json!({"lab": LAB, "run": "seeded", "state": "working", "criteria": {}, "score": 0, "max": 3000, "hints": 0, "elapsed_ms": 10});
    ask("POST", &format!("{path}/progress"), &mara.token, progress).await;
    let challenge = Some(issued.body.nonce);
    let wish = Wish { challenge, started: now(), finished: now(), ..Wish::new("seeded", now()) };
    let seeded = mara.laptop.seal(&scenario(&issued.body.seed), SSH, &wish).unwrap();
    let receipt = accepted(server.submit_bundle(&seeded).await.1).receipt.body;
    assert!(receipt.established.contains(&Fact::IssuedSeed) && receipt.established.contains(&Fact::ReGraded));
    let said = Signed::seal(reexecution(&seeded), &teacher.laptop.keys, KeyName::Learner, Domain::ReExecution).unwrap();
    ask("PUT", &format!("/v1/verdicts/{}/job", seeded.id), &teacher.token, Value::Null).await;
    ask("POST", &format!("/v1/verdicts/{}/reexecutions", seeded.id), "", json!(said)).await;
    let old = mara.laptop.keys.rotate(KeyName::Learner, now(), &mut rand::rng()).unwrap();
    ask("POST", "/v1/keys/rotations", "", json!(old)).await;
    mara.laptop.key_id = mara.laptop.keys.id(KeyName::Learner).unwrap();
    (mara, [made, vec![seeded.envelope]].concat())
}

fn open(data: &Path, database: Option<&str>) -> Box<dyn Connection> {
    std::fs::create_dir_all(data).unwrap();
    Target::of(data, database).unwrap().connect().unwrap()
}

fn stored(conn: &mut dyn Connection, table: &str, key: &str, columns: &str) -> Vec<Row> {
    conn.query(&format!("SELECT {columns} FROM {table} ORDER BY {key}"), &[]).unwrap()
}

/// Every column and index. Names of indexes are left out: PostgreSQL numbers those of a table that was made beside the old one.
fn shape(conn: &mut dyn Connection, database: Option<&str>) -> Vec<Row> {
    let sql = match database {
        None => "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name",
        Some(_) => {
            "SELECT regexp_replace(indexdef, 'INDEX [^ ]+ ', 'INDEX ') AS it FROM pg_indexes WHERE schemaname = 'public' UNION ALL
             SELECT table_name || ' ' || column_name || ' ' || data_type || ' ' || is_nullable FROM information_schema.columns
             WHERE table_schema = 'public' ORDER BY it"
        }
    };
    conn.query(sql, &[]).unwrap()
}

/// From each version, into the databases of the same position; `first` is the one that was lived in.
fn brought(home: &Path, first: Option<&str>, others: [Option<&str>; 4]) {
    let mut now = open(&home.join("now"), first);
    for (version, database) in (1..SCHEMA_VERSION).zip(others) {
        let mut conn = open(&home.join(format!("v{version}")), database);
        older::made_by(version, now.as_mut(), conn.as_mut());
        migrate(conn.as_mut()).unwrap();
        assert_eq!(shape(conn.as_mut(), database), shape(now.as_mut(), first), "tables from version {version}");
        for (table, key, columns) in TABLES {
            let (new, had) = (stored(conn.as_mut(), table, key, columns), stored(now.as_mut(), table, key, columns));
            assert!(!had.is_empty(), "{table}: nothing to bring over");
            // A token goes to its owner's newest key, whether or not it was shown with that one since.
            let same = if older::had(version).any(|(t, ..)| t == *table) {
                new == had
            } else {
                new.len() == if *table == "token_keys" { had.len() } else { 0 }
            };
            assert!(same, "{table} from version {version}: {} rows of {}", new.len(), had.len());
        }
        migrate(conn.as_mut()).unwrap();
    }
}

async fn from_every_version(first: Option<&str>, others: [Option<&str>; 4]) {
    let home = tempfile::tempdir().unwrap();
    let server = Server::start(&home.path().join("now"), first);
    let (mara, envelopes) = lived_in(&server).await;
    server.kill9();
    let place = home.path().to_owned();
    let (one, rest) = (first.map(str::to_owned), others.map(|o| o.map(str::to_owned)));
    let work = move || brought(&place, one.as_deref(), std::array::from_fn(|i| rest[i].as_deref()));
    tokio::task::spawn_blocking(work).await.unwrap();
    for (version, database) in (1..SCHEMA_VERSION).zip(others) {
        // A database comes with its key, which signed for those who are in it.
        let data = home.path().join(format!("v{version}"));
        std::fs::create_dir(data.join("keys")).unwrap();
        std::fs::copy(home.path().join("now/keys/board.pem"), data.join("keys/board.pem")).unwrap();
        let server = Server::start(&data, database);
        let all = [&envelopes[0], &envelopes[PLAIN - 1], &envelopes[PLAIN]];
        for envelope in all {
            assert!(accepted(server.submit(envelope).await.1).duplicate, "from version {version}");
        }
        let me = server.call("GET", "/v1/sessions/none", &mara.token, Value::Null).await;
        assert_eq!(code(&me.1), "not_found", "her token counts, from version {version}: {me:?}");
        let next = mara.laptop.seal(&scenario("seed-next"), SSH, &Wish::new("plain-7", now())).unwrap();
        let again = server.submit(&next.envelope).await.1;
        assert_eq!(
            code(&again),
            "rekeyed",
            "a run has one verdict, whatever key signs, from version {version}: {again}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_sqlite() {
    from_every_version(None, [None; 4]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres() {
    let (_pg, [now, one, two, three, four]) = Postgres::with(["now", "one", "two", "three", "four"]).await;
    from_every_version(Some(&now), [&one, &two, &three, &four].map(|url| Some(url.as_str()))).await;
}

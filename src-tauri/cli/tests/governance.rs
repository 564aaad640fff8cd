//! `forge policy` and `forge audit` as programs see them: exit codes, one JSON document, and what was done to a log named with
//! the first broken entry. The logs are real SQLite files, written by the engine's own code and tampered with by SQL.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use forge_core::audit::decisions::{Answer, Occasion, record};
use forge_core::audit::witness::witness;
use forge_core::audit::{Fact, append};
use forge_core::keys::Keys;
use forge_core::store::Store;
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Exit code and the JSON document on stdout.
fn forge(home: &Path, args: &[&str], stdin: &[u8]) -> (i32, Value) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_forge"))
        .args(args)
        .env("FORGE_HOME", home)
        .env("NO_COLOR", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A question that is too large is not read to its end.
    let _ = child.stdin.take().unwrap().write_all(stdin);
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let value = serde_json::from_str(&text).unwrap_or_else(|e| {
        panic!("forge {args:?} said no JSON ({e}): {text} {}", String::from_utf8_lossy(&output.stderr))
    });
    (output.status.code().unwrap(), value)
}

#[test]
fn the_policies_pass_their_own_test_data() {
    let home = tempfile::tempdir().unwrap();
    let (code, told) = forge(home.path(), &["--json", "policy", "test"], b"");
    assert_eq!((code, &told["ok"], &told["failed"]), (0, &json!(true), &json!(0)), "{told}");
    assert!(told["cases"].as_u64().unwrap() > 300, "{}", told["cases"]);
}

#[test]
fn a_question_is_answered_with_an_exit_code() {
    let home = tempfile::tempdir().unwrap();
    let check = json!({"actor": {"subject": "ada", "role": "learner"}, "action": {"class": "read_only"}, "spent": 0});
    for args in [&["policy", "eval", "action"][..], &["--json", "policy", "eval", "action"]] {
        let (code, told) = forge(home.path(), args, check.to_string().as_bytes());
        assert_eq!((code, &told["allow"], &told["reasons"]), (0, &json!(true), &json!([])));
        assert_eq!(told["policy_digest"].as_str().unwrap().len(), 64);
        assert!(told["micros"].as_u64().unwrap() > 0);
        let (code, told) = forge(home.path(), args, br#"{"spent": 1000}"#);
        assert_eq!((code, &told["allow"]), (3, &json!(false)));
        assert!(
            told["reasons"].as_array().unwrap().iter().any(|r| r.as_str().unwrap().contains("who wants")),
            "{told}"
        );
    }
    let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    let long = format!("\"{}\"", "x".repeat(400_000));
    for (gate, input, code, word) in [
        ("action", "{", 2, "invalid_input"),
        ("action", "", 2, "invalid_input"),
        ("action", &deep, 2, "too_large"),
        ("action", &long, 2, "too_large"),
        ("nothing", "{}", 4, "not_found"),
    ] {
        let (got, told) = forge(home.path(), &["--json", "policy", "eval", gate], input.as_bytes());
        assert_eq!((got, &told["error"]["code"]), (code, &json!(word)), "{told}");
        assert!(!told["error"]["hints"].as_array().unwrap().is_empty(), "{told}");
    }
}

/// Twenty entries, four of them decisions, with checkpoints after 10 and 20 and the file beside the database.
async fn log(home: &Path) -> (Store, Keys) {
    let keys = Keys::open(home, &mut rand::rng()).unwrap();
    let store = Store::open(&home.join("forge.db")).unwrap();
    for half in 0..2 {
        let (mine, folder) = (keys.clone(), home.to_owned());
        store
            .write(move |tx| {
                for i in half * 10..half * 10 + 10 {
                    if i % 5 == 0 {
                        let occasion = Occasion { at: i, correlation: format!("c{half}"), ..Occasion::default() };
                        let answer = Answer {
                            input: json!({"track": "ccnp"}),
                            allow: i == 0,
                            reasons: if i == 0 { vec![] } else { vec!["There is no such track.".into()] },
                            policy_digest: "d".into(),
                            micros: Some(90),
                        };
                        record(tx, "spawn", &occasion, answer)?;
                    } else {
                        let data = json!({"n": i, "good": true});
                        append(tx, Fact { at: i, run: Some("r".into()), kind: "check".into(), data })?;
                    }
                }
                witness(tx, &mine, half, &folder)
            })
            .await
            .unwrap();
    }
    (store, keys)
}

async fn sql(store: &Store, text: &'static str) {
    store
        .write(move |tx| {
            tx.execute_batch("DROP TRIGGER IF EXISTS audit_no_update; DROP TRIGGER IF EXISTS audit_no_delete;")?;
            Ok(tx.execute_batch(text)?)
        })
        .await
        .unwrap();
}

fn verified(home: &Path) -> (i32, Value) {
    forge(home, &["--json", "audit", "verify"], b"")
}

#[tokio::test]
async fn every_kind_of_tampering_is_named_with_the_first_broken_entry() {
    let cases: [(&str, u64, &str); 6] = [
        ("UPDATE audit SET entry = replace(entry, 'true', 'false') WHERE seq = 7", 7, "edited"),
        ("DELETE FROM audit WHERE seq = 6", 6, "deleted"),
        (
            "UPDATE audit SET seq = 99 WHERE seq = 3; UPDATE audit SET seq = 3 WHERE seq = 4; UPDATE audit SET seq = 4 WHERE seq = 99",
            3,
            "reordered",
        ),
        ("DELETE FROM audit WHERE seq >= 15", 15, "truncated"),
        ("UPDATE audit_head SET size = 19", 19, "head"),
        (
            "UPDATE audit_checkpoints SET note = replace(note, char(10) || '10' || char(10), char(10) || '11' || char(10))",
            10,
            "head",
        ),
    ];
    for (text, entry, damage) in cases {
        let home = tempfile::tempdir().unwrap();
        let (store, _) = log(home.path()).await;
        let (code, told) = verified(home.path());
        assert_eq!(
            (code, &told["ok"], &told["entries"], &told["outside"]),
            (0, &json!(true), &json!(20), &json!(1)),
            "{told}"
        );
        sql(&store, text).await;
        let (code, told) = verified(home.path());
        assert_eq!((code, &told["ok"]), (6, &json!(false)), "{text}: {told}");
        assert_eq!(
            (&told["broken"]["entry"], &told["broken"]["damage"]),
            (&json!(entry), &json!(damage)),
            "{text}: {told}"
        );
        assert!(told["broken"]["detail"].as_str().unwrap().len() > 20);
    }
}

#[tokio::test]
async fn an_older_copy_of_the_database_and_a_rewritten_log_show() {
    let home = tempfile::tempdir().unwrap();
    let db = home.path().join("forge.db");
    let (store, keys) = log(home.path()).await;
    drop(store);
    std::fs::copy(&db, home.path().join("old.db")).unwrap();
    let go_on = |store: Store, keys: Keys, word: &'static str| {
        let folder = home.path().to_owned();
        async move {
            store
                .write(move |tx| {
                    for i in 0..5 {
                        let data = json!({"n": i, "word": word});
                        append(tx, Fact { at: 100 + i, run: None, kind: "settings".into(), data })?;
                    }
                    Ok(())
                })
                .await
                .unwrap();
            store.write(move |tx| witness(tx, &keys, 200, &folder)).await
        }
    };
    let store = Store::open(&db).unwrap();
    go_on(store.clone(), keys.clone(), "first").await.unwrap();
    drop(store);
    assert_eq!(verified(home.path()).0, 0);

    // The older copy is whole in itself; the file beside it says that there was more.
    for rest in ["forge.db-wal", "forge.db-shm"] {
        let _ = std::fs::remove_file(home.path().join(rest));
    }
    std::fs::copy(home.path().join("old.db"), &db).unwrap();
    let (code, told) = verified(home.path());
    assert_eq!(
        (code, &told["broken"]["damage"], &told["broken"]["entry"]),
        (6, &json!("truncated"), &json!(20)),
        "{told}"
    );
    assert!(told["broken"]["detail"].as_str().unwrap().contains("audit.checkpoint"), "{told}");

    // Growing past it does not hide it, and the file is not written over.
    let before = std::fs::read(home.path().join("audit.checkpoint")).unwrap();
    let store = Store::open(&db).unwrap();
    let refused = go_on(store.clone(), keys.clone(), "second").await.unwrap_err();
    assert!(refused.message.contains("not the one"), "{}", refused.message);
    assert_eq!(std::fs::read(home.path().join("audit.checkpoint")).unwrap(), before);
    let (code, told) = verified(home.path());
    assert_eq!(
        (code, &told["broken"]["damage"], &told["broken"]["entry"]),
        (6, &json!("forked"), &json!(20)),
        "{told}"
    );
}

#[tokio::test]
async fn a_missing_checkpoint_is_mentioned() {
    let home = tempfile::tempdir().unwrap();
    log(home.path()).await;
    let (code, told) = verified(home.path());
    assert_eq!((code, &told["outside"], &told["ignored"]), (0, &json!(1), &json!([])), "{told}");
    std::fs::remove_file(home.path().join("audit.checkpoint")).unwrap();
    let (code, told) = verified(home.path());
    assert_eq!((code, &told["ok"], &told["outside"]), (0, &json!(true), &json!(0)), "{told}");
    let said = told["ignored"][0].as_str().unwrap();
    assert!(said.contains("audit.checkpoint") && said.contains("it is missing"), "{told}");
    // A log in which nothing stands has none, and misses none.
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(verified(empty.path()).1["ignored"], json!([]));
}

#[tokio::test]
async fn why_something_was_denied_can_be_asked_later() {
    let home = tempfile::tempdir().unwrap();
    log(home.path()).await;
    let (code, told) = forge(home.path(), &["--json", "policy", "log", "--denied", "--limit", "2"], b"");
    let ids: Vec<i64> = told["decisions"].as_array().unwrap().iter().map(|d| d["id"].as_i64().unwrap()).collect();
    assert_eq!((code, ids, &told["next"]), (0, vec![15, 10], &json!(10)));
    let (code, told) = forge(home.path(), &["--json", "policy", "why", "15"], b"");
    assert_eq!((code, &told["input"]), (0, &json!({"track": "ccnp"})));
    assert_eq!(told["decision"]["reasons"], json!(["There is no such track."]));
    assert_eq!((&told["current"], &told["micros"]), (&json!(false), &json!(90)));
    assert_eq!(told["others"][0]["id"], json!(10));
    assert_eq!(forge(home.path(), &["--json", "policy", "why", "16"], b"").0, 4);
    assert_eq!(forge(home.path(), &["--json", "policy", "log", "--gate", "moon"], b"").0, 4);
    let (code, told) = forge(home.path(), &["--json", "audit", "list", "--kind", "check", "--limit", "3"], b"");
    assert_eq!((code, &told["entries"][0]["id"], &told["size"]), (0, &json!(19), &json!(20)), "{told}");
    assert_eq!(told["entries"].as_array().unwrap().len(), 3);
}

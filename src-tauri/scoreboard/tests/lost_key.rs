//! The board's own key: lost, replaced by hand, restored, rotated. What laptops have pinned must not change without a word.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#[allow(dead_code)]
mod support;

use forge_scoreboard::store::{Target, meta};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use support::*;

/// What `serve` says when it will not.
fn refused(data: &Path, database: Option<&str>) -> Value {
    let mut c = Command::new(BIN);
    c.args(["serve", "--listen", "127.0.0.1:0", "--json", "--data"]).arg(data).env("RUST_LOG", "off");
    c.args(database.map_or(vec![], |url| vec!["--database", url]));
    let mut child = c.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let end = Instant::now() + Duration::from_secs(20);
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > end {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("it serves with a key that no laptop knows");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let out = child.wait_with_output().unwrap();
    assert!(!out.status.success());
    serde_json::from_slice(&out.stderr).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&out.stderr)))
}

fn is_lost(answer: &Value, kind: &str) {
    let e = &answer["error"];
    assert_eq!((&e["code"], &e["details"]["kind"]), (&json!("key_unavailable"), &json!(kind)), "{answer}");
    let hints = e["hints"].to_string();
    assert!(hints.contains("backup") && hints.contains("keys new"), "{answer}");
}

async fn current(server: &Server) -> String {
    server.get("/v1/keys/current").await.1["id"].as_str().unwrap().to_owned()
}

async fn by_hand(database: Option<&str>, other: Option<&str>) {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("board");
    let pem = data.join("keys/board.pem");
    let cli = |args: &[&str]| cli(args, &data, database);
    // Nobody believes a key yet: it may go, and another one come.
    let server = Server::start(&data, database);
    let first = current(&server).await;
    server.kill9();
    std::fs::remove_file(&pem).unwrap();
    let server = Server::start(&data, database);
    let id = current(&server).await;
    assert_ne!(first, id);
    let mara = server.newcomer("N", "learner", "Mara").await;
    let made = mara.made("lost-1", SSH);
    assert_eq!(server.submit(&made.envelope).await.0, 201);

    // A running server goes on, says so, and makes no other one, whatever is done to the folder.
    let keys = data.join("keys");
    let away = data.join("keys.away");
    std::fs::rename(&keys, &away).unwrap();
    let detail = |said: Value| said["parts"].as_array().unwrap()[3]["detail"].as_str().unwrap().to_owned();
    let end = Instant::now() + Duration::from_secs(30);
    while !detail(server.get("/readyz").await.1).contains("removed or replaced") {
        assert!(Instant::now() < end, "the server does not notice that its key's file is gone");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(current(&server).await, id);
    assert!(!keys.exists(), "a new key was made");
    let (status, said) = server.call("POST", "/v1/keys/rotate", &server.admin, Value::Null).await;
    assert_eq!(status, 500, "{said}");
    server.kill9();

    // Lost: nothing starts, nothing is made, every command says what to do.
    is_lost(&refused(&data, database), "board_key_gone");
    for args in [
        vec!["keys", "list"],
        vec!["keys", "rotate"],
        vec!["backup", "--to", home.path().join("none").to_str().unwrap()],
    ] {
        let (ok, said) = cli(&args);
        assert!(!ok, "{args:?}: {said}");
        is_lost(&said, "board_key_gone");
    }
    let (ok, said) = cli(&["verify-all", "--labs", labs().to_str().unwrap()]);
    assert!(!ok && said["problems"].to_string().contains(&id), "{said}");
    assert!(!keys.exists() && !home.path().join("none").exists());

    // Another board's key in its place.
    let stranger = home.path().join("stranger");
    Server::start(&stranger, None).kill9();
    std::fs::rename(&away, &keys).unwrap();
    let good = std::fs::read(&pem).unwrap();
    std::fs::copy(stranger.join("keys/board.pem"), &pem).unwrap();
    is_lost(&refused(&data, database), "board_key_other");
    // One that cannot be read is not thrown away.
    std::fs::write(&pem, "nonsense").unwrap();
    let said = refused(&data, database);
    assert_eq!(said["error"]["code"], "key_unavailable", "{said}");
    assert!(!cli(&["keys", "new"]).0 && std::fs::read(&pem).unwrap() == b"nonsense");

    // Put back, everything is as it was; and a key that is there is not made anew.
    std::fs::write(&pem, &good).unwrap();
    let (ok, said) = cli(&["keys", "new"]);
    assert!(!ok && said["error"]["code"] == "wrong_state", "{said}");
    let server = Server::start(&data, database);
    assert_eq!(current(&server).await, id);
    // Rotated in both ways: the old one vouches, and the next start knows it.
    assert!(server.cli(&["keys", "rotate"]).0);
    assert_eq!(server.call("POST", "/v1/keys/rotate", &server.admin, Value::Null).await.0, 200);
    server.kill9();
    let server = Server::start(&data, database);
    let rotated = current(&server).await;
    assert_ne!(rotated, id);
    assert_eq!(server.get("/v1/keys").await.1["rotations"].as_array().unwrap().len(), 2);
    let folder = home.path().join("backup");
    assert!(server.cli(&["backup", "--to", folder.to_str().unwrap()]).0);
    server.kill9();

    // A backup without its key is none; a whole one is the same board.
    let (from, new) = (folder.to_str().unwrap(), home.path().join("restored"));
    let restore = || support::cli(&["restore", "--from", from, "--labs", labs().to_str().unwrap()], &new, other);
    let kept = folder.join("keys/board.pem");
    std::fs::rename(&kept, folder.join("aside")).unwrap();
    let (ok, said) = restore();
    assert!(!ok && said["error"]["code"] == "not_found", "{said}");
    std::fs::rename(folder.join("aside"), &kept).unwrap();
    let (ok, said) = restore();
    assert!(ok && said["verdicts"] == 1, "{said}");
    let restored = Server::start(&new, other);
    assert_eq!(current(&restored).await, rotated);
    restored.kill9();

    // What an older version left says no key: the one that is there is it, and none is no reason to make one.
    let target = Target::of(&data, database).unwrap();
    let forget = move || {
        let mut conn = target.connect().unwrap();
        conn.begin(true).unwrap();
        conn.execute("DELETE FROM meta WHERE name = 'board_keys'", &[]).unwrap();
        conn.commit().unwrap();
        assert!(meta::get(conn.as_mut(), "board_keys").unwrap().is_none());
    };
    tokio::task::spawn_blocking(forget.clone()).await.unwrap();
    let aside = home.path().join("aside.pem");
    std::fs::rename(&pem, &aside).unwrap();
    is_lost(&refused(&data, database), "board_key_gone");
    std::fs::rename(&aside, &pem).unwrap();
    assert_eq!(cli(&["keys", "list"]).1["keys"][0]["id"], rotated.as_str());

    // Lost for good: said on purpose, and then one code brings every laptop back as who it is.
    std::fs::remove_file(&pem).unwrap();
    let (ok, said) = cli(&["keys", "new"]);
    assert!(ok && said["lost"][0]["id"] == rotated.as_str(), "{said}");
    let server = Server::start(&data, database);
    let fresh = current(&server).await;
    assert_eq!(said["keys"][0]["id"], fresh.as_str());
    let joe = server.newcomer("N", "learner", "Joe").await;
    let invited = server.cli(&["invite", "--class", "N"]).1;
    for (person, name) in [(&mara, "Mara"), (&joe, "Joe")] {
        let (status, again) = server.enrol(&person.laptop, invited["code"].as_str().unwrap(), "Otherwise").await;
        assert_eq!(
            (status, &again["learner"], &again["name"]),
            (201, &json!(person.enrolled.learner), &json!(name)),
            "{again}"
        );
        assert_eq!(again["board"]["id"], fresh.as_str());
        let asked =
            server.call("POST", "/v1/sessions/join", again["token"].as_str().unwrap(), json!({"code": "x"})).await.1;
        assert_eq!(code(&asked), "code_unknown", "the token works: {asked}");
    }
    let receipt = accepted(server.submit(&made.envelope).await.1).receipt;
    assert_eq!((receipt.key_id, receipt.body.learner), (fresh, mara.enrolled.learner));
}

#[tokio::test(flavor = "multi_thread")]
async fn on_sqlite_a_key_that_is_gone_is_told_and_not_replaced() {
    by_hand(None, None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_a_key_that_is_gone_is_told_and_not_replaced() {
    let (_pg, [one, two]) = Postgres::with(["one", "two"]).await;
    by_hand(Some(&one), Some(&two)).await;
}

/// A typing error in `--data`, with a database that is a board's: no second key, no litter.
#[tokio::test(flavor = "multi_thread")]
async fn another_folder_for_the_same_database_is_refused() {
    let (_pg, [url]) = Postgres::with(["typo"]).await;
    let home = tempfile::tempdir().unwrap();
    let server = Server::start(&home.path().join("board"), Some(&url));
    server.newcomer("N", "learner", "Mara").await;
    server.kill9();
    let wrong = home.path().join("baord");
    is_lost(&refused(&wrong, Some(&url)), "board_key_gone");
    // The database left out: no empty one is made beside it, and no key.
    let right = home.path().join("board");
    for args in [vec!["keys", "list"], vec!["keys", "new"], vec!["stats"], vec!["people", "list"]] {
        let (ok, said) = cli(&args, &right, None);
        assert!(!ok && said["error"]["code"] == "not_found", "{args:?}: {said}");
        assert!(said["error"]["hints"].to_string().contains("--database"), "{said}");
    }
    assert!(!right.join("scoreboard.db").exists(), "an empty database was made");
    assert!(!wrong.join("keys").exists() && !wrong.join("admin.token").exists(), "it was made into a board");
}

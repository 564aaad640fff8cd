//! What an operator does beside a running server: looks who is there, takes a key out of the game, finds the way to the board.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#[allow(dead_code)]
mod support;

use serde_json::{Value, json};
use std::time::Duration;
use support::*;

const SOON: Duration = Duration::from_secs(20);

/// What a stream says until `done` likes it, or until it ends.
async fn heard(stream: reqwest::Response, done: impl Fn(&str) -> bool) -> (String, reqwest::Response, bool) {
    let (mut said, mut stream) = (String::new(), stream);
    loop {
        match tokio::time::timeout(SOON, stream.chunk()).await.expect("the stream neither speaks nor ends").unwrap() {
            Some(part) => said.push_str(std::str::from_utf8(&part).unwrap()),
            None => return (said, stream, true),
        }
        if done(&said) {
            return (said, stream, false);
        }
    }
}

async fn a_lost_laptop(server: &Server) {
    let teacher = server.newcomer("A", "instructor", "Ms Tee").await;
    let (ben, cat) = (server.newcomer("A", "learner", "Ben").await, server.newcomer("A", "learner", "Cat").await);
    let wanted =
        json!({"title": "One", "labs": [LAB], "seeds": "shared", "deadline": now() + 3_600_000, "hints": true});
    let session = server.call("POST", "/v1/sessions", &teacher.token, wanted).await.1;
    let path = format!("/v1/sessions/{}", session["id"].as_str().unwrap());
    let mut streams = Vec::new();
    for learner in [&ben, &cat] {
        let joined =
            server.call("POST", "/v1/sessions/join", &learner.token, json!({"code": session["join_code"]})).await;
        assert_eq!(joined.0, 200, "{joined:?}");
        let request = reqwest::Client::new().get(format!("{}{path}/live", server.url)).bearer_auth(&learner.token);
        let stream = request.send().await.unwrap();
        streams.push(heard(stream, |said| said.contains("retry:")).await.1);
    }
    let tell = |text: &'static str| {
        let (token, path) = (teacher.token.clone(), format!("{path}/messages"));
        async move { assert_eq!(server.call("POST", &path, &token, json!({"text": text})).await.0, 201) }
    };
    tell("for both").await;
    let cats = heard(streams.pop().unwrap(), |said| said.contains("for both")).await.1;
    let bens = heard(streams.pop().unwrap(), |said| said.contains("for both")).await.1;

    let (ok, people) = server.cli(&["people", "list", "--class", "A"]);
    assert!(ok, "{people}");
    let row = people["people"].as_array().unwrap().iter().find(|p| p["name"] == "Ben").unwrap();
    let key = row["keys"][0]["key_id"].as_str().unwrap();
    assert_eq!(key, ben.laptop.key_id);
    let (ok, answer) = server.cli(&["people", "revoke", key, "0000", "--reason", "laptop lost"]);
    assert!(!ok && answer["error"]["code"] == "not_found", "{answer}");
    assert_eq!(server.submit(&ben.made("ben-1", SSH).envelope).await.0, 201, "none was revoked, as one was wrong");
    let (ok, answer) = server.cli(&["people", "revoke", key, "--reason", "laptop lost"]);
    assert!(ok && answer == json!({"revoked": [key]}), "{answer}");

    tell("after that").await;
    let (said, _, ended) = heard(bens, |said| said.contains("after that")).await;
    assert!(ended && !said.contains("after that"), "a revoked key was told: {said}");
    assert!(!heard(cats, |said| said.contains("after that")).await.2, "others go on listening");
    assert_eq!(code(&server.submit(&ben.made("ben-2", SSH).envelope).await.1), "key_revoked");
    assert_eq!(code(&server.call("GET", &path, &ben.token, Value::Null).await.1), "key_revoked");
    let people = server.cli(&["people", "list"]).1;
    let row = people["people"].as_array().unwrap().iter().find(|p| p["name"] == "Ben").unwrap();
    assert!(row["keys"][0]["revoked_at"].is_i64(), "{row}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_laptop_is_told_nothing_more() {
    let home = tempfile::tempdir().unwrap();
    a_lost_laptop(&Server::start(&home.path().join("sqlite"), None)).await;
    let (_pg, [url]) = Postgres::with(["lost"]).await;
    a_lost_laptop(&Server::start(&home.path().join("postgres"), Some(&url))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_cannot_be_read_is_refused_in_our_words() {
    let home = tempfile::tempdir().unwrap();
    let server = Server::start(&home.path().join("board"), None);
    let client = reqwest::Client::new();
    for path in [
        "/v1/verdicts/%ff",
        "/v1/leaderboard/%ff",
        "/v1/sessions/x/messages?after=y",
        "/v1/live?track=a&track=b",
        "/v1/verdicts?limit=x",
    ] {
        let answer = client.get(format!("{}{path}", server.url)).bearer_auth(&server.admin).send().await.unwrap();
        assert_eq!(answer.status(), 400, "{path}");
        let said: Value = answer.json().await.expect(path);
        assert_eq!(code(&said), "malformed", "{path}");
    }
    let metrics = client.get(format!("{}/metrics", server.url)).send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("forge_scoreboard_refused_total{code=\"malformed\"} 5"), "not counted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_on_all_interfaces_gives_an_address_that_answers() {
    let home = tempfile::tempdir().unwrap();
    let server = Server::start_at("0.0.0.0:0", &home.path().join("board"), None, &[]);
    assert!(server.url.starts_with("http://127.0.0.1:"), "{}", server.url);
    assert_eq!(server.get("/healthz").await.0, 200);
}

/// What was acknowledged must be where the next start looks for it: a file that nobody finds takes in nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_moved_away_is_refused_and_not_made_anew() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let server = Server::start(&data, None);
    let ben = server.newcomer("A", "learner", "Ben").await;
    let first = ben.made("moved-1", SSH);
    assert_eq!(server.submit(&first.envelope).await.0, 201);
    let file = data.join("scoreboard.db");
    let away = file.with_extension("away");
    std::fs::rename(&file, &away).unwrap();
    let (status, body) = server.submit(&ben.made("moved-2", SSH).envelope).await;
    assert_eq!((status, code(&body)), (503, "store_unavailable"), "{body}");
    let ready = reqwest::get(format!("{}/readyz", server.url)).await.unwrap();
    assert_eq!(ready.status(), 503);
    let said: Value = ready.json().await.unwrap();
    assert_eq!(said["ready"], false);
    assert_eq!(
        part(&said, "database"),
        (false, "it cannot be reached, or refuses to write; the log says which".into())
    );
    assert_eq!(part(&said, "folder"), (true, "bundles can be written".into()), "one part's trouble is not the others'");
    assert!(!file.exists(), "an empty database was made");
    std::fs::rename(&away, &file).unwrap();
    assert_eq!(server.submit(&ben.made("moved-2", SSH).envelope).await.0, 201);
    assert_eq!(server.submit(&first.envelope).await.0, 200, "still there");
    let said: Value = reqwest::get(format!("{}/readyz", server.url)).await.unwrap().json().await.unwrap();
    assert_eq!(said["ready"], true, "{said}");
    assert_eq!(part(&said, "database"), (true, "sqlite answers and commits".into()));
    assert_eq!(part(&said, "keys"), (true, "receipts can be signed".into()));
    assert!(
        part(&said, "disk").1.ends_with(" MiB free") && part(&said, "labs").1.contains(" known, 0 broken"),
        "{said}"
    );
}

/// Somebody else holds the writers' lock for too long: what waited is told so, and the next one is served.
#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_waited_too_long_goes_on_afterwards() {
    let (_pg, [url]) = Postgres::with(["lock"]).await;
    let waited = move || {
        let target = forge_scoreboard::store::Target::of(std::path::Path::new("/"), Some(&url)).unwrap();
        let (mut holder, mut writer) = (target.connect().unwrap(), target.connect().unwrap());
        holder.begin(true).unwrap();
        assert!(writer.begin(true).is_err(), "two write at the same time");
        holder.rollback().unwrap();
        writer.begin(true).expect("it never writes again");
        writer.rollback().unwrap();
    };
    tokio::task::spawn_blocking(waited).await.unwrap();
}

/// One of each is one.
#[tokio::test(flavor = "multi_thread")]
async fn figures_are_words() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("board");
    let server = Server::start(&data, None);
    let said = |args: &[&str]| {
        let out = std::process::Command::new(BIN).args(args).arg("--data").arg(&data).output().unwrap();
        String::from_utf8(out.stdout).unwrap()
    };
    assert_eq!(said(&["stats"]), "0 verdicts, 0 people in 0 classes, 0 sessions\n");
    let ben = server.newcomer("A", "learner", "Ben").await;
    assert_eq!(server.submit_bundle(&ben.made("one", SSH)).await.0, 201);
    assert_eq!(said(&["stats"]), "1 verdict, 1 person in 1 class, 0 sessions\n");
    let verified = said(&["verify-all"]);
    assert!(verified.starts_with("1 verdict, 1 with evidence, 1 of these held against"), "{verified}");
    assert!(verified.contains("everything holds"), "{verified}");
    std::fs::remove_dir_all(data.join("evidence")).unwrap();
    assert!(said(&["verify-all"]).contains(": 1 problem\n"));
    server.newcomer("B", "learner", "Cat").await;
    assert_eq!(server.submit(&ben.made("two", SSH).envelope).await.0, 201);
    assert_eq!(said(&["stats"]), "2 verdicts, 2 people in 2 classes, 0 sessions\n");
}

/// Whether this part of the server is ready, and its words.
fn part(readyz: &Value, name: &str) -> (bool, String) {
    let parts = readyz["parts"].as_array().unwrap();
    let part = parts.iter().find(|p| p["part"] == name).unwrap_or_else(|| panic!("{name}: {readyz}"));
    (part["ready"].as_bool().unwrap(), part["detail"].as_str().unwrap().to_owned())
}

//! A class session, from both sides of its desk.
use crate::support::*;
use forge_core::api::TrustTier;
use forge_core::board::{Challenge, Signed};
use forge_core::keys::{Domain, PublicKey};
use forge_scoreboard::bench::workshop::Wish;
use serde_json::{Value, json};
use std::time::Duration;

pub async fn sessions(server: &Server, mara: &Person, teacher: &Person, stranger: &Person, boss: &Person) {
    let new = json!({"title": "Monday", "labs": [LAB, "netplus-bound-test"], "seeds": "per_learner", "deadline": now() + 3_600_000, "hints": true, "attempts": 2});
    assert_eq!(code(&server.call("POST", "/v1/sessions", &mara.token, new.clone()).await.1), "forbidden");
    let (status, session) = server.call("POST", "/v1/sessions", &teacher.token, new).await;
    assert_eq!(status, 201, "{session}");
    let id = session["id"].as_str().unwrap();
    let join = json!({"code": session["join_code"]});
    assert_eq!(code(&server.call("POST", "/v1/sessions/join", &stranger.token, join.clone()).await.1), "other_tenant");
    let live = reqwest::Client::new()
        .get(format!("{}/v1/sessions/{id}/live", server.url))
        .bearer_auth(&teacher.token)
        .send()
        .await
        .unwrap();
    assert_eq!(server.call("POST", "/v1/sessions/join", &mara.token, join).await.0, 200);
    let path = format!("/v1/sessions/{id}/challenges");
    let ask = || server.call("POST", &path, &mara.token, json!({"lab": LAB}));
    // It began before the challenge was issued? Then it does not count; so time passes in this run.
    let challenge: Signed<Challenge> = serde_json::from_value(ask().await.1).unwrap();
    challenge.holds(&PublicKey::from_pem(&mara.enrolled.board.pem).unwrap(), Domain::Challenge).unwrap();
    let same: Signed<Challenge> = serde_json::from_value(ask().await.1).unwrap();
    assert_eq!(same.body, challenge.body, "an open challenge is given again");
    let c = challenge.body;
    let seeded = |run: &str, seed: &str| {
        let wish =
            Wish { challenge: Some(c.nonce.clone()), started: now() - 10, finished: now(), ..Wish::new(run, now()) };
        mara.laptop.seal(&scenario(seed), SSH, &wish).unwrap()
    };
    assert_eq!(code(&server.submit(&seeded("s-0", "another-seed").envelope).await.1), "unknown_challenge");
    let wish = Wish { challenge: Some(c.nonce.clone()), ..Wish::new("s-eve", now()) };
    let stolen = stranger.laptop.seal(&scenario(&c.seed), SSH, &wish).unwrap();
    assert_eq!(code(&server.submit(&stolen.envelope).await.1), "other_tenant");
    let progress = json!({"lab": LAB, "run": "s-1", "state": "working", "criteria": {"ssh": "pass", "http": "fail", "dns": "not_checked"}, "score": 2000, "max": 3000, "hints": 0, "elapsed_ms": 10});
    assert_eq!(server.call("POST", &format!("/v1/sessions/{id}/progress"), &mara.token, progress).await.0, 204);
    let answer = accepted(server.submit(&seeded("s-1", &c.seed).envelope).await.1);
    assert_eq!(answer.receipt.body.tier, TrustTier::InstructorSeeded, "{answer:?}");
    assert_eq!(answer.receipt.body.session.as_deref(), Some(id));
    assert_eq!(code(&server.submit(&seeded("s-2", &c.seed).envelope).await.1), "nonce_used");
    assert_eq!(
        server
            .call("POST", &format!("/v1/sessions/{id}/messages"), &teacher.token, json!({"text": "Look at port 80"}))
            .await
            .0,
        201
    );
    let messages = server.call("GET", &format!("/v1/sessions/{id}/messages"), &mara.token, Value::Null).await.1;
    assert_eq!(messages[0]["text"], "Look at port 80");
    assert_eq!(
        code(&server.call("GET", &format!("/v1/sessions/{id}/board"), &boss.token, Value::Null).await.1),
        "other_tenant"
    );
    let board = server.call("GET", &format!("/v1/sessions/{id}/board"), &teacher.token, Value::Null).await.1;
    assert_eq!(
        board["red"],
        json!([{"lab": LAB, "criterion": "http", "learners": 1}]),
        "what was not asked yet is not red"
    );
    assert_eq!(board["rows"][0]["results"][0]["in_time"], true);
    let next = json!({"lab": "netplus-bound-test", "run": "s-9", "state": "working", "criteria": {"ssh": "fail"}, "score": 500, "max": 3000, "hints": 0, "elapsed_ms": 10});
    assert_eq!(server.call("POST", &format!("/v1/sessions/{id}/progress"), &mara.token, next).await.0, 204);
    let board = server.call("GET", &format!("/v1/sessions/{id}/board"), &teacher.token, Value::Null).await.1;
    let row = &board["rows"][0];
    assert_eq!(
        (&row["progress"]["lab"], &row["others"][0]["lab"]),
        (&json!("netplus-bound-test"), &json!(LAB)),
        "{row}"
    );
    assert_eq!(board["red"].as_array().unwrap().len(), 2, "what was red in the last lab still is: {board}");
    let csv = server.call("GET", &format!("/v1/sessions/{id}/export.csv"), &teacher.token, Value::Null).await.1;
    let csv = csv.as_str().unwrap();
    assert!(csv.starts_with("\u{feff}learner,name,lab,state,points,of,"), "{csv}");
    assert!(csv.contains(&format!("\"Mara\",\"{LAB}\",\"submitted\",\"2\",\"3\",")), "points, not milli-points: {csv}");
    assert!(csv.contains("\"Mara\",\"netplus-bound-test\",\"working\",\"0.5\",\"3\","), "{csv}");
    let next: Signed<Challenge> = serde_json::from_value(ask().await.1).unwrap();
    assert!(next.body.attempt == 2 && next.body.seed != c.seed);
    assert_eq!(
        server.call("POST", &format!("/v1/sessions/{id}/freeze"), &teacher.token, json!({"frozen": true})).await.0,
        200
    );
    assert_eq!(code(&ask().await.1), "session_frozen");
    let wish = Wish { challenge: Some(next.body.nonce.clone()), ..Wish::new("s-3", now()) };
    let late = mara.laptop.seal(&scenario(&next.body.seed), SSH, &wish).unwrap();
    assert_eq!(code(&server.submit(&late.envelope).await.1), "session_frozen");
    let heard = hear(live, "event: session").await;
    for kind in ["joined", "progress", "verdict", "message"] {
        assert!(heard.contains(&format!("event: {kind}")), "{kind} is not in {heard}");
    }
}

async fn hear(mut live: reqwest::Response, until: &str) -> String {
    let mut heard = String::new();
    while !heard.contains(until) {
        let part = tokio::time::timeout(Duration::from_secs(10), live.chunk()).await.expect(&heard).unwrap().unwrap();
        heard.push_str(&String::from_utf8_lossy(&part));
    }
    heard
}

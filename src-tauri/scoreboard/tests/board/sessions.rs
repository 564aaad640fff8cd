//! A class session, from both sides of its desk.
use crate::support::*;
use forge_core::api::TrustTier;
use forge_core::board::{Challenge, Fact, Signed};
use forge_core::keys::{Domain, PublicKey};
use forge_scoreboard::bench::workshop::{Made, Wish};
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
    let frozen = server.submit(&late.envelope).await.1;
    assert_eq!(code(&frozen), "session_frozen");
    assert!(frozen["error"]["hints"][0].as_str().is_some_and(|h| h.contains("--retry-refused")), "{frozen}");
    let heard = hear(live, "event: session").await;
    for kind in ["joined", "progress", "verdict", "message"] {
        assert!(heard.contains(&format!("event: {kind}")), "{kind} is not in {heard}");
    }
}

/// A challenge is its learner's, in its session, in time; what is merely late or oddly dated is kept, does not count, and is asked about.
pub async fn what_does_not_count(server: &Server, mara: &Person, joe: &Person, teacher: &Person) {
    let create = async |deadline: i64| {
        let new = json!({"title": "Tuesday", "labs": [LAB], "seeds": "per_learner", "deadline": deadline, "hints": false, "grace_minutes": 0});
        let session = server.call("POST", "/v1/sessions", &teacher.token, new).await.1;
        for person in [mara, joe] {
            let code = json!({"code": session["join_code"]});
            assert_eq!(server.call("POST", "/v1/sessions/join", &person.token, code).await.0, 200, "{session}");
        }
        session["id"].as_str().unwrap().to_owned()
    };
    let challenge = async |person: &Person, session: &str| -> Challenge {
        let path = format!("/v1/sessions/{session}/challenges");
        let answer = server.call("POST", &path, &person.token, json!({"lab": LAB})).await.1;
        serde_json::from_value::<Signed<Challenge>>(answer).unwrap().body
    };
    let seal = |person: &Person, c: &Challenge, seed: &str, wish: Wish| {
        let wish = Wish { challenge: Some(c.nonce.clone()), ..wish };
        person.laptop.seal(&scenario(seed), SSH, &wish).unwrap()
    };
    let at = |run: &str, started: i64, finished: i64| Wish { started, finished, ..Wish::new(run, now()) };
    let (one, short) = (create(now() + 3_600_000).await, create(now() + 2_000).await);
    let (marah, joes) = (challenge(mara, &one).await, challenge(joe, &one).await);
    let (soon, sooner) = (challenge(mara, &short).await, challenge(joe, &short).await);
    let now_on = |run: &str| at(run, now(), now());
    let stolen = seal(joe, &marah, &marah.seed, now_on("x-1"));
    let mixed = seal(mara, &marah, &soon.seed, now_on("x-2"));
    for made in [stolen, mixed] {
        assert_eq!(code(&server.submit_bundle(&made).await.1), "unknown_challenge");
    }
    let noted = async |made: &Made, why: &str| {
        let answer = accepted(server.submit_bundle(made).await.1);
        assert!(!answer.receipt.body.established.contains(&Fact::IssuedSeed), "{answer:?}");
        assert!(answer.notes.iter().any(|n| n.contains(why)), "{why}: {answer:?}");
    };
    // A laptop whose clock is an hour behind.
    noted(&seal(mara, &marah, &marah.seed, at("x-3", now() - 3_600_000, now() - 3_590_000)), "before its challenge")
        .await;
    let hint_costs = [("ssh".to_owned(), 500)].into();
    let paid = seal(joe, &joes, &joes.seed, Wish { hint_costs, ..now_on("x-4") });
    assert!(accepted(server.submit_bundle(&paid).await.1).receipt.body.established.contains(&Fact::IssuedSeed));
    let path = format!("/v1/sessions/{one}/board");
    let asked = server.call("GET", &path, &teacher.token, Value::Null).await.1["questions"].clone();
    let asked: Vec<String> = serde_json::from_value(asked).unwrap();
    let count = |words: &str| asked.iter().filter(|q| q.contains(words)).count();
    assert_eq!(count("Joe paid for hints in "), 1, "{asked:?}");
    assert_eq!(count(" says that it began 59 min"), 1, "{asked:?}");
    assert_eq!((count("paid for hints"), count("says that it began")), (1, 1), "of nobody else: {asked:?}");

    tokio::time::sleep(Duration::from_millis(u64::try_from(soon.deadline - now()).unwrap_or(0) + 50)).await;
    noted(&seal(mara, &soon, &soon.seed, at("x-5", soon.issued_at, soon.deadline + 20)), "after the deadline").await;
    noted(&seal(joe, &sooner, &sooner.seed, at("x-6", soon.issued_at, soon.deadline - 1)), "deadline and its grace")
        .await;
}

async fn hear(mut live: reqwest::Response, until: &str) -> String {
    let mut heard = String::new();
    while !heard.contains(until) {
        let part = tokio::time::timeout(Duration::from_secs(10), live.chunk()).await.expect(&heard).unwrap().unwrap();
        heard.push_str(&String::from_utf8_lossy(&part));
    }
    heard
}

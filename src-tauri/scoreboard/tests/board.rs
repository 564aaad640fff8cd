//! The server as a process, over HTTP, with each database: from a code to a verified backup, and kill -9 in between.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod again;
#[allow(dead_code)]
mod support;

use forge_core::api::TrustTier;
use forge_core::board::{BoardKey, Challenge, RefusalCode, Signed};
use forge_core::keys::{Domain, KeyName, PublicKey};
use forge_core::verdict::{canonical, statement::Statement};
use forge_scoreboard::bench::workshop::{Laptop, Wish};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use support::*;

#[tokio::test(flavor = "multi_thread")]
async fn on_sqlite() {
    suite(None, None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres() {
    let (pg, [one, two]) = Postgres::with(["one", "two"]).await;
    suite(Some(&one), Some(&two)).await;
    drop(pg);
}

async fn suite(database: Option<&str>, other: Option<&str>) {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("board");
    let server = Server::start(&data, database);
    assert_eq!(server.get("/readyz").await.0, 200, "{:?}", server.get("/readyz").await);
    let mara = server.newcomer("Networks", "learner", "Mara").await;
    let joe = server.newcomer("Networks", "learner", "Joe").await;
    let teacher = server.newcomer("Networks", "instructor", "Ms. Ada").await;
    let stranger = server.newcomer("Other class", "learner", "Eve").await;
    let boss = server.newcomer("Other class", "instructor", "Mr. Other").await;
    enrolment(&server).await;
    verdicts(&server, &mara, &joe).await;
    resumed(&server, &mara, &joe).await;
    refusals(&server, &mara, &joe).await;
    sessions(&server, &mara, &teacher, &stranger, &boss).await;
    again::executed_again(&server, &mara, &joe, &teacher, &boss).await;
    again::jobs::on_demand(&server, [&mara, &joe, &teacher, &boss]).await;
    keys(&server, &joe, &teacher, &boss).await;
    let server = killed(server, &mara).await;
    let count = server.get("/v1/stats").await.1["verdicts"].as_i64().unwrap();
    backed_up(&server, other, home.path(), count);
}

async fn enrolment(server: &Server) {
    let home = tempfile::tempdir().unwrap();
    let laptop = Laptop::new(home.path()).unwrap();
    let (_, answer) = server.enrol(&laptop, "AAAA-BBBB-CCCC-DDDD", "X").await;
    assert_eq!(code(&answer), "code_unknown");
    let invited = server.cli(&["invite", "--class", "Networks"]).1;
    let invite = invited["code"].as_str().unwrap();
    let (status, answer) = server.enrol(&laptop, &invite.to_lowercase(), "Typist").await;
    assert_eq!(status, 201, "{answer}");
    let answer_of = answer;
    let second = tempfile::tempdir().unwrap();
    let (_, answer) = server.enrol(&Laptop::new(second.path()).unwrap(), invite, "Thief").await;
    assert_eq!(code(&answer), "code_used");
    // The answer was lost on its way: the same key gets a token for the same code, and stays one person.
    let (status, later) = server.enrol(&laptop, invite, "Typist").await;
    assert_eq!(
        (status, &later["learner"], &later["class"]),
        (201, &answer_of["learner"], &answer_of["class"]),
        "{later}"
    );
    assert_ne!(later["token"], answer_of["token"], "the server keeps no token that it could tell again");
    for token in [&later["token"], &answer_of["token"]] {
        let (_, said) =
            server.call("POST", "/v1/sessions/join", token.as_str().unwrap(), json!({"code": "NONE-SUCH"})).await;
        assert_eq!(code(&said), "code_unknown", "the token works: {said}");
    }
    // Somebody else's key cannot be enrolled: its owner did not sign.
    let invited = server.cli(&["invite", "--class", "Networks"]).1;
    let c = server.get("/v1/enrol").await.1;
    let third = Laptop::new(tempfile::tempdir().unwrap().path()).unwrap();
    let body =
        json!({"challenge": c["challenge"], "code": invited["code"], "name": "N", "public_key": laptop.pem().unwrap()});
    let forged = Signed::seal(body, &third.keys, KeyName::Learner, Domain::Enrolment).unwrap();
    let (_, answer) = server.call("POST", "/v1/enrol", "", json!(forged)).await;
    assert_eq!(code(&answer), "bad_signature");
    assert_eq!(code(&server.enrol(&laptop, invited["code"].as_str().unwrap(), "Again").await.1), "key_enrolled");
    assert_eq!(code(&server.call("GET", "/v1/learners", "wrong", Value::Null).await.1), "unauthorized");
}

async fn verdicts(server: &Server, mara: &Person, joe: &Person) {
    let made = mara.made("mara-1", SSH);
    let (status, answer) = server.submit(&made.envelope).await;
    assert_eq!(status, 201, "{answer}");
    let first = accepted(answer);
    assert_eq!(first.receipt.body.tier, TrustTier::SelfAttested);
    assert_eq!((first.receipt.body.score, first.receipt.body.max), (2000, 3000));
    assert_eq!(first.receipt.body.verdict, made.id);
    let key = PublicKey::from_pem(&mara.enrolled.board.pem).unwrap();
    first.receipt.holds(&key, Domain::Acceptance).unwrap();
    let (status, answer) = server.submit(&made.envelope).await;
    assert_eq!(status, 200);
    let again = accepted(answer);
    assert!(again.duplicate);
    assert_eq!(again.receipt, first.receipt, "a duplicate gets the same receipt");
    // The bundle raises the same verdict.
    let (status, answer) = server.submit_bundle(&made).await;
    assert_eq!(status, 200, "{answer}");
    let raised = accepted(answer);
    assert!(!raised.duplicate);
    assert_eq!(raised.receipt.body.tier, TrustTier::ReGraded);
    assert_eq!(raised.receipt.body.seq, first.receipt.body.seq);
    let (status, answer) = server.submit_bundle(&joe.made("joe-1", BOTH)).await;
    assert_eq!(status, 201, "{answer}");
    let board = server.get("/v1/leaderboard/netplus?tier=re-graded").await.1;
    let rows: Vec<_> = board["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| (r["name"].as_str().unwrap(), r["points"].as_i64().unwrap()))
        .collect();
    assert_eq!(rows, [("Joe", 3000), ("Mara", 2000)]);
    let nobody = server.get("/v1/leaderboard/netplus?tier=re-graded&class=Other%20class").await.1;
    assert_eq!(nobody["rows"], json!([]));
    let view = server.get(&format!("/v1/verdicts/{}", made.id)).await.1;
    assert_eq!((view["name"].as_str(), view["tier"].as_str()), (Some("Mara"), Some("re-graded")));
    assert_eq!(server.get("/v1/scores/mara-1").await.1["id"], made.id.as_str());
    let (status, text) =
        server.call("GET", &format!("/v1/verdicts/{}/evidence.tar.zst", made.id), "", Value::Null).await;
    assert_eq!((status, code(&text)), (401, "unauthorized"), "evidence is not for everybody");
    let r = reqwest::Client::new()
        .get(format!("{}/v1/verdicts/{}/evidence.tar.zst", server.url, made.id))
        .bearer_auth(&mara.token)
        .send()
        .await
        .unwrap();
    assert_eq!(r.bytes().await.unwrap(), made.evidence);
}

async fn resumed(server: &Server, mara: &Person, joe: &Person) {
    let made = mara.made("mara-resumed", SSH);
    server.submit(&made.envelope).await;
    let path = format!("/v1/verdicts/{}/evidence.tar.zst", made.id);
    let c = reqwest::Client::new();
    let put = c
        .put(format!("{}/v1/verdicts/{}/score.json", server.url, made.id))
        .bearer_auth(&mara.token)
        .body(made.score.clone());
    assert_eq!(put.send().await.unwrap().status(), 204);
    let half = made.evidence.len() / 2;
    let patch = |from: usize, to: usize, token: &str| {
        c.patch(format!("{}{path}", server.url))
            .bearer_auth(token)
            .header("upload-offset", from)
            .header("upload-length", made.evidence.len())
            .body(made.evidence[from..to].to_vec())
            .send()
    };
    assert_eq!(patch(0, half, &joe.token).await.unwrap().status(), 403, "somebody else's verdict");
    assert_eq!(patch(0, half, &mara.token).await.unwrap().headers()["upload-offset"], half.to_string());
    let wrong: Value = patch(0, half, &mara.token).await.unwrap().json().await.unwrap();
    assert_eq!((code(&wrong), wrong["error"]["details"]["offset"].as_u64()), ("wrong_offset", Some(half as u64)));
    let head = c.head(format!("{}{path}", server.url)).bearer_auth(&mara.token).send().await.unwrap();
    assert_eq!(head.headers()["upload-offset"], half.to_string());
    let done = patch(half, made.evidence.len(), &mara.token).await.unwrap();
    assert_eq!(accepted(done.json().await.unwrap()).receipt.body.tier, TrustTier::ReGraded);
}

/// Each kind of bad input has its own code, is counted, and leaves nothing behind.
async fn refusals(server: &Server, mara: &Person, joe: &Person) {
    let before = server.get("/v1/stats").await.1["verdicts"].clone();
    let good = mara.made("refuse-me", SSH);
    let lab = scenario("seed-refuse");
    let expect = |(status, answer): (u16, Value), wanted: RefusalCode| {
        assert_eq!((status, code(&answer)), (wanted.status(), wanted.as_str()), "{answer}");
    };
    use RefusalCode::*;
    let text = String::from_utf8(good.envelope.clone()).unwrap();
    expect(server.submit(b"nonsense").await, Malformed);
    expect(server.submit(&good.envelope[..good.envelope.len() / 2]).await, Truncated);
    expect(server.submit(&vec![b' '; 300 << 10]).await, TooLarge);
    expect(server.submit(text.replacen(':', ": ", 1).as_bytes()).await, Reordered);
    expect(server.submit(text.replace("in-toto+json", "in-toto2+json").as_bytes()).await, UnknownVersion);
    let mut envelope: Value = serde_json::from_str(&text).unwrap();
    let sig = envelope["signatures"][0]["sig"].as_str().unwrap().to_owned();
    envelope["signatures"][0]["sig"] =
        json!(sig.chars().rev().collect::<String>().replace('=', "A")[..86].to_owned() + "==");
    let (_, answer) = server.submit(&canonical::to_bytes(&envelope).unwrap()).await;
    assert!(["bad_signature", "malformed"].contains(&code(&answer)), "{answer}");
    let unknown = Laptop::new(tempfile::tempdir().unwrap().path()).unwrap();
    expect(server.submit(&unknown.seal(&lab, SSH, &Wish::new("u", now())).unwrap().envelope).await, UnknownKey);
    // Under Joe's name with Mara's signature, and the other way round.
    let renamed = text.replace(&mara.laptop.key_id, &joe.laptop.key_id);
    expect(server.submit(renamed.as_bytes()).await, BadSignature);
    let signed = |person: &Person, change: &dyn Fn(&mut Statement)| {
        let mut s = mara.laptop.draft(&lab, SSH, &Wish::new("signed-run", now())).unwrap().0;
        change(&mut s);
        person.laptop.sign(&s).unwrap().1
    };
    expect(server.submit(&signed(joe, &|_| {})).await, Rekeyed);
    expect(server.submit(&signed(mara, &|s| s.predicate.forge.finished += 3_600_000)).await, FutureDated);
    expect(server.submit(&signed(mara, &|s| s.predicate.forge.score = 3000)).await, Inconsistent);
    expect(server.submit(&signed(mara, &|s| s.predicate.forge.tier = TrustTier::ReGraded)).await, Inconsistent);
    expect(server.submit(&signed(mara, &|s| s.subject.swap(0, 1))).await, Reordered);
    expect(server.submit(&signed(mara, &|s| s.predicate.forge.run = "../../etc".into())).await, Malformed);
    expect(
        server.submit(&signed(mara, &|s| s.predicate.forge.challenge = Some("made-up".into()))).await,
        UnknownChallenge,
    );
    let mut other = serde_json::to_value(mara.laptop.draft(&lab, SSH, &Wish::new("v2", now())).unwrap().0).unwrap();
    other["_type"] = json!("https://in-toto.io/Statement/v2");
    expect(
        server.submit(&mara.laptop.sign_bytes(&canonical::to_bytes(&other).unwrap()).unwrap().1).await,
        UnknownVersion,
    );
    // Replayed: the run again, otherwise; and Mara's evidence under Joe's key.
    expect(
        server.submit(&mara.laptop.seal(&lab, BOTH, &Wish::new("mara-1", now())).unwrap().envelope).await,
        RunExists,
    );
    expect(server.submit(&joe.laptop.seal(&lab, BOTH, &Wish::new("mara-1", now())).unwrap().envelope).await, Rekeyed);
    // Bundles.
    let mut swapped = good.clone();
    swapped.score = joe.made("joe-1", BOTH).score;
    expect(server.submit_bundle(&swapped).await, DigestMismatch);
    let mut cut = good.clone();
    cut.evidence.truncate(cut.evidence.len() - 20);
    expect(server.submit_bundle(&cut).await, Truncated);
    let with_tar = |tar: Vec<u8>, run: &str| {
        let (mut s, score, _) = mara.laptop.draft(&lab, SSH, &Wish::new(run, now())).unwrap();
        let zst = zstd::encode_all(tar.as_slice(), 3).unwrap();
        s.subject[1].digest.sha256 = canonical::sha256(&zst);
        s.subject[2].digest.sha256 = canonical::sha256(&tar);
        let (id, envelope) = mara.laptop.sign(&s).unwrap();
        forge_scoreboard::bench::workshop::Made { id, envelope, score, evidence: zst }
    };
    expect(server.submit_bundle(&with_tar(tar_of("../escape", b"x"), "path")).await, UnsafePath);
    expect(server.submit_bundle(&with_tar(tar_of("x", b"x"), "nolist")).await, EvidenceInvalid);
    expect(server.submit_bundle(&with_tar(tar_of("zeros", &vec![0; 600 << 20]), "bomb")).await, Bomb);
    // A lab made easier: everything agrees, but the server knows the template.
    let mut easier = scenario("seed-easy");
    easier.criteria[1].evidence = easier.criteria[0].evidence.clone();
    expect(server.submit_bundle(&mara.laptop.seal(&easier, SSH, &Wish::new("easier", now())).unwrap()).await, OtherLab);
    // An outcome that the evidence does not give.
    let (mut s, _, evidence) = mara.laptop.draft(&lab, SSH, &Wish::new("better", now())).unwrap();
    let (b, score, _) = mara.laptop.draft(&lab, BOTH, &Wish::new("better", now())).unwrap();
    s.subject[0] = b.subject[0].clone();
    let subjects = s.subject.clone();
    s.predicate = b.predicate.clone();
    s.subject = subjects;
    let (id, envelope) = mara.laptop.sign(&s).unwrap();
    expect(
        server.submit_bundle(&forge_scoreboard::bench::workshop::Made { id, envelope, score, evidence }).await,
        RegradeDiffers,
    );
    assert_eq!(server.get("/v1/stats").await.1["verdicts"], before, "something refused was stored");
    let left: Vec<_> = std::fs::read_dir(server.data.join("incoming")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    let metrics = reqwest::get(format!("{}/metrics", server.url)).await.unwrap().text().await.unwrap();
    assert!(metrics.contains("forge_scoreboard_refused_total{code=\"bomb\"} 1"), "{metrics}");
    // What was refused for its surroundings alone is good afterwards.
    assert_eq!(server.submit_bundle(&good).await.0, 201);
}

fn tar_of(path: &str, bytes: &[u8]) -> Vec<u8> {
    let mut b = tar::Builder::new(Vec::new());
    let mut h = tar::Header::new_ustar();
    h.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
    h.set_entry_type(tar::EntryType::Regular);
    h.set_size(bytes.len() as u64);
    h.set_mode(0o644);
    h.set_cksum();
    b.append(&h, bytes).unwrap();
    b.into_inner().unwrap()
}

async fn sessions(server: &Server, mara: &Person, teacher: &Person, stranger: &Person, boss: &Person) {
    let new = json!({"title": "Monday", "labs": [LAB], "seeds": "per_learner", "deadline": now() + 3_600_000, "hints": true, "attempts": 2});
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
    let progress = json!({"lab": LAB, "run": "s-1", "state": "working", "criteria": {"ssh": "pass", "http": "fail"}, "score": 2000, "max": 3000, "hints": 0, "elapsed_ms": 10});
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
    assert_eq!(board["red"], json!([{"lab": LAB, "criterion": "http", "learners": 1}]));
    assert_eq!(board["rows"][0]["results"][0]["in_time"], true);
    let csv = server.call("GET", &format!("/v1/sessions/{id}/export.csv"), &teacher.token, Value::Null).await.1;
    assert!(csv.as_str().unwrap().contains("\"Mara\""), "{csv}");
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

async fn keys(server: &Server, joe: &Person, teacher: &Person, boss: &Person) {
    let old: BoardKey = serde_json::from_value(server.get("/v1/keys/current").await.1).unwrap();
    assert_eq!(code(&server.call("POST", "/v1/keys/rotate", &teacher.token, Value::Null).await.1), "forbidden");
    assert_eq!(server.call("POST", "/v1/keys/rotate", &server.admin, Value::Null).await.0, 200);
    let all = server.get("/v1/keys").await.1;
    assert_eq!(all["rotations"][0]["old"], old.id.as_str());
    let rotation: forge_core::keys::Rotation = serde_json::from_value(all["rotations"][0].clone()).unwrap();
    assert_eq!(rotation.checked().unwrap().0.id(), old.id, "the old key signs the new one");
    assert_eq!(server.get(&format!("/v1/keys/{}", old.id)).await.1["current"], false);
    // Joe has a second laptop with the same key and a token of its own; the first changes its key, then that one is revoked.
    let invited = server.call("POST", "/v1/invites", &teacher.token, json!({})).await.1;
    let home = tempfile::tempdir().unwrap();
    let twin = Laptop::new(home.path()).unwrap();
    let invite = invited["code"].as_str().unwrap();
    let first = server.enrol(&twin, invite, "Jo").await.1["token"].as_str().unwrap().to_owned();
    let second = server.enrol(&twin, invite, "Jo").await.1["token"].as_str().unwrap().to_owned();
    let stays = twin.key_id.clone();
    let new = twin.keys.rotate(KeyName::Learner, now(), &mut rand::rng()).unwrap();
    assert_eq!(server.call("POST", "/v1/keys/rotations", &first, json!(new)).await.0, 204);
    assert_eq!(
        server.call("POST", "/v1/keys/rotations", &joe.token, json!(new)).await.0,
        204,
        "told again, by another"
    );
    let may =
        |token: String| async move { server.call("POST", "/v1/sessions/join", &token, json!({"code": "x"})).await.1 };
    let revoke = |key: &str| format!("/v1/keys/{key}/revoke");
    let lost = json!({"reason": "lost laptop"});
    assert_eq!(server.call("POST", &revoke(&stays), &teacher.token, lost.clone()).await.0, 204);
    assert_eq!(code(&may(second).await), "key_revoked", "its laptop has the old key");
    assert_ne!(code(&may(first.clone()).await), "key_revoked", "it went on with the new key");
    assert_eq!(server.call("POST", &revoke(&new.new), &teacher.token, lost).await.0, 204);
    assert_eq!(code(&may(first).await), "key_revoked");
    assert_ne!(code(&may(joe.token.clone()).await), "key_revoked", "nobody else's token moved");
    let rotation = joe.laptop.keys.rotate(KeyName::Learner, now(), &mut rand::rng()).unwrap();
    assert_eq!(server.call("POST", "/v1/keys/rotations", "", json!(rotation)).await.0, 204);
    let fresh = Laptop { keys: joe.laptop.keys.clone(), key_id: rotation.new.clone() };
    let made = fresh.seal(&scenario("joe-2"), SSH, &Wish::new("joe-2", now())).unwrap();
    let answer = accepted(server.submit(&made.envelope).await.1);
    assert_eq!(answer.receipt.body.learner, joe.enrolled.learner);
    let path = format!("/v1/keys/{}/revoke", rotation.new);
    assert_eq!(code(&server.call("POST", &path, &boss.token, json!({"reason": "mine"})).await.1), "other_tenant");
    assert_eq!(server.call("POST", &path, &teacher.token, json!({"reason": "lost laptop"})).await.0, 204);
    let next = fresh.seal(&scenario("joe-3"), SSH, &Wish::new("joe-3", now())).unwrap();
    assert_eq!(code(&server.submit(&next.envelope).await.1), "key_revoked");
    assert!(accepted(server.submit(&made.envelope).await.1).duplicate, "what was accepted stays");
}

/// kill -9 under load: every acknowledged verdict is there afterwards.
async fn killed(server: Server, mara: &Person) -> Server {
    let many: Vec<_> = (0..400).map(|i| mara.made(&format!("load-{i}"), SSH)).collect();
    let before = server.get("/v1/stats").await.1["verdicts"].as_i64().unwrap();
    let (many, stop) = (Arc::new(many), Arc::new(AtomicBool::new(false)));
    let mut tasks = Vec::new();
    for lane in 0..8 {
        let (many, stop, url) = (many.clone(), stop.clone(), server.url.clone());
        tasks.push(tokio::spawn(async move {
            let c = reqwest::Client::new();
            let mut acknowledged = Vec::new();
            for made in many.iter().skip(lane).step_by(8) {
                let sent = c
                    .post(format!("{url}/v1/verdicts"))
                    .header("content-type", "application/json")
                    .body(made.envelope.clone())
                    .send()
                    .await;
                match sent {
                    Ok(r) if r.status() == 201 => acknowledged.push(made.id.clone()),
                    Ok(r) => panic!("{}", r.status()),
                    Err(_) => assert!(stop.load(Ordering::SeqCst), "it failed before the kill"),
                }
            }
            acknowledged
        }));
    }
    // In the middle of it, however fast the machine is.
    let end = std::time::Instant::now() + Duration::from_secs(30);
    while server.get("/v1/stats").await.1["verdicts"].as_i64().unwrap() < before + 40 {
        assert!(std::time::Instant::now() < end, "nothing is stored");
    }
    stop.store(true, Ordering::SeqCst);
    let (data, database) = (server.data.clone(), server.database.clone());
    server.kill9();
    let mut acknowledged = Vec::new();
    for task in tasks {
        acknowledged.extend(task.await.unwrap());
    }
    assert!(!acknowledged.is_empty() && acknowledged.len() < many.len(), "{} of {}", acknowledged.len(), many.len());
    let server = Server::start(&data, database.as_deref());
    for id in &acknowledged {
        assert_eq!(server.get(&format!("/v1/verdicts/{id}")).await.0, 200, "{id} was acknowledged and is lost");
    }
    println!("killed: {} acknowledged, none lost", acknowledged.len());
    server
}

/// To a folder and back into another database, where every verdict is verified again.
fn backed_up(server: &Server, other: Option<&str>, home: &std::path::Path, count: i64) {
    let (ok, verified) = server.cli(&["verify-all"]);
    assert!(ok && verified["verdicts"] == count, "{verified}");
    // The labs are those that were served, so that everything was held against its template.
    assert!(verified["bundles"].as_i64().unwrap() >= 3 && verified["held"] == verified["bundles"], "{verified}");
    let nowhere = home.join("no-labs");
    std::fs::create_dir(&nowhere).unwrap();
    let (ok, bare) = server.cli(&["verify-all", "--labs", nowhere.to_str().unwrap()]);
    assert!(ok && bare["held"] == 0, "without the labs nothing can be held against them: {bare}");
    let (ok, gone) = server.cli(&["verify-all", "--labs", home.join("gone").to_str().unwrap()]);
    assert!(!ok && gone["error"]["code"] == "not_found", "{gone}");
    let folder = home.join("backup");
    let (ok, said) = server.cli(&["backup", "--to", folder.to_str().unwrap()]);
    assert!(ok, "{said}");
    let new = home.join("restored");
    let (ok, restored) = cli(&["restore", "--from", folder.to_str().unwrap()], &new, other);
    assert!(ok && restored["verdicts"] == count && restored["held"] == verified["held"], "{restored}");
    let again = home.join("backup-of-restored");
    assert!(cli(&["backup", "--to", again.to_str().unwrap()], &new, other).0);
    let rows = |f: &std::path::Path| zstd::decode_all(std::fs::File::open(f.join("rows.jsonl.zst")).unwrap()).unwrap();
    assert_eq!(rows(&folder), rows(&again), "a restored board is the same board");
    // A damaged bundle does not go unnoticed.
    let shelf = std::fs::read_dir(new.join("evidence")).unwrap().next().unwrap().unwrap().path();
    let file = std::fs::read_dir(shelf).unwrap().next().unwrap().unwrap().path();
    std::fs::write(&file, b"x").unwrap();
    let (ok, found) = cli(&["verify-all"], &new, other);
    assert!(!ok && found["problems"].as_array().unwrap().len() == 1, "{found}");
}

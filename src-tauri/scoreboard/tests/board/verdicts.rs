//! Verdicts that are accepted: alone, with their bundle, and in parts.
use crate::support::*;
use forge_core::api::TrustTier;
use forge_core::keys::{Domain, PublicKey};
use serde_json::{Value, json};

pub async fn verdicts(server: &Server, mara: &Person, joe: &Person) {
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
    newest(server).await;
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

/// The newest ones, of all and of one class; each class is asked for by itself.
async fn newest(server: &Server) {
    let eve = server.newcomer("Third class", "learner", "Eve").await;
    assert_eq!(server.submit(&eve.made("eve-newest", SSH).envelope).await.0, 201);
    let names = |path: &'static str| async move {
        let (status, list) = server.get(path).await;
        assert_eq!((status, &list["next"]), (200, &Value::Null), "{list}");
        let names = list["verdicts"].as_array().unwrap().iter().map(|v| v["name"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>()
    };
    assert_eq!(names("/v1/verdicts?newest=true").await, ["Eve", "Joe", "Mara"]);
    assert_eq!(names("/v1/verdicts?newest=true&limit=1").await, ["Eve"]);
    assert_eq!(names("/v1/verdicts?newest=true&class=Networks").await, ["Joe", "Mara"]);
    assert_eq!(names("/v1/verdicts?newest=true&class=Networks&limit=1").await, ["Joe"]);
    assert_eq!(names("/v1/verdicts?newest=true&class=Third%20class").await, ["Eve"]);
    assert_eq!(names("/v1/verdicts?newest=true&class=Nobody").await, [""; 0]);
    for path in ["/v1/verdicts?class=Networks", "/v1/verdicts?newest=true&after=1"] {
        assert_eq!(code(&server.get(path).await.1), "malformed", "{path}");
    }
}

pub async fn resumed(server: &Server, mara: &Person, joe: &Person) {
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

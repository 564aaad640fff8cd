//! Vouching for a verdict that was executed again: who may, about what, and what follows from it.

pub mod jobs;

use crate::support::*;
use forge_core::api::OutcomeKind;
use forge_core::board::{Reexecution, Signed};
use forge_core::keys::{Domain, KeyName};
use forge_scoreboard::bench::workshop::{Laptop, Made, Wish};
use serde_json::{Value, json};
use std::time::Duration;

async fn say(server: &Server, by: &Laptop, body: Reexecution) -> (u16, Value) {
    let path = format!("/v1/verdicts/{}/reexecutions", body.verdict);
    let signed = Signed::seal(body, &by.keys, KeyName::Learner, Domain::ReExecution).unwrap();
    server.call("POST", &path, "", json!(signed)).await
}

pub async fn executed_again(server: &Server, mara: &Person, joe: &Person, teacher: &Person, boss: &Person) {
    let made = mara.made("mara-again", SSH);
    assert_eq!(server.submit(&made.envelope).await.0, 201);
    assert_eq!(code(&say(server, &teacher.laptop, reexecution(&made)).await.1), "not_re_graded");
    let (_, answer) = server.submit_bundle(&made).await;
    let seq = accepted(answer).receipt.body.seq;
    who_may_not(server, &made, [mara, joe, boss]).await;
    what_it_may_not_say(server, teacher, &made).await;
    assert_eq!(server.get(&format!("/v1/verdicts/{}/reexecutions", made.id)).await.1, json!([]));
    assert_eq!(server.get(&format!("/v1/verdicts/{}", made.id)).await.1["tier"], "re-graded");

    let live = reqwest::get(format!("{}/v1/live", server.url)).await.unwrap();
    let said = Signed::seal(reexecution(&made), &teacher.laptop.keys, KeyName::Learner, Domain::ReExecution).unwrap();
    let path = format!("/v1/verdicts/{}/reexecutions", made.id);
    let (status, answer) = server.call("POST", &path, "", json!(said)).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer, json!({"verdict": made.id, "tier": "re-executed", "agrees": true, "duplicate": false}));
    let heard = hear(live, "re-executed").await;
    assert!(heard.contains(&made.id) && heard.contains(&format!("\"seq\":{seq}")), "{heard}");
    let (_, answer) = server.call("POST", &path, "", json!(said)).await;
    assert_eq!((answer["duplicate"].as_bool(), answer["tier"].as_str()), (Some(true), Some("re-executed")), "{answer}");
    assert_eq!(server.get(&path).await.1, json!([said]), "what is kept is what was signed, once");
    assert_eq!(server.get("/v1/stats").await.1["by_tier"]["re-executed"], 1);
    let rows = server.get("/v1/leaderboard/netplus?tier=re-executed").await.1["rows"].clone();
    assert_eq!((rows.as_array().unwrap().len(), rows[0]["points"].as_i64()), (1, Some(2000)), "{rows}");
    // Sent once more by the laptop: it learns how the verdict stands, and takes nothing away.
    let (_, answer) = server.submit_bundle(&made).await;
    assert_eq!(json!(accepted(answer).receipt.body.tier), "re-executed");

    // One that comes out otherwise is kept for all to see, and raises nothing.
    let other = mara.made("mara-other", SSH);
    server.submit_bundle(&other).await;
    let mut differs = reexecution(&other);
    (differs.criteria[1].reexecuted, differs.score) = (OutcomeKind::Error, 0);
    let (status, answer) = say(server, &teacher.laptop, differs).await;
    assert_eq!((status, &answer["agrees"], &answer["tier"]), (200, &json!(false), &json!("re-graded")), "{answer}");
    let path = format!("/v1/verdicts/{}/reexecutions", other.id);
    assert_eq!(server.get(&path).await.1.as_array().unwrap().len(), 1);
}

async fn who_may_not(server: &Server, made: &Made, [mara, joe, boss]: [&Person; 3]) {
    assert_eq!(
        code(&say(server, &mara.laptop, reexecution(made)).await.1),
        "forbidden",
        "nobody vouches for themselves"
    );
    assert_eq!(code(&say(server, &joe.laptop, reexecution(made)).await.1), "forbidden");
    assert_eq!(code(&say(server, &boss.laptop, reexecution(made)).await.1), "other_tenant");
    let home = tempfile::tempdir().unwrap();
    let stranger = Laptop::new(home.path()).unwrap();
    assert_eq!(code(&say(server, &stranger, reexecution(made)).await.1), "unknown_key");
    // An instructor's own verdict.
    let own = server.newcomer("Networks", "instructor", "Mr. Own").await;
    let theirs = own.made("own-1", SSH);
    server.submit_bundle(&theirs).await;
    assert_eq!(code(&say(server, &own.laptop, reexecution(&theirs)).await.1), "forbidden");
}

async fn what_it_may_not_say(server: &Server, teacher: &Person, made: &Made) {
    let at = now();
    type Change = fn(&mut Reexecution);
    let changes: [(Change, &str); 10] = [
        (|r| r.version = 2, "unknown_version"),
        (|r| r.lab = "netplus-bound-test".into(), "re_execution_invalid"),
        (|r| r.template_digest = "00".repeat(32), "re_execution_invalid"),
        (|r| r.seed = "seed-mara-again".into(), "re_execution_invalid"),
        (|r| r.seed = "no seed\n".into(), "re_execution_invalid"),
        (|r| r.score += 1000, "re_execution_invalid"),
        (|r| r.max = 2000, "re_execution_invalid"),
        (|r| r.criteria.reverse(), "re_execution_invalid"),
        (|r| drop(r.criteria.pop()), "re_execution_invalid"),
        (|r| r.criteria[0].submitted = OutcomeKind::Pass, "re_execution_invalid"),
    ];
    for (i, (change, want)) in changes.into_iter().enumerate() {
        let mut body = reexecution(made);
        change(&mut body);
        let (status, answer) = say(server, &teacher.laptop, body).await;
        assert_eq!((code(&answer), status >= 400), (want, true), "{i}: {answer}");
    }
    let late = Reexecution { at: at + 3_600_000, ..reexecution(made) };
    assert_eq!(code(&say(server, &teacher.laptop, late).await.1), "future_dated");
    let early = Reexecution { at: at - 3_600_000, ..reexecution(made) };
    assert_eq!(code(&say(server, &teacher.laptop, early).await.1), "re_execution_invalid");
    let mut forged =
        Signed::seal(reexecution(made), &teacher.laptop.keys, KeyName::Learner, Domain::ReExecution).unwrap();
    let path = format!("/v1/verdicts/{}/reexecutions", made.id);
    assert_eq!(
        code(&server.call("POST", &format!("/v1/verdicts/{}/reexecutions", "0".repeat(64)), "", json!(forged)).await.1),
        "re_execution_invalid"
    );
    forged.body.seed = "yet-another".into();
    assert_eq!(code(&server.call("POST", &path, "", json!(forged)).await.1), "bad_signature");
    let elsewhere = Signed::seal(reexecution(made), &teacher.laptop.keys, KeyName::Learner, Domain::Enrolment).unwrap();
    assert_eq!(code(&server.call("POST", &path, "", json!(elsewhere)).await.1), "bad_signature");
    let mut more = json!(elsewhere);
    more["body"]["trust_me"] = json!(true);
    assert_eq!(code(&server.call("POST", &path, "", more).await.1), "malformed");

    // A lab that is bound to its seed stops at re-graded, whatever anybody says.
    let scenario = catalogue().get("netplus-bound-test").unwrap().instantiate("s").unwrap();
    let joe = server.newcomer("Networks", "learner", "Bo").await;
    let bound = joe.laptop.seal(&scenario, SSH, &Wish::new("bound-1", now())).unwrap();
    assert_eq!(json!(accepted(server.submit_bundle(&bound).await.1).receipt.body.tier), "re-graded");
    let body =
        Reexecution { lab: scenario.lab.clone(), template_digest: scenario.digest.clone(), ..reexecution(&bound) };
    let (status, answer) = say(server, &teacher.laptop, body).await;
    assert_eq!((status, code(&answer)), (422, "re_execution_invalid"), "{answer}");
}

async fn hear(mut live: reqwest::Response, until: &str) -> String {
    let mut heard = String::new();
    while !heard.contains(until) {
        let chunk = tokio::time::timeout(Duration::from_secs(10), live.chunk()).await.expect("an event comes in time");
        heard.push_str(&String::from_utf8_lossy(&chunk.unwrap().expect("the stream goes on")));
    }
    heard
}

//! A verdict's job as its session's desk hears of it, and a worker's statement whose answer is lost.
use crate::between::{Odd, passing_on};
use crate::learner::*;
use crate::support::*;
use forge_core::api::TrustTier;
use forge_core::board::{Reexecution, SeedPolicy, Signed};
use forge_core::keys::{Domain, KeyName};
use forge_core::store::sync::Board;
use forge_core::sync::{jobs, reexecution as reported, session};
use forge_scoreboard::bench::workshop::{Made, Wish};
use serde_json::Value;
use std::sync::atomic::Ordering;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn on_sqlite() {
    suite(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres() {
    let (pg, [url]) = Postgres::with(["reported"]).await;
    suite(Some(&url)).await;
    drop(pg);
}

/// A verdict of a session, with its evidence.
async fn of_session(mara: &Learner, board: &Board, desk: &Board) -> (String, Made) {
    let made = session::create(desk, &monday(SeedPolicy::PerLearner)).await.unwrap();
    session::join(board, made.join_code.as_deref().unwrap()).await.unwrap();
    let challenge = session::challenge(board, &made.id, LAB).await.unwrap().0.body;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let started = challenge.issued_at + 1;
    let wish = Wish { started, finished: now(), challenge: Some(challenge.nonce), ..Wish::new("run-j", now()) };
    let verdict = mara.laptop.seal(&scenario(&challenge.seed), SSH, &wish).unwrap();
    let verdict = mara.submitted(verdict, "run-j").await;
    assert_eq!(mara.sync().await.accepted, std::slice::from_ref(&verdict.id));
    (made.id, verdict)
}

fn statement(by: &Learner, made: &Made) -> Signed<Reexecution> {
    Signed::seal(reexecution(made), &by.laptop.keys, KeyName::Learner, Domain::ReExecution).unwrap()
}

/// The states that the events named `job` tell of this verdict, up to `until`.
async fn states(live: &mut reqwest::Response, verdict: &str, until: &str) -> Vec<String> {
    let (mut heard, mut states) = (String::new(), Vec::new());
    while states.last().is_none_or(|s| s != until) {
        let part = tokio::time::timeout(Duration::from_secs(5), live.chunk()).await;
        heard.push_str(&String::from_utf8_lossy(&part.expect(&heard).unwrap().unwrap()));
        while let Some((frame, rest)) = heard.split_once("\n\n") {
            if frame.contains("event: job\n") {
                let data = frame.lines().find_map(|l| l.strip_prefix("data: ")).unwrap();
                let job: Value = serde_json::from_str(data).unwrap();
                assert_eq!(job["verdict"], verdict);
                states.push(job["state"].as_str().unwrap().to_owned());
            }
            heard = rest.to_owned();
        }
    }
    states
}

async fn suite(database: Option<&str>) {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("board"), database);
    let ((_teacher, desk), (mara, board), (bench, at)) =
        (person(&server, "instructor").await, person(&server, "learner").await, person(&server, "worker").await);
    let (id, made) = of_session(&mara, &board, &desk).await;
    let listen = |token: &str| {
        reqwest::Client::new().get(format!("{}/v1/sessions/{id}/live", server.url)).bearer_auth(token).send()
    };
    let (mut heard, mut learner) = (listen(&desk.token).await.unwrap(), listen(&board.token).await.unwrap());
    jobs::ask(&desk, &made.id).await.unwrap();
    assert_eq!(states(&mut heard, &made.id, "queued").await, ["queued"]);
    jobs::ask(&desk, &made.id).await.unwrap();
    let lease = jobs::lease(&at, 60).await.unwrap().unwrap();
    assert_eq!(states(&mut heard, &made.id, "running").await, ["running"], "asking again changes nothing");

    // The scoreboard has it, the worker hears of trouble: it says so again, and has its answer.
    let path = format!("/v1/verdicts/{}/reexecutions", made.id);
    let odd = Odd { path, status: 502, times: 2, heard: true };
    let (url, asked) = passing_on(server.url.clone(), odd).await;
    let signed = statement(&bench, &made);
    let raised = reported::report(&Board { url, ..at.clone() }, &signed).await.unwrap();
    assert_eq!((raised.tier, raised.agrees, raised.duplicate), (TrustTier::ReExecuted, true, true));
    assert_eq!(asked.load(Ordering::SeqCst), 3);
    assert_eq!(states(&mut heard, &made.id, "done").await, ["done"], "told once, however often it was said");
    let job = jobs::list(&desk).await.unwrap().remove(0);
    assert_eq!((job.state.word(), job.agrees), ("done", Some(true)));
    assert_eq!(lease.verdict, made.id);

    // The verdict's own news is for instructors, as its job is: the learner heard neither.
    session::freeze(&desk, &id, true).await.unwrap();
    let mut all = String::new();
    while !all.contains("event: session") {
        let part = tokio::time::timeout(Duration::from_secs(5), learner.chunk()).await.unwrap().unwrap().unwrap();
        all.push_str(&String::from_utf8_lossy(&part));
    }
    assert!(!all.contains("event: job"), "{all}");

    // What is final is not said twice.
    let (stranger, _) = person(&server, "learner").await;
    let odd = Odd { path: "/nowhere".into(), status: 500, times: 0, heard: false };
    let (url, _) = passing_on(server.url.clone(), odd).await;
    let began = std::time::Instant::now();
    let e = reported::report(&Board { url, ..at }, &statement(&stranger, &made)).await.unwrap_err();
    assert_eq!(e.details["code"], "forbidden");
    assert!(began.elapsed() < Duration::from_secs(1));
}

//! Many envelopes in one request: each has its own answer, and what is acknowledged is on the disk.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#[allow(dead_code)]
mod support;

use forge_core::board::{ENVELOPE_MAX, ENVELOPES_BYTES, ENVELOPES_MAX, Each, RefusalCode};
use forge_core::keys::{Domain, PublicKey};
use forge_core::verdict::statement::Statement;
use forge_scoreboard::bench::workshop::Wish;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use support::*;

async fn post(url: &str, body: Vec<u8>) -> reqwest::Result<(u16, String)> {
    let sent =
        reqwest::Client::new().post(format!("{url}/v1/envelopes")).header("content-type", "application/x-ndjson");
    let answer = sent.body(body).send().await?;
    Ok((answer.status().as_u16(), answer.text().await?))
}

fn each(text: &str) -> Vec<Each> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

/// The verdict that was accepted and whether it was there before, or the code of the refusal.
fn said(each: &Each) -> Result<(String, bool), RefusalCode> {
    match each {
        Each::Accepted(a) => Ok((a.receipt.body.verdict.clone(), a.duplicate)),
        Each::Error(refusal) => Err(refusal.code),
    }
}

async fn stored(server: &Server) -> i64 {
    server.get("/v1/stats").await.1["verdicts"].as_i64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn on_sqlite() {
    suite(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres() {
    let (pg, [url]) = Postgres::with(["envelopes"]).await;
    suite(Some(&url)).await;
    drop(pg);
}

async fn suite(database: Option<&str>) {
    let home = tempfile::tempdir().unwrap();
    let server = Server::start(&home.path().join("board"), database);
    let mara = server.newcomer("N", "learner", "Mara").await;
    let joe = server.newcomer("N", "learner", "Joe").await;
    each_by_itself(&server, &mara, &joe).await;
    limits(&server, &mara).await;
    killed(server, &mara).await;
}

/// Good ones between all that is refused: none is held up, none is lost, and the order is that of the request.
async fn each_by_itself(server: &Server, mara: &Person, joe: &Person) {
    let (one, two, three) = (mara.made("one", SSH), joe.made("two", BOTH), mara.made("three", SSH));
    let again = mara.laptop.seal(&scenario("other"), BOTH, &Wish::new("one", now())).unwrap();
    let cut = &one.envelope[..one.envelope.len() / 2];
    let spaced = String::from_utf8(one.envelope.clone()).unwrap().replacen(':', ": ", 1);
    let renamed = String::from_utf8(one.envelope.clone()).unwrap().replace(&mara.laptop.key_id, &joe.laptop.key_id);
    let signed = |change: &dyn Fn(&mut Statement)| {
        let mut s = mara.laptop.draft(&scenario("x"), SSH, &Wish::new("x", now())).unwrap().0;
        change(&mut s);
        mara.laptop.sign(&s).unwrap().1
    };
    let early = signed(&|s| s.predicate.forge.finished += 3_600_000);
    let large = vec![b' '; ENVELOPE_MAX + 1];
    let lines: [&[u8]; 11] = [
        &one.envelope,
        b"nonsense",
        cut,
        &two.envelope,
        spaced.as_bytes(),
        renamed.as_bytes(),
        &early,
        &large,
        &one.envelope,
        &again.envelope,
        &three.envelope,
    ];
    let before = stored(server).await;
    let (status, text) = post(&server.url, lines.join(&b'\n')).await.unwrap();
    let answers = each(&text);
    use RefusalCode::*;
    let is = |made: &forge_scoreboard::bench::workshop::Made, duplicate| Ok((made.id.clone(), duplicate));
    let want = [
        is(&one, false),
        Err(Malformed),
        Err(Truncated),
        is(&two, false),
        Err(Reordered),
        Err(BadSignature),
        Err(FutureDated),
        Err(TooLarge),
        is(&one, true),
        Err(RunExists),
        is(&three, false),
    ];
    assert_eq!(status, 200, "{text}");
    assert_eq!(answers.iter().map(said).collect::<Vec<_>>(), want);
    assert_eq!(stored(server).await, before + 3);
    let key = PublicKey::from_pem(&mara.enrolled.board.pem).unwrap();
    for answer in &answers {
        if let Each::Accepted(a) = answer {
            a.receipt.holds(&key, Domain::Acceptance).unwrap();
            assert_eq!(server.get(&a.page).await.0, 200);
        }
    }
    let receipts = || answers.iter().filter_map(|a| if let Each::Accepted(a) = a { Some(&a.receipt) } else { None });
    let among: Vec<_> = receipts().map(|r| r.among.as_ref().map(|a| (a.index, a.of))).collect();
    assert_eq!(among, [Some((0, 4)), Some((1, 4)), Some((2, 4)), Some((3, 4))], "one signature is for all of them");
    let metrics = server.call("GET", "/metrics", "", serde_json::Value::Null).await.1;
    for code in ["malformed", "truncated", "reordered", "bad_signature", "future_dated", "too_large", "run_exists"] {
        let counted = format!("forge_scoreboard_refused_total{{code=\"{code}\"}} 1");
        assert!(metrics.as_str().unwrap().contains(&counted), "{code} is not counted once:\n{metrics}");
    }
    // Alone or with others, it is the same verdict, and its receipt says the same.
    let alone = accepted(server.submit(&two.envelope).await.1);
    assert!(alone.duplicate);
    assert!(alone.receipt.among.is_none() && alone.receipt.holds(&key, Domain::Acceptance).is_ok());
    assert!(receipts().any(|r| r.body == alone.receipt.body));
    let whole = accepted(server.submit_bundle(&three).await.1);
    assert_eq!(whole.receipt.body.tier, forge_core::api::TrustTier::ReGraded, "its bundle follows as ever");
}

/// What is too much as a whole is refused as a whole, before any of it is read.
async fn limits(server: &Server, mara: &Person) {
    let before = stored(server).await;
    let good = mara.made("limits", SSH).envelope;
    let many = vec![good.as_slice(); ENVELOPES_MAX + 1].join(&b'\n');
    let heavy = [good.clone(), vec![b'\n'], vec![b' '; ENVELOPES_BYTES]].concat();
    for (body, status, code) in [(many, 413, "too_large"), (heavy, 413, "too_large"), (Vec::new(), 400, "malformed")] {
        let (got, text) = post(&server.url, body).await.unwrap();
        let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((got, answer["error"]["code"].as_str()), (status, Some(code)), "{text}");
    }
    assert_eq!(stored(server).await, before);
}

/// kill -9 under load: every verdict of every answer that arrived is there afterwards.
async fn killed(server: Server, mara: &Person) {
    let made: Vec<_> = (0..1_200).map(|i| mara.made(&format!("load-{i}"), SSH)).collect();
    let (made, stop) = (Arc::new(made), Arc::new(AtomicBool::new(false)));
    let mut tasks = Vec::new();
    for lane in 0..4 {
        let (made, stop, url) = (made.clone(), stop.clone(), server.url.clone());
        tasks.push(tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            for some in made.chunks(20).skip(lane).step_by(4) {
                let lines: Vec<&[u8]> = some.iter().map(|m| m.envelope.as_slice()).collect();
                match post(&url, lines.join(&b'\n')).await {
                    Ok((200, text)) => {
                        let ids: Vec<String> = each(&text).iter().map(|a| said(a).unwrap().0).collect();
                        assert_eq!(ids, some.iter().map(|m| m.id.clone()).collect::<Vec<_>>());
                        acknowledged.extend(ids);
                    }
                    Ok((status, text)) => panic!("{status}: {text}"),
                    Err(_) => assert!(stop.load(Ordering::SeqCst), "it failed before the kill"),
                }
            }
            acknowledged
        }));
    }
    let end = std::time::Instant::now() + Duration::from_secs(20);
    let before = stored(&server).await;
    while stored(&server).await < before + 200 {
        assert!(std::time::Instant::now() < end, "nothing is stored");
    }
    stop.store(true, Ordering::SeqCst);
    let (data, database) = (server.data.clone(), server.database.clone());
    server.kill9();
    let mut acknowledged = Vec::new();
    for task in tasks {
        acknowledged.extend(task.await.unwrap());
    }
    assert!(!acknowledged.is_empty() && acknowledged.len() < made.len(), "{} of {}", acknowledged.len(), made.len());
    let server = Server::start(&data, database.as_deref());
    for id in &acknowledged {
        assert_eq!(server.get(&format!("/v1/verdicts/{id}")).await.0, 200, "{id} was acknowledged and is lost");
    }
    let (ok, verified) = server.cli(&["verify-all"]);
    assert!(ok, "{verified}");
    println!("killed: {} acknowledged, none lost", acknowledged.len());
}

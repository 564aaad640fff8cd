//! What the scoreboard establishes later reaches the laptop: the newest receipt is kept, and asked for seldom.
use crate::learner::*;
use crate::servers::{fake, pinned};
use crate::support::*;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use forge_core::api::TrustTier;
use forge_core::board::{Accepted, Each, Fact, Receipt, Signed};
use forge_core::keys::{Domain, KeyName, Keys};
use forge_core::store::results;
use forge_core::store::sync::{self as rows, Receipted};
use forge_core::sync::WHOLE_MAX;
use forge_core::sync::round::Told;
use forge_scoreboard::bench::workshop::Made;
use std::sync::atomic::Ordering;

const MINUTE: i64 = 60_000;

#[tokio::test(flavor = "multi_thread")]
async fn on_sqlite() {
    suite(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres() {
    let (pg, [url]) = Postgres::with(["raised"]).await;
    suite(Some(&url)).await;
    drop(pg);
}

async fn execute_again(server: &Server, teacher: &Person, made: &Made) {
    let signed = Signed::seal(reexecution(made), &teacher.laptop.keys, KeyName::Learner, Domain::ReExecution).unwrap();
    let path = format!("/v1/verdicts/{}/reexecutions", made.id);
    let (status, answer) = server.call("POST", &path, "", serde_json::json!(signed)).await;
    assert_eq!((status, answer["tier"].as_str()), (200, Some("re-executed")), "{answer}");
}

async fn suite(database: Option<&str>) {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("board"), database);
    let teacher = server.newcomer("N", "instructor", "Ms. T").await;
    let mara = Learner::new();
    mara.enrol(&server, "N").await;
    let (one, two) = (mara.submit("run-a").await, mara.submit("run-b").await);
    assert_eq!(mara.sync().await.accepted.len(), 2);
    execute_again(&server, &teacher, &one).await;
    assert_eq!(mara.round(false, WHOLE_MAX).await, Told::default(), "too early to ask");
    mara.pass(13 * MINUTE);
    let told = mara.round(false, WHOLE_MAX).await;
    assert_eq!(told, Told { raised: vec![(one.id.clone(), TrustTier::ReExecuted)], ..Told::default() });
    let kept = mara.store.read(rows::receipts).await.unwrap();
    let kept = kept.into_iter().find(|r| r.result == one.id).unwrap();
    let receipt: Signed<Receipt> = serde_json::from_str(&kept.receipt).unwrap();
    assert!(kept.tier == TrustTier::ReExecuted && receipt.body.established.contains(&Fact::ReExecuted), "{kept:?}");
    assert!(kept.notes.is_empty(), "{:?}", kept.notes);
    let shown = mara.store.read(results::list).await.unwrap();
    let shown = shown.into_iter().find(|r| r.id == one.id).unwrap();
    assert_eq!((shown.tier, shown.established), (TrustTier::SelfAttested, Some(TrustTier::ReExecuted)));

    // By hand at once, and told once.
    execute_again(&server, &teacher, &two).await;
    assert_eq!(mara.sync().await.raised, [(two.id.clone(), TrustTier::ReExecuted)]);
    let asked = requests(&server).await;
    assert_eq!(mara.sync().await, Told::default());
    mara.pass(30 * 24 * 60 * MINUTE);
    assert_eq!(mara.round(false, WHOLE_MAX).await, Told::default());
    assert_eq!(requests(&server).await, asked, "nothing can rise any more, so nothing is asked");
    assert_eq!(mara.pending().await, 0);
}

/// Requests with envelopes so far.
async fn requests(server: &Server) -> String {
    let metrics = server.call("GET", "/metrics", "", serde_json::Value::Null).await.1;
    let lines =
        metrics.as_str().unwrap().lines().filter(|l| l.contains("requests_total") && l.contains("/v1/envelopes"));
    lines.collect::<Vec<_>>().join("\n")
}

/// A receipt of a scoreboard with these keys.
fn receipt(keys: &Keys, mara: &Learner, made: &Made, tier: TrustTier, established: Vec<Fact>) -> Signed<Receipt> {
    let dir = mara.home.path().join("results").join("run-a");
    let claims = forge_core::sync::parcel::read(&dir, &made.id).unwrap().claims;
    let body = Receipt {
        version: 1,
        verdict: made.id.clone(),
        seq: 1,
        key_id: mara.laptop.key_id.clone(),
        learner: "m".into(),
        class: "c".into(),
        run: "run-a".into(),
        lab: LAB.into(),
        score: claims.score,
        max: claims.max,
        tier,
        established,
        session: None,
        received_at: 7,
    };
    Signed::seal(body, keys, KeyName::Board, Domain::Acceptance).unwrap()
}

fn line(receipt: Signed<Receipt>) -> String {
    let accepted = Accepted { duplicate: true, notes: Vec::new(), page: "/".into(), receipt };
    serde_json::to_string(&Each::Accepted(Box::new(accepted))).unwrap() + "\n"
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_gives_way_to_nothing_less_and_nothing_false() {
    let (home, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let keys = Keys::open_board(home.path(), &mut rand::rng()).unwrap();
    let imposter = Keys::open_board(other.path(), &mut rand::rng()).unwrap();
    let mara = Learner::new();
    let made = mara.submit("run-a").await;
    let graded = vec![Fact::Signature, Fact::EnrolledKey, Fact::Digests, Fact::SameLab, Fact::ReGraded];
    let bare = vec![Fact::Signature, Fact::EnrolledKey];
    let more = [graded.clone(), vec![Fact::ReExecuted]].concat();
    let first = receipt(&keys, &mara, &made, TrustTier::ReGraded, graded.clone());
    let others = Receipt { verdict: "another".into(), ..first.body.clone() };
    let together = vec![others, first.body.clone()];
    let together = Signed::seal_all(together, &keys, KeyName::Board, Domain::Acceptance).unwrap().pop().unwrap();
    assert_ne!(together.signature, first.signature);
    let row = Receipted {
        result: made.id.clone(),
        root: keys.id(KeyName::Board).unwrap(),
        tier: TrustTier::ReGraded,
        receipt: serde_json::to_string(&first).unwrap(),
        url: String::new(),
        notes: vec!["A note that came with the evidence.".into()],
        at: now(),
        ask_at: now(),
    };
    let cases = [
        ("bad_receipt", line(receipt(&imposter, &mara, &made, TrustTier::ReExecuted, more)), 0),
        ("", line(receipt(&keys, &mara, &made, TrustTier::SelfAttested, bare)), 1),
        ("", line(first.clone()), 0),
        // The same words, signed together with others: nothing is news.
        ("", line(together.clone()), 0),
        ("", "{\"error\":{\"code\":\"unknown_key\",\"message\":\"Who?\"}}\n".into(), 0),
    ];
    for (want, body, lost) in cases {
        let (url, asked) = fake(move || (StatusCode::OK, body.clone()).into_response()).await;
        mara.keep(&pinned(&mara, &keys, url)).await;
        let kept = row.clone();
        mara.store.write(move |tx| rows::receipted(tx, &kept, true)).await.unwrap();
        assert_eq!(mara.pending().await, 0);
        let told = mara.sync().await;
        assert_eq!((stopped(&told), told.raised.len()), (want, 0), "{told:?}");
        let after = mara.store.read(rows::receipts).await.unwrap();
        assert_eq!((&after[0].receipt, &after[0].notes), (&row.receipt, &row.notes));
        assert_eq!(mara.pending().await, lost, "evidence that the scoreboard has lost is sent anew");
        assert_ne!(asked.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_month_is_some_dozens_of_questions() {
    let home = tempfile::tempdir().unwrap();
    let keys = Keys::open_board(home.path(), &mut rand::rng()).unwrap();
    let mara = Learner::new();
    let made = mara.submit("run-a").await;
    let graded = vec![Fact::Signature, Fact::EnrolledKey, Fact::Digests, Fact::SameLab, Fact::ReGraded];
    let same = receipt(&keys, &mara, &made, TrustTier::ReGraded, graded);
    let (body, single) = (line(same.clone()), line(same));
    let single = single.replace("{\"accepted\":", "");
    let single = single.trim_end().strip_suffix('}').unwrap().to_owned();
    let (url, asked) = fake(move || {
        // The first is the submission itself.
        (StatusCode::OK, if std::mem::take(&mut *FIRST.lock().unwrap()) { single.clone() } else { body.clone() })
            .into_response()
    })
    .await;
    mara.keep(&pinned(&mara, &keys, url)).await;
    assert_eq!(mara.round(true, WHOLE_MAX).await.accepted.len(), 1);
    let before = asked.load(Ordering::SeqCst);
    for _ in 0..32 * 24 * 2 {
        mara.pass(30 * MINUTE);
        let told = mara.round(false, WHOLE_MAX).await;
        assert_eq!(told, Told::default());
    }
    let asked = asked.load(Ordering::SeqCst) - before;
    assert!((25..=70).contains(&asked), "asked {asked} times in a month");
}

static FIRST: std::sync::Mutex<bool> = std::sync::Mutex::new(true);

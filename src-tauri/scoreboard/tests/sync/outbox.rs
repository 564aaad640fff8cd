//! What waits is sent once, whatever happens meanwhile.
use crate::learner::*;
use crate::support::*;
use forge_core::api::TrustTier;
use forge_core::store::sync::{self as rows, Board};
use forge_core::sync::round::Told;
use forge_core::sync::{WHOLE_MAX, pace, parcel, preview};
use forge_scoreboard::bench::workshop::Wish;
use std::sync::atomic::Ordering;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_lost_nothing_twice() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("board"), None);
    let mara = Learner::new();
    let one = mara.submit("run-a").await;
    mara.submit("run-b").await;
    assert_eq!(verdicts(&server).await, 0);
    mara.enrol(&server, "N").await;
    let told = mara.sync().await;
    assert_eq!((told.accepted.len(), told.refused.len(), told.stopped), (2, 0, None));
    assert_eq!(mara.tiers().await, [TrustTier::ReGraded; 2]);
    assert_eq!(mara.sync().await, Told::default(), "there is nothing more to send");

    // The process ended between the server's answer and the receipt: the verdict is still in the outbox.
    let id = one.id.clone();
    mara.store
        .write(move |tx| {
            let board = rows::board(tx)?.unwrap();
            tx.execute("DELETE FROM receipts WHERE result = ?1", [&id]).unwrap();
            rows::enrol(tx, &board)
        })
        .await
        .unwrap();
    assert_eq!(mara.pending().await, 1);
    assert_eq!(mara.sync().await.accepted, std::slice::from_ref(&one.id));
    assert_eq!((verdicts(&server).await, mara.pending().await), (2, 0));

    // What the preview says is what the server has.
    let more = mara.submit("run-c").await;
    let dir = mara.home.path().join("results/run-c");
    let shown = preview::of(&parcel::read(&dir, &more.id).unwrap(), "T", "", WHOLE_MAX, false).unwrap();
    assert_eq!(shown.requests.len(), 1);
    assert!(shown.entries.iter().any(|e| e.path == "scenario.json"), "{:?}", shown.entries);
    mara.sync().await;
    for (part, file) in shown.requests[0].parts.iter().zip(["verdict.dsse.json", "score.json"]) {
        let got = reqwest::get(format!("{}/v1/verdicts/{}/{file}", server.url, more.id)).await.unwrap();
        let bytes = got.bytes().await.unwrap();
        assert_eq!(
            (bytes.len() as u64, forge_core::verdict::canonical::sha256(&bytes)),
            (part.bytes, part.sha256.clone())
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_week_offline_and_then_five_hundred() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("board"), None);
    let mara = Learner::new();
    let board = mara.enrol(&server, "N").await;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    mara.keep(&Board { url: format!("http://{nobody}"), ..board.clone() }).await;
    for i in 0..500 {
        mara.submit(&format!("run-{i}")).await;
    }
    // Looked at every minute for a week, the server is asked at most once in half an hour.
    let (mut asked, week) = (0, 7 * 24 * 60);
    for _ in 0..week {
        mara.pass(60_000);
        let b = mara.store.read(rows::board).await.unwrap().unwrap();
        if pace::due(b.retry_at, mara.clock.load(Ordering::SeqCst)) {
            assert_eq!(stopped(&mara.round(false, WHOLE_MAX).await), "unreachable");
            asked += 1;
        }
    }
    assert!((100..=week / 30 + 20).contains(&asked), "asked {asked} times in a week");
    assert_eq!(mara.pending().await, 500);
    mara.store
        .write(move |tx| {
            tx.execute("UPDATE board SET url = ?1", [&board.url]).unwrap();
            Ok(())
        })
        .await
        .unwrap();
    let told = mara.sync().await;
    assert_eq!((told.accepted.len(), told.refused.len(), told.stopped), (500, 0, None));
    assert_eq!((verdicts(&server).await, mara.pending().await), (500, 0));
    let b = mara.store.read(rows::board).await.unwrap().unwrap();
    assert_eq!((b.failures, b.last_error.as_str()), (0, ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_kept_and_not_repeated() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("board"), None);
    let mara = Learner::new();
    mara.enrol(&server, "N").await;
    mara.submit("run-a").await;
    let wish = Wish { finished: now() - 500, ..Wish::new("run-a", now()) };
    let second = mara.laptop.seal(&scenario("seed-2"), BOTH, &wish).unwrap();
    let second = mara.submitted(second, "run-a").await;
    // Only the second's folder is left, so the first is no longer what was signed.
    let told = mara.sync().await;
    assert_eq!((told.accepted.len(), told.refused.len()), (1, 1));
    assert_eq!(mara.refusals().await[0].code, "changed_here");
    assert_eq!(told.accepted, [second.id]);

    let third = mara.laptop.seal(&scenario("seed-3"), SSH, &Wish::new("run-a", now())).unwrap();
    let dir = mara.home.path().join("results/run-a");
    std::fs::remove_dir_all(dir).unwrap();
    mara.submitted(third.clone(), "run-a").await;
    let told = mara.sync().await;
    assert_eq!(told.refused, std::slice::from_ref(&third.id));
    let kept = mara.refusals().await.into_iter().find(|r| r.result == third.id).unwrap();
    assert_eq!(kept.code, "run_exists");
    assert!(!kept.message.is_empty());
    assert_eq!(mara.sync().await, Told::default(), "a refusal is final");
    assert_eq!(mara.store.write(|tx| rows::retry_refused(tx, 1)).await.unwrap(), 2);
    assert_eq!(mara.sync().await.refused.len(), 2, "until somebody asks again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_ahead_waits_and_holds_nobody_up() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("board"), None);
    let mara = Learner::new();
    let ahead = 3_600_000;
    mara.pass(ahead);
    let board = mara.enrol(&server, "N").await;
    assert!((board.ahead_ms - ahead).abs() < 10_000, "{}", board.ahead_ms);
    let early = mara.laptop.seal(&scenario("seed-x"), SSH, &Wish::new("run-x", now() + ahead)).unwrap();
    mara.submitted(early.clone(), "run-x").await;
    mara.submit("run-y").await;
    let told = mara.sync().await;
    assert_eq!((told.accepted.len(), told.refused.len(), &told.stopped), (1, 0, &None));
    let waiting = mara.store.read(rows::waiting).await.unwrap();
    assert_eq!((waiting.len(), waiting[0].result.as_str()), (1, early.id.as_str()));
    assert!(waiting[0].last_error.starts_with("future_dated"), "{}", waiting[0].last_error);
    assert!(waiting[0].last_error.contains("ends 59 min from now"), "{}", waiting[0].last_error);
    // The clock is set right: what was to be tried “in the future” is not held back longer than the longest wait.
    mara.pass(-ahead - 2 * pace::LONGEST);
    assert!(pace::due(waiting[0].next_at, mara.clock.load(Ordering::SeqCst)));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_laptops_with_one_key() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("board"), None);
    let mara = Learner::new();
    let first = mara.enrol(&server, "N").await;
    let twin = mara.twin();
    let code = server.cli(&["invite", "--class", "N"]).1["code"].as_str().unwrap().to_owned();
    let board = twin.enrol_at(&server.url, &code).await.unwrap();
    // The same person, with a token of its own.
    assert!(!board.token.is_empty() && board.token != first.token && !board.root.is_empty());
    assert_eq!(board.learner, first.learner);
    let both = mara.submit("run-both").await;
    twin.submitted(both.clone(), "run-both").await;
    twin.submit("run-twin").await;
    let (a, b) = tokio::join!(mara.sync(), twin.sync());
    assert_eq!((a.accepted.len(), b.accepted.len()), (1, 2), "{a:?} {b:?}");
    assert_eq!(verdicts(&server).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn large_evidence_goes_on_where_it_stopped() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("board"), None);
    let mara = Learner::new();
    let board = mara.enrol(&server, "N").await;
    let made = mara.submit_large("run-l").await;
    // A first attempt got as far as this.
    assert_eq!(server.submit(&made.envelope).await.0, 201);
    let part = reqwest::Client::new()
        .patch(format!("{}/v1/verdicts/{}/evidence.tar.zst", server.url, made.id))
        .bearer_auth(&board.token)
        .header("upload-offset", "0")
        .header("upload-length", made.evidence.len().to_string())
        .body(made.evidence[..1_234_567].to_vec())
        .send()
        .await
        .unwrap();
    assert_eq!(part.status(), 204);
    let told = mara.round(true, 1 << 20).await;
    assert_eq!((told.accepted.len(), told.stopped), (1, None));
    assert_eq!(mara.tiers().await, [TrustTier::ReGraded]);
    // Its answer is lost and it is sent again: the server has it all, so nothing is uploaded.
    mara.store
        .write(|tx| {
            let board = rows::board(tx)?.unwrap();
            tx.execute("DELETE FROM receipts", []).unwrap();
            rows::enrol(tx, &board)
        })
        .await
        .unwrap();
    assert_eq!(mara.round(true, 1 << 20).await.accepted.len(), 1);
    assert_eq!(mara.tiers().await, [TrustTier::ReGraded]);
}

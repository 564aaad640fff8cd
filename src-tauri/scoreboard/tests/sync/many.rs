//! Many envelopes that go together: each has its own answer, and what is cut off decides nothing.
use crate::between::{Between, Odd, passing_on};
use crate::learner::*;
use crate::support::*;
use forge_core::api::TrustTier;
use forge_core::store::sync::{self as rows, Board};
use forge_core::sync::round::{SEVERAL, Told};
use forge_scoreboard::bench::workshop::Wish;
use std::sync::atomic::Ordering;

#[tokio::test(flavor = "multi_thread")]
async fn on_sqlite() {
    suite(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres() {
    let (pg, [url]) = Postgres::with(["many"]).await;
    suite(Some(&url)).await;
    drop(pg);
}

async fn suite(database: Option<&str>) {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("board"), database);
    each_by_itself(&server).await;
    cut_off_in_an_answer(&server).await;
    a_server_without_the_route(&server).await;
    something_between_that_does_not_let_it_through(&server).await;
}

async fn through(mara: &Learner, board: &Board, between: &Between) {
    mara.keep(&Board { url: between.url.clone(), ..board.clone() }).await;
}

async fn regraded(server: &Server) -> i64 {
    server.get("/v1/stats").await.1["by_tier"]["re-graded"].as_i64().unwrap_or(0)
}

/// Everything that waits, also what will be refused, with two requests for all envelopes; a second time without any evidence.
async fn each_by_itself(server: &Server) {
    let mara = Learner::new();
    let board = mara.enrol(server, "N").await;
    let between = Between::and(&server.url, |_| ()).await;
    through(&mara, &board, &between).await;
    let before = verdicts(server).await;
    for i in 0..20 {
        mara.submit(&format!("each-{i}")).await;
    }
    // Another verdict of a run that has one, and one that was changed since.
    let clash = mara.laptop.seal(&scenario("clash"), BOTH, &Wish::new("each-3", now())).unwrap();
    let dir = mara.home.path().join("results");
    let clash = mara.submitted(clash, "each-3-again").await;
    std::fs::write(dir.join("each-5/score.json"), "{}").unwrap();
    let early = mara.laptop.seal(&scenario("early"), SSH, &Wish::new("early", now() + 3_600_000)).unwrap();
    mara.submitted(early, "early").await;
    let told = mara.sync().await;
    assert_eq!((told.accepted.len(), told.refused.len(), &told.stopped), (19, 2, &None), "{told:?}");
    let mut codes: Vec<String> = mara.refusals().await.into_iter().map(|r| r.code).collect();
    codes.sort();
    assert_eq!(codes, ["changed_here", "run_exists"]);
    assert!(told.refused.contains(&clash.id));
    assert_eq!(mara.pending().await, 1, "what is future-dated waits");
    assert_eq!(between.count("POST /v1/envelopes"), 2, "a few to see whether it is there, then all");
    assert_eq!(between.count("POST /v1/verdicts"), 19, "the evidence follows, one by one");
    assert_eq!((verdicts(server).await, regraded(server).await), (before + 19, 19));
    assert_eq!(mara.tiers().await, [TrustTier::ReGraded; 19]);

    // The laptop lost its memory of them: what is there is not sent again.
    mara.store
        .write(|tx| {
            let board = rows::board(tx)?.unwrap();
            tx.execute("DELETE FROM receipts", []).unwrap();
            rows::enrol(tx, &board)
        })
        .await
        .unwrap();
    let told = mara.sync().await;
    assert_eq!((told.accepted.len(), told.stopped), (19, None));
    assert_eq!(between.count("POST /v1/verdicts"), 19, "no evidence was sent a second time");
    assert_eq!((verdicts(server).await, mara.tiers().await), (before + 19, vec![TrustTier::ReGraded; 19]));
}

/// The answer to all of them breaks off after some: everything is stored there, nothing is believed here, and nothing is twice.
async fn cut_off_in_an_answer(server: &Server) {
    let mara = Learner::new();
    let board = mara.enrol(server, "N").await;
    let between = Between::and(&server.url, |_| ()).await;
    let before = verdicts(server).await;
    for i in 0..12 {
        mara.submit(&format!("cut-{i}")).await;
    }
    for (bytes, arrived, kept) in [(40, SEVERAL, 0), (2_000, SEVERAL, 0), (9_000, 12, SEVERAL)] {
        through(&mara, &board, &between).await;
        between.left.store(bytes, Ordering::SeqCst);
        let told = mara.sync().await;
        assert_eq!(
            (stopped(&told), told.accepted.len(), told.refused.len()),
            ("unreadable", 0, 0),
            "{bytes}: {told:?}"
        );
        assert_eq!((mara.pending().await, mara.tiers().await.len()), (12, kept), "an answer that broke off is none");
        assert_eq!(verdicts(server).await, before + arrived as i64, "they had arrived");
    }
    between.left.store(usize::MAX, Ordering::SeqCst);
    let told = mara.sync().await;
    assert_eq!((told.accepted.len(), told.stopped), (12, None));
    assert_eq!((verdicts(server).await, mara.pending().await), (before + 12, 0));
    assert_eq!(mara.tiers().await, [TrustTier::ReGraded; 12]);
    assert_eq!(mara.sync().await, Told::default());

    // Cut off while the evidence follows: envelopes have their receipts already, and are not asked for again.
    for i in 0..SEVERAL {
        mara.submit(&format!("cut-late-{i}")).await;
    }
    let asked = between.count("POST /v1/envelopes");
    between.left.store(6_500, Ordering::SeqCst);
    assert_eq!(stopped(&mara.sync().await), "unreadable");
    between.left.store(usize::MAX, Ordering::SeqCst);
    let waiting = mara.pending().await as usize;
    assert!((1..=SEVERAL).contains(&waiting));
    assert_eq!(mara.store.read(rows::receipts).await.unwrap().len(), 12 + SEVERAL);
    assert_eq!(mara.round(true, forge_core::sync::WHOLE_MAX).await.accepted.len(), waiting);
    // One to send these, one to ask about all at the end of the second round.
    assert_eq!(between.count("POST /v1/envelopes"), asked + 2);
    assert_eq!(mara.tiers().await, vec![TrustTier::ReGraded; 12 + SEVERAL]);
}

/// An older scoreboard: not found, and they go one by one.
async fn a_server_without_the_route(server: &Server) {
    let mara = Learner::new();
    let board = mara.enrol(server, "N").await;
    let between = Between::and(&server.url, |piece| {
        let (is, not) = (b"/v1/envelopes", b"/v1/elsewhere");
        while let Some(at) = piece.windows(is.len()).position(|w| w == is) {
            piece[at..at + is.len()].copy_from_slice(not);
        }
    })
    .await;
    through(&mara, &board, &between).await;
    let before = verdicts(server).await;
    for i in 0..6 {
        mara.submit(&format!("old-{i}")).await;
    }
    let told = mara.sync().await;
    assert_eq!((told.accepted.len(), told.refused.len(), told.stopped), (6, 0, None));
    assert_eq!((verdicts(server).await, mara.tiers().await), (before + 6, vec![TrustTier::ReGraded; 6]));
    assert!(between.count("POST /v1/elsewhere") >= 1);
    assert_eq!(between.count("POST /v1/envelopes"), 0);
}

/// A proxy's own pages, or an older server's words: many in one request are not taken, each by itself is.
async fn something_between_that_does_not_let_it_through(server: &Server) {
    for status in [404, 405, 413, 501] {
        let mara = Learner::new();
        let board = mara.enrol(server, "N").await;
        let (url, asked) = passing_on(server.url.clone(), Odd::always("/v1/envelopes", status)).await;
        mara.keep(&Board { url, ..board }).await;
        let before = verdicts(server).await;
        for i in 0..6 {
            mara.submit(&format!("between-{status}-{i}")).await;
        }
        let told = mara.sync().await;
        assert_eq!((told.accepted.len(), told.refused.len(), told.stopped), (6, 0, None), "{status}");
        assert_eq!(
            (verdicts(server).await, mara.tiers().await),
            (before + 6, vec![TrustTier::ReGraded; 6]),
            "{status}"
        );
        assert!(asked.load(Ordering::SeqCst) >= 1, "{status}: it was never asked");
    }
    // What may be over soon is waited for: nothing is decided, and nothing is sent one by one into the same trouble.
    for status in [503, 429] {
        let mara = Learner::new();
        let board = mara.enrol(server, "N").await;
        let (url, asked) = passing_on(server.url.clone(), Odd::always("/v1/envelopes", status)).await;
        mara.keep(&Board { url, ..board.clone() }).await;
        for i in 0..6 {
            mara.submit(&format!("between-{status}-{i}")).await;
        }
        let told = mara.sync().await;
        assert_eq!((stopped(&told), told.accepted.len(), mara.pending().await), ("unreadable", 0, 6), "{status}");
        assert_eq!(asked.load(Ordering::SeqCst), 1, "{status}");
        mara.keep(&board).await;
        assert_eq!(mara.sync().await.accepted.len(), 6, "{status}");
    }
}

//! A laptop's outbox against the real server, as a process, and against servers that are down, slow, full or lying.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#[allow(dead_code)]
mod support;

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use forge_core::api::{OutcomeKind, ResultSummary, TrustTier};
use forge_core::board::{
    Accepted, Fact, MessageRequest, NewSession, Progress, ProgressState, Receipt, SeedPolicy, Signed,
};
use forge_core::http::Trust;
use forge_core::keys::{Domain, KeyName, Keys};
use forge_core::store::sync::{self as rows, Board};
use forge_core::store::{Store, results};
use forge_core::sync::enrol::{Wanted, enrol};
use forge_core::sync::round::{Round, Told};
use forge_core::sync::{WHOLE_MAX, pace, parcel, preview, session};
use forge_core::verdict::dsse;
use forge_scoreboard::bench::workshop::{Laptop, Made, Wish};
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;
use support::*;
use tokio_util::sync::CancellationToken;

/// A data folder with a key, a store, and results as `forge submit` leaves them.
struct Learner {
    home: tempfile::TempDir,
    laptop: Laptop,
    store: Store,
    clock: AtomicI64,
}

impl Learner {
    fn new() -> Self {
        Self::with(tempfile::tempdir().unwrap())
    }

    fn with(home: tempfile::TempDir) -> Self {
        let laptop = Laptop::new(home.path()).unwrap();
        let store = Store::open(&home.path().join("forge.db")).unwrap();
        Self { home, laptop, store, clock: AtomicI64::new(now()) }
    }

    /// Another machine with the same key.
    fn twin(&self) -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("keys")).unwrap();
        for entry in std::fs::read_dir(self.home.path().join("keys")).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), home.path().join("keys").join(entry.file_name())).unwrap();
        }
        Self::with(home)
    }

    async fn submit(&self, run: &str) -> Made {
        let wish = Wish::new(run, now());
        self.submitted(self.laptop.seal(&scenario(&format!("seed-{run}")), SSH, &wish).unwrap(), run).await
    }

    async fn submitted(&self, made: Made, run: &str) -> Made {
        let dir = self.home.path().join("results").join(run);
        std::fs::create_dir_all(&dir).unwrap();
        let opened = dsse::read(&made.envelope).unwrap();
        let pae = dsse::pae(dsse::PAYLOAD_TYPE, &opened.payload);
        let pem = self.laptop.pem().unwrap();
        let files: [(&str, &[u8]); 6] = [
            ("verdict.dsse.json", &made.envelope),
            ("score.json", &made.score),
            ("evidence.tar.zst", &made.evidence),
            ("verdict.sig", &opened.signature),
            ("verdict.pae", &pae),
            ("verdict.pub.pem", pem.as_bytes()),
        ];
        for (name, bytes) in files {
            std::fs::write(dir.join(name), bytes).unwrap();
        }
        let row = ResultSummary {
            id: made.id.clone(),
            run: run.into(),
            lab: LAB.into(),
            lab_title: "Test".into(),
            track: "netplus".into(),
            version: "1.0.0".into(),
            at: now(),
            score: 0,
            max: 0,
            duration_ms: 0,
            tier: TrustTier::SelfAttested,
            key_id: self.laptop.key_id.clone(),
            dir: dir.display().to_string(),
        };
        self.store.write(move |tx| results::record(tx, &row, &Value::Null)).await.unwrap();
        made
    }

    async fn enrol(&self, server: &Server, class: &str) -> Board {
        let invited = server.cli(&["invite", "--class", class]).1;
        self.enrol_at(&server.url, invited["code"].as_str().unwrap()).await.unwrap()
    }

    async fn enrol_at(&self, url: &str, code: &str) -> forge_core::error::Result<Board> {
        let wanted = Wanted { url: url.into(), code: code.into(), name: "Mara".into(), trust: Trust::default() };
        let board = enrol(&wanted, &self.laptop.keys, || self.clock.load(Ordering::SeqCst)).await?;
        self.keep(&board).await;
        Ok(board)
    }

    async fn keep(&self, board: &Board) {
        let board = board.clone();
        self.store.write(move |tx| rows::enrol(tx, &board)).await.unwrap();
    }

    async fn round(&self, all: bool, whole_max: u64) -> Told {
        let board = self.store.read(rows::board).await.unwrap().unwrap();
        let cancel = CancellationToken::new();
        let clock = || self.clock.load(Ordering::SeqCst);
        let random = || 12_345;
        let patience = Duration::from_secs(if board.url.contains("127.0.0.1") && whole_max == 1 { 1 } else { 20 });
        let round =
            Round { store: &self.store, now: &clock, random: &random, cancel: &cancel, whole_max, patience, all };
        round.run(&board).await.unwrap()
    }

    async fn sync(&self) -> Told {
        self.round(true, WHOLE_MAX).await
    }

    async fn pending(&self) -> u32 {
        self.store.read(results::queued).await.unwrap()
    }

    async fn refusals(&self) -> Vec<rows::Refused> {
        self.store.read(rows::refusals).await.unwrap()
    }

    async fn tiers(&self) -> Vec<TrustTier> {
        self.store.read(rows::receipts).await.unwrap().into_iter().map(|r| r.tier).collect()
    }

    fn pass(&self, ms: i64) {
        self.clock.fetch_add(ms, Ordering::SeqCst);
    }
}

async fn verdicts(server: &Server) -> i64 {
    server.get("/v1/stats").await.1["verdicts"].as_i64().unwrap()
}

fn stopped(told: &Told) -> &str {
    told.stopped.as_ref().map_or("", |(code, _)| code)
}

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
    let shown = preview::of(&parcel::read(&dir, &more.id).unwrap(), "T", "", WHOLE_MAX).unwrap();
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
    // The clock is set right: what was to be tried “in the future” is not held back longer than the longest wait.
    mara.pass(-ahead - 2 * pace::LONGEST);
    assert!(pace::due(waiting[0].next_at, mara.clock.load(Ordering::SeqCst)));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_laptops_with_one_key() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("board"), None);
    let mara = Learner::new();
    mara.enrol(&server, "N").await;
    let twin = mara.twin();
    let code = server.cli(&["invite", "--class", "N"]).1["code"].as_str().unwrap().to_owned();
    let board = twin.enrol_at(&server.url, &code).await.unwrap();
    assert!(board.token.is_empty() && !board.root.is_empty());
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
    let noise: Vec<u8> = (0..3_500_000_u32)
        .flat_map(|i| i.wrapping_mul(2_654_435_761).rotate_left(i % 31).to_le_bytes()[..1].to_vec())
        .collect();
    let extra = vec![forge_core::check::evidence::Entry::new("captures/a.pcap", "capture", noise)];
    let made = mara.laptop.seal(&scenario("seed-l"), SSH, &Wish { extra, ..Wish::new("run-l", now()) }).unwrap();
    assert!(made.evidence.len() > 2 << 20, "{}", made.evidence.len());
    mara.submitted(made.clone(), "run-l").await;
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

#[tokio::test(flavor = "multi_thread")]
async fn the_servers_new_key_is_believed_when_the_old_one_vouches_for_it() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("board"), None);
    let mara = Learner::new();
    let board = mara.enrol(&server, "N").await;
    for _ in 0..2 {
        assert_eq!(server.call("POST", "/v1/keys/rotate", &server.admin, serde_json::json!({})).await.0 / 100, 2);
    }
    mara.submit("run-a").await;
    assert_eq!(mara.sync().await.accepted.len(), 1);
    let now = mara.store.read(rows::board).await.unwrap().unwrap();
    assert_eq!((now.keys.len(), now.root), (3, board.root));
}

/// A server that says whatever `reply` says.
async fn fake(reply: impl Fn() -> Response + Clone + Send + Sync + 'static) -> (String, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let seen = count.clone();
    let handler = move |_: axum::extract::Request| {
        seen.fetch_add(1, Ordering::SeqCst);
        let answer = reply();
        async move { answer }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(handler)).await });
    (url, count)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_full_or_lying_loses_nothing() {
    let home = tempfile::tempdir().unwrap();
    let keys = Keys::open_board(home.path(), &mut rand::rng()).unwrap();
    let other_home = tempfile::tempdir().unwrap();
    let imposter = Keys::open_board(other_home.path(), &mut rand::rng()).unwrap();
    let mara = Learner::new();
    let made = mara.submit("run-a").await;
    mara.submit("run-b").await;
    let claims = parcel::read(&mara.home.path().join("results/run-a"), &made.id).unwrap().claims;
    let receipt = Receipt {
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
        tier: TrustTier::ReGraded,
        established: Vec::new(),
        session: None,
        received_at: now(),
    };
    let accepted = |r: Receipt, k: &Keys| {
        let receipt = Signed::seal(r, k, KeyName::Board, Domain::Acceptance).unwrap();
        serde_json::to_string(&Accepted { duplicate: false, notes: Vec::new(), page: "/".into(), receipt }).unwrap()
    };
    let full = r#"{"error":{"code":"disk_full","message":"Full.","hints":[],"details":{"retry":true}}}"#;
    let cases: Vec<(&str, u16, String)> = vec![
        ("disk_full", 507, full.into()),
        ("unreadable", 429, "slow down".into()),
        ("unreadable", 200, "<html>Please log in</html>".into()),
        ("unreadable", 404, "not here".into()),
        ("bad_receipt", 201, accepted(receipt.clone(), &imposter)),
        ("bad_receipt", 201, accepted(Receipt { verdict: "0".repeat(64), ..receipt.clone() }, &keys)),
        ("bad_receipt", 201, accepted(Receipt { score: claims.score + 1, ..receipt.clone() }, &keys)),
    ];
    let board = |url: String| Board {
        url,
        ca: None,
        clear_text: false,
        learner: String::new(),
        name: String::new(),
        class: String::new(),
        instructor: false,
        key_id: mara.laptop.key_id.clone(),
        token: String::new(),
        root: keys.id(KeyName::Board).unwrap(),
        keys: vec![keys.public_pem(KeyName::Board).unwrap()],
        enrolled_at: now(),
        ahead_ms: 0,
        failures: 0,
        retry_at: 0,
        last_at: None,
        last_error: String::new(),
    };
    for (want, status, body) in cases {
        let (url, _) = fake(move || (StatusCode::from_u16(status).unwrap(), body.clone()).into_response()).await;
        mara.keep(&board(url)).await;
        let told = mara.sync().await;
        assert_eq!((stopped(&told), told.accepted.len(), told.refused.len()), (want, 0, 0), "{told:?}");
        assert_eq!((mara.pending().await, mara.tiers().await.len(), mara.refusals().await.len()), (2, 0, 0));
        let b = mara.store.read(rows::board).await.unwrap().unwrap();
        assert!(b.failures == 1 && b.retry_at > mara.clock.load(Ordering::SeqCst) && !b.last_error.is_empty());
    }
    // One that never answers is given up, and the others are not tried at it.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    mara.keep(&board(format!("http://{}", silent.local_addr().unwrap()))).await;
    let began = std::time::Instant::now();
    assert_eq!(stopped(&mara.round(true, 1).await), "timeout");
    assert!(began.elapsed() < Duration::from_secs(5));
    // A genuine one is believed.
    let good = accepted(receipt, &keys);
    let (url, asked) = fake(move || (StatusCode::CREATED, good.clone()).into_response()).await;
    mara.keep(&board(url)).await;
    let told = mara.sync().await;
    assert_eq!(
        (told.accepted, stopped_code(&told.stopped)),
        (vec![made.id], "bad_receipt"),
        "the second gets the first one's receipt"
    );
    assert!(asked.load(Ordering::SeqCst) >= 2);
}

fn stopped_code(stopped: &Option<(String, String)>) -> &str {
    stopped.as_ref().map_or("", |(code, _)| code)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_from_both_sides() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("board"), None);
    let (teacher, mara) = (Learner::new(), Learner::new());
    let code = server.cli(&["invite", "--class", "N", "--role", "instructor"]).1["code"].as_str().unwrap().to_owned();
    let desk = teacher.enrol_at(&server.url, &code).await.unwrap();
    let board = mara.enrol(&server, "N").await;
    assert!(desk.instructor && !board.instructor);
    let wanted = NewSession {
        title: "Monday".into(),
        labs: vec![LAB.into()],
        seeds: SeedPolicy::PerLearner,
        deadline: now() + 3_600_000,
        hints: false,
        attempts: 1,
        grace_minutes: 15,
        class: None,
    };
    let refused = |e: forge_core::error::Error| e.details["code"].as_str().unwrap_or("none").to_owned();
    assert_eq!(refused(session::create(&board, &wanted).await.unwrap_err()), "forbidden");
    let made = session::create(&desk, &wanted).await.unwrap();
    assert_eq!(refused(session::challenge(&board, &made.id, LAB).await.unwrap_err()), "forbidden");
    let joined = session::join(&board, made.join_code.as_deref().unwrap()).await.unwrap();
    assert_eq!((joined.session.id.as_str(), joined.session.join_code), (made.id.as_str(), None));
    assert_eq!(refused(session::live(&board, &made.id).await.unwrap_err()), "forbidden");

    let challenge = session::challenge(&board, &made.id, LAB).await.unwrap().body;
    assert_eq!(session::challenge(&board, &made.id, LAB).await.unwrap().body, challenge, "until it is answered");
    // The laptop holds it against what it pinned, not against what the server says now.
    let stranger = Keys::open_board(tempfile::tempdir().unwrap().path(), &mut rand::rng()).unwrap();
    let misled = Board { keys: vec![stranger.public_pem(KeyName::Board).unwrap()], ..board.clone() };
    assert_eq!(refused(session::challenge(&misled, &made.id, LAB).await.unwrap_err()), "bad_challenge");

    // Where Mara is reaches the desk, and what is said there reaches her and nobody else.
    let at = Progress {
        lab: LAB.into(),
        run: "run-s".into(),
        state: ProgressState::Working,
        criteria: [("web".to_owned(), OutcomeKind::Fail)].into(),
        score: 0,
        max: 1000,
        hints: 0,
        elapsed_ms: 5,
    };
    session::progress(&board, &made.id, &at).await.unwrap();
    let seen = session::live(&desk, &made.id).await.unwrap();
    assert_eq!((seen.rows[0].progress.as_ref(), seen.red[0].learners), (Some(&at), 1), "{seen:?}");
    let say = |text: &str, learner: Option<String>| MessageRequest { text: text.into(), learner };
    session::say(&desk, &made.id, &say("To all", None)).await.unwrap();
    let second = session::say(&desk, &made.id, &say("To Mara", Some(board.learner.clone()))).await.unwrap();
    let heard = session::messages(&board, &made.id, 0).await.unwrap();
    assert_eq!(heard.iter().map(|m| m.text.as_str()).collect::<Vec<_>>(), ["To all", "To Mara"]);
    assert!(session::messages(&board, &made.id, second.seq).await.unwrap().is_empty());
    assert_eq!(refused(session::say(&board, &made.id, &say("x", None)).await.unwrap_err()), "forbidden");
    assert_eq!(
        refused(session::say(&desk, &made.id, &say("x", Some("nobody".into()))).await.unwrap_err()),
        "not_found"
    );
    // Frozen: nothing is told or issued; then it goes on.
    assert_eq!(refused(session::freeze(&board, &made.id, true).await.unwrap_err()), "forbidden");
    assert!(session::freeze(&desk, &made.id, true).await.unwrap().frozen);
    assert_eq!(refused(session::progress(&board, &made.id, &at).await.unwrap_err()), "session_frozen");
    assert_eq!(refused(session::challenge(&board, &made.id, LAB).await.unwrap_err()), "session_frozen");
    assert!(session::get(&board, &made.id).await.unwrap().frozen);
    assert!(!session::freeze(&desk, &made.id, false).await.unwrap().frozen);
    session::progress(&board, &made.id, &at).await.unwrap();
    assert_eq!(session::list(&desk).await.unwrap().iter().map(|s| &s.id).collect::<Vec<_>>(), [&made.id]);
    assert_eq!(refused(session::list(&board).await.unwrap_err()), "forbidden");

    let started = challenge.issued_at + 1;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let wish = Wish { started, finished: now(), challenge: Some(challenge.nonce), ..Wish::new("run-s", now()) };
    let made_verdict = mara.laptop.seal(&scenario(&challenge.seed), SSH, &wish).unwrap();
    let verdict = mara.submitted(made_verdict, "run-s").await;
    assert_eq!(mara.sync().await.accepted, std::slice::from_ref(&verdict.id));
    let kept = mara.store.read(rows::receipts).await.unwrap();
    let receipt: Signed<Receipt> = serde_json::from_str(&kept[0].receipt).unwrap();
    assert_eq!(receipt.body.session.as_deref(), Some(made.id.as_str()));
    assert!(receipt.body.established.contains(&Fact::IssuedSeed), "{:?}", receipt.body.established);
    let seen = session::live(&desk, &made.id).await.unwrap();
    assert_eq!(seen.rows[0].results[0].verdict, verdict.id, "{seen:?}");
    assert_eq!(refused(session::challenge(&board, &made.id, LAB).await.unwrap_err()), "no_attempts_left");
    assert!(session::get(&board, "../verdicts").await.is_err());
    let csv = String::from_utf8(session::csv(&desk, &made.id).await.unwrap()).unwrap();
    assert!(csv.lines().count() == 2 && csv.contains(&verdict.id) && csv.contains("submitted"), "{csv}");
    assert_eq!(refused(session::csv(&board, &made.id).await.unwrap_err()), "forbidden");
}

#[tokio::test(flavor = "multi_thread")]
async fn enrolling_says_what_is_wrong() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("board"), None);
    let mara = Learner::new();
    let refused = |e: forge_core::error::Error| e.details["code"].as_str().unwrap_or("none").to_owned();
    let e = mara.enrol_at(&server.url, "AAAA-BBBB-CCCC-DDDD").await.unwrap_err();
    assert_eq!(refused(e), "code_unknown");
    let (url, _) = fake(|| (StatusCode::OK, "<html>").into_response()).await;
    assert_eq!(refused(mara.enrol_at(&url, "X").await.unwrap_err()), "unreadable");
    let e = mara.enrol_at("http://board.example:1", "X").await.unwrap_err();
    assert!(e.hints.iter().any(|h| h.contains("--clear-text")), "{e:?}");
    assert!(mara.store.read(rows::board).await.unwrap().is_none(), "nothing is kept of an enrolment that failed");
}

/// `forge` itself, as it lies beside the server.
fn forge(home: &std::path::Path) -> std::process::Command {
    let bin = std::path::Path::new(BIN).with_file_name("forge");
    assert!(bin.exists(), "build it first: cargo build -p forge-cli");
    let mut c = std::process::Command::new(bin);
    c.args(["--json", "sync"])
        .env("FORGE_HOME", home)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    c
}

/// Kill -9 of either side in the middle of a sync, again and again.
#[tokio::test(flavor = "multi_thread")]
async fn killed_on_either_side_nothing_is_lost_and_nothing_is_there_twice() {
    const MANY: usize = 150;
    let data = tempfile::tempdir().unwrap();
    let place = data.path().join("board");
    let mut server = Server::start(&place, None);
    let listen = server.url.trim_start_matches("http://").to_owned();
    let mara = Learner::new();
    mara.enrol(&server, "N").await;
    let mut made = Vec::new();
    for i in 0..MANY {
        made.push(mara.submit(&format!("run-{i}")).await.id);
    }
    let (mut laptop_killed, mut server_killed, mut last) = (0, 0, MANY);
    let mut wait = 40;
    for round in 0.. {
        assert!(round < 200, "it does not come to an end: {last} wait");
        let mut sync = forge(mara.home.path()).spawn().unwrap();
        // Until something of this round has arrived: the process is in the middle of it.
        let before = verdicts(&server).await;
        let end = std::time::Instant::now() + Duration::from_secs(20);
        while verdicts(&server).await == before && sync.try_wait().unwrap().is_none() {
            assert!(std::time::Instant::now() < end, "nothing arrives");
        }
        tokio::time::sleep(Duration::from_millis(wait)).await;
        wait = (wait * 7 + 13) % 120;
        let under_way = sync.try_wait().unwrap().is_none();
        if round % 2 == 0 {
            sync.kill().unwrap();
            sync.wait().unwrap();
            laptop_killed += usize::from(under_way);
        } else {
            server.kill9();
            server_killed += usize::from(under_way);
            let out = sync.wait_with_output().unwrap();
            assert!(out.status.success(), "a server that dies is no error: {}", String::from_utf8_lossy(&out.stderr));
            server = Server::start_at(&listen, &place, None, &[]);
        }
        let waiting = mara.pending().await as usize;
        assert!(waiting <= last, "what was acknowledged waits again: {last}, then {waiting}");
        last = waiting;
        if waiting == 0 {
            break;
        }
    }
    assert!(laptop_killed > 0 && server_killed > 0, "in the middle: laptop {laptop_killed}, server {server_killed}");
    let receipts = mara.store.read(rows::receipts).await.unwrap();
    let mut ids: Vec<String> = receipts.into_iter().map(|r| r.result).collect();
    ids.sort();
    made.sort();
    assert_eq!(ids, made, "a receipt for each, once");
    assert_eq!(verdicts(&server).await as usize, MANY);
    for id in &made {
        assert_eq!(server.get(&format!("/v1/verdicts/{id}")).await.0, 200, "{id}");
    }
    let (ok, verified) = server.cli(&["verify-all"]);
    assert!(ok && verified["bundles"].as_u64() == Some(MANY as u64), "{verified}");
    println!("killed in the middle: the laptop {laptop_killed} times, the server {server_killed} times");
}

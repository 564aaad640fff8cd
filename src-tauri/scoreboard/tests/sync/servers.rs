//! Scoreboards that change their key, are full, lie, or are none.
use crate::learner::*;
use crate::support::*;
use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use forge_core::api::TrustTier;
use forge_core::board::{Accepted, Receipt, Signed};
use forge_core::keys::{Domain, KeyName, Keys};
use forge_core::store::sync::{self as rows, Board};
use forge_core::sync::parcel;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

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
pub async fn fake(reply: impl Fn() -> Response + Clone + Send + Sync + 'static) -> (String, Arc<AtomicUsize>) {
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

/// An enrolment at a scoreboard with these keys, without a token.
pub fn pinned(mara: &Learner, keys: &Keys, url: String) -> Board {
    Board {
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
    }
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
    let board = |url: String| pinned(&mara, &keys, url);
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
async fn enrolling_says_what_is_wrong() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("board"), None);
    let mara = Learner::new();
    let refused = |e: forge_core::error::Error| e.details["code"].as_str().unwrap_or("none").to_owned();
    let e = mara.enrol_at(&server.url, "AAAA-BBBB-CCCC-DDDD").await.unwrap_err();
    assert_eq!(refused(e), "code_unknown");
    let (url, _) = fake(|| (StatusCode::OK, "<html>").into_response()).await;
    assert_eq!(refused(mara.enrol_at(&url, "X").await.unwrap_err()), "unreadable");
    for (status, words, hint) in
        [(502, "does not answer", "in a minute"), (429, "Too many", "in a minute"), (404, "404", "address")]
    {
        let page = move || (StatusCode::from_u16(status).unwrap(), "<html>").into_response();
        let e = mara.enrol_at(&fake(page).await.0, "X").await.unwrap_err();
        assert!(e.message.contains(words) && e.hints[0].contains(hint), "{status}: {e:?}");
    }
    let e = mara.enrol_at("http://board.example:1", "X").await.unwrap_err();
    assert!(e.hints.iter().any(|h| h.contains("--clear-text")), "{e:?}");
    assert!(mara.store.read(rows::board).await.unwrap().is_none(), "nothing is kept of an enrolment that failed");
}

/// A reverse proxy that takes a megabyte at once, as they do unless somebody raises it.
async fn narrow(server: &Server) -> String {
    const LIMIT: usize = 1 << 20;
    let (client, to) = (reqwest::Client::new(), server.url.clone());
    let handler = move |request: axum::extract::Request| {
        let (client, to) = (client.clone(), to.clone());
        async move {
            let (head, body) = request.into_parts();
            // To its end, as proxies do: a connection that is closed before may take the answer with it.
            let body = axum::body::to_bytes(body, 64 << 20).await.unwrap();
            if body.len() > LIMIT {
                return (StatusCode::PAYLOAD_TOO_LARGE, "<html>413 Request Entity Too Large</html>").into_response();
            }
            let mut on = client.request(head.method, format!("{to}{}", head.uri)).body(body);
            for (name, value) in head.headers.iter().filter(|(n, _)| *n != "host" && *n != "content-length") {
                on = on.header(name, value);
            }
            let answer = on.send().await.unwrap();
            let mut back = Response::builder().status(answer.status());
            for (name, value) in answer.headers() {
                back = back.header(name, value);
            }
            back.body(axum::body::Body::from(answer.bytes().await.unwrap())).unwrap()
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(handler)).await });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_takes_less_than_the_scoreboard_holds_nobody_up() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("board"), None);
    let proxy = narrow(&server).await;
    let mara = Learner::new();
    let board = Board { url: proxy, ..mara.enrol(&server, "N").await };
    // Without a token there are no parts: the large one waits and says why, the small one behind it arrives.
    mara.keep(&Board { token: String::new(), ..board.clone() }).await;
    let large = mara.submit_large("run-large").await;
    let small = mara.submit("run-small").await;
    let told = mara.sync().await;
    assert_eq!((told.accepted.as_slice(), &told.stopped), ([small.id].as_slice(), &None), "{told:?}");
    let waiting = mara.store.read(rows::waiting).await.unwrap();
    assert_eq!(waiting.len(), 1);
    assert!(waiting[0].last_error.contains("no request of this size"), "{}", waiting[0].last_error);
    // With one it goes in parts.
    mara.keep(&board).await;
    let told = mara.sync().await;
    assert_eq!((told.accepted.as_slice(), &told.stopped), ([large.id].as_slice(), &None), "{told:?}");
    assert_eq!(mara.tiers().await, [TrustTier::ReGraded; 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_sends_elsewhere_says_where_and_is_not_followed() {
    let (there, asked) = fake(|| (StatusCode::OK, "{}").into_response()).await;
    let to = format!("{there}/v1/enrol");
    let moved = move || (StatusCode::PERMANENT_REDIRECT, [("location", to.clone())]).into_response();
    let (url, _) = fake(moved).await;
    let e = Learner::new().enrol_at(&url, "X").await.unwrap_err();
    assert!(e.message.contains(&there) && e.hints[0].contains("enrol there"), "{e:?}");
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}

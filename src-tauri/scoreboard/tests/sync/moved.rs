//! A laptop that moves to another scoreboard, and comes back.
use crate::learner::*;
use crate::support::*;
use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use forge_core::error::Code;
use forge_core::keys::KeyName;
use forge_core::store::sync::{self as rows, Board};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Results by scoreboard, of which a receipt is kept.
async fn receipts(mara: &Learner) -> BTreeSet<(String, String)> {
    mara.store.read(rows::receipts).await.unwrap().into_iter().map(|r| (r.root, r.result)).collect()
}

/// What an instructor may ask is refused to a learner who is known, and differently to a stranger.
async fn knows(server: &Server, board: &Board) -> bool {
    let asked = reqwest::Client::new().get(format!("{}/v1/sessions", server.url)).bearer_auth(&board.token);
    asked.send().await.unwrap().status() == 403
}

async fn people(server: &Server) -> usize {
    server.call("GET", "/v1/learners", &server.admin, serde_json::Value::Null).await.1.as_array().unwrap().len()
}

fn code_of(e: &forge_core::error::Error) -> &str {
    e.details["code"].as_str().unwrap_or("none")
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_needs_no_code_and_sends_what_is_missing_there() {
    let [x, y, z] = std::array::from_fn(|_| tempfile::tempdir().unwrap());
    let [a, b, c] = [&x, &y, &z].map(|d| Server::start(&d.path().join("board"), None));
    let mara = Learner::new();
    let at_a = mara.enrol(&a, "N").await;
    let one = mara.submit("run-a").await;
    assert_eq!(mara.sync().await.accepted, std::slice::from_ref(&one.id));
    let at_b = mara.enrol(&b, "M").await;
    let two = mara.submit("run-b").await;
    assert_eq!(mara.sync().await.accepted.len(), 2, "the new one knows nothing of what the old one has");
    let both = |board: &Board| [&one, &two].map(|v| (board.root.clone(), v.id.clone()));
    let first = (at_a.root.clone(), one.id.clone());
    let want: BTreeSet<_> = both(&at_b).into_iter().chain([first]).collect();
    assert_eq!(receipts(&mara).await, want, "a receipt takes the place of no other scoreboard's");

    let back = mara.enrol_at(&a.url, "").await.unwrap();
    assert_eq!((&back.token, &back.learner, &back.root), (&at_a.token, &at_a.learner, &at_a.root));
    assert!(knows(&a, &back).await && !knows(&b, &back).await);
    assert_eq!(mara.pending().await, 1, "what it has is not sent again");
    assert_eq!(mara.sync().await.accepted, std::slice::from_ref(&two.id));
    assert_eq!(receipts(&mara).await, both(&at_a).into_iter().chain(both(&at_b)).collect());
    assert_eq!((verdicts(&a).await, people(&a).await), (2, 1));

    // The other way round with a code in hand: it is not needed, and not used up.
    let spare = b.cli(&["invite", "--class", "M"]).1["code"].as_str().unwrap().to_owned();
    assert_eq!(mara.enrol_at(&b.url, &spare).await.unwrap().token, at_b.token);
    assert_eq!((mara.pending().await, people(&b).await), (0, 1));
    assert!(Learner::new().enrol_at(&b.url, &spare).await.is_ok());
    // Turned off and on again.
    assert!(mara.store.write(rows::unenrol).await.unwrap());
    assert!(mara.store.read(rows::board).await.unwrap().is_none());
    assert_eq!(mara.enrol_at(&b.url, " ").await.unwrap().token, at_b.token);

    let e = mara.enrol_at(&c.url, "").await.unwrap_err();
    assert_eq!(e.code, Code::InvalidInput);
    assert!(e.message.contains("a code is needed") && e.hints[0].contains(&c.url), "{e:?}");
    let set_up = mara.store.read(rows::board).await.unwrap().unwrap();
    assert_eq!(set_up.root, at_b.root, "what failed changes nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_with_another_key_is_the_same_learner() {
    let [x, y] = std::array::from_fn(|_| tempfile::tempdir().unwrap());
    let [a, b] = [&x, &y].map(|d| Server::start(&d.path().join("board"), None));
    let mara = Learner::new();
    let at_a = mara.enrol(&a, "N").await;
    let at_b = mara.enrol(&b, "M").await;
    mara.laptop.keys.rotate(KeyName::Learner, now(), &mut rand::rng()).unwrap();
    // Its own keys are others by now as well.
    assert_eq!(a.call("POST", "/v1/keys/rotate", &a.admin, serde_json::json!({})).await.0 / 100, 2);
    let back = mara.enrol_at(&a.url, "").await.unwrap();
    assert_eq!((&back.learner, &back.token, &back.root), (&at_a.learner, &at_a.token, &at_a.root));
    assert_eq!(back.key_id, mara.laptop.keys.id(KeyName::Learner).unwrap());
    let spare = || b.cli(&["invite", "--class", "M"]).1["code"].as_str().unwrap().to_owned();
    assert_eq!(b.call("POST", "/v1/keys/rotate", &b.admin, serde_json::json!({})).await.0 / 100, 2);
    let back = mara.enrol_at(&b.url, &spare()).await.unwrap();
    assert_eq!((&back.learner, &back.token), (&at_b.learner, &at_b.token));
    assert_eq!((people(&a).await, people(&b).await), (1, 1));

    // A key that was revoked there comes back as nobody; with a fresh key and a code, as somebody new.
    let gone = format!("/v1/keys/{}/revoke", back.key_id);
    assert_eq!(b.call("POST", &gone, &b.admin, serde_json::json!({"reason": "lost"})).await.0, 204);
    let e = mara.enrol_at(&b.url, "").await.unwrap_err();
    assert_eq!(code_of(&e), "key_revoked", "{e:?}");
    assert!(e.hints.iter().any(|h| h.contains("enrol")), "{e:?}");
    mara.laptop.keys.rotate(KeyName::Learner, now(), &mut rand::rng()).unwrap();
    let fresh = mara.enrol_at(&b.url, &spare()).await.unwrap();
    assert!(fresh.learner != at_b.learner && !fresh.token.is_empty() && knows(&b, &fresh).await);
    assert_eq!(fresh.root, at_b.root, "receipts of before are this scoreboard's");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_only_shows_the_scoreboards_public_key_is_given_no_token() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("board"), None);
    let mara = Learner::new();
    let genuine = mara.enrol(&server, "N").await;
    let shown = reqwest::get(format!("{}/v1/keys/current", server.url)).await.unwrap().text().await.unwrap();
    let given = Arc::new(AtomicUsize::new(0));
    let seen = given.clone();
    let handler = move |request: Request| {
        seen.fetch_add(usize::from(request.headers().contains_key("authorization")), Ordering::SeqCst);
        let answer: Response = match request.uri().path() {
            "/v1/enrol" if request.method() == "GET" => {
                let challenge = format!("{}.x.{}", now() + 60_000, "0".repeat(128));
                axum::Json(serde_json::json!({"challenge": challenge, "expires_at": now() + 60_000, "now": now()}))
                    .into_response()
            }
            "/v1/keys/current" => ([("content-type", "application/json")], shown.clone()).into_response(),
            "/v1/enrol" => {
                let no = serde_json::json!({"error": {"code": "key_enrolled", "message": "x", "hints": [], "details": null}});
                (axum::http::StatusCode::CONFLICT, axum::Json(no)).into_response()
            }
            _ => axum::http::StatusCode::FORBIDDEN.into_response(),
        };
        async move { answer }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let imposter = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(handler)).await });
    for code in ["", "A-CODE"] {
        assert_eq!(code_of(&mara.enrol_at(&imposter, code).await.unwrap_err()), "lie");
    }
    assert_eq!(given.load(Ordering::SeqCst), 0);
    assert_eq!(mara.store.read(rows::board).await.unwrap().unwrap(), genuine);
}

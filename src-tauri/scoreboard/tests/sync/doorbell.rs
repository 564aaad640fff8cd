//! The stream of a session, as a laptop hears it.
use crate::learner::*;
use crate::servers::fake;
use crate::support::*;
use axum::body::Body;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use forge_core::board::{MessageRequest, SeedPolicy, Session};
use forge_core::store::sync::Board;
use forge_core::sync::doorbell::{Doorbell, Heard};
use forge_core::sync::session;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// An instructor, a learner who has joined, and their session.
pub async fn class(server: &Server) -> (Board, Board, Session) {
    let ((_, desk), (_, board)) = (person(server, "instructor").await, person(server, "learner").await);
    let made = session::create(&desk, &monday(SeedPolicy::Shared)).await.unwrap();
    session::join(&board, made.join_code.as_deref().unwrap()).await.unwrap();
    (desk, board, made)
}

async fn until(what: &str, bell: &Doorbell, limit: Duration, reached: impl Fn(Heard) -> bool) -> Duration {
    let began = Instant::now();
    while !reached(bell.heard()) {
        assert!(began.elapsed() < limit, "{what}: not within {limit:?}, {:?}", bell.heard());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    began.elapsed()
}

async fn say(desk: &Board, made: &Session, text: &str) {
    session::say(desk, &made.id, &MessageRequest { text: text.into(), learner: None }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_word_rings_within_a_second_and_a_restart_is_outlived() {
    let data = tempfile::tempdir().unwrap();
    let mut server = Server::start(&data.path().join("board"), None);
    let listen = server.url.trim_start_matches("http://").to_owned();
    let (desk, board, made) = class(&server).await;
    let bell = Doorbell::at(board.clone(), made.id.clone(), Default::default());
    until("it opens", &bell, Duration::from_secs(10), |h| h.live && h.rings == 1).await;
    let mut slowest = Duration::ZERO;
    for i in 2..12 {
        say(&desk, &made, "look").await;
        slowest = slowest.max(until("a word", &bell, Duration::from_secs(1), |h| h.rings == i).await);
    }
    println!("the slowest of ten rang after {slowest:?}");
    // Another's progress is not for this learner's ears, and rings nothing; the session itself is.
    session::freeze(&desk, &made.id, true).await.unwrap();
    until("a freeze", &bell, Duration::from_secs(1), |h| h.rings == 12).await;

    server.kill9();
    until("its end is noticed", &bell, Duration::from_secs(5), |h| !h.live).await;
    server = Server::start_at(&listen, &data.path().join("board"), None, &[]);
    // The number of its last event is of another process, so it is told to ask anew.
    until("it comes back", &bell, Duration::from_secs(30), |h| h.live && h.rings >= 13).await;
    let before = bell.heard().rings;
    say(&desk, &made, "again").await;
    until("a word after the restart", &bell, Duration::from_secs(1), |h| h.rings > before).await;

    // Who does not listen any more takes no seat.
    drop(bell);
    let began = Instant::now();
    loop {
        let metrics = server.call("GET", "/metrics", "", serde_json::Value::Null).await.1;
        if metrics.as_str().unwrap().lines().any(|l| l.ends_with("listeners 0")) {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(5), "{metrics}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_stream_gets_through_nothing_waits_for_it_and_nobody_is_stormed() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("board"), None);
    let (_, board, made) = class(&server).await;
    let stream = [("content-type", "text/event-stream")];
    let at = |url: String| Doorbell::at(Board { url, ..board.clone() }, made.id.clone(), Default::default());
    // A proxy that holds everything back; one that closes at once; one that is full; one that knows no streams.
    let (held, held_asked) = fake(move || (stream, Body::from_stream(futures_pending())).into_response()).await;
    let (closing, closing_asked) = fake(move || (stream, "retry: 1\n\n").into_response()).await;
    let (full, full_asked) = fake(|| StatusCode::SERVICE_UNAVAILABLE.into_response()).await;
    let (other, other_asked) = fake(|| (StatusCode::OK, "<html>").into_response()).await;
    let bells = [at(held), at(closing), at(full), at(other)];
    let began = Instant::now();
    bells[0].rung(0, Duration::from_secs(60), Duration::from_millis(300)).await;
    assert!(began.elapsed() < Duration::from_secs(2), "who asks is not kept waiting");
    tokio::time::sleep(Duration::from_secs(6)).await;
    for (i, asked) in [held_asked, closing_asked, full_asked, other_asked].iter().enumerate() {
        let asked = asked.load(Ordering::SeqCst);
        assert!((1..=5).contains(&asked), "{i}: asked {asked} times in six seconds");
    }
    assert!(!bells[0].heard().live && !bells[2].heard().live && !bells[3].heard().live);
}

fn futures_pending() -> impl tokio_stream::Stream<Item = Result<axum::body::Bytes, std::io::Error>> {
    tokio_stream::pending()
}

//! The whole engine on both sides, as an app has it: what happens at the board arrives by itself.
use crate::support::*;
use axum::response::IntoResponse;
use forge_core::api::{
    BoardKnows, Caller, Commands, CreateSession, Empty, EnrolBoard, JoinSession, KeyUse, RotateKey, SayToSession,
    SessionRequest, SyncNow, SyncState, TakeChallenge, WatchBoard,
};
use forge_core::forge::{EgressOptions, Forge, Options};
use forge_core::keys::Keeping;
use forge_core::shell::Shellable;
use forge_core::store::sync as rows;
use forge_scoreboard::bench::workshop::{Laptop, Wish};
use futures_util::StreamExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

fn me() -> Caller {
    Caller { correlation: "test".into(), instructor: false }
}

async fn again(home: &Path) -> Arc<Forge> {
    again_with(home, true).await
}

/// `keep`: it sends what is due by itself.
async fn again_with(home: &Path, keep: bool) -> Arc<Forge> {
    let options = Options {
        home: home.to_path_buf(),
        shell: "serve".into(),
        labs: Some(labs()),
        keep,
        keeper: Vec::new(),
        egress: EgressOptions::default(),
        keys: Keeping::default(),
    };
    Forge::open(options).await.unwrap()
}

async fn app(home: &Path, server: &Server, role: &str) -> Arc<Forge> {
    let forge = again(home).await;
    let code = server.cli(&["invite", "--class", "N", "--role", role]).1["code"].as_str().unwrap().to_owned();
    let enrol = EnrolBoard { url: server.url.clone(), code, name: role.into(), ca: None, clear_text: false };
    forge.enrol_board(&me(), enrol).await.unwrap();
    forge
}

/// A scoreboard, and the apps of a teacher and of a learner.
struct Class {
    server: Server,
    teacher: Arc<Forge>,
    mara: Arc<Forge>,
    laptop: tempfile::TempDir,
    _homes: [tempfile::TempDir; 2],
}

async fn class() -> Class {
    let [data, desk, laptop] = std::array::from_fn(|_| tempfile::tempdir().unwrap());
    let server = Server::start(&data.path().join("board"), None);
    let teacher = app(desk.path(), &server, "instructor").await;
    let mara = app(laptop.path(), &server, "learner").await;
    Class { server, teacher, mara, laptop, _homes: [data, desk] }
}

fn monday() -> CreateSession {
    CreateSession {
        title: "Monday".into(),
        labs: vec![LAB.into()],
        shared_seed: false,
        minutes: 60,
        hints: false,
        attempts: 1,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hint_arrives_without_a_run_and_the_board_without_being_asked() {
    let Class { server, teacher, mara, laptop: _laptop, _homes } = class().await;
    let made = teacher.create_session(&me(), monday()).await.unwrap();
    let caller = me();
    let watch = |seen| teacher.session_board(&caller, WatchBoard { session: made.id.clone(), seen }).await_in(30);
    // The first answers at once; then the stream opens, which is a turn of its own; then it is waited for.
    let mut board = watch(None).await;
    while board.turn == 0 {
        board = watch(Some(board.turn)).await;
    }
    let waiting = tokio::spawn({
        let (teacher, session, seen) = (teacher.clone(), made.id.clone(), board.turn);
        async move { teacher.session_board(&me(), WatchBoard { session, seen: Some(seen) }).await.unwrap() }
    });
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(!waiting.is_finished(), "nothing has happened: it is waited for, not asked every few seconds");
    let began = Instant::now();
    let code = made.join_code.clone().unwrap();
    mara.join_session(&me(), JoinSession { code }).await.unwrap();
    let board = waiting.await.unwrap();
    println!("a join was on the board after {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(board.rows.len(), 1);

    // The laptop listens by itself, though no run is bound to the session.
    let began = Instant::now();
    while !server.call("GET", "/metrics", "", serde_json::Value::Null).await.1.as_str().unwrap().contains("listeners 2")
    {
        assert!(began.elapsed() < Duration::from_secs(10), "it does not listen");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut events = mara.events(None, 0);
    for text in ["First", "Second"] {
        let began = Instant::now();
        let say = SayToSession { session: made.id.clone(), text: text.into(), learner: None };
        teacher.say_session(&me(), say).await.unwrap();
        let heard = async {
            while let Some(event) = events.next().await {
                if event.kind == "session.message" && event.text.contains(text) {
                    return event;
                }
            }
            panic!("the events end");
        };
        let event = tokio::time::timeout(Duration::from_secs(5), heard).await.expect("it arrives");
        println!("“{text}” arrived after {:?}", began.elapsed());
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
        assert_eq!((event.run, event.data["session"].as_str()), (None, Some(made.id.as_str())));
    }
    let said = mara.session_messages(&me(), SessionRequest { session: made.id.clone() }).await.unwrap();
    assert_eq!(said.iter().map(|m| m.text.as_str()).collect::<Vec<_>>(), ["First", "Second"]);
    teacher.shutdown().await;
    mara.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_key_is_introduced_by_the_one_before_it() {
    let Class { server, teacher, mara, laptop, _homes } = class().await;
    let known = async || mara.sync_status(&me(), Empty {}).await.unwrap().board.unwrap().key_id;
    let told = mara.rotate_key(&me(), RotateKey { name: KeyUse::Learner }).await.unwrap();
    assert_eq!((told.board, told.trouble.as_str()), (BoardKnows::Told, ""));
    assert_eq!(known().await, told.new);
    // Her token went along, so the old key can be revoked, which takes its own tokens with it.
    let gone = format!("/v1/keys/{}/revoke", told.old);
    let why = serde_json::json!({"reason": "replaced"});
    assert_eq!(server.call("POST", &gone, &server.admin, why).await.0, 204);
    let spawn = mara.rotate_key(&me(), RotateKey { name: KeyUse::Spawn }).await.unwrap();
    assert_eq!(spawn.board, BoardKnows::NotNeeded);

    // Changed by another program, which told nobody: the server hears of it before it is asked for anything, and what it
    // issues then is for the new key.
    let changed = mara.keys_status(&me(), Empty {}).await.unwrap().keys[0].id.clone();
    mara.shutdown().await;
    drop(mara);
    let keys = forge_core::keys::Keys::open(laptop.path(), &mut rand::rng()).unwrap();
    let later = keys.rotate(forge_core::keys::KeyName::Learner, now(), &mut rand::rng()).unwrap();
    assert_eq!(later.old, changed);
    let mara = again(laptop.path()).await;
    let made = teacher.create_session(&me(), monday()).await.unwrap();
    let code = made.join_code.clone().unwrap();
    mara.join_session(&me(), JoinSession { code }).await.unwrap();
    mara.take_challenge(&me(), TakeChallenge { session: made.id, lab: LAB.into() }).await.unwrap();
    let board = mara.sync_status(&me(), Empty {}).await.unwrap().board.unwrap();
    assert_eq!(board.key_id, later.new);
    teacher.shutdown().await;
    mara.shutdown().await;
}

/// Before a scoreboard: notes what is asked, answers about a lab to begin in a year long ago, and is too busy at first for so many
/// keys that followed others.
async fn noting(server: &Server, busy: usize) -> (String, Arc<Mutex<Vec<String>>>) {
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let (client, to, notes) = (reqwest::Client::new(), server.url.clone(), asked.clone());
    let handler = move |request: axum::extract::Request| {
        let (client, to, notes) = (client.clone(), to.clone(), notes.clone());
        async move {
            let (head, body) = request.into_parts();
            let rotations = {
                let mut notes = notes.lock().unwrap();
                notes.push(format!("{} {}", head.method, head.uri.path()));
                notes.iter().filter(|n| n.ends_with("/v1/keys/rotations")).count()
            };
            if head.uri.path() == "/v1/keys/rotations" && rotations <= busy {
                return (axum::http::StatusCode::TOO_MANY_REQUESTS, "slow down").into_response();
            }
            if head.uri.path().ends_with("/live") {
                return axum::http::StatusCode::NOT_IMPLEMENTED.into_response();
            }
            let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
            let mut on = client.request(head.method, format!("{to}{}", head.uri)).body(body);
            for (name, value) in head.headers.iter().filter(|(n, _)| *n != "host" && *n != "content-length") {
                on = on.header(name, value);
            }
            let answer = on.send().await.unwrap();
            let mut back = axum::response::Response::builder().status(answer.status());
            for (name, value) in answer.headers().iter().filter(|(n, _)| *n != "date" && *n != "transfer-encoding") {
                back = back.header(name, value);
            }
            if head.uri.path().ends_with("/challenges") {
                back = back.header("date", "Sun, 06 Nov 1994 08:49:37 GMT");
            }
            back.body(axum::body::Body::from(answer.bytes().await.unwrap())).unwrap()
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(handler)).await });
    (url, asked)
}

/// A class of two hundred begins at one moment, behind one address.
#[tokio::test(flavor = "multi_thread")]
async fn a_lab_of_a_session_is_begun_with_one_question_which_tells_the_time_too() {
    let Class { server, teacher, mara, laptop: _laptop, _homes } = class().await;
    mara.shutdown().await;
    let home = tempfile::tempdir().unwrap();
    let (url, asked) = noting(&server, 0).await;
    let jo = again(home.path()).await;
    let code = server.cli(&["invite", "--class", "N"]).1["code"].as_str().unwrap().to_owned();
    let enrol = EnrolBoard { url, code, name: "Jo".into(), ca: None, clear_text: false };
    jo.enrol_board(&me(), enrol).await.unwrap();
    let made = teacher.create_session(&me(), monday()).await.unwrap();
    jo.join_session(&me(), JoinSession { code: made.join_code.clone().unwrap() }).await.unwrap();
    let ahead = async || jo.sync_status(&me(), Empty {}).await.unwrap().board.unwrap().ahead_ms;
    assert!(ahead().await.abs() < 5_000);
    asked.lock().unwrap().clear();
    jo.take_challenge(&me(), TakeChallenge { session: made.id.clone(), lab: LAB.into() }).await.unwrap();
    let seen = asked.lock().unwrap().clone();
    let of_it: Vec<&String> = seen.iter().filter(|q| q.contains("/v1/enrol") || q.contains("/challenges")).collect();
    assert_eq!(of_it, [&format!("POST /v1/sessions/{}/challenges", made.id)], "{seen:?}");
    assert!((ahead().await - (now() - 784_111_777_500)).abs() < 60_000, "{}", ahead().await);
    teacher.shutdown().await;
    jo.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_new_key_signed_waits_until_the_scoreboard_could_be_told_of_it() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("board"), None);
    let mara = crate::learner::Learner::new();
    let (url, _) = noting(&server, 1).await;
    let code = server.cli(&["invite", "--class", "N"]).1["code"].as_str().unwrap().to_owned();
    mara.enrol_at(&url, &code).await.unwrap();
    mara.laptop.keys.rotate(forge_core::keys::KeyName::Learner, now(), &mut rand::rng()).unwrap();
    let laptop = Laptop::new(mara.home.path()).unwrap();
    let made = laptop.seal(&scenario("seed-k"), SSH, &Wish::new("run-k", now())).unwrap();
    mara.submitted(made, "run-k").await;
    let app = again_with(mara.home.path(), false).await;
    let first = app.sync_now(&me(), SyncNow { retry_refused: false }).await.unwrap();
    assert_eq!((first.accepted, first.refused, first.pending), (0, 0, 1), "{first:?}");
    assert!(first.error.as_ref().unwrap().message.contains("Too many"), "{first:?}");
    let second = app.sync_now(&me(), SyncNow { retry_refused: false }).await.unwrap();
    assert_eq!((second.accepted, second.refused, second.pending, &second.error), (1, 0, 0, &None), "{second:?}");
    app.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_refused_for_its_time_is_sent_by_itself_once_that_has_come() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("board"), None);
    let mara = crate::learner::Learner::new();
    mara.enrol(&server, "N").await;
    let (come, not_yet) = (mara.submit("run-a").await.id, mara.submit("run-b").await.id);
    let (ids, later) = ([come.clone(), not_yet.clone()], not_yet.clone());
    mara.store
        .write(move |tx| {
            for result in ids {
                let (code, message, hint) = ("future_dated".to_owned(), "x".to_owned(), String::new());
                rows::refused(tx, &rows::Refused { result, code, message, hint, at: now() })?;
            }
            tx.execute("UPDATE results SET at = at + 3600000 WHERE id = ?1", [&later]).unwrap();
            Ok(())
        })
        .await
        .unwrap();
    let app = again(mara.home.path()).await;
    let began = Instant::now();
    let state = async |id: &str| {
        let all = app.sync_status(&me(), Empty {}).await.unwrap().results;
        all.into_iter().find(|r| r.result == id).unwrap().state
    };
    while state(&come).await != SyncState::Accepted {
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", state(&come).await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    app.sync_now(&me(), SyncNow { retry_refused: false }).await.unwrap();
    assert_eq!(state(&not_yet).await, SyncState::Refused);
    app.shutdown().await;
}

/// An answer within so many seconds.
trait AwaitIn<T> {
    async fn await_in(self, seconds: u64) -> T;
}

impl<T, F: Future<Output = forge_core::error::Result<T>>> AwaitIn<T> for F {
    async fn await_in(self, seconds: u64) -> T {
        tokio::time::timeout(Duration::from_secs(seconds), self).await.expect("it is answered in time").unwrap()
    }
}

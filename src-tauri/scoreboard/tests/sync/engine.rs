//! The whole engine on both sides, as an app has it: what happens at the board arrives by itself.
use crate::support::*;
use forge_core::api::{
    BoardKnows, Caller, Commands, CreateSession, Empty, EnrolBoard, JoinSession, KeyUse, RotateKey, SayToSession,
    SessionRequest, TakeChallenge, WatchBoard,
};
use forge_core::forge::{EgressOptions, Forge, Options};
use forge_core::keys::Keeping;
use forge_core::shell::Shellable;
use futures_util::StreamExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn me() -> Caller {
    Caller { correlation: "test".into(), instructor: false }
}

async fn again(home: &Path) -> Arc<Forge> {
    let options = Options {
        home: home.to_path_buf(),
        shell: "serve".into(),
        labs: Some(labs()),
        keep: true,
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

/// An answer within so many seconds.
trait AwaitIn<T> {
    async fn await_in(self, seconds: u64) -> T;
}

impl<T, F: Future<Output = forge_core::error::Result<T>>> AwaitIn<T> for F {
    async fn await_in(self, seconds: u64) -> T {
        tokio::time::timeout(Duration::from_secs(seconds), self).await.expect("it is answered in time").unwrap()
    }
}

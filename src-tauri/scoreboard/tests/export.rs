//! Events on a real NATS server, with each database: in order, once each, whoever was away in the meantime.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#[allow(dead_code)]
mod support;

use async_nats::ConnectOptions;
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use support::*;

/// Debian's nats-server (unpacked by scripts/setup.sh), on a port of its own; ended by its id.
struct Nats {
    child: Child,
    port: u16,
}

impl Nats {
    fn start(store: &Path, port: u16) -> Self {
        let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools/deb/usr/sbin/nats-server");
        let program = if unpacked.exists() { unpacked } else { "nats-server".into() };
        let child = Command::new(program)
            .args(["-a", "127.0.0.1", "-p", &port.to_string(), "-js", "--user", "board", "--pass", "secret", "-sd"])
            .arg(store)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nats-server is needed: scripts/setup.sh test");
        let end = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < end, "nats-server did not start");
            std::thread::sleep(Duration::from_millis(50));
        }
        Self { child, port }
    }

    /// What the stream holds: the subject, the message id and the body of each.
    async fn held(&self) -> Vec<(String, String, Value)> {
        let options = ConnectOptions::with_user_and_password("board".into(), "secret".into());
        let client = options.connect(format!("nats://127.0.0.1:{}", self.port)).await.unwrap();
        let Ok(mut stream) = async_nats::jetstream::new(client).get_stream("FORGE_BOARD").await else {
            return Vec::new();
        };
        let state = stream.info().await.unwrap().state.clone();
        let mut held = Vec::new();
        for sequence in state.first_sequence.max(1)..=state.last_sequence {
            let m = stream.get_raw_message(sequence).await.unwrap();
            let id = m.headers.get("Nats-Msg-Id").unwrap().to_string();
            held.push((m.subject.to_string(), id, serde_json::from_slice(&m.payload).unwrap()));
        }
        held
    }

    /// Waits until this many are held, and a little longer: one too many would come then.
    async fn holds(&self, count: usize) -> Vec<(String, String, Value)> {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let held = self.held().await;
            if held.len() >= count {
                tokio::time::sleep(Duration::from_millis(500)).await;
                return self.held().await;
            }
            assert!(Instant::now() < end, "only {} of {count} events: {held:#?}", held.len());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_sqlite() {
    nothing_is_lost_and_nothing_comes_twice(None).await;
    a_session_is_told(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres() {
    let (pg, [one, two]) = Postgres::with(["one", "two"]).await;
    nothing_is_lost_and_nothing_comes_twice(Some(&one)).await;
    a_session_is_told(Some(&two)).await;
    drop(pg);
}

async fn nothing_is_lost_and_nothing_comes_twice(database: Option<&str>) {
    let home = tempfile::tempdir().unwrap();
    let (data, store) = (home.path().join("board"), home.path().join("nats"));
    let secret = home.path().join("credentials");
    std::fs::write(&secret, "board:secret\n").unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("nats://127.0.0.1:{port}");
    let events = ["--events", &url, "--events-credentials", secret.to_str().unwrap()];

    let nats = Nats::start(&store, port);
    let server = Server::start_with(&data, database, &events);
    let mara = server.newcomer("Networks", "learner", "Mara Maier").await;
    let first = mara.made("e1", SSH);
    assert_eq!(server.submit(&first.envelope).await.0, 201);
    let held = nats.holds(1).await;
    let (subject, id, body) = &held[0];
    assert_eq!((subject.as_str(), body["id"].as_str()), ("forge.board.verdict", Some(first.id.as_str())));
    assert_eq!(*id, format!("{}-{}", first.id, body["established"].as_array().unwrap().len()));
    assert_eq!(body["tier"], "self-attested");
    assert!(!body.to_string().contains("Maier"), "a name left: {body}");

    // The same again is no event; more established is one.
    assert_eq!(server.submit(&first.envelope).await.0, 200);
    assert_eq!(server.submit_bundle(&first).await.0, 200);
    let held = nats.holds(2).await;
    assert_eq!(held.len(), 2, "{held:#?}");
    assert_eq!((held[1].0.as_str(), held[1].2["tier"].as_str()), ("forge.board.raised", Some("re-graded")));

    // NATS goes away; verdicts come and rise; then the board is killed as well, and comes back before NATS does.
    drop(nats);
    let (second, third) = (mara.made("e2", SSH), mara.made("e3", BOTH));
    for made in [&second, &third] {
        let began = Instant::now();
        assert_eq!(server.submit(&made.envelope).await.0, 201);
        assert!(began.elapsed() < Duration::from_secs(5), "intake waited for NATS");
    }
    assert_eq!(server.submit_bundle(&second).await.0, 200);
    server.kill9();
    let server = Server::start_with(&data, database, &events);
    let fourth = mara.made("e4", SSH);
    assert_eq!(server.submit_bundle(&fourth).await.0, 201);
    assert!(figure(&server, "forge_scoreboard_export_pending").await >= 3.0);
    assert_eq!(figure(&server, "forge_scoreboard_export_connected").await, 0.0);

    let nats = Nats::start(&store, port);
    let held = nats.holds(5).await;
    let ids: Vec<&str> = held.iter().map(|(_, _, body)| body["id"].as_str().unwrap()).collect();
    assert_eq!(ids, [&first.id, &first.id, &second.id, &third.id, &fourth.id], "in the order of acceptance, once each");
    assert_eq!(held[2].2["tier"], "re-graded", "what rose before it was told is told as it is");
    let end = Instant::now() + Duration::from_secs(20);
    while figure(&server, "forge_scoreboard_export_pending").await > 0.0 {
        assert!(Instant::now() < end, "something waits for ever");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(figure(&server, "forge_scoreboard_export_published_total").await, 3.0);
    assert_eq!(figure(&server, "forge_scoreboard_export_connected").await, 1.0);

    // A clean restart tells nothing again.
    drop(server);
    let server = Server::start_with(&data, database, &events);
    assert_eq!(server.submit(&mara.made("e5", SSH).envelope).await.0, 201);
    assert_eq!(nats.holds(6).await.len(), 6);
}

/// From its making to its end; NATS away and the board killed in the middle of it.
async fn a_session_is_told(database: Option<&str>) {
    let home = tempfile::tempdir().unwrap();
    let (data, store) = (home.path().join("board"), home.path().join("nats"));
    let secret = home.path().join("credentials");
    std::fs::write(&secret, "board:secret\n").unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("nats://127.0.0.1:{port}");
    let events = ["--events", &url, "--events-credentials", secret.to_str().unwrap()];

    // Nobody asked for events yet: none is written down.
    let server = Server::start(&data, database);
    let teacher = server.newcomer("Networks", "instructor", "Tilda Teach").await;
    let mara = server.newcomer("Networks", "learner", "Mara Maier").await;
    let wanted = |minutes: i64| json!({"title": "Monday", "labs": [LAB], "seeds": "per_learner", "deadline": now() + minutes * 60_000, "hints": true, "attempts": 2});
    assert_eq!(server.call("POST", "/v1/sessions", &teacher.token, wanted(60)).await.0, 201);
    drop(server);

    let nats = Nats::start(&store, port);
    let server = Server::start_with(&data, database, &events);
    connected(&server).await;
    let (status, session) = server.call("POST", "/v1/sessions", &teacher.token, wanted(60)).await;
    assert_eq!(status, 201, "{session}");
    let id = session["id"].as_str().unwrap().to_owned();
    let held = nats.holds(1).await;
    let (subject, message_id, body) = &held[0];
    assert_eq!((subject.as_str(), &body["session"]), ("forge.board.session.created", &session["id"]));
    assert_eq!((body["labs"].clone(), body["class"].as_str()), (json!([LAB]), Some("Networks")));
    assert_eq!(body["id"].as_str(), Some(message_id.as_str()));

    drop(nats);
    let join = json!({"code": session["join_code"]});
    for _ in 0..2 {
        assert_eq!(server.call("POST", "/v1/sessions/join", &mara.token, join.clone()).await.0, 200);
    }
    let say = json!({"text": "Mara Maier, look at port 80"});
    assert_eq!(server.call("POST", &format!("/v1/sessions/{id}/messages"), &teacher.token, say).await.0, 201);
    server.kill9();
    let server = Server::start_with(&data, database, &events);
    for frozen in [true, true, false] {
        let path = format!("/v1/sessions/{id}/freeze");
        assert_eq!(server.call("POST", &path, &teacher.token, json!({"frozen": frozen})).await.0, 200);
    }
    // One that is over in a moment, while the board is not running.
    let mut short = wanted(0);
    short["deadline"] = json!(now() + 1_500);
    short["grace_minutes"] = json!(0);
    let (status, short) = server.call("POST", "/v1/sessions", &teacher.token, short).await;
    assert_eq!(status, 201, "{short}");
    drop(server);
    tokio::time::sleep(Duration::from_millis(1_600)).await;

    let nats = Nats::start(&store, port);
    let server = Server::start_with(&data, database, &events);
    let held = nats.holds(7).await;
    let kinds: Vec<&str> = held.iter().map(|(s, ..)| s.strip_prefix("forge.board.session.").unwrap()).collect();
    assert_eq!(kinds, ["created", "joined", "message", "frozen", "unfrozen", "created", "closed"], "{held:#?}");
    assert_eq!(held[1].2["learner"].as_str(), Some(mara.enrolled.learner.as_str()));
    assert_eq!((&held[6].2["session"], &held[6].2["at"]), (&short["id"], &short["deadline"]));
    let seqs: Vec<i64> = held.iter().map(|(.., body)| body["seq"].as_i64().unwrap()).collect();
    assert_eq!(seqs, [1, 2, 3, 4, 5, 6, 7]);
    for name in ["Maier", "Tilda", "Monday", "port 80"] {
        assert!(!json!(held).to_string().contains(name), "{name} left");
    }

    // Nothing again after a clean restart, and the session that goes on is not closed.
    drop(server);
    let server = Server::start_with(&data, database, &events);
    connected(&server).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(nats.held().await.len(), 7);
    assert_eq!(figure(&server, "forge_scoreboard_export_pending").await, 0.0);
}

async fn connected(server: &Server) {
    let end = Instant::now() + Duration::from_secs(20);
    while figure(server, "forge_scoreboard_export_connected").await < 1.0 {
        assert!(Instant::now() < end, "the board did not reach NATS");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn figure(server: &Server, name: &str) -> f64 {
    let text = reqwest::get(format!("{}/metrics", server.url)).await.unwrap().text().await.unwrap();
    let line = text.lines().find(|l| l.starts_with(&format!("{name} "))).unwrap_or_else(|| panic!("no {name}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

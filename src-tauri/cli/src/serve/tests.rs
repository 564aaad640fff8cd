//! The server over real sockets, against an engine that answers little and remembers who asked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use super::door::{CSP, Door};
use super::{Server, listen, router};
use bytes::Bytes;
use forge_core::api::*;
use forge_core::error::{Code, Error, Result};
use forge_core::shell::{Exec, Host, Shellable};
use futures_util::stream::{self, BoxStream};
use futures_util::{SinkExt, StreamExt};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::{self, Message, client::IntoClientRequest};
use tokio_util::sync::CancellationToken;

#[derive(Default)]
struct Small {
    ready: bool,
    typed: Mutex<Vec<u8>>,
    callers: Mutex<Vec<Caller>>,
}

/// Answers that are written out, and a refusal for every other command of the contract.
macro_rules! small {
    (answers { $($answer:item)* } refuses { $($name:ident($req:ty) -> $res:ty;)* }) => {
        #[async_trait::async_trait]
        impl Commands for Small {
            $($answer)*
            $(async fn $name(&self, _: &Caller, _: $req) -> Result<$res> {
                Err(Error::new(Code::NotFound, concat!(stringify!($name), " is not part of this test")))
            })*
        }
    };
}

small! {
    answers {
        async fn get_settings(&self, caller: &Caller, _: Empty) -> Result<Settings> {
            self.callers.lock().unwrap().push(caller.clone());
            Ok(Settings::default())
        }
        async fn doctor(&self, _: &Caller, _: Empty) -> Result<DoctorReport> {
            let row = DoctorRow { id: "docker".into(), title: "Docker".into(), state: if self.ready { Health::Ok } else { Health::Fail }, detail: "secret detail".into(), why: String::new(), fix: None };
            Ok(DoctorReport { ready: self.ready, rows: vec![row] })
        }
        async fn list_labs(&self, _: &Caller, _: Empty) -> Result<Vec<LabSummary>> {
            let lab = |id: &str, track: &str| serde_json::from_value(serde_json::json!({
                "id": id, "origin": "built_in", "track": track, "tier": "t", "title": "", "summary": "", "topics": [], "objectives": [], "minutes": 1, "version": "1",
                "digest": "", "nodes": 1, "ready": true, "blockers": [], "best": null, "last_run": null, "active_run": null})).unwrap();
            Ok(vec![lab("ccna-b", "ccna"), lab("ccna-a", "ccna"), lab("netplus-a", "netplus")])
        }
        async fn start_lab(&self, caller: &Caller, r: StartLab) -> Result<RunSummary> {
            self.callers.lock().unwrap().push(caller.clone());
            Ok(serde_json::from_value(serde_json::json!({"run": "r1", "lab": r.lab, "lab_title": "", "track": "", "seed": "s", "request_id": r.request_id.unwrap_or_default(),
                "state": "starting", "reason": "", "created": 0, "deadline": null, "remaining_ms": null, "ready_ms": null, "last_check": null, "nodes": 1})).unwrap())
        }
    }
    refuses {
        about(Empty) -> About; get_lab(LabRequest) -> LabDetail; list_images(Empty) -> Vec<ImageInfo>; prepare_images(PrepareImages) -> Job;
        get_job(JobRequest) -> JobInfo; list_jobs(Empty) -> Vec<JobInfo>; cancel_job(JobRequest) -> Empty; list_runs(ListRuns) -> Vec<RunSummary>;
        get_run(RunRequest) -> RunDetail; stop_run(RunRequest) -> StopReport; stop_all(Empty) -> StopReport; pause_run(RunRequest) -> RunSummary;
        resume_run(RunRequest) -> RunSummary; extend_run(ExtendRun) -> RunSummary; restart_node(NodeRequest) -> Empty; check_run(CheckRun) -> CheckReport;
        watch_run(RunRequest) -> Empty; reveal_hint(RevealHint) -> HintInfo; submit_run(RunRequest) -> SubmitReport; solve_run(RunRequest) -> Empty;
        reexecute(Reexecute) -> Reexecuted;
        ask_reexecution(AskReexecution) -> ReexecutionJob; list_reexecutions(Empty) -> Vec<ReexecutionJob>;
        list_results(Empty) -> Vec<ResultSummary>; get_result(ResultRequest) -> ResultDetail; verify_result(VerifyRequest) -> VerifyReport;
        export_report(ResultRequest) -> Exported; history(HistoryRequest) -> History; open_terminal(OpenTerminal) -> TerminalInfo;
        list_terminals(RunRequest) -> Vec<TerminalInfo>; resize_terminal(ResizeTerminal) -> Empty; close_terminal(IdRequest) -> Empty;
        forward_port(ForwardPort) -> Forward; list_forwards(RunRequest) -> Vec<Forward>; close_forward(IdRequest) -> Empty;
        list_gates(Empty) -> Gates; list_decisions(ListDecisions) -> DecisionPage; get_decision(DecisionRequest) -> DecisionDetail;
        try_gate(TryGate) -> GateAnswer; verify_audit(Empty) -> AuditReport; list_audit(ListAudit) -> AuditPage;
        probe_isolation(ProbeIsolation) -> Vec<IsolationRow>; get_quota(Empty) -> QuotaReport; block_subject(BlockSubject) -> BlockReport;
        unblock_subject(SubjectRequest) -> Empty; pin_lab(LabRequest) -> Pinned; list_events(ListEvents) -> Vec<Event>; set_settings(Settings) -> Settings;
        list_egress(Empty) -> Vec<EgressProfile>; approve_egress(ApproveEgress) -> EgressProfile;
        sync_status(Empty) -> SyncStatus; enrol_board(EnrolBoard) -> SyncStatus; unenrol_board(Empty) -> SyncStatus;
        sync_now(SyncNow) -> SyncReport; preview_sync(Empty) -> SyncPreview; create_session(CreateSession) -> SessionInfo; join_session(JoinSession) -> SessionInfo;
        session_status(SessionRequest) -> SessionState; take_challenge(TakeChallenge) -> StartLab;
        list_sessions(Empty) -> SessionList; session_board(WatchBoard) -> LiveBoard; session_messages(SessionRequest) -> Vec<SessionMessage>; say_session(SayToSession) -> SessionMessage;
        keys_status(Empty) -> KeysStatus; unlock_keys(UnlockKeys) -> KeysStatus; protect_keys(ProtectKeys) -> KeysStatus; rotate_key(RotateKey) -> KeyRotated;
        freeze_session(FreezeSession) -> SessionInfo; export_session(ExportSession) -> Exported; run_session(RunRequest) -> RunSession;
        session_attempts(SessionRequest) -> Vec<LabAttempts>;
    }
}

#[async_trait::async_trait]
impl Shellable for Small {
    fn events(&self, run: Option<String>, since: i64) -> BoxStream<'static, Event> {
        let event = move |seq| Event {
            seq,
            at: 0,
            correlation: "c".into(),
            run: run.clone(),
            kind: "log".into(),
            level: Level::Info,
            text: String::new(),
            data: serde_json::Value::Null,
        };
        stream::iter((since + 1..=since + 3).map(event).collect::<Vec<_>>()).boxed()
    }
    async fn telemetry(&self, run: &str) -> Result<BoxStream<'static, Telemetry>> {
        Err(Error::new(Code::UnknownRun, format!("There is no run “{run}”.")))
    }
    async fn terminal(&self, _: &str, from: u64) -> Result<BoxStream<'static, TerminalFrame>> {
        let first = TerminalFrame::Output { offset: from, bytes: Bytes::from_static(b"\xff\x00ok") };
        Ok(stream::iter([first]).chain(stream::pending()).boxed())
    }
    async fn terminal_write(&self, _: &str, bytes: Bytes) -> Result<()> {
        self.typed.lock().unwrap().extend_from_slice(&bytes);
        Ok(())
    }
    async fn wait_ready(&self, _: &str, _: Duration) -> Result<RunDetail> {
        Err(Error::new(Code::NotFound, "no"))
    }
    async fn exec(&self, _: &Caller, _: &str, _: &str, _: Vec<String>, _: Option<Bytes>) -> Result<Exec> {
        Err(Error::new(Code::NotFound, "no"))
    }
    async fn shutdown(&self) {}
}

/// Locked until the word is said.
struct Keyhole {
    engine: Arc<Small>,
    locked: Mutex<bool>,
}

fn told(locked: bool) -> KeysStatus {
    KeysStatus { locked, kept: None, os: false, wait_ms: 0, keys: Vec::new() }
}

#[async_trait::async_trait]
impl Host for Keyhole {
    async fn engine(&self) -> Result<Arc<dyn Shellable>> {
        if *self.locked.lock().unwrap() { Err(Error::new(Code::KeysLocked, "locked")) } else { Ok(self.engine.clone()) }
    }
    async fn keys_status(&self) -> Result<KeysStatus> {
        Ok(told(true))
    }
    async fn unlock(&self, request: UnlockKeys) -> Result<KeysStatus> {
        let said = request.passphrase.map(Secret::into_text);
        if said.is_none_or(|said| *said != "sesame") {
            return Err(Error::new(Code::KeyUnavailable, "wrong"));
        }
        *self.locked.lock().unwrap() = false;
        Ok(told(false))
    }
}

struct Site {
    engine: Arc<Small>,
    server: Arc<Server>,
    address: SocketAddr,
    ended: tokio::task::JoinHandle<()>,
}

impl Site {
    async fn open(ready: bool) -> Self {
        Self::with(ready, false).await
    }

    async fn with(ready: bool, locked: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let engine = Arc::new(Small { ready, ..Small::default() });
        let closing = CancellationToken::new();
        let server = Arc::new(Server {
            host: Arc::new(Keyhole { engine: engine.clone(), locked: Mutex::new(locked) }),
            instructor: false,
            door: Door::new(address, &["lab.example".into()]),
            health: Default::default(),
            closing: closing.clone(),
        });
        let router = router(server.clone());
        let ended =
            tokio::spawn(
                async move { listen::serve(listener, router, async move { closing.cancelled().await }).await },
            );
        Self { engine, server, address, ended }
    }

    /// Status, head and body of one request, written by hand so that every header is ours to choose.
    async fn ask(&self, line: &str, headers: &[(&str, &str)], body: &str) -> (u16, String, String) {
        let mut text = format!("{line} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
        if !headers.iter().any(|(name, _)| *name == "Host") {
            text.push_str(&format!("Host: {}\r\n", self.address));
        }
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        // A server that refuses early may not read all of it.
        let _ = socket.write_all(format!("{text}\r\n{body}").as_bytes()).await;
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer).await;
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), head.to_ascii_lowercase(), body.to_owned())
    }

    fn bearer(&self) -> String {
        format!("Bearer {}", self.server.door.api_token())
    }

    async fn call(&self, name: &str, extra: &[(&str, &str)], body: &str) -> (u16, String, String) {
        let bearer = self.bearer();
        let mut headers = vec![("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
        headers.extend_from_slice(extra);
        self.ask(&format!("POST /api/call/{name}"), &headers, body).await
    }

    async fn socket(
        &self,
        request: &str,
        cookie: Option<&str>,
        origin: Option<&str>,
    ) -> Result<tokio_tungstenite::WebSocketStream<TcpStream>, tungstenite::Error> {
        let encoded: String = request.bytes().map(|b| format!("%{b:02x}")).collect();
        let mut ask = format!("ws://{}/api/stream?request={encoded}", self.address).into_client_request().unwrap();
        match cookie {
            Some(cookie) => ask.headers_mut().insert("cookie", cookie.parse().unwrap()),
            None => ask.headers_mut().insert("authorization", self.bearer().parse().unwrap()),
        };
        if let Some(origin) = origin {
            ask.headers_mut().insert("origin", origin.parse().unwrap());
        }
        let stream = TcpStream::connect(self.address).await.unwrap();
        tokio_tungstenite::client_async(ask, stream).await.map(|(socket, _)| socket)
    }
}

fn code(body: &str) -> Code {
    serde_json::from_str::<Error>(body).unwrap_or_else(|e| panic!("{e}: {body}")).code
}

#[tokio::test]
async fn the_one_time_address_lets_one_browser_in() {
    let site = Site::open(true).await;
    let (status, ..) = site.ask("POST /api/call/get_settings", &[("Content-Type", "application/json")], "{}").await;
    assert_eq!(status, 401);
    let url = site.server.door.url();
    let path = url.split_once(&site.address.to_string()).unwrap().1;
    let (status, head, _) = site.ask(&format!("GET {path}"), &[], "").await;
    assert_eq!(status, 303);
    let cookie = head.lines().find_map(|l| l.strip_prefix("set-cookie: ")).unwrap();
    assert!(cookie.contains("httponly") && cookie.contains("samesite=strict"), "{cookie}");
    let pair = cookie.split(';').next().unwrap();
    let (status, _, body) =
        site.ask("POST /api/call/get_settings", &[("Cookie", pair), ("Content-Type", "application/json")], "{}").await;
    assert_eq!((status, serde_json::from_str::<Settings>(&body).unwrap()), (200, Settings::default()));
    let (status, head, _) = site.ask(&format!("GET {path}"), &[], "").await;
    assert_eq!(status, 403, "a second use lets nobody in");
    assert!(!head.contains("set-cookie"));
    let forged = format!("{}=00", super::door::COOKIE);
    assert_eq!(site.ask("POST /api/call/get_settings", &[("Cookie", &forged)], "").await.0, 401);
}

#[tokio::test]
async fn foreign_names_and_origins_are_refused() {
    let site = Site::open(true).await;
    let port = site.address.port();
    for host in ["evil.example", &format!("evil.example:{port}"), "127.0.0.1:1", "", "127.0.0.1.evil.example"] {
        assert_eq!(site.call("get_settings", &[("Host", host)], "{}").await.0, 403, "{host:?}");
    }
    for host in [format!("localhost:{port}"), format!("[::1]:{port}"), "lab.example".into(), "LAB.example:8443".into()]
    {
        assert_eq!(site.call("get_settings", &[("Host", &host)], "{}").await.0, 200, "{host:?}");
    }
    for origin in ["https://evil.example", "null", "http://localhost:1", &format!("https://{}", site.address)] {
        let (status, _, body) = site.call("get_settings", &[("Origin", origin)], "{}").await;
        assert_eq!((status, code(&body)), (403, Code::Denied), "{origin}");
        assert!(site.socket(r#"{"stream":"events","since":0}"#, None, Some(origin)).await.is_err(), "{origin}");
    }
    let own = format!("http://{}", site.address);
    assert_eq!(site.call("get_settings", &[("Origin", &own)], "{}").await.0, 200);
    assert_eq!(site.call("get_settings", &[("Sec-Fetch-Site", "cross-site")], "{}").await.0, 403);
    let followed = [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate")];
    assert_ne!(site.ask("GET /", &followed, "").await.0, 403, "a link from elsewhere may lead here");
}

#[tokio::test]
async fn every_answer_keeps_pages_to_themselves_and_carries_its_correlation() {
    let site = Site::open(true).await;
    assert!(!CSP.contains("unsafe"));
    let (_, head, _) = site.call("get_settings", &[("X-Correlation-Id", "click-7")], "{}").await;
    assert!(head.contains(&format!("content-security-policy: {}", CSP.to_ascii_lowercase())), "{head}");
    assert!(
        head.contains("x-correlation-id: click-7")
            && head.contains("x-frame-options: deny")
            && head.contains("cache-control: no-store")
    );
    assert_eq!(site.engine.callers.lock().unwrap()[0].correlation, "click-7");
    let (_, head, _) = site.call("get_settings", &[("X-Correlation-Id", "not one\tof ours")], "{}").await;
    assert!(head.contains("x-correlation-id: ") && !head.contains("not one"));
    let (status, head, _) = site.ask("GET /", &[("Host", "evil.example")], "").await;
    assert!(status == 403 && head.contains("content-security-policy"), "refusals too");
}

#[test]
fn the_window_has_the_same_policy_plus_its_ipc() {
    let conf = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tauri.conf.json")).unwrap();
    let conf: serde_json::Value = serde_json::from_str(&conf).unwrap();
    let theirs = conf["app"]["security"]["csp"].as_str().unwrap();
    assert_eq!(theirs.replace(" ipc: http://ipc.localhost", ""), CSP);
}

#[tokio::test]
async fn calls_answer_with_the_contracts_own_errors() {
    let site = Site::open(true).await;
    let cases = [
        ("no_such", "{}", 404, Code::UnknownCommand),
        ("get_run", r#"{"run":1}"#, 400, Code::InvalidInput),
        ("get_run", "{", 400, Code::InvalidInput),
        ("get_run", r#"{"run":"x"}"#, 404, Code::NotFound),
        ("solve_run", r#"{"run":"x"}"#, 403, Code::Denied),
    ];
    for (name, body, want, what) in cases {
        let (status, _, answer) = site.call(name, &[], body).await;
        assert_eq!((status, code(&answer)), (want, what), "{name} {body}");
    }
    let form = site
        .ask("POST /api/call/get_settings", &[("Authorization", &site.bearer()), ("Content-Type", "text/plain")], "{}")
        .await;
    assert_eq!((form.0, code(&form.2)), (400, Code::InvalidInput));
    let large = format!("\"{}\"", "x".repeat(super::BODY_LIMIT));
    assert_eq!(site.call("get_settings", &[], &large).await.0, 413);
    let (status, _, answer) = site.ask("GET /api/nothing", &[("Authorization", &site.bearer())], "").await;
    assert_eq!((status, code(&answer)), (404, Code::NotFound));
}

#[tokio::test]
async fn spawn_takes_a_lab_or_a_track_at_both_addresses() {
    let site = Site::open(true).await;
    let bearer = site.bearer();
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    for path in ["/api/spawn", "/v1/spawn"] {
        let (status, _, body) =
            site.ask(&format!("POST {path}"), &headers, r#"{"track":"ccna","request_id":"q"}"#).await;
        let run: RunSummary = serde_json::from_str(&body).unwrap();
        assert_eq!((status, run.lab.as_str(), run.request_id.as_str()), (202, "ccna-a", "q"));
    }
    for (body, want) in [
        ("{}", 400),
        (r#"{"track":"none"}"#, 404),
        (r#"{"lab":"a","track":"ccna"}"#, 400),
        (r#"{"lab":"a","x":1}"#, 400),
    ] {
        assert_eq!(site.ask("POST /api/spawn", &headers, body).await.0, want, "{body}");
    }
    assert_eq!(site.ask("POST /v1/spawn", &headers[1..], r#"{"lab":"a"}"#).await.0, 401);
}

#[tokio::test]
async fn health_tells_the_truth_and_no_details() {
    for (ready, want) in [(true, 200), (false, 503)] {
        let site = Site::open(ready).await;
        assert_eq!(site.ask("GET /healthz", &[], "").await.0, 200);
        let (status, _, body) = site.ask("GET /readyz", &[], "").await;
        assert_eq!(status, want, "{body}");
        assert!(body.contains("docker") && !body.contains("secret"), "{body}");
    }
}

#[tokio::test]
async fn streams_carry_events_as_text_and_terminals_as_bytes_both_ways() {
    let site = Site::open(true).await;
    let mut events = site.socket(r#"{"stream":"events","since":41}"#, None, None).await.unwrap();
    let mut seen = Vec::new();
    while let Some(Ok(message)) = events.next().await {
        match message {
            Message::Text(text) => seen.push(serde_json::from_str::<Event>(&text).unwrap().seq),
            Message::Close(frame) => assert_eq!(u16::from(frame.unwrap().code), 4000),
            _ => {}
        }
    }
    assert_eq!(seen, [42, 43, 44]);

    let mut terminal = site.socket(r#"{"stream":"terminal","id":"t","from":7}"#, None, None).await.unwrap();
    let frame = loop {
        if let Message::Binary(bytes) = terminal.next().await.unwrap().unwrap() {
            break bytes;
        }
    };
    assert_eq!(&frame[..], b"\x00\x00\x00\x00\x00\x00\x00\x00\x07\xff\x00ok");
    terminal.send(Message::binary(b"ls\xc3\xa4\r".to_vec())).await.unwrap();
    tokio::time::timeout(Duration::from_secs(5), async {
        while *site.engine.typed.lock().unwrap() != b"ls\xc3\xa4\r" {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("the keys arrive");

    let mut refused = site.socket(r#"{"stream":"telemetry","run":"zz"}"#, None, None).await.unwrap();
    let Some(Ok(Message::Close(Some(frame)))) = refused.next().await else { panic!("the refusal is said") };
    assert_eq!(u16::from(frame.code), 4001);
    assert!(frame.reason.contains("zz"));
    assert!(
        site.socket(r#"{"stream":"events","since":0}"#, Some("forge_session=00"), None).await.is_err(),
        "no session, no stream"
    );
}

#[tokio::test]
async fn closing_ends_open_streams_and_the_server() {
    let site = Site::open(true).await;
    let mut terminal = site.socket(r#"{"stream":"terminal","id":"t","from":0}"#, None, None).await.unwrap();
    assert!(terminal.next().await.unwrap().is_ok());
    site.server.closing.cancel();
    let mut last = None;
    while let Some(Ok(message)) = terminal.next().await {
        last = Some(message);
    }
    let Some(Message::Close(Some(frame))) = last else { panic!("{last:?}") };
    assert_eq!(u16::from(frame.code), 1001);
    drop(terminal);
    tokio::time::timeout(Duration::from_secs(10), site.ended).await.unwrap().unwrap();
}

#[tokio::test]
async fn while_the_keys_are_locked_two_commands_are_answered() {
    let site = Site::with(true, true).await;
    let (status, _, body) = site.call("list_labs", &[], "{}").await;
    assert_eq!((status, body.contains("\"keys_locked\"")), (423, true), "{body}");
    for path in ["/healthz", "/readyz"] {
        let (status, _, body) = site.ask(&format!("GET {path}"), &[], "").await;
        assert_eq!((status, body.contains("keys_locked")), (503, true), "{body}");
    }
    assert!(site.call("keys_status", &[], "{}").await.2.contains("\"locked\":true"));
    // Whoever was not let in may not guess.
    let json = [("Content-Type", "application/json")];
    assert_eq!(site.ask("POST /api/call/unlock_keys", &json, r#"{"passphrase":"sesame"}"#).await.0, 401);
    let (status, _, body) = site.call("unlock_keys", &[], r#"{"passphrase":"no"}"#).await;
    assert_eq!((status, body.contains("key_unavailable")), (500, true), "{body}");
    assert_eq!(site.call("unlock_keys", &[], r#"{"passphrase":"sesame"}"#).await.0, 200);
    assert_eq!(site.call("list_labs", &[], "{}").await.0, 200);
}

/// Half a head, a head without its body, and nothing at all: each is let go, while others are served.
#[tokio::test]
async fn a_client_that_stays_silent_is_let_go() {
    let site = Site::open(true).await;
    let head = format!("POST /api/call/get_settings HTTP/1.1\r\nHost: {}\r\n", site.address);
    let rest =
        format!("Authorization: {}\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{{", site.bearer());
    for (said, status) in [(String::new(), None), (head.clone(), None), (format!("{head}{rest}"), Some("408"))] {
        let mut socket = TcpStream::connect(site.address).await.unwrap();
        socket.write_all(said.as_bytes()).await.unwrap();
        assert_eq!(site.call("get_settings", &[], "{}").await.0, 200);
        let mut answer = Vec::new();
        let gone = tokio::time::timeout(listen::PATIENCE * 5, async {
            // To the answer's end, or to the connection's: after an answer it may be used again.
            let mut piece = [0; 4096];
            while let Ok(n @ 1..) = socket.read(&mut piece).await {
                answer.extend_from_slice(&piece[..n]);
            }
        });
        gone.await.unwrap_or_else(|_| panic!("still open after {said:?}"));
        let answer = String::from_utf8(answer).unwrap();
        if let Some(status) = status {
            assert_eq!(answer.split(' ').nth(1), Some(status), "{answer}");
        }
    }
}

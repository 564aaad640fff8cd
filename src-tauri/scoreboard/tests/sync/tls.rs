//! Certificates that are not to be believed, each told as what it is.
use crate::learner::*;
use crate::support::*;
use forge_core::error::Error;
use forge_core::http::Trust;
use forge_core::store::sync as rows;
use forge_core::sync::enrol::{Wanted, enrol};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// `openssl s_server` with this certificate: it speaks TLS, and is no scoreboard.
struct Shown {
    child: Child,
    url: String,
}

impl Shown {
    fn at(dir: &Path, name: &str) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new("openssl")
            .args(["s_server", "-www", "-quiet", "-accept", &format!("127.0.0.1:{port}")])
            .args(["-cert", &format!("{name}.pem"), "-key", "key.pem"])
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let end = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < end, "openssl does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { child, url: format!("https://127.0.0.1:{port}") }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn openssl(dir: &Path, args: &str) {
    let out = Command::new("openssl").args(args.split(' ')).current_dir(dir).output().unwrap();
    assert!(out.status.success(), "openssl {args}: {}", String::from_utf8_lossy(&out.stderr));
}

/// A school's authority, and certificates that it signed: one for each thing that can be wrong.
fn school(dir: &Path) {
    let names = [("good", "IP:127.0.0.1"), ("named", "DNS:board.example"), ("over", "IP:127.0.0.1")];
    let ec = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    for authority in ["school", "other"] {
        let made =
            format!("req -x509 {ec} -days 30 -subj /CN={authority} -keyout {authority}.key -out {authority}.pem");
        openssl(dir, &made);
    }
    openssl(dir, &format!("req -new {ec} -subj /CN=board -keyout key.pem -out board.csr"));
    for (name, san) in names {
        std::fs::write(dir.join("ext"), format!("subjectAltName={san}\nbasicConstraints=critical,CA:FALSE\n")).unwrap();
        let days = if name == "over" { -1 } else { 30 };
        let signed = "x509 -req -in board.csr -CA school.pem -CAkey school.key -CAcreateserial -extfile ext";
        openssl(dir, &format!("{signed} -days {days} -out {name}.pem"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_not_believed_is_told_as_what_it_is() {
    let dir = tempfile::tempdir().unwrap();
    school(dir.path());
    let mara = Learner::new();
    mara.submit("run-a").await;
    let shown = async |name: &str, authority: &str| -> (Error, Shown) {
        let server = Shown::at(dir.path(), name);
        let ca = Some(std::fs::read_to_string(dir.path().join(authority)).unwrap());
        let trust = Trust { ca, clear_text: false };
        let wanted = Wanted { url: server.url.clone(), code: "X".into(), name: "Mara".into(), trust };
        (enrol(&wanted, &mara.laptop.keys, &[], now).await.unwrap_err(), server)
    };
    let (e, good) = shown("good", "school.pem").await;
    assert_eq!(e.details["code"], "unreadable", "the certificate holds, and no scoreboard answers: {e:?}");
    let cases = [
        ("good", "other.pem", "signed by nobody", "--ca FILE"),
        ("named", "school.pem", "is for board.example, not for this address", "address that your instructor gave"),
        ("over", "school.pem", "has expired, by this machine’s clock", "clock right"),
    ];
    for (name, authority, words, hint) in cases {
        let (e, _server) = shown(name, authority).await;
        assert_eq!(e.details["code"], "untrusted", "{name}: {e:?}");
        assert!(e.message.contains(words) && e.hints[0].contains(hint), "{name}: {e:?}");
    }
    // A certificate that changes after enrolment: what waits is kept, and the words say what to do.
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("board"), None);
    let board = mara.enrol(&server, "N").await;
    let ca = Some(std::fs::read_to_string(dir.path().join("other.pem")).unwrap());
    mara.keep(&rows::Board { url: good.url.clone(), ca, ..board.clone() }).await;
    let told = mara.sync().await;
    assert_eq!((stopped(&told), mara.pending().await), ("untrusted", 1), "{told:?}");
    assert!(told.stopped.as_ref().unwrap().1.contains("--ca FILE"), "{told:?}");
    mara.keep(&board).await;
    assert_eq!(mara.sync().await.accepted.len(), 1);
}

/// Another certificate or address of the same scoreboard is enrolled again, and costs nothing that the laptop had.
#[tokio::test(flavor = "multi_thread")]
async fn enrolled_again_at_the_same_scoreboard_everything_goes_on() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("board"), None);
    let other = tempfile::tempdir().unwrap();
    let elsewhere = Server::start(&other.path().join("board"), None);
    let mara = Learner::new();
    let first = mara.enrol(&server, "N").await;
    let second = mara.enrol(&server, "N").await;
    assert_eq!((&second.learner, &second.class, &second.root), (&first.learner, &first.class, &first.root));
    let counts = |token: &str| {
        let token = token.to_owned();
        let server = &server;
        async move {
            code(&server.call("POST", "/v1/sessions/join", &token, serde_json::json!({"code": "X"})).await.1)
                == "code_unknown"
        }
    };
    assert!(counts(&first.token).await && counts(&second.token).await);
    // Also when its key has changed since, which the old one vouches for.
    assert_eq!(server.call("POST", "/v1/keys/rotate", &server.admin, serde_json::json!({})).await.0 / 100, 2);
    let third = mara.enrol(&server, "N").await;
    assert_eq!((&third.learner, &third.root, &third.keys), (&first.learner, &first.root, &first.keys));
    // A code of another class gives no token; the one that is here still counts.
    let fourth = mara.enrol(&server, "Other").await;
    assert_eq!((&fourth.token, &fourth.class), (&third.token, &first.class));
    let away = mara.enrol(&elsewhere, "N").await;
    assert!(away.token != first.token && !away.token.is_empty() && away.root != first.root);
    let back = mara.enrol(&server, "N").await;
    assert_eq!((&back.token, &back.root), (&first.token, &first.root), "each scoreboard has its own");
}

//! `forge serve` with nobody at its terminal: it starts into locked keys, and whoever was let in opens them over HTTP.

use crate::desk::{Desk, until};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};

struct Served {
    child: Child,
    address: String,
    token: String,
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended by itself, which the test has seen then.
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }
}

impl Served {
    fn start(desk: &Desk) -> Self {
        let mut command = desk.command(env!("CARGO_BIN_EXE_forge"));
        command.args(["--json", "serve", "--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let told: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"));
        let url = told["url"].as_str().unwrap();
        let address = url.trim_start_matches("http://").split('/').next().unwrap().to_owned();
        Self { child, address, token: told["token"].as_str().unwrap().to_owned() }
    }

    fn call(&self, name: &str, body: &Value) -> (u16, Value) {
        let body = body.to_string();
        let mut socket = TcpStream::connect(&self.address).unwrap();
        let head = format!(
            "POST /api/call/{name} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
             Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            self.token,
            body.len()
        );
        socket.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), serde_json::from_str(body).unwrap())
    }
}

#[test]
fn a_server_asks_for_the_passphrase_and_hands_it_to_its_keeper() {
    let mut desk = Desk::bare();
    let home = desk.home.path().join("forge");
    let phrase = "four words of mine";
    let file = desk.file("phrase", phrase);
    desk.vars.push(("FORGE_HOME".into(), home.display().to_string()));
    desk.vars.push(("FORGE_LABS".into(), concat!(env!("CARGO_MANIFEST_DIR"), "/tests/labs").into()));
    desk.vars.push(("RUST_LOG".into(), "trace".into()));
    desk.forge(&["results"]).ok();
    desk.forge(&["keys", "protect", "--passphrase", "--new-passphrase-file", &file]).ok();
    let mut served = Served::start(&desk);
    let (status, told) = served.call("list_labs", &serde_json::json!({}));
    assert_eq!((status, told["code"].as_str()), (423, Some("keys_locked")));
    let wrong = "four words of yours";
    let (status, told) = served.call("unlock_keys", &serde_json::json!({"passphrase": wrong}));
    assert_eq!((status, told["details"]["kind"].as_str()), (500, Some("passphrase_wrong")));
    let right = serde_json::json!({"passphrase": phrase});
    assert_eq!(served.call("unlock_keys", &right).1["details"]["kind"], "too_soon");
    until("it is looked at again", || served.call("unlock_keys", &right).0 == 200);
    let (status, labs) = served.call("list_labs", &serde_json::json!({}));
    assert_eq!((status, labs.as_array().unwrap().is_empty()), (200, false));
    // What it leaves behind holds the keys as well: a passphrase that was typed goes the way of one from a file.
    let (status, told) =
        served.call("start_lab", &serde_json::json!({"lab": "one-link", "request_id": null, "seed": null}));
    assert_eq!(status, 200, "{told}");
    let run = told["run"].as_str().unwrap().to_owned();
    let state = || served.call("get_run", &serde_json::json!({"run": run})).1["run"]["state"].clone();
    until("the lab is ready", || state() == "ready");
    let id = served.child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    // Ended by itself: it closes, and leaves a keeper behind.
    assert!(served.child.wait().unwrap().success());
    let kept = || std::fs::File::open(home.join("keeper.lock")).is_ok_and(|f| f.try_lock_shared().is_err());
    until("somebody keeps", kept);
    desk.forge(&["--passphrase-file", &file, "stop", &run]).ok();
    until("nobody keeps any more", || !kept());
    // No log and no table repeats what was typed.
    let mut left = Vec::new();
    crate::quiet::files(&home, &mut left);
    assert!(left.iter().any(|p| p.starts_with(home.join("logs"))));
    for path in left {
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            // The keeper has let go of its lock and clears up as it ends.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(e) => panic!("{}: {e}", path.display()),
        };
        for text in [phrase, wrong] {
            assert!(!bytes.windows(text.len()).any(|w| w == text.as_bytes()), "{text} is in {}", path.display());
        }
    }
}

#[test]
fn a_store_that_is_locked_lets_a_server_start_and_is_asked_again() {
    let mut desk = Desk::with_keyring();
    desk.forge(&["results"]).ok();
    let id = desk.id();
    desk.end_keyring();
    desk.start_keyring(false);
    let served = Served::start(&desk);
    let (status, told) = served.call("keys_status", &serde_json::json!({}));
    assert_eq!((status, &told["locked"], &told["kept"]["place"]), (200, &true.into(), &"os".into()));
    assert_eq!(served.call("about", &serde_json::json!({})).0, 423);
    desk.end_keyring();
    desk.start_keyring(true);
    let (status, told) = served.call("unlock_keys", &serde_json::json!({"passphrase": null}));
    assert_eq!((status, told["keys"][0]["id"].as_str()), (200, Some(id.as_str())), "{told}");
    assert_eq!(served.call("about", &serde_json::json!({})).1["key_id"], id.as_str());
}

#[test]
fn a_key_is_replaced_and_what_the_old_one_signed_stays_good() {
    let desk = Desk::bare();
    desk.forge(&["results"]).ok();
    let before = desk.id();
    let told = desk.forge(&["keys", "rotate"]).ok();
    assert_eq!(
        (told["name"].as_str(), told["old"].as_str(), told["board"].as_str()),
        (Some("learner"), Some(before.as_str()), Some("not_needed"))
    );
    assert_eq!(told["new"].as_str(), Some(desk.id().as_str()));
    let other = desk.forge(&["keys", "rotate", "spawn"]).ok();
    assert_ne!(other["old"], other["new"]);
    assert_eq!(desk.forge(&["keys", "rotate", "board"]).output.status.code(), Some(2));
    // The log tells of it, and its checkpoints under the old key still verify.
    let audit = desk.forge(&["audit", "list"]).ok().to_string();
    assert!(audit.contains("keys.rotate") && audit.contains(told["new"].as_str().unwrap()), "{audit}");
    assert_eq!(desk.forge(&["audit", "verify"]).ok()["ok"], true);
}

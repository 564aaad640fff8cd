//! Kill -9 of either side in the middle of a sync.
use crate::learner::*;
use crate::support::*;
use forge_core::store::sync as rows;
use std::time::Duration;

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

/// Envelopes, which come together, and evidence, which follows.
async fn arrived(server: &Server) -> i64 {
    let stats = server.get("/v1/stats").await.1;
    stats["verdicts"].as_i64().unwrap() + stats["by_tier"]["re-graded"].as_i64().unwrap_or(0)
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
        let before = arrived(&server).await;
        let end = std::time::Instant::now() + Duration::from_secs(20);
        while arrived(&server).await == before && sync.try_wait().unwrap().is_none() {
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

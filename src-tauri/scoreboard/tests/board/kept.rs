//! What is acknowledged stays: after kill -9, and in a backup, also in one of an older version.
use crate::support::*;
use forge_scoreboard::bench::workshop::Wish;
use forge_scoreboard::store::Target;
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// kill -9 under load: every acknowledged verdict is there afterwards.
pub async fn killed(server: Server, mara: &Person) -> Server {
    let many: Vec<_> = (0..400).map(|i| mara.made(&format!("load-{i}"), SSH)).collect();
    let before = server.get("/v1/stats").await.1["verdicts"].as_i64().unwrap();
    let (many, stop) = (Arc::new(many), Arc::new(AtomicBool::new(false)));
    let mut tasks = Vec::new();
    for lane in 0..8 {
        let (many, stop, url) = (many.clone(), stop.clone(), server.url.clone());
        tasks.push(tokio::spawn(async move {
            let c = reqwest::Client::new();
            let mut acknowledged = Vec::new();
            for made in many.iter().skip(lane).step_by(8) {
                let sent = c
                    .post(format!("{url}/v1/verdicts"))
                    .header("content-type", "application/json")
                    .body(made.envelope.clone())
                    .send()
                    .await;
                match sent {
                    Ok(r) if r.status() == 201 => acknowledged.push(made.id.clone()),
                    Ok(r) => panic!("{}", r.status()),
                    Err(_) => assert!(stop.load(Ordering::SeqCst), "it failed before the kill"),
                }
            }
            acknowledged
        }));
    }
    // In the middle of it, however fast the machine is.
    let end = std::time::Instant::now() + Duration::from_secs(30);
    while server.get("/v1/stats").await.1["verdicts"].as_i64().unwrap() < before + 40 {
        assert!(std::time::Instant::now() < end, "nothing is stored");
    }
    stop.store(true, Ordering::SeqCst);
    let (data, database) = (server.data.clone(), server.database.clone());
    server.kill9();
    let mut acknowledged = Vec::new();
    for task in tasks {
        acknowledged.extend(task.await.unwrap());
    }
    assert!(!acknowledged.is_empty() && acknowledged.len() < many.len(), "{} of {}", acknowledged.len(), many.len());
    let server = Server::start(&data, database.as_deref());
    for id in &acknowledged {
        assert_eq!(server.get(&format!("/v1/verdicts/{id}")).await.0, 200, "{id} was acknowledged and is lost");
    }
    println!("killed: {} acknowledged, none lost", acknowledged.len());
    server
}

/// To a folder and back into another database, where every verdict is verified again.
pub fn backed_up(server: &Server, other: Option<&str>, home: &Path, count: i64) {
    let (ok, verified) = server.cli(&["verify-all"]);
    assert!(ok && verified["verdicts"] == count, "{verified}");
    // The labs are those that were served, so that everything was held against its template.
    assert!(verified["bundles"].as_i64().unwrap() >= 3 && verified["held"] == verified["bundles"], "{verified}");
    let nowhere = home.join("no-labs");
    std::fs::create_dir(&nowhere).unwrap();
    let (ok, bare) = server.cli(&["verify-all", "--labs", nowhere.to_str().unwrap()]);
    assert!(ok && bare["held"] == 0, "without the labs nothing can be held against them: {bare}");
    let (ok, gone) = server.cli(&["verify-all", "--labs", home.join("gone").to_str().unwrap()]);
    assert!(!ok && gone["error"]["code"] == "not_found", "{gone}");
    let folder = home.join("backup");
    let (ok, said) = server.cli(&["backup", "--to", folder.to_str().unwrap()]);
    assert!(ok, "{said}");
    let new = home.join("restored");
    let (ok, restored) = cli(&["restore", "--from", folder.to_str().unwrap()], &new, other);
    assert!(ok && restored["verdicts"] == count && restored["held"] == verified["held"], "{restored}");
    let again = home.join("backup-of-restored");
    assert!(cli(&["backup", "--to", again.to_str().unwrap()], &new, other).0);
    let rows = |f: &Path| zstd::decode_all(std::fs::File::open(f.join("rows.jsonl.zst")).unwrap()).unwrap();
    assert_eq!(rows(&folder), rows(&again), "a restored board is the same board");
    // A damaged bundle does not go unnoticed.
    let mut shelves = std::fs::read_dir(new.join("evidence")).unwrap();
    // A shelf may be empty: the bundle of a refused verdict was on it.
    let file =
        shelves.find_map(|shelf| std::fs::read_dir(shelf.unwrap().path()).unwrap().next()).unwrap().unwrap().path();
    std::fs::write(&file, b"x").unwrap();
    let (ok, found) = cli(&["verify-all"], &new, other);
    assert!(!ok && found["problems"].as_array().unwrap().len() == 1, "{found}");
}

/// A backup that version 3 made is restored by the command, and its database brought up to date where it lies.
pub async fn from_before(database: Option<&str>, others: [Option<&str>; 2]) {
    let home = tempfile::tempdir().unwrap();
    let (data, folder) = (home.path().join("board"), home.path().join("backup"));
    let server = Server::start(&data, database);
    let mara = server.newcomer("Networks", "learner", "Mara").await;
    let (bare, whole) = (mara.made("bare", SSH), mara.made("whole", BOTH));
    assert_eq!(server.submit(&bare.envelope).await.0, 201);
    assert_eq!(server.submit_bundle(&whole).await.0, 201);
    server.kill9();
    assert!(cli(&["backup", "--to", folder.to_str().unwrap()], &data, database).0);
    let target = Target::of(&data, database).unwrap();
    let rows = tokio::task::spawn_blocking(move || {
        let mut conn = target.connect().unwrap();
        older::back_to(conn.as_mut(), 3);
        older::rows(conn.as_mut(), 3)
    });
    let rows = String::from_utf8(rows.await.unwrap()).unwrap();
    assert!(rows.contains(r#"["meta",["schema","3"]]"#) && !rows.contains("token_keys"), "{rows}");
    let write = |rows: &str| {
        std::fs::write(folder.join("rows.jsonl.zst"), zstd::encode_all(rows.as_bytes(), 3).unwrap()).unwrap();
    };
    let restore = |name: &str, database: Option<&str>| {
        cli(&["restore", "--from", folder.to_str().unwrap()], &home.path().join(name), database)
    };

    write(&rows.replace(r#"["schema","3"]"#, r#"["schema","6"]"#));
    let (ok, said) = restore("newer", others[0]);
    assert!(!ok && said["error"]["code"] == "invalid_input", "{said}");
    let envelope = rows.lines().find(|line| line.starts_with(r#"["verdicts""#)).unwrap();
    write(&rows.replace(envelope, &envelope.replacen(&mara.laptop.key_id, &"0".repeat(32), 1)));
    let (ok, said) = restore("wrong", others[0]);
    assert!(!ok && said["error"]["code"] == "store_failed", "an envelope that would not come back as it was: {said}");

    write(&rows);
    let (ok, restored) = restore("restored", others[1]);
    assert!(ok && restored["verdicts"] == 2 && restored["held"] == 1, "{restored}");
    // Where it lies, the same.
    let (ok, verified) = cli(&["verify-all"], &data, database);
    assert!(ok && verified["verdicts"] == 2 && verified["held"] == 1, "{verified}");
    for (data, database) in [(data.clone(), database), (home.path().join("restored"), others[1])] {
        let server = Server::start(&data, database);
        for made in [&bare, &whole] {
            let url = format!("{}/v1/verdicts/{}/verdict.dsse.json", server.url, made.id);
            assert_eq!(reqwest::get(url).await.unwrap().bytes().await.unwrap(), made.envelope, "byte for byte");
            assert!(accepted(server.submit(&made.envelope).await.1).duplicate);
        }
        let late = mara.laptop.seal(&scenario("seed-late"), BOTH, &Wish::new("bare", now())).unwrap();
        assert_eq!(code(&server.submit(&late.envelope).await.1), "run_exists");
        assert_eq!(server.submit(&mara.made("after", SSH).envelope).await.1["receipt"]["body"]["seq"], 3);
        let evidence = format!("/v1/verdicts/{}/evidence.tar.zst", whole.id);
        assert_eq!(server.call("HEAD", &evidence, &mara.token, Value::Null).await.0, 204, "her token is bound again");
    }
}

//! The leaderboard with many stored verdicts, and many listeners on the live board; the server is a process of its own.

use super::ground::{Ground, verdicts_of};
use super::{progress, quantile};
use crate::clock;
use crate::store::verdicts::COLUMNS;
use crate::store::{Connection, Value};
use forge_core::error::{Code, Error, Result};
use std::time::{Duration, Instant};

/// Verdicts of one learner, in the made-up school.
const EACH: u32 = 24;
/// Between two events on the live board.
const PACE: Duration = Duration::from_millis(20);
/// Until all listen, and until all have heard everything.
const LONGEST: Duration = Duration::from_secs(120);

fn school(conn: &mut dyn Connection, verdicts: u32) -> Result<()> {
    let (payload, signature) = (bytes::Bytes::from(vec![b'x'; 2_200]), bytes::Bytes::from(vec![0; 64]));
    let digest = |i: u32| Value::from(i.to_be_bytes().repeat(8));
    let tracks = ["netplus", "ccna", "cissp"];
    for first in (0..verdicts).step_by(10_000) {
        conn.begin(true)?;
        let mut rows = Vec::new();
        for i in first..verdicts.min(first + 10_000) {
            let text = |s: String| Value::Text(s);
            let (n, learner) = (i64::from(i), format!("l-{}", i / EACH));
            let mut row = vec![
                Value::Int(n + 1),
                text(format!("{i:064x}")),
                text(format!("run-{i}")),
                digest(i),
                text("k".into()),
                text(learner),
                text("A".into()),
                text(format!("lab-{}", i % EACH)),
                text("1".into()),
                text("ccna".into()),
            ];
            row.extend([2_000, 3_000, n, n, 1, n, 0].map(Value::Int));
            row.extend([
                text("[]".into()),
                Value::Null,
                Value::Null,
                digest(0),
                Value::Bytes(payload.clone()),
                Value::Bytes(signature.clone()),
                Value::Null,
                Value::Null,
                Value::Null,
            ]);
            rows.push(row);
        }
        conn.execute_rows(&format!("INSERT INTO verdicts ({COLUMNS}) {{rows}}"), rows)?;
        let standing: Vec<Vec<Value>> = (first / EACH..verdicts.min(first + 10_000) / EACH)
            .flat_map(|l| tracks.iter().map(move |t| (l, *t)))
            .map(|(l, t)| {
                vec![
                    Value::Text(format!("l-{l}")),
                    t.into(),
                    Value::Int(0),
                    Value::Text(format!("class-{}", l / 30)),
                    Value::Text(format!("Learner {l}")),
                    Value::Int(i64::from(l * 7919 % 90_000)),
                    Value::Int(90_000),
                    Value::Int(8),
                    Value::Int(i64::from(l)),
                ]
            })
            .collect();
        let sql = "INSERT INTO standing (learner, track, floor, class, name, points, max, labs, at) {rows}
             ON CONFLICT (learner, track, floor) DO NOTHING";
        conn.execute_rows(sql, standing)?;
        conn.commit()?;
        if first % 100_000 == 0 {
            progress(format!("{first} of {verdicts} verdicts stored"));
        }
    }
    Ok(())
}

pub fn leaderboard(verdicts: u32, asked: u32, database: Option<&str>) -> Result<serde_json::Value> {
    let ground = Ground::new(database)?;
    school(ground.connect()?.as_mut(), verdicts)?;
    progress(format!("asking {asked} times"));
    let server = ground.serve()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut ms = runtime.block_on(async {
        let mut client = server.connect().await?;
        let mut ms = Vec::new();
        for i in 0..asked {
            let path = if i % 2 == 0 {
                "/v1/leaderboard/ccna".to_owned()
            } else {
                format!("/v1/leaderboard/netplus?class=class-{}", i % 10)
            };
            let began = Instant::now();
            client.get(&path).await?;
            ms.push(began.elapsed().as_secs_f64() * 1000.0);
        }
        Ok::<_, Error>(ms)
    })?;
    ms.sort_by(f64::total_cmp);
    Ok(serde_json::json!({
        "database": ground.kind()?, "verdicts": verdicts, "asked": asked, "p50_ms": quantile(&ms, 0.5),
        "p99_ms": quantile(&ms, 0.99), "worst_ms": ms.last(),
    }))
}

/// Milliseconds from the server's taking a verdict in to its being heard, by each client and each verdict; both processes
/// have one clock.
pub fn live(clients: u32, events: u32, database: Option<&str>) -> Result<serde_json::Value> {
    let ground = Ground::new(database)?;
    let made = verdicts_of(&ground.class()?, events)?;
    crate::cmd::more_files();
    let server = ground.serve()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut behind = runtime.block_on(async {
        progress(format!("opening {clients} live boards"));
        let (ready, mut heard_first) = tokio::sync::mpsc::channel::<()>(clients.max(1) as usize);
        let mut listeners = tokio::task::JoinSet::new();
        for _ in 0..clients {
            let (client, ready) = (server.connect().await?, ready.clone());
            listeners.spawn(async move {
                let mut behind = Vec::new();
                let each = |frame: &str| {
                    match received_at(frame) {
                        Some(at) => behind.push((clock::now() - at) as f64),
                        // The first frame comes once the server counts this one among its listeners.
                        None if frame.contains("retry:") => drop(ready.try_send(())),
                        None => {}
                    }
                    behind.len() >= events as usize
                };
                client.listen("/v1/live", each).await?;
                Ok::<_, Error>(behind)
            });
        }
        let all_listen = async {
            for _ in 0..clients {
                heard_first.recv().await;
            }
        };
        tokio::time::timeout(LONGEST, all_listen).await.map_err(|_| late("Not all clients were listening"))?;
        progress(format!("telling {events} verdicts"));
        let mut laptop = server.connect().await?;
        for one in &made {
            laptop.submit(&one.envelope).await?;
            tokio::time::sleep(PACE).await;
        }
        let mut all = Vec::new();
        let heard = async {
            while let Some(done) = listeners.join_next().await {
                all.extend(done.map_err(Error::internal)??);
            }
            Ok::<_, Error>(())
        };
        tokio::time::timeout(LONGEST, heard).await.map_err(|_| late("Not all clients heard everything"))??;
        Ok::<_, Error>(all)
    })?;
    behind.sort_by(f64::total_cmp);
    Ok(serde_json::json!({
        "database": ground.kind()?, "clients": clients, "events": events, "heard": behind.len(),
        "p50_ms": quantile(&behind, 0.5), "p99_ms": quantile(&behind, 0.99), "worst_ms": behind.last(),
    }))
}

fn late(what: &str) -> Error {
    Error::new(Code::Timeout, format!("{what} within {} seconds; nothing was measured.", LONGEST.as_secs()))
        .hint("Is the machine busy? Measure when it is quiet, or with fewer clients.")
}

fn received_at(frame: &str) -> Option<i64> {
    let (_, after) = frame.split_once("\"received_at\":")?;
    after.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

//! The leaderboard with many stored verdicts, and many listeners on the live board.

use super::quantile;
use super::workshop::insert_many;
use crate::board::Board;
use crate::clock;
use crate::live::Topic;
use crate::store::verdicts::COLUMNS;
use crate::store::{Target, Value, migrate};
use forge_core::error::{Error, Result};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Verdicts of one learner, in the made-up school.
const EACH: u32 = 24;

fn school(board_data: &std::path::Path, verdicts: u32) -> Result<()> {
    let mut conn = Target::of(board_data, None)?.connect()?;
    migrate(conn.as_mut())?;
    let envelope = vec![b'x'; 3_000];
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
                text(format!("t-{i}")),
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
                text("s".into()),
                Value::Bytes(envelope.clone()),
                Value::Null,
                Value::Null,
                Value::Null,
            ]);
            rows.push(row);
        }
        insert_many(conn.as_mut(), "verdicts", COLUMNS, &rows)?;
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
        let places = "INSERT INTO standing (learner, track, floor, class, name, points, max, labs, at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (learner, track, floor) DO NOTHING";
        for row in &standing {
            conn.execute(places, row)?;
        }
        conn.commit()?;
    }
    Ok(())
}

pub fn leaderboard(verdicts: u32, asked: u32) -> Result<serde_json::Value> {
    let home = tempfile::tempdir()?;
    let data = home.path().join("board");
    crate::evidence::private_folder(&data)?;
    school(&data, verdicts)?;
    let (board, _) = Board::open(&data, Target::of(&data, None)?, None)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut ms = runtime.block_on(async {
        let (board, listener) = (Arc::new(board), TcpListener::bind("127.0.0.1:0").await?);
        let address = listener.local_addr()?;
        let serving = tokio::spawn(crate::http::serve(listener, board.clone()));
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut ms = Vec::new();
        for i in 0..asked {
            let path = if i % 2 == 0 {
                "/v1/leaderboard/ccna".to_owned()
            } else {
                format!("/v1/leaderboard/netplus?class=class-{}", i % 10)
            };
            let began = Instant::now();
            stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: bench\r\n\r\n").as_bytes()).await?;
            let mut answer = Vec::new();
            loop {
                if stream.read_buf(&mut answer).await? == 0 {
                    return Err(Error::internal("the server closed the bench's connection"));
                }
                let text = String::from_utf8_lossy(&answer);
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                let length = head
                    .lines()
                    .find_map(|l| l.strip_prefix("content-length: "))
                    .and_then(|n| n.parse().ok())
                    .unwrap_or(0usize);
                if body.len() >= length {
                    break;
                }
            }
            ms.push(began.elapsed().as_secs_f64() * 1000.0);
        }
        board.closing.cancel();
        serving.await.map_err(Error::internal)??;
        Ok::<_, Error>(ms)
    })?;
    ms.sort_by(f64::total_cmp);
    Ok(
        serde_json::json!({"verdicts": verdicts, "asked": asked, "p50_ms": quantile(&ms, 0.5), "p99_ms": quantile(&ms, 0.99)}),
    )
}

pub fn live(clients: u32, events: u32) -> Result<serde_json::Value> {
    let home = tempfile::tempdir()?;
    let data = home.path().join("board");
    let (board, _) = Board::open(&data, Target::of(&data, None)?, None)?;
    crate::cmd::more_files();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut behind = runtime.block_on(async {
        let (board, listener) = (Arc::new(board), TcpListener::bind("127.0.0.1:0").await?);
        let address = listener.local_addr()?;
        let serving = tokio::spawn(crate::http::serve(listener, board.clone()));
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..clients {
            let mut stream = TcpStream::connect(address).await?;
            stream.write_all(b"GET /v1/live HTTP/1.1\r\nhost: bench\r\n\r\n").await?;
            tasks.spawn(async move {
                let (mut text, mut behind) = (String::new(), Vec::new());
                let mut buffer = vec![0u8; 16 << 10];
                while behind.len() < events as usize {
                    let n = stream.read(&mut buffer).await?;
                    if n == 0 {
                        return Err(Error::internal("the server closed a listener of the bench"));
                    }
                    text.push_str(&String::from_utf8_lossy(buffer.get(..n).unwrap_or_default()));
                    let now = clock::now();
                    while let Some(end) = text.find("\"at\":") {
                        let digits: String = text.chars().skip(end + 5).take_while(char::is_ascii_digit).collect();
                        if digits.len() < 13 {
                            break;
                        }
                        behind.push((now - digits.parse::<i64>().unwrap_or(0)) as f64);
                        text = text.chars().skip(end + 18).collect();
                    }
                }
                Ok::<_, Error>(behind)
            });
        }
        while board.metrics.listeners.get() < i64::from(clients) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        for _ in 0..events {
            let topic = Topic::Board { track: "ccna".into(), class: "A".into() };
            board.live.tell(topic, "verdict", &serde_json::json!({"at": clock::now()}));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let mut all = Vec::new();
        while let Some(done) = tasks.join_next().await {
            all.extend(done.map_err(Error::internal)??);
        }
        board.closing.cancel();
        serving.await.map_err(Error::internal)??;
        Ok::<_, Error>(all)
    })?;
    behind.sort_by(f64::total_cmp);
    Ok(
        serde_json::json!({"clients": clients, "events": events, "p50_ms": quantile(&behind, 0.5), "p99_ms": quantile(&behind, 0.99), "worst_ms": behind.last()}),
    )
}

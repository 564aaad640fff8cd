//! Envelopes verified and stored per second over HTTP, beside what this machine can do at most: the bare signature checks on
//! all cores with one fsync for as many envelopes as are open at the same time, and with one fsync each.

use super::workshop::{Laptop, Made, Wish};
use crate::board::Board;
use crate::clock;
use crate::store::Target;
use forge_core::error::{Code, Error, Result};
use forge_core::keys::PublicKey;
use forge_core::verdict::dsse;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub fn run(count: u32, open: u32) -> Result<serde_json::Value> {
    let home = tempfile::tempdir()?;
    let data = home.path().join("board");
    let target = Target::of(&data, None)?;
    let (board, _) = Board::open(&data, target, None)?;
    let laptop = Laptop::new(&home.path().join("laptop"))?;
    let made = many(&board, &laptop, count)?;
    let key = PublicKey::from_pem(&laptop.pem()?)?;
    let open = usize::try_from(open).unwrap_or(1).max(1);
    let grouped = bare(home.path(), &made, &key, open)?;
    let single = bare(home.path(), made.get(..made.len().min(500)).unwrap_or_default(), &key, 1)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let seconds = runtime.block_on(over_http(board, laptop, made, open))?;
    let rate = f64::from(count) / seconds;
    Ok(serde_json::json!({
        "verdicts": count, "open": open, "per_second": rate.round(), "bare_grouped_per_second": grouped.round(),
        "bare_single_per_second": single.round(), "share_of_grouped": (rate / grouped * 100.0).round() / 100.0,
        "share_of_single": (rate / single * 100.0).round() / 100.0, "cores": std::thread::available_parallelism()?.get(),
    }))
}

fn many(board: &Board, laptop: &Laptop, count: u32) -> Result<Vec<Made>> {
    let none = || Error::new(Code::UnknownLab, "There is no lab to make verdicts of.");
    let scenario = board.labs.list().next().ok_or_else(none)?.instantiate("bench")?;
    (0..count).map(|i| laptop.seal(&scenario, "", &Wish::new(&format!("bench-{i}"), clock::now()))).collect()
}

/// Signatures checked on all cores, then the group appended and synced; per second.
fn bare(folder: &Path, made: &[Made], key: &PublicKey, group: usize) -> Result<f64> {
    let threads = std::thread::available_parallelism()?.get();
    let mut file = File::create(folder.join("bare"))?;
    let began = Instant::now();
    for envelopes in made.chunks(group) {
        let good = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for share in envelopes.chunks(envelopes.len().div_ceil(threads).max(1)) {
                let good = &good;
                scope.spawn(move || {
                    for one in share {
                        let holds = dsse::read(&one.envelope)
                            .is_ok_and(|o| key.verify_dsse(&dsse::pae(dsse::PAYLOAD_TYPE, &o.payload), &o.signature));
                        good.fetch_add(usize::from(holds), Ordering::Relaxed);
                    }
                });
            }
        });
        if good.load(Ordering::Relaxed) != envelopes.len() {
            return Err(Error::internal("a signature of the bench's own did not hold"));
        }
        for one in envelopes {
            file.write_all(&one.envelope)?;
        }
        file.sync_data()?;
    }
    Ok(made.len() as f64 / began.elapsed().as_secs_f64())
}

async fn over_http(board: Board, laptop: Laptop, made: Vec<Made>, open: usize) -> Result<f64> {
    let board = Arc::new(board);
    board.store.write(move |tx| laptop.enrol(tx, "Bench", "Bench", clock::now())).await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let serving = tokio::spawn(crate::http::serve(listener, board.clone()));
    let (made, next) = (Arc::new(made), Arc::new(AtomicUsize::new(0)));
    let began = Instant::now();
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..open {
        let (made, next) = (made.clone(), next.clone());
        clients.spawn(async move {
            let mut stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            while let Some(one) = made.get(next.fetch_add(1, Ordering::Relaxed)) {
                submit(&mut stream, &one.envelope).await?;
            }
            Ok::<(), Error>(())
        });
    }
    while let Some(done) = clients.join_next().await {
        done.map_err(Error::internal)??;
    }
    let seconds = began.elapsed().as_secs_f64();
    board.closing.cancel();
    serving.await.map_err(Error::internal)??;
    Ok(seconds)
}

/// One request on a connection that stays open; anything but 201 ends the measurement.
async fn submit(stream: &mut TcpStream, envelope: &[u8]) -> Result<()> {
    let mut request = format!(
        "POST /v1/verdicts HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        envelope.len()
    )
    .into_bytes();
    request.extend_from_slice(envelope);
    stream.write_all(&request).await?;
    let mut answer = Vec::with_capacity(4096);
    loop {
        if stream.read_buf(&mut answer).await? == 0 {
            return Err(Error::internal("the server closed a connection of the bench"));
        }
        let text = String::from_utf8_lossy(&answer);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length =
            head.lines().find_map(|l| l.strip_prefix("content-length: ")).and_then(|n| n.parse::<usize>().ok());
        if body.len() >= length.unwrap_or(0) {
            return match head.starts_with("HTTP/1.1 201") {
                true => Ok(()),
                false => Err(Error::internal(format!("the server answered the bench: {text}"))),
            };
        }
    }
}

/// One class, one learner, one verdict of each known lab, through the same intake as any other.
pub fn demo(data: &Path) -> Result<serde_json::Value> {
    if data.exists() {
        return Err(Error::new(Code::WrongState, format!("{} is there already.", data.display())));
    }
    let (board, _) = Board::open(data, Target::of(data, None)?, None)?;
    let home = tempfile::tempdir()?;
    let laptop = Laptop::new(home.path())?;
    let made: Vec<Made> = board
        .labs
        .list()
        .map(|lab| laptop.seal(&lab.instantiate("demo")?, "", &Wish::new(&format!("demo-{}", lab.id), clock::now())))
        .collect::<Result<_>>()?;
    let board = Arc::new(board);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        board.store.write(move |tx| laptop.enrol(tx, "Demo class", "Mara", clock::now())).await?;
        let mut last = None;
        for one in made {
            let accepted = crate::intake::submit(&board, one.envelope.into(), None).await;
            accepted.map_err(|r| Error::internal(r.message))?;
            last = Some(one.id);
        }
        Ok(serde_json::json!({"verdict": last}))
    })
}

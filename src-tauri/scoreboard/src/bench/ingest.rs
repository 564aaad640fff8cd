//! Envelopes verified and stored per second over HTTP by a server process, beside what this machine can do at most: envelopes
//! opened and their signatures checked on all cores, then appended to a file, with one fsync for as many envelopes as are open
//! at the same time (the floor), and with one fsync each. The floor has the machine to itself; the server shares it with its
//! clients.

use super::ground::{Ground, verdicts_of};
use super::server::{Server, cpu_seconds, post};
use super::workshop::{Laptop, Made, Wish};
use super::{progress, quantile};
use crate::board::Board;
use crate::clock;
use crate::store::Target;
use forge_core::error::{Code, Error, Result};
use forge_core::keys::PublicKey;
use forge_core::verdict::dsse;
use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// The floor is measured before and after, and the better one counts: other work on the machine must not flatter us.
pub fn run(count: u32, open: u32, batch: u32, database: Option<&str>) -> Result<serde_json::Value> {
    let ground = Ground::new(database)?;
    let laptops = ground.class()?;
    progress(format!("making {count} verdicts"));
    let made = verdicts_of(&laptops, count)?;
    let keys = laptops.iter().map(|l| Ok((l.key_id.clone(), PublicKey::from_pem(&l.pem()?)?)));
    let keys: HashMap<String, PublicKey> = keys.collect::<Result<_>>()?;
    let (open, batch) = (open.max(1) as usize, batch.max(1) as usize);
    let group = (open * batch).min(made.len().max(1));
    progress("measuring the bare limit");
    let before = bare(ground.home(), &made, &keys, group)?;
    let single = bare(ground.home(), made.get(..made.len().min(500)).unwrap_or_default(), &keys, 1)?;
    progress(format!("submitting over {open} connections, {batch} in a request"));
    let server = ground.serve()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let requests = requests(&made, batch);
    let own = cpu_seconds(std::process::id());
    let (seconds, ms) = runtime.block_on(over_http(&server, requests, open))?;
    let cpu = server.cpu_seconds();
    let own = cpu_seconds(std::process::id()).zip(own).map(|(after, before)| after - before);
    let each = |seconds: Option<f64>| seconds.map(|s| (s * 1e6 / f64::from(count)).round());
    drop(server);
    let grouped = bare(ground.home(), &made, &keys, group)?.max(before);
    let rate = f64::from(count) / seconds;
    Ok(serde_json::json!({
        "database": ground.kind()?, "verdicts": count, "open": open, "batch": batch, "per_second": rate.round(),
        "bare_grouped_per_second": grouped.round(), "bare_single_per_second": single.round(),
        "share_of_grouped": (rate / grouped * 100.0).round() / 100.0,
        "share_of_single": (rate / single * 100.0).round() / 100.0,
        "p50_ms": quantile(&ms, 0.5), "p99_ms": quantile(&ms, 0.99),
        "server_cpu_us_each": each(cpu), "clients_cpu_us_each": each(own),
        "cores": std::thread::available_parallelism()?.get(),
    }))
}

/// Signatures checked on all cores, then the group appended and synced; per second.
fn bare(folder: &Path, made: &[Made], keys: &HashMap<String, PublicKey>, group: usize) -> Result<f64> {
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
                        let holds = dsse::read(&one.envelope).is_ok_and(|o| {
                            let pae = dsse::pae(dsse::PAYLOAD_TYPE, &o.payload);
                            keys.get(&o.key_id).is_some_and(|key| key.verify_dsse(&pae, &o.signature))
                        });
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

/// As it travels, made beforehand: making it is not what is measured.
struct Asked {
    request: Vec<u8>,
    /// The status that says it was taken.
    wanted: &'static str,
    /// Lines of answer, where many go in one.
    lines: Option<usize>,
}

fn requests(made: &[Made], batch: usize) -> Vec<Asked> {
    let one = |one: &Made| Asked {
        request: post("/v1/verdicts", "application/json", &one.envelope),
        wanted: "201",
        lines: None,
    };
    let several = |made: &[Made]| {
        let lines: Vec<&[u8]> = made.iter().map(|one| one.envelope.as_slice()).collect();
        let request = post("/v1/envelopes", "application/x-ndjson", &lines.join(&b'\n'));
        Asked { request, wanted: "200", lines: Some(made.len()) }
    };
    if batch == 1 { made.iter().map(one).collect() } else { made.chunks(batch).map(several).collect() }
}

/// Seconds for all, and the milliseconds that each request took, sorted.
async fn over_http(server: &Server, requests: Vec<Asked>, open: usize) -> Result<(f64, Vec<f64>)> {
    let (requests, next) = (Arc::new(requests), Arc::new(AtomicUsize::new(0)));
    let mut connections = Vec::new();
    for _ in 0..open {
        connections.push(server.connect().await?);
    }
    let began = Instant::now();
    let mut clients = tokio::task::JoinSet::new();
    for mut client in connections {
        let (requests, next) = (requests.clone(), next.clone());
        clients.spawn(async move {
            let mut ms = Vec::new();
            while let Some(asked) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
                let began = Instant::now();
                client.ask(&asked.request, asked.wanted).await?;
                ms.push(began.elapsed().as_secs_f64() * 1000.0);
                if let Some(lines) = asked.lines {
                    all_accepted(client.body(), lines)?;
                }
            }
            Ok::<_, Error>(ms)
        });
    }
    let mut ms = Vec::new();
    while let Some(done) = clients.join_next().await {
        ms.extend(done.map_err(Error::internal)??);
    }
    let seconds = began.elapsed().as_secs_f64();
    ms.sort_by(f64::total_cmp);
    Ok((seconds, ms))
}

fn all_accepted(answer: &[u8], carried: usize) -> Result<()> {
    let accepted = answer.split(|b| *b == b'\n').filter(|line| line.starts_with(b"{\"accepted\":")).count();
    if accepted == carried {
        return Ok(());
    }
    Err(Error::internal(format!("The server accepted {accepted} of {carried} verdicts of the bench.")))
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

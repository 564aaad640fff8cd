//! The whole engine in a simulated world: two processes on one data folder, real SQLite, real launches, checks, submissions and
//! repairs; a fake engine, clock and disk that fail as a seed says. A seed is a history: `FORGE_SIM_SEED=n cargo test -p
//! forge-core --lib sim -- --nocapture` prints it. `FORGE_SIM_SEEDS=from..to` says how many.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
use super::clock::set_for_this_thread;
use super::{Forge, Options, Parts};
use crate::api::*;
use crate::audit;
use crate::engine::fake::{Dice, Fake, Weather, World};
use crate::error::{Code, Error, Result};
use crate::keys::Keys;
use crate::policy::Policy;
use crate::store::{Store, intents, results, runs};
use crate::template::pins::Pins;
use crate::template::{Catalogue, Sources};
use crate::verdict;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio::time::Instant;

mod hands;
mod history;
use history::{History, me, one};

const LAB: &str = "netplus-one-link";
const LABS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../cli/tests/labs");
/// How long a new process has to put everything right, in virtual time.
const RESTART: Duration = Duration::from_secs(10);
/// A history that goes on for longer (virtual time) hangs.
const LONGEST: Duration = Duration::from_secs(3600);
/// Seeds in `make test`: 20 s on two idle cores, 40 s on two busy ones.
const SEEDS: std::ops::Range<u64> = 0..250;

/// What all histories share: it is only read.
struct Shared {
    keys: Keys,
    policy: Policy,
    catalogue: Catalogue,
    _folder: tempfile::TempDir,
}

impl Shared {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys::open(folder.path(), &mut rand::rng()).unwrap();
        let mut pins = Pins::open(folder.path(), &keys, Catalogue::embedded());
        let catalogue = Catalogue::pinned(&Sources { instead: Some(LABS.into()), user: None }, &mut pins);
        assert!(catalogue.get(LAB).is_ok(), "{:?}", catalogue.broken());
        Self { keys, policy: Policy::load().unwrap(), catalogue, _folder: folder }
    }
}

/// One history; its trace, and what went wrong.
fn history(shared: &Shared, seed: u64) -> (Vec<String>, Result<()>) {
    let mut dice = Dice(seed.wrapping_mul(0x5851_f42d_4c95_7f2d) ^ 0x1234);
    let kinds = [(0, 0, 0), (60, 0, 0), (0, 40, 0), (0, 0, 30), (150, 120, 100), (40, 60, 80)];
    let (crash, refuse, full) = kinds[dice.below(6) as usize];
    let weather = Weather { crash: crash * 4, refuse, full, slow: [0, 40, 200][dice.below(3) as usize] };
    simulated(shared, seed, weather, dice, async |history| {
        history.go().await?;
        history.end().await
    })
}

fn simulated(
    shared: &Shared,
    seed: u64,
    weather: Weather,
    dice: Dice,
    work: impl AsyncFnOnce(&mut History) -> Result<()>,
) -> (Vec<String>, Result<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let local = tokio::task::LocalSet::new();
    let home = match Path::new("/dev/shm").is_dir() {
        true => tempfile::tempdir_in("/dev/shm").unwrap(),
        false => tempfile::tempdir().unwrap(),
    };
    let clock = Rc::new(RefCell::new(0_i64));
    let (set, ticks) = (clock.clone(), RefCell::new(0_i64));
    let outcome = local.block_on(&runtime, async {
        let began = Instant::now();
        // Each look at the clock is a moment later than the one before.
        set_for_this_thread(Some(Box::new(move || {
            *ticks.borrow_mut() += 1;
            let up = began.elapsed().as_millis() as i64 + *ticks.borrow();
            (1_790_000_000_000 + up + *set.borrow(), "boot".into(), up)
        })));
        let scenario = Arc::new(shared.catalogue.get(LAB).unwrap().instantiate("s").unwrap());
        let instance = "0123456789abcdef0123456789abcdef".to_owned();
        let world = World::new(seed, weather, scenario, &instance);
        world.note(format!("seed {seed}: {weather:?}"));
        let told = Rc::default();
        let mut history =
            History { shared, world: world.clone(), home, instance, dice, told, processes: Vec::new(), next: 0, clock };
        let all = work(&mut history);
        let outcome = tokio::time::timeout(LONGEST, all).await.unwrap_or_else(|_| Err(Error::internal("it hangs")));
        (world.trace(), outcome)
    });
    set_for_this_thread(None);
    outcome
}

fn seeds() -> std::ops::Range<u64> {
    let number = |text: &str| text.parse::<u64>().expect("FORGE_SIM_SEED=n or FORGE_SIM_SEEDS=from..to");
    if let Ok(one) = std::env::var("FORGE_SIM_SEED") {
        return number(&one)..number(&one) + 1;
    }
    match std::env::var("FORGE_SIM_SEEDS") {
        Ok(range) => {
            let (from, to) = range.split_once("..").expect("FORGE_SIM_SEEDS=from..to");
            number(from)..number(to)
        }
        Err(_) => SEEDS,
    }
}

#[test]
fn no_history_leaks_loses_or_gets_stuck() {
    let seeds = seeds();
    let next = std::sync::atomic::AtomicU64::new(seeds.start);
    let failed = std::sync::Mutex::new(Vec::new());
    let (began, verdicts) = (std::time::Instant::now(), std::sync::atomic::AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                let shared = Shared::new();
                loop {
                    let seed = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if seed >= seeds.end || failed.lock().unwrap().len() >= 10 {
                        return;
                    }
                    let (trace, outcome) = history(&shared, seed);
                    let sealed = trace.iter().filter(|l| l.contains("submit r") && l.ends_with(": done")).count();
                    verdicts.fetch_add(sealed, std::sync::atomic::Ordering::Relaxed);
                    if let Err(e) = &outcome {
                        failed.lock().unwrap().push(format!("seed {seed}: {}", e.message));
                    }
                    if seeds.end - seeds.start == 1 {
                        eprintln!("{}", trace.join("\n"));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    let sealed = verdicts.into_inner();
    eprintln!("{} histories, {sealed} verdicts, in {:.1} s", seeds.end - seeds.start, began.elapsed().as_secs_f64());
    assert!(failed.is_empty(), "FORGE_SIM_SEED=<n> shows one:\n{}", failed.join("\n"));
    assert!(seeds.end - seeds.start < 50 || sealed > 10, "almost nothing happened: it would pass for the wrong reason");
}

#[test]
fn a_seed_is_a_history() {
    let shared = Shared::new();
    for seed in [3, 17, 40] {
        assert_eq!(history(&shared, seed).0, history(&shared, seed).0, "seed {seed}");
    }
}

#[test]
fn a_run_under_a_challenge_names_its_nonce_and_others_do_not() {
    use crate::store::sync::challenge;
    use crate::verdict::{dsse, statement::Statement};
    let shared = Shared::new();
    let weather = Weather { crash: 0, refuse: 0, full: 0, slow: 0 };
    let (trace, outcome) = simulated(&shared, 1, weather, Dice(1), async |history| {
        history.begin(true)?;
        let forge = history.processes[0].forge.clone();
        let signed = serde_json::json!({
            "body": {"version": 1, "session": "s", "class": "c", "lab": LAB, "key_id": "k", "nonce": "n-1", "seed": "s",
                "hints": false, "attempt": 1, "issued_at": 1, "deadline": 2},
            "key_id": "b", "signature": "00",
        });
        let text = signed.to_string();
        forge.store.write(move |tx| challenge(tx, "n-1", "bound", &text)).await?;
        for (request, nonce) in [("bound", Some("n-1".to_owned())), ("free", None)] {
            one(&forge, &history.told, "start", request, None).await?;
            let run = history.told.borrow().requests[request].clone();
            let sealed = forge.submit_run(&me(), RunRequest { run: run.clone() }).await?;
            let envelope = std::fs::read(Path::new(&sealed.dir).join(verdict::seal::ENVELOPE))?;
            let claims = Statement::from_bytes(&dsse::read(&envelope)?.payload)?.predicate.forge;
            assert_eq!(claims.challenge, nonce);
            // What a laptop's key can say alone; the scoreboard says more.
            assert_eq!(claims.tier, TrustTier::SelfAttested);
            let hint =
                forge.reveal_hint(&me(), RevealHint { run: run.clone(), hint: "none".into() }).await.unwrap_err();
            assert_eq!(hint.code, if nonce.is_some() { Code::Denied } else { Code::NotFound });
            forge.stop_run(&me(), RunRequest { run }).await?;
        }
        let waiting = forge.sync_status(&me(), Empty {}).await?;
        assert_eq!((waiting.board, waiting.results.len(), waiting.results[0].state), (None, 2, SyncState::Off));
        Ok(())
    });
    outcome.unwrap_or_else(|e| panic!("{e}\n{}", trace.join("\n")));
}

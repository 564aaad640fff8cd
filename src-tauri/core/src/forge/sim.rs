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

/// What the outside world was told and may rely on.
#[derive(Default)]
struct Told {
    verdicts: BTreeSet<String>,
    requests: BTreeMap<String, String>,
    stopped: BTreeSet<String>,
    ready: BTreeMap<String, Instant>,
    known: Vec<String>,
}

struct Process {
    number: usize,
    forge: Arc<Forge>,
    tasks: Vec<AbortHandle>,
}

struct History<'a> {
    shared: &'a Shared,
    world: Arc<World>,
    home: tempfile::TempDir,
    instance: String,
    dice: Dice,
    told: Rc<RefCell<Told>>,
    processes: Vec<Process>,
    next: usize,
    clock: Rc<RefCell<i64>>,
}

fn me() -> Caller {
    Caller { correlation: "sim".into(), instructor: true }
}

impl History<'_> {
    /// `keep` as an app does, or as a command that is there for one thing.
    fn begin(&mut self, keep: bool) -> Result<usize> {
        let number = self.next;
        self.next += 1;
        self.world.note(format!("p{number} begins{}", if keep { " and keeps" } else { "" }));
        let world = self.world.clone();
        let disk = Arc::new(move |what: &'static str| -> futures_util::future::BoxFuture<'static, Result<()>> {
            let world = world.clone();
            Box::pin(async move { world.disk(number, what).await })
        });
        let fake = Arc::new(Fake { world: self.world.clone(), process: number });
        let options = Options {
            home: self.home.path().to_owned(),
            shell: "sim".into(),
            labs: None,
            keep,
            keeper: Vec::new(),
            egress: Default::default(),
            keys: Default::default(),
        };
        let parts = Parts {
            store: Store::open(&self.home.path().join("forge.db"))?.with_faults(disk),
            instance: self.instance.clone(),
            keys: self.shared.keys.clone(),
            policy: self.shared.policy.clone(),
            catalogue: Mutex::new(Arc::new(self.shared.catalogue.clone())),
            engine: fake.clone(),
            outside: fake.clone(),
            images: fake,
        };
        let forge = Forge::assemble(options, parts)?;
        let mut tasks = Vec::new();
        if keep {
            let keeper = forge.clone();
            tasks.push(tokio::task::spawn_local(async move { keeper.keep_while_open().await }).abort_handle());
        }
        self.processes.push(Process { number, forge, tasks });
        Ok(number)
    }

    /// As `kill -9`: nothing of it goes on, its locks are free.
    fn bury(&mut self, number: usize) {
        let Some(at) = self.processes.iter().position(|p| p.number == number) else { return };
        let process = self.processes.remove(at);
        process.tasks.iter().for_each(AbortHandle::abort);
        process.forge.presence.die();
    }

    /// One thing that somebody does.
    fn act(&mut self) {
        let pick = self.dice.below(100);
        let roll = self.dice.next();
        let run = {
            let told = self.told.borrow();
            told.known.get((roll as usize) % told.known.len().max(1)).cloned()
        };
        match pick {
            80..=83 => {
                let by = [1, -1, 26, -26][(roll % 4) as usize] * 3_600_000;
                self.world.note(format!("the clock is set by {by} ms"));
                *self.clock.borrow_mut() += by;
            }
            84..=87 => {
                let back = Duration::from_millis(500 + roll % 8_000);
                self.world.note(format!("the engine goes down for {back:?}"));
                self.world.engine_down(back);
            }
            88..=91 => self.world.meddle(roll, roll & 64 == 0),
            92..=99 => {
                if let Some(victim) = self.processes.get((roll as usize) % self.processes.len().max(1)) {
                    let number = victim.number;
                    self.world.note(format!("p{number} is killed"));
                    self.world.kill(number);
                }
            }
            _ => self.command(pick, roll, run),
        }
    }

    fn command(&mut self, pick: u64, roll: u64, run: Option<String>) {
        let index = (roll >> 8) as usize % self.processes.len().max(1);
        let Some(process) = self.processes.get_mut(index) else { return };
        let (forge, told, world, number) =
            (process.forge.clone(), self.told.clone(), self.world.clone(), process.number);
        let task = tokio::task::spawn_local(async move {
            let what = match pick {
                0..=29 => "start",
                30..=39 => "stop",
                40..=59 => "check",
                60..=71 => "submit",
                72..=75 => "pause",
                _ => "resume",
            };
            let request = format!("click-{}", roll % 6);
            let of = if what == "start" { request.clone() } else { run.clone().unwrap_or_default() };
            world.note(format!("p{number} is asked to {what} {}", short(&told, &of)));
            let outcome = one(&forge, &told, what, &request, run).await;
            let text = outcome.map_or_else(|e| format!("{:?}: {}", e.code, e.message), |()| "done".into());
            world.note(format!("p{number} {what} {}: {text}", short(&told, &of)));
        });
        process.tasks.push(task.abort_handle());
    }

    async fn go(&mut self) -> Result<()> {
        self.begin(true)?;
        self.begin(false)?;
        let acts = 5 + self.dice.below(12);
        for _ in 0..acts {
            let until = Instant::now() + Duration::from_millis(self.dice.below(6_000));
            self.live_until(until)?;
            self.wait_until(until).await?;
            self.act();
        }
        let until = Instant::now() + Duration::from_secs(self.dice.below(60));
        self.wait_until(until).await
    }

    fn live_until(&mut self, _until: Instant) -> Result<()> {
        while self.processes.len() < 2 {
            let keep = !self.processes.iter().any(|p| p.forge.options.keep);
            self.begin(keep)?;
        }
        Ok(())
    }

    async fn wait_until(&mut self, until: Instant) -> Result<()> {
        loop {
            let world = self.world.clone();
            tokio::select! {
                biased;
                () = world.crash.notified() => while let Some(number) = world.crashed() { self.bury(number) },
                () = tokio::time::sleep_until(until) => return Ok(()),
            }
        }
    }

    /// Nothing fails any more; a new process has ten seconds.
    async fn end(&mut self) -> Result<()> {
        let left: Vec<usize> = self.processes.iter().map(|p| p.number).collect();
        self.world.note("everything ends; the weather clears");
        left.iter().for_each(|number| self.world.kill(*number));
        self.wait_until(Instant::now()).await?;
        left.iter().for_each(|number| self.bury(*number));
        self.world.calm();
        let last = self.begin(true)?;
        let until = Instant::now() + RESTART;
        loop {
            self.wait_until(Instant::now() + Duration::from_millis(500)).await?;
            let wrong = self.wrong().await?;
            if wrong.is_empty() {
                break;
            }
            if Instant::now() > until {
                return Err(Error::internal(wrong.join("; ")));
            }
        }
        let forge = self.processes.iter().find(|p| p.number == last).map(|p| p.forge.clone());
        let forge = forge.ok_or_else(|| Error::internal("the last process is gone"))?;
        forge.stop_all(&me(), Empty {}).await?;
        let left = self.world.runs();
        if !left.is_empty() {
            return Err(Error::internal(format!("after stop --all there is still {left:?}")));
        }
        Ok(())
    }

    async fn wrong(&self) -> Result<Vec<String>> {
        let mut wrong = Vec::new();
        let store = Store::open(&self.home.path().join("forge.db"))?;
        // In place, as everything here.
        let store = store.with_faults(Arc::new(|_| Box::pin(async { Ok(()) })));
        let (rows, open, sealed) =
            store.read(|c| Ok((runs::list(c, true)?, intents::open(c)?, results::list(c)?))).await?;
        let mut there = self.world.runs();
        for row in &rows {
            let lab = there.remove(&row.run);
            match (row.state, lab) {
                (RunState::Ready, Some(lab)) if lab.is_empty() => {}
                (RunState::Paused, Some(_)) => {}
                (RunState::Stopped, None) => {}
                (RunState::Failed, None) if !row.reason.is_empty() => {}
                (state, lab) => wrong.push(format!("{} is {state:?} ({}) with {lab:?}", row.run, row.reason)),
            }
        }
        wrong.extend(there.keys().map(|run| format!("containers of {run} are left")));
        wrong.extend(open.iter().map(|i| format!("the intent to {} {} is open", i.kind, i.run)));
        wrong.extend(self.world.touched().into_iter().map(|t| format!("a foreign object was touched: {t}")));
        let chain = audit::verify(&store, &self.shared.keys, &[]).await?;
        if !chain.ok {
            wrong.push(format!("the audit chain is broken: {:?}", chain.broken));
        }
        let known: BTreeSet<String> = sealed.iter().map(|r| r.dir.clone()).collect();
        let folder = std::fs::read_dir(self.home.path().join("results"));
        let folders: BTreeSet<String> =
            folder.map(|d| d.filter_map(|e| Some(e.ok()?.path().display().to_string())).collect()).unwrap_or_default();
        if known != folders {
            wrong.push(format!("the results folder has {folders:?}, the store {known:?}"));
        }
        for row in &sealed {
            let report = verdict::verify_dir(Path::new(&row.dir), true)?;
            if !report.ok || report.verdict_id != row.id {
                wrong.push(format!("{} does not verify: {:?}", row.dir, report.checks.last()));
            }
        }
        let told = self.told.borrow();
        let ids: BTreeSet<String> = sealed.into_iter().map(|r| r.id).collect();
        wrong.extend(told.verdicts.difference(&ids).map(|id| format!("the acknowledged verdict {id} is lost")));
        for (request, run) in &told.requests {
            if !rows.iter().any(|r| r.request_id == *request && r.run == *run) {
                wrong.push(format!("{request} was told run {run}, which is not its run"));
            }
        }
        for run in &told.stopped {
            if rows.iter().any(|r| r.run == *run && runs::alive(r.state)) {
                wrong.push(format!("{run} was told to be stopped and lives"));
            }
        }
        // Thirty minutes are a run's time, and no history is that long: whatever the clock was set to, none is up.
        wrong.extend(
            rows.iter().filter(|r| r.reason == "the time was up").map(|r| format!("the time of {} was up", r.run)),
        );
        Ok(wrong)
    }
}

fn short(told: &Rc<RefCell<Told>>, run: &str) -> String {
    told.borrow().known.iter().position(|r| r == run).map_or_else(|| run.to_owned(), |at| format!("r{at}"))
}

async fn one(
    forge: &Arc<Forge>,
    told: &Rc<RefCell<Told>>,
    what: &str,
    request: &str,
    run: Option<String>,
) -> Result<()> {
    let run = match (what, run) {
        ("start", _) => {
            let ask = StartLab { lab: LAB.into(), request_id: Some(request.into()), seed: Some("s".into()) };
            let started = forge.start_lab(&me(), ask).await?;
            {
                let mut told = told.borrow_mut();
                let before = told.requests.insert(request.to_owned(), started.run.clone());
                if before.is_some_and(|b| b != started.run) {
                    return Err(Error::internal("one request, two runs"));
                }
                if !told.known.contains(&started.run) {
                    told.known.push(started.run.clone());
                }
            }
            forge.ready_within(&started.run, Duration::from_secs(120)).await?;
            told.borrow_mut().ready.insert(started.run, Instant::now());
            return Ok(());
        }
        (_, None) => return Err(Error::new(Code::UnknownRun, "there is none yet")),
        (_, Some(run)) => run,
    };
    let ask = RunRequest { run: run.clone() };
    match what {
        "stop" => {
            forge.stop_run(&me(), ask).await?;
            told.borrow_mut().stopped.insert(run);
        }
        "check" => drop(forge.check_run(&me(), CheckRun { run, criteria: vec![], gentle: false }).await?),
        "submit" => {
            let sealed = forge.submit_run(&me(), ask).await?;
            told.borrow_mut().verdicts.insert(sealed.id);
        }
        "pause" => drop(forge.pause_run(&me(), ask).await?),
        _ => drop(forge.resume_run(&me(), ask).await?),
    }
    Ok(())
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

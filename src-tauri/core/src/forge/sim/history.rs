//! One history: two processes, what somebody does in them, and what must hold at its end.

use super::*;

/// What the outside world was told and may rely on.
#[derive(Default)]
pub(super) struct Told {
    pub(super) verdicts: BTreeSet<String>,
    pub(super) requests: BTreeMap<String, String>,
    pub(super) stopped: BTreeSet<String>,
    pub(super) ready: BTreeMap<String, Instant>,
    pub(super) known: Vec<String>,
}

pub(super) struct Process {
    pub(super) number: usize,
    pub(super) forge: Arc<Forge>,
    pub(super) tasks: Vec<AbortHandle>,
}

pub(super) struct History<'a> {
    pub(super) shared: &'a Shared,
    pub(super) world: Arc<World>,
    pub(super) home: tempfile::TempDir,
    pub(super) instance: String,
    pub(super) dice: Dice,
    pub(super) told: Rc<RefCell<Told>>,
    pub(super) processes: Vec<Process>,
    pub(super) next: usize,
    pub(super) clock: Rc<RefCell<i64>>,
}

pub(super) fn me() -> Caller {
    Caller { correlation: "sim".into(), instructor: true }
}

impl History<'_> {
    /// `keep` as an app does, or as a command that is there for one thing.
    pub(super) fn begin(&mut self, keep: bool) -> Result<usize> {
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
    pub(super) fn bury(&mut self, number: usize) {
        let Some(at) = self.processes.iter().position(|p| p.number == number) else { return };
        let process = self.processes.remove(at);
        process.tasks.iter().for_each(AbortHandle::abort);
        process.forge.presence.die();
    }

    /// One thing that somebody does.
    pub(super) fn act(&mut self) {
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

    pub(super) fn command(&mut self, pick: u64, roll: u64, run: Option<String>) {
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

    pub(super) async fn go(&mut self) -> Result<()> {
        self.begin(true)?;
        self.begin(false)?;
        let acts = 5 + self.dice.below(12);
        for _ in 0..acts {
            let until = Instant::now() + Duration::from_millis(self.dice.below(6_000));
            self.two_live()?;
            self.wait_until(until).await?;
            self.act();
        }
        let until = Instant::now() + Duration::from_secs(self.dice.below(60));
        self.wait_until(until).await
    }

    pub(super) fn two_live(&mut self) -> Result<()> {
        while self.processes.len() < 2 {
            let keep = !self.processes.iter().any(|p| p.forge.options.keep);
            self.begin(keep)?;
        }
        Ok(())
    }

    pub(super) async fn wait_until(&mut self, until: Instant) -> Result<()> {
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
    pub(super) async fn end(&mut self) -> Result<()> {
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

    pub(super) async fn wrong(&self) -> Result<Vec<String>> {
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

pub(super) fn short(told: &Rc<RefCell<Told>>, run: &str) -> String {
    told.borrow().known.iter().position(|r| r == run).map_or_else(|| run.to_owned(), |at| format!("r{at}"))
}

pub(super) async fn one(
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

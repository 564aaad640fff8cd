//! The world all simulated processes share: its containers, its weather, and what happened in it.

use super::*;

/// SplitMix64 (Steele, Lea, Flood 2014): small, and the same on every machine.
#[derive(Clone, Debug)]
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        n > 0 && self.below(n) == 0
    }
}

/// How bad a world is: one in so many; 0 is never.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    pub crash: u64,
    pub refuse: u64,
    pub full: u64,
    pub slow: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Dummy {
    pub(super) name: String,
    pub(super) labels: Labels,
    pub(super) state: ContainerState,
    pub(super) pid: u32,
    /// Counts starts; what belongs to an earlier one is gone.
    pub(super) life: u64,
    pub(super) laid: bool,
    /// The life of the fabric that wired it.
    pub(super) wired: Option<u64>,
}

impl Dummy {
    pub(super) fn guards(&self) -> bool {
        self.labels.get(label::KIND).is_some_and(|kind| kind == "guard")
    }
}

pub(super) struct State {
    pub(super) dice: Dice,
    pub(super) weather: Weather,
    pub(super) dead: BTreeSet<usize>,
    pub(super) crashed: Vec<usize>,
    pub(super) down_until: Option<Instant>,
    pub(super) boxes: BTreeMap<String, Dummy>,
    pub(super) drawn: u32,
    pub(super) cut: BTreeSet<(String, String)>,
    pub(super) listeners: Vec<(Labels, mpsc::UnboundedSender<Result<EngineEvent>>)>,
    pub(super) trace: Vec<String>,
    pub(super) touched: Vec<String>,
}

pub struct World {
    pub(super) state: Mutex<State>,
    pub crash: Notify,
    pub(super) began: Instant,
    pub(super) scenario: Arc<Scenario>,
    pub instance: String,
}

/// Labels of a container that is not ours.
pub const FOREIGN: &str = "somebody-else";

impl World {
    pub fn new(seed: u64, weather: Weather, scenario: Arc<Scenario>, instance: &str) -> Arc<Self> {
        let state = State {
            dice: Dice(seed),
            weather,
            dead: BTreeSet::new(),
            crashed: Vec::new(),
            down_until: None,
            boxes: BTreeMap::new(),
            drawn: 0,
            cut: BTreeSet::new(),
            listeners: Vec::new(),
            trace: Vec::new(),
            touched: Vec::new(),
        };
        let world = Self {
            state: Mutex::new(state),
            crash: Notify::new(),
            began: Instant::now(),
            scenario,
            instance: instance.into(),
        };
        for (name, run) in [("foreign-a", "trial12345"), ("foreign-b", "someothers")] {
            let labels = [(label::INSTANCE, FOREIGN), (label::RUN, run), (label::NODE, "n")];
            let labels = labels.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
            let state = ContainerState::Running;
            let foreign = Dummy { name: name.into(), labels, state, pid: 1, life: 1, laid: false, wired: None };
            world.lock().boxes.insert(name.into(), foreign);
        }
        Arc::new(world)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn note(&self, text: impl std::fmt::Display) {
        let at = self.began.elapsed().as_millis();
        self.lock().trace.push(format!("{at:>7} {text}"));
    }

    pub fn trace(&self) -> Vec<String> {
        self.lock().trace.clone()
    }

    pub fn touched(&self) -> Vec<String> {
        self.lock().touched.clone()
    }

    pub fn calm(&self) {
        let mut s = self.lock();
        s.weather = Weather::default();
        s.down_until = None;
    }

    pub fn kill(&self, process: usize) {
        let mut s = self.lock();
        if s.dead.insert(process) {
            s.crashed.push(process);
            self.crash.notify_one();
        }
    }

    pub fn crashed(&self) -> Option<usize> {
        self.lock().crashed.pop()
    }

    pub fn is_dead(&self, process: usize) -> bool {
        self.lock().dead.contains(&process)
    }

    /// Every step that reaches outside a process passes here: it may take time, and the process may end before it.
    pub async fn pass(&self, process: usize, what: &str) {
        let (ends, delay) = {
            let mut s = self.lock();
            let (crash, slow) = (s.weather.crash, s.weather.slow);
            let ends = s.dead.contains(&process) || s.dice.one_in(crash);
            let delay = if s.dice.one_in(slow) { s.dice.below(4_000) } else { s.dice.below(12) };
            (ends, delay)
        };
        if ends && !self.is_dead(process) {
            self.note(format!("p{process} is killed at {what}"));
            self.kill(process);
        }
        tokio::time::sleep(Duration::from_millis(delay)).await;
        if ends || self.is_dead(process) {
            std::future::pending::<()>().await;
        }
    }

    pub async fn disk(&self, process: usize, what: &'static str) -> Result<()> {
        self.pass(process, what).await;
        let full = {
            let mut s = self.lock();
            let full = s.weather.full;
            what == "write" && s.dice.one_in(full)
        };
        if full {
            self.note(format!("p{process} finds the disk full"));
            return Err(Error::new(Code::DiskFull, "The disk is full (simulated)."));
        }
        Ok(())
    }

    /// The engine goes away with everything that runs, and is back after a while.
    pub fn engine_down(&self, back: Duration) {
        let ids: Vec<String> = self.lock().boxes.keys().cloned().collect();
        ids.iter().for_each(|id| self.ended(id));
        let mut s = self.lock();
        s.down_until = Some(Instant::now() + back);
        for (_, listener) in std::mem::take(&mut s.listeners) {
            let _ = listener.send(Err(away()));
        }
    }

    /// Somebody removes or restarts one of ours with Docker's own tools.
    pub fn meddle(&self, pick: u64, remove: bool) {
        let ours: Vec<String> = {
            let s = self.lock();
            let ours = |b: &&Dummy| b.labels.get(label::INSTANCE) == Some(&self.instance);
            s.boxes.values().filter(ours).map(|b| b.name.clone()).collect()
        };
        let Some(id) = ours.get((pick as usize) % ours.len().max(1)).cloned() else { return };
        self.note(format!("somebody {} {id}", if remove { "removes" } else { "restarts" }));
        self.ended(&id);
        if remove {
            self.lock().boxes.remove(&id);
            return;
        }
        self.started(&id);
    }

    pub(super) fn tell(&self, id: &str, action: &str) {
        let mut s = self.lock();
        let Some(labels) = s.boxes.get(id).map(|b| b.labels.clone()) else { return };
        s.listeners.retain(|(filter, listener)| {
            let wanted = filter.iter().all(|(k, v)| labels.get(k) == Some(v));
            let event = EngineEvent { action: action.into(), container: id.into(), labels: labels.clone() };
            !wanted || listener.send(Ok(event)).is_ok()
        });
    }

    pub(super) fn ended(&self, id: &str) {
        if let Some(b) = self.lock().boxes.get_mut(id) {
            if matches!(b.state, ContainerState::Running | ContainerState::Paused) {
                b.state = ContainerState::Exited;
            }
            (b.laid, b.wired) = (false, None);
        }
        self.tell(id, "die");
    }

    pub(super) fn started(&self, id: &str) {
        let mut s = self.lock();
        s.drawn += 1;
        let pid = s.drawn + 1000;
        if let Some(b) = s.boxes.get_mut(id) {
            (b.state, b.pid, b.laid, b.wired) = (ContainerState::Running, pid, false, None);
            b.life += 1;
            let run = b.labels.get(label::RUN).cloned().unwrap_or_default();
            if !b.labels.contains_key(label::NODE) {
                s.cut.retain(|(r, _)| *r != run);
            }
        }
        drop(s);
        self.tell(id, "start");
    }

    /// What exists of ours: run → what is wrong with it as a lab that should be ready (empty: nothing).
    pub fn runs(&self) -> BTreeMap<String, Vec<String>> {
        let s = self.lock();
        let mut runs: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for b in s.boxes.values().filter(|b| b.labels.get(label::INSTANCE) == Some(&self.instance)) {
            runs.entry(b.labels.get(label::RUN).cloned().unwrap_or_default()).or_default();
        }
        for (run, wrong) in &mut runs {
            let of = |node: Option<&str>| {
                s.boxes.values().find(|b| {
                    b.labels.get(label::RUN) == Some(run) && b.labels.get(label::NODE).map(String::as_str) == node
                })
            };
            let fabric = of(None);
            if !fabric.is_some_and(|f| f.state == ContainerState::Running && f.laid) {
                wrong.push("the fabric is not up".into());
            }
            for node in &self.scenario.nodes {
                match of(Some(&node.name)) {
                    None => wrong.push(format!("{} is missing", node.name)),
                    Some(b) if b.state != ContainerState::Running => {
                        wrong.push(format!("{} is {:?}", node.name, b.state));
                    }
                    Some(b) if b.wired.is_none() || b.wired != fabric.map(|f| f.life) => {
                        wrong.push(format!("{} has no links", node.name));
                    }
                    Some(_) => {}
                }
            }
            if !s.boxes.values().any(|b| b.guards() && b.state == ContainerState::Running) {
                wrong.push("nobody guards it".into());
            }
            wrong.extend(s.cut.iter().filter(|(r, _)| r == run).map(|(_, link)| format!("{link} is cut")));
        }
        runs
    }
}

impl State {
    pub(super) fn runs_at(&self, pid: &str, container: &str) -> bool {
        let at =
            |b: &Dummy| matches!(b.state, ContainerState::Running | ContainerState::Paused) && b.pid.to_string() == pid;
        self.boxes.get(container).is_some_and(at)
    }
}

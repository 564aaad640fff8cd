//! An engine made of memory, for the simulation: containers that start, end and lose their links as Docker's do, a fabric that
//! answers as `broker.pl` does, and a world that delays, refuses and ends processes as a seed says. Everything runs on one
//! thread in virtual time, so that a seed is a history.

#![allow(clippy::indexing_slicing)]
use super::fabric::channel::unpack;
use super::outside::Street;
use super::*;
use crate::error::{Code, Error};
use crate::template::scenario::Scenario;
use futures_util::StreamExt;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::AsyncReadExt;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

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
struct Dummy {
    name: String,
    labels: Labels,
    state: ContainerState,
    pid: u32,
    /// Counts starts; what belongs to an earlier one is gone.
    life: u64,
    laid: bool,
    /// The life of the fabric that wired it.
    wired: Option<u64>,
}

impl Dummy {
    fn guards(&self) -> bool {
        self.labels.get(label::KIND).is_some_and(|kind| kind == "guard")
    }
}

struct State {
    dice: Dice,
    weather: Weather,
    dead: BTreeSet<usize>,
    crashed: Vec<usize>,
    down_until: Option<Instant>,
    boxes: BTreeMap<String, Dummy>,
    drawn: u32,
    cut: BTreeSet<(String, String)>,
    listeners: Vec<(Labels, mpsc::UnboundedSender<Result<EngineEvent>>)>,
    trace: Vec<String>,
    touched: Vec<String>,
}

pub struct World {
    state: Mutex<State>,
    pub crash: Notify,
    began: Instant,
    scenario: Arc<Scenario>,
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

    fn lock(&self) -> MutexGuard<'_, State> {
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

    fn tell(&self, id: &str, action: &str) {
        let mut s = self.lock();
        let Some(labels) = s.boxes.get(id).map(|b| b.labels.clone()) else { return };
        s.listeners.retain(|(filter, listener)| {
            let wanted = filter.iter().all(|(k, v)| labels.get(k) == Some(v));
            let event = EngineEvent { action: action.into(), container: id.into(), labels: labels.clone() };
            !wanted || listener.send(Ok(event)).is_ok()
        });
    }

    fn ended(&self, id: &str) {
        if let Some(b) = self.lock().boxes.get_mut(id) {
            if matches!(b.state, ContainerState::Running | ContainerState::Paused) {
                b.state = ContainerState::Exited;
            }
            (b.laid, b.wired) = (false, None);
        }
        self.tell(id, "die");
    }

    fn started(&self, id: &str) {
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

fn away() -> Error {
    Error::new(Code::DockerUnavailable, "Docker does not answer (simulated).")
}

/// One process's connection to the world.
pub struct Fake {
    pub world: Arc<World>,
    pub process: usize,
}

impl Fake {
    async fn call(&self, what: &str, id: &str) -> Result<()> {
        self.world.pass(self.process, what).await;
        let mut s = self.world.lock();
        // The guard is everybody's.
        let ours = |b: &Dummy| b.labels.get(label::INSTANCE) == Some(&self.world.instance) || b.guards();
        if s.boxes.get(id).is_some_and(|b| !ours(b)) {
            s.touched.push(format!("{what} {id}"));
        }
        if s.down_until.is_some_and(|t| Instant::now() < t) {
            return Err(away());
        }
        let refuse = s.weather.refuse;
        if s.dice.one_in(refuse) {
            let code = if what == "create" && s.dice.one_in(2) { Code::NoMemory } else { Code::DockerFailed };
            drop(s);
            self.world.note(format!("p{} is refused {what} {id}", self.process));
            return Err(Error::new(code, format!("Refused: {what} (simulated).")));
        }
        Ok(())
    }

    /// It was done, but the answer may be late, or nobody may be left to hear it.
    async fn answered(&self, what: &str) -> Result<()> {
        self.world.pass(self.process, what).await;
        let late = {
            let mut s = self.world.lock();
            let refuse = s.weather.refuse;
            refuse > 0 && s.dice.one_in(refuse * 2)
        };
        match late {
            true => Err(Error::new(Code::Timeout, format!("No answer to {what} in time (simulated)."))),
            false => Ok(()),
        }
    }

    fn known(&self, id: &str) -> Result<Dummy> {
        let missing = || Error::new(Code::NotFound, format!("No container {id}."));
        self.world.lock().boxes.get(id).cloned().ok_or_else(missing)
    }
}

#[async_trait]
impl Engine for Fake {
    async fn info(&self) -> Result<EngineInfo> {
        self.call("info", "").await?;
        Ok(EngineInfo { cpus: 64, memory_bytes: 64 << 30, version: "fake".into(), ..EngineInfo::default() })
    }

    async fn create(&self, spec: &ContainerSpec) -> Result<String> {
        self.call("create", &spec.name).await?;
        let made = Dummy {
            name: spec.name.clone(),
            labels: spec.labels.clone(),
            state: ContainerState::Created,
            pid: 0,
            life: 0,
            laid: false,
            wired: None,
        };
        if self.world.lock().boxes.insert(spec.name.clone(), made).is_some() {
            return Err(Error::new(Code::WrongState, "The name is taken."));
        }
        self.answered("create").await?;
        Ok(spec.name.clone())
    }

    async fn put_tar(&self, id: &str, _: &str, _: Bytes) -> Result<()> {
        self.call("put", id).await
    }

    async fn start(&self, id: &str) -> Result<()> {
        self.call("start", id).await?;
        if !matches!(self.known(id)?.state, ContainerState::Running | ContainerState::Paused) {
            self.world.started(id);
        }
        self.answered("start").await
    }

    async fn pid(&self, id: &str) -> Result<u32> {
        self.call("pid", id).await?;
        match self.known(id)? {
            b if matches!(b.state, ContainerState::Running | ContainerState::Paused) => Ok(b.pid),
            _ => Err(Error::new(Code::WrongState, format!("Container {id} does not run."))),
        }
    }

    async fn pause(&self, id: &str) -> Result<()> {
        self.call("pause", id).await?;
        self.known(id)?;
        if let Some(b) = self.world.lock().boxes.get_mut(id).filter(|b| b.state == ContainerState::Running) {
            b.state = ContainerState::Paused;
        }
        self.answered("pause").await
    }

    async fn unpause(&self, id: &str) -> Result<()> {
        self.call("unpause", id).await?;
        if let Some(b) = self.world.lock().boxes.get_mut(id).filter(|b| b.state == ContainerState::Paused) {
            b.state = ContainerState::Running;
        }
        self.answered("unpause").await
    }

    async fn restart(&self, id: &str) -> Result<()> {
        self.call("restart", id).await?;
        self.known(id)?;
        self.world.ended(id);
        self.world.started(id);
        self.answered("restart").await
    }

    async fn remove(&self, id: &str) -> Result<()> {
        self.call("remove", id).await?;
        self.world.ended(id);
        self.world.lock().boxes.remove(id);
        self.answered("remove").await
    }

    async fn list(&self, labels: &[(&str, &str)]) -> Result<Vec<Container>> {
        self.call("list", "").await?;
        let s = self.world.lock();
        let fits = |b: &Dummy| labels.iter().all(|(k, v)| b.labels.get(*k).is_some_and(|l| l == v));
        let found = s.boxes.iter().filter(|(_, b)| fits(b));
        let shown = found.map(|(id, b)| Container {
            id: id.clone(),
            name: b.name.clone(),
            labels: b.labels.clone(),
            state: b.state,
        });
        Ok(shown.collect())
    }

    async fn exec(&self, id: &str, _: &ExecSpec, _: Option<Bytes>, _: Duration) -> Result<ExecOutput> {
        self.call("exec", id).await?;
        match self.known(id)?.state {
            ContainerState::Running => Ok(ExecOutput::default()),
            _ => Err(Error::new(Code::WrongState, format!("Container {id} does not run."))),
        }
    }

    async fn attach(&self, id: &str, _: &ExecSpec) -> Result<ExecStream> {
        self.call("attach", id).await?;
        let b = self.known(id)?;
        if b.state != ContainerState::Running {
            return Err(Error::new(Code::WrongState, format!("Container {id} does not run.")));
        }
        let (input, requests) = tokio::io::duplex(1 << 20);
        let (answers, output) = mpsc::unbounded_channel();
        let broker = Broker { world: self.world.clone(), process: self.process, fabric: id.into(), life: b.life };
        tokio::spawn(broker.serve(requests, answers));
        let output = tokio_stream::wrappers::UnboundedReceiverStream::new(output).map(|b| Ok((1, b))).boxed();
        Ok(ExecStream { id: "exec".into(), input: Box::pin(input), output })
    }

    async fn resize(&self, _: &str, _: u16, _: u16) -> Result<()> {
        Ok(())
    }

    async fn exec_exit(&self, _: &str) -> Result<Option<i64>> {
        Ok(Some(0))
    }

    async fn events(&self, labels: &[(&str, &str)]) -> Result<BoxStream<'static, Result<EngineEvent>>> {
        self.call("events", "").await?;
        let (sender, receiver) = mpsc::unbounded_channel();
        let filter = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        self.world.lock().listeners.push((filter, sender));
        Ok(tokio_stream::wrappers::UnboundedReceiverStream::new(receiver).boxed())
    }

    async fn logs(&self, id: &str, _: u32) -> Result<String> {
        self.call("logs", id).await.map(|()| String::new())
    }
}

#[async_trait]
impl Shelf for Fake {
    async fn list(&self) -> Result<Vec<super::images::ImageState>> {
        Ok(Vec::new())
    }

    async fn resolve(&self, name: &str) -> Result<String> {
        self.call("image", "").await.map(|()| format!("sha256:{name}"))
    }

    async fn prepare(
        &self,
        _: &[String],
        _: &(dyn Fn(super::images::Progress) + Send + Sync),
        _: &tokio_util::sync::CancellationToken,
    ) -> Result<()> {
        Ok(())
    }
}

/// There is nothing outside: nothing simulated probes for a way there.
#[async_trait]
impl super::outside::Outside for Fake {
    async fn open_street(&self, _: &str, _: &Labels, _: &str) -> Result<Street> {
        Err(away())
    }
    async fn street(&self, _: &str) -> Result<Street> {
        Err(away())
    }
    async fn streets(&self, _: &[(&str, &str)]) -> Result<Vec<Street>> {
        self.call("streets", "").await.map(|()| Vec::new())
    }
    async fn close_street(&self, _: &str) -> Result<()> {
        Err(away())
    }
    async fn create_outside(&self, _: &ContainerSpec, _: &super::outside::Reach) -> Result<String> {
        Err(away())
    }
}

/// Answers as `broker.pl` in one life of a fabric does.
#[derive(Clone)]
struct Broker {
    world: Arc<World>,
    process: usize,
    fabric: String,
    life: u64,
}

impl Broker {
    async fn serve(self, mut requests: tokio::io::DuplexStream, answers: mpsc::UnboundedSender<Bytes>) {
        let mut length = [0u8; 4];
        while requests.read_exact(&mut length).await.is_ok() {
            let mut body = vec![0; u32::from_be_bytes(length) as usize];
            if requests.read_exact(&mut body).await.is_err() {
                return;
            }
            let (broker, answers) = (self.clone(), answers.clone());
            tokio::spawn(async move {
                broker.world.pass(broker.process, "fabric").await;
                if let Some(answer) = broker.answer(&unpack(&body)) {
                    broker.world.pass(broker.process, "fabric answers").await;
                    let _ = answers.send(answer);
                }
            });
        }
    }

    /// None while the fabric does not live any more: nobody answers.
    fn answer(&self, fields: &[Vec<u8>]) -> Option<Bytes> {
        let text = |i: usize| fields.get(i).map(|f| String::from_utf8_lossy(f).into_owned()).unwrap_or_default();
        let (id, op, target, stdin) = (text(0), text(1), text(4), text(6));
        let args: Vec<String> = (7..fields.len()).map(text).collect();
        let mut s = self.world.lock();
        let run = {
            let fabric = s.boxes.get(&self.fabric).filter(|f| f.life == self.life)?;
            (fabric.state == ContainerState::Running).then_some(())?;
            fabric.labels.get(label::RUN).cloned()?
        };
        let node = target.split_once(':').map(|(pid, container)| (pid.to_owned(), container.to_owned()));
        let gone = node.as_ref().is_some_and(|(pid, container)| !s.runs_at(pid, container));
        let (status, exit, stdout, stderr) = match (op.as_str(), gone) {
            ("cancel", _) => return None,
            ("ping", _) => ("done", 0, String::new(), String::new()),
            (_, true) => ("gone", 0, String::new(), String::new()),
            ("exec", _) if args.first().is_some_and(|a| a == "ip") => match s.boxes.get_mut(&self.fabric) {
                Some(f) if f.laid => ("done", 2, String::new(), "RTNETLINK answers: File exists".into()),
                Some(f) => {
                    f.laid = true;
                    ("done", 0, String::new(), String::new())
                }
                None => return None,
            },
            ("exec", _) => {
                let script = args.get(2).cloned().unwrap_or_default();
                let laid = s.boxes.get(&self.fabric).is_some_and(|f| f.laid);
                if script.starts_with("test -e /sys/class/net/") && !laid {
                    ("done", 1, String::new(), String::new())
                } else if let Some((verb, rest)) = script.split_once("/tmp/forge-cut-") {
                    let link = rest.split_whitespace().next().unwrap_or_default().to_owned();
                    if verb.contains("touch") {
                        s.cut.insert((run, link))
                    } else {
                        s.cut.remove(&(run, link))
                    };
                    ("done", 0, String::new(), String::new())
                } else {
                    ("done", 0, String::new(), String::new())
                }
            }
            ("wire", _) => {
                let laid = s.boxes.get(&self.fabric).is_some_and(|f| f.laid);
                let container = node.map(|(_, c)| c).unwrap_or_default();
                match s.boxes.get_mut(&container) {
                    _ if !laid => ("done", 1, String::new(), "Cannot find device".into()),
                    Some(b) if b.wired.is_some() => ("done", 0, String::new(), String::new()),
                    Some(b) => {
                        b.wired = Some(self.life);
                        ("done", 0, "wired".into(), String::new())
                    }
                    None => ("gone", 0, String::new(), String::new()),
                }
            }
            ("await", _) => {
                let ended = stdin.lines().find(|line| {
                    let words: Vec<&str> = line.split(' ').collect();
                    !matches!(words.as_slice(), [_, pid, container, ..] if s.runs_at(pid, container))
                });
                match ended.and_then(|line| line.split(' ').next()) {
                    Some(node) => ("done", 1, String::new(), format!("{node}\tit has ended")),
                    None => ("done", 0, String::new(), String::new()),
                }
            }
            ("guard", _) => match args.get(1).and_then(|id| s.boxes.get(id)) {
                Some(guard) if guard.state == ContainerState::Running => ("done", 0, String::new(), String::new()),
                _ => ("done", 8, String::new(), "its rule is not there".into()),
            },
            ("survey", _) => ("done", 0, self.survey(&s, &stdin, &run), String::new()),
            ("read", _) => ("done", 2, String::new(), String::new()),
            ("tree", _) => ("done", 0, String::new(), String::new()),
            _ => ("failed", 0, String::new(), format!("no such operation: {op}")),
        };
        let exit = exit.to_string();
        let body: Vec<u8> = [id.as_str(), status, &exit, "0", &stdout, &stderr]
            .iter()
            .flat_map(|f| [&(f.len() as u32).to_be_bytes(), f.as_bytes()].concat())
            .collect();
        Some(Bytes::from([&(body.len() as u32).to_be_bytes()[..], &body].concat()))
    }

    fn survey(&self, s: &State, stdin: &str, run: &str) -> String {
        let mut out = String::new();
        let mut ports = Vec::new();
        for (index, link) in self.scenario_links().iter().enumerate() {
            ports.push(format!("b{index}"));
            ports.extend((0..link.endpoints.len()).map(|end| format!("p{index}.{end}")));
        }
        for line in stdin.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let [node, pid, container, ..] = words.as_slice() else { continue };
            let wired =
                s.runs_at(pid, container) && s.boxes.get(*container).is_some_and(|b| b.wired == Some(self.life));
            let mut devices = vec!["lo".to_owned()];
            let ends = self.scenario_links().iter().flat_map(|l| &l.endpoints).filter(|e| e.node == *node);
            devices.extend(ends.filter(|_| wired).map(|e| e.interface.clone()));
            out.push_str(&format!("{node}\t{run}-{pid}\t{}\t\n", devices.join(",")));
        }
        out + &format!("\t{run}-fabric\tlo,{}\t\n", ports.join(","))
    }

    fn scenario_links(&self) -> &[crate::template::scenario::Link] {
        &self.world.scenario.links
    }
}

impl State {
    fn runs_at(&self, pid: &str, container: &str) -> bool {
        let at =
            |b: &Dummy| matches!(b.state, ContainerState::Running | ContainerState::Paused) && b.pid.to_string() == pid;
        self.boxes.get(container).is_some_and(at)
    }
}

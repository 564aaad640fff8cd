//! Running the checks of a lab: gentle criteria at once and batched per place, disturbing ones after them and one
//! after another, each restored whatever happens. Outcomes are told as they come.

use super::ask::{FILE_MAX, Question, question};
use super::grade::{Finding, grade, not_checked, outcome};
use super::lanes::Lanes;
use super::observation::{Answer, Ask, Observation};
use super::vantage::Vantage;
use crate::api::{CriterionOutcome, OutcomeKind};
use crate::error::{Code, Error, Result};
use crate::template::scenario::{Criterion, Disturbance, Evidence, From, Probe};
use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

pub type OnOutcome = Arc<dyn Fn(&CriterionOutcome) + Send + Sync>;

#[derive(Clone, Default)]
pub struct Options {
    /// Leave out the criteria that disturb the lab.
    pub gentle: bool,
    /// Only these criteria; all when empty.
    pub only: BTreeSet<String>,
    /// Ask gentle evidence once, however long its `within`: whoever asks comes back in a moment anyway.
    pub at_once: bool,
    pub cancel: CancellationToken,
    /// Called once per criterion, as soon as it is settled.
    pub on_outcome: Option<OnOutcome>,
    /// Milli-points that revealed hints take off, by criterion id.
    pub hint_costs: BTreeMap<String, u64>,
}

/// What a check found. Outcomes stand in the order of the criteria, those left out as `NotChecked`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    pub outcomes: Vec<CriterionOutcome>,
    pub findings: Vec<Finding>,
    /// Milli-points reached, and reachable over all criteria.
    pub score: u64,
    pub max: u64,
    /// Disturbances that could not be undone, in words; the lab needs a restart then.
    pub unrestored: Vec<String>,
}

/// First pause between two attempts; each further one is half as long again, up to the longest.
const PAUSE: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// How long a lab may take to be again what it was before a disturbance (routing protocols converge).
const RECOVERY: Duration = Duration::from_secs(30);
/// How often an undo is tried before it is given up.
const UNDO_ATTEMPTS: u32 = 3;

/// Asks and judges. `Cancelled` when asked to stop, after everything disturbed has been restored; `NotFound` when `only`
/// names a criterion that is not there. What cannot be asked is an outcome, not an error of this function.
pub async fn run(vantage: Arc<dyn Vantage>, criteria: &[Criterion], options: &Options) -> Result<Report> {
    if let Some(unknown) = options.only.iter().find(|id| !criteria.iter().any(|c| c.id == **id)) {
        return Err(Error::new(Code::NotFound, format!("This lab has no criterion “{unknown}”.")));
    }
    let chosen = |c: &&Criterion| options.only.is_empty() || options.only.contains(&c.id);
    let (rough, calm): (Vec<_>, Vec<_>) = criteria.iter().filter(chosen).partition(|c| c.disturbs());
    let mut session = Session {
        vantage,
        options,
        began: Instant::now(),
        findings: Vec::new(),
        settled: BTreeMap::new(),
        lanes: Lanes::default(),
    };
    session.gentle(&calm).await?;
    let mut unrestored = Vec::new();
    if !options.gentle {
        for criterion in rough {
            session.disturbing(criterion, &mut unrestored).await?;
            session.recover(&calm).await?;
        }
    }
    let outcomes: Vec<CriterionOutcome> =
        criteria.iter().map(|c| session.settled.remove(&c.id).unwrap_or_else(|| not_checked(c))).collect();
    Ok(Report {
        score: outcomes.iter().map(|o| o.points).sum(),
        max: outcomes.iter().map(|o| o.max).sum(),
        outcomes,
        findings: session.findings,
        unrestored,
    })
}

struct Session<'a> {
    vantage: Arc<dyn Vantage>,
    options: &'a Options,
    began: Instant,
    findings: Vec<Finding>,
    settled: BTreeMap<String, CriterionOutcome>,
    lanes: Lanes,
}

/// One piece of evidence on its way to being settled.
struct Item<'a> {
    criterion: &'a Criterion,
    index: usize,
    evidence: &'a Evidence,
    question: Question,
    attempts: u32,
    /// Counted from when its place began to be asked.
    until: Instant,
}

/// Items that can be asked in one round trip: same place, same pace.
fn batch_key(question: &Question) -> String {
    match &question.ask {
        Ask::Look { from, .. } if question.stdin.is_empty() => {
            let place = match from {
                From::Node(n) => format!("node {n}"),
                From::Unseen { .. } => format!("unseen {from:?}"),
            };
            format!("{place} {}", question.quick)
        }
        other => format!("alone {other:?}"),
    }
}

/// What becomes of an item of a batch: a finding, or nothing because its criterion has failed without it.
struct Told<'a> {
    criterion: &'a Criterion,
    finding: Option<Finding>,
}

/// One failure settles a criterion, so what else it asks for need not be waited for.
#[derive(Default)]
struct Failed(Mutex<BTreeSet<String>>);

impl Failed {
    fn has(&self, criterion: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(criterion)
    }

    fn heed(&self, finding: &Finding, evidence: &Evidence) {
        if finding.judge(evidence).outcome == OutcomeKind::Fail {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(finding.criterion.clone());
        }
    }
}

impl<'a> Session<'a> {
    async fn gentle(&mut self, criteria: &[&'a Criterion]) -> Result<()> {
        let now = Instant::now();
        let failed = Failed::default();
        let mut batches: BTreeMap<String, Vec<Item<'a>>> = BTreeMap::new();
        for criterion in criteria {
            for (index, evidence) in criterion.evidence.iter().enumerate() {
                let question = question(&evidence.probe);
                let until = now + self.patience(evidence);
                let item = Item { criterion, index, evidence, question, attempts: 0, until };
                batches.entry(batch_key(&item.question)).or_default().push(item);
            }
            if criterion.evidence.is_empty() {
                self.settle(criterion);
            }
        }
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let mut work: FuturesUnordered<_> = batches
            .into_values()
            .map(|items| {
                settle_batch(&*self.vantage, items, self.began, &self.lanes, &self.options.cancel, &failed, &tell)
            })
            .collect();
        let mut findings = Vec::new();
        let mut open: BTreeMap<&str, usize> = criteria.iter().map(|c| (c.id.as_str(), c.evidence.len())).collect();
        // Borrowed work still runs: what is settled is told right away, from the findings so far.
        let mut take = |Told { criterion, finding }: Told<'a>, settled: &mut BTreeMap<String, CriterionOutcome>| {
            findings.extend(finding);
            let left = open.entry(&criterion.id).or_default();
            *left = left.saturating_sub(1);
            if *left == 0 {
                self::tell(criterion, &findings, self.options, settled);
            }
        };
        loop {
            tokio::select! {
                biased;
                () = self.options.cancel.cancelled() => return Err(Error::cancelled()),
                Some(one) = told.recv() => take(one, &mut self.settled),
                done = work.next() => if done.is_none() { break },
            }
        }
        while let Ok(one) = told.try_recv() {
            take(one, &mut self.settled);
        }
        drop(work);
        self.findings.append(&mut findings);
        Ok(())
    }

    async fn disturbing(&mut self, criterion: &'a Criterion, unrestored: &mut Vec<String>) -> Result<()> {
        for (index, evidence) in criterion.evidence.iter().enumerate() {
            let finding = match &evidence.after {
                Some(_) if !unrestored.is_empty() => self.unasked(
                    criterion,
                    index,
                    evidence,
                    "an earlier change to the lab could not be taken back".into(),
                ),
                Some(what) => {
                    let guard = Restore { vantage: self.vantage.clone(), what: Some(what.clone()) };
                    let finding = tokio::select! {
                        biased;
                        () = self.options.cancel.cancelled() => None,
                        finding = self.disturbed(criterion, index, evidence, what) => Some(finding),
                    };
                    if let Err(e) = guard.now().await {
                        tracing::error!(error = %e, what = ?what, "a disturbance of the lab could not be undone");
                        unrestored.push(format!("{}: {e}", words(what)));
                    }
                    finding.ok_or_else(Error::cancelled)?
                }
                None => {
                    let mut item = self.item(criterion, index, evidence);
                    tokio::select! {
                        biased;
                        () = self.options.cancel.cancelled() => return Err(Error::cancelled()),
                        finding = settle_one(&*self.vantage, &mut item, self.began, &self.lanes) => finding,
                    }
                }
            };
            let settled = finding.judge(evidence).outcome == OutcomeKind::Fail;
            self.findings.push(finding);
            // One failure settles it, so that the lab need not be disturbed any further.
            if settled {
                break;
            }
        }
        self.settle(criterion);
        Ok(())
    }

    /// Waits until what passed before the disturbances passes again, so that the next one, and the next check, find the
    /// lab as it was. Captures and logins are left out: they are slow, and say nothing about convergence. A lab that does
    /// not come back in time is no error here; the next check will say so.
    async fn recover(&self, criteria: &[&'a Criterion]) -> Result<()> {
        let until = Instant::now() + RECOVERY;
        let passed = |c: &&Criterion| self.settled.get(&c.id).is_some_and(|o| o.outcome == OutcomeKind::Pass);
        let mut batches: BTreeMap<String, Vec<Item<'a>>> = BTreeMap::new();
        for criterion in criteria.iter().copied().filter(passed) {
            for (index, evidence) in criterion.evidence.iter().enumerate() {
                let question = question(&evidence.probe);
                let fast = matches!(evidence.probe, Probe::Ping { .. } | Probe::Tcp { .. } | Probe::Dns { .. });
                if question.quick || fast {
                    let item = Item { criterion, index, evidence, question, attempts: 0, until };
                    batches.entry(batch_key(&item.question)).or_default().push(item);
                }
            }
        }
        // Nobody listens: what is seen now settles nothing.
        let (tell, _) = tokio::sync::mpsc::unbounded_channel();
        let failed = Failed::default();
        let cancel = &self.options.cancel;
        let batches = batches.into_values();
        let all = join_all(
            batches.map(|items| settle_batch(&*self.vantage, items, self.began, &self.lanes, cancel, &failed, &tell)),
        );
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(Error::cancelled()),
            _ = all => Ok(()),
        }
    }

    async fn disturbed(
        &self,
        criterion: &'a Criterion,
        index: usize,
        evidence: &'a Evidence,
        what: &Disturbance,
    ) -> Finding {
        if let Err(e) = self.vantage.disturb(what).await {
            return self.unasked(criterion, index, evidence, format!("{} did not work: {e}", words(what)));
        }
        settle_one(&*self.vantage, &mut self.item(criterion, index, evidence), self.began, &self.lanes).await
    }

    fn item(&self, criterion: &'a Criterion, index: usize, evidence: &'a Evidence) -> Item<'a> {
        let until = Instant::now() + Duration::from_millis(evidence.within_ms);
        Item { criterion, index, evidence, question: question(&evidence.probe), attempts: 0, until }
    }

    fn patience(&self, evidence: &Evidence) -> Duration {
        Duration::from_millis(if self.options.at_once { 0 } else { evidence.within_ms })
    }

    fn unasked(&self, criterion: &Criterion, index: usize, evidence: &Evidence, reason: String) -> Finding {
        Finding {
            criterion: criterion.id.clone(),
            index,
            after: evidence.after.clone(),
            attempts: 0,
            observation: Observation {
                asked: question(&evidence.probe).ask,
                answered: Answer::NotAsked { reason },
                at_ms: millis(self.began),
            },
        }
    }

    fn settle(&mut self, criterion: &Criterion) {
        tell(criterion, &self.findings, self.options, &mut self.settled);
    }
}

fn tell(c: &Criterion, findings: &[Finding], options: &Options, settled: &mut BTreeMap<String, CriterionOutcome>) {
    let cost = options.hint_costs.get(&c.id).copied().unwrap_or(0);
    let ms = findings.iter().filter(|f| f.criterion == c.id).map(|f| f.observation.at_ms).max().unwrap_or(0);
    let outcome = outcome(c, grade(c, findings), cost, ms);
    if let Some(on) = &options.on_outcome {
        on(&outcome);
    }
    settled.insert(c.id.clone(), outcome);
}

/// Keeps asking one batch until each item passed or its time is up.
async fn settle_batch<'a>(
    vantage: &dyn Vantage,
    mut items: Vec<Item<'a>>,
    began: Instant,
    lanes: &Lanes,
    cancel: &CancellationToken,
    failed: &Failed,
    tell: &tokio::sync::mpsc::UnboundedSender<Told<'a>>,
) {
    let mut pause = PAUSE;
    while !items.is_empty() && !cancel.is_cancelled() {
        let answers = ask_batch(vantage, lanes, &items).await;
        let mut open = Vec::new();
        for (mut item, answer) in items.into_iter().zip(answers) {
            item.attempts += 1;
            match decided(&item, answer, began) {
                Ok(finding) => {
                    failed.heed(&finding, item.evidence);
                    // Gone only where nobody wants to know (see `recover`).
                    drop(tell.send(Told { criterion: item.criterion, finding: Some(finding) }));
                }
                Err(()) => open.push(item),
            }
        }
        if !open.is_empty() {
            tokio::time::sleep(pause).await;
            pause = (pause * 3 / 2).min(PAUSE_MAX);
        }
        let (lost, wanted) = open.into_iter().partition::<Vec<_>, _>(|i| failed.has(&i.criterion.id));
        for item in lost {
            drop(tell.send(Told { criterion: item.criterion, finding: None }));
        }
        items = wanted;
    }
}

async fn settle_one(vantage: &dyn Vantage, item: &mut Item<'_>, began: Instant, lanes: &Lanes) -> Finding {
    let mut pause = PAUSE;
    loop {
        let turn = lanes.turn(&item.question.ask, &item.evidence.probe).await;
        let answer = ask(vantage, &item.question).await;
        drop(turn);
        item.attempts += 1;
        if let Ok(finding) = decided(item, answer, began) {
            return finding;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 3 / 2).min(PAUSE_MAX);
    }
}

/// The finding when it passes or there is no time for another attempt; else `Err`, ask again.
fn decided(item: &Item<'_>, answered: Answer, began: Instant) -> Result<Finding, ()> {
    let finding = Finding {
        criterion: item.criterion.id.clone(),
        index: item.index,
        after: item.evidence.after.clone(),
        attempts: item.attempts,
        observation: Observation { asked: item.question.ask.clone(), answered, at_ms: millis(began) },
    };
    let passed = finding.judge(item.evidence).outcome == OutcomeKind::Pass;
    if passed || Instant::now() >= item.until { Ok(finding) } else { Err(()) }
}

async fn ask_batch(vantage: &dyn Vantage, lanes: &Lanes, items: &[Item<'_>]) -> Vec<Answer> {
    if let [Item { question: Question { ask: Ask::Look { from, .. }, stdin, .. }, .. }, _, ..] = items
        && stdin.is_empty()
    {
        let scripts: Vec<String> = items
            .iter()
            .filter_map(|i| match &i.question.ask {
                Ask::Look { script, .. } => Some(script.clone()),
                _ => None,
            })
            .collect();
        let limit = items.iter().map(|i| i.question.limit).max().unwrap_or_default();
        // One host for the whole batch; logins that need no secret are as many as there are items.
        let _turn = match items {
            [first, ..] => lanes.turn(&first.question.ask, &first.evidence.probe).await,
            [] => Vec::new(),
        };
        return match vantage.look_many(from, &scripts, limit).await {
            Ok(outputs) if outputs.len() == items.len() => outputs.into_iter().map(Answer::output).collect(),
            Ok(outputs) => {
                let reason = format!("{} questions got {} answers", items.len(), outputs.len());
                vec![Answer::NotAsked { reason }; items.len()]
            }
            Err(e) => vec![Answer::NotAsked { reason: e.message }; items.len()],
        };
    }
    join_all(items.iter().map(|i| async {
        let _turn = lanes.turn(&i.question.ask, &i.evidence.probe).await;
        ask(vantage, &i.question).await
    }))
    .await
}

/// Puts one question. A vantage that does not keep its own promise to end is cut off two seconds later.
async fn ask(vantage: &dyn Vantage, question: &Question) -> Answer {
    let asked = async {
        Ok(match &question.ask {
            Ask::Look { from, script } => {
                Answer::output(vantage.look(from, script, &question.stdin, question.limit).await?)
            }
            Ask::Inside { node, argv } => Answer::output(vantage.inside(node, argv, question.limit).await?),
            Ask::File { node, path, keep } => Answer::file(vantage.read_file(node, path, FILE_MAX).await?, *keep),
            Ask::Capture { link, filter, for_ms } => {
                Answer::output(vantage.capture(link, filter, Duration::from_millis(*for_ms)).await?)
            }
        })
    };
    match tokio::time::timeout(question.limit + Duration::from_secs(2), asked).await {
        Ok(Ok(answer)) => answer,
        Ok(Err::<Answer, Error>(e)) => Answer::NotAsked { reason: e.message },
        Err(_) => Answer::NotAsked { reason: "there was no answer in time".into() },
    }
}

fn millis(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)
}

fn words(what: &Disturbance) -> String {
    match what {
        Disturbance::Cut(link) => format!("cutting {link}"),
        Disturbance::Restart { node } => format!("restarting {node}"),
        Disturbance::Announce { node, prefix } => format!("announcing {prefix} from {node}"),
    }
}

/// Undoes a disturbance: by [`Restore::now`] on the usual way, by a task of its own when the check is dropped half-way.
struct Restore {
    vantage: Arc<dyn Vantage>,
    what: Option<Disturbance>,
}

impl Restore {
    async fn now(mut self) -> Result<()> {
        let Some(what) = self.what.clone() else { return Ok(()) };
        let result = undo(&*self.vantage, &what).await;
        self.what = None;
        result
    }
}

impl Drop for Restore {
    fn drop(&mut self) {
        let (Some(what), Ok(runtime)) = (self.what.take(), tokio::runtime::Handle::try_current()) else { return };
        let vantage = self.vantage.clone();
        runtime.spawn(async move {
            if let Err(e) = undo(&*vantage, &what).await {
                tracing::error!(error = %e, what = ?what, "a disturbance of the lab could not be undone");
            }
        });
    }
}

async fn undo(vantage: &dyn Vantage, what: &Disturbance) -> Result<()> {
    let mut result = vantage.undo(what).await;
    for _ in 1..UNDO_ATTEMPTS {
        if result.is_ok() {
            break;
        }
        tokio::time::sleep(PAUSE).await;
        result = vantage.undo(what).await;
    }
    result
}

//! Running the checks of a lab: gentle criteria at once and batched per place, disturbing ones after them and one
//! after another, each restored whatever happens. Outcomes are told as they come.

use super::ask::question;
use super::grade::{Finding, grade, not_checked, outcome};
use super::lanes::Lanes;
use super::observation::{Answer, Observation};
use super::settle::{Failed, Item, PAUSE, Told, batch_key, millis, settle_batch, settle_one};
use super::vantage::Vantage;
use crate::api::{CriterionOutcome, OutcomeKind};
use crate::error::{Code, Error, Result};
use crate::template::scenario::{Criterion, Disturbance, Evidence, Probe};
use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
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

impl<'a> Session<'a> {
    async fn gentle(&mut self, criteria: &[&'a Criterion]) -> Result<()> {
        let failed = Failed::default();
        let mut batches: BTreeMap<String, Vec<Item<'a>>> = BTreeMap::new();
        for criterion in criteria {
            for (index, evidence) in criterion.evidence.iter().enumerate() {
                let item = Item::new(criterion, index, evidence, self.patience(evidence));
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
                    let mut item =
                        Item::new(criterion, index, evidence, Some(Duration::from_millis(evidence.within_ms)));
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
        let passed = |c: &&Criterion| self.settled.get(&c.id).is_some_and(|o| o.outcome == OutcomeKind::Pass);
        let mut batches: BTreeMap<String, Vec<Item<'a>>> = BTreeMap::new();
        for criterion in criteria.iter().copied().filter(passed) {
            for (index, evidence) in criterion.evidence.iter().enumerate() {
                let item = Item::new(criterion, index, evidence, Some(RECOVERY));
                let fast = matches!(evidence.probe, Probe::Ping { .. } | Probe::Tcp { .. } | Probe::Dns { .. });
                if item.question.quick || fast {
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
        let mut item = Item::new(criterion, index, evidence, Some(Duration::from_millis(evidence.within_ms)));
        settle_one(&*self.vantage, &mut item, self.began, &self.lanes).await
    }

    fn patience(&self, evidence: &Evidence) -> Option<Duration> {
        (!self.options.at_once).then(|| Duration::from_millis(evidence.within_ms))
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

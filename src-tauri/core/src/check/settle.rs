//! Settling evidence: asking in batches per place, again and again, until an answer holds or its time is up.

use super::ask::{FILE_MAX, Question, question};
use super::grade::Finding;
use super::judge::starting;
use super::lanes::Lanes;
use super::observation::{Answer, Ask, Observation};
use super::vantage::Vantage;
use crate::api::OutcomeKind;
use crate::error::Error;
use crate::template::scenario::{Criterion, Evidence, From};
use futures_util::future::join_all;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// First pause between two attempts; each further one is half as long again, up to the longest.
pub(super) const PAUSE: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// How long a service that says “not yet” is believed.
const STARTING: Duration = Duration::from_secs(3);

/// One piece of evidence on its way to being settled.
pub(super) struct Item<'a> {
    criterion: &'a Criterion,
    index: usize,
    evidence: &'a Evidence,
    pub(super) question: Question,
    attempts: u32,
    /// Counted from when its place began to be asked.
    until: Instant,
    /// The same for an answer that says “not yet”.
    starting_until: Instant,
}

impl<'a> Item<'a> {
    /// To be settled within `patience`; with none, by the first answer, whatever it is.
    pub(super) fn new(
        criterion: &'a Criterion,
        index: usize,
        evidence: &'a Evidence,
        patience: Option<Duration>,
    ) -> Self {
        let now = Instant::now();
        let until = now + patience.unwrap_or_default();
        let starting_until = now + patience.map_or(Duration::ZERO, |p| p.max(STARTING));
        Self { criterion, index, evidence, question: question(&evidence.probe), attempts: 0, until, starting_until }
    }
}

/// Items that can be asked in one round trip: same place, same pace.
pub(super) fn batch_key(question: &Question) -> String {
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
pub(super) struct Told<'a> {
    pub(super) criterion: &'a Criterion,
    pub(super) finding: Option<Finding>,
}

/// One failure settles a criterion, so what else it asks for need not be waited for.
#[derive(Default)]
pub(super) struct Failed(Mutex<BTreeSet<String>>);

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

/// Keeps asking one batch until each item passed or its time is up.
pub(super) async fn settle_batch<'a>(
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

pub(super) async fn settle_one(vantage: &dyn Vantage, item: &mut Item<'_>, began: Instant, lanes: &Lanes) -> Finding {
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
    let until =
        if starting(&item.evidence.probe, &finding.observation.answered) { item.starting_until } else { item.until };
    let passed = finding.judge(item.evidence).outcome == OutcomeKind::Pass;
    if passed || Instant::now() >= until { Ok(finding) } else { Err(()) }
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

pub(super) fn millis(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)
}

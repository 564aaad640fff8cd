//! Submission: a full check, evidence, scrubbing, the sealed folder, then one transaction that makes it a result. A crash
//! before the folder is complete leaves nothing that looks like a verdict; one after it is found by the next start.

use super::results::blocking;
use super::{Forge, clock, now};
use crate::api::*;
use crate::audit::{self, Fact};
use crate::check::evidence::{self, Entry};
use crate::error::{Error, Result};
use crate::fault;
use crate::lab::Live;
use crate::scrub::Scrubber;
use crate::spawn::Capability;
use crate::store::{intents, results, runs};
use crate::template::scenario::Scenario;
use crate::verdict::{self, Checkpoint, Sealing};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;

/// Seconds of telemetry that go into the evidence.
const TELEMETRY: usize = 120;

/// What a result's page shows besides the summary; the folder stays the truth.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Kept {
    pub criteria: Vec<CriterionOutcome>,
    pub isolation: Isolation,
    #[serde(default)]
    pub telemetry: Vec<Telemetry>,
}

/// A submission that is about to be sealed: what its intent says, so that another process can bring it to its end.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Pending {
    /// Without id and key, which the sealed folder tells.
    summary: ResultSummary,
    kept: Kept,
}

impl Forge {
    pub(super) async fn submit(&self, caller: &Caller, run: &str) -> Result<SubmitReport> {
        let row = self.ready_row(run).await?;
        let scenario = self.scenario(run).await?;
        self.may_open(caller, &row, &scenario, Capability::Submit).await?;
        let live = self.live(run).await?;
        let _turn = self.turn(run, true).await?;
        let _at_work = self.at_work(run);
        fault::point("submit.intent.before");
        let intent = self.intend(run, "submit", serde_json::Value::Null).await?;
        fault::point("submit.intent.after");
        match self.seal(caller, &row, &scenario, &live, intent).await {
            // Should this fail, the folder is there and the intent open: the next repair records it.
            Ok(pending) => {
                fault::point("submit.record.before");
                self.record(intent, pending.clone()).await?;
                fault::point("submit.record.after");
                self.tell_submitted(caller, &pending.summary).await;
                let summary = pending.summary;
                Ok(SubmitReport {
                    id: summary.id.clone(),
                    dir: summary.dir.clone(),
                    score: summary.score,
                    max: summary.max,
                    key_id: summary.key_id.clone(),
                    result: summary,
                })
            }
            Err(e) => {
                if let Err(left) = self.store.write(move |tx| intents::close(tx, intent)).await {
                    tracing::warn!(run, "the intent of a failed submission could not be closed yet: {left}");
                }
                Err(e)
            }
        }
    }

    async fn seal(
        &self,
        caller: &Caller,
        row: &runs::Run,
        scenario: &Scenario,
        live: &Arc<Live>,
        intent: i64,
    ) -> Result<Pending> {
        let scenario = &super::egress::without_laptop(scenario);
        let run = row.run.as_str();
        let request = CheckRun { run: run.to_owned(), criteria: Vec::new(), gentle: false };
        let graded = self.graded(caller, live, scenario, &request, false).await?;
        self.terminals.sync_transcripts(run).await;
        fault::point("submit.evidence.before");
        let isolation = row.isolation.clone().unwrap_or_else(|| Isolation::unknown("not proven"));
        let mut telemetry = self.telemetry.recent(run);
        telemetry.drain(..telemetry.len().saturating_sub(TELEMETRY));
        let (id, keys, at) = (run.to_owned(), self.keys.clone(), now());
        let segment = self.store.write(move |tx| audit::segment(tx, &keys, &id, at)).await?;
        let mut given = vec![
            Entry::json("telemetry.json", "telemetry", &telemetry)?,
            Entry::json("isolation.json", "isolation", &isolation)?,
            Entry::json("audit.json", "audit", &segment)?,
        ];
        given.extend(self.egress_evidence(live, scenario).await?);
        let transcripts = self.transcripts(run).await?;
        given.extend(
            transcripts.into_iter().map(|(name, bytes)| Entry::new(format!("terminals/{name}"), "terminal", bytes)),
        );
        let evidence =
            evidence::collect(live.as_ref(), scenario, &graded.findings, given, evidence::Limits::default()).await?;
        fault::point("submit.evidence.after");
        // A lab that somebody stopped meanwhile could not be asked: that is no verdict on the learner.
        self.ready_row(run).await?;
        // Before anything is hashed: what could be synced is what was signed.
        let evidence = verdict::seal::scrub(evidence, &this_laptop(scenario))?;
        // By the run's own clock, so that it ends after it began whatever was done to the machine's.
        let finished = clock::steady(row.started.as_ref());
        let (started, duration_ms) = match &row.started {
            Some(started) => (started.at, clock::elapsed_ms(started)),
            None => (row.created, u64::try_from(finished - row.created).unwrap_or(0)),
        };
        let sealing = Sealing {
            run: row.run.clone(),
            policy_digest: self.policy.digest().to_owned(),
            images: self.resolve_all(&images_of(scenario)).await?,
            started,
            finished,
            duration_ms,
            challenge: self.bound(&row.request_id).await?.map(|c| c.nonce),
            audit: Some(Checkpoint { note: segment.checkpoint }),
            isolation: isolation.detail.clone(),
            hint_costs: graded.hint_costs,
        };
        let dir = self.results_folder().await?.join(format!("{}-{}-{finished}", row.lab, row.run));
        let summary = ResultSummary {
            // Known when it is signed.
            id: String::new(),
            run: row.run.clone(),
            lab: row.lab.clone(),
            lab_title: row.lab_title.clone(),
            track: row.track.clone(),
            version: row.version.clone(),
            at: finished,
            score: graded.report.score,
            max: graded.report.max,
            duration_ms,
            tier: TrustTier::SelfAttested,
            established: None,
            key_id: String::new(),
            dir: dir.display().to_string(),
        };
        let kept = Kept { criteria: graded.report.criteria, isolation, telemetry };
        let mut pending = Pending { summary, kept };
        let data = self.signed(serde_json::to_value(&pending)?)?;
        self.store.write(move |tx| intents::amend(tx, intent, &data)).await?;
        let keys = self.keys.clone();
        fault::point("submit.seal.before");
        let sealed = blocking(move || verdict::seal(&evidence, &sealing, &keys, &dir)).await?;
        fault::point("submit.seal.after");
        pending.summary.id = sealed.id;
        pending.summary.key_id = sealed.key_id;
        Ok(pending)
    }

    /// Makes a sealed folder a result. Once is enough and twice does no harm.
    async fn record(&self, intent: i64, pending: Pending) -> Result<()> {
        let (row, detail) = (pending.summary, serde_json::to_value(&pending.kept)?);
        self.store
            .write(move |tx| {
                if !results::exists(tx, &row.id)? {
                    results::record(tx, &row, &detail)?;
                    let data = serde_json::json!({"verdict": row.id, "score": row.score, "max": row.max, "key_id": row.key_id});
                    let kind = "verdict.sealed".into();
                    audit::append(tx, Fact { at: row.at, run: Some(row.run.clone()), kind, data })?;
                }
                intents::close(tx, intent)
            })
            .await
    }

    /// Submissions whose process ended half-way: one whose folder is complete becomes a result, of any other nothing stays.
    pub(super) async fn settle_submissions(&self, caller: &Caller, run: Option<&str>) -> Result<()> {
        for intent in self.interrupted(&["submit"], run).await? {
            let Ok(mut pending) = serde_json::from_value::<Pending>(intent.data.clone()) else {
                // It had not come to sealing.
                self.store.write(move |tx| intents::close(tx, intent.id)).await?;
                continue;
            };
            let dir = PathBuf::from(&pending.summary.dir);
            let there = blocking(move || {
                verdict::remove_half_sealed(&dir)?;
                if dir.exists() { verdict::verify_dir(&dir, false).map(Some) } else { Ok(None) }
            });
            match there.await? {
                Some(report) if report.ok => {
                    pending.summary.id = report.verdict_id;
                    pending.summary.key_id = report.key_id;
                    self.record(intent.id, pending.clone()).await?;
                    self.tell_submitted(caller, &pending.summary).await;
                }
                other => {
                    if other.is_some() {
                        tracing::error!(
                            dir = pending.summary.dir,
                            "an interrupted submission's folder does not verify"
                        );
                    }
                    self.store.write(move |tx| intents::close(tx, intent.id)).await?;
                }
            }
        }
        Ok(())
    }

    async fn tell_submitted(&self, caller: &Caller, summary: &ResultSummary) {
        let text = format!("Submitted: {} of {} points.", summary.score as f64 / 1000.0, summary.max as f64 / 1000.0);
        let data = serde_json::json!({"result": summary.id, "score": summary.score, "max": summary.max});
        self.emit(caller, Some(&summary.run), "submit.done", Level::Info, text, data).await;
        self.outbox.notify_one();
    }

    pub(super) async fn results_folder(&self) -> Result<PathBuf> {
        let (settings, _) = self.store.read(crate::store::settings::get).await?;
        let dir = match settings.results_dir.as_str() {
            "" => self.options.home.join("results"),
            chosen => PathBuf::from(chosen),
        };
        std::fs::create_dir_all(&dir)
            .map_err(|e| Error::from(e).context(format!("The results folder {}", dir.display())))?;
        Ok(dir)
    }

    /// name → asciicast of every terminal of the run, also of those another process had open.
    async fn transcripts(&self, run: &str) -> Result<Vec<(String, Vec<u8>)>> {
        let folder = self.run_folder(run).join("terminals");
        blocking(move || {
            let entries = match std::fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
                Err(e) => return Err(e.into()),
            };
            let mut found = Vec::new();
            for entry in entries {
                let entry = entry?;
                let name = entry.file_name().to_string_lossy().into_owned();
                if name.ends_with(".cast") {
                    found.push((name, std::fs::read(entry.path())?));
                }
            }
            found.sort();
            Ok(found)
        })
        .await
    }
}

/// Knows whose machine this is, and which values belong to the lab and not to a person.
pub(super) fn this_laptop(scenario: &Scenario) -> Scrubber {
    let env = |name: &str| std::env::var(name).unwrap_or_default();
    let host = std::fs::read_to_string("/etc/hostname").unwrap_or_else(|_| env("HOSTNAME"));
    let mut kept = Vec::new();
    for value in scenario.values.values() {
        strings(value, &mut kept);
    }
    Scrubber::new(&env("HOME"), &env("USER"), host.trim()).keep(kept)
}

fn strings(value: &serde_json::Value, out: &mut Vec<String>) {
    match value {
        // As it stands in a text, and as a rule finds it there: without the line's end.
        serde_json::Value::String(text) => out.extend([text.clone(), text.trim().to_owned()]),
        serde_json::Value::Array(items) => items.iter().for_each(|v| strings(v, out)),
        serde_json::Value::Object(members) => members.values().for_each(|v| strings(v, out)),
        _ => {}
    }
}

fn images_of(scenario: &Scenario) -> Vec<String> {
    let mut names: Vec<String> = scenario.nodes.iter().map(|n| n.image.clone()).collect();
    names.push("tools".into());
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::check::evidence::{OBSERVATIONS, Observations, SCENARIO};
    use crate::template::{Catalogue, Sources};

    /// A server holds the lab in the evidence against its own template: what is drawn from the seed, keys included, stays.
    #[test]
    fn redaction_leaves_every_built_in_lab_as_its_template_gives_it() {
        let labs = Catalogue::load(&Sources::default());
        assert!(labs.list().count() >= 3);
        for lab in labs.list() {
            for seed in ["first", "second"] {
                let scenario = lab.instantiate(seed).unwrap();
                let observations = Observations { version: 1, findings: Vec::new() };
                let entries = vec![
                    Entry::json(SCENARIO, "scenario", &scenario).unwrap(),
                    Entry::json(OBSERVATIONS, "observations", &observations).unwrap(),
                ];
                let scrubbed = verdict::seal::scrub(entries, &this_laptop(&scenario)).unwrap();
                let kept: Scenario = serde_json::from_slice(&scrubbed.get().first().unwrap().bytes).unwrap();
                assert!(kept == scenario, "{} under {seed} was redacted", lab.id);
            }
        }
    }
}

//! Submission: a full check, evidence, scrubbing, the sealed folder, then one transaction that makes it a result. A crash
//! before the folder is complete leaves nothing that looks like a verdict; one after it is found by the next start.

use super::results::blocking;
use super::{Forge, now};
use crate::api::*;
use crate::audit::{self, Fact};
use crate::check::evidence::{self, Entry};
use crate::error::{Error, Result};
use crate::lab::Live;
use crate::scrub::Scrubber;
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

impl Forge {
    pub(super) async fn submit(&self, caller: &Caller, run: &str) -> Result<SubmitReport> {
        let row = self.ready_row(run).await?;
        let scenario = self.scenario(run).await?;
        let live = self.live(run).await?;
        let _turn = self.turn(run, true).await?;
        let id = run.to_owned();
        let intent =
            self.store.write(move |tx| intents::begin(tx, &id, "submit", now(), &serde_json::Value::Null)).await?;
        let sealed = self.seal(caller, &row, &scenario, &live).await;
        let outcome = match sealed {
            Ok((summary, kept)) => self.record(caller, summary, kept).await,
            Err(e) => Err(e),
        };
        self.store.write(move |tx| intents::done(tx, intent)).await?;
        outcome
    }

    async fn seal(
        &self,
        caller: &Caller,
        row: &runs::Run,
        scenario: &Scenario,
        live: &Arc<Live>,
    ) -> Result<(ResultSummary, Kept)> {
        let run = row.run.as_str();
        let request = CheckRun { run: run.to_owned(), criteria: Vec::new(), gentle: false };
        let graded = self.graded(caller, live, scenario, &request, false).await?;
        self.terminals.sync_transcripts(run).await;
        let id = run.to_owned();
        let revealed = self.store.read(move |c| runs::revealed_hints(c, &id)).await?;
        let costs = super::grade::hint_costs(scenario, &revealed);
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
        let transcripts = self.transcripts(run).await?;
        given.extend(
            transcripts.into_iter().map(|(name, bytes)| Entry::new(format!("terminals/{name}"), "terminal", bytes)),
        );
        let evidence =
            evidence::collect(live.as_ref(), scenario, &graded.findings, given, evidence::Limits::default()).await?;
        // Before anything is hashed: what could be synced is what was signed.
        let evidence = verdict::seal::scrub(evidence, &this_laptop(scenario))?;
        let finished = now();
        let (started, duration_ms) = match &row.started {
            Some(started) => (started.at, super::life::elapsed_ms(started, finished)),
            None => (row.created, u64::try_from(finished - row.created).unwrap_or(0)),
        };
        let sealing = Sealing {
            run: row.run.clone(),
            policy_digest: self.policy.digest().to_owned(),
            images: self.resolve_all(&images_of(scenario)).await?,
            started,
            finished,
            duration_ms,
            challenge: None,
            audit: Some(Checkpoint { note: segment.checkpoint }),
            isolation: isolation.detail.clone(),
            hint_costs: costs,
        };
        let dir = self.results_folder().await?.join(format!("{}-{}-{finished}", row.lab, row.run));
        let keys = self.keys.clone();
        let target = dir.clone();
        let sealed = blocking(move || verdict::seal(&evidence, &sealing, &keys, &target)).await?;
        let summary = ResultSummary {
            id: sealed.id,
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
            key_id: sealed.key_id,
            dir: dir.display().to_string(),
        };
        Ok((summary, Kept { criteria: graded.report.criteria, isolation, telemetry }))
    }

    async fn record(&self, caller: &Caller, summary: ResultSummary, kept: Kept) -> Result<SubmitReport> {
        let (row, detail) = (summary.clone(), serde_json::to_value(&kept)?);
        self.store
            .write(move |tx| {
                results::record(tx, &row, &detail)?;
                let data =
                    serde_json::json!({"verdict": row.id, "score": row.score, "max": row.max, "key_id": row.key_id});
                audit::append(tx, Fact { at: row.at, run: Some(row.run.clone()), kind: "verdict.sealed".into(), data })
            })
            .await?;
        let text = format!("Submitted: {} of {} points.", summary.score as f64 / 1000.0, summary.max as f64 / 1000.0);
        let data = serde_json::json!({"result": summary.id, "score": summary.score, "max": summary.max});
        self.emit(caller, Some(&summary.run), "submit.done", Level::Info, text, data).await;
        Ok(SubmitReport {
            id: summary.id.clone(),
            dir: summary.dir.clone(),
            score: summary.score,
            max: summary.max,
            key_id: summary.key_id.clone(),
            result: summary,
        })
    }

    async fn results_folder(&self) -> Result<PathBuf> {
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
        serde_json::Value::String(text) => out.push(text.clone()),
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

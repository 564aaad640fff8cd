//! Gates and the audit log as the window and the command line see them.

use super::results::blocking;
use super::{Forge, now};
use crate::api::*;
use crate::audit::decisions::{self, Filter, Kept, Occasion};
use crate::audit::{self, Damage, Known, witness};
use crate::error::{Code, Error, Result};
use crate::policy::{Gate, cases};
use crate::spawn::{self, acting};
use crate::store::audit as rows;
use crate::template::scenario::Scenario;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// The log is signed at most this often while things happen.
const WITNESS_PACE: Duration = Duration::from_secs(2);
/// Verdicts whose checkpoints are held against the log.
const MOST_VERDICTS: usize = 10_000;

impl Forge {
    pub(super) fn gates(&self) -> Result<Gates> {
        let suites = cases::suites()?;
        let gates = Gate::ALL.map(|gate| {
            let about = self.policy.about(gate);
            let suite = suites.iter().find(|s| s.gate == gate);
            GateInfo {
                name: gate.name().to_owned(),
                asks: about.asks,
                input: about.input,
                rules: about.rules,
                cases: suite.map_or(0, |s| u32::try_from(s.cases.len()).unwrap_or(u32::MAX)),
                example: suite.map(|s| s.base.clone()).unwrap_or_default(),
                source: about.source,
            }
        });
        Ok(Gates { policy_digest: self.policy.digest().to_owned(), gates: gates.into() })
    }

    pub(super) async fn decisions(&self, request: ListDecisions) -> Result<DecisionPage> {
        if let Some(gate) = &request.gate {
            gate.parse::<Gate>()?;
        }
        let limit = page_size(request.limit)?;
        let filter = Filter { gate: request.gate, run: request.run, allow: request.allow, before: request.before };
        let page = self.store.read(move |c| decisions::page(c, &filter, limit)).await?;
        Ok(DecisionPage {
            decisions: page.kept.iter().map(told).collect(),
            next: page.next,
            unreadable: page.unreadable,
        })
    }

    pub(super) async fn decision(&self, id: i64) -> Result<DecisionDetail> {
        let (kept, others) = self
            .store
            .read(move |c| {
                let kept = decisions::get(c, id)?;
                let others = decisions::others(c, &kept)?;
                Ok((kept, others))
            })
            .await?;
        Ok(DecisionDetail {
            decision: told(&kept),
            current: kept.answer.policy_digest == self.policy.digest(),
            input: kept.answer.input,
            policy_digest: kept.answer.policy_digest,
            micros: kept.answer.micros,
            others: others.iter().map(told).collect(),
        })
    }

    /// Bounds are said as errors here, so that whoever tries learns what was wrong with the question; a gate in earnest denies.
    pub(super) fn tried(&self, request: &TryGate) -> Result<GateAnswer> {
        let gate: Gate = request.gate.parse()?;
        crate::policy::input::check(&request.input)?;
        let decision = self.policy.decide(gate, &request.input);
        Ok(GateAnswer {
            allow: decision.allow,
            reasons: decision.reasons,
            policy_digest: decision.policy_digest,
            micros: decision.micros,
        })
    }

    /// Asks the training gate about what is really about to be launched, and the action gate about what its attackers and
    /// defenders will do by themselves; the answers are in the log of its run.
    pub(super) async fn ask_again(&self, correlation: &str, run: &str, scenario: &Scenario) -> Result<()> {
        let input = spawn::training(scenario, &self.approved_profiles(scenario)?);
        let decision = self.policy.decide(Gate::Training, &input);
        let occasion = Occasion {
            at: now(),
            run: Some(run.to_owned()),
            lab: Some(scenario.lab.clone()),
            request_id: None,
            correlation: correlation.to_owned(),
        };
        let (scene, attacks) =
            (self.scene_of(correlation, run, scenario, None).await?, super::acting::startups(scenario));
        let policy = self.policy.clone();
        let decided = self.store.write(move |tx| {
            let id = spawn::record(tx, &occasion, input, &decision, &scene.scrubber)?;
            let mut decided = vec![(id, decision)];
            decided.extend(acting::decide(tx, &policy, &scene, &attacks)?);
            Ok(decided)
        });
        let decided = decided.await?;
        if decided.iter().all(|(_, d)| d.allow) {
            return Ok(());
        }
        Err(spawn::denied("This lab may not be launched", &decided))
    }

    pub(super) async fn verify_log(&self) -> Result<AuditReport> {
        let began = Instant::now();
        let (known, mut ignored) = self.kept_outside().await?;
        let report = audit::verify(&self.store, &self.keys, &known).await?;
        ignored.extend(report.strangers.iter().map(|from| format!("{from}: signed by another machine’s key")));
        if report.orphans > 0 {
            ignored.push(format!(
                "{} checkpoints are by a key of this machine that was exchanged without its signature (`forge doctor` says when): \
                 what was signed with it was compared with the log, and proves no more than that",
                report.orphans
            ));
        }
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Ok(AuditReport {
            ok: report.ok,
            entries: report.entries,
            checkpoints: count(report.checkpoints),
            outside: count(report.outside),
            broken: report.broken.map(|b| AuditBroken { entry: b.entry, damage: damage(b.damage), detail: b.detail }),
            ignored,
            at: now(),
            ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        })
    }

    /// The checkpoints that a change of the database does not reach: in the verdicts, and in the file beside it.
    async fn kept_outside(&self) -> Result<(Vec<Known>, Vec<String>)> {
        let listed: Vec<PathBuf> =
            self.store.read(crate::store::results::list).await?.into_iter().map(|r| r.dir.into()).collect();
        let (settings, _) = self.store.read(crate::store::settings::get).await?;
        let written = self.store.read(rows::head).await?.is_some_and(|head| head.size > 0);
        let home = self.options.home.clone();
        let chosen = Some(settings.results_dir).filter(|dir| !dir.is_empty()).map(PathBuf::from);
        blocking(move || {
            let (mut known, mut ignored) = (Vec::new(), Vec::new());
            let beside = format!("the checkpoint beside the database ({})", witness::FILE);
            match witness::read(&home)? {
                Some(note) => known.push(Known { from: beside, note }),
                None if written => {
                    ignored.push(format!(
                        "{beside}: it is missing, so only verdicts can tell whether the log was cut off"
                    ));
                }
                None => {}
            }
            // An older copy of the database lists fewer results than there are folders.
            let mut folders: BTreeSet<PathBuf> = listed.into_iter().collect();
            for parent in [Some(home.join("results")), chosen].into_iter().flatten() {
                folders.extend(subfolders(&parent)?);
            }
            for folder in folders.into_iter().take(MOST_VERDICTS) {
                let from = format!("the verdict in {}", folder.display());
                match crate::verdict::checkpoint_in(&folder) {
                    Ok(Some(note)) => known.push(Known { from, note }),
                    Ok(None) => {}
                    Err(e) => ignored.push(format!("{from}: {}", e.message)),
                }
            }
            Ok((known, ignored))
        })
        .await
    }

    pub(super) async fn audit_entries(&self, request: ListAudit) -> Result<AuditPage> {
        let limit = page_size(request.limit)?;
        let search =
            rows::Search { kind: request.kind, run: request.run, before: request.before, ..rows::Search::default() };
        let (mut found, size) = self
            .store
            .read(move |c| Ok((rows::search(c, &search, limit + 1)?, rows::head(c)?.map_or(0, |h| h.size))))
            .await?;
        let more = found.len() > limit as usize;
        found.truncate(limit as usize);
        let next = found.last().filter(|_| more).map(|row| row.seq);
        let entries = found.into_iter().map(entry).collect();
        Ok(AuditPage { entries, next, size: u64::try_from(size).unwrap_or_default() })
    }

    /// A log that cannot be signed must not stop the work it tells of; verifying it says what is wrong.
    pub(super) async fn witness(&self) {
        let (keys, home, folder) = (self.keys.clone(), self.options.home.clone(), self.options.home.clone());
        let signed = match self.store.read(move |c| witness::is_current(c, &folder)).await {
            Ok(true) => return,
            Ok(false) => self.store.write(move |tx| witness::witness(tx, &keys, now(), &home)).await,
            Err(e) => Err(e),
        };
        if let Err(e) = signed {
            tracing::error!(code = ?e.code, "the audit log could not be signed: {e}");
        }
    }
}

/// Signs the log now and then while things happen, so that what is cut off later shows. Holds no engine open.
pub(super) async fn witness_while_open(forge: Weak<Forge>, happened: Arc<Notify>, shutdown: CancellationToken) {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = happened.notified() => {}
        }
        // Afterwards, so that signing does not compete with the start of a lab for the database.
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(WITNESS_PACE) => {}
        }
        let Some(forge) = forge.upgrade() else { return };
        forge.witness().await;
    }
}

fn page_size(limit: Option<u32>) -> Result<u32> {
    match limit.unwrap_or(50) {
        n @ 1..=500 => Ok(n),
        n => Err(Error::new(Code::InvalidInput, format!("A page has 1 to 500 entries, not {n}."))
            .hint("Ask for the next page with `before`.")),
    }
}

fn told(kept: &Kept) -> Decision {
    Decision {
        id: kept.id,
        at: kept.occasion.at,
        gate: kept.gate.clone(),
        allow: kept.answer.allow,
        reasons: kept.answer.reasons.clone(),
        run: kept.occasion.run.clone(),
        lab: kept.occasion.lab.clone(),
        correlation: kept.occasion.correlation.clone(),
    }
}

fn entry(row: rows::Entry) -> AuditEntry {
    let body = serde_json::from_str::<audit::Body>(&row.entry).ok();
    let (at, data) = body.map_or((None, serde_json::Value::Null), |b| (Some(b.at), b.data));
    AuditEntry { id: row.seq, at, run: row.run, kind: row.kind, data, hash: hex::encode(row.hash) }
}

fn damage(of: Damage) -> AuditDamage {
    match of {
        Damage::Edited => AuditDamage::Edited,
        Damage::Deleted => AuditDamage::Deleted,
        Damage::Reordered => AuditDamage::Reordered,
        Damage::Truncated => AuditDamage::Truncated,
        Damage::Forked => AuditDamage::Forked,
        Damage::Head => AuditDamage::Head,
    }
}

fn subfolders(parent: &Path) -> Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(parent) {
        Ok(entries) => entries,
        Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(e) => return Err(Error::from(e).context(format!("Reading {}", parent.display()))),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            found.push(path);
        }
    }
    Ok(found)
}

//! Facts for the doctor, the preparation of images, the settings: what the façade does besides labs and runs.

use super::doctor::Facts;
use super::jobs::Reporter;
use super::{Forge, now};
use crate::api::{Caller, Job, Settings, Step, StepState};
use crate::audit::{self, Fact};
use crate::engine::images::Progress as ImageProgress;
use crate::error::{Code, Error, Result};
use crate::lab::{self, Progress};
use crate::store::settings;
use std::path::Path;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A trial of the wiring takes about a second; a slow machine gets its time.
pub(super) const TRIAL: Duration = Duration::from_secs(30);
/// After this its containers end by themselves: far longer than it may take, short enough for what a killed window leaves.
const TRIAL_LIFE: Duration = Duration::from_secs(120);

impl Forge {
    pub(super) async fn facts(&self) -> Facts {
        let docker = self.engine.info().await;
        let images = match &docker {
            Ok(_) => self.image_list().await,
            Err(e) => Err(e.clone()),
        };
        let tools_ready =
            images.as_ref().is_ok_and(|l| ["tools", "host"].iter().all(|n| l.iter().any(|i| i.name == *n && i.ready)));
        let wiring = if tools_ready { Some(self.wiring_trial().await) } else { None };
        let kernel = self.kernel.get();
        let egress = kernel.map(|k| (k.iter().any(|f| f == lab::NFTABLES), self.resolvers()));
        Facts {
            egress,
            docker,
            images,
            wiring,
            free_bytes: crate::store::free_bytes(&self.options.home),
            keys: self.keys.kept(),
            exchanged: self.exchanged_keys().await,
            policy_digest: Ok(self.policy.digest().to_owned()),
            broken_labs: self.catalogue().broken().iter().map(|b| format!("{}: {}", b.place, b.error)).collect(),
            home: self.options.home.display().to_string(),
            linux: cfg!(target_os = "linux"),
        }
    }

    /// Two throw-away nodes wired by a fabric of their own: whether this engine allows what every lab needs.
    async fn wiring_trial(&self) -> Result<u64> {
        let images = self.resolve_all(&["host".to_owned(), "tools".to_owned()]).await?;
        let (forge, cancel) = (self.arc()?, self.shutdown.child_token());
        // In a task of its own: a window that closes, or a client that goes away, must not leave half a trial behind.
        let work = tokio::spawn(async move {
            // Held while trial nodes exist: whoever repairs leaves them alone until then, and closing waits for it.
            let _held = forge.trial_lock(TRIAL).await?;
            lab::trial(forge.engine.clone(), &forge.instance, &images, TRIAL_LIFE, &cancel).await
        });
        let trial = work.await.map_err(|e| Error::internal(format!("the trial ended early: {e}")))??;
        // What the kernel can does not change while we are open; the first finding stays.
        let _ = self.kernel.set(trial.kernel);
        Ok(trial.ms)
    }

    /// The right to make trial nodes, or to remove what a killed process left of them.
    pub(super) async fn trial_lock(&self, limit: Duration) -> Result<std::fs::File> {
        self.lock_file("trial.lock", limit, "Another trial of the wiring is under way.").await
    }

    /// A lock of the data folder, held as long as the file is open.
    pub(super) async fn lock_file(&self, name: &str, limit: Duration, busy: &str) -> Result<std::fs::File> {
        let path = self.options.home.join(name);
        let file = std::fs::File::options().create(true).truncate(false).read(true).write(true).open(path)?;
        let until = tokio::time::Instant::now() + limit;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(std::fs::TryLockError::Error(e)) => return Err(e.into()),
                Err(std::fs::TryLockError::WouldBlock) if tokio::time::Instant::now() >= until => {
                    return Err(Error::new(Code::Timeout, busy));
                }
                Err(std::fs::TryLockError::WouldBlock) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// Starts preparing images, or joins the preparation that is under way.
    pub(super) async fn prepare(&self, caller: &Caller, names: Vec<String>) -> Result<Job> {
        const KIND: &str = "images";
        if let Some(job) = self.jobs.running(KIND) {
            return Ok(Job { job });
        }
        self.engine.info().await?;
        let known: Vec<String> = self.images.list().await?.into_iter().map(|i| i.name).collect();
        if let Some(unknown) = names.iter().find(|n| !known.contains(n)) {
            return Err(Error::new(Code::NotFound, format!("There is no image “{unknown}”."))
                .hint(format!("There are {}.", known.join(", "))));
        }
        let names = if names.is_empty() { known } else { names };
        let began = std::time::Instant::now();
        let cancel = CancellationToken::new();
        let reporter = Reporter::begin(self.arc()?, caller, KIND, None, cancel.clone());
        let job = reporter.job().to_owned();
        let forge = self.arc()?;
        tokio::spawn(async move {
            let progress = |p: ImageProgress| {
                let done = p.step == "ready";
                let state = if done { StepState::Done } else { StepState::Running };
                let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
                let detail = if p.detail.is_empty() { p.step } else { format!("{}: {}", p.step, p.detail) };
                reporter.step(Step { name: p.image, state, ms, detail, percent: Some(p.percent) });
            };
            let outcome = forge.images.prepare(&names, &progress, &cancel).await;
            let error = outcome.err();
            let text = error.as_ref().map_or_else(|| "The images are prepared.".to_owned(), |e| e.message.clone());
            reporter.end(error, text).await;
        });
        Ok(Job { job })
    }

    pub(super) async fn save_settings(&self, caller: &Caller, wanted: Settings) -> Result<Settings> {
        if !(9..=24).contains(&wanted.terminal_font_size) {
            return Err(Error::new(Code::InvalidInput, "The terminal's font size is 9 to 24 points."));
        }
        if !wanted.results_dir.is_empty() && !Path::new(&wanted.results_dir).is_absolute() {
            return Err(Error::new(Code::InvalidInput, "The results folder is an absolute path.")
                .hint("For example /home/you/verdicts."));
        }
        self.check_plan(&wanted).await?;
        let (saved, by) = (wanted.clone(), caller.correlation.clone());
        self.store
            .write(move |tx| {
                settings::set(tx, &saved)?;
                let data = serde_json::json!({"settings": saved, "correlation": by});
                audit::append(tx, Fact { at: now(), run: None, kind: "settings".into(), data }).map(drop)
            })
            .await?;
        Ok(wanted)
    }
}

//! What was reached: results, their verification, the report, the history and its charts.

use super::{Forge, now};
use crate::api::*;
use crate::error::Result;
use crate::observe::charts::{self, Palette};
use crate::report::{self, Report};
use crate::store::results;
use crate::verdict;
use std::path::{Path, PathBuf};

impl Forge {
    pub(super) async fn results(&self) -> Result<Vec<ResultSummary>> {
        self.store.read(results::list).await
    }

    pub(super) async fn result(&self, caller: &Caller, id: &str, dark: bool) -> Result<ResultDetail> {
        let wanted = id.to_owned();
        let (summary, detail) = self.store.read(move |c| results::get(c, &wanted)).await?;
        self.may_look(caller, &summary).await?;
        let kept: super::submit::Kept = serde_json::from_value(detail)?;
        let verified = self.verify(VerifyRequest { dir: summary.dir.clone(), regrade: false }).await?;
        Ok(ResultDetail {
            score_chart_svg: charts::criteria(&kept.criteria, palette(dark))?,
            criteria: kept.criteria,
            isolation: kept.isolation,
            openssl: format!(
                "cd {} && openssl pkeyutl -verify -pubin -inkey verdict.pub.pem -rawin -in verdict.pae -sigfile verdict.sig",
                shell_word(&summary.dir)
            ),
            verified,
            summary,
        })
    }

    /// Reads the folder only; needs neither Docker nor the run.
    pub(super) async fn verify(&self, request: VerifyRequest) -> Result<VerifyReport> {
        let dir = PathBuf::from(request.dir);
        blocking(move || verdict::verify_dir(&dir, request.regrade)).await
    }

    pub(super) async fn export(&self, caller: &Caller, id: &str) -> Result<Exported> {
        let detail = self.result(caller, id, false).await?;
        let wanted = id.to_owned();
        let (_, kept) = self.store.read(move |c| results::get(c, &wanted)).await?;
        let kept: super::submit::Kept = serde_json::from_value(kept)?;
        let page = report::html(&Report {
            detail: &detail,
            telemetry: &kept.telemetry,
            version: env!("CARGO_PKG_VERSION"),
            at: now(),
        })?;
        // Beside the verdict's folder, not in it: the folder holds what was signed and nothing else.
        let dir = Path::new(&detail.summary.dir);
        let name = dir.file_name().map_or_else(|| "report".into(), |n| n.to_string_lossy().into_owned());
        let path = dir.with_file_name(format!("{name}.html"));
        let bytes = page.len() as u64;
        let staged = path.with_extension("html.part");
        let target = path.clone();
        blocking(move || {
            std::fs::write(&staged, page)?;
            Ok(std::fs::rename(&staged, &target)?)
        })
        .await?;
        tracing::info!(correlation = caller.correlation, result = id, bytes, "report exported");
        Ok(Exported { path: path.display().to_string(), bytes })
    }

    pub(super) async fn history_view(&self, dark: bool) -> Result<History> {
        let results = self.results().await?;
        let palette = palette(dark);
        Ok(History {
            scores_svg: charts::scores(&results, palette)?,
            times_svg: charts::times(&results, palette)?,
            results,
        })
    }
}

fn palette(dark: bool) -> &'static Palette {
    if dark { &Palette::DARK } else { &Palette::LIGHT }
}

/// File work and hashing off the event loop.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    #[cfg(test)]
    if super::clock::is_fake() {
        return work();
    }
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(e) => Err(crate::error::Error::internal(format!("a task ended early: {e}"))),
    }
}

/// A path as one word of a POSIX shell.
fn shell_word(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-".contains(&b);
    if text.bytes().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_becomes_one_word() {
        assert_eq!(shell_word("/home/a/results/x-1"), "/home/a/results/x-1");
        assert_eq!(shell_word("/it's here"), r"'/it'\''s here'");
    }
}

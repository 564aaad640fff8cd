//! What an instructor takes away from a session: the scoreboard's CSV, or a signed report.

use super::results::blocking;
use super::{Forge, now};
use crate::api::*;
use crate::error::{Code, Error, Result};
use crate::keys::KeyName;
use crate::report::session::{SessionReport, html};
use crate::sync;
use crate::verdict::attest::{SESSION_REPORT, attest};
use std::path::{Path, PathBuf};

impl Forge {
    pub(super) async fn session_export(&self, caller: &Caller, request: ExportSession) -> Result<Exported> {
        let board = self.enrolled().await?;
        let path = match request.path.as_deref().map(Path::new) {
            Some(path) if !path.is_absolute() => {
                return Err(Error::new(Code::InvalidInput, format!("{} is not an absolute path.", path.display())));
            }
            // It is replaced when it is there, so that it must not be able to be just any file.
            Some(path) if request.kind == SessionExport::Csv && path.extension().is_none_or(|e| e != "csv") => {
                return Err(Error::new(Code::InvalidInput, format!("{} does not end with .csv.", path.display())));
            }
            Some(path) => path.to_owned(),
            None => self.handout_place(&request).await?,
        };
        let csv = sync::session::csv(&board, &request.session).await?;
        let bytes = match request.kind {
            SessionExport::Csv => {
                let (bytes, path) = (csv.len() as u64, path.clone());
                blocking(move || {
                    if let Some(folder) = path.parent() {
                        std::fs::create_dir_all(folder)?;
                    }
                    let staged = path.with_extension("csv.part");
                    std::fs::write(&staged, csv)?;
                    Ok(std::fs::rename(staged, path)?)
                })
                .await?;
                bytes
            }
            SessionExport::Report => {
                let live = self.session_live(WatchBoard { session: request.session.clone(), seen: None }).await?;
                let key_id = self.keys.id(KeyName::Learner)?;
                let (version, at) = (env!("CARGO_PKG_VERSION"), now());
                let page = html(&SessionReport {
                    board: &live,
                    url: &board.url,
                    board_key: &board.root,
                    key_id: &key_id,
                    version,
                    at,
                });
                let stated = stated(&live, &board.url, &board.root, at);
                let (keys, dir, bytes) = (self.keys.clone(), path.clone(), page.len() as u64);
                blocking(move || {
                    let files: [(&str, &[u8]); 2] = [("report.html", page.as_bytes()), ("session.csv", &csv)];
                    attest(&files, SESSION_REPORT, stated, &keys, "report", &dir)
                })
                .await?;
                bytes
            }
        };
        tracing::info!(correlation = caller.correlation, session = request.session, bytes, "session exported");
        let path = match request.kind {
            SessionExport::Csv => path,
            SessionExport::Report => path.join("report.html"),
        };
        Ok(Exported { path: path.display().to_string(), bytes })
    }

    async fn handout_place(&self, request: &ExportSession) -> Result<PathBuf> {
        // Asked for by the scoreboard before it is part of a path anyway; here only its plain characters count.
        let id: String = request.session.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(64).collect();
        let folder = self.results_folder().await?.join("sessions");
        Ok(match request.kind {
            SessionExport::Csv => folder.join(format!("{id}.csv")),
            SessionExport::Report => folder.join(format!("{id}-{}", now())),
        })
    }
}

/// What the signature says besides the files' digests.
fn stated(live: &LiveBoard, url: &str, board_key: &str, at: i64) -> serde_json::Value {
    let verdicts: Vec<_> = live
        .rows
        .iter()
        .flat_map(|row| row.labs.iter().map(move |c| (row, c)))
        .filter_map(|(row, c)| {
            let verdict = c.verdict.as_ref()?;
            Some(serde_json::json!({
                "learner": row.learner, "lab": c.lab, "verdict": verdict, "score": c.score, "max": c.max, "tier": c.tier, "in_time": c.in_time,
            }))
        })
        .collect();
    let s = &live.session;
    serde_json::json!({
        "session": s.id, "title": s.title, "class": s.class, "labs": s.labs, "deadline": s.deadline, "frozen": s.frozen,
        "scoreboard": url, "scoreboard_key": board_key, "made": at, "verdicts": verdicts,
    })
}

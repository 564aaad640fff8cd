//! An engine of the benchmark's own: its own data folder, its own labs, and nothing left of it afterwards.

use forge_core::api::{Caller, Commands, Empty, RunDetail, StartLab};
use forge_core::engine::Docker;
use forge_core::error::Result;
use forge_core::forge::{Forge, Options};
use forge_core::shell::Shellable;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(300);

pub struct Own {
    /// Marks what the benchmark makes beside its labs.
    pub session: String,
    pub docker: Arc<Docker>,
    pub forge: Arc<Forge>,
    folder: Folder,
}

/// A folder that is gone when this is.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(e) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!("{} could not be removed: {e}", self.0.display());
        }
    }
}

impl Own {
    /// `labs`: id and text of each.
    pub async fn open(labs: Vec<(String, String)>) -> Result<Self> {
        let session: String = uuid::Uuid::new_v4().simple().to_string().chars().take(8).collect();
        let folder = Folder(std::env::temp_dir().join(format!("forge-bench-{session}")));
        let (home, shelf) = (folder.0.join("home"), folder.0.join("labs"));
        std::fs::create_dir_all(&home)?;
        for (id, text) in labs {
            let lab = shelf.join("netplus").join(id);
            std::fs::create_dir_all(&lab)?;
            std::fs::write(lab.join("lab.yaml"), text)?;
        }
        let docker = Arc::new(Docker::from_env()?);
        let options = Options {
            home,
            shell: "cli".into(),
            labs: Some(shelf),
            keep: false,
            keeper: Vec::new(),
            egress: Default::default(),
            keys: Default::default(),
        };
        Ok(Self { session, docker, forge: Forge::open(options).await?, folder })
    }

    /// Where the benchmark may write.
    pub fn folder(&self) -> &Path {
        &self.folder.0
    }

    /// Returns when the lab is ready.
    pub async fn start(&self, caller: &Caller, lab: &str) -> Result<RunDetail> {
        let request = StartLab { lab: lab.to_owned(), request_id: None, seed: Some("bench".into()) };
        let run = self.forge.start_lab(caller, request).await?.run;
        self.forge.wait_ready(&run, LIMIT).await
    }

    /// To be called whatever the measuring came to.
    pub async fn close(self, caller: &Caller) -> Result<()> {
        let stopped = self.forge.stop_all(caller, Empty {}).await;
        self.forge.shutdown().await;
        stopped.map(drop)
    }
}

//! The engine behind the window: opened once, in the background; calls wait for it. When it could not be opened, each
//! call says why, and the next one tries again, so that mending the cause is enough. When its keys are locked, the window asks.

use forge_core::error::{Code, Error, Result};
use forge_core::forge::{self, EgressOptions, Forge, Options};
use forge_core::keys::Keeping;
use forge_core::observe::log::{self, LogGuard, LogOptions};
use forge_core::shell::{Host, Shellable, data_home};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tauri::{AppHandle, Manager};
use tokio::sync::OnceCell;

/// How long closing the window may wait for launches to be cleaned up; what is left then, the next start sweeps.
const CLOSING: Duration = Duration::from_secs(25);

pub struct Opening {
    host: OnceCell<Arc<forge::Opening>>,
    log: Mutex<Option<LogGuard>>,
    pub instructor: bool,
}

impl Opening {
    pub fn new(instructor: bool) -> Self {
        Self { host: OnceCell::new(), log: Mutex::new(None), instructor }
    }

    /// # Errors
    /// Why the data folder, its log, keys, policies or labs could not be opened; `KeysLocked` until the keys are not.
    pub async fn engine(&self) -> Result<Arc<dyn Shellable>> {
        self.host().await?.engine().await
    }

    /// # Errors
    /// Why there is no data folder or log, or what in the environment is no setting.
    pub async fn host(&self) -> Result<Arc<dyn Host>> {
        let host = self.host.get_or_try_init(|| async {
            let home = data_home(|name| std::env::var_os(name))?;
            self.log_to(&home)?;
            let keeper = vec![std::env::current_exe()?.into_os_string(), "keep".into()];
            Ok::<_, Error>(Arc::new(forge::Opening::new(Options {
                home,
                shell: "desktop".into(),
                labs: labs(),
                keep: true,
                keeper,
                egress: EgressOptions::from(|name| std::env::var_os(name))?,
                keys: Keeping::from(|name| std::env::var_os(name))?,
            })))
        });
        Ok(host.await?.clone())
    }

    /// Once, however often opening is tried.
    fn log_to(&self, home: &std::path::Path) -> Result<()> {
        let mut guard = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        if guard.is_none() {
            *guard = Some(log::init(&LogOptions { dir: home.join("logs"), stderr: false })?);
        }
        Ok(())
    }

    pub async fn close(&self) {
        if let Some(host) = self.host.get()
            && tokio::time::timeout(CLOSING, host.shutdown()).await.is_err()
        {
            tracing::warn!("closing took too long; what is left is swept at the next start");
        }
        // Writes what is still buffered.
        drop(self.log.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// For authors: labs from this folder instead of the built-in ones.
fn labs() -> Option<PathBuf> {
    std::env::var_os("FORGE_LABS").filter(|v| !v.is_empty()).map(PathBuf::from)
}

/// Starts opening without waiting for the first call.
pub fn open_behind(app: &AppHandle) {
    let app = app.clone();
    tauri::async_runtime::spawn(async move {
        if let Err(e) = app.state::<Opening>().engine().await
            && e.code != Code::KeysLocked
        {
            // The window shows the same error as the answer to its first call.
            eprintln!("The engine could not be opened: {e}");
        }
    });
}

/// This program as keeper (`keep`): ends runs whose time is up after the window has closed, until none is alive.
pub fn keep() -> ExitCode {
    let kept: Result<()> = tauri::async_runtime::block_on(async {
        let home = data_home(|name| std::env::var_os(name))?;
        let _log = log::init(&LogOptions { dir: home.join("logs"), stderr: false })?;
        let forge = Forge::open(Options {
            home,
            shell: "desktop".into(),
            labs: labs(),
            keep: false,
            keeper: Vec::new(),
            egress: EgressOptions::from(|name| std::env::var_os(name))?,
            keys: Keeping::from(|name| std::env::var_os(name))?,
        })
        .await?;
        let end = forge.keep().await?;
        tracing::info!(?end, "the keeper ends");
        forge.shutdown().await;
        Ok(())
    });
    match kept {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{e}");
            ExitCode::FAILURE
        }
    }
}

//! The engine behind the window: opened once, in the background; calls wait for it. When it could not be opened, each
//! call says why, and the next one tries again, so that mending the cause is enough.

use forge_core::error::{Error, Result};
use forge_core::shell::{Shellable, data_home};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tauri::{AppHandle, Manager};
use tokio::sync::OnceCell;

/// How long closing the window may wait for launches to be cleaned up; what is left then, the next start sweeps.
const CLOSING: Duration = Duration::from_secs(25);

pub struct Opening {
    engine: OnceCell<Arc<dyn Shellable>>,
    pub instructor: bool,
}

impl Opening {
    pub fn new(instructor: bool) -> Self {
        Self { engine: OnceCell::new(), instructor }
    }

    /// # Errors
    /// Why the data folder, its keys or its labs could not be opened.
    pub async fn engine(&self) -> Result<Arc<dyn Shellable>> {
        self.engine.get_or_try_init(open).await.cloned()
    }

    pub async fn close(&self) {
        if let Some(engine) = self.engine.get()
            && tokio::time::timeout(CLOSING, engine.shutdown()).await.is_err()
        {
            tracing::warn!("closing took too long; what is left is swept at the next start");
        }
    }
}

/// Starts opening without waiting for the first call.
pub fn open_behind(app: &AppHandle) {
    let app = app.clone();
    tauri::async_runtime::spawn(async move {
        if let Err(e) = app.state::<Opening>().engine().await {
            // The window shows the same error as the answer to its first call.
            eprintln!("The engine could not be opened: {e}");
        }
    });
}

async fn open() -> Result<Arc<dyn Shellable>> {
    let home = data_home(|name| std::env::var_os(name))?;
    Err(Error::internal(format!("no engine is linked for {}", home.display())))
}

/// The window's process as keeper (`keep`): ends runs whose time is up after the window has closed.
pub fn keep() -> ExitCode {
    ExitCode::FAILURE
}

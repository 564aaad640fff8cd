//! Calls from the window: one for every command of the contract, one for keyboard bytes.

use crate::engine::Opening;
use bytes::Bytes;
use forge_core::api::Caller;
use forge_core::error::{Code, Error, Result};
use forge_core::shell;
use tauri::State;
use tauri::ipc::{InvokeBody, Request};

/// The header that names a terminal beside its raw bytes.
const TERMINAL: &str = "x-terminal";

#[tauri::command]
pub async fn call(
    opening: State<'_, Opening>,
    name: String,
    args: Option<serde_json::Value>,
    correlation: Option<String>,
) -> Result<serde_json::Value> {
    let engine = opening.engine().await?;
    let correlation = correlation.filter(|c| shell::acceptable_correlation(c)).unwrap_or_else(shell::correlation);
    let caller = Caller { correlation, instructor: opening.instructor };
    shell::call(engine.as_ref(), &caller, &name, args.unwrap_or_default()).await
}

/// Keyboard input as raw bytes, the terminal's id in the `x-terminal` header.
#[tauri::command]
pub async fn terminal_write(opening: State<'_, Opening>, request: Request<'_>) -> Result<()> {
    let id = request.headers().get(TERMINAL).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let (Some(id), InvokeBody::Raw(bytes)) = (id, request.body()) else {
        return Err(Error::new(
            Code::InvalidInput,
            "Keyboard input needs raw bytes and the terminal's id in the x-terminal header.",
        ));
    };
    let bytes = Bytes::copy_from_slice(bytes);
    opening.engine().await?.terminal_write(&id, bytes).await
}

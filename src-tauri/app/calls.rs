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
    let host = opening.host().await?;
    let correlation = correlation.filter(|c| shell::acceptable_correlation(c)).unwrap_or_else(shell::correlation);
    let caller = Caller { correlation, instructor: opening.instructor };
    shell::ask(host.as_ref(), &caller, &name, args.unwrap_or_default()).await
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use std::collections::BTreeSet;
    use std::path::Path;

    fn read(path: &str) -> String {
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
    }

    fn words(list: &str) -> BTreeSet<String> {
        let name = |w: &str| w.rsplit("::").next().unwrap_or(w).trim_matches(['"', ' ', '\n']).to_owned();
        list.split(',').map(name).filter(|w| !w.is_empty()).collect()
    }

    fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
        text.split_once(start).unwrap().1.split_once(end).unwrap().0
    }

    /// What is registered, what a window may call, and what has `#[tauri::command]` are one list.
    #[test]
    fn the_handlers_are_the_permitted_ones() {
        let main = read("src-tauri/app/main.rs");
        let registered = words(between(&main, "generate_handler![", "]"));
        let permissions = read("src-tauri/permissions/commands.toml");
        assert_eq!(registered, words(between(&permissions, "commands.allow = [", "]")));
        let mut declared = BTreeSet::new();
        for file in ["calls.rs", "streams.rs", "engine.rs", "window.rs", "main.rs"] {
            let text = read(&format!("src-tauri/app/{file}"));
            for rest in text.split("\n#[tauri::command]\n").skip(1) {
                declared.insert(between(rest, "fn ", "(").to_owned());
            }
        }
        assert_eq!(registered, declared);
        assert_eq!(main.matches("invoke_handler").count(), 1);
    }

    /// Behind `call` stands the contract and nothing else, and the page knows no other names.
    #[test]
    fn the_contract_is_what_the_page_may_ask_for() {
        let declared: BTreeSet<String> = forge_core::api::COMMANDS.iter().map(|c| c.name.to_owned()).collect();
        let page = read("ui/src/gen/commands.ts");
        let known = between(&page, "export interface Commands {", "\n}");
        let known: BTreeSet<String> =
            known.lines().filter_map(|l| l.trim().split_once(": {")).map(|(name, _)| name.to_owned()).collect();
        assert_eq!(declared, known);
        assert!(declared.len() > 30, "{declared:?}");
    }

    /// No plugin that could reach files, programs or the network, and one window with one permission.
    #[test]
    fn no_plugin_and_one_capability() {
        let manifest = read("Cargo.toml");
        assert!(!manifest.contains("tauri-plugin"), "a plugin needs a reason here first");
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src-tauri/capabilities");
        let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().file_name()).collect();
        assert_eq!(files, ["main.json"]);
        let capability: serde_json::Value = serde_json::from_str(&read("src-tauri/capabilities/main.json")).unwrap();
        assert_eq!(capability["windows"], serde_json::json!(["main"]));
        assert_eq!(capability["permissions"], serde_json::json!(["commands"]));
        assert!(capability.get("remote").is_none(), "no address from elsewhere may call");
        let config: serde_json::Value = serde_json::from_str(&read("tauri.conf.json")).unwrap();
        assert_eq!(config["app"]["withGlobalTauri"], false);
        let csp = config["app"]["security"]["csp"].as_str().unwrap();
        assert!(!csp.contains("unsafe") && csp.starts_with("default-src 'none'"), "{csp}");
        for key in ["dangerousDisableAssetCspModification", "assetProtocol"] {
            assert!(config["app"]["security"].get(key).is_none(), "{key}");
        }
    }
}

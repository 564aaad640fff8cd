//! The TypeScript side of the contract is generated from the same lines as the Rust side; a difference between
//! the committed command map and what the code says fails here (`scripts/contract.sh --update` rewrites it, and the types).
#![allow(clippy::unwrap_used, clippy::expect_used)]

use forge_core::api::COMMANDS;
use std::fmt::Write as _;

fn typescript(rust: &str) -> String {
    match rust.replace(' ', "").strip_prefix("Vec<").and_then(|r| r.strip_suffix('>')) {
        Some(inner) => format!("api.{inner}[]"),
        None => format!("api.{rust}"),
    }
}

#[test]
fn command_map_is_current() {
    let mut want = String::from(
        "// Generated from src-tauri/core/src/api/mod.rs (tests/contract.rs). Do not edit.\nimport type * as api from \"./api\";\n\nexport interface Commands {\n",
    );
    for c in COMMANDS {
        writeln!(want, "  {}: {{ request: {}; response: {} }};", c.name, typescript(c.request), typescript(c.response))
            .unwrap();
    }
    want.push_str("}\n");
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ui/src/gen/commands.ts");
    if std::env::var_os("UPDATE_CONTRACT").is_some() {
        std::fs::write(&path, &want).unwrap();
    }
    let have = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(have, want, "ui/src/gen/commands.ts is stale: run scripts/contract.sh --update");
}

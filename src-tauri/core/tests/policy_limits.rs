//! A policy that does not end, and one that piles up: in a process of their own, because the memory limit is the process's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use forge_core::policy::{Gate, Policy};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The real policies with another access gate.
fn with(body: &str) -> Policy {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies");
    let mut files: BTreeMap<String, String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "rego"))
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read_to_string(&path).unwrap()))
        .collect();
    files.insert(
        "access.rego".into(),
        format!("package frostgate.forge.access\nimport rego.v1\nn := object.get(input, \"n\", 1)\n{body}\n"),
    );
    Policy::from_files(&files).unwrap()
}

#[test]
fn a_runaway_policy_is_cut_off_by_time_or_memory_and_denies() {
    let endless = with(
        "decision := {\"allow\": count([1 | some i in numbers.range(1, n); some j in numbers.range(1, n); i * j == 0]) == 0, \"reasons\": []}",
    );
    assert!(endless.decide(Gate::Access, &json!({"n": 3})).allow);
    let began = Instant::now();
    let decision = endless.decide(Gate::Access, &json!({"n": 20_000}));
    assert!(!decision.allow && decision.reasons[0].contains("time limit"), "{decision:?}");
    assert!(began.elapsed() < Duration::from_secs(10), "took {:?}", began.elapsed());

    let piling = with("decision := {\"allow\": count(numbers.range(1, n)) == n, \"reasons\": []}");
    assert!(piling.decide(Gate::Access, &json!({"n": 1000})).allow);
    let decision = piling.decide(Gate::Access, &json!({"n": 100_000_000}));
    assert!(!decision.allow && decision.reasons[0].contains("memory limit"), "{decision:?}");

    // The limit is gone with the decision: what the app takes for itself is its own.
    let own = vec![7u8; 512 << 20];
    let decision = piling.decide(Gate::Access, &json!({"n": 1000}));
    assert!(decision.allow, "{decision:?} beside {} bytes", own.len());
}

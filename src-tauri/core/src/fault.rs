//! Places where a test can end this process as `kill -9` would: at once, without unwinding, unlocking or flushing.
//!
//! Each place has a name and stands before or after one recorded step. A debug build that is started with
//! `FORGE_FAULT=<name>` ends there; everything else passes. A release build has none of it, not even the look at the
//! environment: what a learner runs must not be told from outside to end half-way, and costs nothing.
//! `tests/faults.rs` of the command line ends a process at every one of them and says what must hold afterwards.

/// Every place: those of a run in the order in which it meets them, then those of keys.
pub const POINTS: [&str; 53] = [
    "start.admit.before",
    "start.admit.after",
    "start.images.before",
    "start.images.after",
    "launch.fabric.create.before",
    "launch.fabric.create.after",
    "launch.fabric.start.before",
    "launch.fabric.start.after",
    "launch.fabric.lay.after",
    "launch.node.create.before",
    "launch.node.create.after",
    "launch.node.start.before",
    "launch.node.start.after",
    "launch.node.wire.before",
    "launch.node.wire.after",
    "launch.startup.before",
    "launch.startup.after",
    "launch.ready.before",
    "launch.ready.after",
    "launch.isolation.before",
    "launch.isolation.after",
    "start.record.before",
    "start.record.after",
    "check.probes.before",
    "check.disturb.before",
    "check.disturb.after",
    "check.undo.after",
    "check.probes.after",
    "check.record.after",
    "submit.intent.before",
    "submit.intent.after",
    "submit.evidence.before",
    "submit.evidence.after",
    "submit.seal.before",
    "submit.files.after",
    "submit.seal.after",
    "submit.record.before",
    "submit.record.after",
    "stop.intent.before",
    "stop.intent.after",
    "stop.remove.before",
    "stop.remove.first",
    "stop.remove.after",
    "stop.record.before",
    "stop.record.after",
    "keys.make.begun",
    "keys.make.saved",
    "keys.move.written",
    "keys.move.switched",
    "keys.move.first",
    "keys.move.removed",
    "keys.rotate.recorded",
    "keys.rotate.saved",
];

/// Ends the process if this is the place it was told to end at.
#[cfg(debug_assertions)]
pub fn point(name: &str) {
    static ARMED: std::sync::LazyLock<Option<String>> = std::sync::LazyLock::new(|| std::env::var("FORGE_FAULT").ok());
    debug_assert!(POINTS.contains(&name), "{name} is not in the list of fault points");
    if ARMED.as_deref() == Some(name) {
        std::process::abort();
    }
}

#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn point(_: &str) {}

/// Milliseconds by which a debug build's wall clock is off: `FORGE_FAULT_CLOCK=<ms>`, as if somebody had set it.
#[cfg(debug_assertions)]
pub fn clock_off() -> i64 {
    static OFF: std::sync::LazyLock<i64> =
        std::sync::LazyLock::new(|| std::env::var("FORGE_FAULT_CLOCK").ok().and_then(|v| v.parse().ok()).unwrap_or(0));
    *OFF
}

#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn clock_off() -> i64 {
    0
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::POINTS;
    use std::collections::BTreeSet;

    /// A place that no code passes, or a name that is nobody's, would make the harness pass for the wrong reason.
    #[test]
    fn each_place_stands_in_the_code_exactly_once() {
        let mut named = Vec::new();
        let mut open = vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
        while let Some(path) = open.pop() {
            if path.is_dir() {
                open.extend(std::fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()));
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let calls = text.split("fault::point(\"").skip(1).filter_map(|rest| rest.split('"').next());
                named.extend(calls.map(str::to_owned));
            }
        }
        named.sort();
        let listed: BTreeSet<String> = POINTS.iter().map(|p| (*p).to_owned()).collect();
        assert_eq!(listed.len(), POINTS.len());
        assert_eq!(named, listed.into_iter().collect::<Vec<_>>());
    }
}

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
use super::*;
use serde_json::json;

fn files() -> BTreeMap<String, String> {
    POLICIES
        .files()
        .filter(|f| f.path().extension().is_some_and(|e| e == "rego"))
        .map(|f| (f.path().to_str().unwrap().to_owned(), f.contents_utf8().unwrap().to_owned()))
        .collect()
}

#[test]
fn every_case_is_answered_as_written() {
    let policy = Policy::load().unwrap();
    let suites = cases::suites().unwrap();
    let mut gates: Vec<Gate> = suites.iter().map(|s| s.gate).collect();
    gates.sort_unstable();
    let mut all = Gate::ALL.to_vec();
    all.sort_unstable();
    assert_eq!(gates, all, "one suite per gate");
    let wrong: Vec<_> = suites.iter().flat_map(|s| cases::run(&policy, s)).filter(|o| !o.ok).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Each rule is taken out in turn; some case must notice, else the rule is not exercised. That the rule can also be
/// satisfied is shown by the cases that are allowed.
#[test]
fn no_rule_can_be_dropped_unnoticed() {
    let all = files();
    let suites = cases::suites().unwrap();
    let mut rules = 0;
    for suite in &suites {
        assert!(suite.cases.iter().any(|c| c.allow), "{:?} has no case that is allowed", suite.gate);
        let name = format!("{}.rego", suite.gate.name());
        let text = &all[&name];
        let starts: Vec<usize> = text.match_indices("\nreasons contains ").map(|(i, _)| i).collect();
        assert!(!starts.is_empty());
        for start in starts {
            let end = start + text[start..].find("\n\n").unwrap_or(text.len() - start);
            let mut without = text.clone();
            without.replace_range(start..end, "\nreasons contains \"never\" if false");
            let mut changed = all.clone();
            changed.insert(name.clone(), without);
            let policy = Policy::from_files(&changed).unwrap();
            let noticed = cases::run(&policy, suite).iter().any(|o| !o.ok);
            assert!(noticed, "no case notices that this rule is gone:{}", &text[start..end]);
            rules += 1;
        }
    }
    assert!(rules >= 40, "{rules}");
}

#[test]
fn what_cannot_be_decided_is_denied_with_the_reason() {
    let policy = Policy::load().unwrap();
    for gate in Gate::ALL {
        for input in [json!({}), json!(null), json!([1, 2]), json!("x"), json!({"track": {"a": [null]}})] {
            let decision = policy.decide(gate, &input);
            assert!(!decision.allow && !decision.reasons.is_empty(), "{gate:?} {input}");
        }
    }
    let huge = json!({"subject": "x".repeat(300_000)});
    assert!(policy.decide(Gate::Spawn, &huge).reasons[0].contains("bytes"));
    let broken = |body: &str| {
        let mut changed = files();
        changed.insert("access.rego".into(), format!("package frostgate.forge.access\nimport rego.v1\n{body}\n"));
        Policy::from_files(&changed).unwrap().decide(Gate::Access, &json!({"n": 3000}))
    };
    for body in [
        "decision := {\"allow\": true, \"reasons\": [\"but no\"]}",
        "decision := {\"allow\": false, \"reasons\": []}",
        "decision := {\"allow\": \"yes\", \"reasons\": []}",
        "decision := true",
        "decision := {\"allow\": true, \"reasons\": []} if input.never",
        "decision := {\"allow\": true, \"reasons\": [], \"also\": 1}",
    ] {
        let decision = broken(body);
        assert!(!decision.allow && !decision.reasons.is_empty(), "{body}");
    }
}

#[test]
fn a_policy_that_does_not_end_is_cut_off() {
    let mut changed = files();
    changed.insert(
        "access.rego".into(),
        "package frostgate.forge.access\nimport rego.v1\nn := object.get(input, \"n\", 1)\ndecision := {\"allow\": count([1 | some i in numbers.range(1, n); some j in numbers.range(1, n); i * j == 0]) == 0, \"reasons\": []}".into(),
    );
    let policy = Policy::from_files(&changed).unwrap();
    assert!(policy.decide(Gate::Access, &json!({"n": 3})).allow);
    let began = Instant::now();
    let decision = policy.decide(Gate::Access, &json!({"n": 100_000}));
    assert!(!decision.allow, "{decision:?}");
    assert!(decision.reasons[0].contains("could not decide"), "{decision:?}");
    assert!(began.elapsed() < Duration::from_secs(30), "took {:?}", began.elapsed());
}

#[test]
fn policies_that_do_not_parse_are_named() {
    let mut changed = files();
    changed.insert("spawn.rego".into(), "package frostgate.forge.spawn\nallow {".into());
    let e = Policy::from_files(&changed).err().unwrap();
    assert!(e.message.contains("spawn.rego"), "{}", e.message);
    let mut missing = files();
    missing.remove("quota.rego");
    assert!(Policy::from_files(&missing).err().unwrap().message.contains("quota"));
}

#[test]
fn the_digest_follows_every_byte() {
    let policy = Policy::load().unwrap();
    assert_eq!(policy.digest().len(), 64);
    let mut changed = files();
    changed.get_mut("spawn.rego").unwrap().push('\n');
    assert_ne!(Policy::from_files(&changed).unwrap().digest(), policy.digest());
}

/// A measurement, not a limit on a shared machine: the aim is 1 ms p99 for all gates of a spawn, release build.
#[test]
fn how_long_decisions_take() {
    let policy = Policy::load().unwrap();
    let suites = cases::suites().unwrap();
    let gates = [Gate::Spawn, Gate::Training, Gate::Quota, Gate::Capabilities];
    let inputs: Vec<_> =
        gates.iter().map(|g| (*g, suites.iter().find(|s| s.gate == *g).unwrap().base.clone())).collect();
    let mut times: Vec<u64> = (0..300)
        .map(|_| {
            inputs
                .iter()
                .map(|(gate, input)| policy.decide(*gate, input))
                .inspect(|d| assert!(d.allow))
                .map(|d| d.micros)
                .sum()
        })
        .collect();
    times.sort_unstable();
    println!("four gates: p50 {} µs, p99 {} µs", times[150], times[297]);
    assert!(times[150] < 100_000, "even a debug build on a busy machine decides within 100 ms: {}", times[150]);
}

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod haste;
mod judging;
mod running;

use crate::template::scenario::Scenario;
use serde_json::json;

/// A lab with two criteria, for whoever needs one.
pub(crate) fn example_scenario() -> Scenario {
    let evidence = |port: u16| json!([{"after":null,"within_ms":0,"probe":{"probe":"listening","node":"pc","proto":"tcp","port":port}}]);
    serde_json::from_value(json!({
        "lab":"netplus-example","title":"Example","track":"netplus","tier":"foundation","version":"1.0.0",
        "digest":"aa".repeat(32),"seed":"seed-1","values":{"port":22},
        "limits":{"cpu":1.5,"memory_mb":256,"timeout_minutes":30,"attacker_max_exploits":0},
        "egress":{"mode":"deny"},
        "nodes":[{"name":"pc","role":"learner","image":"host","enter":true,"caps":[],"writable":["/etc"],"env":{},"files":[],
            "startup":"","ready":[],"hosts":{},"gateway":null,"forwarding":false,"ports":{}}],
        "links":[],
        "criteria":[
            {"id":"ssh","title":"SSH","weight":2,"evidence":evidence(22),"failed":"x"},
            {"id":"http","title":"HTTP","weight":1,"evidence":evidence(80),"failed":"x"}],
        "hints":[{"id":"h1","criterion":"ssh","cost":500,"text":"look"}],
        "guide":"# Example"
    }))
    .unwrap()
}

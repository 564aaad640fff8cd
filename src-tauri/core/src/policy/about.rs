//! What a gate asks and what it can say, read from its policy's own text, so that it cannot say anything else.

use super::{Gate, Policy};

/// A gate in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// The question, one sentence.
    pub asks: String,
    /// What it looks at: the fields of its input, as the policy's first comment lists them.
    pub input: String,
    /// Every reason it can give, with “…” where a value will stand.
    pub rules: Vec<String>,
    /// The policy itself.
    pub source: String,
}

impl Policy {
    pub fn about(&self, gate: Gate) -> About {
        let source = self.files.get(&format!("{}.rego", gate.name())).cloned().unwrap_or_default();
        let heading: Vec<&str> = source.lines().map_while(|line| line.strip_prefix('#')).map(str::trim).collect();
        let heading = heading.join(" ");
        let (asks, input) = heading.split_once("input:").unwrap_or((heading.as_str(), ""));
        About { asks: asks.trim().to_owned(), input: input.trim().to_owned(), rules: rules(&source), source }
    }
}

fn rules(source: &str) -> Vec<String> {
    source
        .lines()
        .filter_map(|line| line.strip_prefix("reasons contains "))
        .filter_map(|head| head.trim_start_matches("sprintf(").strip_prefix('"'))
        .filter_map(|text| text.split_once('"'))
        .map(|(words, _)| words.replace("%v", "…"))
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_gate_says_what_it_asks_and_every_reason() {
        let policy = Policy::load().unwrap();
        for gate in Gate::ALL {
            let about = policy.about(gate);
            assert!(about.asks.contains('?') && about.asks.len() < 120, "{gate:?}: {}", about.asks);
            assert!(!about.input.is_empty() && !about.input.starts_with("input"), "{gate:?}: {}", about.input);
            assert_eq!(about.rules.len(), about.source.matches("\nreasons contains ").count(), "{gate:?}");
            assert!(about.rules.iter().all(|r| r.len() > 10 && !r.contains('%')), "{:?}", about.rules);
        }
    }
}

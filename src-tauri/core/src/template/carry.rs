//! Carrying what a learner made to another seed: which files it consists of, and which addresses in them are the seed's.
//! Pure: a submitted file is text to look through, never something to follow.

use super::model::ReexecutionSpec;
use super::problem::Problem;
use super::scenario::{Carried, Node, Reexecution, Scenario};
use crate::api::Values;
use ipnet::Ipv4Net;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// Files that one lab carries.
const FILES_MAX: usize = 32;

pub(super) fn reexecution(
    file: &str,
    spec: Option<&ReexecutionSpec>,
    nodes: &[Node],
    values: &Values,
) -> Result<Option<Reexecution>, Vec<Problem>> {
    let Some(spec) = spec else { return Ok(None) };
    let first = spec.carry.first().map(|c| c.node.at);
    match (&spec.bound, first) {
        (Some(why), None) if spec.renumber.is_empty() => {
            return Ok(Some(Reexecution::Bound { why: why.value.trim().to_owned() }));
        }
        (Some(why), _) => {
            return Err(vec![Problem::new(
                file,
                why.at,
                "a lab is either bound to its seed or carries files to another",
            )]);
        }
        (None, None) => {
            let at = spec.renumber.first().map(|r| r.at).unwrap_or_default();
            return Err(vec![Problem::new(file, at, "reexecution says neither `bound` nor what to `carry`")]);
        }
        (None, Some(_)) => {}
    }
    let mut problems = Vec::new();
    for c in &spec.carry {
        match nodes.iter().find(|n| n.name == c.node.value) {
            None => problems.push(Problem::new(file, c.node.at, format!("there is no node “{}”", c.node.value))),
            Some(n) if !n.enter => problems.push(Problem::new(
                file,
                c.node.at,
                format!("no learner can enter “{}”, so nothing in it is theirs", n.name),
            )),
            Some(n) if !writable(n, &c.path.value) => problems.push(
                Problem::new(
                    file,
                    c.path.at,
                    format!("{} is no file in a writable directory of “{}”", c.path.value, n.name),
                )
                .hint("What is not in one is gone after a restart."),
            ),
            Some(_) => {}
        }
    }
    for name in &spec.renumber {
        let mut found = Renumbering::default();
        if let Some(value) = values.get(&name.value) {
            found.pair(value, value);
        }
        if found.exact.is_empty() && found.nets.is_empty() {
            problems.push(Problem::new(file, name.at, format!("“{}” is no parameter with IPv4 addresses", name.value)));
        }
    }
    if spec.carry.len() > FILES_MAX {
        let at = first.unwrap_or_default();
        problems.push(Problem::new(file, at, format!("more than {FILES_MAX} files are carried")));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let carried = |c: &super::model::CarrySpec| Carried {
        node: c.node.value.clone(),
        path: c.path.value.clone(),
        running: c.running,
    };
    Ok(Some(Reexecution::Carry {
        files: spec.carry.iter().map(carried).collect(),
        renumber: spec.renumber.iter().map(|r| r.value.clone()).collect(),
    }))
}

fn writable(node: &Node, path: &str) -> bool {
    let clean = path.starts_with('/')
        && path.split('/').skip(1).all(|part| !part.is_empty() && part != "." && part != "..")
        && path.bytes().all(|b| b.is_ascii_graphic());
    let below = |dir: &String| path.strip_prefix(dir.trim_end_matches('/')).is_some_and(|rest| rest.starts_with('/'));
    clean && node.writable.iter().any(below)
}

/// From one seed's IPv4 addresses to another's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Renumbering {
    exact: BTreeMap<Ipv4Addr, Ipv4Addr>,
    /// Of the same length each.
    nets: Vec<(Ipv4Net, Ipv4Net)>,
}

impl Renumbering {
    /// Both scenarios are of the same template, so their values have the same shape.
    pub fn between(from: &Scenario, to: &Scenario, parameters: &[String]) -> Self {
        let mut found = Self::default();
        for name in parameters {
            if let (Some(old), Some(new)) = (from.values.get(name), to.values.get(name)) {
                found.pair(old, new);
            }
        }
        // A network inside another one says more about an address than the other.
        found.nets.sort_by_key(|(old, _)| std::cmp::Reverse(old.prefix_len()));
        found
    }

    fn pair(&mut self, old: &Value, new: &Value) {
        match (old, new) {
            (Value::String(old), Value::String(new)) => {
                if let (Ok(old), Ok(new)) = (old.parse::<Ipv4Net>(), new.parse::<Ipv4Net>())
                    && old.prefix_len() == new.prefix_len()
                {
                    self.nets.push((old.trunc(), new.trunc()));
                } else if let (Ok(old), Ok(new)) = (old.parse(), new.parse()) {
                    self.exact.insert(old, new);
                }
            }
            (Value::Array(old), Value::Array(new)) => old.iter().zip(new).for_each(|(o, n)| self.pair(o, n)),
            (Value::Object(old), Value::Object(new)) => {
                old.iter().filter_map(|(k, o)| Some((o, new.get(k)?))).for_each(|(o, n)| self.pair(o, n));
            }
            _ => {}
        }
    }

    fn address(&self, old: Ipv4Addr) -> Option<Ipv4Addr> {
        if let Some(new) = self.exact.get(&old) {
            return Some(*new);
        }
        let (from, to) = self.nets.iter().find(|(from, _)| from.contains(&old))?;
        let offset = u32::from(old).wrapping_sub(u32::from(from.network()));
        Some(u32::from(to.network()).wrapping_add(offset).into())
    }

    /// Every dotted quad that stands alone and is the old seed's becomes the new seed's; nothing else changes.
    pub fn apply(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        let mut before: Option<char> = None;
        while let Some(c) = rest.chars().next() {
            let number = |c: char| c.is_ascii_digit() || c == '.';
            let long = rest.find(|c: char| !number(c)).unwrap_or(rest.len());
            if long == 0 {
                out.push(c);
                before = Some(c);
                rest = rest.get(c.len_utf8()..).unwrap_or_default();
                continue;
            }
            let (run, after) = rest.split_at(long);
            let token = run.trim_end_matches('.');
            let word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
            let alone = !word(before) && (token.len() < run.len() || !word(after.chars().next()));
            match token.parse::<Ipv4Addr>().ok().filter(|_| alone).and_then(|old| self.address(old)) {
                Some(new) => {
                    out.push_str(&new.to_string());
                    out.push_str(run.get(token.len()..).unwrap_or_default());
                }
                None => out.push_str(run),
            }
            before = run.chars().last();
            rest = after;
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn renumbering() -> Renumbering {
        let mut r = Renumbering::default();
        r.pair(&json!(["10.1.2.0/24", "10.1.3.0/24"]), &json!(["10.77.0.0/24", "10.78.0.0/24"]));
        r.pair(&json!({"a": "10.1.2.9", "n": 7}), &json!({"a": "10.99.0.1", "n": 8}));
        r
    }

    #[test]
    fn addresses_of_the_seed_move_and_nothing_else_does() {
        let r = renumbering();
        for (old, new) in [
            ("network 10.1.2.0/24 area 0", "network 10.77.0.0/24 area 0"),
            ("ip 10.1.3.254, 10.1.2.1-10.1.2.3.", "ip 10.78.0.254, 10.77.0.1-10.77.0.3."),
            ("10.1.2.9", "10.99.0.1"),
            ("10.1.4.1 0.0.0.255 255.255.255.0 area 0.0.0.0", "10.1.4.1 0.0.0.255 255.255.255.0 area 0.0.0.0"),
            (
                "v10.1.2.1 10.1.2.1.5 10.1.2.1a x_10.1.2.1 10.1.2.300",
                "v10.1.2.1 10.1.2.1.5 10.1.2.1a x_10.1.2.1 10.1.2.300",
            ),
            ("ä10.1.2.1ö 7 10.1.2.1\u{0}", "ä10.1.2.1ö 7 10.77.0.1\u{0}"),
            ("", ""),
            ("....10.1.2.1", "....10.1.2.1"),
        ] {
            assert_eq!(r.apply(old), new, "{old}");
        }
    }

    #[test]
    fn what_moved_does_not_move_again() {
        let mut r = Renumbering::default();
        r.pair(&json!(["10.1.0.0/24", "10.2.0.0/24"]), &json!(["10.2.0.0/24", "10.1.0.0/24"]));
        assert_eq!(r.apply("10.1.0.5 10.2.0.5"), "10.2.0.5 10.1.0.5");
    }

    proptest::proptest! {
        /// Whatever a stranger submitted, and however addresses stand in it.
        #[test]
        fn any_text_survives(parts in proptest::collection::vec((".{0,12}", 0u8..=255), 0..20)) {
            let r = renumbering();
            let line = |net: &str| -> String { parts.iter().map(|(text, n)| format!("{text} {net}{n} ")).collect() };
            let plain = parts.iter().map(|(text, _)| text.as_str()).collect::<String>().replace("10.", "11.");
            proptest::prop_assert_eq!(r.apply(&plain), plain.clone());
            if parts.iter().all(|(text, n)| !text.contains("10.") && *n != 9) {
                proptest::prop_assert_eq!(r.apply(&line("10.1.2.")), line("10.77.0."));
            }
        }
    }
}

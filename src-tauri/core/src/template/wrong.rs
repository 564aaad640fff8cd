//! `wrong/<name>/wrong.yaml`: a way to do the lab wrong, and what must fail because of it.

use super::catalogue::{Lab, Wrong};
use super::problem::{Problem, did_you_mean};
use super::tree::Tree;
use super::typed::{self, At};
use crate::error::Result;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrongFile {
    /// What somebody who does this believes, or tries to get away with.
    why: At<String>,
    /// Criteria that must not pass.
    fails: At<Vec<At<String>>>,
}

pub fn read(lab: &Lab, name: &str, scripts: impl FnOnce(&str) -> Result<BTreeMap<String, String>>) -> Result<Wrong> {
    let dir = format!("wrong/{name}");
    let file = format!("{dir}/wrong.yaml");
    let bytes =
        lab.folder.get(&file).ok_or_else(|| Problem::new(&file, super::problem::Pos::default(), "is missing"))?;
    let tree = Tree::parse(&file, bytes)?;
    let wrong: WrongFile = typed::read(&file, &tree)?;
    if wrong.fails.is_empty() || wrong.why.trim().is_empty() {
        return Err(
            Problem::new(&file, wrong.fails.at, "say why, and name at least one criterion that must fail").into()
        );
    }
    for id in &wrong.fails.value {
        let known = || lab.specimen.criteria.iter().map(|c| c.id.as_str());
        if !known().any(|k| k == id.value) {
            return Err(Problem::new(&file, id.at, format!("there is no criterion “{}”", id.value))
                .maybe_hint(did_you_mean(id, known()))
                .into());
        }
    }
    let scripts = scripts(&dir)?;
    if scripts.is_empty() {
        return Err(Problem::new(&file, wrong.why.at, "has no <node>.sh beside it, so it does nothing").into());
    }
    Ok(Wrong {
        name: name.to_owned(),
        why: wrong.why.value.trim().to_owned(),
        fails: wrong.fails.value.into_iter().map(|f| f.value).collect(),
        scripts,
    })
}

//! `keys`: the board's keys. A running server takes a rotation over within some seconds.

use super::{KeysCommand, say};
use crate::clock;
use crate::ring::Ring;
use forge_core::error::Result;

pub fn run(what: &KeysCommand, json: bool) -> Result<()> {
    let place = match what {
        KeysCommand::List { place } | KeysCommand::Rotate { place } => place,
    };
    place.must_exist()?;
    let ring = Ring::open(&place.data)?;
    if matches!(what, KeysCommand::Rotate { .. }) {
        ring.rotate(clock::now())?;
    }
    let keys = ring.all()?;
    let value = serde_json::json!({"keys": keys, "rotations": ring.own().rotations()});
    say(json, &value, || {
        let row = |k: &forge_core::board::BoardKey| format!("{}{}", k.id, if k.current { "  in use" } else { "" });
        keys.iter().map(row).collect::<Vec<_>>().join("\n")
    });
    Ok(())
}

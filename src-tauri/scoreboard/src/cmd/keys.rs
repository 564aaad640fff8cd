//! `keys`: the board's keys. A running server takes a rotation over within some seconds.

use super::{KeysCommand, Place, say};
use crate::clock;
use crate::lineage::{self, Had};
use crate::ring::Ring;
use crate::store::migrate;
use forge_core::board::BoardKey;
use forge_core::error::{Code, Error, Result};
use forge_core::keys::Keys;

pub fn run(what: &KeysCommand, json: bool) -> Result<()> {
    let place = match what {
        KeysCommand::List { place } | KeysCommand::Rotate { place } | KeysCommand::New { place } => place,
    };
    place.must_exist()?;
    let mut conn = place.target()?.connect()?;
    migrate(conn.as_mut())?;
    conn.begin(true)?;
    let whole = lineage::check(conn.as_mut(), &place.data);
    match what {
        KeysCommand::New { .. } => lost(place, whole)?,
        _ => whole?,
    }
    if !matches!(what, KeysCommand::New { .. }) && !Keys::board_is_there(&place.data)? {
        return Err(lineage::gone(&place.data, None));
    }
    let ring = Ring::open(&place.data)?;
    if matches!(what, KeysCommand::Rotate { .. }) {
        ring.rotate(clock::now())?;
    }
    lineage::remember(conn.as_mut(), &ring.own(), clock::now())?;
    let had = lineage::list(conn.as_mut())?;
    conn.commit()?;
    let (keys, lost) = (ring.all()?, without_a_word(&had));
    let value = serde_json::json!({"keys": keys, "rotations": ring.own().rotations(), "lost": lost});
    say(json, &value, || words(&keys, &lost, matches!(what, KeysCommand::New { .. })));
    Ok(())
}

/// A key that is there is not made anew: that would shut every laptop out for nothing.
fn lost(place: &Place, whole: Result<()>) -> Result<()> {
    let shown = place.data.display();
    match whole {
        Ok(()) if !Keys::board_is_there(&place.data)? => Err(Error::new(
            Code::WrongState,
            "Nobody is enrolled in this database, so no key can be lost; `forge-scoreboard serve` makes one by itself.",
        )
        .hint("If the board is served with another --database, give the same one here.")),
        Ok(()) => {
            Err(Error::new(Code::WrongState, format!("The key of {shown} is where it should be; nothing is lost."))
                .hint(format!(
                    "To replace it so that laptops follow by themselves: forge-scoreboard keys rotate --data {shown}"
                )))
        }
        // What is damaged stays for whoever can mend it.
        Err(e) if e.code == Code::KeyUnavailable && e.details.get("kind").is_some_and(|kind| kind == "damaged") => {
            Err(e.hint(format!("Move it away first: mv {shown}/keys/board.pem {shown}/keys/board.pem.damaged")))
        }
        Err(e) if e.code == Code::KeyUnavailable => Ok(()),
        Err(e) => Err(e),
    }
}

#[derive(serde::Serialize)]
struct Lost {
    id: String,
    pem: String,
    /// When another one was taken without its word.
    at: i64,
}

fn without_a_word(had: &[Had]) -> Vec<Lost> {
    let exchanged = had.iter().zip(had.iter().skip(1)).filter(|(_, next)| next.exchanged);
    exchanged.map(|(old, next)| Lost { id: old.id.clone(), pem: old.pem.clone(), at: next.since }).collect()
}

fn words(keys: &[BoardKey], lost: &[Lost], new: bool) -> String {
    let row = |k: &BoardKey| format!("{}{}", k.id, if k.current { "  in use" } else { "" });
    let gone = |l: &Lost| format!("{}  lost; the next one is not vouched for by it", l.id);
    let next = "Every laptop has to be enrolled again with a code, and restart the server if it runs.".to_owned();
    keys.iter().map(row).chain(lost.iter().map(gone)).chain(new.then_some(next)).collect::<Vec<_>>().join("\n")
}

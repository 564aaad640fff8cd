//! `people`: who is enrolled, and whose keys count no longer; straight in the database. A running server sees it with its next
//! request.

use super::{PeopleCommand, say};
use crate::clock;
use crate::http::people::line;
use crate::http::views::{KeyView, LearnerView};
use crate::store::people::{self, role_word};
use crate::store::{Connection, migrate};
use forge_core::error::{Code, Error, Result};

pub fn run(what: &PeopleCommand, json: bool) -> Result<()> {
    let place = match what {
        PeopleCommand::List { place, .. } | PeopleCommand::Revoke { place, .. } => place,
    };
    place.must_exist()?;
    let mut conn = place.target()?.connect()?;
    migrate(conn.as_mut())?;
    match what {
        PeopleCommand::List { class, .. } => list(conn.as_mut(), class.as_deref(), json),
        PeopleCommand::Revoke { keys, reason, .. } => revoke(conn.as_mut(), keys, reason, json),
    }
}

fn list(conn: &mut dyn Connection, class: Option<&str>, json: bool) -> Result<()> {
    let found: Vec<LearnerView> = people::list(conn, class, i64::MAX)?.into_iter().map(LearnerView::from).collect();
    say(json, &serde_json::json!({"people": found}), || {
        let key = |k: &KeyView| format!("\n  {}{}", k.key_id, if k.revoked_at.is_some() { "  revoked" } else { "" });
        let row = |p: &LearnerView| {
            format!("{} ({}, {}){}", p.name, p.class, role_word(p.role), p.keys.iter().map(key).collect::<String>())
        };
        if found.is_empty() {
            "Nobody is enrolled.".into()
        } else {
            found.iter().map(row).collect::<Vec<_>>().join("\n")
        }
    });
    Ok(())
}

/// All of them or none.
fn revoke(conn: &mut dyn Connection, keys: &[String], reason: &str, json: bool) -> Result<()> {
    if !line(reason, 200) {
        return Err(Error::new(Code::InvalidInput, "A reason is one line of 1 to 200 characters."));
    }
    let now = clock::now();
    let mut owners = Vec::new();
    conn.begin(true)?;
    for id in keys {
        let Some(key) = people::key(conn, id)? else {
            return Err(Error::new(Code::NotFound, format!("There is no key {id} here, so nothing was revoked."))
                .hint("`forge-scoreboard people list` shows whose keys there are."));
        };
        people::revoke(conn, id, reason, now)?;
        owners.push(key.owner);
    }
    conn.commit()?;
    say(json, &serde_json::json!({"revoked": keys}), || {
        let row =
            |(id, owner): (&String, &people::Person)| format!("{id} of {} ({}) is revoked.", owner.name, owner.class);
        keys.iter().zip(&owners).map(row).collect::<Vec<_>>().join("\n")
    });
    Ok(())
}

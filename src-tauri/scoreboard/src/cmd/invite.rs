//! `invite`: one-time codes, straight into the database.

use super::{Place, say};
use crate::http::people::{DAY, line};
use crate::store::migrate;
use crate::store::people::{self, Invite, role_word};
use crate::{clock, codes};
use forge_core::board::Role;
use forge_core::error::{Code, Error, Result};

pub fn run(place: &Place, class: String, role: Role, count: u32, days: u32, json: bool) -> Result<()> {
    if !line(&class, 60) {
        return Err(Error::new(Code::InvalidInput, "A class is one line of 1 to 60 characters."));
    }
    crate::evidence::private_folder(&place.data)?;
    let mut conn = place.target()?.connect()?;
    migrate(conn.as_mut())?;
    let now = clock::now();
    let expires_at = now + i64::from(days) * DAY;
    let invited: Vec<String> = (0..count).map(|_| codes::invite()).collect();
    conn.begin(true)?;
    for code in &invited {
        let invite = Invite { class: class.clone(), role, expires_at, used_at: None, used_by: None };
        people::invite(conn.as_mut(), &codes::digest(&codes::normal(code)), &invite, now)?;
    }
    conn.commit()?;
    let value = serde_json::json!({
        "code": invited.first(), "codes": invited, "class": class, "role": role_word(role), "expires_at": expires_at,
    });
    say(json, &value, || invited.join("\n"));
    Ok(())
}

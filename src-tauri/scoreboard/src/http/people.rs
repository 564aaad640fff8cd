//! Enrolment, invitations, the keys of learners.

use super::App;
use super::ask::Path;
use super::body;
use super::error::{Answer, no};
use super::views::{InviteRequest, Invited, LearnerView, Revoke};
use super::who::{self, Who};
use crate::store::people::{self, Invite, Person};
use crate::{clock, codes};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use forge_core::board::{EnrolChallenge, Enrolled, Possession, RefusalCode, Role, Signed};
use forge_core::keys::{Domain, KeyName, PublicKey, Rotation};

const CHALLENGE_LIFE: i64 = 5 * 60_000;
/// Keys that are listed at once, and that one person may have: nobody fills a list with theirs.
const LISTED: i64 = 20_000;
const KEYS_MOST: i64 = 100;
pub const DAY: i64 = 24 * 3600 * 1000;

/// One line of 1 to `max` characters that can be shown anywhere: nothing in it breaks the line, or turns round what stands beside it.
pub fn line(text: &str, max: usize) -> bool {
    let breaks = |c: char| c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    (1..=max).contains(&text.chars().count()) && text.trim() == text && !text.chars().any(breaks)
}

/// Signed, so that nothing has to be remembered: `<expiry>.<random>.<signature>`.
pub async fn challenge(State(app): State<App>) -> Answer<Json<EnrolChallenge>> {
    let now = clock::now();
    let text = format!("{}.{}", now + CHALLENGE_LIFE, codes::token());
    let signature = app.ring.own().sign(KeyName::Board, Domain::Enrolment, text.as_bytes())?;
    let challenge = format!("{text}.{}", hex::encode(signature));
    Ok(Json(EnrolChallenge { challenge, expires_at: now + CHALLENGE_LIFE, now }))
}

fn fresh(app: &App, challenge: &str, now: i64) -> Answer<()> {
    let unknown = || no(RefusalCode::BadSignature, "The challenge is not one of this server's.");
    let (text, signature) = challenge.rsplit_once('.').ok_or_else(unknown)?;
    let signature = hex::decode(signature).map_err(|_| unknown())?;
    let ours = app.ring.own().ever(KeyName::Board)?;
    if !ours.iter().any(|k| k.verify(Domain::Enrolment, text.as_bytes(), &signature)) {
        return Err(unknown());
    }
    let expiry: i64 = text.split('.').next().and_then(|t| t.parse().ok()).ok_or_else(unknown)?;
    if expiry < now {
        return Err(no(RefusalCode::Timeout, "The challenge is too old.")
            .0
            .hint("Get another one: GET /v1/enrol")
            .into());
    }
    Ok(())
}

pub async fn enrol(State(app): State<App>, body: Body) -> Answer<(StatusCode, Json<Enrolled>)> {
    let signed: Signed<Possession> = body::json(body).await?;
    let wanted = &signed.body;
    let now = clock::now();
    if !line(&wanted.name, 40) {
        return Err(no(RefusalCode::Malformed, "A name is one line of 1 to 40 characters."));
    }
    let key = PublicKey::from_pem(&wanted.public_key).map_err(|e| no(RefusalCode::Malformed, e.message))?;
    fresh(&app, &wanted.challenge, now)?;
    signed.holds(&key, Domain::Enrolment).map_err(|e| no(RefusalCode::BadSignature, e.message))?;
    let (hash, token) = (codes::digest(&codes::normal(&wanted.code)), codes::token());
    let (token_hash, key_id, pem, name) = (codes::digest(&token), key.id(), key.pem(), wanted.name.clone());
    let id = uuid::Uuid::now_v7().to_string();
    let person = app
        .store
        .write(move |tx| {
            let Some(invite) = people::invite_of(tx, &hash)? else {
                return Ok(Err(no(RefusalCode::CodeUnknown, "This code is not known here.")));
            };
            // Whoever asks again with the same code and key did not get the answer: the token is a new one, the person the same.
            if invite.used_at.is_some()
                && invite.expires_at >= now
                && let Some(key) = people::key(tx, &key_id)?
                && key.revoked_at.is_none()
                && invite.used_by.as_deref() == Some(key.owner.id.as_str())
            {
                people::new_token(tx, &key.owner.id, &key_id, &token_hash, now)?;
                return Ok(Ok(key.owner));
            }
            if invite.used_at.is_some() {
                return Ok(Err(no(RefusalCode::CodeUsed, "This code was used already. Each works once.")));
            }
            if invite.expires_at < now {
                return Ok(Err(no(RefusalCode::CodeExpired, "This code has expired. Ask for another one.")));
            }
            if let Some(key) = people::key(tx, &key_id)? {
                // Whoever comes back, or holds the key on another laptop, is the same person: what is missing there is a token.
                let same = (&key.owner.class, key.owner.role) == (&invite.class, invite.role);
                if key.revoked_at.is_some() {
                    let no = no(RefusalCode::KeyRevoked, "This key was revoked here. The code was not used.").0;
                    return Ok(Err(no
                        .hint("Make a fresh key with `forge keys rotate`, then enrol again with the same code.")
                        .into()));
                }
                if !same {
                    let why = "This key is enrolled here already, in another class or role.";
                    return Ok(Err(no(RefusalCode::KeyEnrolled, why)));
                }
                // The code gave nothing that the key did not have, and is still good for the next of the class.
                people::new_token(tx, &key.owner.id, &key_id, &token_hash, now)?;
                return Ok(Ok(key.owner));
            }
            let person = Person { id: id.clone(), class: invite.class, name: name.clone(), role: invite.role };
            people::add(tx, &person, now)?;
            people::add_key(tx, &id, &key_id, &pem, now)?;
            people::new_token(tx, &id, &key_id, &token_hash, now)?;
            people::use_invite(tx, &hash, &id, now)?;
            Ok(Ok(person))
        })
        .await??;
    tracing::info!(learner = %person.id, class = %person.class, role = people::role_word(person.role), "enrolled");
    let enrolled = Enrolled {
        learner: person.id,
        name: person.name,
        class: person.class,
        role: person.role,
        key_id: key.id(),
        token,
        board: app.ring.current()?,
    };
    Ok((StatusCode::CREATED, Json(enrolled)))
}

pub async fn invite(State(app): State<App>, who: Who, body: Body) -> Answer<(StatusCode, Json<Invited>)> {
    let wanted: InviteRequest = body::json(body).await?;
    let own = who.teaches()?.map(str::to_owned);
    let role = wanted.role.unwrap_or(Role::Learner);
    if own.is_some() && role != Role::Learner {
        return Err(no(RefusalCode::Forbidden, "Only the admin makes instructors and workers."));
    }
    if own.is_some() && wanted.class.is_some() && wanted.class != own {
        return Err(no(RefusalCode::OtherTenant, "You can invite into your own class only."));
    }
    let class = own.or(wanted.class).ok_or_else(|| no(RefusalCode::Malformed, "Name a class."))?;
    if !line(&class, 60) {
        return Err(no(RefusalCode::Malformed, "A class is one line of 1 to 60 characters."));
    }
    let now = clock::now();
    let expires_at = now + i64::from(wanted.days.unwrap_or(7).clamp(1, 365)) * DAY;
    let code = codes::invite();
    let hash = codes::digest(&codes::normal(&code));
    let kept = Invite { class: class.clone(), role, expires_at, used_at: None, used_by: None };
    app.store.write(move |tx| people::invite(tx, &hash, &kept, now)).await?;
    Ok((StatusCode::CREATED, Json(Invited { code, class, role, expires_at })))
}

pub async fn list(State(app): State<App>, who: Who) -> Answer<Json<Vec<LearnerView>>> {
    let class = who.teaches()?.map(str::to_owned);
    let found = app.store.read(move |tx| people::list(tx, class.as_deref(), LISTED)).await?;
    Ok(Json(found.into_iter().map(LearnerView::from).collect()))
}

pub async fn revoke(State(app): State<App>, who: Who, Path(key_id): Path<String>, body: Body) -> Answer<StatusCode> {
    let Revoke { reason } = body::json(body).await?;
    if !line(&reason, 200) {
        return Err(no(RefusalCode::Malformed, "A reason is one line of 1 to 200 characters."));
    }
    who.teaches()?;
    let id = key_id.clone();
    let key = app.store.read(move |tx| people::key(tx, &id)).await?;
    let key = key.ok_or_else(|| no(RefusalCode::NotFound, "There is no such key here."))?;
    who.teaches_class(&key.owner.class)?;
    let now = clock::now();
    let id = key_id.clone();
    app.store.write(move |tx| people::revoke(tx, &id, &reason, now)).await?;
    tracing::info!(key = %key_id, "key revoked");
    Ok(StatusCode::NO_CONTENT)
}

/// The old key vouches for the new one; no token is needed, the signature is the proof. One of the old key that comes with it is
/// the laptop's own, and goes on with the new key.
pub async fn rotated(State(app): State<App>, headers: HeaderMap, body: Body) -> Answer<StatusCode> {
    let rotation: Rotation = body::json(body).await?;
    if rotation.name != KeyName::Learner {
        return Err(no(RefusalCode::Malformed, "Only learners' keys are changed in this way."));
    }
    let (old, new) = rotation.checked().map_err(|e| no(RefusalCode::BadSignature, e.message))?;
    let (old, new, pem) = (old.id(), new.id(), new.pem());
    let record = serde_json::to_string(&rotation).map_err(forge_core::error::Error::from)?;
    let (now, token) = (clock::now(), who::presented(&headers));
    app.store
        .write(move |tx| {
            let Some(known) = people::key(tx, &old)? else {
                return Ok(Err(no(RefusalCode::UnknownKey, "The old key is not enrolled here.")));
            };
            if known.revoked_at.is_some() {
                return Ok(Err(no(RefusalCode::KeyRevoked, "The old key was revoked; it can vouch for nothing.")));
            }
            match people::key(tx, &new)? {
                Some(there) if there.owner.id == known.owner.id => {}
                Some(_) => return Ok(Err(no(RefusalCode::KeyEnrolled, "The new key belongs to somebody else here."))),
                None if people::key_count(tx, &known.owner.id)? >= KEYS_MOST => {
                    let message = format!("There are {KEYS_MOST} keys of this person here already.");
                    return Ok(Err(no(RefusalCode::Forbidden, message)
                        .0
                        .hint("Ask your instructor for a code, and enrol the new key with it: forge enrol URL CODE")
                        .into()));
                }
                None => {
                    people::add_key(tx, &known.owner.id, &new, &pem, now)?;
                    people::rotated(tx, &new, &record, now)?;
                }
            }
            if let Some(token) = &token {
                people::follow(tx, token, &old, &new)?;
            }
            Ok(Ok(()))
        })
        .await??;
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn a_name_is_one_line_in_any_script_and_turns_nothing_round() {
        for good in ["Mara", "عمر بن الخطاب", "李小龙", "👩\u{200d}🔬 Ada", "O’Connor, Liam"] {
            assert!(line(good, 40), "{good}");
        }
        for bad in ["", " Mara", "a\nb", "a\u{2028}b", "\u{202e}txt.exe", "a\u{2066}b", &"x".repeat(41)] {
            assert!(!line(bad, 40), "{bad:?}");
        }
    }
}

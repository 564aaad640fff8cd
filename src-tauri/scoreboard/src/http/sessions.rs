//! Challenge sessions: what an instructor does, and what learners' laptops do in them.

use super::App;
use super::ask::{Path, Query};
use super::body;
use super::error::{Answer, No, no};
use super::people::{DAY, line};
use super::views::{Freeze, JoinRequest};
use super::who::Who;
use crate::live::Topic;
use crate::store::people::{self, Person};
use crate::store::session::{self, Issued, Kept};
use crate::store::session_events as events;
use crate::store::session_log as log;
use crate::{clock, codes};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use forge_core::board::{
    Challenge, ChallengeRequest, Joined, Message, MessageRequest, NewSession, Progress, RefusalCode, Role, SeedPolicy,
    Session, Signed,
};
use forge_core::keys::{Domain, KeyName};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

pub fn missing() -> No {
    no(RefusalCode::NotFound, "There is no such session here.")
}

pub async fn create(State(app): State<App>, who: Who, body: Body) -> Answer<(StatusCode, Json<Session>)> {
    let wanted: NewSession = body::json(body).await?;
    let own = who.teaches()?.map(str::to_owned);
    if own.is_some() && wanted.class.is_some() && wanted.class != own {
        return Err(no(RefusalCode::OtherTenant, "You can teach your own class only."));
    }
    let class = own.or(wanted.class).ok_or_else(|| no(RefusalCode::Malformed, "Name a class."))?;
    let now = clock::now();
    let checks = [
        (line(&wanted.title, 80), "A title is one line of 1 to 80 characters."),
        ((1..=32).contains(&wanted.labs.len()), "A session has 1 to 32 labs."),
        (wanted.labs.iter().collect::<BTreeSet<_>>().len() == wanted.labs.len(), "A session has each lab once."),
        ((1..=20).contains(&wanted.attempts), "There are 1 to 20 attempts."),
        (wanted.grace_minutes <= 7 * 24 * 60, "The grace is a week at most."),
        (wanted.deadline > now && wanted.deadline < now + 366 * DAY, "The deadline must lie ahead, within a year."),
    ];
    if let Some((_, why)) = checks.iter().find(|(ok, _)| !ok) {
        return Err(no(RefusalCode::Malformed, *why));
    }
    for lab in &wanted.labs {
        if app.labs.get(lab).map_or(true, |l| l.id != *lab) {
            return Err(no(RefusalCode::Malformed, format!("This server does not know the lab “{lab}”.")));
        }
    }
    let session = Session {
        id: uuid::Uuid::now_v7().to_string(),
        class,
        title: wanted.title,
        labs: wanted.labs,
        seeds: wanted.seeds,
        deadline: wanted.deadline,
        hints: wanted.hints,
        attempts: wanted.attempts,
        grace_minutes: wanted.grace_minutes,
        created_at: now,
        frozen: false,
        join_code: None,
    };
    let code = codes::join();
    let kept = Kept { session: session.clone(), secret: codes::token() };
    let plain = codes::normal(&code);
    app.store
        .write(move |tx| {
            session::insert(tx, &kept, &plain)?;
            events::created(tx, &kept.session)
        })
        .await?;
    Ok((StatusCode::CREATED, Json(Session { join_code: Some(code), ..session })))
}

/// `XXXX-XXXX`, as it is shown.
fn shown(mut session: Session) -> Session {
    if let Some(code) = &mut session.join_code
        && code.len() == 8
    {
        code.insert(4, '-');
    }
    session
}

pub async fn list(State(app): State<App>, who: Who) -> Answer<Json<Vec<Session>>> {
    let class = who.teaches()?.map(str::to_owned);
    let found = app.store.read(move |tx| session::list(tx, class.as_deref())).await?;
    Ok(Json(found.into_iter().map(|k| shown(k.session)).collect()))
}

pub async fn load(app: &App, id: &str) -> Answer<Kept> {
    let id = id.to_owned();
    app.store.read(move |tx| session::get(tx, &id)).await?.ok_or_else(missing)
}

/// A session that this asker teaches.
pub async fn taught(app: &App, who: &Who, id: &str) -> Answer<Kept> {
    who.teaches()?;
    let kept = load(app, id).await?;
    who.teaches_class(&kept.session.class)?;
    Ok(kept)
}

/// A session that this learner has joined.
async fn joined(app: &App, who: Who, id: &str) -> Answer<(Person, Kept)> {
    let person = who.person()?;
    let kept = load(app, id).await?;
    if kept.session.class != person.class {
        return Err(no(RefusalCode::OtherTenant, "The session belongs to another class."));
    }
    let (session, learner) = (id.to_owned(), person.id.clone());
    if !app.store.read(move |tx| session::has_joined(tx, &session, &learner)).await? {
        return Err(no(RefusalCode::Forbidden, "Join the session first, with its code."));
    }
    Ok((person, kept))
}

fn open(session: &Session) -> Answer<()> {
    if session.frozen { Err(no(RefusalCode::SessionFrozen, "The session is frozen.")) } else { Ok(()) }
}

pub async fn join(State(app): State<App>, who: Who, body: Body) -> Answer<Json<Joined>> {
    let JoinRequest { code } = body::json(body).await?;
    let person = who.person()?;
    let code = codes::normal(&code);
    let kept = app.store.read(move |tx| session::by_code(tx, &code)).await?;
    let kept = kept.ok_or_else(|| no(RefusalCode::CodeUnknown, "There is no session with this code."))?;
    if kept.session.class != person.class {
        return Err(no(RefusalCode::OtherTenant, "The session belongs to another class."));
    }
    let (s, learner, now) = (kept.session.clone(), person.id.clone(), clock::now());
    let fresh = app
        .store
        .write(move |tx| {
            let fresh = session::join(tx, &s.id, &learner, now)?;
            if fresh {
                events::joined(tx, &s, &learner, now)?;
            }
            Ok(fresh)
        })
        .await?;
    if fresh {
        let data = serde_json::json!({"learner": person.id, "name": person.name, "at": now});
        tell_instructors(&app, &kept.session.id, &person.id, "joined", &data);
    }
    Ok(Json(Joined { session: Session { join_code: None, ..kept.session }, now }))
}

fn tell_instructors(app: &App, session: &str, learner: &str, kind: &str, data: &serde_json::Value) {
    let topic = Topic::Session { id: session.to_owned(), learner: Some(learner.to_owned()), instructors_only: true };
    app.live.tell(topic, kind, data);
    app.metrics.events.inc();
}

pub async fn get(State(app): State<App>, who: Who, Path(id): Path<String>) -> Answer<Json<Session>> {
    if who.teaches().is_ok() {
        return Ok(Json(shown(taught(&app, &who, &id).await?.session)));
    }
    let (_, kept) = joined(&app, who, &id).await?;
    Ok(Json(Session { join_code: None, ..kept.session }))
}

/// Of the session alone, or of session, learner and attempt; 32 hex digits, which is a seed of a lab.
fn seed(kept: &Kept, lab: &str, learner: &str, attempt: i64) -> String {
    let mut hash = Sha256::new();
    hash.update(b"frostgate-forge:session-seed:v1\0");
    hash.update(kept.secret.as_bytes());
    hash.update(format!("\0{lab}"));
    if kept.session.seeds == SeedPolicy::PerLearner {
        hash.update(format!("\0{learner}\0{attempt}"));
    }
    let mut text = hex::encode(hash.finalize());
    text.truncate(32);
    text
}

pub async fn challenge(
    State(app): State<App>,
    who: Who,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Answer<Json<Signed<Challenge>>> {
    let ChallengeRequest { lab } = body::json(body).await?;
    let token = super::who::presented(&headers).unwrap_or_default();
    let (person, kept) = joined(&app, who, &id).await?;
    open(&kept.session)?;
    let now = clock::now();
    if now > kept.session.deadline {
        return Err(no(RefusalCode::DeadlinePassed, "The session's deadline has passed."));
    }
    if !kept.session.labs.contains(&lab) {
        return Err(no(RefusalCode::NotFound, "The session does not have this lab."));
    }
    let (k, p, nonce) = (kept.clone(), person.clone(), codes::token());
    let issued = app
        .store
        .write(move |tx| {
            let last = session::latest(tx, &k.session.id, &p.id, &lab)?;
            // A laptop takes a challenge that names its own key: not one of another laptop, or one that it has replaced since.
            let Some(key_id) = people::key_of_token(tx, &token)? else {
                return Ok(Err(no(RefusalCode::Unauthorized, "This token is not known here.")));
            };
            if let Some(last) = last.as_ref().filter(|l| l.verdict.is_none()) {
                if last.key_id != key_id {
                    session::readdress(tx, &last.nonce, &key_id)?;
                }
                return Ok(Ok(Issued { key_id, ..last.clone() }));
            }
            let attempt = last.map_or(1, |l| l.attempt + 1);
            if attempt > i64::from(k.session.attempts) {
                return Ok(Err(no(
                    RefusalCode::NoAttemptsLeft,
                    "You have used all attempts for this lab in this session.",
                )));
            }
            let issued = Issued {
                nonce: nonce.clone(),
                session: k.session.id.clone(),
                learner: p.id.clone(),
                key_id,
                lab: lab.clone(),
                seed: seed(&k, &lab, &p.id, attempt),
                attempt,
                issued_at: now,
                verdict: None,
            };
            session::issue(tx, &issued)?;
            Ok(Ok(issued))
        })
        .await??;
    let challenge = Challenge {
        version: 1,
        session: issued.session,
        class: kept.session.class,
        lab: issued.lab,
        key_id: issued.key_id,
        nonce: issued.nonce,
        seed: issued.seed,
        hints: kept.session.hints,
        attempt: u32::try_from(issued.attempt).unwrap_or(u32::MAX),
        issued_at: issued.issued_at,
        deadline: kept.session.deadline,
    };
    Ok(Json(Signed::seal(challenge, &app.ring.own(), KeyName::Board, Domain::Challenge)?))
}

pub async fn progress(State(app): State<App>, who: Who, Path(id): Path<String>, body: Body) -> Answer<StatusCode> {
    let progress: Progress = body::json(body).await?;
    let short = |s: &str| (1..=100).contains(&s.len());
    if progress.criteria.len() > 64 || !progress.criteria.keys().all(|k| short(k)) || !short(&progress.run) {
        return Err(no(RefusalCode::Malformed, "A progress names at most 64 criteria."));
    }
    let (person, kept) = joined(&app, who, &id).await?;
    open(&kept.session)?;
    if !kept.session.labs.contains(&progress.lab) {
        return Err(no(RefusalCode::NotFound, "The session does not have this lab."));
    }
    let now = clock::now();
    let data = serde_json::json!({"learner": person.id, "name": person.name, "at": now, "progress": progress});
    let learner = person.id.clone();
    app.store.write(move |tx| log::progress(tx, &id, &learner, &progress, now)).await?;
    tell_instructors(&app, &kept.session.id, &person.id, "progress", &data);
    Ok(StatusCode::NO_CONTENT)
}

pub async fn say(
    State(app): State<App>,
    who: Who,
    Path(id): Path<String>,
    body: Body,
) -> Answer<(StatusCode, Json<Message>)> {
    let wanted: MessageRequest = body::json(body).await?;
    if !(1..=500).contains(&wanted.text.chars().count()) {
        return Err(no(RefusalCode::Malformed, "A message has 1 to 500 characters."));
    }
    let kept = taught(&app, &who, &id).await?;
    if let Some(learner) = wanted.learner.clone() {
        let session = id.clone();
        if !app.store.read(move |tx| session::has_joined(tx, &session, &learner)).await? {
            return Err(no(RefusalCode::NotFound, "This learner has not joined the session."));
        }
    }
    let now = clock::now();
    let (text, learner, s) = (wanted.text, wanted.learner, kept.session.clone());
    let message = app
        .store
        .write(move |tx| {
            let message = log::say(tx, &id, &text, learner.as_deref(), now)?;
            events::said(tx, &s, &message)?;
            Ok(message)
        })
        .await?;
    let topic = Topic::Session { id: kept.session.id, learner: message.learner.clone(), instructors_only: false };
    app.live.tell(topic, "message", &serde_json::to_value(&message).map_err(forge_core::error::Error::from)?);
    app.metrics.events.inc();
    Ok((StatusCode::CREATED, Json(message)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct After {
    #[serde(default)]
    after: i64,
}

pub async fn messages(
    State(app): State<App>,
    who: Who,
    Path(id): Path<String>,
    Query(q): Query<After>,
) -> Answer<Json<Vec<Message>>> {
    let learner = if who.teaches().is_ok() {
        taught(&app, &who, &id).await?;
        None
    } else {
        Some(joined(&app, who, &id).await?.0.id)
    };
    Ok(Json(app.store.read(move |tx| log::messages(tx, &id, learner.as_deref(), q.after)).await?))
}

pub async fn freeze(State(app): State<App>, who: Who, Path(id): Path<String>, body: Body) -> Answer<Json<Session>> {
    let Freeze { frozen } = body::json(body).await?;
    let mut session = taught(&app, &who, &id).await?.session;
    let (changed, now) = (session.frozen != frozen, clock::now());
    session.frozen = frozen;
    let kept = session.clone();
    app.store
        .write(move |tx| {
            session::update(tx, &kept)?;
            if changed { events::frozen(tx, &kept, now) } else { Ok(()) }
        })
        .await?;
    let told = Session { join_code: None, ..session.clone() };
    let topic = Topic::Session { id, learner: None, instructors_only: false };
    app.live.tell(topic, "session", &serde_json::to_value(&told).map_err(forge_core::error::Error::from)?);
    app.metrics.events.inc();
    Ok(Json(shown(session)))
}

pub async fn live(State(app): State<App>, who: Who, Path(id): Path<String>, headers: HeaderMap) -> Answer<Response> {
    let me = if who.teaches().is_ok() {
        taught(&app, &who, &id).await?;
        None
    } else {
        let (person, _) = joined(&app, who, &id).await?;
        (person.role != Role::Instructor).then_some(person.id)
    };
    let token = super::who::presented(&headers);
    super::live::stream(app, &headers, token, move |topic| match topic {
        Topic::Session { id: of, learner, instructors_only } => {
            *of == id
                && (me.is_none() || (!instructors_only && learner.as_ref().is_none_or(|l| Some(l) == me.as_ref())))
        }
        Topic::Board { .. } => false,
    })
}

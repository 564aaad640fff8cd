//! The queue of verdicts that are to be executed again: asking for it, and the workers' side.

use super::App;
use super::ask::Path;
use super::body;
use super::error::{Answer, no};
use super::verdicts::{find, id};
use super::who::Who;
use crate::intake::{
    self,
    jobs::{self, Asker},
};
use crate::store::jobs as rows;
use crate::store::people::Person;
use crate::{clock, codes};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use forge_core::board::{GiveUp, Job, Lease, LeaseRequest, RefusalCode, Renewal};

/// The same however often it is asked.
pub async fn ask(State(app): State<App>, who: Who, Path(text): Path<String>) -> Answer<(StatusCode, Json<Job>)> {
    let class = teaches(&who)?;
    let asker = match &who {
        Who::Person(p) => Asker { id: p.id.clone(), class },
        _ => Asker { id: "admin".into(), class },
    };
    let (id, board, now) = (id(&text)?, app.clone(), clock::now());
    let (job, fresh) = app.store.write(move |tx| jobs::ask(tx, &asker, &id, &board.labs, now)).await??;
    if fresh {
        tracing::info!(verdict = %job.verdict, class = %job.class, "a re-execution was asked for");
        intake::tell_job(&app, &job.verdict).await;
    }
    Ok((if fresh { StatusCode::CREATED } else { StatusCode::OK }, Json(job)))
}

fn teaches(who: &Who) -> Answer<Option<String>> {
    let hinted = |e: super::error::No| match e.0.code {
        RefusalCode::Forbidden => e.0.hint("Ask your instructor to have it executed again.").into(),
        _ => e,
    };
    Ok(who.teaches().map_err(hinted)?.map(str::to_owned))
}

pub async fn get(State(app): State<App>, who: Who, Path(text): Path<String>) -> Answer<Json<Job>> {
    who.teaches()?;
    let v = find(&app, &text).await?;
    who.teaches_class(&v.class)?;
    let found = app.store.read(move |tx| rows::get(tx, &v.id)).await?;
    let kept = found.ok_or_else(|| {
        no(RefusalCode::NotFound, "Nobody has asked for this verdict to be executed again.")
            .0
            .hint("Ask for it: PUT to this address.")
    })?;
    Ok(Json(kept.job))
}

pub async fn list(State(app): State<App>, who: Who) -> Answer<Json<Vec<Job>>> {
    let class = who.teaches()?.map(str::to_owned);
    let found = app.store.read(move |tx| rows::list(tx, class.as_deref())).await?;
    Ok(Json(found.into_iter().map(|k| k.job).collect()))
}

fn worker(who: Who) -> Answer<Person> {
    let person = who.person()?;
    jobs::works(&person)?;
    Ok(person)
}

/// 204 when nothing waits.
pub async fn lease(State(app): State<App>, who: Who, body: Body) -> Answer<Response> {
    let person = worker(who)?;
    let wanted: LeaseRequest = body::json(body).await?;
    let lasts = jobs::seconds(wanted.seconds)?;
    let (lease, by, now) = (codes::token(), person.id.clone(), clock::now());
    let named = lease.clone();
    let leased = app.store.write(move |tx| jobs::lease(tx, &person, &named, lasts, now)).await?;
    intake::tell_silent(&app, &leased.fell_silent).await;
    let Some(job) = leased.job else {
        return Ok(StatusCode::NO_CONTENT.into_response());
    };
    tracing::info!(verdict = %job.verdict, worker = %by, tries = job.tries, "a worker took a re-execution");
    intake::tell_job(&app, &job.verdict).await;
    Ok(Json(Lease { verdict: job.verdict, lab: job.lab, lease, seconds: wanted.seconds }).into_response())
}

pub async fn renew(State(app): State<App>, who: Who, Path(text): Path<String>, body: Body) -> Answer<Json<Job>> {
    let person = worker(who)?;
    let said: Renewal = body::json(body).await?;
    let (id, lasts, now) = (id(&text)?, jobs::seconds(said.seconds)?, clock::now());
    Ok(Json(app.store.write(move |tx| jobs::renew(tx, &person, (&id, &said.lease), lasts, now)).await??))
}

pub async fn give_up(State(app): State<App>, who: Who, Path(text): Path<String>, body: Body) -> Answer<Json<Job>> {
    let person = worker(who)?;
    let said: GiveUp = body::json(body).await?;
    let (id, how, by, now) = (id(&text)?, said.how, person.id.clone(), clock::now());
    let job = app.store.write(move |tx| jobs::give_up(tx, &person, &id, &said, now)).await??;
    tracing::info!(verdict = %job.verdict, worker = %by, ?how, state = job.state.word(), "a worker gave a re-execution up");
    intake::tell_job(&app, &job.verdict).await;
    Ok(Json(job))
}

//! HTTP: one table of routes, a guard around all of them, and a loop that accepts connections within limits.
//!
//! [`routes`] the table and openapi.json · [`guard`] request ids, log, counters, headers · [`who`] tokens · [`ask`] addresses · [`body`] bounded
//! reading · [`error`] refusals · [`listen`] connections · the others answer.

mod ask;
pub mod body;
mod envelopes;
pub mod error;
mod guard;
mod health;
mod jobs;
mod keys;
mod listen;
mod live;
mod pages;
pub mod people;
mod reexecutions;
pub mod routes;
mod session_board;
mod sessions;
mod standings;
mod upload;
mod verdicts;
pub mod views;
pub mod who;

pub use listen::serve;

use crate::board::Board;
use axum::extract::DefaultBodyLimit;
use axum::{Json, Router, middleware};
use error::no;
use forge_core::board as wire;
use forge_core::board::RefusalCode;
use routes::Door::{Open, Token};
use routes::Routes;
use routes::Verb::{Get, Head, Patch, Post, Put};
use std::sync::Arc;
use views::*;

pub type App = Arc<Board>;

/// Everything that is routed and described.
pub fn table() -> Routes {
    Routes::default()
        .add::<routes::Submission, wire::Accepted, _, _>(
            Post,
            "/v1/verdicts",
            Open,
            "Submit a verdict: its envelope as JSON, or a form of envelope, score and evidence; answers Accepted",
            verdicts::submit,
        )
        .add::<routes::Envelopes, routes::Lines<wire::Each>, _, _>(
            Post,
            "/v1/envelopes",
            Open,
            "Submit many verdicts' envelopes, one a line; answers a line for each, in the same order",
            envelopes::submit,
        )
        .add::<(), VerdictList, _, _>(
            Get,
            "/v1/verdicts",
            Open,
            "Verdicts in order of acceptance, or the newest first",
            verdicts::list,
        )
        .reading(&[
            ("query", "after", "integer"),
            ("query", "limit", "integer"),
            ("query", "newest", "boolean"),
            ("query", "class", "string"),
        ])
        .add::<(), VerdictView, _, _>(
            Get,
            "/v1/verdicts/{id}",
            Open,
            "A verdict, or its page for a browser",
            verdicts::get,
        )
        .add::<routes::ScoreJson, (), _, _>(
            Put,
            "/v1/verdicts/{id}/score.json",
            Token,
            "Send score.json before evidence in parts",
            upload::score,
        )
        .add::<(), routes::ScoreJson, _, _>(Get, "/v1/verdicts/{id}/score.json", Open, "The score", verdicts::score)
        .add::<(), routes::Evidence, _, _>(
            Get,
            "/v1/verdicts/{id}/evidence.tar.zst",
            Token,
            "The evidence, for its learner, instructors and the admin",
            verdicts::evidence,
        )
        .add::<(), (), _, _>(
            Head,
            "/v1/verdicts/{id}/evidence.tar.zst",
            Token,
            "How much of the evidence has arrived",
            upload::offset,
        )
        .add::<routes::Bytes, wire::Accepted, _, _>(
            Patch,
            "/v1/verdicts/{id}/evidence.tar.zst",
            Token,
            "Send a part of the evidence; the last is answered with Accepted",
            upload::part,
        )
        .reading(&[("header", "Upload-Offset", "integer"), ("header", "Upload-Length", "integer")])
        .add::<(), routes::File, _, _>(Get, "/v1/verdicts/{id}/{file}", Open, "A file of a verdict", verdicts::file)
        .add::<wire::Signed<wire::Reexecution>, wire::Raised, _, _>(
            Post,
            "/v1/verdicts/{id}/reexecutions",
            Open,
            "Vouch for a verdict that was executed again",
            reexecutions::add,
        )
        .add::<(), Vec<wire::Signed<wire::Reexecution>>, _, _>(
            Get,
            "/v1/verdicts/{id}/reexecutions",
            Open,
            "Who has executed it again, and what came of it",
            reexecutions::list,
        )
        .add::<(), wire::Job, _, _>(
            Put,
            "/v1/verdicts/{id}/job",
            Token,
            "Ask for a verdict to be executed again",
            jobs::ask,
        )
        .add::<(), wire::Job, _, _>(Get, "/v1/verdicts/{id}/job", Token, "What has become of that", jobs::get)
        .add::<(), Vec<wire::Job>, _, _>(Get, "/v1/jobs", Token, "Verdicts of a class to be executed again", jobs::list)
        .add::<wire::LeaseRequest, wire::Lease, _, _>(
            Post,
            "/v1/jobs/lease",
            Token,
            "Take a verdict to execute again, for some time; 204 when none waits (workers)",
            jobs::lease,
        )
        .add::<wire::Renewal, wire::Job, _, _>(
            Post,
            "/v1/verdicts/{id}/job/renew",
            Token,
            "Keep it for longer (workers)",
            jobs::renew,
        )
        .add::<wire::GiveUp, wire::Job, _, _>(
            Post,
            "/v1/verdicts/{id}/job/give-up",
            Token,
            "Give it up, and why (workers)",
            jobs::give_up,
        )
        .add::<(), VerdictView, _, _>(Get, "/v1/scores/{run}", Open, "The verdict of a run", verdicts::by_run)
        .add::<(), Leaderboard, _, _>(
            Get,
            "/v1/leaderboard/{track}",
            Open,
            "Best per learner and lab, summed",
            standings::leaderboard,
        )
        .reading(&[
            ("query", "class", "string"),
            ("query", "tier", "string"),
            ("query", "limit", "integer"),
            ("query", "offset", "integer"),
        ])
        .add::<(), Vec<String>, _, _>(Get, "/v1/tracks", Open, "Tracks with verdicts", standings::tracks)
        .add::<(), Stats, _, _>(Get, "/v1/stats", Open, "What is stored", standings::stats)
        .add::<(), routes::Events, _, _>(Get, "/v1/live", Open, "Server-sent events of the board", live::board)
        .reading(&[("query", "track", "string"), ("query", "class", "string"), ("header", "Last-Event-ID", "string")])
        .add::<(), wire::EnrolChallenge, _, _>(Get, "/v1/enrol", Open, "A challenge to sign", people::challenge)
        .add::<wire::Signed<wire::Possession>, wire::Enrolled, _, _>(
            Post,
            "/v1/enrol",
            Open,
            "Enrol a key with a one-time code",
            people::enrol,
        )
        .add::<InviteRequest, Invited, _, _>(Post, "/v1/invites", Token, "Make a one-time code", people::invite)
        .add::<(), Vec<LearnerView>, _, _>(Get, "/v1/learners", Token, "The people of a class", people::list)
        .add::<RotationView, (), _, _>(
            Post,
            "/v1/keys/rotations",
            Open,
            "A learner's old key vouches for the new one",
            people::rotated,
        )
        .add::<(), KeyList, _, _>(Get, "/v1/keys", Open, "All keys of the board, and how each followed", keys::list)
        .add::<(), wire::BoardKey, _, _>(
            Get,
            "/v1/keys/current",
            Open,
            "The key that signs receipts now",
            keys::current,
        )
        .add::<(), wire::BoardKey, _, _>(Post, "/v1/keys/rotate", Token, "Replace the board's key", keys::rotate)
        .add::<(), wire::BoardKey, _, _>(Get, "/v1/keys/{id}", Open, "A key of the board", keys::get)
        .add::<Revoke, (), _, _>(Post, "/v1/keys/{id}/revoke", Token, "Revoke a learner's key", people::revoke)
        .add::<wire::NewSession, wire::Session, _, _>(Post, "/v1/sessions", Token, "Make a session", sessions::create)
        .add::<(), Vec<wire::Session>, _, _>(Get, "/v1/sessions", Token, "The sessions of a class", sessions::list)
        .add::<JoinRequest, wire::Joined, _, _>(
            Post,
            "/v1/sessions/join",
            Token,
            "Join a session by its code",
            sessions::join,
        )
        .add::<(), wire::Session, _, _>(Get, "/v1/sessions/{id}", Token, "A session", sessions::get)
        .add::<wire::ChallengeRequest, wire::Signed<wire::Challenge>, _, _>(
            Post,
            "/v1/sessions/{id}/challenges",
            Token,
            "Nonce and seed for a run",
            sessions::challenge,
        )
        .add::<wire::Progress, (), _, _>(
            Post,
            "/v1/sessions/{id}/progress",
            Token,
            "Tell where you are",
            sessions::progress,
        )
        .add::<wire::MessageRequest, wire::Message, _, _>(
            Post,
            "/v1/sessions/{id}/messages",
            Token,
            "Push a hint",
            sessions::say,
        )
        .add::<(), Vec<wire::Message>, _, _>(
            Get,
            "/v1/sessions/{id}/messages",
            Token,
            "Hints for you and for all",
            sessions::messages,
        )
        .reading(&[("query", "after", "integer")])
        .add::<Freeze, wire::Session, _, _>(
            Post,
            "/v1/sessions/{id}/freeze",
            Token,
            "Freeze a session, or go on",
            sessions::freeze,
        )
        .add::<(), SessionBoard, _, _>(Get, "/v1/sessions/{id}/board", Token, "Who is where", session_board::board)
        .add::<(), routes::Csv, _, _>(
            Get,
            "/v1/sessions/{id}/export.csv",
            Token,
            "The session as CSV",
            session_board::csv,
        )
        .add::<(), routes::Events, _, _>(
            Get,
            "/v1/sessions/{id}/live",
            Token,
            "Server-sent events of a session",
            sessions::live,
        )
        .reading(&[("header", "Last-Event-ID", "string")])
        .add::<(), Healthy, _, _>(Get, "/healthz", Open, "This process works", health::healthz)
        .add::<(), Readiness, _, _>(Get, "/readyz", Open, "Whether a submission could be accepted now", health::readyz)
        .add::<(), routes::Metrics, _, _>(Get, "/metrics", Open, "Numbers for Prometheus", health::metrics)
        .add::<(), routes::Page, _, _>(Get, "/", Open, "The board's page", pages::index)
        .add::<(), routes::File, _, _>(Get, "/assets/{name}", Open, "Files of the pages", pages::file)
}

pub fn router(board: App) -> Router {
    let (router, document, _) = table().finish();
    let document = Arc::new(document);
    router
        .route(routes::DOCUMENT, axum::routing::get(move || async move { Json(document.as_ref().clone()) }))
        .fallback(|| async { no(RefusalCode::NotFound, "There is nothing at this address.") })
        .method_not_allowed_fallback(|| async {
            no(RefusalCode::MethodNotAllowed, "This address takes other methods.")
        })
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn_with_state(board.clone(), guard::guard))
        .with_state(board)
}

//! What stands in an address. One that cannot be read is refused like everything else: with a code, counted and logged.

use super::error::{No, no, not_as_described};
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequestParts, Path as AnyPath, Query as AnyQuery};
use axum::http::request::Parts;
use forge_core::api::wrong;
use forge_core::board::RefusalCode;

pub struct Path<T>(pub T);
pub struct Query<T>(pub T);

impl<T, S: Send + Sync> FromRequestParts<S> for Path<T>
where
    AnyPath<T>: FromRequestParts<S, Rejection = PathRejection>,
{
    type Rejection = No;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, No> {
        let read = AnyPath::<T>::from_request_parts(parts, state).await;
        // Everything in a path is text to us.
        read.map(|AnyPath(value)| Self(value)).map_err(|_| no(RefusalCode::Malformed, "The address is not UTF-8."))
    }
}

impl<T, S: Send + Sync> FromRequestParts<S> for Query<T>
where
    AnyQuery<T>: FromRequestParts<S, Rejection = QueryRejection>,
{
    type Rejection = No;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, No> {
        let read = AnyQuery::<T>::from_request_parts(parts, state).await;
        read.map(|AnyQuery(value)| Self(value))
            .map_err(|e| not_as_described("What stands behind the ? cannot be taken.", &said_of(&e.body_text())))
    }
}

/// `Failed to deserialize query string: <name>: <why>`; without a name where it is about which names there are.
fn said_of(text: &str) -> wrong::Wrong {
    let text = text.split_once(": ").map_or(text, |(_, said)| said);
    match text.split_once(": ") {
        Some((name, why)) if !name.contains([' ', '`']) => wrong::words(name, why),
        _ => wrong::words("", text),
    }
}

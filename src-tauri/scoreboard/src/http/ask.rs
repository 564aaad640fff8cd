//! What stands in an address. One that cannot be read is refused like everything else: with a code, counted and logged.

use super::error::{No, no};
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequestParts, Path as AnyPath, Query as AnyQuery};
use axum::http::request::Parts;
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
        read.map(|AnyPath(value)| Self(value)).map_err(|e| no(RefusalCode::Malformed, e.body_text()))
    }
}

impl<T, S: Send + Sync> FromRequestParts<S> for Query<T>
where
    AnyQuery<T>: FromRequestParts<S, Rejection = QueryRejection>,
{
    type Rejection = No;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, No> {
        let read = AnyQuery::<T>::from_request_parts(parts, state).await;
        read.map(|AnyQuery(value)| Self(value)).map_err(|e| no(RefusalCode::Malformed, e.body_text()))
    }
}

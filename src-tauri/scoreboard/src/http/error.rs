//! A refusal as an answer.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use forge_core::api::wrong::Wrong;
use forge_core::board::{Refusal, RefusalCode};
use forge_core::error::Error;

#[derive(Debug)]
pub struct No(pub Refusal);

pub type Answer<T> = Result<T, No>;

impl From<Refusal> for No {
    fn from(refusal: Refusal) -> Self {
        Self(refusal)
    }
}

impl From<Error> for No {
    fn from(e: Error) -> Self {
        Self(crate::intake::trouble(&e))
    }
}

pub fn no(code: RefusalCode, message: impl Into<String>) -> No {
    No(Refusal::new(code, message))
}

/// For a program that calls the API otherwise than it is described.
pub fn not_as_described(what: &str, wrong: &Wrong) -> No {
    let code = if wrong.cut_short { RefusalCode::Truncated } else { RefusalCode::Malformed };
    let refusal = Refusal::new(code, format!("{what} {}", wrong.why));
    let refusal = refusal.hint(format!("GET {} describes what each address takes.", super::routes::DOCUMENT));
    match wrong.member.as_str() {
        "" => refusal.into(),
        member => refusal.details(serde_json::json!({"member": member})).into(),
    }
}

/// As it travels: whether it is worth another try stands in its details.
pub fn told(mut refusal: Refusal) -> Refusal {
    if refusal.code.retry() {
        let mut details = refusal.details.as_object().cloned().unwrap_or_default();
        details.insert("retry".into(), true.into());
        refusal.details = details.into();
    }
    refusal
}

/// Left on the response for the log and the counters.
#[derive(Clone, Copy, Debug)]
pub struct Refused(pub RefusalCode);

impl IntoResponse for No {
    fn into_response(self) -> Response {
        let refusal = told(self.0);
        let code = refusal.code;
        let status = StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(serde_json::json!({"error": refusal}))).into_response();
        if code.retry() && code != RefusalCode::WrongOffset {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
        }
        if code == RefusalCode::Unauthorized {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(Refused(code));
        response
    }
}

//! Reading what a client sends: never more than it may be, never waiting for ever.

use super::error::{Answer, no};
use axum::body::{Body, HttpBody};
use bytes::{Bytes, BytesMut};
use forge_core::api::wrong;
use forge_core::board::RefusalCode;
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

pub const JSON_MAX: usize = 64 << 10;
/// Silence after which a client is given up.
pub const SILENCE: Duration = Duration::from_secs(30);

pub async fn bytes(body: Body, max: usize) -> Answer<Bytes> {
    if body.size_hint().lower() > max as u64 {
        return Err(too_large(max as u64));
    }
    let mut out = BytesMut::with_capacity(usize::try_from(body.size_hint().lower()).unwrap_or(0));
    let mut stream = body.into_data_stream();
    while let Some(part) = next(&mut stream).await? {
        if out.len() + part.len() > max {
            return Err(too_large(max as u64));
        }
        out.extend_from_slice(&part);
    }
    Ok(out.freeze())
}

/// Writes a body to a file; returns the number of bytes.
pub async fn to_file(body: Body, file: &mut tokio::fs::File, max: u64) -> Answer<u64> {
    if body.size_hint().lower() > max {
        return Err(too_large(max));
    }
    let mut stream = body.into_data_stream();
    let mut count = 0;
    while let Some(part) = next(&mut stream).await? {
        count += part.len() as u64;
        if count > max {
            return Err(too_large(max));
        }
        file.write_all(&part).await.map_err(forge_core::error::Error::from)?;
    }
    file.flush().await.map_err(forge_core::error::Error::from)?;
    Ok(count)
}

type Parts = axum::body::BodyDataStream;

async fn next(stream: &mut Parts) -> Answer<Option<Bytes>> {
    match tokio::time::timeout(SILENCE, stream.next()).await {
        Err(_) => Err(silent()),
        Ok(None) => Ok(None),
        Ok(Some(Ok(part))) => Ok(Some(part)),
        Ok(Some(Err(_))) => Err(no(RefusalCode::Truncated, "The request ended before it was whole.")),
    }
}

pub fn silent() -> super::error::No {
    no(RefusalCode::Timeout, "Nothing came for 30 seconds.")
}

pub fn too_large(max: u64) -> super::error::No {
    let mut refusal = no(RefusalCode::TooLarge, format!("It is larger than {max} bytes."));
    refusal.0.details = serde_json::json!({"limit": max});
    refusal
}

pub async fn json<T: DeserializeOwned>(body: Body) -> Answer<T> {
    let bytes = bytes(body, JSON_MAX).await?;
    let told = |wrong: &wrong::Wrong| super::error::not_as_described("The request cannot be taken.", wrong);
    // A list would be taken for the members of an object, in their order.
    if bytes.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'[') {
        return Err(told(&wrong::words("", "invalid type: sequence, expected a map")));
    }
    wrong::from_slice(&bytes).map_err(|e| told(&e))
}

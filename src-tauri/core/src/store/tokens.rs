//! Spent spawn tokens. A token id is remembered for ever: a clock set back must not make a spent token good again.

use super::{Conn, Tx};
use crate::error::{Code, Error, Result};
use rusqlite::{OptionalExtension, params};

pub(super) const V1: &str = "
CREATE TABLE spent_tokens (
    jti   TEXT PRIMARY KEY,
    run   TEXT NOT NULL,
    at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;";

/// Marks the token as spent for `run`. `TokenSpent` when it was before, for whichever run.
pub fn spend(tx: &Tx, jti: &str, run: &str, at: i64) -> Result<()> {
    let new = tx
        .prepare_cached("INSERT INTO spent_tokens (jti, run, at) VALUES (?1, ?2, ?3) ON CONFLICT (jti) DO NOTHING")?
        .execute(params![jti, run, at])?;
    if new == 0 {
        return Err(Error::new(Code::TokenSpent, "This spawn token has been used already; each starts one lab once.")
            .hint("Start the lab again to get a new token."));
    }
    Ok(())
}

/// The run a token was spent for.
pub fn spent_for(conn: &Conn, jti: &str) -> Result<Option<String>> {
    Ok(conn.prepare_cached("SELECT run FROM spent_tokens WHERE jti = ?1")?.query_row([jti], |r| r.get(0)).optional()?)
}

//! What was ordered from a billing gateway. A row is written before the gateway is asked, under the id that the gateway
//! knows the order by: whatever happens to the answer, the next attempt asks for the same order and not for another one.

use super::{Conn, Tx, from_word, signed, unsigned, word};
use crate::error::{Code, Error, Result};
use rusqlite::{Row, params};
use serde::{Deserialize, Serialize};

pub(super) const V1: &str = "
CREATE TABLE charges (
    order_id    TEXT PRIMARY KEY,
    subject     TEXT NOT NULL,
    tenant      TEXT NOT NULL,
    lab         TEXT NOT NULL,
    plan        TEXT NOT NULL,
    amount      INTEGER NOT NULL,
    currency    TEXT NOT NULL,
    nonce       TEXT NOT NULL,
    at          INTEGER NOT NULL,
    state       TEXT NOT NULL,
    receipt     TEXT,
    run         TEXT UNIQUE,
    last_error  TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX charges_open ON charges (subject, tenant, lab, state);";

const COLUMNS: &str =
    "order_id, subject, tenant, lab, plan, amount, currency, nonce, at, state, receipt, run, last_error";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChargeState {
    /// The gateway may or may not have charged: no answer that verifies has come back.
    Ordered,
    /// A receipt that verified is kept.
    Paid,
    /// Refused by the gateway, or its receipt ran out before a lab was started with it.
    Void,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// The request id of the start that ordered it; the gateway's idempotency key.
    pub order: String,
    pub subject: String,
    pub tenant: String,
    pub lab: String,
    pub plan: String,
    /// In the currency's smallest unit.
    pub amount: u64,
    /// ISO 4217.
    pub currency: String,
    pub nonce: String,
    pub at: i64,
    pub state: ChargeState,
    /// The receipt as it came, signature included.
    pub receipt: Option<String>,
    /// The run it paid for.
    pub run: Option<String>,
    pub last_error: String,
}

/// Writes down what is about to be ordered. `RequestReused` when this id ordered before.
pub fn order(tx: &Tx, c: &Charge) -> Result<()> {
    let new = tx
        .prepare_cached(
            "INSERT INTO charges (order_id, subject, tenant, lab, plan, amount, currency, nonce, at, state)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT (order_id) DO NOTHING",
        )?
        .execute(params![
            c.order,
            c.subject,
            c.tenant,
            c.lab,
            c.plan,
            signed(c.amount)?,
            c.currency,
            c.nonce,
            c.at,
            word(&c.state)?
        ])?;
    if new == 0 {
        return Err(Error::new(
            Code::RequestReused,
            format!("The request id “{}” has ordered a start before.", c.order),
        )
        .hint("Leave the request id out, or draw a new one."));
    }
    Ok(())
}

pub fn get(conn: &Conn, order: &str) -> Result<Option<Charge>> {
    let sql = format!("SELECT {COLUMNS} FROM charges WHERE order_id = ?1");
    conn.prepare_cached(&sql)?.query_and_then([order], read)?.next().transpose()
}

/// The oldest order of this subject for this lab that is not settled, or is paid and has started nothing: a run that never
/// became ready gives its payment back to the next attempt.
pub fn open(conn: &Conn, subject: &str, tenant: &str, lab: &str) -> Result<Option<Charge>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM charges WHERE subject = ?1 AND tenant = ?2 AND lab = ?3 AND state IN ('ordered', 'paid')
         AND (run IS NULL OR EXISTS (SELECT 1 FROM runs r WHERE r.run = charges.run AND r.ready_ms IS NULL
                                     AND r.state IN ('stopped', 'failed')))
         ORDER BY at, order_id LIMIT 1"
    );
    conn.prepare_cached(&sql)?.query_and_then([subject, tenant, lab], read)?.next().transpose()
}

/// Keeps the receipt. False when it was kept before: the charge is one, however often its receipt comes.
pub fn paid(tx: &Tx, order: &str, receipt: &str) -> Result<bool> {
    Ok(tx
        .prepare_cached(
            "UPDATE charges SET state = 'paid', receipt = ?2, last_error = '' WHERE order_id = ?1 AND state = 'ordered'",
        )?
        .execute(params![order, receipt])?
        > 0)
}

/// It will not start anything any more.
pub fn void(tx: &Tx, order: &str, why: &str) -> Result<()> {
    tx.prepare_cached("UPDATE charges SET state = 'void', last_error = ?2 WHERE order_id = ?1")?
        .execute(params![order, why])?;
    Ok(())
}

/// The attempt failed; the order stands.
pub fn failed(tx: &Tx, order: &str, why: &str) -> Result<()> {
    tx.prepare_cached("UPDATE charges SET last_error = ?2 WHERE order_id = ?1")?.execute(params![order, why])?;
    Ok(())
}

/// Uses a payment for a run, in the transaction that admits it. `Denied` when it is not paid or has started another run.
pub fn spend(tx: &Tx, order: &str, run: &str) -> Result<()> {
    let changed = tx
        .prepare_cached(
            "UPDATE charges SET run = ?2 WHERE order_id = ?1 AND state = 'paid'
             AND (run IS NULL OR EXISTS (SELECT 1 FROM runs r WHERE r.run = charges.run AND r.ready_ms IS NULL
                                         AND r.state IN ('stopped', 'failed')))",
        )?
        .execute(params![order, run])?;
    if changed == 0 {
        return Err(Error::new(Code::Denied, "This payment has started a lab already, or was never completed.")
            .hint("Start the lab again; it is paid for anew."));
    }
    Ok(())
}

/// The newest, newest first.
pub fn latest(conn: &Conn, subject: &str, limit: u32) -> Result<Vec<Charge>> {
    let sql = format!("SELECT {COLUMNS} FROM charges WHERE subject = ?1 ORDER BY at DESC, order_id LIMIT ?2");
    conn.prepare_cached(&sql)?.query_and_then(params![subject, limit], read)?.collect()
}

fn read(r: &Row) -> Result<Charge> {
    Ok(Charge {
        order: r.get(0)?,
        subject: r.get(1)?,
        tenant: r.get(2)?,
        lab: r.get(3)?,
        plan: r.get(4)?,
        amount: unsigned(r.get(5)?)?,
        currency: r.get(6)?,
        nonce: r.get(7)?,
        at: r.get(8)?,
        state: from_word("charge state", r.get(9)?)?,
        receipt: r.get(10)?,
        run: r.get(11)?,
        last_error: r.get(12)?,
    })
}

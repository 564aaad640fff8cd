//! Who pays. Without a gateway the stub answers: nothing is asked, nothing is charged, and it says so. With one, each start is
//! granted and charged by an HTTP server whose answers count only under the Ed25519 key that is pinned here.
//!
//! An order is written down before the gateway is asked and keeps its id, its price and its nonce until it is settled: a lost
//! answer, a crash or an impatient second click asks for the same order again. What was paid and started nothing pays for the
//! next start of the same lab.
//!
//! ```text
//! POST <gateway>/v1/entitlements {subject, tenant, lab, nonce}                        → signed entitlement
//! POST <gateway>/v1/charges      {subject, tenant, plan, lab, request_id, amount,     → signed receipt
//!                                 currency, nonce}   Idempotency-Key: <request_id>
//! ```

mod signed;

pub use signed::{Grant, Receipt};

use super::{Entitlement, Request};
use crate::audit::{self, Fact};
use crate::error::{Code, Error, Result};
use crate::http::{Server, Silence};
use crate::keys::PublicKey;
use crate::store::charges::{self, Charge, ChargeState};
use crate::store::{Store, Tx};
use serde_json::{Value, json};
use signed::{in_time, open, same};
use std::time::Duration;

/// One question; a gateway that takes longer is asked again later, under the same key.
const ANSWER_IN: Duration = Duration::from_secs(8);

/// What went wrong, for whoever branches on it (`details.kind`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Unreachable,
    Timeout,
    /// It answered that it could not (5xx), or something that is no answer to the question.
    Server,
    Garbage,
    Signature,
    /// Another price than was granted.
    Amount,
    /// For somebody or something else.
    Mismatch,
    Expired,
    /// It says no.
    Refused,
}

/// How starts are paid for on this machine.
#[derive(Clone, Debug)]
pub enum Billing {
    /// Nothing is asked and nothing is charged.
    Stub,
    Gateway(Box<Gateway>),
}

#[derive(Clone, Debug)]
pub struct Gateway {
    server: Server,
    key: PublicKey,
}

/// For whom and for what.
#[derive(Clone, Debug)]
pub struct Order {
    pub subject: String,
    pub tenant: String,
    pub lab: String,
    /// Names a new order; one that is open already keeps its own.
    pub request_id: String,
    /// 128 random bits for a new order.
    pub nonce: String,
    pub correlation: String,
}

/// What a start would cost, before anybody is charged.
#[derive(Debug)]
pub enum Quote {
    /// Granted just now.
    Offer(Grant),
    /// Ordered before: not settled yet, or paid and not used.
    Open(Charge),
}

impl Quote {
    pub fn entitlement(&self) -> Entitlement {
        Entitlement::Granted(match self {
            Self::Offer(grant) => grant.plan.clone(),
            Self::Open(charge) => charge.plan.clone(),
        })
    }
}

/// That a start is settled. [`Settlement::stub`] fits where nothing is to be paid; a paid one comes from
/// [`Gateway::settle`] alone.
#[derive(Clone, Debug, Default)]
pub struct Settlement(Option<Charge>);

impl Settlement {
    pub fn stub() -> Self {
        Self(None)
    }

    /// The order it was paid under.
    pub fn order(&self) -> Option<&str> {
        self.0.as_ref().map(|c| c.order.as_str())
    }

    /// In the transaction that admits the run: a payment starts one lab once, and what must be paid for is.
    pub(super) fn spend(&self, tx: &Tx, request: &Request) -> Result<()> {
        match (&request.entitlement, &self.0) {
            (Entitlement::Practice | Entitlement::Plan(_), None) => Ok(()),
            (Entitlement::Granted(plan), Some(c))
                if c.subject == request.subject
                    && c.tenant == request.tenant
                    && c.lab == request.scenario.lab
                    && c.plan == *plan =>
            {
                charges::spend(tx, &c.order, &request.run)
            }
            _ => Err(Error::new(Code::Denied, "This start has not been paid for.")),
        }
    }
}

impl Billing {
    /// `key`: the gateway's public key, PEM or 64 hex digits. Both empty: the stub.
    ///
    /// # Errors
    /// `InvalidInput` when one is missing or unusable; a half-configured gateway must not turn into free labs.
    pub fn configured(url: &str, key: &str) -> Result<Self> {
        let (url, key) = (url.trim(), key.trim());
        if url.is_empty() && key.is_empty() {
            return Ok(Self::Stub);
        }
        if url.is_empty() || key.is_empty() {
            return Err(Error::new(
                Code::InvalidInput,
                "A billing gateway needs both its address and its public key; one of them is missing.",
            )
            .hint("Set FORGE_BILLING_URL and FORGE_BILLING_KEY, or neither; the same goes for the settings."));
        }
        let server = Server::at(url)?;
        let key = match hex::decode(key).ok().and_then(|b| <[u8; 32]>::try_from(b).ok()) {
            Some(bytes) => PublicKey::from_bytes(&bytes)?,
            None => PublicKey::from_pem(key)?,
        };
        Ok(Self::Gateway(Box::new(Gateway { server, key })))
    }
}

impl Gateway {
    pub fn address(&self) -> &str {
        self.server.address()
    }

    pub fn key_id(&self) -> String {
        self.key.id()
    }

    /// What this start would cost: the order that is open for it, else what the gateway grants now.
    pub async fn quote(&self, store: &Store, order: &Order, now: i64) -> Result<Quote> {
        let o = order.clone();
        let open_one = store.read(move |c| charges::open(c, &o.subject, &o.tenant, &o.lab)).await?;
        let Some(charge) = open_one else { return Ok(Quote::Offer(self.granted(order, now).await?)) };
        if charge.state == ChargeState::Paid
            && let Err(e) = self.receipt(charge.receipt.as_deref().unwrap_or_default().as_bytes(), &charge, now)
        {
            self.drop_order(store, &charge, order, &e, now).await?;
            return Err(e);
        }
        Ok(Quote::Open(charge))
    }

    async fn granted(&self, order: &Order, now: i64) -> Result<Grant> {
        let question = json!({
            "subject": order.subject, "tenant": order.tenant, "lab": order.lab, "nonce": order.nonce,
        });
        let answer = self.ask("v1/entitlements", &[], &question).await?;
        let grant: Grant = open(&answer, &self.key)?;
        same(
            "entitlement",
            &[
                ("subject", &grant.subject, &order.subject),
                ("tenant", &grant.tenant, &order.tenant),
                ("lab", &grant.lab, &order.lab),
                ("nonce", &grant.nonce, &order.nonce),
            ],
        )?;
        in_time(&grant, now)?;
        let iso = grant.currency.len() == 3 && grant.currency.bytes().all(|b| b.is_ascii_uppercase());
        if !iso || i64::try_from(grant.amount).is_err() {
            return Err(refused(Kind::Garbage, "its entitlement names no amount of a currency".into()));
        }
        Ok(grant)
    }

    /// Charges what was quoted, once, and returns the proof. Whatever fails leaves the order open, under the same id.
    pub async fn settle(&self, store: &Store, quote: Quote, order: &Order, now: i64) -> Result<Settlement> {
        let charge = match quote {
            Quote::Open(charge) if charge.state == ChargeState::Paid => return Ok(Settlement(Some(charge))),
            Quote::Open(charge) => charge,
            Quote::Offer(grant) => self.ordered(store, &grant, order, now).await?,
        };
        let question = json!({
            "subject": charge.subject, "tenant": charge.tenant, "plan": charge.plan, "lab": charge.lab,
            "request_id": charge.order, "amount": charge.amount, "currency": charge.currency, "nonce": charge.nonce,
        });
        let key = [("idempotency-key", charge.order.as_str())];
        let outcome = match self.ask("v1/charges", &key, &question).await {
            Ok(answer) => self.receipt(&answer, &charge, now).map(|receipt| (answer, receipt)),
            Err(e) => Err(e),
        };
        match outcome {
            Ok((answer, receipt)) => self.paid(store, charge, answer, receipt, order, now).await,
            // A clear no ends the order; anything else may have been charged, so the order stands.
            Err(e) if kind_of(&e) == Some("refused") => {
                self.drop_order(store, &charge, order, &e, now).await?;
                Err(e)
            }
            Err(e) => {
                let (id, said, correlation) = (charge.order.clone(), e.message.clone(), order.correlation.clone());
                store
                    .write(move |tx| {
                        charges::failed(tx, &id, &said)?;
                        let data = json!({"order": id, "error": said, "correlation": correlation});
                        audit::append(tx, Fact { at: now, run: None, kind: "billing.unsettled".into(), data })
                    })
                    .await?;
                Err(e.hint("Start the lab again: the same order is asked for, so nothing is charged twice."))
            }
        }
    }

    async fn ordered(&self, store: &Store, grant: &Grant, order: &Order, now: i64) -> Result<Charge> {
        let charge = Charge {
            order: order.request_id.clone(),
            subject: order.subject.clone(),
            tenant: order.tenant.clone(),
            lab: order.lab.clone(),
            plan: grant.plan.clone(),
            amount: grant.amount,
            currency: grant.currency.clone(),
            nonce: order.nonce.clone(),
            at: now,
            state: ChargeState::Ordered,
            receipt: None,
            run: None,
            last_error: String::new(),
        };
        let (row, grant, correlation, o) = (charge.clone(), grant.clone(), order.correlation.clone(), order.clone());
        store
            .write(move |tx| {
                // Two starts at once: the first order is the order, the second finds it.
                if let Some(first) = charges::open(tx, &o.subject, &o.tenant, &o.lab)? {
                    return Ok(first);
                }
                charges::order(tx, &row)?;
                let data = json!({"order": row.order, "entitlement": grant, "correlation": correlation});
                audit::append(tx, Fact { at: now, run: None, kind: "billing.ordered".into(), data })?;
                Ok(row)
            })
            .await
    }

    async fn paid(
        &self,
        store: &Store,
        charge: Charge,
        answer: Vec<u8>,
        receipt: Receipt,
        order: &Order,
        now: i64,
    ) -> Result<Settlement> {
        let text = String::from_utf8(answer).map_err(Error::internal)?;
        let (id, key_id, correlation) = (charge.order.clone(), self.key.id(), order.correlation.clone());
        store
            .write(move |tx| {
                if charges::paid(tx, &id, &text)? {
                    let data = json!({"order": id, "receipt": receipt, "key_id": key_id, "correlation": correlation});
                    audit::append(tx, Fact { at: now, run: None, kind: "billing.charged".into(), data })?;
                }
                Ok(Settlement(charges::get(tx, &id)?))
            })
            .await
    }

    fn receipt(&self, bytes: &[u8], charge: &Charge, now: i64) -> Result<Receipt> {
        let receipt: Receipt = open(bytes, &self.key)?;
        same(
            "receipt",
            &[
                ("subject", &receipt.subject, &charge.subject),
                ("tenant", &receipt.tenant, &charge.tenant),
                ("plan", &receipt.plan, &charge.plan),
                ("lab", &receipt.lab, &charge.lab),
                ("request_id", &receipt.request_id, &charge.order),
                ("amount", &receipt.amount.to_string(), &charge.amount.to_string()),
                ("currency", &receipt.currency, &charge.currency),
                ("nonce", &receipt.nonce, &charge.nonce),
            ],
        )?;
        in_time(&receipt, now)?;
        Ok(receipt)
    }

    async fn drop_order(&self, store: &Store, charge: &Charge, order: &Order, why: &Error, now: i64) -> Result<()> {
        let (id, said, correlation) = (charge.order.clone(), why.message.clone(), order.correlation.clone());
        store
            .write(move |tx| {
                charges::void(tx, &id, &said)?;
                let data = json!({"order": id, "error": said, "correlation": correlation});
                audit::append(tx, Fact { at: now, run: None, kind: "billing.void".into(), data }).map(drop)
            })
            .await
    }

    /// The body of a 200 or 201.
    async fn ask(&self, path: &str, headers: &[(&str, &str)], question: &Value) -> Result<Vec<u8>> {
        let body = serde_json_canonicalizer::to_vec(question).map_err(Error::internal)?;
        let answer = self.server.post(path, headers, body, ANSWER_IN).await.map_err(|silence| match silence {
            Silence::Unreachable(why) => refused(Kind::Unreachable, format!("it cannot be reached ({why})")),
            Silence::Untrusted(why) => refused(Kind::Unreachable, format!("its certificate {}", why.words())),
            Silence::TimedOut => refused(Kind::Timeout, format!("it gave no answer within {} s", ANSWER_IN.as_secs())),
            Silence::Broken(why) => refused(Kind::Garbage, format!("its answer cannot be read ({why})")),
        })?;
        match answer.status {
            200 | 201 => Ok(answer.body),
            402 | 403 => Err(refused(Kind::Refused, format!("it refuses this start (HTTP {})", answer.status))),
            status => Err(refused(Kind::Server, format!("it answered with HTTP {status}"))),
        }
    }
}

fn refused(kind: Kind, why: String) -> Error {
    let hint = match kind {
        Kind::Unreachable | Kind::Timeout | Kind::Server => "Try again in a while, or ask whoever runs the gateway.",
        Kind::Refused => "Ask whoever runs the gateway what your plan covers.",
        _ => "Tell whoever runs the gateway; nothing is started on an answer like that.",
    };
    Error::new(Code::PaymentFailed, format!("The billing gateway was asked, but {why}."))
        .hint(hint)
        .details(json!({"kind": kind}))
}

fn kind_of(e: &Error) -> Option<&str> {
    e.details.get("kind")?.as_str()
}

#[cfg(test)]
mod tests;

//! What a billing gateway signs. On the wire `{"document": {…}, "signature": "<128 hex digits>"}`; signed is the RFC 8785
//! canonical JSON of the document, after the domain's prefix and a zero byte
//! (`frostgate-forge:entitlement:v1`, `frostgate-forge:receipt:v1`). Unknown members are refused, and what is verified is
//! written anew from what was understood, so that nothing else can have been signed.

use super::{Kind, refused};
use crate::error::Result;
use crate::keys::{Domain, PublicKey};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A gateway's clock may be ahead of ours by so much.
const SKEW_MS: i64 = 60_000;
const DOCUMENT_BYTES: usize = 16 * 1024;

/// What the gateway lets a subject start, and at what price.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    pub subject: String,
    pub tenant: String,
    pub plan: String,
    pub lab: String,
    /// For one start, in the currency's smallest unit.
    pub amount: u64,
    /// ISO 4217.
    pub currency: String,
    pub iat: Timestamp,
    pub exp: Timestamp,
    pub nonce: String,
}

/// That one start was charged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    pub subject: String,
    pub tenant: String,
    pub plan: String,
    pub lab: String,
    pub request_id: String,
    pub amount: u64,
    pub currency: String,
    pub iat: Timestamp,
    /// Until when a lab may be started with it.
    pub exp: Timestamp,
    pub nonce: String,
}

pub trait Document: Serialize + DeserializeOwned {
    const DOMAIN: Domain;
    const NAME: &'static str;
    fn times(&self) -> (Timestamp, Timestamp);
}

impl Document for Grant {
    const DOMAIN: Domain = Domain::Entitlement;
    const NAME: &'static str = "entitlement";
    fn times(&self) -> (Timestamp, Timestamp) {
        (self.iat, self.exp)
    }
}

impl Document for Receipt {
    const DOMAIN: Domain = Domain::Receipt;
    const NAME: &'static str = "receipt";
    fn times(&self) -> (Timestamp, Timestamp) {
        (self.iat, self.exp)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<T> {
    document: T,
    signature: String,
}

/// Signature first: of what does not verify, nothing is believed.
pub fn open<T: Document>(bytes: &[u8], key: &PublicKey) -> Result<T> {
    let name = T::NAME;
    if bytes.len() > DOCUMENT_BYTES {
        return Err(refused(Kind::Garbage, format!("its {name} is longer than {DOCUMENT_BYTES} bytes")));
    }
    let envelope: Envelope<T> = serde_json::from_slice(bytes)
        .map_err(|e| refused(Kind::Garbage, format!("its {name} is not of the agreed form ({e})")))?;
    let signature = hex::decode(&envelope.signature)
        .map_err(|_| refused(Kind::Signature, format!("the signature of its {name} is not hex")))?;
    let signed = serde_json_canonicalizer::to_vec(&envelope.document).map_err(crate::error::Error::internal)?;
    if !key.verify(T::DOMAIN, &signed, &signature) {
        return Err(refused(Kind::Signature, format!("its {name} is not signed with the key that is pinned here")));
    }
    Ok(envelope.document)
}

/// `now` in Unix milliseconds.
pub fn in_time<T: Document>(document: &T, now: i64) -> Result<()> {
    let name = T::NAME;
    let (iat, exp) = document.times();
    if iat.as_millisecond() > now.saturating_add(SKEW_MS) {
        return Err(refused(Kind::Expired, format!("its {name} is dated {iat}, in the future")));
    }
    if exp <= iat || now >= exp.as_millisecond() {
        return Err(refused(Kind::Expired, format!("its {name} expired at {exp}")));
    }
    Ok(())
}

/// Names the first member that is not what was asked for.
pub fn same(name: &str, members: &[(&str, &str, &str)]) -> Result<()> {
    match members.iter().find(|(_, has, wants)| has != wants) {
        None => Ok(()),
        Some((member, has, wants)) => {
            let kind = if matches!(*member, "amount" | "currency") { Kind::Amount } else { Kind::Mismatch };
            let has: String = has.chars().filter(|c| !c.is_control()).take(80).collect();
            Err(refused(kind, format!("its {name} says {member} “{has}” where “{wants}” was asked for")))
        }
    }
}

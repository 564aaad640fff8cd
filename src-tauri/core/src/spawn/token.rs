//! The Spawn Authorization Token: PASETO v4.public (github.com/paseto-standard/paseto-spec, Version4), good for 120 s
//! and one launch. What it is worth is bound twice: in its claims, and (template and policy digests) as implicit
//! assertion, so that it does not even verify for another template or under other policies.
//!
//! Payload, RFC 8785 canonical JSON: `exp, iat` (RFC 3339), `jti, lab, limits {cpu_milli, disk_mb, memory_mb, minutes,
//! pids}, plan, policy_digest, request_id, sub, template_digest, tenant, tier`; footer `{"kid": <spawn key's fingerprint>}`.

use crate::error::{Code, Error, Result};
use crate::keys::{KeyName, Keys};
use crate::store::{Tx, tokens};
use jiff::Timestamp;
use pasetors::Public;
use pasetors::keys::{AsymmetricPublicKey, AsymmetricSecretKey};
use pasetors::token::UntrustedToken;
use pasetors::version4::{PublicToken, V4};
use serde::{Deserialize, Serialize};

/// How long a token is good for, in milliseconds.
pub const LIFE_MS: i64 = 120_000;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    pub jti: String,
    pub sub: String,
    pub tenant: String,
    pub request_id: String,
    pub lab: String,
    pub template_digest: String,
    pub policy_digest: String,
    /// `practice`, or the name of a plan.
    pub plan: String,
    /// The lab's tier.
    pub tier: String,
    pub limits: TokenLimits,
    pub iat: Timestamp,
    pub exp: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenLimits {
    pub cpu_milli: u64,
    pub memory_mb: u64,
    pub minutes: u32,
    pub pids: u64,
    pub disk_mb: u64,
}

/// What the one who spends a token is about to do; the token must have been made for exactly this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected<'a> {
    pub subject: &'a str,
    pub tenant: &'a str,
    pub request_id: &'a str,
    pub lab: &'a str,
    pub plan: &'a str,
    pub tier: &'a str,
    pub limits: TokenLimits,
    pub template_digest: &'a str,
    pub policy_digest: &'a str,
}

/// A token that was verified and has been spent for one run. There is no other way to get one than [`spend`], and
/// nothing is launched without one:
///
/// ```compile_fail
/// let token = forge_core::spawn::SpentToken { claims: todo!(), run: String::new() };
/// ```
#[derive(Debug)]
pub struct SpentToken {
    claims: Claims,
    run: String,
}

impl SpentToken {
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// The run it was spent for.
    pub fn run(&self) -> &str {
        &self.run
    }

    /// For tests of the rooms that take a spent token.
    #[cfg(test)]
    #[allow(dead_code)]
    pub(crate) fn for_test(claims: Claims, run: &str) -> Self {
        Self { claims, run: run.to_owned() }
    }
}

/// Signs the claims with the spawn key.
pub fn mint(keys: &Keys, claims: &Claims) -> Result<String> {
    let pair = keys.spawn_pair()?;
    let secret = AsymmetricSecretKey::<V4>::from(pair.as_slice()).map_err(refused)?;
    let payload = serde_json_canonicalizer::to_string(claims).map_err(Error::internal)?;
    let implicit = implicit(&claims.template_digest, &claims.policy_digest);
    let footer = footer(&keys.id(KeyName::Spawn)?);
    PublicToken::sign(&secret, payload.as_bytes(), Some(footer.as_bytes()), Some(implicit.as_bytes())).map_err(refused)
}

/// Verifies the token for what is expected at `now` and marks it as spent for `run`, in the caller's transaction:
/// the one that writes the launch intent. `TokenInvalid` when it is forged, expired, or made for something else;
/// `TokenSpent` the second time.
pub fn spend(tx: &Tx, keys: &Keys, token: &str, expected: &Expected, run: &str, now: i64) -> Result<SpentToken> {
    let claims = verify(keys, token, expected, now)?;
    tokens::spend(tx, &claims.jti, run, now)?;
    Ok(SpentToken { claims, run: run.to_owned() })
}

fn verify(keys: &Keys, token: &str, expected: &Expected, now: i64) -> Result<Claims> {
    let untrusted =
        UntrustedToken::<Public, V4>::try_from(token).map_err(|_| invalid("it is not a v4.public token"))?;
    let implicit = implicit(expected.template_digest, expected.policy_digest);
    // A token outlives a rotation of the key by two minutes at most, so the keys before are asked as well.
    let trusted = keys
        .ever(KeyName::Spawn)?
        .iter()
        .find_map(|key| {
            let public = AsymmetricPublicKey::<V4>::from(&key.to_bytes()).ok()?;
            let footer = footer(&key.id());
            PublicToken::verify(&public, &untrusted, Some(footer.as_bytes()), Some(implicit.as_bytes())).ok()
        })
        .ok_or_else(|| invalid("it was not signed here for this lab under these policies"))?;
    let claims: Claims =
        serde_json::from_str(trusted.payload()).map_err(|_| invalid("it does not say what a token must say"))?;
    let bound = [
        ("subject", claims.sub == expected.subject),
        ("organisation", claims.tenant == expected.tenant),
        ("request", claims.request_id == expected.request_id),
        ("lab", claims.lab == expected.lab),
        ("template", claims.template_digest == expected.template_digest),
        ("set of policies", claims.policy_digest == expected.policy_digest),
        ("plan", claims.plan == expected.plan),
        ("tier", claims.tier == expected.tier),
        ("set of limits", claims.limits == expected.limits),
    ];
    if let Some((what, _)) = bound.into_iter().find(|(_, same)| !same) {
        return Err(invalid(&format!("it was made for another {what}")));
    }
    if claims.jti.len() < 32 {
        return Err(invalid("its id is too short to be drawn at random"));
    }
    let (from, until) = (claims.iat.as_millisecond(), claims.exp.as_millisecond());
    if !(1..=LIFE_MS).contains(&until.saturating_sub(from)) {
        return Err(invalid("it would live longer than two minutes"));
    }
    if now < from {
        return Err(invalid("it is not valid yet, or the clock was changed"));
    }
    if now >= until {
        return Err(invalid("its time is over, or the clock was changed"));
    }
    Ok(claims)
}

fn implicit(template_digest: &str, policy_digest: &str) -> String {
    format!("{{\"policy_digest\":\"{policy_digest}\",\"template_digest\":\"{template_digest}\"}}")
}

fn footer(key_id: &str) -> String {
    format!("{{\"kid\":\"{key_id}\"}}")
}

fn invalid(why: &str) -> Error {
    Error::new(Code::TokenInvalid, format!("The spawn token is not valid: {why}."))
        .hint("Start the lab again to get a new token.")
}

fn refused(e: pasetors::errors::Error) -> Error {
    Error::internal(format!("a spawn token could not be made: {e}"))
}

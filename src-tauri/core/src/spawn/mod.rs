//! Intake: a request becomes an admitted run with a spent token, or a denial with its reasons. One transaction holds
//! the look at the request id, the count of what is in use, the decisions of the gates in the audit log, the spent
//! token, the run's row and the launch intent: either all of it is there or nothing.

mod access;
pub mod acting;
pub mod billing;
mod fairness;
mod quota;
mod token;

pub use access::{Access, Capability, names_a_tenant};
pub use fairness::Unfair;
pub use quota::{Ceilings, Limits, block, ceilings, check_subject, unblock};
pub use token::{Claims, Expected, LIFE_MS, SpentToken, TokenLimits, mint, spend};

use crate::api::Role;
use crate::audit::decisions::{self, Occasion};
use crate::audit::{self, Fact};
use crate::error::{Code, Error, Result};
use crate::keys::Keys;
use crate::policy::{Decision, Gate, Policy};
use crate::scrub::Scrubber;
use crate::store::runs::{self, NewRun, Owner, Run};
use crate::store::{Conn, Store, Tx, intents};
use crate::template::scenario::{Egress, Scenario};
pub use billing::Settlement;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

/// Under which limits a subject starts labs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entitlement {
    /// Alone on one's own machine: its size is the limit.
    Practice,
    /// A plan of `policies/quota.rego`, set on this machine.
    Plan(String),
    /// A plan that a billing gateway vouches for; a start under it must be paid for.
    Granted(String),
}

impl Entitlement {
    /// As tokens and the audit log name it.
    pub fn plan(&self) -> &str {
        match self {
            Self::Practice => "practice",
            Self::Plan(plan) | Self::Granted(plan) => plan,
        }
    }
}

/// What a launch takes from the machine, as the launch plan computes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Footprint {
    /// MiB, all its nodes together.
    pub memory_mb: u64,
    /// Processes and threads.
    pub pids: u64,
    /// MiB on the disk.
    pub disk_mb: u64,
}

/// What the engine says of the machine the labs run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Machine {
    pub cpus: u32,
    pub memory_mb: u64,
    /// None where the system does not say.
    pub disk_free_mb: Option<u64>,
    /// Room that whoever runs the machine wants to stay free, where that is more than the policy's own floor.
    pub disk_floor_mb: u64,
    /// What programs could still be given; None where it is not told, or of another machine than the engine's.
    pub memory_free_mb: Option<u64>,
    pub memory_floor_mb: u64,
}

/// The rights a node will really get, as the launch plan computes them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeRights {
    pub name: String,
    pub role: Role,
    /// All of them, without the `CAP_` prefix.
    pub caps: Vec<String>,
    /// `node` or `router`.
    pub seccomp: String,
}

/// All that admission depends on; time and randomness among it.
#[derive(Clone, Debug)]
pub struct Request {
    pub request_id: String,
    /// The seed the caller named; None when one was drawn.
    pub asked_seed: Option<String>,
    pub scenario: Scenario,
    /// The digest pinned for this lab and version.
    pub pin: String,
    pub nodes: Vec<NodeRights>,
    pub footprint: Footprint,
    pub subject: String,
    pub tenant: String,
    pub access: Access,
    pub entitlement: Entitlement,
    pub settlement: Settlement,
    pub approved_profiles: Vec<String>,
    pub machine: Machine,
    pub correlation: String,
    /// Takes out of a question what must not stay in the log.
    pub scrubber: Scrubber,
    pub owner: Owner,
    /// For the new run; see [`draw_run_id`].
    pub run: String,
    /// For the new token: 128 random bits at least.
    pub jti: String,
    pub now: i64,
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one per start, never in a collection")]
pub enum Admission {
    /// The request id had been used for the same lab before: that run, whatever state it is in.
    Existing(Run),
    /// In state `Starting`, with an open `launch` intent.
    New(Run, SpentToken),
}

/// Ten characters of lower-case base32: 50 random bits.
pub fn draw_run_id(rng: &mut dyn rand::CryptoRng) -> String {
    let mut bytes = [0u8; 10];
    rng.fill_bytes(&mut bytes);
    bytes
        .iter()
        .map(|b| char::from(b"abcdefghijklmnopqrstuvwxyz234567".get(usize::from(b % 32)).copied().unwrap_or(b'a')))
        .collect()
}

/// 128 random bits as hex, for [`Request::jti`].
pub fn draw_jti(rng: &mut dyn rand::CryptoRng) -> String {
    let mut bytes = [0u8; 16];
    rng.fill_bytes(&mut bytes);
    hex::encode(bytes)
}

/// The run this request id already has: the same lab, and the same seed if one is named, else `RequestReused`.
/// To be asked before a seed is drawn; `admit` asks again.
pub fn existing(conn: &Conn, request_id: &str, lab: &str, seed: Option<&str>) -> Result<Option<Run>> {
    let Some(run) = runs::by_request(conn, request_id)? else { return Ok(None) };
    if run.lab != lab || seed.is_some_and(|s| s != run.seed) {
        return Err(Error::new(
            Code::RequestReused,
            format!("The request id “{request_id}” has been used for lab {} with seed {}.", run.lab, run.seed),
        )
        .hint("Leave the request id out, or draw a new one.")
        .details(json!({"run": run.run, "lab": run.lab, "seed": run.seed})));
    }
    Ok(Some(run))
}

/// Admits a run or says why not. `Denied` carries the reasons of all gates in `details.reasons`; every decision is in
/// the audit log either way.
pub async fn admit(store: &Store, policy: &Policy, keys: &Keys, request: Request) -> Result<Admission> {
    check_words(&request)?;
    let (policy, keys) = (policy.clone(), keys.clone());
    store
        .write(move |tx| {
            let scenario = &request.scenario;
            if let Some(run) = existing(tx, &request.request_id, &scenario.lab, request.asked_seed.as_deref())? {
                return Ok(Ok(Admission::Existing(run)));
            }
            // Returned as a value: the decisions stay in the log.
            if let Some(denial) = pass(tx, &policy, &request, true)? {
                return Ok(Err(denial));
            }
            launch(tx, &keys, policy.digest(), &request).map(Ok)
        })
        .await?
}

/// Whether the gates would let it pass now, so that nobody is charged for what is refused anyway. A denial is in the
/// audit log as of [`admit`]; a yes is not, and binds nobody: [`admit`] asks again.
pub async fn rehearse(store: &Store, policy: &Policy, request: Request) -> Result<()> {
    check_words(&request)?;
    let policy = policy.clone();
    store.write(move |tx| Ok(pass(tx, &policy, &request, false)?.map_or(Ok(()), Err))).await?
}

/// Asks all gates. None when all said yes.
fn pass(tx: &Tx, policy: &Policy, request: &Request, record_yes: bool) -> Result<Option<Error>> {
    let decided: Vec<(Value, Decision)> = questions(tx, request)?
        .into_iter()
        .map(|(gate, input)| {
            let decision = policy.decide(gate, &input);
            (input, decision)
        })
        .collect();
    let allowed = decided.iter().all(|(_, d)| d.allow);
    if allowed && !record_yes {
        return Ok(None);
    }
    let occasion = Occasion {
        at: request.now,
        run: allowed.then(|| request.run.clone()),
        lab: Some(request.scenario.lab.clone()),
        request_id: Some(request.request_id.clone()),
        correlation: request.correlation.clone(),
    };
    let mut recorded = Vec::new();
    for (input, decision) in decided {
        let id = record(tx, &occasion, input, &decision, &request.scrubber)?;
        recorded.push((id, decision));
    }
    if allowed {
        return Ok(None);
    }
    let mut denial = denied("This lab may not be started", &recorded);
    let full = recorded.iter().any(|(_, d)| d.gate == Gate::Quota && !d.allow);
    if let (true, Some(unfair)) = (full, fairness::look(tx, policy, request)?) {
        audit::append(
            tx,
            Fact { at: request.now, run: None, kind: "quota.unfair".into(), data: serde_json::to_value(&unfair)? },
        )?;
        if let Some(details) = denial.details.as_object_mut() {
            details.insert("unfair".into(), serde_json::to_value(&unfair)?);
        }
    }
    Ok(Some(denial))
}

/// Ids travel into file names, labels and logs, so only these forms enter.
fn check_words(request: &Request) -> Result<()> {
    let plain = |s: &str, most: usize| {
        !s.is_empty() && s.len() <= most && s.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    let bad = |what: &str| {
        Err(Error::new(
            Code::InvalidInput,
            format!("{what} must have 1 to 64 characters of letters, digits, “.”, “_”, “-”."),
        ))
    };
    if !plain(&request.request_id, 64) {
        return bad("The request id");
    }
    if !plain(&request.scenario.seed, 64) {
        return bad("The seed");
    }
    if request.jti.len() < 32 || !plain(&request.run, 64) {
        return Err(Error::internal("a run or token id is not as drawn"));
    }
    Ok(())
}

/// The gates to pass, in order, with what each is asked.
fn questions(tx: &Tx, request: &Request) -> Result<[(Gate, Value); 5]> {
    let scenario = &request.scenario;
    let (mode, plan) = match &request.entitlement {
        Entitlement::Practice => ("practice", Value::Null),
        Entitlement::Plan(plan) | Entitlement::Granted(plan) => ("plan", json!(plan)),
    };
    let spawn = json!({
        "mode": mode,
        "plan": plan,
        "subject": request.subject,
        "tenant": request.tenant,
        "track": scenario.track,
        "tier": scenario.tier,
        "template": {
            "id": scenario.lab,
            "version": scenario.version,
            "digest": scenario.digest,
            "pin": request.pin,
        },
    });
    let access = request.access.question(tx, Capability::Run, &scenario.track, request.now)?;
    let training = training(scenario, &request.approved_profiles);
    let quota = quota::question(tx, request, mode, &plan)?;
    let capabilities = json!({"track": scenario.track, "tier": scenario.tier, "nodes": request.nodes});
    Ok([
        (Gate::Access, access),
        (Gate::Spawn, spawn),
        (Gate::Training, training),
        (Gate::Quota, quota),
        (Gate::Capabilities, capabilities),
    ])
}

/// What the training gate is asked about a lab, at intake and again when it is launched.
pub fn training(scenario: &Scenario, approved_profiles: &[String]) -> Value {
    let egress = match &scenario.egress {
        Egress::Deny => json!({"mode": "deny"}),
        Egress::Allowlist { profile, .. } => json!({"mode": "allowlist", "profile": profile}),
    };
    json!({
        "track": scenario.track,
        "attacker_max_exploits": scenario.limits.attacker_max_exploits,
        "egress": egress,
        "approved_profiles": approved_profiles,
    })
}

/// A decision in the audit log, its question scrubbed; returns its number there.
pub fn record(tx: &Tx, occasion: &Occasion, input: Value, decision: &Decision, scrubber: &Scrubber) -> Result<u64> {
    let answer = decisions::Answer {
        input: scrubber.apply(input).into_inner(),
        allow: decision.allow,
        reasons: decision.reasons.clone(),
        policy_digest: decision.policy_digest.clone(),
        micros: Some(decision.micros),
    };
    decisions::record(tx, decision.gate.name(), occasion, answer)
}

/// `Denied` with the reasons of every gate that said no, and where in the log each stands.
pub fn denied(what: &str, recorded: &[(u64, Decision)]) -> Error {
    let refusals: Vec<&(u64, Decision)> = recorded.iter().filter(|(_, d)| !d.allow).collect();
    let reasons: Vec<&str> = refusals.iter().flat_map(|(_, d)| d.reasons.iter().map(String::as_str)).collect();
    let gates: Vec<&str> = refusals.iter().map(|(_, d)| d.gate.name()).collect();
    let ids: Vec<u64> = refusals.iter().map(|(id, _)| *id).collect();
    Error::new(Code::Denied, format!("{what}: {}", reasons.join(" ")))
        .details(json!({"reasons": reasons, "gates": gates, "decisions": ids}))
}

/// All gates said yes: mint, spend, and write what is about to be done.
fn launch(tx: &Tx, keys: &Keys, policy_digest: &str, request: &Request) -> Result<Admission> {
    let scenario = &request.scenario;
    let cpu_milli = milli(scenario.limits.cpu)?;
    let limits = TokenLimits {
        cpu_milli,
        memory_mb: request.footprint.memory_mb,
        minutes: scenario.limits.timeout_minutes,
        pids: request.footprint.pids,
        disk_mb: request.footprint.disk_mb,
    };
    let plan = request.entitlement.plan();
    let claims = Claims {
        jti: request.jti.clone(),
        sub: request.subject.clone(),
        tenant: request.tenant.clone(),
        request_id: request.request_id.clone(),
        lab: scenario.lab.clone(),
        template_digest: scenario.digest.clone(),
        policy_digest: policy_digest.to_owned(),
        plan: plan.to_owned(),
        tier: scenario.tier.clone(),
        limits,
        iat: instant(request.now)?,
        exp: instant(request.now.saturating_add(LIFE_MS))?,
    };
    let token = mint(keys, &claims)?;
    let run = runs::insert(
        tx,
        &NewRun {
            run: request.run.clone(),
            request_id: request.request_id.clone(),
            subject: request.subject.clone(),
            tenant: request.tenant.clone(),
            lab: scenario.lab.clone(),
            lab_title: scenario.title.clone(),
            track: scenario.track.clone(),
            version: scenario.version.clone(),
            digest: scenario.digest.clone(),
            seed: scenario.seed.clone(),
            scenario: serde_json::to_string(scenario).map_err(Error::internal)?,
            nodes: u32::try_from(scenario.nodes.len()).map_err(Error::internal)?,
            cpu_milli,
            memory_mb: request.footprint.memory_mb,
            pids: request.footprint.pids,
            disk_mb: request.footprint.disk_mb,
            created: request.now,
            owner: request.owner.clone(),
        },
    )?;
    let expected = Expected {
        subject: &request.subject,
        tenant: &request.tenant,
        request_id: &request.request_id,
        lab: &scenario.lab,
        plan,
        tier: &scenario.tier,
        limits,
        template_digest: &scenario.digest,
        policy_digest,
    };
    request.settlement.spend(tx, request)?;
    let spent = spend(tx, keys, &token, &expected, &request.run, request.now)?;
    intents::begin(tx, &request.run, "launch", request.now, &json!({"jti": claims.jti}))?;
    audit::append(
        tx,
        Fact {
            at: request.now,
            run: Some(request.run.clone()),
            kind: "token.spent".into(),
            data: json!({"correlation": request.correlation, "claims": claims, "order": request.settlement.order()}),
        },
    )?;
    Ok(Admission::New(run, spent))
}

fn instant(ms: i64) -> Result<Timestamp> {
    Timestamp::from_millisecond(ms).map_err(Error::internal)
}

/// CPUs as thousandths; a limit that is no number, negative or beyond any machine is refused.
fn milli(cpus: f64) -> Result<u64> {
    if !(0.0..=100_000.0).contains(&cpus) {
        return Err(Error::new(Code::TemplateInvalid, "The lab's CPU limit is not a number of CPUs."));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range was checked above")]
    Ok((cpus * 1000.0).round() as u64)
}

#[cfg(test)]
mod tests;

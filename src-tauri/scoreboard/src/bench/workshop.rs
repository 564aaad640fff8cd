//! Makes genuine verdicts by the thousand, for measurements and tests: with the formats' own functions, and keys of its own.

use crate::store::Tx;
use crate::store::people::{self, Invite, Person};
use forge_core::api::TrustTier;
use forge_core::board::Role;
use forge_core::check::evidence::{Entry, OBSERVATIONS, Observations, SCENARIO};
use forge_core::check::{Answer, Finding, Observation, ask};
use forge_core::error::Result;
use forge_core::keys::{KeyName, Keys};
use forge_core::scrub::Scrubber;
use forge_core::template::scenario::Scenario;
use forge_core::verdict::score::Score;
use forge_core::verdict::statement::{Claims, Digest, Statement, seed_commitment};
use forge_core::verdict::{bundle, canonical, dsse};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

/// Its patterns take longer to compile than a verdict takes to make.
static SCRUBBER: LazyLock<Scrubber> = LazyLock::new(Scrubber::default);

/// A laptop: a key that is enrolled, or not yet.
pub struct Laptop {
    pub keys: Keys,
    pub key_id: String,
}

/// All that a results folder holds, in memory.
#[derive(Clone)]
pub struct Made {
    pub id: String,
    pub envelope: Vec<u8>,
    pub score: Vec<u8>,
    pub evidence: Vec<u8>,
}

/// What a test wants to be otherwise.
pub struct Wish {
    pub run: String,
    pub started: i64,
    pub finished: i64,
    pub challenge: Option<String>,
    pub hint_costs: BTreeMap<String, u64>,
    /// More files for the evidence.
    pub extra: Vec<Entry>,
    pub tar_max: usize,
}

impl Wish {
    pub fn new(run: &str, now: i64) -> Self {
        Self {
            run: run.to_owned(),
            started: now - 600_000,
            finished: now - 1_000,
            challenge: None,
            hint_costs: BTreeMap::new(),
            extra: Vec::new(),
            tar_max: bundle::TAR_MAX,
        }
    }
}

impl Laptop {
    pub fn new(home: &Path) -> Result<Self> {
        let keys = Keys::open(home, &mut rand::rng())?;
        let key_id = keys.id(KeyName::Learner)?;
        Ok(Self { keys, key_id })
    }

    pub fn pem(&self) -> Result<String> {
        self.keys.public_pem(KeyName::Learner)
    }

    /// Puts the key into a class without the door's ceremony.
    pub fn enrol(&self, tx: &mut dyn Tx, class: &str, name: &str, now: i64) -> Result<Person> {
        let id = uuid::Uuid::now_v7().to_string();
        let person = Person { id: id.clone(), class: class.to_owned(), name: name.to_owned(), role: Role::Learner };
        let invite =
            Invite { class: class.to_owned(), role: Role::Learner, expires_at: now, used_at: None, used_by: None };
        people::invite(tx, &format!("bench-{id}"), &invite, now)?;
        people::add(tx, &person, now)?;
        people::add_key(tx, &id, &self.key_id, &self.pem()?, now)?;
        people::new_token(tx, &id, &self.key_id, &format!("bench-{id}"), now)?;
        Ok(person)
    }

    pub fn sign(&self, statement: &Statement) -> Result<(String, Vec<u8>)> {
        self.sign_bytes(&statement.to_bytes()?)
    }

    /// Whatever these bytes are.
    pub fn sign_bytes(&self, payload: &[u8]) -> Result<(String, Vec<u8>)> {
        let pae = dsse::pae(dsse::PAYLOAD_TYPE, payload);
        let signature = self.keys.sign_dsse(KeyName::Learner, &pae)?;
        Ok((dsse::verdict_id(&pae), dsse::write(payload, &self.key_id, &signature)?))
    }

    /// A verdict of this lab in which every question was answered with `answer`.
    pub fn seal(&self, scenario: &Scenario, answer: &str, wish: &Wish) -> Result<Made> {
        let (statement, score, evidence) = self.draft(scenario, answer, wish)?;
        let (id, envelope) = self.sign(&statement)?;
        Ok(Made { id, envelope, score, evidence })
    }

    pub fn draft(&self, scenario: &Scenario, answer: &str, wish: &Wish) -> Result<(Statement, Vec<u8>, Vec<u8>)> {
        let findings = findings(scenario, answer);
        let score = Score::of(&wish.run, scenario, &findings, &wish.hint_costs);
        let observations = Observations { version: 1, findings };
        let mut entries = vec![
            Entry::json(SCENARIO, "scenario", scenario)?,
            Entry::json(OBSERVATIONS, "observations", &observations)?,
            Entry::new("run.txt", "notes", wish.run.clone().into_bytes()),
        ];
        let scenario_digest = canonical::sha256(entries.first().map(|e| e.bytes.as_slice()).unwrap_or_default());
        entries.extend(wish.extra.iter().cloned());
        let packed = bundle::pack_within(&SCRUBBER.apply(entries), wish.tar_max)?;
        let score_json = score.to_bytes()?;
        let digests = [Digest::of(&score_json), Digest::of(&packed.zst), Digest::of(&packed.tar)];
        let claims = self.claims(scenario, &score, scenario_digest, wish);
        Ok((Statement::new(&score, claims, digests), score_json, packed.zst))
    }

    fn claims(&self, scenario: &Scenario, score: &Score, scenario_digest: String, wish: &Wish) -> Claims {
        Claims {
            run: wish.run.clone(),
            lab: scenario.lab.clone(),
            version: scenario.version.clone(),
            template_digest: scenario.digest.clone(),
            scenario_digest,
            policy_digest: "bb".repeat(32),
            images: BTreeMap::new(),
            seed_commitment: seed_commitment(&scenario.seed),
            key_id: self.key_id.clone(),
            tier: TrustTier::SelfAttested,
            started: wish.started,
            finished: wish.finished,
            duration_ms: u64::try_from(wish.finished - wish.started).unwrap_or(0),
            challenge: wish.challenge.clone(),
            audit: None,
            isolation: "isolated".into(),
            score: score.score,
            max: score.max,
        }
    }
}

fn findings(scenario: &Scenario, answer: &str) -> Vec<Finding> {
    let all = scenario.criteria.iter().flat_map(|c| c.evidence.iter().enumerate().map(move |(i, e)| (c, i, e)));
    all.map(|(c, index, e)| Finding {
        criterion: c.id.clone(),
        index,
        after: None,
        attempts: 1,
        observation: Observation {
            asked: ask::question(&e.probe).ask,
            answered: Answer::Output { exit: 0, stdout: answer.to_owned(), stderr: String::new(), cut: false },
            at_ms: 12,
        },
    })
    .collect()
}

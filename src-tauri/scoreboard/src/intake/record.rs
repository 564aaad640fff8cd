//! The one transaction: what must be unique is decided and stored in it, so that two submissions at the same time cannot both
//! win. No candidate that is refused has written anything.

use super::bundle::Established;
use super::claims::Checked;
use super::envelope::Opened;
use super::{no, tier};
use crate::store::standing::{self, Counted};
use crate::store::verdicts::{self, Verdict};
use crate::store::{Tx, people, session};
use forge_core::api::TrustTier;
use forge_core::board::{CLOCK_SKEW, Fact, Refusal, RefusalCode};
use forge_core::error::Result;
use forge_core::verdict::statement::{Statement, seed_commitment};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Everything about a submission that is known before the database is asked.
#[derive(Clone)]
pub struct Candidate {
    verdict: Verdict,
    pub notes: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    New,
    /// It was there; now more is established.
    Raised,
    None,
}

pub struct Recorded {
    pub verdict: Verdict,
    pub name: String,
    pub change: Change,
    pub notes: Vec<String>,
}

impl Candidate {
    pub fn new(
        opened: Opened,
        statement: Statement,
        checked: Checked,
        established: Option<Established>,
        now: i64,
    ) -> Self {
        let claims = statement.predicate.forge;
        let (mut facts, mut notes) = (checked.facts, checked.notes);
        let (mut score_json, mut evidence_bytes, mut answers) = (None, None, None);
        if let Some(e) = established {
            facts.extend(e.facts);
            notes.extend(e.notes);
            (score_json, answers) = (Some(e.score_json), Some(e.answers));
            evidence_bytes = i64::try_from(e.evidence_bytes).ok();
        }
        let verdict = Verdict {
            seq: 0,
            id: opened.id,
            run: claims.run,
            tar: statement.subject.into_iter().nth(2).map(|s| s.digest.sha256).unwrap_or_default(),
            key_id: opened.key_id,
            learner: String::new(),
            class: String::new(),
            lab: claims.lab,
            version: claims.version,
            track: checked.track,
            score: claims.score,
            max: claims.max,
            started: claims.started,
            finished: claims.finished,
            duration_ms: claims.duration_ms,
            received_at: now,
            tier: tier(&facts),
            facts,
            session: None,
            nonce: claims.challenge,
            seed: claims.seed_commitment,
            payload: opened.payload.into(),
            signature: opened.signature,
            score_json,
            evidence_bytes,
            answers,
        };
        Self { verdict, notes }
    }

    /// The verdict's id.
    pub fn id(&self) -> &str {
        &self.verdict.id
    }
}

/// What became of a candidate.
pub type Decided = Result<Recorded, Refusal>;

/// Decides and stores many at once; what [`one`] would do with each in turn, with a few statements for all that are new and
/// answer no challenge.
pub fn record(tx: &mut dyn Tx, candidates: &[Candidate]) -> Result<Vec<Decided>> {
    let key_ids: BTreeSet<&str> = candidates.iter().map(|c| c.verdict.key_id.as_str()).collect();
    let keys = people::keys(tx, &key_ids.into_iter().collect::<Vec<_>>())?;
    let keys: HashMap<&str, &people::Key> =
        keys.iter().filter(|k| k.revoked_at.is_none()).map(|k| (k.key_id.as_str(), k)).collect();
    let plain = |c: &Candidate| {
        let owner = &keys.get(c.verdict.key_id.as_str()).filter(|_| c.verdict.nonce.is_none())?.owner;
        let mut v = c.verdict.clone();
        owned(&mut v, owner);
        Some((v, owner.name.as_str()))
    };
    let mut plain: Vec<Option<(Verdict, &str)>> = candidates.iter().map(plain).collect();
    let mut fresh: Vec<&mut Verdict> = plain.iter_mut().flatten().map(|(v, _)| v).collect();
    let mut stored = verdicts::insert_new(tx, &mut fresh)?.into_iter();
    for maybe in &mut plain {
        if maybe.is_some() && stored.next() != Some(true) {
            *maybe = None;
        }
    }
    let new = || plain.iter().flatten();
    let ranked = new().filter(|(v, _)| v.facts.contains(&Fact::KnownLab));
    let counted = ranked.map(|(verdict, name)| Counted { verdict, name, below: None });
    standing::count(tx, &counted.collect::<Vec<_>>())?;
    let mut tallies: BTreeMap<(&str, TrustTier), i64> = BTreeMap::new();
    new().for_each(|(v, _)| *tallies.entry((v.track.as_str(), v.tier)).or_default() += 1);
    for ((track, tier), n) in tallies {
        standing::tally(tx, track, tier, n)?;
    }
    let decide = |(new, candidate): (Option<(Verdict, &str)>, &Candidate)| match new {
        None => one(tx, candidate),
        Some((verdict, name)) => {
            Ok(Ok(Recorded { verdict, name: name.to_owned(), change: Change::New, notes: Vec::new() }))
        }
    };
    plain.into_iter().zip(candidates).map(decide).collect()
}

fn owned(v: &mut Verdict, owner: &people::Person) {
    v.learner.clone_from(&owner.id);
    v.class.clone_from(&owner.class);
    v.facts.sort_unstable();
    v.tier = tier(&v.facts);
}

fn one(tx: &mut dyn Tx, candidate: &Candidate) -> Result<Decided> {
    let mut v = candidate.verdict.clone();
    let Some(key) = people::key(tx, &v.key_id)? else {
        return Ok(Err(no(RefusalCode::UnknownKey, "The key that signed this is not enrolled here.")));
    };
    let name = key.owner.name.clone();
    if let Some(known) = verdicts::by_id(tx, &v.id)? {
        return again(tx, known, v, name, key.revoked_at.is_some());
    }
    if key.revoked_at.is_some() {
        return Ok(Err(revoked()));
    }
    if let Some((_, other)) = verdicts::clash(tx, &v.run, &v.tar)? {
        return Ok(Err(if other == v.key_id {
            no(RefusalCode::RunExists, "This run, or its evidence, has another verdict here already.")
        } else {
            no(RefusalCode::Rekeyed, "This run, or its evidence, was submitted under another key.")
        }));
    }
    owned(&mut v, &key.owner);
    let mut notes = Vec::new();
    match challenged(tx, &mut v)? {
        Ok(note) => notes.extend(note),
        Err(refusal) => return Ok(Err(refusal)),
    }
    v.facts.sort_unstable();
    v.tier = tier(&v.facts);
    v.seq = verdicts::next_seq(tx)?;
    verdicts::insert(tx, &v)?;
    if let Some(nonce) = &v.nonce {
        session::answer(tx, nonce, &v.id)?;
    }
    if v.facts.contains(&Fact::KnownLab) {
        standing::count(tx, &[Counted { verdict: &v, name: &name, below: None }])?;
    }
    standing::tally(tx, &v.track, v.tier, 1)?;
    Ok(Ok(Recorded { verdict: v, name, change: Change::New, notes }))
}

fn revoked() -> Refusal {
    no(RefusalCode::KeyRevoked, "The key that signed this was revoked.")
        .hint("Ask your instructor, and enrol another key.")
}

/// The verdict is there. Facts are only ever added.
fn again(tx: &mut dyn Tx, known: Verdict, new: Verdict, name: String, key_is_revoked: bool) -> Result<Decided> {
    let mut v = known.clone();
    v.facts.extend(new.facts.iter().filter(|f| !known.facts.contains(f)));
    v.facts.sort_unstable();
    if v.facts == known.facts {
        return Ok(Ok(Recorded { verdict: known, name, change: Change::None, notes: Vec::new() }));
    }
    if key_is_revoked {
        return Ok(Err(revoked()));
    }
    v.tier = tier(&v.facts);
    v.score_json = new.score_json.or(known.score_json);
    v.evidence_bytes = new.evidence_bytes.or(known.evidence_bytes);
    v.answers = new.answers.or(known.answers);
    let ranked = |facts: &[Fact]| facts.contains(&Fact::KnownLab);
    if !ranked(&known.facts) && ranked(&v.facts) {
        // The server has learned the lab since: the verdict moves to its track.
        standing::tally(tx, &known.track, known.tier, -1)?;
        v.track = new.track;
        verdicts::raise(tx, &v)?;
        standing::count(tx, &[Counted { verdict: &v, name: &name, below: None }])?;
        standing::tally(tx, &v.track, v.tier, 1)?;
        return Ok(Ok(Recorded { verdict: v, name, change: Change::Raised, notes: Vec::new() }));
    }
    lift(tx, known.tier, &v, &name)?;
    Ok(Ok(Recorded { verdict: v, name, change: Change::Raised, notes: Vec::new() }))
}

/// Writes what more is known of a verdict, and moves it up on the boards.
pub fn lift(tx: &mut dyn Tx, from: TrustTier, v: &Verdict, name: &str) -> Result<()> {
    verdicts::raise(tx, v)?;
    if v.tier > from {
        if v.facts.contains(&Fact::KnownLab) {
            standing::count(tx, &[Counted { verdict: v, name, below: Some(from) }])?;
        }
        standing::tally(tx, &v.track, from, -1)?;
        standing::tally(tx, &v.track, v.tier, 1)?;
    }
    Ok(())
}

/// A run that answers a challenge: issued here, to this learner, for this lab and seed, not answered before. What is merely
/// late is accepted, and is not `issued-seed`.
fn challenged(tx: &mut dyn Tx, v: &mut Verdict) -> Result<Result<Option<String>, Refusal>> {
    let Some(nonce) = &v.nonce else { return Ok(Ok(None)) };
    let unknown =
        || no(RefusalCode::UnknownChallenge, "This server issued no such challenge to you for this lab and seed.");
    let Some(issued) = session::by_nonce(tx, nonce)? else { return Ok(Err(unknown())) };
    let Some(kept) = session::get(tx, &issued.session)? else { return Ok(Err(unknown())) };
    let s = kept.session;
    if s.class != v.class {
        return Ok(Err(no(RefusalCode::OtherTenant, "The challenge was issued to another class.")));
    }
    if issued.learner != v.learner || issued.lab != v.lab || seed_commitment(&issued.seed) != v.seed {
        return Ok(Err(unknown()));
    }
    if issued.verdict.is_some() {
        return Ok(Err(no(RefusalCode::NonceUsed, "The challenge was answered by another verdict already.")));
    }
    if s.frozen {
        return Ok(Err(no(RefusalCode::SessionFrozen, "The session is frozen; it takes nothing more.")
            .hint("The verdict is kept. If your instructor lets the session go on: forge sync --retry-refused")));
    }
    v.session = Some(s.id.clone());
    let grace = i64::from(s.grace_minutes) * 60_000;
    let note = if v.started < issued.issued_at - CLOCK_SKEW {
        Some(
            "The run says that it began before its challenge was issued: not counted as instructor-seeded. If the laptop's \
             clock was wrong, set it right and do the lab again.",
        )
    } else if v.finished > s.deadline {
        Some("The run ended after the deadline: not counted as instructor-seeded.")
    } else if v.received_at > s.deadline + grace {
        Some("It arrived after the deadline and its grace: not counted as instructor-seeded.")
    } else {
        v.facts.push(Fact::IssuedSeed);
        None
    };
    Ok(Ok(note.map(str::to_owned)))
}

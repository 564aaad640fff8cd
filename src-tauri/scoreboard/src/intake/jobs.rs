//! Executing verdicts again on demand: who may ask for it, who gets the job, and how it ends. Each function is one
//! transaction, and every refusal comes before the first write.

use super::no;
use crate::store::jobs::{self, Kept};
use crate::store::people::Person;
use crate::store::verdicts::{self, Verdict};
use crate::store::{Tx, jobs::MOST};
use forge_core::board::{Fact, GiveUp, GivenUp, Job, JobState, LEASE_LEAST, LEASE_MOST, Refusal, RefusalCode, Role};
use forge_core::error::Result;
use forge_core::template::Catalogue;
use forge_core::template::scenario::Reexecution;

const WHY_MOST: usize = 500;

/// Who asks: the class they teach, or every class for the admin.
pub struct Asker {
    pub id: String,
    pub class: Option<String>,
}

/// The verdict's one job, and whether it was queued by this. One that failed is queued again; any other stays as it is.
pub fn ask(tx: &mut dyn Tx, by: &Asker, id: &str, labs: &Catalogue, now: i64) -> Result<Result<(Job, bool), Refusal>> {
    let Some(v) = verdicts::by_id(tx, id)? else {
        return Ok(Err(no(RefusalCode::NotFound, "There is no such verdict here.")
            .hint("Give a verdict’s id, or the address of its page on this scoreboard.")));
    };
    if by.class.as_ref().is_some_and(|class| *class != v.class) {
        return Ok(Err(no(RefusalCode::OtherTenant, "The verdict belongs to another class.")
            .hint("Ask an instructor of its class.")));
    }
    if by.id == v.learner {
        return Ok(Err(no(RefusalCode::Forbidden, "Nobody has their own verdict executed again.")
            .hint("Ask another instructor of the class.")));
    }
    let known = jobs::get(tx, id)?;
    if let Some(kept) = &known
        && kept.job.state != JobState::Failed
    {
        return Ok(Ok((kept.job.clone(), false)));
    }
    let done = v.facts.contains(&Fact::ReExecuted);
    if !done && let Err(refusal) = possible(&v, labs) {
        return Ok(Err(refusal));
    }
    if !done && jobs::open(tx, &v.class)? >= MOST {
        return Ok(Err(no(RefusalCode::Busy, format!("{MOST} verdicts of this class wait already."))
            .hint("Ask again when some of them are done; more workers make it faster.")));
    }
    let mut kept = Kept::new(
        Job {
            verdict: v.id,
            lab: v.lab,
            class: v.class,
            state: JobState::Queued,
            asked_at: now,
            tries: 0,
            ended_at: None,
            agrees: None,
            why: String::new(),
        },
        &v.learner,
        &by.id,
    );
    if done {
        // Somebody vouched for it before anybody asked: there is nothing to do, and the answer is known.
        jobs::end(&mut kept, JobState::Done, "", now);
        kept.job.agrees = Some(true);
    }
    jobs::put(tx, &kept)?;
    Ok(Ok((kept.job, !done)))
}

/// Whether an execution could raise it.
fn possible(v: &Verdict, labs: &Catalogue) -> Result<(), Refusal> {
    if ![Fact::Digests, Fact::SameLab, Fact::ReGraded].iter().all(|f| v.facts.contains(f)) {
        return Err(no(
            RefusalCode::NotReGraded,
            "The verdict was not re-graded here, so there is nothing that could be executed again.",
        )
        .hint("Its learner’s laptop must send the evidence as well: forge sync"));
    }
    let statement = v.statement().map_err(|e| super::trouble(&e))?;
    let lab = labs.get(&v.lab).ok().filter(|lab| lab.digest == statement.predicate.forge.template_digest);
    let why = match lab.as_ref().map(|lab| &lab.specimen.reexecution) {
        Some(Some(Reexecution::Carry { .. })) => return Ok(()),
        Some(Some(Reexecution::Bound { why })) => why.clone(),
        Some(None) => "its template does not say what of an answer belongs to the seed.".to_owned(),
        None => {
            return Err(no(
                RefusalCode::OtherLab,
                "This server no longer has the edition of the lab that the verdict is of.",
            )
            .hint("Serve that edition again, or have the lab done once more."));
        }
    };
    Err(no(RefusalCode::SeedBound, format!("{} cannot be executed again: {why}", v.lab))
        .hint("The verdict stays re-graded, which is as far as this lab goes."))
}

/// Only those whose word about an execution counts.
pub fn works(person: &Person) -> Result<(), Refusal> {
    match person.role {
        Role::Worker | Role::Instructor => Ok(()),
        Role::Learner => Err(no(RefusalCode::Forbidden, "This is for the workers and instructors of a class.")
            .hint("A worker is enrolled with a code of: forge-scoreboard invite --role worker")),
    }
}

pub fn seconds(asked: u32) -> Result<i64, Refusal> {
    if (LEASE_LEAST..=LEASE_MOST).contains(&asked) {
        return Ok(i64::from(asked) * 1000);
    }
    Err(no(RefusalCode::Malformed, format!("A lease lasts {LEASE_LEAST} to {LEASE_MOST} seconds.")))
}

/// What a worker is given, and the jobs that silent workers lost meanwhile.
pub struct Leased {
    pub job: Option<Job>,
    pub fell_silent: Vec<Job>,
}

/// `lease` names it; `lasts` is in milliseconds.
pub fn lease(tx: &mut dyn Tx, person: &Person, lease: &str, lasts: i64, now: i64) -> Result<Leased> {
    let fell_silent = expire(tx, now)?;
    let Some(mut kept) = jobs::next(tx, &person.class, &person.id, now)? else {
        return Ok(Leased { job: None, fell_silent });
    };
    kept.job.state = JobState::Running;
    kept.job.tries += 1;
    kept.worker = Some(person.id.clone());
    kept.lease = Some(lease.to_owned());
    kept.lease_until = Some(now + lasts);
    jobs::put(tx, &kept)?;
    Ok(Leased { job: Some(kept.job), fell_silent })
}

/// `LeaseLost` when somebody else may have it by now, or it is over.
pub fn renew(
    tx: &mut dyn Tx,
    person: &Person,
    (id, lease): (&str, &str),
    lasts: i64,
    now: i64,
) -> Result<Result<Job, Refusal>> {
    let mut kept = match held(tx, person, id, lease)? {
        Ok(kept) => kept,
        Err(refusal) => return Ok(Err(refusal)),
    };
    kept.lease_until = Some(now + lasts);
    jobs::put(tx, &kept)?;
    Ok(Ok(kept.job))
}

pub fn give_up(tx: &mut dyn Tx, person: &Person, id: &str, said: &GiveUp, now: i64) -> Result<Result<Job, Refusal>> {
    if !(1..=WHY_MOST).contains(&said.why.chars().count()) || said.why.chars().any(char::is_control) {
        return Ok(Err(no(RefusalCode::Malformed, format!("A reason is one line of 1 to {WHY_MOST} characters."))));
    }
    let mut kept = match held(tx, person, id, &said.lease)? {
        Ok(kept) => kept,
        Err(refusal) => return Ok(Err(refusal)),
    };
    match said.how {
        GivenUp::Refused => jobs::end(&mut kept, JobState::Refused, &said.why, now),
        GivenUp::Failed => jobs::end(&mut kept, JobState::Failed, &said.why, now),
        GivenUp::Again => jobs::once_more(&mut kept, &said.why, now),
        GivenUp::Returned => {
            jobs::end(&mut kept, JobState::Queued, &said.why, now);
            kept.job.tries = (kept.job.tries - 1).max(0);
            kept.next_at = now;
        }
    }
    jobs::put(tx, &kept)?;
    Ok(Ok(kept.job))
}

/// One whose time is over and that nobody took since is still theirs: the work is not thrown away.
fn held(tx: &mut dyn Tx, person: &Person, id: &str, lease: &str) -> Result<Result<Kept, Refusal>> {
    let kept = jobs::get(tx, id)?.filter(|k| {
        k.job.state == JobState::Running
            && k.worker.as_deref() == Some(person.id.as_str())
            && k.lease.as_deref() == Some(lease)
    });
    Ok(kept.ok_or_else(|| {
        no(RefusalCode::LeaseLost, "This job is over, or another worker has it by now.")
            .hint("Nothing is lost: ask for the next job.")
    }))
}

/// Those of silent workers go back, or have failed. Returns what changed.
pub fn expire(tx: &mut dyn Tx, now: i64) -> Result<Vec<Job>> {
    let mut changed = Vec::new();
    for mut kept in jobs::silent(tx, now)? {
        jobs::once_more(&mut kept, jobs::SILENT, now);
        // Its time was waited for already.
        kept.next_at = now;
        jobs::put(tx, &kept)?;
        changed.push(kept.job);
    }
    Ok(changed)
}

/// Somebody said how it came out: whoever asked has their answer. The best one stays.
pub fn settle(tx: &mut dyn Tx, verdict: &str, agrees: bool, now: i64) -> Result<()> {
    let Some(mut kept) = jobs::get(tx, verdict)? else { return Ok(()) };
    if kept.job.state == JobState::Done && kept.job.agrees == Some(true) {
        return Ok(());
    }
    jobs::end(&mut kept, JobState::Done, "", now);
    kept.job.agrees = Some(agrees);
    jobs::put(tx, &kept)
}

//! The queue of re-executions as time goes by, on both databases: leases that end, tries that are counted, a backup in between.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#[allow(dead_code)]
mod support;

use forge_core::board::{GiveUp, GivenUp, Job, JobState, RefusalCode, Role, TRIES};
use forge_scoreboard::bench::workshop::Laptop;
use forge_scoreboard::intake::jobs;
use forge_scoreboard::store::jobs::{self as rows, Kept, SILENT};
use forge_scoreboard::store::people::{self, Invite, Person};
use forge_scoreboard::store::{Connection, SCHEMA_VERSION, Target, dump, meta, migrate};
use std::path::Path;
use support::{Postgres, older};

const LASTS: i64 = 60_000;

fn open(home: &Path, name: &str, database: Option<&str>) -> Box<dyn Connection> {
    std::fs::create_dir_all(home.join(name)).unwrap();
    let mut conn = Target::of(&home.join(name), database).unwrap().connect().unwrap();
    migrate(conn.as_mut()).unwrap();
    conn
}

fn worker(conn: &mut dyn Connection, home: &Path, id: &str, class: &str) -> Person {
    let laptop = Laptop::new(&home.join(id)).unwrap();
    let person = Person { id: id.into(), class: class.into(), name: id.into(), role: Role::Worker };
    let invite = Invite { class: class.into(), role: Role::Worker, expires_at: 0, used_at: None, used_by: None };
    people::invite(conn, id, &invite, 0).unwrap();
    people::add(conn, &person, 0).unwrap();
    people::add_key(conn, id, &laptop.key_id, &laptop.pem().unwrap(), 0).unwrap();
    assert_eq!(people::get(conn, id).unwrap().unwrap(), person);
    person
}

fn asked(conn: &mut dyn Connection, verdict: &str, class: &str, learner: &str, at: i64) {
    let job = Job {
        verdict: verdict.into(),
        lab: "l".into(),
        class: class.into(),
        state: JobState::Queued,
        asked_at: at,
        tries: 0,
        ended_at: None,
        agrees: None,
        why: String::new(),
    };
    rows::put(conn, &Kept::new(job, learner, "ada")).unwrap();
}

fn lease(conn: &mut dyn Connection, by: &Person, name: &str, now: i64) -> Option<String> {
    jobs::lease(conn, by, name, LASTS, now).unwrap().job.map(|j| j.verdict)
}

fn job(conn: &mut dyn Connection, verdict: &str) -> Job {
    rows::get(conn, verdict).unwrap().unwrap().job
}

fn as_time_goes_by(one: Option<&str>, two: Option<&str>) {
    let home = tempfile::tempdir().unwrap();
    let mut conn = open(home.path(), "one", one);
    let conn = conn.as_mut();
    let (a, b) = (worker(conn, home.path(), "a", "N"), worker(conn, home.path(), "b", "N"));
    let far = worker(conn, home.path(), "far", "Other");
    asked(conn, "second", "N", "mara", 20);
    asked(conn, "first", "N", "mara", 10);
    asked(conn, "own", "N", "a", 5);
    asked(conn, "elsewhere", "Other", "eve", 1);

    // The oldest first, nobody's own, each once, and only of the class.
    assert_eq!(lease(conn, &a, "l1", 100).as_deref(), Some("first"));
    assert_eq!(lease(conn, &b, "l2", 100).as_deref(), Some("own"));
    assert_eq!(lease(conn, &b, "l3", 100).as_deref(), Some("second"));
    assert_eq!(lease(conn, &a, "l4", 100), None);
    assert_eq!(lease(conn, &far, "l5", 100).as_deref(), Some("elsewhere"));
    assert_eq!(rows::open(conn, "N").unwrap(), 3);

    // A worker that renews keeps it; one that is silent loses it to another, and is told so.
    jobs::renew(conn, &b, ("second", "l3"), LASTS, 50_000).unwrap().unwrap();
    assert!(rows::silent(conn, 100 + LASTS).unwrap().is_empty(), "not before its time is over");
    let later = 101 + LASTS;
    let changed = jobs::expire(conn, later).unwrap();
    let mut names: Vec<&str> = changed.iter().map(|j| j.verdict.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["elsewhere", "first", "own"]);
    assert_eq!((job(conn, "first").state, job(conn, "first").why.as_str()), (JobState::Queued, SILENT));
    assert_eq!(job(conn, "second").state, JobState::Running);
    assert_eq!(lease(conn, &b, "l6", later).as_deref(), Some("own"));
    assert_eq!(lease(conn, &b, "l7", later).as_deref(), Some("first"));
    let late = jobs::renew(conn, &a, ("first", "l1"), LASTS, later).unwrap();
    assert_eq!(late.unwrap_err().code, RefusalCode::LeaseLost);
    assert!(!rows::get(conn, "first").unwrap().unwrap().held_by("a", later));
    assert!(rows::get(conn, "first").unwrap().unwrap().held_by("b", later));
    // Its time was over and nobody had looked yet: it is still its own.
    jobs::renew(conn, &b, ("first", "l7"), LASTS, later + LASTS + 5).unwrap().unwrap();

    // Silent once too often: it has failed, and says why.
    let now = later + 10 * LASTS;
    // Whoever asks for work first finds it out, and can tell it.
    let leased = jobs::lease(conn, &b, "again", LASTS, now).unwrap();
    assert_eq!(leased.job.map(|j| j.verdict).as_deref(), Some("own"));
    assert!(leased.fell_silent.iter().any(|j| j.verdict == "first"));
    assert_eq!((job(conn, "first").state, job(conn, "first").tries), (JobState::Queued, 2));
    while lease(conn, &b, "again", now).is_some_and(|v| v != "first") {}
    assert_eq!((job(conn, "first").state, job(conn, "first").tries), (JobState::Running, TRIES));
    let now = now + 2 * LASTS;
    jobs::expire(conn, now).unwrap();
    let over = job(conn, "first");
    assert_eq!((over.state, over.tries, over.why.as_str()), (JobState::Failed, TRIES, SILENT));
    assert_eq!(over.ended_at, Some(now));
    while let Some(verdict) = lease(conn, &a, "rest", now) {
        assert_ne!(verdict, "first", "what has failed is given to nobody");
    }

    // A backup holds the queue, leases and all, and the other database goes on with it.
    let mut lines = Vec::new();
    dump::write(conn, &mut lines).unwrap();
    let mut other = open(home.path(), "two", two);
    dump::read(other.as_mut(), &mut lines.as_slice()).unwrap();
    for verdict in ["first", "second", "own", "elsewhere"] {
        assert_eq!(rows::get(other.as_mut(), verdict).unwrap(), rows::get(conn, verdict).unwrap(), "{verdict}");
    }
    assert!(
        rows::tallies(other.as_mut()).unwrap().contains(&(JobState::Failed, 2)),
        "the first and b's own try at another"
    );
}

/// What failed for a reason of the moment waits a while, longer each time; what was given back does not.
fn tried_in_vain(database: Option<&str>) {
    let home = tempfile::tempdir().unwrap();
    let mut conn = open(home.path(), "one", database);
    let conn = conn.as_mut();
    let a = worker(conn, home.path(), "a", "N");
    asked(conn, "v", "N", "mara", 0);
    let give_up = |conn: &mut dyn Connection, lease: &str, how, now| {
        let said = GiveUp { lease: lease.into(), how, why: "no memory".into() };
        jobs::give_up(conn, &a, "v", &said, now).unwrap().unwrap()
    };
    assert!(lease(conn, &a, "l0", 0).is_some());
    assert_eq!(give_up(conn, "l0", GivenUp::Returned, 1).tries, 0);
    let mut now = 1;
    for tries in 1..=TRIES {
        assert_eq!(lease(conn, &a, "l", now).as_deref(), Some("v"), "{tries}");
        let job = give_up(conn, "l", GivenUp::Again, now);
        assert_eq!((job.tries, job.why.as_str()), (tries, "no memory"));
        let state = if tries < TRIES { JobState::Queued } else { JobState::Failed };
        assert_eq!(job.state, state, "{tries}");
        assert_eq!(lease(conn, &a, "l", now + 30_000 * tries - 1), None, "not before its pause is over");
        now += 30_000 * tries;
    }
    assert_eq!(lease(conn, &a, "l", i64::MAX - LASTS - 1), None);
}

/// A database of the version before has no queue until it is opened.
fn from_before(database: Option<&str>) {
    let home = tempfile::tempdir().unwrap();
    let mut conn = open(home.path(), "one", database);
    older::back_to(conn.as_mut(), 2);
    migrate(conn.as_mut()).unwrap();
    assert_eq!(rows::list(conn.as_mut(), None).unwrap(), []);
    migrate(conn.as_mut()).unwrap();
    tokens_from_before(conn.as_mut(), home.path());
    meta::set(conn.as_mut(), "schema", &(SCHEMA_VERSION + 1).to_string()).unwrap();
    assert!(migrate(conn.as_mut()).is_err(), "a newer one is left alone");
}

/// Tokens that were bound to no key yet: each goes to its owner's newest key that counts, and works exactly if it did before.
fn tokens_from_before(conn: &mut dyn Connection, home: &Path) {
    for (id, keys) in [("old", 1), ("rotated", 2), ("gone", 2)] {
        let person = worker(conn, home, id, "T");
        let mut last = Laptop::new(&home.join(id)).unwrap().key_id;
        for n in 1..keys {
            let laptop = Laptop::new(&home.join(format!("{id}-{n}"))).unwrap();
            people::add_key(conn, id, &laptop.key_id, &laptop.pem().unwrap(), n).unwrap();
            if id == "gone" {
                people::revoke(conn, &last, "lost", 5).unwrap();
            }
            last = laptop.key_id;
        }
        people::new_token(conn, &person.id, &last, &format!("token-{id}"), 9).unwrap();
        if id == "rotated" {
            people::revoke(conn, &last, "lost", 5).unwrap();
        }
        if id == "gone" {
            people::revoke(conn, &last, "lost", 6).unwrap();
        }
    }
    older::back_to(conn, 3);
    migrate(conn).unwrap();
    for (id, valid) in [("old", true), ("rotated", true), ("gone", false)] {
        let (person, works) = people::by_token(conn, &format!("token-{id}")).unwrap().unwrap();
        assert_eq!((person.id.as_str(), works), (id, valid));
    }
    // Once more: what is bound stays so.
    conn.batch(people::BOUND).unwrap();
    let key = Laptop::new(&home.join("old")).unwrap().key_id;
    people::revoke(conn, &key, "lost", 7).unwrap();
    assert!(!people::by_token(conn, "token-old").unwrap().unwrap().1);
}

#[test]
fn on_sqlite() {
    as_time_goes_by(None, None);
    tried_in_vain(None);
    from_before(None);
}

#[test]
fn on_postgres() {
    let pg = Postgres::start();
    let [one, two, three, four] = ["one", "two", "three", "four"].map(|name| pg.database(name));
    as_time_goes_by(Some(&one), Some(&two));
    tried_in_vain(Some(&three));
    from_before(Some(&four));
}

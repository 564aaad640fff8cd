//! Submissions that are recorded together come out as they would one after the other, on both databases.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#[allow(dead_code)]
mod support;

use forge_core::board::RefusalCode;
use forge_core::keys::PublicKey;
use forge_scoreboard::bench::workshop::{Laptop, Made, Wish};
use forge_scoreboard::intake::record::{self, Candidate, Change, Decided};
use forge_scoreboard::intake::{claims, envelope};
use forge_scoreboard::store::{Connection, Target, migrate, people, standing, verdicts};
use std::path::Path;
use support::*;

fn candidate(laptop: &Laptop, made: &Made) -> Candidate {
    let opened = envelope::open(&made.envelope).unwrap();
    let statement = envelope::verify(&opened, &PublicKey::from_pem(&laptop.pem().unwrap()).unwrap()).unwrap();
    let checked = claims::check(&statement, &laptop.key_id, now(), &catalogue()).unwrap();
    Candidate::new(opened, statement, checked, None, now())
}

/// Verdicts of three learners that better each other, and everything that must not win.
fn submissions(laptops: &[Laptop], stranger: &Laptop, revoked: &Laptop) -> Vec<Candidate> {
    let seal = |l: &Laptop, run: &str, answer: &str, challenge: Option<&str>| {
        let wish = Wish { challenge: challenge.map(str::to_owned), ..Wish::new(run, now()) };
        candidate(l, &l.seal(&scenario(run), answer, &wish).unwrap())
    };
    let mut all = Vec::new();
    for (i, laptop) in laptops.iter().enumerate() {
        for (j, answer) in ["", SSH, BOTH, SSH].into_iter().enumerate() {
            all.push(seal(laptop, &format!("run-{i}-{j}"), answer, None));
        }
    }
    all.push(all[1].clone());
    all.push(seal(&laptops[0], "run-0-1", BOTH, None));
    all.push(seal(&laptops[1], "run-0-1", BOTH, None));
    all.push(seal(stranger, "run-s", SSH, None));
    all.push(seal(revoked, "run-r", SSH, None));
    all.push(seal(&laptops[0], "run-c", SSH, Some("nobody-issued-this")));
    all
}

fn told(decided: &Decided) -> Result<(String, Change), RefusalCode> {
    decided.as_ref().map(|r| (r.verdict.id.clone(), r.change)).map_err(|r| r.code)
}

fn fresh(
    home: &Path,
    name: &str,
    database: Option<&str>,
    enrolled: &[&Laptop],
    revoked: &Laptop,
) -> Box<dyn Connection> {
    let mut conn = Target::of(&home.join(name), database).unwrap().connect().unwrap();
    migrate(conn.as_mut()).unwrap();
    conn.begin(true).unwrap();
    for (i, laptop) in enrolled.iter().enumerate() {
        let id = format!("learner-{i}");
        let person = people::Person {
            id: id.clone(),
            class: "A".into(),
            name: id.clone(),
            role: forge_core::board::Role::Learner,
        };
        let invite =
            people::Invite { class: "A".into(), role: person.role, expires_at: now(), used_at: None, used_by: None };
        people::invite(conn.as_mut(), &id, &invite, now()).unwrap();
        people::add(conn.as_mut(), &person, now()).unwrap();
        people::add_key(conn.as_mut(), &id, &laptop.key_id, &laptop.pem().unwrap(), now()).unwrap();
    }
    people::revoke(conn.as_mut(), &revoked.key_id, "lost", now()).unwrap();
    conn.commit().unwrap();
    conn
}

fn holds_on(databases: [Option<&str>; 2]) {
    let home = tempfile::tempdir().unwrap();
    for name in ["together", "apart"] {
        std::fs::create_dir(home.path().join(name)).unwrap();
    }
    let laptop = |i: usize| Laptop::new(&home.path().join(format!("laptop-{i}"))).unwrap();
    let laptops: Vec<Laptop> = (0..3).map(laptop).collect();
    let (stranger, revoked) = (laptop(3), laptop(4));
    let enrolled: Vec<&Laptop> = laptops.iter().chain([&revoked]).collect();
    let all = submissions(&laptops, &stranger, &revoked);

    let mut together = fresh(home.path(), "together", databases[0], &enrolled, &revoked);
    together.begin(true).unwrap();
    let decided = record::record(together.as_mut(), &all).unwrap();
    together.commit().unwrap();
    let mut apart = fresh(home.path(), "apart", databases[1], &enrolled, &revoked);
    let alone = all.iter().map(|c| {
        apart.begin(true).unwrap();
        let mut one = record::record(apart.as_mut(), std::slice::from_ref(c)).unwrap();
        apart.commit().unwrap();
        one.pop().unwrap()
    });
    let alone: Vec<Decided> = alone.collect();

    assert_eq!(decided.iter().map(told).collect::<Vec<_>>(), alone.iter().map(told).collect::<Vec<_>>());
    let refused: Vec<RefusalCode> = decided.iter().filter_map(|d| d.as_ref().err().map(|r| r.code)).collect();
    use RefusalCode::{KeyRevoked, Rekeyed, RunExists, UnknownChallenge, UnknownKey};
    assert_eq!(refused, [RunExists, Rekeyed, UnknownKey, KeyRevoked, UnknownChallenge]);
    assert_eq!(told(&decided[12]).unwrap().1, Change::None, "the same verdict again");
    let stood = standing::all(together.as_mut()).unwrap();
    assert_eq!(stood.len(), 3, "{stood:?}");
    assert!(stood.iter().all(|s| s.3 > 0 && s.4 == 1), "{stood:?}");
    assert_eq!(stood, standing::all(apart.as_mut()).unwrap());
    assert_eq!(standing::tallies(together.as_mut()).unwrap(), standing::tallies(apart.as_mut()).unwrap());
    let rows = |conn: &mut dyn Connection| {
        let all = verdicts::after(conn, 0, 100).unwrap();
        all.into_iter().map(|v| (v.seq, v.id, v.learner, v.class, v.tier, v.facts)).collect::<Vec<_>>()
    };
    assert_eq!(rows(together.as_mut()), rows(apart.as_mut()));
    assert_eq!(rows(together.as_mut()).len(), 12);
}

#[test]
fn together_is_as_one_after_the_other() {
    holds_on([None, None]);
}

#[test]
fn together_is_as_one_after_the_other_in_postgresql() {
    let pg = Postgres::start();
    let (one, other) = (pg.database("one"), pg.database("other"));
    holds_on([Some(&one), Some(&other)]);
}

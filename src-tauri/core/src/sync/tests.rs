#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
use super::judge::{self, Doubt, Later, Outcome};
use super::parcel::{self, Parcel};
use crate::api::TrustTier;
use crate::board::{Accepted, Fact, Receipt, RefusalCode, Signed};
use crate::http::{Answer, Silence};
use crate::keys::{Domain, KeyName, Keys};
use crate::verdict::statement::Claims;
use std::collections::BTreeMap;

fn answer(status: u16, body: impl Into<Vec<u8>>, headers: &[(&str, &str)]) -> Answer {
    let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    Answer { status, body: body.into(), headers }
}

fn refusal(code: &str, status: u16) -> Answer {
    let body = serde_json::json!({"error": {"code": code, "message": "No.", "hints": ["Do this."], "details": null}});
    answer(status, body.to_string(), &[])
}

fn later(outcome: Outcome) -> Later {
    match outcome {
        Outcome::Later(later) => later,
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_code_is_final_or_not_as_the_board_says() {
    for code in RefusalCode::ALL.iter().copied() {
        let got = judge::outcome(Ok(refusal(code.as_str(), code.status())), 0);
        let waits = code.retry() || code == RefusalCode::FutureDated;
        assert_eq!(matches!(got, Outcome::Later(_)), waits, "{}", code.as_str());
        if !waits {
            let want = (code.as_str().to_owned(), "No.".to_owned(), "Do this.".to_owned());
            assert_eq!(got, Outcome::Refused { code: want.0, message: want.1, hint: want.2 });
        }
    }
}

#[test]
fn what_is_no_scoreboards_answer_decides_nothing() {
    let pages = [(404, "<html>"), (403, "{}"), (302, ""), (413, "too big"), (200, "<html>welcome</html>"), (201, "{}")];
    for (status, body) in pages {
        let got = later(judge::outcome(Ok(answer(status, body, &[])), 0));
        // What is too large for something on the way says nothing about the others.
        assert!(got.whole == (status != 413) && got.code == "unreadable", "{status}: {got:?}");
    }
    for silence in [Silence::TimedOut, Silence::Unreachable("x".into()), Silence::Broken("x".into())] {
        assert!(later(judge::outcome(Err(silence), 0)).whole);
    }
}

#[test]
fn one_bad_verdict_does_not_hold_up_the_others_and_a_full_server_does() {
    assert!(!later(judge::outcome(Ok(refusal("internal", 500)), 0)).whole);
    for (code, status) in [("busy", 503), ("disk_full", 507), ("store_unavailable", 503), ("slow_down", 429)] {
        assert!(later(judge::outcome(Ok(refusal(code, status)), 0)).whole, "{code}");
    }
    let asked = answer(429, "x", &[("retry-after", "120")]);
    assert_eq!(later(judge::outcome(Ok(asked), 0)).asked, Some(120));
}

#[test]
fn a_wrong_clock_is_waited_for_but_not_for_ever() {
    assert!(!later(judge::outcome(Ok(refusal("future_dated", 422)), 59)).whole);
    assert!(matches!(judge::outcome(Ok(refusal("future_dated", 422)), 60), Outcome::Refused { .. }));
}

fn parcel() -> Parcel {
    let claims = Claims {
        run: "r1".into(),
        lab: "l".into(),
        version: "1".into(),
        template_digest: String::new(),
        scenario_digest: String::new(),
        policy_digest: String::new(),
        images: BTreeMap::new(),
        seed_commitment: String::new(),
        key_id: "k".into(),
        tier: TrustTier::SelfAttested,
        started: 1,
        finished: 2,
        duration_ms: 1,
        challenge: None,
        audit: None,
        isolation: String::new(),
        score: 5,
        max: 10,
    };
    Parcel {
        id: "v".into(),
        key_id: "k".into(),
        envelope: b"E".to_vec(),
        score: b"S".to_vec(),
        evidence: b"\r\n--forge".to_vec(),
        payload: Vec::new(),
        claims,
    }
}

fn receipt() -> Receipt {
    Receipt {
        version: 1,
        verdict: "v".into(),
        seq: 1,
        key_id: "k".into(),
        learner: "m".into(),
        class: "c".into(),
        run: "r1".into(),
        lab: "l".into(),
        score: 5,
        max: 10,
        tier: TrustTier::SelfAttested,
        established: vec![Fact::Signature],
        session: None,
        received_at: 3,
    }
}

#[test]
fn a_receipt_is_for_this_verdict_and_by_the_pinned_key() {
    let (home, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let board = Keys::open_board(home.path(), &mut rand::rng()).unwrap();
    let imposter = Keys::open_board(other.path(), &mut rand::rng()).unwrap();
    let pinned = [board.public(KeyName::Board).unwrap()];
    let seal = |r: Receipt, keys: &Keys, domain| Signed::seal(r, keys, KeyName::Board, domain).unwrap();
    let good = seal(receipt(), &board, Domain::Acceptance);
    assert_eq!(judge::receipt(&good, &parcel(), &pinned), Ok(()));
    let foreign = seal(receipt(), &imposter, Domain::Acceptance);
    assert_eq!(judge::receipt(&foreign, &parcel(), &pinned), Err(Doubt::OtherKey));
    let posing = Signed { key_id: good.key_id.clone(), ..foreign };
    let lies: Vec<Signed<Receipt>> = vec![
        posing,
        seal(receipt(), &board, Domain::Challenge),
        seal(Receipt { verdict: "w".into(), ..receipt() }, &board, Domain::Acceptance),
        seal(Receipt { key_id: "q".into(), ..receipt() }, &board, Domain::Acceptance),
        seal(Receipt { run: "r2".into(), ..receipt() }, &board, Domain::Acceptance),
        seal(Receipt { score: 10, ..receipt() }, &board, Domain::Acceptance),
        seal(Receipt { version: 2, ..receipt() }, &board, Domain::Acceptance),
        Signed { body: Receipt { tier: TrustTier::ReExecuted, ..receipt() }, ..good.clone() },
    ];
    for lie in lies {
        assert!(matches!(judge::receipt(&lie, &parcel(), &pinned), Err(Doubt::Lie(_))), "{lie:?}");
    }
    // Of many that were signed together, the one for this verdict.
    let many = (0..5).map(|seq| if seq == 3 { receipt() } else { Receipt { seq, verdict: "w".into(), ..receipt() } });
    let many = Signed::seal_all(many.collect(), &board, KeyName::Board, Domain::Acceptance).unwrap();
    for (i, one) in many.iter().enumerate() {
        assert_eq!(judge::receipt(one, &parcel(), &pinned).is_ok(), i == 3);
    }
    let mixed = Signed { body: receipt(), ..many[2].clone() };
    assert!(matches!(judge::receipt(&mixed, &parcel(), &pinned), Err(Doubt::Lie(_))));
    let accepted = Accepted { duplicate: false, notes: Vec::new(), page: "/".into(), receipt: good };
    let body = serde_json::to_vec(&accepted).unwrap();
    assert_eq!(judge::outcome(Ok(answer(201, body, &[])), 0), Outcome::Accepted(Box::new(accepted)));
}

#[test]
fn a_form_carries_exactly_the_three_files() {
    let (kind, body) = parcel::form(&parcel());
    let boundary = kind.strip_prefix("multipart/form-data; boundary=").unwrap();
    let text = String::from_utf8(body).unwrap();
    let pieces: Vec<&str> = text.split(&format!("--{boundary}")).collect();
    let bodies: Vec<&str> = pieces.iter().filter_map(|p| p.split_once("\r\n\r\n").map(|(_, b)| b)).collect();
    assert_eq!(bodies, ["E\r\n", "S\r\n", "\r\n--forge\r\n"]);
    assert_eq!(pieces.last(), Some(&"--\r\n"));
    assert!(boundary.len() <= 70, "RFC 2046 5.1.1");
}

//! A class hour, from the desk and from a laptop.
use crate::learner::*;
use crate::support::*;
use forge_core::api::OutcomeKind;
use forge_core::board::{Fact, MessageRequest, Progress, ProgressState, Receipt, SeedPolicy, Signed};
use forge_core::keys::{KeyName, Keys};
use forge_core::store::sync::{self as rows, Board};
use forge_core::sync::session;
use forge_scoreboard::bench::workshop::Wish;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn a_session_from_both_sides() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("board"), None);
    let ((_teacher, desk), (mara, board)) = (person(&server, "instructor").await, person(&server, "learner").await);
    assert!(desk.instructor && !board.instructor);
    let wanted = monday(SeedPolicy::PerLearner);
    let refused = |e: forge_core::error::Error| e.details["code"].as_str().unwrap_or("none").to_owned();
    assert_eq!(refused(session::create(&board, &wanted).await.unwrap_err()), "forbidden");
    let made = session::create(&desk, &wanted).await.unwrap();
    assert_eq!(refused(session::challenge(&board, &made.id, LAB).await.unwrap_err()), "forbidden");
    let joined = session::join(&board, made.join_code.as_deref().unwrap()).await.unwrap();
    assert_eq!((joined.session.id.as_str(), joined.session.join_code), (made.id.as_str(), None));
    assert_eq!(refused(session::live(&board, &made.id).await.unwrap_err()), "forbidden");

    let challenge = session::challenge(&board, &made.id, LAB).await.unwrap().0.body;
    assert_eq!(session::challenge(&board, &made.id, LAB).await.unwrap().0.body, challenge, "until it is answered");
    // The laptop holds it against what it pinned, not against what the server says now.
    let stranger = Keys::open_board(tempfile::tempdir().unwrap().path(), &mut rand::rng()).unwrap();
    let misled = Board { keys: vec![stranger.public_pem(KeyName::Board).unwrap()], ..board.clone() };
    assert_eq!(refused(session::challenge(&misled, &made.id, LAB).await.unwrap_err()), "bad_challenge");

    // Where Mara is reaches the desk, and what is said there reaches her and nobody else.
    let at = Progress {
        lab: LAB.into(),
        run: "run-s".into(),
        state: ProgressState::Working,
        criteria: [("web".to_owned(), OutcomeKind::Fail)].into(),
        score: 0,
        max: 1000,
        hints: 0,
        elapsed_ms: 5,
    };
    session::progress(&board, &made.id, &at).await.unwrap();
    let seen = session::live(&desk, &made.id).await.unwrap();
    assert_eq!((seen.rows[0].progress.as_ref(), seen.red[0].learners), (Some(&at), 1), "{seen:?}");
    let say = |text: &str, learner: Option<String>| MessageRequest { text: text.into(), learner };
    session::say(&desk, &made.id, &say("To all", None)).await.unwrap();
    let second = session::say(&desk, &made.id, &say("To Mara", Some(board.learner.clone()))).await.unwrap();
    let heard = session::messages(&board, &made.id, 0).await.unwrap();
    assert_eq!(heard.iter().map(|m| m.text.as_str()).collect::<Vec<_>>(), ["To all", "To Mara"]);
    assert!(session::messages(&board, &made.id, second.seq).await.unwrap().is_empty());
    assert_eq!(refused(session::say(&board, &made.id, &say("x", None)).await.unwrap_err()), "forbidden");
    assert_eq!(
        refused(session::say(&desk, &made.id, &say("x", Some("nobody".into()))).await.unwrap_err()),
        "not_found"
    );
    // Frozen: nothing is told or issued; then it goes on.
    assert_eq!(refused(session::freeze(&board, &made.id, true).await.unwrap_err()), "forbidden");
    assert!(session::freeze(&desk, &made.id, true).await.unwrap().frozen);
    assert_eq!(refused(session::progress(&board, &made.id, &at).await.unwrap_err()), "session_frozen");
    assert_eq!(refused(session::challenge(&board, &made.id, LAB).await.unwrap_err()), "session_frozen");
    assert!(session::get(&board, &made.id).await.unwrap().frozen);
    assert!(!session::freeze(&desk, &made.id, false).await.unwrap().frozen);
    session::progress(&board, &made.id, &at).await.unwrap();
    assert_eq!(session::list(&desk).await.unwrap().iter().map(|s| &s.id).collect::<Vec<_>>(), [&made.id]);
    assert_eq!(refused(session::list(&board).await.unwrap_err()), "forbidden");

    let started = challenge.issued_at + 1;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let wish = Wish { started, finished: now(), challenge: Some(challenge.nonce), ..Wish::new("run-s", now()) };
    let made_verdict = mara.laptop.seal(&scenario(&challenge.seed), SSH, &wish).unwrap();
    let verdict = mara.submitted(made_verdict, "run-s").await;
    assert_eq!(mara.sync().await.accepted, std::slice::from_ref(&verdict.id));
    let kept = mara.store.read(rows::receipts).await.unwrap();
    let receipt: Signed<Receipt> = serde_json::from_str(&kept[0].receipt).unwrap();
    assert_eq!(receipt.body.session.as_deref(), Some(made.id.as_str()));
    assert!(receipt.body.established.contains(&Fact::IssuedSeed), "{:?}", receipt.body.established);
    let seen = session::live(&desk, &made.id).await.unwrap();
    assert_eq!(seen.rows[0].results[0].verdict, verdict.id, "{seen:?}");
    assert_eq!(refused(session::challenge(&board, &made.id, LAB).await.unwrap_err()), "no_attempts_left");
    assert!(session::get(&board, "../verdicts").await.is_err());
    let csv = String::from_utf8(session::csv(&desk, &made.id).await.unwrap()).unwrap();
    assert!(csv.lines().count() == 2 && csv.contains(&verdict.id) && csv.contains("submitted"), "{csv}");
    assert_eq!(refused(session::csv(&board, &made.id).await.unwrap_err()), "forbidden");
}

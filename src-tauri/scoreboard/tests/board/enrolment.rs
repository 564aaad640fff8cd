//! Keys that join a class, with a code and without one.
use crate::support::*;
use forge_core::board::Signed;
use forge_core::keys::{Domain, KeyName};
use forge_scoreboard::bench::workshop::Laptop;
use serde_json::{Value, json};

pub async fn enrolment(server: &Server) {
    let home = tempfile::tempdir().unwrap();
    let laptop = Laptop::new(home.path()).unwrap();
    let (_, answer) = server.enrol(&laptop, "AAAA-BBBB-CCCC-DDDD", "X").await;
    assert_eq!(code(&answer), "code_unknown");
    let invited = server.cli(&["invite", "--class", "Networks"]).1;
    let invite = invited["code"].as_str().unwrap();
    let (status, answer) = server.enrol(&laptop, &invite.to_lowercase(), "Typist").await;
    assert_eq!(status, 201, "{answer}");
    let answer_of = answer;
    let second = tempfile::tempdir().unwrap();
    let (_, answer) = server.enrol(&Laptop::new(second.path()).unwrap(), invite, "Thief").await;
    assert_eq!(code(&answer), "code_used");
    // The answer was lost on its way: the same key gets a token for the same code, and stays one person.
    let (status, later) = server.enrol(&laptop, invite, "Typist").await;
    assert_eq!(
        (status, &later["learner"], &later["class"]),
        (201, &answer_of["learner"], &answer_of["class"]),
        "{later}"
    );
    assert_ne!(later["token"], answer_of["token"], "the server keeps no token that it could tell again");
    for token in [&later["token"], &answer_of["token"]] {
        let (_, said) =
            server.call("POST", "/v1/sessions/join", token.as_str().unwrap(), json!({"code": "NONE-SUCH"})).await;
        assert_eq!(code(&said), "code_unknown", "the token works: {said}");
    }
    // Somebody else's key cannot be enrolled: its owner did not sign.
    let invited = server.cli(&["invite", "--class", "Networks"]).1;
    let c = server.get("/v1/enrol").await.1;
    let third = Laptop::new(tempfile::tempdir().unwrap().path()).unwrap();
    let body =
        json!({"challenge": c["challenge"], "code": invited["code"], "name": "N", "public_key": laptop.pem().unwrap()});
    let forged = Signed::seal(body, &third.keys, KeyName::Learner, Domain::Enrolment).unwrap();
    let (_, answer) = server.call("POST", "/v1/enrol", "", json!(forged)).await;
    assert_eq!(code(&answer), "bad_signature");
    // With a good code of its class an enrolled key gets another token, as who it is, and the code stays good for the next.
    let good = invited["code"].as_str().unwrap();
    for _ in 0..2 {
        let (status, again) = server.enrol(&laptop, good, "Again").await;
        assert_eq!(
            (status, &again["learner"], &again["name"]),
            (201, &answer_of["learner"], &answer_of["name"]),
            "{again}"
        );
    }
    for (class, role) in [("Elsewhere", "learner"), ("Networks", "instructor")] {
        let other = server.cli(&["invite", "--class", class, "--role", role]).1;
        let (_, answer) = server.enrol(&laptop, other["code"].as_str().unwrap(), "Again").await;
        assert_eq!(code(&answer), "key_enrolled", "{class}, {role}");
    }
    let fresh = tempfile::tempdir().unwrap();
    assert_eq!(server.enrol(&Laptop::new(fresh.path()).unwrap(), good, "Next").await.0, 201);
    assert_eq!(code(&server.call("GET", "/v1/learners", "wrong", Value::Null).await.1), "unauthorized");
}

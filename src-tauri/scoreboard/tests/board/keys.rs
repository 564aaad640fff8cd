//! Keys that are replaced and revoked, and what becomes of their tokens.
use crate::support::*;
use forge_core::board::BoardKey;
use forge_core::keys::KeyName;
use forge_scoreboard::bench::workshop::{Laptop, Wish};
use serde_json::{Value, json};

pub async fn keys(server: &Server, joe: &Person, teacher: &Person, boss: &Person) {
    let old: BoardKey = serde_json::from_value(server.get("/v1/keys/current").await.1).unwrap();
    assert_eq!(code(&server.call("POST", "/v1/keys/rotate", &teacher.token, Value::Null).await.1), "forbidden");
    assert_eq!(server.call("POST", "/v1/keys/rotate", &server.admin, Value::Null).await.0, 200);
    let all = server.get("/v1/keys").await.1;
    assert_eq!(all["rotations"][0]["old"], old.id.as_str());
    let rotation: forge_core::keys::Rotation = serde_json::from_value(all["rotations"][0].clone()).unwrap();
    assert_eq!(rotation.checked().unwrap().0.id(), old.id, "the old key signs the new one");
    assert_eq!(server.get(&format!("/v1/keys/{}", old.id)).await.1["current"], false);
    // Joe has a second laptop with the same key and a token of its own; the first changes its key, then that one is revoked.
    let invited = server.call("POST", "/v1/invites", &teacher.token, json!({})).await.1;
    let home = tempfile::tempdir().unwrap();
    let twin = Laptop::new(home.path()).unwrap();
    let invite = invited["code"].as_str().unwrap();
    let first = server.enrol(&twin, invite, "Jo").await.1["token"].as_str().unwrap().to_owned();
    let second = server.enrol(&twin, invite, "Jo").await.1["token"].as_str().unwrap().to_owned();
    let stays = twin.key_id.clone();
    let new = twin.keys.rotate(KeyName::Learner, now(), &mut rand::rng()).unwrap();
    assert_eq!(server.call("POST", "/v1/keys/rotations", &first, json!(new)).await.0, 204);
    assert_eq!(
        server.call("POST", "/v1/keys/rotations", &joe.token, json!(new)).await.0,
        204,
        "told again, by another"
    );
    challenges_follow(server, teacher).await;
    let may =
        |token: String| async move { server.call("POST", "/v1/sessions/join", &token, json!({"code": "x"})).await.1 };
    let revoke = |key: &str| format!("/v1/keys/{key}/revoke");
    let lost = json!({"reason": "lost laptop"});
    assert_eq!(server.call("POST", &revoke(&stays), &teacher.token, lost.clone()).await.0, 204);
    assert_eq!(code(&may(second).await), "key_revoked", "its laptop has the old key");
    assert_ne!(code(&may(first.clone()).await), "key_revoked", "it went on with the new key");
    assert_eq!(server.call("POST", &revoke(&new.new), &teacher.token, lost).await.0, 204);
    assert_eq!(code(&may(first).await), "key_revoked");
    assert_ne!(code(&may(joe.token.clone()).await), "key_revoked", "nobody else's token moved");
    let rotation = joe.laptop.keys.rotate(KeyName::Learner, now(), &mut rand::rng()).unwrap();
    assert_eq!(server.call("POST", "/v1/keys/rotations", "", json!(rotation)).await.0, 204);
    let fresh = Laptop { keys: joe.laptop.keys.clone(), key_id: rotation.new.clone() };
    let made = fresh.seal(&scenario("joe-2"), SSH, &Wish::new("joe-2", now())).unwrap();
    let answer = accepted(server.submit(&made.envelope).await.1);
    assert_eq!(answer.receipt.body.learner, joe.enrolled.learner);
    let path = format!("/v1/keys/{}/revoke", rotation.new);
    assert_eq!(code(&server.call("POST", &path, &boss.token, json!({"reason": "mine"})).await.1), "other_tenant");
    assert_eq!(server.call("POST", &path, &teacher.token, json!({"reason": "lost laptop"})).await.0, 204);
    let next = fresh.seal(&scenario("joe-3"), SSH, &Wish::new("joe-3", now())).unwrap();
    assert_eq!(code(&server.submit(&next.envelope).await.1), "key_revoked");
    assert!(accepted(server.submit(&made.envelope).await.1).duplicate, "what was accepted stays");
}

/// A challenge names the key of the laptop that asks: of two with one person, and after it was replaced.
async fn challenges_follow(server: &Server, teacher: &Person) {
    let session =
        json!({"title": "Keys", "labs": [LAB], "seeds": "per_learner", "deadline": now() + 3_600_000, "hints": true});
    let session = server.call("POST", "/v1/sessions", &teacher.token, session).await.1;
    let kim = server.newcomer("Networks", "learner", "Kim").await;
    let join = json!({"code": session["join_code"]});
    assert_eq!(server.call("POST", "/v1/sessions/join", &kim.token, join).await.0, 200);
    let path = format!("/v1/sessions/{}/challenges", session["id"].as_str().unwrap());
    let ask = |token: String| {
        let path = path.clone();
        async move { server.call("POST", &path, &token, json!({"lab": LAB})).await.1["body"].clone() }
    };
    let first = ask(kim.token.clone()).await;
    assert_eq!(first["key_id"], kim.laptop.key_id.as_str());
    // Her other laptop has the same key and a token of its own, which does not follow.
    let invited = server.call("POST", "/v1/invites", &teacher.token, json!({})).await.1;
    let other = server.enrol(&kim.laptop, invited["code"].as_str().unwrap(), "Kim").await.1;
    let new = kim.laptop.keys.rotate(KeyName::Learner, now(), &mut rand::rng()).unwrap();
    assert_eq!(server.call("POST", "/v1/keys/rotations", &kim.token, json!(new)).await.0, 204);
    let after = ask(kim.token.clone()).await;
    assert_eq!((&after["key_id"], &after["nonce"], &after["seed"]), (&json!(new.new), &first["nonce"], &first["seed"]));
    let there = ask(other["token"].as_str().unwrap().to_owned()).await;
    assert_eq!((&there["key_id"], &there["nonce"]), (&json!(kim.laptop.key_id), &first["nonce"]), "{other}");
}

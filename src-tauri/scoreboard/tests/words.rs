//! A program that calls the API wrongly is told which member is wrong, in the API's words: a code, a hint, no type of ours.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#[allow(dead_code)]
mod support;

use serde_json::{Value, json};
use support::*;

/// What only a decoder says, or this program's language.
const FOREIGN: [&str; 16] = [
    "struct ",
    "enum ",
    "variant",
    "u32",
    "u64",
    "i64",
    "usize",
    "invalid type",
    "expected",
    "column",
    "erde",
    "`",
    "::",
    "Deserializ",
    "digit found",
    "sequence",
];

fn in_our_words(what: &str, status: u16, answer: &Value) {
    assert!((400..500).contains(&status), "{what}: {status} {answer}");
    let e = &answer["error"];
    assert!(e["code"].is_string() && e["message"].as_str().is_some_and(|m| !m.is_empty()), "{what}: {answer}");
    let said = format!("{} {} {}", e["message"], e["hints"], e["details"]);
    for word in FOREIGN {
        assert!(!said.contains(word), "{what} says “{word}”: {answer}");
    }
    assert!(!said.contains("hunter2"), "{what} repeats what it was sent: {answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_sent_wherever_it_is_sent() {
    let home = tempfile::tempdir().unwrap();
    let server = Server::start(&home.path().join("board"), None);
    let learner = server.newcomer("N", "learner", "Mara").await;
    let teacher = server.newcomer("N", "instructor", "Ms Tee").await;
    let worker = server.newcomer("N", "worker", "Bench").await;
    let tokens = ["", &server.admin, &learner.token, &teacher.token, &worker.token];
    let document = server.get("/v1/openapi.json").await.1;
    let bodies: [&[u8]; 9] = [
        b"",
        b"{",
        b"nonsense",
        b"[]",
        b"7",
        b"\"hunter2\"",
        b"{\"title\": \"hunter2\"",
        b"{\"title\": \"hunter2\", \"labs\": 7}",
        b"{} {}",
    ];
    let client = reqwest::Client::new();
    let mut asked = 0;
    for (path, verbs) in document["paths"].as_object().unwrap() {
        for (verb, operation) in verbs.as_object().unwrap() {
            if operation["requestBody"].is_null() || path.starts_with("/v1/envelopes") {
                continue;
            }
            let address = format!("{}{}", server.url, path.replace("{id}", &"0".repeat(64)));
            for token in tokens {
                for body in bodies {
                    let method = verb.to_uppercase().parse().unwrap();
                    let request =
                        client.request(method, &address).bearer_auth(token).header("content-type", "application/json");
                    let request = if token.is_empty() {
                        client.request(verb.to_uppercase().parse().unwrap(), &address)
                    } else {
                        request
                    };
                    let answer = request.body(body.to_vec()).send().await.unwrap();
                    let status = answer.status().as_u16();
                    let what = format!("{verb} {path} {:?}", String::from_utf8_lossy(body));
                    in_our_words(&what, status, &answer.json().await.unwrap_or_else(|e| panic!("{what}: {e}")));
                    asked += 1;
                }
            }
        }
    }
    assert!(asked > 500, "{asked}");
    for path in [
        "/v1/verdicts?limit=hunter2",
        "/v1/verdicts?limit=99999999999999999999",
        "/v1/verdicts?newest=hunter2",
        "/v1/verdicts?after=1&after=2",
        "/v1/verdicts?wat=hunter2",
        "/v1/leaderboard/x?offset=hunter2",
        "/v1/leaderboard/x?tier=hunter2",
        "/v1/live?hunter=1",
        "/v1/leaderboard/%ff",
    ] {
        let (status, answer) = server.get(path).await;
        in_our_words(path, status, &answer);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_member_is_named() {
    let home = tempfile::tempdir().unwrap();
    let server = Server::start(&home.path().join("board"), None);
    let teacher = server.newcomer("N", "instructor", "Ms Tee").await;
    let good = json!({"title": "One", "labs": [LAB], "seeds": "shared", "deadline": now() + 3_600_000, "hints": true});
    let cases = [
        ("deadline", json!("hunter2"), "“deadline” must be a whole number, not text."),
        ("labs", json!([7]), "“labs[0]” must be text, not a number."),
        ("seeds", json!("hunter2"), "“seeds” must be one of: shared, per_learner."),
        ("hints", json!("yes"), "“hints” must be true or false, not text."),
        ("attempts", json!(-1), "“attempts” must be a whole number from 0 to 4294967295."),
        ("colour", json!(1), "“colour” is not known here; known are: "),
    ];
    for (member, value, words) in cases {
        let mut wanted = good.clone();
        wanted[member] = value;
        let (status, answer) = server.call("POST", "/v1/sessions", &teacher.token, wanted).await;
        let e = &answer["error"];
        assert_eq!((status, &e["code"]), (400, &json!("malformed")), "{answer}");
        assert!(e["message"].as_str().unwrap().contains(words), "{answer}");
        assert!(e["details"]["member"].as_str().unwrap().starts_with(member), "{answer}");
        assert!(e["hints"][0].as_str().unwrap().contains("/v1/openapi.json"), "{answer}");
    }
    let mut without = good.clone();
    without.as_object_mut().unwrap().remove("title");
    let answer = server.call("POST", "/v1/sessions", &teacher.token, without).await.1;
    assert!(answer["error"]["message"].as_str().unwrap().contains("“title” is missing."), "{answer}");
    let mut twice = good;
    twice["labs"] = json!([LAB, LAB]);
    let answer = server.call("POST", "/v1/sessions", &teacher.token, twice).await.1;
    assert!(answer["error"]["message"].as_str().unwrap().contains("each lab once"), "{answer}");
    let answer = server.get("/v1/verdicts?limit=x").await.1;
    assert!(answer["error"]["message"].as_str().unwrap().contains("“limit” must be a whole number"), "{answer}");
    assert_eq!(answer["error"]["details"]["member"], "limit");
}

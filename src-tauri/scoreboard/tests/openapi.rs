//! openapi.json against the server that gives it: what is described is there, what is there is described, and what comes back
//! is what was described.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#[allow(dead_code)]
mod support;

use forge_core::board::{Reexecution, Signed};
use forge_core::keys::{Domain, KeyName};
use forge_scoreboard::http;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use support::*;

/// JSON Schema has no `nullable`, which OpenAPI 3.0 has.
fn as_json_schema(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.values_mut().for_each(as_json_schema);
            if members.remove("nullable") == Some(json!(true)) {
                let rest = Value::Object(std::mem::take(members));
                members.insert("anyOf".into(), json!([rest, {"type": "null"}]));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(as_json_schema),
        _ => {}
    }
}

struct Document(Value);

impl Document {
    async fn of(server: &Server) -> Self {
        let (status, mut document) = server.get("/v1/openapi.json").await;
        assert_eq!(status, 200);
        as_json_schema(&mut document);
        Self(document)
    }

    /// (verb, path, operation)
    fn operations(&self) -> Vec<(&str, &str, &Value)> {
        let paths = self.0["paths"].as_object().unwrap();
        let mut out = Vec::new();
        for (path, verbs) in paths {
            for (verb, operation) in verbs.as_object().unwrap() {
                out.push((verb.as_str(), path.as_str(), operation));
            }
        }
        out
    }

    fn operation(&self, verb: &str, path: &str) -> &Value {
        let found = &self.0["paths"][path][verb];
        assert!(found.is_object(), "{verb} {path} is not described");
        found
    }

    /// Whether `instance` is what `schema`, a part of this document, says.
    fn holds(&self, schema: &Value, instance: &Value, what: &str) {
        let mut whole = schema.clone();
        whole.as_object_mut().unwrap().insert("components".into(), self.0["components"].clone());
        let validator = jsonschema::validator_for(&whole).unwrap_or_else(|e| panic!("{what}: the schema is none: {e}"));
        let wrong: Vec<String> =
            validator.iter_errors(instance).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert!(wrong.is_empty(), "{what}: {wrong:?} in {instance}");
    }

    fn answer_holds(&self, verb: &str, path: &str, answer: &Value) {
        let schema = &self.operation(verb, path)["responses"]["2XX"]["content"]["application/json"]["schema"];
        assert!(schema.is_object(), "{verb} {path}: no schema of its answer");
        self.holds(schema, answer, &format!("{verb} {path}"));
    }

    fn request_holds(&self, verb: &str, path: &str, request: &Value) {
        let schema = &self.operation(verb, path)["requestBody"]["content"]["application/json"]["schema"];
        self.holds(schema, request, &format!("{verb} {path} request"));
    }

    fn refusal_holds(&self, answer: &Value, what: &str) {
        let schema = &self.0["components"]["responses"]["Refusal"]["content"]["application/json"]["schema"];
        self.holds(schema, answer, what);
    }
}

fn server() -> (tempfile::TempDir, Server) {
    let home = tempfile::tempdir().unwrap();
    let server = Server::start(&home.path().join("board"), None);
    (home, server)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_routed_is_described_and_what_is_described_answers() {
    let (_home, server) = server();
    let document = Document::of(&server).await;
    let described: BTreeSet<(String, String)> =
        document.operations().iter().map(|(v, p, _)| ((*v).to_owned(), (*p).to_owned())).collect();
    let (_, _, routed) = http::table().finish();
    let routed: BTreeSet<(String, String)> = routed.iter().map(|(v, p)| ((*v).to_owned(), (*p).to_owned())).collect();
    assert_eq!(described, routed);
    assert!(described.len() > 40, "{}", described.len());
    let client = reqwest::Client::new();
    let mut queries = 0;
    for (_, path, operation) in document.operations() {
        let empty = Vec::new();
        let read = operation["parameters"].as_array().unwrap_or(&empty).iter().filter(|p| p["in"] == "query");
        let read: Vec<&str> = read.map(|p| p["name"].as_str().unwrap()).collect();
        let address = format!("{}{}", server.url, path.replace("{track}", "netplus").replace("{id}", "none"));
        let ask = |name: &str, value: &str| {
            let request = client.get(format!("{address}?{name}={value}")).bearer_auth(&server.admin);
            async move { request.send().await.unwrap() }
        };
        for name in &read {
            let value = match (path, *name) {
                (_, "tier") => "re-graded",
                (_, "newest") => "true",
                ("/v1/verdicts", "class") => "1&newest=true",
                _ => "1",
            };
            assert_ne!(ask(name, value).await.status(), 400, "{path} does not read {name}");
        }
        if !read.is_empty() {
            let refused = ask("nothing-of-the-kind", "1").await;
            assert_eq!(refused.status(), 400, "{path} reads more than is described");
            document.refusal_holds(&refused.json().await.unwrap(), path);
            queries += 1;
        }
    }
    assert_eq!(queries, 4, "verdicts, leaderboard, live, messages");
    for (verb, path) in &described {
        let address =
            path.replace("{track}", "netplus").replace("{name}", "board.css").replace("{file}", "verdict.pae");
        let address = address.replace("{run}", "none").replace("{id}", &"0".repeat(64));
        let request = client.request(verb.to_uppercase().parse().unwrap(), format!("{}{address}", server.url));
        let answer = request.bearer_auth(&server.admin).body("{").send().await.unwrap();
        let (status, kind) = (answer.status().as_u16(), answer.headers().get("content-type").cloned());
        assert_ne!(status, 405, "{verb} {path}");
        assert!(status < 500, "{verb} {path}: {status}");
        // A stream that listens would not end.
        if status >= 400 && verb != "head" {
            let text = answer.text().await.unwrap();
            assert!(!text.contains("There is nothing at this address."), "{verb} {path} is described and not routed");
            let said = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{verb} {path}: {e}: {text}"));
            document.refusal_holds(&said, &format!("{verb} {path}"));
        } else if status < 300 && status != 204 {
            let kind = kind.unwrap_or_else(|| panic!("{verb} {path}: no content-type")).to_str().unwrap().to_owned();
            let media = kind.split(';').next().unwrap().to_owned();
            let content = &document.operation(verb, path)["responses"]["2XX"]["content"];
            let known = content.get(&media).or_else(|| content.get("*/*")).is_some();
            assert!(known, "{verb} {path} answers {media}, which is not described: {content}");
        }
    }
    // Nothing but what is in the table: the fallback tells itself apart.
    let (status, said) = server.get("/v1/not-described").await;
    assert_eq!((status, said["error"]["message"].as_str()), (404, Some("There is nothing at this address.")));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_body_has_a_schema_and_every_reference_leads_somewhere() {
    let (_home, server) = server();
    let document = Document::of(&server).await;
    // Take nothing: the old key and the token say it all.
    let bare = ["/v1/keys/rotate", "/v1/verdicts/{id}/job"];
    for (verb, path, operation) in document.operations() {
        let content = &operation["requestBody"]["content"];
        let takes = matches!(verb, "post" | "put" | "patch") && !bare.contains(&path);
        assert_eq!(content.is_object(), takes, "{verb} {path}: a request body");
        let bodies = content.as_object().into_iter().chain(operation["responses"]["2XX"]["content"].as_object());
        for (media, body) in bodies.flatten() {
            assert!(body["schema"].as_object().is_some_and(|s| !s.is_empty()), "{verb} {path}: {media} has no schema");
        }
        if verb == "get" {
            assert!(operation["responses"]["2XX"]["content"].is_object(), "{verb} {path}: an answer");
        }
        let named = path.matches('{').count();
        let told = operation["parameters"].as_array().map_or(0, |all| all.iter().filter(|p| p["in"] == "path").count());
        assert_eq!(told, named, "{verb} {path}: parameters");
    }
    fn references(value: &Value, out: &mut BTreeSet<String>) {
        match value {
            Value::Object(m) => {
                out.extend(m.get("$ref").and_then(Value::as_str).map(str::to_owned));
                m.values().for_each(|v| references(v, out));
            }
            Value::Array(a) => a.iter().for_each(|v| references(v, out)),
            _ => {}
        }
    }
    let mut found = BTreeSet::new();
    references(&document.0, &mut found);
    assert!(found.len() > 20, "{found:?}");
    for reference in found {
        assert!(document.0.pointer(&reference[1..]).is_some(), "{reference} leads nowhere");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn real_questions_and_answers_are_as_described() {
    let (_home, server) = server();
    let document = Document::of(&server).await;
    let ask = async |verb: &'static str, path: &'static str, address: String, token: &str, body: Value| {
        if !body.is_null() {
            document.request_holds(verb, path, &body);
        }
        let (status, answer) = server.call(&verb.to_uppercase(), &address, token, body).await;
        assert!(status < 300, "{verb} {address}: {status} {answer}");
        if status != 204 {
            document.answer_holds(verb, path, &answer);
        }
        answer
    };
    let none = || Value::Null;
    let admin = server.admin.clone();
    let mara = server.newcomer("N", "learner", "Mara").await;
    let ada = server.newcomer("N", "instructor", "Ada").await;
    document.answer_holds("post", "/v1/enrol", &json!(mara.enrolled));
    ask("get", "/v1/enrol", "/v1/enrol".into(), "", none()).await;
    ask("post", "/v1/invites", "/v1/invites".into(), &ada.token, json!({"days": 3})).await;
    ask("get", "/v1/learners", "/v1/learners".into(), &ada.token, none()).await;

    let made = mara.made("described", SSH);
    document.request_holds("post", "/v1/verdicts", &serde_json::from_slice(&made.envelope).unwrap());
    let (status, answer) = server.submit_bundle(&made).await;
    assert_eq!(status, 201);
    document.answer_holds("post", "/v1/verdicts", &answer);
    let lines = [mara.made("one-of-two", SSH).envelope, b"nonsense".to_vec()].join(&b'\n');
    let answer = reqwest::Client::new().post(format!("{}/v1/envelopes", server.url)).body(lines).send().await.unwrap();
    let schema =
        &document.operation("post", "/v1/envelopes")["responses"]["2XX"]["content"]["application/x-ndjson"]["schema"];
    let text = answer.text().await.unwrap();
    for (line, what) in text.lines().zip(["accepted", "error"]) {
        let line: Value = serde_json::from_str(line).unwrap();
        assert!(line[what].is_object(), "{line}");
        document.holds(schema, &line, "a line of the answer to many");
    }
    ask("get", "/v1/verdicts", "/v1/verdicts".into(), "", none()).await;
    ask("get", "/v1/verdicts/{id}", format!("/v1/verdicts/{}", made.id), "", none()).await;
    ask("get", "/v1/verdicts/{id}/score.json", format!("/v1/verdicts/{}/score.json", made.id), "", none()).await;
    ask("get", "/v1/scores/{run}", "/v1/scores/described".into(), "", none()).await;
    ask("get", "/v1/leaderboard/{track}", "/v1/leaderboard/netplus".into(), "", none()).await;
    ask("get", "/v1/tracks", "/v1/tracks".into(), "", none()).await;
    ask("get", "/v1/stats", "/v1/stats".into(), "", none()).await;
    let asked = format!("/v1/verdicts/{}/job", made.id);
    ask("put", "/v1/verdicts/{id}/job", asked.clone(), &ada.token, none()).await;
    ask("get", "/v1/verdicts/{id}/job", asked.clone(), &ada.token, none()).await;
    let bench = server.newcomer("N", "worker", "Bench").await;
    let lease = ask("post", "/v1/jobs/lease", "/v1/jobs/lease".into(), &bench.token, json!({"seconds": 60})).await;
    let renewal = json!({"lease": lease["lease"], "seconds": 90});
    ask("post", "/v1/verdicts/{id}/job/renew", format!("{asked}/renew"), &bench.token, renewal).await;
    let given_up = json!({"lease": lease["lease"], "how": "again", "why": "The machine has no memory left."});
    ask("post", "/v1/verdicts/{id}/job/give-up", format!("{asked}/give-up"), &bench.token, given_up).await;
    let jobs = ask("get", "/v1/jobs", "/v1/jobs".into(), &ada.token, none()).await;
    assert_eq!(jobs.as_array().map(Vec::len), Some(1), "{jobs}");
    let said = Signed::seal(again(&made.id), &ada.laptop.keys, KeyName::Learner, Domain::ReExecution).unwrap();
    let (path, address) = ("/v1/verdicts/{id}/reexecutions", format!("/v1/verdicts/{}/reexecutions", made.id));
    ask("post", path, address.clone(), "", json!(said)).await;
    ask("get", path, address, "", none()).await;

    ask("get", "/v1/keys", "/v1/keys".into(), "", none()).await;
    ask("post", "/v1/keys/rotate", "/v1/keys/rotate".into(), &admin, none()).await;
    let keys = ask("get", "/v1/keys", "/v1/keys".into(), "", none()).await;
    assert_eq!(keys["rotations"].as_array().map(Vec::len), Some(1), "a rotation is among what was looked at");
    ask("get", "/v1/keys/current", "/v1/keys/current".into(), "", none()).await;

    let wanted =
        json!({"title": "Monday", "labs": [LAB], "seeds": "shared", "deadline": now() + 3_600_000, "hints": false});
    let session = ask("post", "/v1/sessions", "/v1/sessions".into(), &ada.token, wanted).await;
    let id = session["id"].as_str().unwrap();
    let of = |rest: &str| format!("/v1/sessions/{id}{rest}");
    ask("get", "/v1/sessions", "/v1/sessions".into(), &ada.token, none()).await;
    let code = json!({"code": session["join_code"]});
    ask("post", "/v1/sessions/join", "/v1/sessions/join".into(), &mara.token, code).await;
    ask("get", "/v1/sessions/{id}", of(""), &mara.token, none()).await;
    ask("post", "/v1/sessions/{id}/challenges", of("/challenges"), &mara.token, json!({"lab": LAB})).await;
    let progress = json!({"lab": LAB, "run": "r", "state": "working", "criteria": {"ssh": "fail", "http": "error"}, "score": 0, "max": 3000, "hints": 0, "elapsed_ms": 5});
    ask("post", "/v1/sessions/{id}/progress", of("/progress"), &mara.token, progress).await;
    ask("post", "/v1/sessions/{id}/messages", of("/messages"), &ada.token, json!({"text": "Look at ss -tln."})).await;
    let heard = ask("get", "/v1/sessions/{id}/messages", of("/messages"), &mara.token, none()).await;
    assert_eq!(heard.as_array().map(Vec::len), Some(1));
    let seen = ask("get", "/v1/sessions/{id}/board", of("/board"), &ada.token, none()).await;
    assert!(!seen["rows"].as_array().unwrap().is_empty() && !seen["red"].as_array().unwrap().is_empty(), "{seen}");
    ask("post", "/v1/sessions/{id}/freeze", of("/freeze"), &ada.token, json!({"frozen": true})).await;
    ask("get", "/healthz", "/healthz".into(), "", none()).await;
    ask("get", "/readyz", "/readyz".into(), "", none()).await;
    let (address, reason) = (format!("/v1/keys/{}/revoke", mara.laptop.key_id), json!({"reason": "lost"}));
    ask("post", "/v1/keys/{id}/revoke", address, &ada.token, reason).await;
    // A schema that lets everything pass would have let all of this pass.
    let (path, verb) = ("/v1/stats", "get");
    let schema = &document.operation(verb, path)["responses"]["2XX"]["content"]["application/json"]["schema"];
    let mut whole = schema.clone();
    whole.as_object_mut().unwrap().insert("components".into(), document.0["components"].clone());
    assert!(!jsonschema::is_valid(&whole, &json!({"verdicts": "many"})));
}

fn again(verdict: &str) -> Reexecution {
    use forge_core::api::OutcomeKind::{Fail, Pass};
    use forge_core::board::Twice;
    let lab = catalogue().get(LAB).unwrap();
    let twice = |id: &str, kind| Twice { id: id.into(), submitted: kind, reexecuted: kind };
    Reexecution {
        version: 1,
        verdict: verdict.into(),
        lab: LAB.into(),
        template_digest: lab.digest.clone(),
        seed: "another".into(),
        score: 2000,
        max: 3000,
        criteria: vec![twice("http", Fail), twice("ssh", Pass)],
        at: now(),
    }
}

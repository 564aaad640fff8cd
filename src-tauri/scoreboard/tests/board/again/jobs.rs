//! Asking for a verdict to be executed again, and the workers that do it: who may, what each state looks like from outside.

use super::say;
use crate::support::*;
use forge_core::api::OutcomeKind;
use forge_scoreboard::bench::workshop::{Made, Wish};
use serde_json::{Value, json};

struct Queue<'a>(&'a Server);

impl Queue<'_> {
    async fn ask(&self, by: &str, verdict: &str) -> (u16, Value) {
        self.0.call("PUT", &format!("/v1/verdicts/{verdict}/job"), by, Value::Null).await
    }
    async fn see(&self, by: &str, verdict: &str) -> (u16, Value) {
        self.0.call("GET", &format!("/v1/verdicts/{verdict}/job"), by, Value::Null).await
    }
    async fn lease(&self, by: &str) -> (u16, Value) {
        self.0.call("POST", "/v1/jobs/lease", by, json!({"seconds": 60})).await
    }
    async fn tell(&self, by: &str, verdict: &str, what: &str, body: Value) -> (u16, Value) {
        self.0.call("POST", &format!("/v1/verdicts/{verdict}/job/{what}"), by, body).await
    }
    async fn give_up(&self, by: &str, lease: &Value, how: &str) -> Value {
        let body = json!({"lease": lease["lease"], "how": how, "why": format!("it was {how}")});
        let (status, job) = self.tell(by, lease["verdict"].as_str().unwrap(), "give-up", body).await;
        assert_eq!(status, 200, "{job}");
        job
    }
    async fn evidence(&self, by: &str, verdict: &str) -> (u16, Value) {
        self.0.call("GET", &format!("/v1/verdicts/{verdict}/evidence.tar.zst"), by, Value::Null).await
    }
}

fn standing(job: &Value) -> (&str, i64) {
    (job["state"].as_str().unwrap_or("none"), job["tries"].as_i64().unwrap_or(-1))
}

async fn bundled(server: &Server, by: &Person, run: &str) -> Made {
    let made = by.made(run, SSH);
    let (status, answer) = server.submit_bundle(&made).await;
    assert_eq!(status, 201, "{answer}");
    made
}

pub async fn on_demand(server: &Server, [mara, joe, teacher, boss]: [&Person; 4]) {
    let queue = Queue(server);
    let bench = server.newcomer("Networks", "worker", "Bench 1").await;
    let spare = server.newcomer("Networks", "worker", "Bench 2").await;
    let foreign = server.newcomer("Other class", "worker", "Bench 3").await;
    let made = bundled(server, mara, "mara-job").await;
    who_may_ask(&queue, [mara, joe, teacher, boss], &bench, &made).await;
    what_a_worker_may(&queue, [&bench, &foreign], mara, &made).await;

    // Leased, given back, tried in vain, answered by its instructor's own hand.
    let (status, lease) = queue.lease(&bench.token).await;
    assert_eq!((status, lease["verdict"].as_str()), (200, Some(made.id.as_str())), "{lease}");
    assert_eq!(queue.lease(&spare.token).await.0, 204, "one job, one worker");
    assert_eq!(standing(&queue.see(&teacher.token, &made.id).await.1), ("running", 1));
    assert_eq!(queue.evidence(&bench.token, &made.id).await.0, 200);
    assert_eq!(code(&queue.evidence(&spare.token, &made.id).await.1), "lease_lost");
    let renewal = |lease: &Value| json!({"lease": lease["lease"], "seconds": 60});
    assert_eq!(queue.tell(&bench.token, &made.id, "renew", renewal(&lease)).await.0, 200);
    assert_eq!(code(&queue.tell(&spare.token, &made.id, "renew", renewal(&lease)).await.1), "lease_lost");
    let guessed = json!({"lease": "00", "seconds": 60});
    assert_eq!(code(&queue.tell(&bench.token, &made.id, "renew", guessed).await.1), "lease_lost");
    let long = json!({"lease": lease["lease"], "how": "again", "why": "two\nlines"});
    assert_eq!(code(&queue.tell(&bench.token, &made.id, "give-up", long).await.1), "malformed");
    assert_eq!(standing(&queue.give_up(&bench.token, &lease, "returned").await), ("queued", 0), "it was not tried");
    assert_eq!(code(&queue.tell(&bench.token, &made.id, "renew", renewal(&lease)).await.1), "lease_lost");
    let (_, lease) = queue.lease(&spare.token).await;
    let job = queue.give_up(&spare.token, &lease, "again").await;
    assert_eq!((standing(&job), job["why"].as_str()), (("queued", 1), Some("it was again")));
    assert_eq!(queue.lease(&bench.token).await.0, 204, "not at once again");
    assert_eq!(say(server, &teacher.laptop, reexecution(&made)).await.0, 200);
    let job = queue.see(&teacher.token, &made.id).await.1;
    assert_eq!((standing(&job).0, &job["agrees"], &job["why"]), ("done", &json!(true), &json!("")), "{job}");

    by_its_statement(server, mara, teacher, [&bench, &spare]).await;
    refused_and_failed(server, mara, teacher, &bench).await;

    // Somebody whose key was revoked gets nothing more.
    let path = format!("/v1/keys/{}/revoke", spare.laptop.key_id);
    assert_eq!(server.call("POST", &path, &teacher.token, json!({"reason": "sold"})).await.0, 204);
    assert_eq!(code(&queue.lease(&spare.token).await.1), "key_revoked");
    assert_eq!(
        code(&server.call("GET", "/v1/sessions", &spare.token, Value::Null).await.1),
        "key_revoked",
        "nor anything else"
    );
    // What is left for the backup: one that waits.
    let last = bundled(server, mara, "mara-job-last").await;
    assert_eq!(queue.ask(&teacher.token, &last.id).await.0, 201);
    let (_, all) = server.call("GET", "/v1/jobs", &teacher.token, Value::Null).await;
    let mut states: Vec<&str> = all.as_array().unwrap().iter().map(|j| standing(j).0).collect();
    states.sort_unstable();
    assert_eq!(states, ["done", "done", "done", "failed", "queued", "refused"], "{all}");
    let metrics = server.call("GET", "/metrics", "", Value::Null).await.1;
    for (state, count) in [("queued", 1), ("running", 0), ("done", 3), ("refused", 1), ("failed", 1)] {
        let line = format!("forge_scoreboard_reexecutions{{state=\"{state}\"}} {count}");
        assert!(metrics.as_str().unwrap().contains(&line), "{line}:\n{metrics}");
    }
    assert_eq!(server.call("GET", "/v1/jobs", &boss.token, Value::Null).await.1, json!([]));
}

async fn who_may_ask(queue: &Queue<'_>, [mara, joe, teacher, boss]: [&Person; 4], bench: &Person, made: &Made) {
    let server = queue.0;
    let bare = mara.made("mara-bare", SSH);
    server.submit(&bare.envelope).await;
    let bound = catalogue().get("netplus-bound-test").unwrap().instantiate("s").unwrap();
    let bound = joe.laptop.seal(&bound, SSH, &Wish::new("bound-job", now())).unwrap();
    assert_eq!(server.submit_bundle(&bound).await.0, 201);
    let own = bundled(server, teacher, "teacher-own").await;
    let none = "0".repeat(64);
    let refusals = [
        (&teacher.token, none.as_str(), 404, "not_found"),
        (&teacher.token, bare.id.as_str(), 409, "not_re_graded"),
        (&teacher.token, bound.id.as_str(), 422, "seed_bound"),
        (&teacher.token, own.id.as_str(), 403, "forbidden"),
        (&boss.token, made.id.as_str(), 403, "other_tenant"),
        (&mara.token, made.id.as_str(), 403, "forbidden"),
        (&bench.token, made.id.as_str(), 403, "forbidden"),
    ];
    for (token, id, want, word) in refusals {
        let (status, answer) = queue.ask(token, id).await;
        assert_eq!((status, code(&answer)), (want, word), "{answer}");
        assert!(!answer["error"]["hints"].as_array().unwrap().is_empty(), "{word} has no hint: {answer}");
    }
    assert_eq!(code(&queue.ask("", &made.id).await.1), "unauthorized");
    assert_eq!(queue.ask(&teacher.token, "../admin").await.0, 404);
    assert_eq!(queue.see(&teacher.token, &made.id).await.0, 404, "what was refused is nowhere");

    let (status, job) = queue.ask(&teacher.token, &made.id).await;
    assert_eq!((status, standing(&job)), (201, ("queued", 0)), "{job}");
    let again = queue.ask(&server.admin, &made.id).await;
    assert_eq!(again, (200, job.clone()), "asking twice is one job");
    assert_eq!(queue.see(&teacher.token, &made.id).await, (200, job));
    assert_eq!(code(&queue.see(&mara.token, &made.id).await.1), "forbidden");
    assert_eq!(code(&queue.see(&boss.token, &made.id).await.1), "other_tenant");
}

async fn what_a_worker_may(queue: &Queue<'_>, [bench, foreign]: [&Person; 2], mara: &Person, made: &Made) {
    let server = queue.0;
    for path in ["/v1/jobs", "/v1/learners", "/v1/sessions"] {
        assert_eq!(code(&server.call("GET", path, &bench.token, Value::Null).await.1), "forbidden", "{path}");
    }
    assert_eq!(code(&queue.evidence(&bench.token, &made.id).await.1), "lease_lost", "it was not given this one");
    assert_eq!(code(&say(server, &bench.laptop, reexecution(made)).await.1), "lease_lost");
    assert_eq!(code(&queue.lease(&mara.token).await.1), "forbidden");
    assert_eq!(code(&queue.lease(&server.admin).await.1), "forbidden");
    assert_eq!(queue.lease(&foreign.token).await.0, 204, "another class's queue");
    for seconds in [0, 4, 601] {
        let (status, answer) = server.call("POST", "/v1/jobs/lease", &bench.token, json!({"seconds": seconds})).await;
        assert_eq!((status, code(&answer)), (400, "malformed"), "{seconds}");
    }
}

/// The statement ends the job, with either outcome; a later one that agrees is the better answer.
async fn by_its_statement(server: &Server, mara: &Person, teacher: &Person, [bench, spare]: [&Person; 2]) {
    let queue = Queue(server);
    let made = bundled(server, mara, "mara-job-2").await;
    queue.ask(&teacher.token, &made.id).await;
    let (_, lease) = queue.lease(&bench.token).await;
    assert_eq!(code(&say(server, &spare.laptop, reexecution(&made)).await.1), "lease_lost", "it is not its job");
    let (status, answer) = say(server, &bench.laptop, reexecution(&made)).await;
    assert_eq!((status, answer["tier"].as_str()), (200, Some("re-executed")), "{answer}");
    assert_eq!(
        say(server, &bench.laptop, reexecution(&made)).await.0,
        200,
        "its answer was lost: it says so once more"
    );
    let job = queue.see(&teacher.token, &made.id).await.1;
    assert_eq!((standing(&job), &job["agrees"]), (("done", 1), &json!(true)), "{job}");
    assert!(job["ended_at"].as_i64().unwrap() >= job["asked_at"].as_i64().unwrap());
    let late = json!({"lease": lease["lease"], "how": "again", "why": "late"});
    assert_eq!(code(&queue.tell(&bench.token, &made.id, "give-up", late).await.1), "lease_lost");
    assert_eq!(code(&queue.evidence(&bench.token, &made.id).await.1), "lease_lost", "it is over");
    assert_eq!(queue.ask(&teacher.token, &made.id).await, (200, job), "there is nothing more to do");

    let made = bundled(server, mara, "mara-job-3").await;
    queue.ask(&teacher.token, &made.id).await;
    queue.lease(&bench.token).await;
    let mut differs = reexecution(&made);
    (differs.criteria[1].reexecuted, differs.score) = (OutcomeKind::Fail, 0);
    assert_eq!(say(server, &bench.laptop, differs).await.0, 200);
    let job = queue.see(&teacher.token, &made.id).await.1;
    assert_eq!((standing(&job).0, &job["agrees"]), ("done", &json!(false)), "{job}");
    assert_eq!(server.get(&format!("/v1/verdicts/{}", made.id)).await.1["tier"], "re-graded");
    say(server, &teacher.laptop, reexecution(&made)).await;
    assert_eq!(queue.see(&teacher.token, &made.id).await.1["agrees"], true);
}

async fn refused_and_failed(server: &Server, mara: &Person, teacher: &Person, bench: &Person) {
    let queue = Queue(server);
    let (one, two) = (bundled(server, mara, "mara-job-4").await, bundled(server, mara, "mara-job-5").await);
    queue.ask(&teacher.token, &one.id).await;
    let (_, lease) = queue.lease(&bench.token).await;
    let job = queue.give_up(&bench.token, &lease, "refused").await;
    assert_eq!((standing(&job).0, job["why"].as_str()), ("refused", Some("it was refused")), "{job}");
    assert_eq!(queue.ask(&teacher.token, &one.id).await, (200, job), "it would be refused again");
    queue.ask(&teacher.token, &two.id).await;
    let (_, lease) = queue.lease(&bench.token).await;
    assert_eq!(standing(&queue.give_up(&bench.token, &lease, "failed").await), ("failed", 1));
    let (status, job) = queue.ask(&teacher.token, &two.id).await;
    assert_eq!((status, standing(&job), &job["why"]), (201, ("queued", 0), &json!("")), "{job}");
    let (_, lease) = queue.lease(&bench.token).await;
    assert_eq!(standing(&queue.give_up(&bench.token, &lease, "failed").await), ("failed", 1));
}

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
use super::*;
use crate::error::{Code, Error};
use crate::spawn::tests::{Bench, NOW, bench, new, newest, request};
use crate::store::blocks::{self, Block};

struct Lab {
    b: Bench,
    run: String,
}

async fn lab() -> Lab {
    let b = bench();
    let (run, _) = new(b.admit(request(1)).await.unwrap());
    Lab { run: run.run, b }
}

impl Lab {
    fn scene(&self, at: i64) -> Scene {
        Scene {
            run: self.run.clone(),
            lab: "ccna-ospf-single-area".into(),
            track: "ccna".into(),
            access: Access { tenant: "school".into(), ..Access::default() },
            correlation: "c2".into(),
            scrubber: Scrubber::new("/home/ada", "ada", "adas-laptop"),
            now: NOW,
            steady: at,
        }
    }

    async fn act(&self, at: i64, acts: Vec<Act>) -> Result<()> {
        act(&self.b.store, &self.b.policy, self.scene(at), acts, None).await
    }

    async fn used(&self, part: Part) -> u64 {
        let run = self.run.clone();
        self.b.store.read(move |c| points::of(c, &run, part.word())).await.unwrap().points
    }

    /// Kinds of the entries since the start, oldest first.
    async fn told(&self) -> Vec<audit::Body> {
        let mut all = self.b.store.read(newest).await.unwrap();
        all.reverse();
        all.retain(|e| e.data["correlation"] == "c2");
        all
    }
}

fn exec(part: Part, command: &str) -> Act {
    Act {
        name: "exec",
        node: Some("pc".into()),
        class: Class::Execute,
        command: command.into(),
        part,
        subject: "learner".into(),
    }
}

fn why(outcome: Result<()>) -> String {
    let e: Error = outcome.unwrap_err();
    assert_eq!(e.code, Code::Denied, "{e}");
    e.message
}

#[tokio::test]
async fn what_is_done_was_decided_counted_and_written_down() {
    let lab = lab().await;
    let fact = Fact { at: NOW, run: Some(lab.run.clone()), kind: "exec".into(), data: json!({"correlation": "c2"}) };
    let acts = vec![exec(Part::Learner, "sh -c 'cat /home/ada/notes'")];
    act(&lab.b.store, &lab.b.policy, lab.scene(NOW), acts, Some(fact)).await.unwrap();
    let told = lab.told().await;
    let kinds: Vec<&str> = told.iter().map(|e| e.kind.as_str()).collect();
    assert_eq!(kinds, ["gate.access", "gate.action", "exec"]);
    assert!(told.iter().all(|e| e.run.as_deref() == Some(lab.run.as_str())));
    let input = &told[1].data["input"];
    assert_eq!((input["actor"]["role"].as_str(), input["spent"].as_u64()), (Some("learner"), Some(0)));
    assert_eq!(input["action"]["node"], "pc");
    assert!(!input.to_string().contains("ada/notes"), "a home folder stayed in the log: {input}");
    assert_eq!(lab.used(Part::Learner).await, 10);
    assert!(audit::verify(&lab.b.store, &lab.b.keys, &[]).await.unwrap().ok);
}

#[tokio::test]
async fn each_class_costs_what_the_policy_says() {
    let costs =
        [(Class::ReadOnly, 1), (Class::Write, 5), (Class::Execute, 10), (Class::Network, 15), (Class::Privileged, 50)];
    for (class, cost) in costs {
        let lab = lab().await;
        lab.act(NOW, vec![Act { class, ..exec(Part::System, "") }]).await.unwrap();
        assert_eq!(lab.used(Part::System).await, cost, "{class:?}");
    }
}

#[tokio::test]
async fn a_budget_ends_and_only_a_persons_comes_back() {
    for part in [Part::Learner, Part::Attacker] {
        let lab = lab().await;
        for _ in 0..100 {
            lab.act(NOW, vec![exec(part, "true")]).await.unwrap();
        }
        assert_eq!(lab.used(part).await, 1000);
        assert!(why(lab.act(NOW, vec![exec(part, "true")]).await).contains("1000 spent, this would cost 10"));
        assert_eq!(lab.used(part).await, 1000, "what was refused costs nothing");
        // Nobody else's is touched.
        lab.act(NOW, vec![exec(Part::Instructor, "true")]).await.unwrap();
        // Ten points a second: after 0.9 s one is missing, after one second it is enough.
        why(lab.act(NOW + 900, vec![exec(part, "true")]).await);
        let later = lab.act(NOW + 1000, vec![exec(part, "true")]).await;
        assert_eq!(later.is_ok(), part == Part::Learner, "{part:?}");
        let much_later = lab.act(NOW + 10 * 3_600_000, vec![exec(part, "true")]).await;
        assert_eq!(much_later.is_ok(), part == Part::Learner, "{part:?}");
        assert_eq!(lab.used(part).await, if part == Part::Learner { 10 } else { 1000 });
        // A clock that stands before the last action gives nothing back, and takes nothing.
        assert_eq!(lab.act(NOW - 1, vec![exec(part, "true")]).await.is_ok(), part == Part::Learner);
    }
}

#[tokio::test]
async fn a_person_at_a_persons_pace_is_never_kept_out() {
    let lab = lab().await;
    for second in 0..2_000 {
        let acts = vec![exec(Part::Learner, "ip route")];
        lab.act(NOW + second * 1000, acts).await.unwrap();
    }
    lab.act(NOW + 2_000_000, vec![Act { name: "terminal", ..exec(Part::Learner, "") }]).await.unwrap();
}

#[tokio::test]
async fn of_several_all_may_be_done_or_none() {
    let lab = lab().await;
    let acts = vec![exec(Part::Instructor, "true"), exec(Part::Instructor, "rm -rf /"), exec(Part::Instructor, "true")];
    let fact = Fact { at: NOW, run: None, kind: "answer.applied".into(), data: json!({"correlation": "c2"}) };
    let outcome = act(&lab.b.store, &lab.b.policy, lab.scene(NOW), acts, Some(fact)).await;
    assert!(why(outcome).contains("deletes everything"));
    let kinds: Vec<String> = lab.told().await.into_iter().map(|e| e.kind).collect();
    assert_eq!(kinds, ["gate.access", "gate.action", "gate.action", "gate.action"]);
    assert_eq!(lab.used(Part::Instructor).await, 0);
    // A hundred and one at once are one too many, whatever was used before.
    let many = vec![exec(Part::Instructor, "true"); 101];
    assert!(why(lab.act(NOW, many).await).contains("budget"));
    lab.act(NOW, vec![exec(Part::Instructor, "true"); 100]).await.unwrap();
}

#[tokio::test]
async fn nobody_and_the_wrong_part_are_refused() {
    let lab = lab().await;
    let nobody = Act { subject: "anonymous".into(), ..exec(Part::Learner, "true") };
    assert!(why(lab.act(NOW, vec![nobody]).await).contains("not known who"));
    let mighty = Act { class: Class::Privileged, ..exec(Part::Learner, "true") };
    assert!(why(lab.act(NOW, vec![mighty]).await).contains("privileged"));
}

#[tokio::test]
async fn a_long_command_is_seen_whole_and_kept_in_part() {
    let lab = lab().await;
    let command = format!("{}; rm -rf /", "ä".repeat(5000));
    assert!(why(lab.act(NOW, vec![exec(Part::Learner, &command)]).await).contains("deletes everything"));
    let kept = lab.told().await[1].data["input"]["action"]["command"].as_str().unwrap().to_owned();
    assert_eq!(kept.chars().count(), KEPT_CHARS + 1);
    assert!(why(lab.act(NOW, vec![exec(Part::Learner, &"x".repeat(300_000))]).await).contains("could not decide"));
}

#[tokio::test]
async fn access_ends_and_is_for_a_track_and_an_organisation() {
    let lab = lab().await;
    let with = |change: &dyn Fn(&mut Scene)| {
        let mut scene = lab.scene(NOW);
        change(&mut scene);
        scene
    };
    let ask = async |scene: Scene, wanted| open(&lab.b.store, &lab.b.policy, scene, wanted).await;
    for wanted in [Capability::Run, Capability::Submit, Capability::Read] {
        ask(lab.scene(NOW), wanted).await.unwrap();
        ask(with(&|s| s.access.until = Some(NOW + 1)), wanted).await.unwrap();
        assert!(why(ask(with(&|s| s.access.until = Some(NOW)), wanted).await).contains("has expired"));
        let tracks = |list: &str| Access::read("school", Some(list), None).unwrap();
        ask(with(&|s| s.access = tracks("netplus, ccna")), wanted).await.unwrap();
        assert!(why(ask(with(&|s| s.access = tracks("netplus")), wanted).await).contains("not for the track “ccna”"));
    }
    lab.b
        .store
        .write(|tx| {
            // A person of that name is not the organisation.
            for subject in ["school", "tenant:other"] {
                blocks::set(tx, &Block { subject: subject.into(), reason: "r".into(), at: 1 })?;
            }
            Ok(())
        })
        .await
        .unwrap();
    lab.act(NOW, vec![exec(Part::Learner, "true")]).await.unwrap();
    let block = Block { subject: "tenant:school".into(), reason: "r".into(), at: 1 };
    lab.b.store.write(move |tx| blocks::set(tx, &block)).await.unwrap();
    assert!(why(lab.act(NOW, vec![exec(Part::Learner, "true")]).await).contains("organisation has been blocked"));
    let mut next = request(2);
    next.access.tenant = "school".into();
    let refused = lab.b.admit(next).await.unwrap_err();
    assert!(refused.message.contains("organisation has been blocked"), "{refused}");
    assert!(why(look(&lab.b.store, &lab.b.policy, lab.scene(NOW)).await).contains("blocked"));
}

#[tokio::test]
async fn looking_at_a_result_writes_only_a_no() {
    let lab = lab().await;
    look(&lab.b.store, &lab.b.policy, lab.scene(NOW)).await.unwrap();
    assert!(lab.told().await.is_empty());
    let mut scene = lab.scene(NOW);
    scene.access.until = Some(NOW - 1);
    why(look(&lab.b.store, &lab.b.policy, scene).await);
    assert_eq!(lab.told().await.len(), 1);
}

#[test]
fn half_a_restriction_is_an_error() {
    assert_eq!(Access::read("t", None, None).unwrap(), Access { tenant: "t".into(), ..Access::default() });
    let until = Access::read("t", None, Some("2027-01-31T18:00:00Z")).unwrap().until;
    assert_eq!(until, Some(1_801_418_400_000));
    for (tracks, until) in [(Some("ccna,,x"), None), (Some("CCNA"), None), (None, Some("tomorrow"))] {
        assert_eq!(Access::read("t", tracks, until).unwrap_err().code, Code::InvalidInput);
    }
}

#[test]
fn a_command_has_a_class_and_a_shells_input_belongs_to_it() {
    let argv = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(class_of(&argv("/bin/cat /etc/hosts")), Class::ReadOnly);
    assert_eq!(class_of(&argv("tee /etc/motd")), Class::Write);
    assert_eq!(class_of(&argv("ping -c 1 10.0.0.1")), Class::Network);
    assert_eq!(class_of(&argv("sh -c id")), Class::Execute);
    assert_eq!(class_of(&[]), Class::Execute);
    assert_eq!(command_of(&argv("/bin/sh -s"), Some(b"rm -rf /")), "/bin/sh -s\nrm -rf /");
    assert_eq!(command_of(&argv("tee /x"), Some(b"rm -rf /")), "tee /x");
}

/// The gate must not stand in the way of what the labs themselves come with.
#[tokio::test]
async fn answers_of_every_lab_pass() {
    let lab = lab().await;
    let catalogue = crate::template::Catalogue::load(&crate::template::Sources::default());
    let mut asked = 0;
    for found in catalogue.list() {
        let wrong = found.wrong("seed").unwrap().into_iter().map(|w| w.scripts);
        for scripts in wrong.chain([found.solution("seed").unwrap()]) {
            asked += scripts.len();
            let acts: Vec<Act> = scripts.into_values().map(|script| exec(Part::System, &script)).collect();
            let (store, policy) = (&lab.b.store, lab.b.policy.clone());
            let scene = lab.scene(NOW);
            let decided = store.write(move |tx| decide(tx, &policy, &scene, &acts)).await.unwrap();
            assert!(refusal(&decided).is_none(), "{}: {:?}", found.id, refusal(&decided));
            let run = lab.run.clone();
            store.write(move |tx| points::set(tx, &run, "system", Used::default())).await.unwrap();
        }
    }
    assert!(asked > 10, "{asked}");
}

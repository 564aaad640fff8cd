//! A private key that was removed by hand: said in the log, the audit log, an event and by the doctor, and by nothing else.

use crate::desk::Desk;

fn doctor(desk: &Desk) -> Vec<serde_json::Value> {
    let told = desk.forge(&["doctor"]).json();
    let rows = told["rows"].as_array().unwrap().iter();
    rows.filter(|r| r["id"] == "keys-exchanged").cloned().collect()
}

fn audited(desk: &Desk) -> serde_json::Value {
    desk.forge(&["audit", "list", "--kind", "keys.exchanged"]).ok()["entries"].clone()
}

#[test]
fn a_key_file_that_is_gone_is_not_replaced_without_a_word() {
    let mut desk = Desk::bare();
    desk.vars.push(("FORGE_KEYS".into(), "plain".into()));
    // Something that the old key signs: the log, as each program leaves it.
    desk.forge(&["keys", "rotate", "spawn"]).ok();
    let before = desk.id();
    assert_eq!(audited(&desk).as_array().unwrap().len(), 0, "keys that are made first are no news");
    assert!(doctor(&desk).is_empty());

    std::fs::remove_file(desk.keys().join("learner.pem")).unwrap();
    for _ in 0..2 {
        let entries = audited(&desk);
        assert_eq!(entries.as_array().unwrap().len(), 1, "{entries}");
        let (entry, now) = (&entries[0], desk.id());
        assert_ne!(before, now);
        assert_eq!(entry["kind"], "keys.exchanged");
        assert_eq!(entry["data"], serde_json::json!({"name": "learner", "old": before, "new": now}));
    }
    let rows = doctor(&desk);
    assert_eq!((rows.len(), &rows[0]["state"]), (1, &"warn".into()), "{rows:?}");
    let detail = rows[0]["detail"].as_str().unwrap();
    for part in ["removed or replaced by hand", &before, &desk.id(), "still verify", "enrol again", "put it back"] {
        assert!(detail.contains(part), "{part}: {detail}");
    }
    let events = desk.forge(&["events"]).ok();
    let told: Vec<_> = events.as_array().unwrap().iter().filter(|e| e["kind"] == "keys.exchanged").collect();
    assert_eq!((told.len(), &told[0]["level"]), (1, &"warn".into()), "{events}");
    let mut logs = Vec::new();
    crate::quiet::files(&desk.data().join("logs"), &mut logs);
    let log: String = logs.iter().map(|p| std::fs::read_to_string(p).unwrap()).collect();
    assert_eq!(log.matches("a private key was removed or replaced by hand").count(), 1, "{log}");
    let whole = desk.forge(&["audit", "verify"]).ok();
    assert_eq!(whole["ok"], true, "{whole}");
    assert!(whole["ignored"].to_string().contains("exchanged without its signature"), "{whole}");

    // A key that is changed as it should be is no such thing.
    desk.forge(&["keys", "rotate", "learner"]).ok();
    desk.forge(&["audit", "verify"]).ok();
    assert_eq!(audited(&desk).as_array().unwrap().len(), 1);
    assert_eq!(doctor(&desk).len(), 1);
}

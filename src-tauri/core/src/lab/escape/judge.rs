//! What was heard and said, judged. Pure: a technique holds only when its control was heard by everybody who should hear
//! it, the same was really tried in the lab, and nobody at all heard that.

use super::table::{Ear, TECHNIQUES, Technique, Try, key};
use crate::api::IsolationRow;
use std::collections::{BTreeMap, BTreeSet};

/// What the prisoner said of one try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    pub outcome: Outcome,
    pub words: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Sent,
    /// Not on every link it has.
    Partly,
    Answered,
    Refused,
}

/// Everything observed in one probe.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// `(key, who)`.
    pub heard: BTreeSet<(String, Ear)>,
    pub said: BTreeMap<String, Said>,
    /// Why the ears or a prisoner cannot be relied on: frames lost, listeners that did not open, an end before the end.
    pub unsound: Vec<String>,
}

impl Seen {
    fn hears(&self, key: &str, ear: Ear) -> bool {
        self.heard.contains(&(key.to_owned(), ear))
    }

    fn heard_by_anybody(&self, key: &str) -> Vec<Ear> {
        self.heard.iter().filter(|(k, ear)| k == key && *ear != Ear::Lab).map(|(_, ear)| *ear).collect()
    }
}

/// One row for each technique, in the table's order.
pub fn judge(seen: &Seen) -> Vec<IsolationRow> {
    let joined = seen.heard.iter().any(|(k, ear)| *ear == Ear::Lab && k.starts_with('l'));
    TECHNIQUES.iter().enumerate().map(|(number, technique)| row(seen, joined, number, technique)).collect()
}

fn row(seen: &Seen, joined: bool, number: usize, technique: &Technique) -> IsolationRow {
    let mut faults = seen.unsound.clone();
    let mut escapes = Vec::new();
    let mut reasons = Vec::new();
    if !joined {
        faults.push("the sacrificial node was not heard on the lab's own links".into());
    }
    for (letter, attempt) in technique.tries.iter().enumerate() {
        let (control, lab) = (key('c', number, letter), key('l', number, letter));
        if let Some(fault) = control_fault(seen, &control, attempt) {
            faults.push(fault);
        }
        match seen.said.get(&lab) {
            None => faults.push("it was not tried in the lab".into()),
            Some(said) => {
                if attempt.answer && said.outcome == Outcome::Answered {
                    escapes.push(said.words.clone());
                }
                match said.outcome {
                    Outcome::Refused => reasons.push(said.words.clone()),
                    // A link on which it was not tried may be the one that leads out.
                    Outcome::Partly => faults.push(format!("in the lab it was tried {}", said.words)),
                    Outcome::Sent | Outcome::Answered => {}
                }
            }
        }
        escapes.extend(seen.heard_by_anybody(&lab).into_iter().map(|ear| format!("heard by {}", name(ear))));
    }
    let (control, escaped) = (faults.is_empty(), !escapes.is_empty());
    let detail = match (escaped, control) {
        (true, _) => unique(escapes),
        (false, false) => unique(faults),
        (false, true) => blocked(technique, unique(reasons)),
    };
    IsolationRow {
        id: technique.id.into(),
        group: technique.group.into(),
        technique: technique.words.into(),
        control,
        escaped,
        detail,
    }
}

/// Why the control of one try proves nothing; None when it worked.
fn control_fault(seen: &Seen, key: &str, attempt: &Try) -> Option<String> {
    let Some(said) = seen.said.get(key) else { return Some("the control was not tried".into()) };
    if attempt.silent {
        let through = !seen.heard_by_anybody(key).is_empty();
        return through.then(|| "the control's own wall let it through".into());
    }
    if let Some(deaf) = attempt.heard.iter().find(|ear| !seen.hears(key, **ear)) {
        let words = if said.outcome == Outcome::Refused { format!(": {}", said.words) } else { String::new() };
        return Some(format!("the control was not heard by {}{words}", name(*deaf)));
    }
    let unanswered = attempt.answer && said.outcome != Outcome::Answered;
    unanswered.then(|| format!("the control was not answered: {}", said.words))
}

fn name(ear: Ear) -> &'static str {
    match ear {
        Ear::Host => "the host",
        Ear::Target => "the control's target",
        Ear::Neighbour => "a machine on the host's other network",
        Ear::OtherLab => "another lab",
        Ear::Lab => "the lab itself",
    }
}

fn blocked(technique: &Technique, reasons: String) -> String {
    let ears: BTreeSet<Ear> = technique.tries.iter().flat_map(|t| t.heard).copied().collect();
    let names: Vec<&str> = ears.into_iter().map(name).collect();
    let control = format!("control heard by {}; from the lab nobody heard it", names.join(" and "));
    if reasons.is_empty() { control } else { format!("{control} ({reasons})") }
}

fn unique(words: Vec<String>) -> String {
    let mut seen = BTreeSet::new();
    words.into_iter().filter(|w| !w.is_empty() && seen.insert(w.clone())).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    fn each(mut visit: impl FnMut(usize, usize, &Try)) {
        for (number, technique) in TECHNIQUES.iter().enumerate() {
            for (letter, attempt) in technique.tries.iter().enumerate() {
                visit(number, letter, attempt);
            }
        }
    }

    fn said(outcome: Outcome) -> Said {
        Said { outcome, words: "so it was".into() }
    }

    /// As a sound lab on a sound machine shows itself.
    fn sound() -> Seen {
        let mut seen = Seen::default();
        each(|number, letter, attempt| {
            let (control, lab) = (key('c', number, letter), key('l', number, letter));
            seen.heard.extend(attempt.heard.iter().map(|ear| (control.clone(), *ear)));
            seen.said.insert(control, said(if attempt.answer { Outcome::Answered } else { Outcome::Sent }));
            seen.said.insert(lab, said(Outcome::Refused));
        });
        seen.heard.insert(("l28a".into(), Ear::Lab));
        seen
    }

    fn failing(seen: &Seen, what: fn(&IsolationRow) -> bool) -> Vec<String> {
        judge(seen).into_iter().filter(what).map(|r| r.id).collect()
    }

    #[test]
    fn a_sound_lab_holds_forty_times() {
        let rows = judge(&sound());
        assert_eq!(rows.len(), 40);
        assert!(rows.iter().all(IsolationRow::holds), "{rows:?}");
        assert!(rows.iter().all(|r| r.detail.contains("control heard by")), "{rows:?}");
    }

    #[test]
    fn every_control_that_is_not_heard_is_named_and_no_other() {
        each(|number, letter, attempt| {
            for ear in attempt.heard {
                let mut seen = sound();
                assert!(seen.heard.remove(&(key('c', number, letter), *ear)));
                assert_eq!(failing(&seen, |r| !r.control), [TECHNIQUES[number].id], "{ear:?} deaf to {letter}");
                assert!(failing(&seen, |r| r.escaped).is_empty());
            }
        });
    }

    #[test]
    fn every_try_that_anybody_hears_from_the_lab_is_an_escape_and_no_other() {
        each(|number, letter, _| {
            for ear in [Ear::Host, Ear::Target, Ear::Neighbour, Ear::OtherLab] {
                let mut seen = sound();
                seen.heard.insert((key('l', number, letter), ear));
                assert_eq!(failing(&seen, |r| r.escaped), [TECHNIQUES[number].id], "{ear:?}");
            }
        });
    }

    #[test]
    fn the_labs_own_links_are_no_escape() {
        let mut seen = sound();
        each(|number, letter, _| {
            seen.heard.insert((key('l', number, letter), Ear::Lab));
        });
        assert!(failing(&seen, |r| !r.holds()).is_empty());
    }

    #[test]
    fn an_answer_counts_where_only_the_outside_can_give_it() {
        each(|number, letter, attempt| {
            let mut seen = sound();
            seen.said.insert(key('l', number, letter), said(Outcome::Answered));
            let expected: &[&str] = if attempt.answer { &[TECHNIQUES[number].id] } else { &[] };
            assert_eq!(failing(&seen, |r| r.escaped), expected, "{letter}");
            if attempt.answer {
                let mut seen = sound();
                seen.said.insert(key('c', number, letter), said(Outcome::Sent));
                assert_eq!(failing(&seen, |r| !r.control), expected, "an unanswered control");
            }
        });
    }

    #[test]
    fn what_was_not_tried_proves_nothing() {
        each(|number, letter, _| {
            for world in ['c', 'l'] {
                let mut seen = sound();
                seen.said.remove(&key(world, number, letter));
                assert_eq!(failing(&seen, |r| !r.control), [TECHNIQUES[number].id], "{world}");
            }
        });
        assert!(judge(&Seen::default()).iter().all(|r| !r.control && !r.escaped));
    }

    #[test]
    fn what_was_not_tried_on_every_link_proves_nothing() {
        each(|number, letter, _| {
            let mut seen = sound();
            seen.said.insert(key('l', number, letter), said(Outcome::Partly));
            assert_eq!(failing(&seen, |r| !r.control), [TECHNIQUES[number].id]);
        });
    }

    #[test]
    fn a_wall_that_does_not_hold_spoils_its_control() {
        let mut seen = sound();
        seen.heard.insert(("c40a".into(), Ear::Target));
        assert_eq!(failing(&seen, |r| !r.control), ["firewall-flush"]);
    }

    #[test]
    fn an_ear_that_lost_frames_or_a_prisoner_elsewhere_spoils_all() {
        let mut seen = sound();
        seen.unsound.push("the host lost 3 frames".into());
        assert_eq!(failing(&seen, |r| !r.control).len(), 40);
        let mut seen = sound();
        seen.heard.retain(|(_, ear)| *ear != Ear::Lab);
        assert_eq!(failing(&seen, |r| !r.control).len(), 40);
        assert!(judge(&seen)[0].detail.contains("lab's own links"));
    }
}

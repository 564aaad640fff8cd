//! Gate decisions as the log keeps them: what was asked and answered, under which policies, on which occasion. “Why was
//! this denied” is answered from here, however long ago it was.

use super::{Body, Fact};
use crate::error::{Code, Error, Result};
use crate::store::{Conn, Tx, audit as rows};
use serde::{Deserialize, Serialize};
use serde_json::Value;

const PREFIX: &str = "gate.";

/// On which occasion a gate was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Occasion {
    pub at: i64,
    /// Only if there is one: a denied start makes none.
    pub run: Option<String>,
    pub lab: Option<String>,
    pub request_id: Option<String>,
    pub correlation: String,
}

/// What is kept of a decision beside the occasion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Personal data and secrets are out of it: this leaves the laptop inside evidence.
    pub input: Value,
    pub allow: bool,
    pub reasons: Vec<String>,
    pub policy_digest: String,
    /// None in entries of versions that did not measure it.
    #[serde(default)]
    pub micros: Option<u64>,
}

/// One decision of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    pub id: i64,
    pub gate: String,
    pub occasion: Occasion,
    pub answer: Answer,
}

/// A page of decisions, newest first, and how many of its entries cannot be read any more.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    pub kept: Vec<Kept>,
    pub unreadable: u32,
    pub next: Option<i64>,
}

/// Which decisions; every part that is given must hold.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub gate: Option<String>,
    pub run: Option<String>,
    pub allow: Option<bool>,
    pub before: Option<i64>,
}

#[derive(Serialize, Deserialize)]
struct Data {
    #[serde(flatten)]
    answer: Answer,
    #[serde(default)]
    lab: Option<String>,
    #[serde(default)]
    request_id: Option<String>,
    #[serde(default)]
    correlation: String,
}

/// Writes a decision into the log and returns its number.
pub fn record(tx: &Tx, gate: &str, occasion: &Occasion, answer: Answer) -> Result<u64> {
    let Occasion { at, run, lab, request_id, correlation } = occasion.clone();
    let data = serde_json::to_value(Data { answer, lab, request_id, correlation })?;
    super::append(tx, Fact { at, run, kind: format!("{PREFIX}{gate}"), data })
}

pub fn page(conn: &Conn, filter: &Filter, limit: u32) -> Result<Page> {
    let search = rows::Search {
        kind: Some(format!("{PREFIX}{}", filter.gate.as_deref().unwrap_or_default())),
        run: filter.run.clone(),
        allow: filter.allow,
        correlation: None,
        before: filter.before,
    };
    // One more than asked for tells whether there is another page.
    let mut found = rows::search(conn, &search, limit.saturating_add(1))?;
    let more = found.len() > limit as usize;
    found.truncate(limit as usize);
    let next = found.last().filter(|_| more).map(|row| row.seq);
    let mut page = Page { next, ..Page::default() };
    for row in &found {
        match kept(row) {
            Ok(kept) => page.kept.push(kept),
            Err(_) => page.unreadable += 1,
        }
    }
    Ok(page)
}

/// One decision. `NotFound` when this entry is none; `StoreFailed` when it cannot be read any more.
pub fn get(conn: &Conn, id: i64) -> Result<Kept> {
    match rows::get(conn, id)?.filter(|row| row.kind.starts_with(PREFIX)) {
        Some(row) => kept(&row),
        None => Err(Error::new(Code::NotFound, format!("Entry {id} of the audit log is no decision of a gate."))
            .hint("The list of decisions shows their numbers.")),
    }
}

/// The other decisions of the same occasion, in order.
pub fn others(conn: &Conn, of: &Kept) -> Result<Vec<Kept>> {
    let search = rows::Search {
        kind: Some(PREFIX.into()),
        correlation: Some(of.occasion.correlation.clone()),
        ..rows::Search::default()
    };
    let mut found: Vec<Kept> = rows::search(conn, &search, 50)?.iter().filter_map(|row| kept(row).ok()).collect();
    found.retain(|k| k.id != of.id);
    found.reverse();
    Ok(found)
}

fn kept(row: &rows::Entry) -> Result<Kept> {
    let read = || -> Result<Kept, serde_json::Error> {
        let body: Body = serde_json::from_str(&row.entry)?;
        let Data { answer, lab, request_id, correlation } = serde_json::from_value(body.data)?;
        Ok(Kept {
            id: row.seq,
            gate: body.kind.trim_start_matches(PREFIX).to_owned(),
            occasion: Occasion { at: body.at, run: body.run, lab, request_id, correlation },
            answer,
        })
    };
    read().map_err(|e| {
        Error::new(Code::StoreFailed, format!("Entry {} of the audit log cannot be read any more: {e}.", row.seq))
            .hint("`forge audit verify` says what was done to the log.")
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::store::Store;
    use serde_json::json;

    fn answer(allow: bool) -> Answer {
        Answer {
            input: json!({"track": "ccna"}),
            allow,
            reasons: if allow { vec![] } else { vec!["No.".into()] },
            policy_digest: "d".into(),
            micros: Some(80),
        }
    }

    async fn store() -> Store {
        let store = Store::memory().unwrap();
        store
            .write(|tx| {
                for i in 0..10 {
                    let run = (i >= 4).then(|| "r1".to_owned());
                    let occasion = Occasion {
                        at: i,
                        run,
                        lab: Some("l".into()),
                        correlation: format!("c{}", i / 2),
                        ..Occasion::default()
                    };
                    record(tx, if i % 2 == 0 { "spawn" } else { "quota" }, &occasion, answer(i != 3))?;
                    super::super::append(tx, Fact { at: i, run: None, kind: "settings".into(), data: json!({}) })?;
                }
                Ok(())
            })
            .await
            .unwrap();
        store
    }

    #[tokio::test]
    async fn decisions_come_back_page_by_page_and_by_filter() {
        let store = store().await;
        let ask = |filter: Filter, limit| {
            let store = store.clone();
            async move { store.read(move |c| page(c, &filter, limit)).await.unwrap() }
        };
        let first = ask(Filter::default(), 6).await;
        assert_eq!(first.kept.iter().map(|k| k.id).collect::<Vec<_>>(), [18, 16, 14, 12, 10, 8]);
        let second = ask(Filter { before: first.next, ..Filter::default() }, 6).await;
        assert_eq!(second.kept.iter().map(|k| k.id).collect::<Vec<_>>(), [6, 4, 2, 0]);
        assert_eq!(second.next, None);
        let denied = ask(Filter { allow: Some(false), ..Filter::default() }, 50).await;
        assert_eq!(denied.kept.iter().map(|k| (k.id, k.gate.as_str())).collect::<Vec<_>>(), [(6, "quota")]);
        assert_eq!(denied.kept[0].answer, answer(false));
        let of_run = ask(Filter { run: Some("r1".into()), gate: Some("spawn".into()), ..Filter::default() }, 50).await;
        assert_eq!(of_run.kept.iter().map(|k| k.id).collect::<Vec<_>>(), [16, 12, 8]);
        let others = store.read(|c| others(c, &get(c, 6)?)).await.unwrap();
        assert_eq!(others.iter().map(|k| k.id).collect::<Vec<_>>(), [4]);
        let e = store.read(|c| get(c, 1)).await.unwrap_err();
        assert_eq!(e.code, Code::NotFound);
    }

    #[tokio::test]
    async fn what_was_tampered_with_is_counted_not_hidden() {
        let store = store().await;
        store
            .write(|tx| {
                Ok(tx.execute_batch("DROP TRIGGER audit_no_update; UPDATE audit SET entry = 'x' WHERE seq = 4")?)
            })
            .await
            .unwrap();
        let all = store.read(|c| page(c, &Filter::default(), 50)).await.unwrap();
        assert_eq!((all.kept.len(), all.unreadable), (9, 1));
        let denied = store.read(|c| page(c, &Filter { allow: Some(false), ..Filter::default() }, 50)).await.unwrap();
        assert_eq!(denied.kept.len(), 1);
        assert_eq!(store.read(|c| get(c, 4)).await.unwrap_err().code, Code::StoreFailed);
    }
}

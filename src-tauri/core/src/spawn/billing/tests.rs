#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
//! Against a real HTTP server on the loopback interface that can misbehave in every way we know.
use super::*;
use crate::keys::{Domain, KeyName, Keys};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use rand::SeedableRng;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

const NOW: i64 = 1_795_000_000_000;

/// What the gateway does wrong at the next charge; it charges before it does it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Manner {
    Well,
    Slow,
    Breaks,
    Fails,
    Garbage,
    Huge,
    Unsigned,
    Rekeyed,
    OtherDomain,
    Dearer,
    OtherLab,
    OtherNonce,
    Expired,
    Future,
    Extra,
    Redirects,
    Refuses,
}

struct Till {
    keys: Keys,
    stranger: Keys,
    manner: Mutex<Manner>,
    /// Idempotency key → what was charged under it.
    charged: Mutex<BTreeMap<String, Value>>,
    /// Every request that came: path, idempotency key.
    heard: Mutex<Vec<(String, String)>>,
    plan: Mutex<&'static str>,
}

struct Bench {
    _home: tempfile::TempDir,
    store: Store,
    till: Arc<Till>,
    gateway: Gateway,
}

fn at(ms: i64) -> String {
    Timestamp::from_millisecond(ms).unwrap().to_string()
}

fn sealed(keys: &Keys, domain: Domain, document: &Value) -> String {
    let bytes = serde_json_canonicalizer::to_vec(document).unwrap();
    let signature = hex::encode(keys.sign(KeyName::Spawn, domain, &bytes).unwrap());
    json!({"document": document, "signature": signature}).to_string()
}

async fn entitle(State(till): State<Arc<Till>>, body: Bytes) -> Response {
    till.heard.lock().unwrap().push(("entitlements".into(), String::new()));
    let mut document: Value = serde_json::from_slice(&body).unwrap();
    let extra = json!({
        "plan": *till.plan.lock().unwrap(), "amount": 250, "currency": "EUR", "iat": at(NOW), "exp": at(NOW + 600_000),
    });
    document.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    sealed(&till.keys, Domain::Entitlement, &document).into_response()
}

async fn charge(State(till): State<Arc<Till>>, headers: HeaderMap, body: Bytes) -> Response {
    let key = headers.get("idempotency-key").map(|v| v.to_str().unwrap().to_owned()).unwrap_or_default();
    till.heard.lock().unwrap().push(("charges".into(), key.clone()));
    let manner = *till.manner.lock().unwrap();
    if manner == Manner::Refuses {
        return StatusCode::PAYMENT_REQUIRED.into_response();
    }
    let question: Value = serde_json::from_slice(&body).unwrap();
    // The same key is the same charge, or a mistake of ours.
    let mut document = {
        let mut charged = till.charged.lock().unwrap();
        let kept = charged.entry(key).or_insert_with(|| question.clone());
        assert_eq!(*kept, question, "an idempotency key was used for something else");
        kept.clone()
    };
    let (iat, exp) = match manner {
        Manner::Expired => (NOW - 10_000, NOW - 1),
        Manner::Future => (NOW + 3_600_000, NOW + 7_200_000),
        _ => (NOW, NOW + 600_000),
    };
    let members = document.as_object_mut().unwrap();
    members.insert("iat".into(), json!(at(iat)));
    members.insert("exp".into(), json!(at(exp)));
    match manner {
        Manner::Dearer => drop(members.insert("amount".into(), json!(251))),
        Manner::OtherLab => drop(members.insert("lab".into(), json!("netplus-dns"))),
        Manner::OtherNonce => drop(members.insert("nonce".into(), json!("0"))),
        Manner::Extra => drop(members.insert("note".into(), json!("hello"))),
        _ => {}
    }
    let good = sealed(&till.keys, Domain::Receipt, &document);
    match manner {
        Manner::Slow => {
            tokio::time::sleep(ANSWER_IN * 2).await;
            good.into_response()
        }
        Manner::Fails => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Manner::Garbage => "<html>paid</html>".into_response(),
        Manner::Huge => "x".repeat(1 << 20).into_response(),
        Manner::Redirects => (StatusCode::TEMPORARY_REDIRECT, [("location", "/v1/elsewhere")]).into_response(),
        Manner::Unsigned => json!({"document": document, "signature": ""}).to_string().into_response(),
        Manner::Rekeyed => sealed(&till.stranger, Domain::Receipt, &document).into_response(),
        Manner::OtherDomain => sealed(&till.keys, Domain::Entitlement, &document).into_response(),
        // The head promises more than comes.
        Manner::Breaks => {
            let half = futures_util::stream::iter([Ok(Bytes::from("{\"doc")), Err(std::io::Error::other("gone"))]);
            axum::body::Body::from_stream(half).into_response()
        }
        _ => good.into_response(),
    }
}

async fn bench() -> Bench {
    let home = tempfile::tempdir().unwrap();
    let keys =
        |name: &str, seed| Keys::open(&home.path().join(name), &mut rand::rngs::StdRng::seed_from_u64(seed)).unwrap();
    let till = Arc::new(Till {
        keys: keys("gateway", 1),
        stranger: keys("stranger", 2),
        manner: Mutex::new(Manner::Well),
        charged: Mutex::default(),
        heard: Mutex::default(),
        plan: Mutex::new("standard"),
    });
    let router = axum::Router::new()
        .route("/pay/v1/entitlements", axum::routing::post(entitle))
        .route("/pay/v1/charges", axum::routing::post(charge))
        .with_state(till.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/pay/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let pem = till.keys.public_pem(KeyName::Spawn).unwrap();
    let Billing::Gateway(gateway) = Billing::configured(&url, &pem).unwrap() else { panic!("no gateway") };
    let store = Store::open(&home.path().join("forge.db")).unwrap();
    Bench { store, till, gateway: *gateway, _home: home }
}

fn order(id: &str) -> Order {
    Order {
        subject: "ada".into(),
        tenant: "school".into(),
        lab: "ccna-ospf".into(),
        request_id: id.into(),
        nonce: format!("nonce-of-{id}"),
        correlation: "c".into(),
    }
}

impl Bench {
    async fn start(&self, id: &str, now: i64) -> Result<Settlement> {
        let order = order(id);
        let quote = self.gateway.quote(&self.store, &order, now).await?;
        self.gateway.settle(&self.store, quote, &order, now).await
    }

    fn manner(&self, manner: Manner) {
        *self.till.manner.lock().unwrap() = manner;
    }

    fn charged(&self) -> usize {
        self.till.charged.lock().unwrap().len()
    }

    async fn entries(&self, kind: &str) -> Vec<audit::Body> {
        let rows = self.store.read(|c| crate::store::audit::search(c, &crate::store::audit::Search::default(), 100));
        let all = rows.await.unwrap().into_iter().map(|r| serde_json::from_str::<audit::Body>(&r.entry).unwrap());
        all.filter(|e| e.kind == kind).collect()
    }

    async fn audited(&self, kind: &str) -> usize {
        self.entries(kind).await.len()
    }
}

#[tokio::test]
async fn a_start_is_granted_charged_once_and_audited() {
    let b = bench().await;
    let paid = b.start("r1", NOW).await.unwrap();
    assert_eq!(paid.order(), Some("r1"));
    assert_eq!(
        *b.till.heard.lock().unwrap(),
        [("entitlements".into(), String::new()), ("charges".into(), "r1".into())]
    );
    assert_eq!((b.charged(), b.audited("billing.ordered").await, b.audited("billing.charged").await), (1, 1, 1));
    let entry = b.entries("billing.charged").await.remove(0);
    assert_eq!((&entry.data["receipt"]["amount"], &entry.data["receipt"]["currency"]), (&json!(250), &json!("EUR")));
    assert_eq!(entry.data["key_id"], json!(b.gateway.key_id()));
    let kept = b.store.read(|c| charges::get(c, "r1")).await.unwrap().unwrap();
    assert!(kept.receipt.unwrap().contains("signature"));
    // Paid and not used: any further start of the lab uses it, without asking.
    let again = b.start("r2", NOW + 1000).await.unwrap();
    assert_eq!((again.order(), b.till.heard.lock().unwrap().len()), (Some("r1"), 2));
}

#[tokio::test]
async fn whatever_goes_wrong_is_named_starts_nothing_and_is_charged_once() {
    let wrongs = [
        (Manner::Breaks, "garbage", "cannot be read"),
        (Manner::Fails, "server", "HTTP 503"),
        (Manner::Redirects, "server", "HTTP 307"),
        (Manner::Garbage, "garbage", "not of the agreed form"),
        (Manner::Huge, "garbage", "longer than"),
        (Manner::Unsigned, "signature", "not signed"),
        (Manner::Rekeyed, "signature", "not signed with the key that is pinned"),
        (Manner::OtherDomain, "signature", "not signed"),
        (Manner::Dearer, "amount", "amount “251” where “250”"),
        (Manner::OtherLab, "mismatch", "lab “netplus-dns”"),
        (Manner::OtherNonce, "mismatch", "nonce"),
        (Manner::Expired, "expired", "expired at"),
        (Manner::Future, "expired", "in the future"),
        (Manner::Extra, "garbage", "unknown field `note`"),
    ];
    for (manner, kind, word) in wrongs {
        let b = bench().await;
        b.manner(manner);
        let e = b.start("r1", NOW).await.unwrap_err();
        assert_eq!((e.code, kind_of(&e)), (Code::PaymentFailed, Some(kind)), "{manner:?}: {}", e.message);
        assert!(e.message.contains(word), "{manner:?}: {}", e.message);
        assert!(e.hints.iter().any(|h| h.contains("nothing is charged twice")), "{manner:?}");
        assert_eq!((b.audited("billing.charged").await, b.audited("billing.unsettled").await), (0, 1), "{manner:?}");
        // Another click, another request id: the same order, and one charge.
        b.manner(Manner::Well);
        let paid = b.start("r2", NOW + 1000).await.unwrap();
        assert_eq!((paid.order(), b.charged()), (Some("r1"), 1), "{manner:?}");
        assert_eq!(b.audited("billing.charged").await, 1);
    }
}

#[tokio::test]
async fn a_slow_gateway_is_given_up_and_the_lost_answer_costs_nothing() {
    let b = bench().await;
    b.manner(Manner::Slow);
    let began = std::time::Instant::now();
    let e = b.start("r1", NOW).await.unwrap_err();
    assert_eq!(kind_of(&e), Some("timeout"));
    assert!(began.elapsed() < ANSWER_IN + Duration::from_secs(4));
    b.manner(Manner::Well);
    b.start("r1", NOW + 1000).await.unwrap();
    assert_eq!(b.charged(), 1);
}

#[tokio::test]
async fn a_crash_between_question_and_answer_charges_once() {
    let b = bench().await;
    // As a killed process leaves it: the order is written, the answer was never seen.
    let order = order("r1");
    let Quote::Offer(grant) = b.gateway.quote(&b.store, &order, NOW).await.unwrap() else { panic!("open") };
    b.gateway.ordered(&b.store, &grant, &order, NOW).await.unwrap();
    let row = b.store.read(|c| charges::get(c, "r1")).await.unwrap().unwrap();
    assert_eq!((row.state, row.receipt), (ChargeState::Ordered, None));
    let paid = b.start("r7", NOW + 60_000).await.unwrap();
    assert_eq!((paid.order(), b.charged()), (Some("r1"), 1));
}

#[tokio::test]
async fn two_starts_at_once_are_one_order() {
    let b = bench().await;
    let (x, y) = tokio::join!(b.start("r1", NOW), b.start("r2", NOW));
    assert_eq!(x.unwrap().order(), y.unwrap().order());
    assert_eq!((b.charged(), b.audited("billing.charged").await), (1, 1));
}

#[tokio::test]
async fn nobody_there_and_a_clear_no() {
    let b = bench().await;
    let gone = Billing::configured("http://127.0.0.1:9", &b.till.keys.public_pem(KeyName::Spawn).unwrap()).unwrap();
    let Billing::Gateway(gone) = gone else { panic!("no gateway") };
    let e = gone.quote(&b.store, &order("r1"), NOW).await.unwrap_err();
    assert_eq!(kind_of(&e), Some("unreachable"));
    b.manner(Manner::Refuses);
    assert_eq!(kind_of(&b.start("r1", NOW).await.unwrap_err()), Some("refused"));
    assert_eq!((b.charged(), b.audited("billing.void").await), (0, 1));
    // Not the old order, which the gateway refused.
    b.manner(Manner::Well);
    assert_eq!(b.start("r2", NOW).await.unwrap().order(), Some("r2"));
}

#[tokio::test]
async fn a_receipt_that_ran_out_unused_starts_nothing() {
    let b = bench().await;
    b.start("r1", NOW).await.unwrap();
    let e = b.start("r2", NOW + 600_000).await.unwrap_err();
    assert_eq!(kind_of(&e), Some("expired"));
    assert_eq!(b.audited("billing.void").await, 1);
    let row = b.store.read(|c| charges::get(c, "r1")).await.unwrap().unwrap();
    assert_eq!(row.state, ChargeState::Void);
}

#[tokio::test]
async fn a_stored_receipt_is_verified_again() {
    let b = bench().await;
    b.start("r1", NOW).await.unwrap();
    let forge = "UPDATE charges SET receipt = replace(receipt, '\"amount\":250', '\"amount\":1')";
    b.store.write(move |tx| Ok(tx.execute_batch(forge)?)).await.unwrap();
    assert_eq!(kind_of(&b.start("r2", NOW).await.unwrap_err()), Some("signature"));
}

#[tokio::test]
async fn a_payment_starts_one_lab_and_comes_back_if_that_never_got_ready() {
    let b = bench().await;
    b.start("r1", NOW).await.unwrap();
    let spend = |run: &'static str| b.store.write(move |tx| charges::spend(tx, "r1", run));
    spend("run-a").await.unwrap();
    assert_eq!(spend("run-b").await.unwrap_err().code, Code::Denied);
    // Used: the next start is a new order.
    assert_eq!(b.start("r2", NOW).await.unwrap().order(), Some("r2"));
    assert_eq!(b.charged(), 2);
}

#[test]
fn a_gateway_is_whole_or_not_at_all() {
    let key = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    assert!(matches!(Billing::configured(" ", ""), Ok(Billing::Stub)));
    assert!(matches!(Billing::configured("https://pay.example", key), Ok(Billing::Gateway(_))));
    for (url, key) in [("https://pay.example", ""), ("", key), ("https://pay.example", "abc"), ("pay", key)] {
        assert_eq!(Billing::configured(url, key).unwrap_err().code, Code::InvalidInput, "{url} {key}");
    }
    // The identity point: everything verifies under it.
    let weak = format!("01{}", "00".repeat(31));
    assert!(Billing::configured("https://pay.example", &weak).is_err());
}

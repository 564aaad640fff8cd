//! `forge start` where a gateway charges for it. The gateway is a real HTTP server on the loopback interface, with keys of its own.

use crate::bench::{Bench, LAB, run_of};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use forge_core::keys::{Domain, KeyName, Keys};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

#[derive(Clone, Copy, PartialEq)]
enum Manner {
    Well,
    /// It charges, and its answer is lost.
    Breaks,
    /// Somebody else signs.
    Forged,
    /// It charges more than it granted.
    Dearer,
}

struct Till {
    keys: Keys,
    stranger: Keys,
    manner: Mutex<Manner>,
    /// Idempotency key → what was charged under it.
    charged: Mutex<BTreeMap<String, Value>>,
    /// Idempotency keys of all charges asked for.
    asked: Mutex<Vec<String>>,
    plan: &'static str,
}

fn signed(keys: &Keys, domain: Domain, document: &Value) -> Response {
    // Strings and whole numbers, members sorted: already the canonical form.
    let sorted: BTreeMap<&String, &Value> = document.as_object().unwrap().iter().collect();
    let signature = keys.sign(KeyName::Spawn, domain, serde_json::to_string(&sorted).unwrap().as_bytes()).unwrap();
    let hex: String = signature.iter().map(|b| format!("{b:02x}")).collect();
    json!({"document": document, "signature": hex}).to_string().into_response()
}

fn with(document: &Bytes, more: Value) -> Value {
    let mut document: Value = serde_json::from_slice(document).unwrap();
    let now = jiff::Timestamp::now();
    let times = json!({"iat": now.to_string(), "exp": (now + jiff::SignedDuration::from_mins(10)).to_string()});
    for add in [times, more] {
        document.as_object_mut().unwrap().extend(add.as_object().unwrap().clone());
    }
    document
}

async fn entitle(State(till): State<Arc<Till>>, body: Bytes) -> Response {
    let grant = with(&body, json!({"plan": till.plan, "amount": 250, "currency": "EUR"}));
    signed(&till.keys, Domain::Entitlement, &grant)
}

async fn charge(State(till): State<Arc<Till>>, headers: HeaderMap, body: Bytes) -> Response {
    let Some(key) = headers.get("idempotency-key") else { return StatusCode::BAD_REQUEST.into_response() };
    let key = key.to_str().unwrap().to_owned();
    till.asked.lock().unwrap().push(key.clone());
    till.charged.lock().unwrap().entry(key).or_insert_with(|| serde_json::from_slice(&body).unwrap());
    let receipt = with(&body, json!({}));
    let manner = *till.manner.lock().unwrap();
    match manner {
        Manner::Well => signed(&till.keys, Domain::Receipt, &receipt),
        Manner::Forged => signed(&till.stranger, Domain::Receipt, &receipt),
        Manner::Dearer => signed(&till.keys, Domain::Receipt, &with(&body, json!({"amount": 251}))),
        Manner::Breaks => {
            let half = futures_util::stream::iter([Ok(Bytes::from("{\"doc")), Err(std::io::Error::other("gone"))]);
            axum::body::Body::from_stream(half).into_response()
        }
    }
}

struct Shop {
    till: Arc<Till>,
    b: Bench,
    _keys: tempfile::TempDir,
}

async fn shop(plan: &'static str, manner: Manner) -> Shop {
    let folder = tempfile::tempdir().unwrap();
    let keys = |name: &str| Keys::open(&folder.path().join(name), &mut rand::rng()).unwrap();
    let till = Arc::new(Till {
        keys: keys("gateway"),
        stranger: keys("stranger"),
        manner: Mutex::new(manner),
        charged: Mutex::default(),
        asked: Mutex::default(),
        plan,
    });
    let router = axum::Router::new()
        .route("/pay/v1/entitlements", axum::routing::post(entitle))
        .route("/pay/v1/charges", axum::routing::post(charge))
        .with_state(till.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/pay/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let pem = till.keys.public_pem(KeyName::Spawn).unwrap();
    let env = [("FORGE_BILLING_URL", url.as_str()), ("FORGE_BILLING_KEY", &pem), ("FORGE_SUBJECT", "ada")];
    Shop { b: Bench::new(&env), till, _keys: folder }
}

impl Shop {
    fn charged(&self) -> usize {
        self.till.charged.lock().unwrap().len()
    }

    fn manner(&self, manner: Manner) {
        *self.till.manner.lock().unwrap() = manner;
    }

    /// A start that comes to nothing: paid or not, no run and no container.
    fn fails(&self, kind: &str) {
        let e = self.b.refused(3, &["start", LAB]);
        assert_eq!((&e["code"], &e["details"]["kind"]), (&json!("payment_failed"), &json!(kind)), "{e}");
        assert!(!e["hints"].as_array().unwrap().is_empty(), "{e}");
        assert!(self.b.left().is_empty());
        assert_eq!(self.b.ask(&["ps", "--all"]), json!([]), "a run without a payment");
    }

    fn states(&self) -> Vec<String> {
        let plan = self.b.ask(&["plan"]);
        let charges = plan["billing"]["charges"].as_array().unwrap();
        charges.iter().map(|c| c["state"].as_str().unwrap().to_owned()).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_is_charged_once_and_its_receipt_is_in_the_audit_log() {
    let s = shop("basic", Manner::Well).await;
    let run = run_of(&s.b.ask(&["start", LAB, "--request-id", "first"]));
    assert_eq!(s.charged(), 1);
    // A second click: the same run, and nothing to pay.
    assert_eq!(run_of(&s.b.ask(&["start", LAB, "--request-id", "first"])), run);
    assert_eq!((s.charged(), s.till.asked.lock().unwrap().as_slice()), (1, &["first".to_owned()][..]));
    let [entry] = s.b.audit("billing.charged").try_into().unwrap();
    let receipt = &entry["data"]["receipt"];
    assert_eq!(
        (&receipt["amount"], &receipt["currency"], &receipt["subject"]),
        (&json!(250), &json!("EUR"), &json!("ada"))
    );
    assert_eq!(entry["data"]["key_id"], s.till.keys.id(KeyName::Spawn).unwrap());
    assert_eq!(s.b.audit("billing.ordered").len(), 1);
    // The token that started the run names the order that paid for it.
    assert_eq!(s.b.audit("token.spent")[0]["data"]["order"], "first");
    assert_eq!(s.states(), ["used"]);
    assert_eq!(s.b.shell(&run, "pc", "true").0, 0);
    s.b.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_asked_for_again_and_charged_once() {
    let s = shop("basic", Manner::Breaks).await;
    s.fails("garbage");
    assert_eq!((s.charged(), s.states()), (1, vec!["ordered".to_owned()]));
    s.manner(Manner::Well);
    s.b.start();
    assert_eq!(s.charged(), 1, "charged twice for one start");
    let asked = s.till.asked.lock().unwrap().clone();
    assert!(asked.len() == 2 && asked[0] == asked[1], "{asked:?}");
    assert_eq!(s.b.audit("billing.unsettled").len(), 1);
    assert_eq!(s.states(), ["used"]);
    s.b.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_that_is_forged_or_dearer_starts_nothing() {
    let s = shop("basic", Manner::Forged).await;
    s.fails("signature");
    s.manner(Manner::Dearer);
    s.fails("amount");
    assert!(s.b.audit("billing.charged").is_empty() && s.b.audit("token.spent").is_empty());
    s.manner(Manner::Well);
    s.b.start();
    assert_eq!(s.charged(), 1);
    s.b.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_gates_refuse_is_not_charged() {
    let s = shop("free", Manner::Well).await;
    s.b.start();
    let e = s.b.refused(3, &["start", LAB, "--seed", "t"]);
    assert!(e["message"].as_str().unwrap().contains("1 at once are allowed"), "{e}");
    assert_eq!(s.charged(), 1);
    s.b.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_down_is_an_error_that_says_so() {
    let mut s = shop("basic", Manner::Well).await;
    let nobody = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}/", listener.local_addr().unwrap())
    };
    s.b.set("FORGE_BILLING_URL", &nobody);
    s.fails("unreachable");
    assert_eq!((s.charged(), s.states().len()), (0, 0));
    // Half a gateway is no free lab either.
    s.b.set("FORGE_BILLING_KEY", "");
    let e = s.b.refused(2, &["start", LAB]);
    assert!(e["message"].as_str().unwrap().contains("both its address and its public key"), "{e}");
    s.b.set("FORGE_BILLING_URL", "");
    s.b.end();
}

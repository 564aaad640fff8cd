//! Tokens are good once, for one thing, and for two minutes.

use super::*;

fn claims() -> Claims {
    Claims {
        jti: "00112233445566778899aabbccddeeff".into(),
        sub: "learner".into(),
        tenant: "local".into(),
        request_id: "request-1".into(),
        lab: "ccna-ospf-single-area".into(),
        template_digest: "ab".repeat(32),
        policy_digest: "cd".repeat(32),
        plan: "practice".into(),
        tier: "foundation".into(),
        limits: TokenLimits { cpu_milli: 1500, memory_mb: 512, minutes: 90, pids: 256, disk_mb: 256 },
        iat: instant(NOW).unwrap(),
        exp: instant(NOW + LIFE_MS).unwrap(),
    }
}

fn expected(claims: &Claims) -> Expected<'_> {
    Expected {
        subject: &claims.sub,
        tenant: &claims.tenant,
        request_id: &claims.request_id,
        lab: &claims.lab,
        plan: &claims.plan,
        tier: &claims.tier,
        limits: claims.limits,
        template_digest: &claims.template_digest,
        policy_digest: &claims.policy_digest,
    }
}

/// Tries to spend in a transaction that is kept if it works.
async fn try_spend(b: &Bench, token: String, claims: Claims, now: i64) -> Result<()> {
    let keys = b.keys.clone();
    b.store.write(move |tx| spend(tx, &keys, &token, &expected(&claims), "run", now).map(|_| ())).await
}

#[tokio::test]
async fn a_token_is_good_once_and_for_two_minutes() {
    let b = bench();
    let token = mint(&b.keys, &claims()).unwrap();
    for now in [NOW - 1, NOW + LIFE_MS, NOW + 10 * LIFE_MS, i64::MAX] {
        assert_eq!(try_spend(&b, token.clone(), claims(), now).await.unwrap_err().code, Code::TokenInvalid);
    }
    try_spend(&b, token.clone(), claims(), NOW + LIFE_MS - 1).await.unwrap();
    assert_eq!(try_spend(&b, token, claims(), NOW + 1).await.unwrap_err().code, Code::TokenSpent);
    for exp in [NOW + LIFE_MS + 1, NOW + 2 * LIFE_MS, NOW, NOW - 1] {
        let mut odd = claims();
        odd.jti = "f".repeat(32);
        odd.exp = instant(exp).unwrap();
        let token = mint(&b.keys, &odd).unwrap();
        assert_eq!(try_spend(&b, token, odd, NOW).await.unwrap_err().code, Code::TokenInvalid, "{exp}");
    }
    let mut short = claims();
    short.jti = "e".repeat(32);
    short.exp = instant(NOW + 1000).unwrap();
    let token = mint(&b.keys, &short).unwrap();
    assert_eq!(try_spend(&b, token.clone(), short.clone(), NOW + 1000).await.unwrap_err().code, Code::TokenInvalid);
    try_spend(&b, token, short, NOW + 999).await.unwrap();
}

#[tokio::test]
async fn a_token_for_something_else_is_refused() {
    let b = bench();
    let token = mint(&b.keys, &claims()).unwrap();
    // Each claim says something else than what is about to be done; nothing but that claim is wrong.
    type Change = (&'static str, fn(&mut Claims));
    let changes: [Change; 13] = [
        ("signed here", |c| c.template_digest = "ee".repeat(32)),
        ("signed here", |c| c.policy_digest = "ee".repeat(32)),
        ("another subject", |c| c.sub = "somebody".into()),
        ("another organisation", |c| c.tenant = "school".into()),
        ("another request", |c| c.request_id = "request-2".into()),
        ("another lab", |c| c.lab = "netplus-dns".into()),
        ("another plan", |c| c.plan = "enterprise".into()),
        ("another tier", |c| c.tier = "expert".into()),
        ("another set of limits", |c| c.limits.cpu_milli = 16_000),
        ("another set of limits", |c| c.limits.memory_mb = 16_384),
        ("another set of limits", |c| c.limits.minutes = 900),
        ("another set of limits", |c| c.limits.pids = 9999),
        ("another set of limits", |c| c.limits.disk_mb = 9999),
    ];
    for (word, change) in changes {
        let mut other = claims();
        change(&mut other);
        let e = try_spend(&b, token.clone(), other, NOW).await.unwrap_err();
        assert_eq!(e.code, Code::TokenInvalid);
        assert!(e.message.contains(word), "{word}: {}", e.message);
    }
    let mut guessable = claims();
    guessable.jti = "1".into();
    let weak = mint(&b.keys, &guessable).unwrap();
    assert_eq!(try_spend(&b, weak, guessable, NOW).await.unwrap_err().code, Code::TokenInvalid);
    let elsewhere = bench();
    let stranger = Keys::open(elsewhere.home.path().join("other").as_path(), &mut rng(77)).unwrap();
    let forged = mint(&stranger, &claims()).unwrap();
    assert_eq!(try_spend(&b, forged, claims(), NOW).await.unwrap_err().code, Code::TokenInvalid);
    // A rotation does not strand a token that is on its way.
    b.keys.rotate(KeyName::Spawn, NOW, &mut rng(5)).unwrap();
    try_spend(&b, token, claims(), NOW).await.unwrap();
}

/// The digests are bound twice; each binding must hold where the other one is got round.
#[tokio::test]
async fn claims_and_implicit_assertion_bind_each_by_itself() {
    use pasetors::keys::AsymmetricSecretKey;
    use pasetors::version4::{PublicToken, V4};
    let b = bench();
    let secret = AsymmetricSecretKey::<V4>::from(b.keys.spawn_pair().unwrap().as_slice()).unwrap();
    let footer = format!("{{\"kid\":\"{}\"}}", b.keys.id(KeyName::Spawn).unwrap());
    let asserted = |c: &Claims| {
        format!("{{\"policy_digest\":\"{}\",\"template_digest\":\"{}\"}}", c.policy_digest, c.template_digest)
    };
    let signed = |inside: &Claims, implicit: &str, footer: &str| {
        let payload = serde_json_canonicalizer::to_vec(inside).unwrap();
        PublicToken::sign(&secret, &payload, Some(footer.as_bytes()), Some(implicit.as_bytes())).unwrap()
    };
    let good = claims();
    for change in [(|c| c.template_digest = "ee".repeat(32)) as fn(&mut Claims), |c| c.policy_digest = "ee".repeat(32)]
    {
        let mut other = claims();
        change(&mut other);
        // The claims are right, the assertion is another's; then the other way round.
        let e = try_spend(&b, signed(&good, &asserted(&other), &footer), claims(), NOW).await.unwrap_err();
        assert!(e.message.contains("not signed here"), "{}", e.message);
        let e = try_spend(&b, signed(&other, &asserted(&good), &footer), claims(), NOW).await.unwrap_err();
        assert!(e.message.contains("made for another"), "{}", e.message);
    }
    assert!(try_spend(&b, signed(&good, "", &footer), claims(), NOW).await.is_err());
    let stranger = format!("{{\"kid\":\"{}\"}}", "0".repeat(32));
    assert!(try_spend(&b, signed(&good, &asserted(&good), &stranger), claims(), NOW).await.is_err());
    try_spend(&b, signed(&good, &asserted(&good), &footer), claims(), NOW).await.unwrap();
}

#[tokio::test]
async fn a_token_is_spent_with_its_launch_intent_or_not_at_all() {
    let b = bench();
    let trap = "CREATE TRIGGER trap BEFORE INSERT ON intents BEGIN SELECT raise(ABORT, 'no intent'); END";
    b.store.write(move |tx| Ok(tx.execute_batch(trap)?)).await.unwrap();
    assert_eq!(b.admit(request(1)).await.unwrap_err().code, Code::StoreFailed);
    assert_eq!((b.count("spent_tokens").await, b.count("runs").await, b.count("audit").await), (0, 0, 0));
    b.store.write(|tx| Ok(tx.execute_batch("DROP TRIGGER trap")?)).await.unwrap();
    // The same token id is good again, because it was never spent.
    assert!(matches!(b.admit(request(1)).await, Ok(Admission::New(..))));
    assert_eq!(b.count("spent_tokens").await, 1);
}

#[tokio::test]
async fn every_byte_of_a_token_counts() {
    let b = bench();
    let token = mint(&b.keys, &claims()).unwrap();
    let keys = b.keys.clone();
    let text = token.clone();
    let accepted = b
        .store
        .write(move |tx| {
            let mut accepted = Vec::new();
            for i in 0..text.len() {
                for with in ["A", "B", "_", ".", "=", ""] {
                    let forged = format!("{}{with}{}", &text[..i], &text[i + 1..]);
                    if forged == text {
                        continue;
                    }
                    match spend(tx, &keys, &forged, &expected(&claims()), "run", NOW) {
                        Err(e) => assert_eq!(e.code, Code::TokenInvalid, "at {i}"),
                        Ok(_) => accepted.push(i),
                    }
                }
            }
            Ok(accepted)
        })
        .await
        .unwrap();
    assert_eq!(accepted, Vec::<usize>::new());
    for odd in ["", "v4.public.", "v4.local.AAAA", "v3.public.AAAA", &format!("{token}.x"), &format!(" {token}")] {
        assert_eq!(try_spend(&b, odd.into(), claims(), NOW).await.unwrap_err().code, Code::TokenInvalid, "{odd}");
    }
    try_spend(&b, token, claims(), NOW).await.unwrap();
}

#[test]
fn the_layout_of_the_token_is_pinned() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("keys")).unwrap();
    // The test key of RFC 8032, section 7.1, test 1.
    let pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";
    std::fs::write(home.path().join("keys/spawn.pem"), pem).unwrap();
    let keys = Keys::open(home.path(), &mut rng(1)).unwrap();
    let payload = serde_json_canonicalizer::to_string(&claims()).unwrap();
    let text = format!("{payload}\n{}\n", mint(&keys, &claims()).unwrap());
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/spawn-token.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

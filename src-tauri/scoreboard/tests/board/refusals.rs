//! What is refused, and how.
use crate::support::*;
use forge_core::api::TrustTier;
use forge_core::board::RefusalCode;
use forge_core::verdict::{canonical, statement::Statement};
use forge_scoreboard::bench::workshop::{Laptop, Made, Wish};
use serde_json::{Value, json};

/// Each kind of bad input has its own code, is counted, and leaves nothing behind.
pub async fn refusals(server: &Server, mara: &Person, joe: &Person) {
    let before = server.get("/v1/stats").await.1["verdicts"].clone();
    let good = mara.made("refuse-me", SSH);
    let lab = scenario("seed-refuse");
    let expect = |(status, answer): (u16, Value), wanted: RefusalCode| {
        assert_eq!((status, code(&answer)), (wanted.status(), wanted.as_str()), "{answer}");
    };
    use RefusalCode::*;
    let text = String::from_utf8(good.envelope.clone()).unwrap();
    expect(server.submit(b"nonsense").await, Malformed);
    expect(server.submit(&good.envelope[..good.envelope.len() / 2]).await, Truncated);
    expect(server.submit(&vec![b' '; 300 << 10]).await, TooLarge);
    expect(server.submit(text.replacen(':', ": ", 1).as_bytes()).await, Reordered);
    expect(server.submit(text.replace("in-toto+json", "in-toto2+json").as_bytes()).await, UnknownVersion);
    let mut envelope: Value = serde_json::from_str(&text).unwrap();
    let sig = envelope["signatures"][0]["sig"].as_str().unwrap().to_owned();
    envelope["signatures"][0]["sig"] =
        json!(sig.chars().rev().collect::<String>().replace('=', "A")[..86].to_owned() + "==");
    let (_, answer) = server.submit(&canonical::to_bytes(&envelope).unwrap()).await;
    assert!(["bad_signature", "malformed"].contains(&code(&answer)), "{answer}");
    let unknown = Laptop::new(tempfile::tempdir().unwrap().path()).unwrap();
    expect(server.submit(&unknown.seal(&lab, SSH, &Wish::new("u", now())).unwrap().envelope).await, UnknownKey);
    // Under Joe's name with Mara's signature, and the other way round.
    let renamed = text.replace(&mara.laptop.key_id, &joe.laptop.key_id);
    expect(server.submit(renamed.as_bytes()).await, BadSignature);
    let signed = |person: &Person, change: &dyn Fn(&mut Statement)| {
        let mut s = mara.laptop.draft(&lab, SSH, &Wish::new("signed-run", now())).unwrap().0;
        change(&mut s);
        person.laptop.sign(&s).unwrap().1
    };
    expect(server.submit(&signed(joe, &|_| {})).await, Rekeyed);
    expect(server.submit(&signed(mara, &|s| s.predicate.forge.finished += 3_600_000)).await, FutureDated);
    expect(server.submit(&signed(mara, &|s| s.predicate.forge.score = 3000)).await, Inconsistent);
    expect(server.submit(&signed(mara, &|s| s.predicate.forge.tier = TrustTier::ReGraded)).await, Inconsistent);
    expect(server.submit(&signed(mara, &|s| s.subject.swap(0, 1))).await, Reordered);
    expect(server.submit(&signed(mara, &|s| s.predicate.forge.run = "../../etc".into())).await, Malformed);
    expect(
        server.submit(&signed(mara, &|s| s.predicate.forge.challenge = Some("made-up".into()))).await,
        UnknownChallenge,
    );
    let mut other = serde_json::to_value(mara.laptop.draft(&lab, SSH, &Wish::new("v2", now())).unwrap().0).unwrap();
    other["_type"] = json!("https://in-toto.io/Statement/v2");
    expect(
        server.submit(&mara.laptop.sign_bytes(&canonical::to_bytes(&other).unwrap()).unwrap().1).await,
        UnknownVersion,
    );
    // Replayed: the run again, otherwise; and Mara's evidence under Joe's key.
    expect(
        server.submit(&mara.laptop.seal(&lab, BOTH, &Wish::new("mara-1", now())).unwrap().envelope).await,
        RunExists,
    );
    expect(server.submit(&joe.laptop.seal(&lab, BOTH, &Wish::new("mara-1", now())).unwrap().envelope).await, Rekeyed);
    // Bundles.
    let mut swapped = good.clone();
    swapped.score = joe.made("joe-1", BOTH).score;
    expect(server.submit_bundle(&swapped).await, DigestMismatch);
    let mut cut = good.clone();
    cut.evidence.truncate(cut.evidence.len() - 20);
    expect(server.submit_bundle(&cut).await, Truncated);
    let with_tar = |tar: Vec<u8>, run: &str| {
        let (mut s, score, _) = mara.laptop.draft(&lab, SSH, &Wish::new(run, now())).unwrap();
        let zst = zstd::encode_all(tar.as_slice(), 3).unwrap();
        s.subject[1].digest.sha256 = canonical::sha256(&zst);
        s.subject[2].digest.sha256 = canonical::sha256(&tar);
        let (id, envelope) = mara.laptop.sign(&s).unwrap();
        Made { id, envelope, score, evidence: zst }
    };
    expect(server.submit_bundle(&with_tar(tar_of("../escape", b"x"), "path")).await, UnsafePath);
    expect(server.submit_bundle(&with_tar(tar_of("x", b"x"), "nolist")).await, EvidenceInvalid);
    expect(server.submit_bundle(&with_tar(tar_of("zeros", &vec![0; 600 << 20]), "bomb")).await, Bomb);
    // A lab made easier: everything agrees, but the server knows the template.
    let mut easier = scenario("seed-easy");
    easier.criteria[1].evidence = easier.criteria[0].evidence.clone();
    expect(server.submit_bundle(&mara.laptop.seal(&easier, SSH, &Wish::new("easier", now())).unwrap()).await, OtherLab);
    // An outcome that the evidence does not give.
    let (mut s, _, evidence) = mara.laptop.draft(&lab, SSH, &Wish::new("better", now())).unwrap();
    let (b, score, _) = mara.laptop.draft(&lab, BOTH, &Wish::new("better", now())).unwrap();
    s.subject[0] = b.subject[0].clone();
    let subjects = s.subject.clone();
    s.predicate = b.predicate.clone();
    s.subject = subjects;
    let (id, envelope) = mara.laptop.sign(&s).unwrap();
    expect(server.submit_bundle(&Made { id, envelope, score, evidence }).await, RegradeDiffers);
    assert_eq!(server.get("/v1/stats").await.1["verdicts"], before, "something refused was stored");
    let left: Vec<_> = std::fs::read_dir(server.data.join("incoming")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    let metrics = reqwest::get(format!("{}/metrics", server.url)).await.unwrap().text().await.unwrap();
    assert!(metrics.contains("forge_scoreboard_refused_total{code=\"bomb\"} 1"), "{metrics}");
    // What was refused for its surroundings alone is good afterwards.
    assert_eq!(server.submit_bundle(&good).await.0, 201);
}

fn tar_of(path: &str, bytes: &[u8]) -> Vec<u8> {
    let mut b = tar::Builder::new(Vec::new());
    let mut h = tar::Header::new_ustar();
    h.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
    h.set_entry_type(tar::EntryType::Regular);
    h.set_size(bytes.len() as u64);
    h.set_mode(0o644);
    h.set_cksum();
    b.append(&h, bytes).unwrap();
    b.into_inner().unwrap()
}

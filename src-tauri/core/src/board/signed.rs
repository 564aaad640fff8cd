//! A statement of a scoreboard or laptop with its signature beside it, which may be for many statements at once.

use crate::canonical;
use crate::error::{Code, Error, Result};
use crate::keys::{Domain, KeyName, Keys, PublicKey};
use crate::merkle::{self, Hash};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `signature` (hex, 64 bytes) is over the RFC 8785 form of `body`, under a domain that depends on what `body` is; or, where
/// `among` is there, over the head of the tree that it leads to. Unknown members are refused when reading, so what is verified is
/// all that was sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Signed<T> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub among: Option<Among>,
    pub body: T,
    pub key_id: String,
    pub signature: String,
}

/// Where a body stands among those that one signature is for. They are the leaves of the Merkle tree of RFC 6962 (section 2.1),
/// each as its RFC 8785 form; signed is the number of leaves (8 bytes, big-endian) and then the root, under the domain
/// [`of_many`](Domain::of_many). So each can be shown to a stranger without the others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Among {
    /// From 0.
    pub index: u32,
    pub of: u32,
    /// The audit path, from the leaf up: its hashes of 32 bytes one after the other, in base64.
    pub path: String,
}

impl<T: Serialize> Signed<T> {
    pub fn seal(body: T, keys: &Keys, name: KeyName, domain: Domain) -> Result<Self> {
        let bytes = canonical::to_bytes(&body)?;
        let signature = hex::encode(keys.sign(name, domain, &bytes)?);
        Ok(Self { among: None, body, key_id: keys.id(name)?, signature })
    }

    /// Each as if by itself, with one signature for all of them: signing costs as much as all else that is done for one.
    pub fn seal_all(bodies: Vec<T>, keys: &Keys, name: KeyName, domain: Domain) -> Result<Vec<Self>> {
        if bodies.len() < 2 {
            return bodies.into_iter().map(|body| Self::seal(body, keys, name, domain)).collect();
        }
        let many = domain.of_many().ok_or_else(|| Error::internal("statements of this kind are signed one by one"))?;
        let leaves = bodies.iter().map(|body| Ok(merkle::leaf(&canonical::to_bytes(body)?)));
        let leaves = leaves.collect::<Result<Vec<Hash>>>()?;
        let of = u32::try_from(leaves.len()).map_err(Error::internal)?;
        let (root, paths) = merkle::whole(leaves);
        let signature = hex::encode(keys.sign(name, many, &head(of, &root))?);
        let key_id = keys.id(name)?;
        let one = |((index, body), path): ((u32, T), Vec<Hash>)| {
            let among = Some(Among { index, of, path: BASE64_STANDARD.encode(path.as_flattened()) });
            Self { among, body, key_id: key_id.clone(), signature: signature.clone() }
        };
        Ok((0..).zip(bodies).zip(paths).map(one).collect())
    }

    /// `KeyUnavailable` when it is not the work of this key.
    pub fn holds(&self, key: &PublicKey, domain: Domain) -> Result<()> {
        let bad = |why: &str| Error::new(Code::KeyUnavailable, format!("This statement is not genuine: {why}."));
        if self.key_id != key.id() {
            return Err(bad("it names another key than the one it was held against"));
        }
        let bytes = canonical::to_bytes(&self.body)?;
        let (domain, bytes) = match &self.among {
            None => (domain, bytes),
            Some(among) => {
                let many =
                    domain.of_many().ok_or_else(|| bad("one of its kind is never signed together with others"))?;
                (many, among.head(&bytes).ok_or_else(|| bad("it is not one of those that were signed together"))?)
            }
        };
        let signature = hex::decode(&self.signature).map_err(|_| bad("its signature is not hex"))?;
        if !key.verify(domain, &bytes, &signature) {
            return Err(bad("its signature does not hold"));
        }
        Ok(())
    }
}

impl Among {
    /// What was signed, if `leaf` is where this says; None when the path cannot be one.
    fn head(&self, leaf: &[u8]) -> Option<Vec<u8>> {
        let path = BASE64_STANDARD.decode(&self.path).ok()?;
        let (path, rest) = path.as_chunks::<32>();
        let root = merkle::root_from(merkle::leaf(leaf), self.index.into(), self.of.into(), path)?;
        rest.is_empty().then(|| head(self.of, &root))
    }
}

fn head(of: u32, root: &Hash) -> Vec<u8> {
    [&u64::from(of).to_be_bytes(), root.as_slice()].concat()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;

    fn board() -> (tempfile::TempDir, Keys, PublicKey) {
        let home = tempfile::tempdir().unwrap();
        let keys = Keys::open_board(home.path(), &mut rand::rngs::StdRng::seed_from_u64(7)).unwrap();
        let key = keys.public(KeyName::Board).unwrap();
        (home, keys, key)
    }

    #[test]
    fn it_holds_under_its_key_and_domain_only() {
        let (_home, keys, key) = board();
        let signed = Signed::seal("x".to_owned(), &keys, KeyName::Board, Domain::Acceptance).unwrap();
        assert!(signed.holds(&key, Domain::Acceptance).is_ok());
        assert!(signed.holds(&key, Domain::Challenge).is_err());
        let other = Signed { body: "y".to_owned(), ..signed.clone() };
        assert!(other.holds(&key, Domain::Acceptance).is_err());
        let renamed = Signed { key_id: "00".into(), ..signed };
        assert!(renamed.holds(&key, Domain::Acceptance).is_err());
        assert!(keys.public(KeyName::Learner).is_err(), "a scoreboard has no learner's key");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn each_of_many_holds_by_itself_and_nowhere_else(n in 2u32..70, pick in any::<prop::sample::Index>()) {
            let (_home, keys, key) = board();
            let bodies: Vec<String> = (0..n).map(|i| format!("body {i}")).collect();
            let all = Signed::seal_all(bodies.clone(), &keys, KeyName::Board, Domain::Acceptance).unwrap();
            prop_assert_eq!(all.iter().map(|s| s.body.clone()).collect::<Vec<_>>(), bodies);
            let one = &all[pick.index(all.len())];
            let holds = |signed: &Signed<String>| signed.holds(&key, Domain::Acceptance).is_ok();
            prop_assert!(all.iter().all(holds));
            let text = serde_json::to_string(one).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Signed<String>>(&text).unwrap(), one);

            let among = one.among.clone().unwrap();
            let lie = |among: Option<Among>| Signed { among, ..one.clone() };
            let elsewhere = Among { index: (among.index + 1) % n, ..among.clone() };
            let (more, none) = (Among { of: n + 1, ..among.clone() }, Among { of: 0, ..among.clone() });
            for wrong in [None, Some(elsewhere), Some(more), Some(none)] {
                prop_assert!(!holds(&lie(wrong)));
            }
            let path = BASE64_STANDARD.decode(&among.path).unwrap();
            let other = |path: &[u8]| lie(Some(Among { path: BASE64_STANDARD.encode(path), ..among.clone() }));
            for i in 0..path.len() {
                prop_assert!(!holds(&other(&[&path[..i], &[path[i] ^ 1], &path[i + 1..]].concat())));
                prop_assert!(!holds(&other(&path[..i])), "cut to {} bytes", i);
            }
            for more in [&[0][..], &[0; 32]] {
                prop_assert!(!holds(&other(&[&path, more].concat())));
                prop_assert!(!holds(&other(&[more, &path].concat())));
            }
            for path in ["=".into(), format!("{} ", among.path), hex::encode(&path)] {
                let spelled = Among { path, ..among.clone() };
                prop_assert!(!holds(&lie(Some(spelled))));
            }
            let foreign = Signed { body: "body x".to_owned(), ..one.clone() };
            prop_assert!(!holds(&foreign));
            prop_assert!(one.holds(&key, Domain::Acceptances).is_err());
        }
    }

    /// What is signed, and how it is written, is the format: a change of it is a new version.
    #[test]
    fn golden() {
        let (_home, keys, key) = board();
        let all = Signed::seal_all(vec!["a", "b", "c"], &keys, KeyName::Board, Domain::Acceptance).unwrap();
        let alone = Signed::seal("a", &keys, KeyName::Board, Domain::Acceptance).unwrap();
        let text = all.iter().chain([&alone]).map(|s| serde_json_canonicalizer::to_string(s).unwrap() + "\n");
        let text = format!("{}{}", key.pem(), text.collect::<String>());
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/receipts.txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(path, &text).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), text);
    }

    #[test]
    fn only_acceptances_are_signed_together() {
        let (_home, keys, key) = board();
        let two = || vec!["x".to_owned(), "y".to_owned()];
        assert!(Signed::seal_all(two(), &keys, KeyName::Board, Domain::Challenge).is_err());
        let one = Signed::seal_all(vec!["x".to_owned()], &keys, KeyName::Board, Domain::Challenge).unwrap();
        assert!(one[0].among.is_none() && one[0].holds(&key, Domain::Challenge).is_ok());
        assert!(Signed::<String>::seal_all(Vec::new(), &keys, KeyName::Board, Domain::Acceptance).unwrap().is_empty());
        // A head that was signed is no statement, and a statement no head: each has its own domain.
        let together = Signed::seal_all(two(), &keys, KeyName::Board, Domain::Acceptance).unwrap();
        assert!(together[0].holds(&key, Domain::Challenge).is_err());
    }
}

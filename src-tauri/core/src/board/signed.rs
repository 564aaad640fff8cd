//! A statement of a scoreboard or laptop with its signature beside it.

use crate::canonical;
use crate::error::{Code, Error, Result};
use crate::keys::{Domain, KeyName, Keys, PublicKey};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `signature` (hex, 64 bytes) is over the RFC 8785 form of `body`, under a domain that depends on what `body` is. Unknown
/// members are refused when reading, so what is verified is all that was sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Signed<T> {
    pub body: T,
    pub key_id: String,
    pub signature: String,
}

impl<T: Serialize> Signed<T> {
    pub fn seal(body: T, keys: &Keys, name: KeyName, domain: Domain) -> Result<Self> {
        let bytes = canonical::to_bytes(&body)?;
        let signature = hex::encode(keys.sign(name, domain, &bytes)?);
        Ok(Self { body, key_id: keys.id(name)?, signature })
    }

    /// `KeyUnavailable` when it is not the work of this key.
    pub fn holds(&self, key: &PublicKey, domain: Domain) -> Result<()> {
        let bad = |why: &str| Error::new(Code::KeyUnavailable, format!("This statement is not genuine: {why}."));
        if self.key_id != key.id() {
            return Err(bad("it names another key than the one it was held against"));
        }
        let bytes = canonical::to_bytes(&self.body)?;
        let signature = hex::decode(&self.signature).map_err(|_| bad("its signature is not hex"))?;
        if !key.verify(domain, &bytes, &signature) {
            return Err(bad("its signature does not hold"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn it_holds_under_its_key_and_domain_only() {
        let home = tempfile::tempdir().unwrap();
        let keys = Keys::open_board(home.path(), &mut rand::rng()).unwrap();
        let key = keys.public(KeyName::Board).unwrap();
        let signed = Signed::seal("x".to_owned(), &keys, KeyName::Board, Domain::Acceptance).unwrap();
        assert!(signed.holds(&key, Domain::Acceptance).is_ok());
        assert!(signed.holds(&key, Domain::Challenge).is_err());
        let other = Signed { body: "y".to_owned(), ..signed.clone() };
        assert!(other.holds(&key, Domain::Acceptance).is_err());
        let renamed = Signed { key_id: "00".into(), ..signed };
        assert!(renamed.holds(&key, Domain::Acceptance).is_err());
        assert!(keys.public(KeyName::Learner).is_err(), "a scoreboard has no learner's key");
    }
}

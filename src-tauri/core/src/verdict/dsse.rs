//! DSSE v1 (github.com/secure-systems-lab/dsse, protocol.md and envelope.md), the narrow part we need: one payload type,
//! one signature, standard base64 with padding, no unknown field.

use super::canonical;
use crate::error::{Code, Error, Result};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};

pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    payload: String,
    #[serde(rename = "payloadType")]
    payload_type: String,
    signatures: Vec<Signature>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signature {
    keyid: String,
    sig: String,
}

/// What an envelope holds, once it has been read.
#[derive(Clone, Debug, PartialEq)]
pub struct Opened {
    pub payload: Vec<u8>,
    pub key_id: String,
    pub signature: [u8; 64],
}

/// Pre-authentication encoding: `"DSSEv1" SP LEN(type) SP type SP LEN(payload) SP payload`, lengths in decimal bytes. This
/// is what is signed.
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut out = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    out.extend_from_slice(payload);
    out
}

/// A verdict's id: SHA-256 of its PAE, hex. Wrapping the same statement again gives the same id.
pub fn verdict_id(pae: &[u8]) -> String {
    canonical::sha256(pae)
}

pub fn write(payload: &[u8], key_id: &str, signature: &[u8; 64]) -> Result<Vec<u8>> {
    canonical::to_bytes(&Envelope {
        payload_type: PAYLOAD_TYPE.into(),
        payload: BASE64_STANDARD.encode(payload),
        signatures: vec![Signature { keyid: key_id.into(), sig: BASE64_STANDARD.encode(signature) }],
    })
}

/// Reads an envelope; says nothing about whether the signature holds.
pub fn read(bytes: &[u8]) -> Result<Opened> {
    let invalid = |why: &str| Error::new(Code::VerdictInvalid, format!("verdict.dsse.json {why}"));
    let envelope: Envelope = canonical::from_bytes("verdict.dsse.json", bytes)?;
    if envelope.payload_type != PAYLOAD_TYPE {
        return Err(invalid("has a payload of another type"));
    }
    // The standard engine refuses bad padding, left-over bits and foreign characters.
    let payload = BASE64_STANDARD.decode(&envelope.payload).map_err(|_| invalid("has a payload that is not base64"))?;
    let [signature] = envelope.signatures.as_slice() else {
        return Err(invalid("must have exactly one signature"));
    };
    let raw = BASE64_STANDARD.decode(&signature.sig).map_err(|_| invalid("has a signature that is not base64"))?;
    let signature_bytes: [u8; 64] = raw.try_into().map_err(|_| invalid("has a signature that is not 64 bytes"))?;
    Ok(Opened { payload, key_id: signature.keyid.clone(), signature: signature_bytes })
}
